#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What zones cost: a memory-backed device with zones beside one without.
#
#   tests/bench/zones.sh [ROUNDS]
#
# Both are served at once, and fio's nbd engine puts the same load on one after
# the other, ROUNDS (9) times, every other time in the other order.  A round of
# writes fills the device once from its start to its end.  Before that, which is
# not timed, the whole device is trimmed, which resets zones and frees memory.
# Reads are of a full device.  Prints a table of requests a second, and of the
# server's CPU time (user and system) a request: the median of each, and the
# median and range of the ratios zoned / plain of each round.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "$(dirname "$0")/functions.sh"
requires nbdkit fio qemu-io jq
rounds=${1:-${quick:+3}} rounds=${rounds:-9}
plan $((rounds * 8 + 10))
plugin=$(find_plugin)

serve plain "$plugin" 256M memory-backed=true
serve zoned "$plugin" 256M memory-backed=true zoned=true zone-size=64M

# empty NAME: trim its device.
empty ()
{
  qemu-io -f raw -d unmap -c 'discard 0 256M' "${server_uri[$1]}" >"$tmp/out"
}

# measure NAME FIO-OPTION...: print requests a second, and microseconds of CPU a
# request.
measure ()
{
  local start end

  start=$(cpu "$1")
  load "$@" --iodepth=32 --size=256M
  end=$(cpu "$1")
  jq -r --argjson us $((end - start)) '
    .jobs[0] | (.read.total_ios + .write.total_ios) as $n |
    "\(.read.iops + .write.iops) \($us / $n)"' "$tmp/fio.json"
}

# one_round NAME LOAD: measure it, with the result in $tmp/NAME.
one_round ()
{
  case $2 in
    write-*)
      empty "$1"
      measure "$1" --rw=write --bs="${2#*-}" >"$tmp/$1"
      ;;
    read-*)
      measure "$1" --rw=randread --bs="${2#*-}" --time_based --runtime=1 \
        >"$tmp/$1"
      ;;
  esac
}

# column N: print the median of a column of the table.
column ()
{
  cut -d' ' -f"$1" "$tmp/table" | median
}

# ratio OF TO: print the ratio of two columns, as "median (least-most)".
ratio ()
{
  awk -v of="$1" -v to="$2" '{ print $of / $to }' "$tmp/table" | sort -g \
    >"$tmp/ratios"
  printf '%.3f (%.3f-%.3f)' "$(median <"$tmp/ratios")" \
    "$(head -n 1 "$tmp/ratios")" "$(tail -n 1 "$tmp/ratios")"
}

echo "| load | k/s plain | zoned | ratio | CPU us plain | zoned | ratio |"
echo "|---|---|---|---|---|---|---|"
for load in write-4k write-128k read-4k; do
  one_round plain "$load" # to warm up, and to be full
  one_round zoned "$load"
  : >"$tmp/table"
  for ((i = 0; i < rounds; i++)); do
    if ((i % 2 == 0)); then
      one_round plain "$load"
      one_round zoned "$load"
    else
      one_round zoned "$load"
      one_round plain "$load"
    fi
    echo "$(cat "$tmp/plain") $(cat "$tmp/zoned")" >>"$tmp/table"
  done
  printf '| %s | %.1f | %.1f | %s | %.2f | %.2f | %s |\n' "$load" \
    "$(column 1 | awk '{ print $1 / 1000 }')" \
    "$(column 3 | awk '{ print $1 / 1000 }')" "$(ratio 3 1)" \
    "$(column 2)" "$(column 4)" "$(ratio 4 2)"
done
stop plain zoned
