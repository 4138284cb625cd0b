#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Fault rules and bad blocks come and go under load, on four connections.  Data
# that they do not touch stays right, and the counters agree with what fio has
# done.

# shellcheck source=ctl.sh source-path=SCRIPTDIR
source "${0%/*}/ctl.sh"
requires fio jq

seed=$(new_seed)
start_server -t 32 64M memory-backed=true parallel=on "seed=$seed"
RANDOM=$seed

# In the lower 32 MiB only delays are noticed.
rules=('delay=uniform:0-200us' 'name=x op=read rate=10% delay=1ms'
       'range=40M+1M error=EIO' 'range=40M+1M corrupt=flip'
       'op=write range=32M+16M hang' 'name=y op=write zones=0 hang'
       'op=trim error=ENOSPC' 'op=flush count=5 error=EIO')
choices=(badblocks=+70000-80000 badblocks=none badblocks-once=true
         badblocks-once=false badblocks-partial-io=true
         badblocks-partial-io=false badblocks-mend=true badblocks-mend=false)

"$ctl" set "$sock" 'fault=name=counter op=write delay=0'
fio --name=job --ioengine=nbd --uri="$uri" --rw=randwrite --bs=4k --iodepth=16 \
  --size=8M --offset_increment=8M --numjobs=4 --thread --verify=crc32c \
  --verify_fatal=1 --verify_state_save=0 --randseed="$seed" --loops=12 \
  --output-format=json --output="$tmp/json" >"$tmp/fio" 2>&1 &
fio=$!

counter='fault=name=counter op=write delay=0'
changes=0
until process_ended "$fio" || ((changes == 200)); do
  # All but the counter go, now and then, which makes room for those that hang.
  set=("${choices[RANDOM % ${#choices[@]}]}")
  ((changes % 4 > 0)) || set+=(fault-delete=others "$counter")
  "$ctl" set "$sock" "${set[@]}" "fault=${rules[changes % ${#rules[@]}]}" ||
    fail "change $changes is refused"
  changes=$((changes + 1))
done
"$ctl" set "$sock" fault-delete=others "$counter"
wait "$fio" || fail "$(cat "$tmp/fio" "$tmp/json")"
[ "$changes" -ge 8 ] || fail "only $changes changes while fio ran"

"$ctl" stats --json "$sock" >"$tmp/stats"
writes=$(sed -n '/^{/,$p' "$tmp/json" | jq '[.jobs[].write.total_ios] | add')
counted=$(jq '.faults[] | select(.name == "counter") | .hits' "$tmp/stats")
[ "$counted" = "$writes" ] || fail "$counted of $writes writes were counted"
echo "$changes changes, $writes writes"
