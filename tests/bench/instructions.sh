#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# How many instructions a request of 4 KiB takes in the core, by callgrind; the
# figures are exact, and the same every time.
#
#   tests/bench/instructions.sh
#
# A figure is the difference of two runs of bench/core-load, one twice as long,
# so that the start does not count.  What a feature costs while it is on is the
# ratio to the same device without it.  What it costs while it is off is the
# instructions of those lines of the sources that are there for it: all lines of
# its own files, and in the files of plugin/device/ where features meet, the
# lines that name it.  The compiler moves instructions between lines, so that a
# few may count for a neighbour.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "$(dirname "$0")/functions.sh"
plan "$([ -n "$quick" ] && echo 40 || echo 60)"
requires valgrind jq
core_load=$build/tests/bench/core-load
[ -x "$core_load" ] || die "there is no bench/core-load; run make bench"
open_raw instructions

#----------------------------------------------------------------------
# On

declare -A known

# count OP [KEY=VALUE]...: set $n to the instructions of a request on a device
# with these parameters.
count ()
{
  local times runs=()

  n=${known[$*]-}
  [ -z "$n" ] || return 0
  for times in 10000 20000; do
    valgrind --tool=callgrind --callgrind-out-file=/dev/null \
      "$core_load" "$1" "$times" "${@:2}" >"$tmp/callgrind" 2>&1 ||
      die "$(cat "$tmp/callgrind")"
    runs+=("$(sed -n 's/.*Collected : //p' "$tmp/callgrind")")
  done
  n=$(((runs[1] - runs[0]) / 10000))
  known[$*]=$n
}

# feature NAME OPS BASE-PARAMETERS PARAMETERS [MOST]: add a row for each
# operation: the instructions on both devices.  Their ratio is to be MOST at
# most.
feature ()
{
  local op base

  for op in $2; do
    # shellcheck disable=SC2086 # words
    {
      count "$op" $3
      base=$n
      count "$op" $4
    }
    jq -nc --arg device "$1" --arg op "$op" --argjson base "$base" \
      --argjson instructions "$n" --argjson most "${5:-null}" \
      '{table: "instructions", $device, $op, $base, $instructions, $most}' \
      >>"$raw"
  done
}

ops="read write"
[ -n "$quick" ] || ops="$ops trim zero flush"
ram="size=1G memory-backed=true"
feature "null" "$ops" "" ""
feature "null, latency=0" "$ops" "" "latency=0" 1.05
feature "memory" "$ops" "$ram" "$ram"
feature "memory, latency=0" "$ops" "$ram" \
  "$ram latency=0" 1.05
if [ -z "$quick" ]; then
  feature "memory, zoned" "read" "$ram" "$ram zoned=true zone-size=64M" 1.05
  feature "memory, zoned" "write" "$ram" "$ram zoned=true zone-size=64M"
  # Only zones have appends: beside a device with the same zones.
  feature "memory, zoned" "append" "$ram zoned=true zone-size=64M" \
    "$ram zoned=true zone-size=64M"
  feature "memory, zoned, conventional" "read write" "$ram" \
    "$ram zoned=true zone-size=64M zone-nr-conv=15" 1.05
fi

#----------------------------------------------------------------------
# Off

# lines OP COUNT [KEY=VALUE]...: print the instructions of each "file:line".
lines ()
{
  valgrind --tool=callgrind --callgrind-out-file="$tmp/lines" \
    --compress-strings=no --compress-pos=no --dump-line=yes \
    "$core_load" "$@" >"$tmp/callgrind" 2>&1 || die "$(cat "$tmp/callgrind")"
  # The line after calls= is the cost of what was called, which counts there.
  awk '
    /^(fl|fi|fe)=/ { sub (/^...?/, ""); sub (/.*\//, ""); file = $0 }
    /^calls=/ { getline; next }
    /^[0-9]+ [0-9]+$/ { cost[file ":" $1] += $2 }
    END { for (line in cost) print line, cost[line] }' "$tmp/lines"
}

# What each line is for in the files where features meet, by what it names.
(cd "$top/plugin/device" &&
   grep -Hn '' device-{request,operation,write,zones}.c device-internal.h) |
  awk '
    { split ($0, at, ":"); line = at[1] ":" at[2]; sub (/^[^:]*:[^:]*:/, "") }
    /stats_|in_flight/ { print line, "statistics"; next }
    /fault|badblocks|is_judged|verdict|disconnects|is_skipped|is_corrupted/ {
      print line, "faults and bad blocks"; next }
    /latency|due_at|set_due|when_due|count_thread|booking|moment/ {
      print line, "latency and limits"; next }
    /zone|early|set_aside/ { print line, "zones"; next }
    /durability|epoch|admit_power|fua|is_quiesced|->log/ {
      print line, "write cache and power loss"; next }' >"$tmp/purposes"

# shares DEVICE OP [KEY=VALUE]...: add a row for each feature.
shares ()
{
  lines "$2" 10000 "${@:3}" >"$tmp/short"
  lines "$2" 20000 "${@:3}" >"$tmp/long"
  awk -v OFS='\t' -v files="$(cd "$top/plugin/timing" && echo *)" '
    BEGIN { n = split (files, names, " "); while (n > 0) timing[names[n--]] }
    FILENAME ~ /purposes$/ { n = $1; sub (/^[^ ]* /, ""); purpose[n] = $0; next }
    FILENAME ~ /short$/ { before[$1] = $2; next }
    {
      split ($1, at, ":")
      n = ($2 - before[$1]) / 10000
      if (n <= 0 || at[1] == "core-load.c")
        next
      what = "the request itself"
      if (at[1] ~ /^stats\./) what = "statistics"
      else if (at[1] ~ /^(fault|badblocks|device-faults)/)
        what = "faults and bad blocks"
      else if (at[1] in timing) what = "latency and limits"
      else if (at[1] ~ /^zones/) what = "zones"
      else if (at[1] ~ /^(durability|writelog|device-(power|log))/)
        what = "write cache and power loss"
      else if ($1 in purpose) what = purpose[$1]
      sum[what] += n
      total += n
    }
    END { for (what in sum) print what, sum[what], total }' \
    "$tmp/purposes" "$tmp/short" "$tmp/long" |
    sort |
    jq -Rc --arg device "$1" --arg op "$2" 'split ("\t") |
      {table: "shares", $device, $op, feature: .[0],
       instructions: (.[1] | tonumber), total: (.[2] | tonumber)}' >>"$raw"
}

for op in read write; do
  shares "null" $op
  # shellcheck disable=SC2086 # words
  [ -n "$quick" ] || shares "memory" $op $ram
done
close_raw
