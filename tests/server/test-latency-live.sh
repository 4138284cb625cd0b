#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Latencies, lanes, stalls and limits that change under load, on four
# connections, while the data stays right.

# shellcheck source=ctl.sh source-path=SCRIPTDIR
source "${0%/*}/ctl.sh"
requires fio

seed=$(new_seed)
start_server -t 32 64M memory-backed=true parallel=on "seed=$seed"
RANDOM=$seed

durations=(0 1us 30us uniform:0-200us 'normal:50us,20us'
           'lognormal:p50=20us,p99=1ms' 'percentiles:p50=10us,p99.9=2ms')
choices=(lanes=none lanes=1 lanes=7 stall=none 'stall=every:10ms,for:1ms'
         mbps=none mbps=200 read-mbps=100 iops=none iops=5000 write-iops=4000
         latency-spin=0 latency-spin=auto latency-spin=1ms seed=random
         profile=nvme profile=none profile=sata-ssd)

fio --name=job --ioengine=nbd --uri="$uri" --rw=randwrite --bs=4k --iodepth=16 \
  --size=8M --offset_increment=8M --numjobs=4 --thread --verify=crc32c \
  --verify_fatal=1 --verify_state_save=0 --randseed="$seed" --loops=8 \
  >"$tmp/fio" 2>&1 &
fio=$!

changes=0
until process_ended "$fio"; do
  "$ctl" set "$sock" \
    "read-latency=${durations[RANDOM % ${#durations[@]}]}" \
    "write-latency=${durations[RANDOM % ${#durations[@]}]}" \
    "${choices[RANDOM % ${#choices[@]}]}" || fail "change $changes is refused"
  changes=$((changes + 1))
  if ((changes == 300)); then
    "$ctl" set "$sock" profile=none latency-spin=auto
    "$ctl" set "$sock" read-latency=0 write-latency=0
    break
  fi
done
wait "$fio" || fail "$(cat "$tmp/fio")"
if grep -q 'verify:' "$tmp/fio"; then
  fail "$(cat "$tmp/fio")"
fi
[ "$changes" -gt 20 ] || fail "only $changes changes while fio ran"
echo "$changes changes"
