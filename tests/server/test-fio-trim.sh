#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# fio trims and writes through four connections: what was written after a trim
# is there, and what was trimmed last is a hole.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires fio nbdinfo jq
fio --enghelp=nbd >/dev/null 2>&1 || skip "fio has no nbd engine"

seed=$(new_seed)

run_fio ()
{
  fio --ioengine=nbd --uri="$uri" --randseed="$seed" --thread \
    --numjobs=4 --size=32M --offset_increment=32M --iodepth=16 \
    --group_reporting "$@" >"$tmp/out" 2>&1 ||
    fail "fio $*: $(cat "$tmp/out")"
}

# holes: how many bytes nbdinfo --map says are holes.
holes ()
{
  nbdinfo --map --json "$uri" |
    jq '[.[] | select(.type == 3) | .length] | add // 0'
}

start_server 128M memory-backed=true
run_fio --name=trimwrite --rw=trimwrite --bs=64k --verify=crc32c \
  --verify_fatal=1 --do_verify=1 --verify_state_save=0
[ "$(holes)" = 0 ] || fail "$(holes) bytes are holes after every write"

run_fio --name=trim --rw=randtrim --bs=64k
[ "$(holes)" = 134217728 ] || fail "only $(holes) bytes are holes after trim"
stop_server
