#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The engine of fio has the zones of the export (--zonemode=zbd).  Each of some
# jobs is run on each of some devices, and a table is printed.  After each job
# the server's own report is checked.  Offsets in zones are those of the export,
# too.

# shellcheck source=fio-engine.sh source-path=SCRIPTDIR
source "${0%/*}/fio-engine.sh"

zone=1048576
zoned=(--zonemode=zbd)
verify=(--verify=crc32c --verify_fatal=1 --do_verify=1)

# are CONDITION: print how many zones are in it.
are ()
{
  "$ctl" zones report --json "$sock" |
    jq --arg c "$1" 'map(select(.cond == $c)) | length'
}

# resets: print how many fio has counted.
resets ()
{
  grep -Eo '[0-9]+ zone resets' "$tmp/fio" |
    awk '{ n += $1 } END { print n + 0 }'
}

# The jobs, on $all zones, of which $conv are conventional.

job_write ()
{
  "$ctl" zones reset --all "$sock"
  works "${zoned[@]}" --rw=write --bs=16k --iodepth=16 "${verify[@]}"
  [ "$(are fu)" = $((all - conv)) ] || fail "not all zones are full"
}

job_write_again ()
{
  works "${zoned[@]}" --rw=write --bs=16k --iodepth=16 "${verify[@]}"
  [ "$(resets)" -ge $((all - conv)) ] || fail "full zones are not reset"
  [ "$(are fu)" = $((all - conv)) ] || fail "not all zones are full"
}

job_read ()
{
  works "${zoned[@]}" --rw=read --bs=16k --iodepth=16
  grep -q 'READ: .* io=' "$tmp/fio" || fail "nothing is read: $(cat "$tmp/fio")"
}

job_randread ()
{
  works "${zoned[@]}" --rw=randread --bs=4k --iodepth=32 --io_size=8M
  grep -q 'READ: .* io=8' "$tmp/fio" || fail "not all read: $(cat "$tmp/fio")"
}

# A job that writes more than there is room for.
job_randwrite ()
{
  works "${zoned[@]}" --rw=randwrite --bs=4k --iodepth=32 --io_size=48M
  [ "$(resets)" -gt 0 ] || fail "no zone is reset"
}

job_time_based ()
{
  works "${zoned[@]}" --rw=randwrite --bs=16k --iodepth=32 --time_based \
    --runtime=1
}

job_mixed ()
{
  "$ctl" zones reset --all "$sock"
  works "${zoned[@]}" --rw=write --bs=64k --iodepth=8 --io_size=8M
  works "${zoned[@]}" --rw=randrw --bs=4k --iodepth=32 --io_size=16M
}

# Two jobs, each in its own half of the zones.
job_two_jobs ()
{
  local half=$(((all - conv) / 2))

  for how in --thread=0 --thread; do
    works "${zoned[@]}" --rw=write --bs=16k --iodepth=16 --numjobs=2 "$how" \
      --offset=$((conv * zone)) --size=$((half * zone)) \
      --offset_increment=$((half * zone)) "${verify[@]}"
  done
  [ "$(are fu)" = $((half * 2)) ] || fail "not all zones are full"
}

# Two jobs, both in all zones.
job_two_in_one ()
{
  works "${zoned[@]}" --rw=randwrite --bs=16k --iodepth=8 --numjobs=2 \
    --io_size=16M
}

job_connections ()
{
  works "${zoned[@]}" --rw=randwrite --bs=4k --iodepth=32 --connections=4 \
    --io_size=24M
}

job_max_open ()
{
  "$ctl" zones reset --all "$sock"
  works "${zoned[@]}" --rw=randwrite --bs=16k --iodepth=16 --io_size=6M \
    --max_open_zones=2
  [ $(($(are oi) + $(are cl))) -le 2 ] || fail "too many zones are open"
}

