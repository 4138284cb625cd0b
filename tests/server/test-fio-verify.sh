#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# fio writes through four connections, each its own region, in random order and
# mixed with reads, and finds every block as it wrote it: with requests of a
# connection one at a time, and in parallel.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires fio
fio --enghelp=nbd >/dev/null 2>&1 || skip "fio has no nbd engine"

seed=$(new_seed)

# verify OPTION...: run 4 jobs, each with a connection and 64 MiB of the device.
verify ()
{
  fio --ioengine=nbd --uri="$uri" --randseed="$seed" --thread \
    --numjobs=4 --size=64M --offset_increment=64M --iodepth=16 \
    --verify=crc32c --verify_fatal=1 --do_verify=1 --verify_state_save=0 \
    --group_reporting \
    "$@" >"$tmp/out" 2>&1 || fail "fio $*: $(cat "$tmp/out")"
  if grep -Eq 'verify:|err= *[1-9]' "$tmp/out"; then
    fail "fio $*: $(cat "$tmp/out")"
  fi
}

# -t is nbdkit's number of threads for a connection, if it serves in parallel.
for mode in parallel=auto parallel=on '-t 1 parallel=on' '-t 64 parallel=on'; do
  # shellcheck disable=SC2086 # options
  start_server 256M memory-backed=true $mode
  verify --name=random --rw=randwrite --bs=4k
  verify --name=small --rw=randwrite --bs=512 --io_size=4M
  verify --name=mix --rw=randrw --rwmixread=40 --bsrange=4k-256k
  verify --name=large --rw=write --bs=4M
  stop_server
done
