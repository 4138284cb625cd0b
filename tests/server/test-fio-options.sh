#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Whatever options fio has, it asks the engine the same as it asks its engine
# libaio, with a file that is as large as the export: the same requests in the
# same order, and as many in its results.

# shellcheck source=fio-engine.sh source-path=SCRIPTDIR
source "${0%/*}/fio-engine.sh"

size=4M
truncate -s $size "$tmp/disk"

# Data is checked by the options of verify=, and by test-fio-engine.
jobs=(
  '--rw=randrw --bssplit=4k/50:16k/30:512/20 --loops=2'
  '--rw=randrw --bsrange=4k-64k,512-8k'
  '--rw=write --bs=4k --io_size=1M'
  '--rw=randread --bs=4k --io_size=50% --norandommap'
  '--rw=randread --bs=4k --number_ios=17 --random_generator=lfsr'
  '--rw=randwrite --bs=4k --verify=crc32c --verify_backlog=16'
  '--rw=randwrite --bs=4k --verify=crc32c --verify_backlog=16
   --verify_backlog_batch=4 --norandommap'
  '--rw=write --bs=4k --verify=md5 --verify_interval=512 --verify_async=2'
  '--rw=write --bs=4k --verify=pattern --verify_pattern=0xdeadbeef%o'
  '--rw=read --bs=4k --zonemode=strided --zonesize=16k --zoneskip=16k'
  '--rw=read --bs=4k --zonemode=strided --zonesize=16k --zonerange=64k
   --zoneskip=16k'
  '--rw=read --bs=4k --zonemode=strided --zonesize=64k --offset=8z'
  '--rw=randread --bs=4k --thinktime=10 --thinktime_blocks=8'
  '--rw=randread --bs=4k --rate=20M'
  '--rw=randread --bs=4k --rate_iops=2000 --rate_process=poisson'
  '--rw=write:8k --bs=4k --size=2M'
  '--rw=randread:8 --rw_sequencer=identical --bs=4k'
  '--rw=randread --bs=4k --random_distribution=zoned:60/10:30/20:10/70'
  '--rw=randread --bs=4k --offset=25% --size=50% --offset_align=64k'
  '--rw=randread --bs=4k --blockalign=512'
  '--rw=write --bs=4k --fsync=8 --end_fsync=1'
  '--rw=write --bs=4k --fdatasync=8 --fsync_on_close=1'
  '--rw=write --bs=4k --sync=1'
  '--rw=randwrite --bs=4k --iodepth=4 --serialize_overlap=1 --norandommap'
  '--rw=randwrite --bs=4k --create_serialize=0 --overwrite=1'
)

# requests: print what fio has asked, in order, and the sums of its results.
requests ()
{
  awk '$(NF - 2) ~ /^(read|write|trim|sync|datasync)$/ {
         print $(NF - 2), $(NF - 1), $NF
       }' "$tmp/iolog"
  # fio's messages come before the JSON.
  sed -n '/^{/,$p' "$tmp/json" |
    jq -c '.jobs[] | [.read, .write, .trim, .sync | .total_ios, .io_bytes]'
}

# asked OPTION...
asked ()
{
  rm -f "$tmp/iolog"
  fio --name=job --randseed="$seed" --verify_state_save=0 --group_reporting \
    --size=1M "$@" --write_iolog="$tmp/iolog" --output-format=json \
    --output="$tmp/json" >"$tmp/fio" 2>&1 || fail "fio $*: $(cat "$tmp/fio")"
  requests
}

start_server $size memory-backed=true
for job in "${jobs[@]}"; do
  read -r -d '' -a options <<<"$job" || true
  asked --ioengine=libaio --filename="$tmp/disk" "${options[@]}" >"$tmp/theirs"
  asked --ioengine=external:"$engine" --uri="$uri" "${options[@]}" >"$tmp/ours"
  [ "$(wc -l <"$tmp/ours")" -gt 1 ] || fail "fio $job: nothing is asked"
  cmp -s "$tmp/theirs" "$tmp/ours" ||
    fail "fio $job: $(diff "$tmp/theirs" "$tmp/ours" | sed -n 1,10p)"
done
stop_server

# flushes COUNT OPTION...: so many have to arrive with 64 writes.
flushes ()
{
  start_server $size
  works --rw=write --bs=4k --size=256k "${@:2}"
  local n
  n=$("$ctl" stats --json "$sock" | jq .operations.flush.requests)
  [ "$n" = "$1" ] || fail "fio ${*:2}: $n flushes, not $1"
  stop_server
}

flushes 7 --fsync=8
flushes 7 --fdatasync=8
flushes 7 --sync_file_range=write:8
flushes 1 --end_fsync=1
flushes 1 --fsync_on_close=1
flushes 0 --sync=1

# Two exports in one run.
start_server $size memory-backed=true devices=2
fio --name=one --ioengine=external:"$engine" --uri="$(uri_of nullb0)" \
  --rw=write --bs=4k --size=1M --verify=crc32c --verify_state_save=0 \
  --name=two --ioengine=external:"$engine" --uri="$(uri_of nullb1)" \
  --rw=write --bs=8k --size=1M --verify=crc32c --verify_state_save=0 \
  >"$tmp/fio" 2>&1 || fail "fio, two exports: $(cat "$tmp/fio")"
for i in 0:256 1:128; do
  n=$("$ctl" stats --json --device "nullb${i%:*}" "$sock" |
    jq .operations.write.requests)
  [ "$n" = "${i#*:}" ] || fail "nullb${i%:*} got $n writes, not ${i#*:}"
done
stop_server