# The end of a zone has no room for a block, so the zone is finished, or reset.
job_odd_block ()
{
  "$ctl" zones reset --all "$sock"
  works "${zoned[@]}" --rw=write --bs=24k --iodepth=8
}

job_trim ()
{
  [ "$conv" = 0 ] || return 0
  works "${zoned[@]}" --rw=write --bs=64k
  works "${zoned[@]}" --rw=randtrim --bs=$zone --io_size=4M
  [ "$(are em)" -ge 1 ] || fail "no zone is reset"
}

jobs=(write write_again read randread randwrite time_based mixed two_jobs
      two_in_one connections max_open odd_block trim)

# matrix NAME NR_CONV PARAMETER...
matrix ()
{
  local name=$1 job

  conv=$2 all=16
  start_server 16M memory-backed=true zoned=true zone-size=1M \
    zone-nr-conv="$2" "${@:3}"
  for job in "${jobs[@]}"; do
    "job_$job"
    printf '%-24s %-12s pass\n' "$name" "$job"
  done
  stop_server
}

# Offsets in zones, of one job and of the last of some.
start_server 16M memory-backed=true zoned=true zone-size=1M
for options in --offset=16z --offset=300z '--offset=8z --offset_increment=4z'; do
  # shellcheck disable=SC2086 # options
  fails_with ': the export has 16777216 bytes' "${zoned[@]}" --rw=write \
    --bs=16k --size=1z --numjobs=3 $options
done
works "${zoned[@]}" --rw=write --bs=16k --size=1z --numjobs=3 --offset=13z \
  --offset_increment=1z
"$ctl" zones report --json "$sock" >"$tmp/zones"
[ "$(jq -c '[.[13:][].cond]' "$tmp/zones")" = '["fu","fu","fu"]' ] ||
  fail "not the last three zones are full: $(cat "$tmp/zones")"
stop_server

fio --version
matrix 'capacity is the size' 0
matrix 'capacity 3/4, parallel' 0 zone-capacity=768K parallel=on
matrix '4 conventional' 4
matrix '4 open, 6 active' 0 zone-max-open=4 zone-max-active=6

# Zones without a write pointer are read, and not written to.
start_server 16M memory-backed=true zoned=true zone-size=1M zone-full=true \
  zone-readonly=0-3
works "${zoned[@]}" --rw=read --bs=64k --size=4M
fails_with 'err=' "${zoned[@]}" --rw=write --bs=64k --size=1M
stop_server

# Zones that are larger than NBD's longest trim.
start_server 64G memory-backed=true zoned=true zone-size=8G
works "${zoned[@]}" --rw=write --bs=64k --offset=16G --size=8G --number_ios=4
[ "$(are em)" = 7 ] || fail "not one zone is written"
works "${zoned[@]}" --rw=trim --bs=8G
[ "$(are em)" = 8 ] || fail "a zone is not reset"
stop_server

# Resets work on a server without trims.  In zones that fio imagines, and in
# conventional zones, there is no reset.
start_server 16M memory-backed=true zoned=true zone-size=1M zone-full=true \
  discard=false
works "${zoned[@]}" --rw=trim --bs=1M
[ "$(are em)" = 16 ] || fail "a zone is not reset"
fails_with 'the server takes no trims' "${zoned[@]}" --zones=off --zonesize=1M \
  --rw=trim --bs=1M
stop_server

# zones=off: fio imagines zones, and the server refuses its requests.
start_server 16M memory-backed=true zoned=true zone-size=1M zone-full=true
fails_with 'zone size' "${zoned[@]}" --zones=off --rw=read --bs=4k
fails_with 'err= 5' "${zoned[@]}" --zones=off --zonesize=1M --rw=write --bs=4k
stop_server

# A zone table that this client may not read.
start_server 16M memory-backed=true zoned=true zone-size=1M control=off
fails_with 'it has no zones but those that fio imagines' "${zoned[@]}" \
  --rw=read --bs=4k
stop_server
