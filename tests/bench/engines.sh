#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# fio's own engine for NBD beside nullblk-fio(1), on the same nullblk-serve,
# over a Unix socket and TCP, by one job with one connection.
#
#   tests/bench/engines.sh [LOAD...]
#
# Both are measured in turn, ROUNDS times, for each LOAD "RW SIZE DEPTH".
# Prints a table: medians of requests a second and of the CPU of fio and of the
# server a request, and the ratios of nullblk-fio to the engine nbd, round by
# round, as median, least and greatest.  bench/client, which costs little CPU,
# shows what the server can do.  fio's CPU is that of its job.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "$(dirname "$0")/functions.sh"
loads=("$@")
if [ $# = 0 ]; then
  loads=("randread 4k 32" "randwrite 4k 32" "randread 4k 1" "randwrite 4k 1"
         "randread 128k 32" "randwrite 128k 32")
  [ -z "$quick" ] || loads=("${loads[0]}")
fi
plan "$(seconds $((2 * ${#loads[@]} * rounds * 3)))"
requires nbdkit fio jq nbdinfo perl
client=$build/tests/bench/client
[ -x "$client" ] || die "there is no bench/client; run make bench"
load_with_engine
engines=(nbd "$ioengine")

# run SERVER RW SIZE DEPTH: sets figures, "RATE FIO-CPU SERVER-CPU".
run ()
{
  local before us

  before=$(cpu "$1")
  load "$1" --rw="$2" --bs="$3" --iodepth="$4" --gtod_reduce=1 --norandommap \
    --size=64M --time_based --runtime="${runtime}ms"
  us=$(($(cpu "$1") - before))
  figures=$(jq -r --argjson us "$us" '.jobs[0] |
    (.read.total_ios + .write.total_ios) as $n |
    "\(.read.iops + .write.iops)" +
    " \((.usr_cpu + .sys_cpu) / 100 * .job_runtime * 1000 / $n) \($us / $n)"' \
    "$tmp/fio.json")
}

# light SERVER RW SIZE DEPTH: print the requests a second of bench/client.
light ()
{
  # shellcheck disable=SC2086 # words
  "$client" ${server_where[$1]} "${2#rand}" "$((${3%k} * 1024))" 1 "$4" \
    "$(awk -v ms="$runtime" 'BEGIN { print ms / 1000 }')"
}

# column N: print the median of a column of the rows.
column ()
{
  cut -d' ' -f"$1" "$tmp/rows" | median
}

# ratio OF TO: print the ratio of two columns: median, least and greatest.
ratio ()
{
  awk -v of="$1" -v to="$2" '{ print $of / ($to > 0 ? $to : 1) }' "$tmp/rows" |
    sort -g | awk '{ n[NR] = $1 }
      END { m = NR % 2 ? n[(NR + 1) / 2] : (n[NR / 2] + n[NR / 2 + 1]) / 2
            printf "%.2f (%.2f-%.2f)", m, n[1], n[NR] }'
}

# compare SERVER LOAD: print a line of the table.
compare ()
{
  local round i

  : >"$tmp/rows"
  for ((round = 0; round < rounds; round++)); do
    for i in 0 1; do
      ioengine=${engines[i]}
      # shellcheck disable=SC2086 # words
      run "$1" $2
      printf '%s ' "$figures"
    done
    # shellcheck disable=SC2086 # words
    light "$1" $2
  done >>"$tmp/rows"
  printf '| %s, %s | %.0f %.0f %.0f | %s | %.2f %.2f | %s | %.2f %.2f |\n' \
    "$1" "$2" "$(column 1)" "$(column 4)" "$(column 7)" "$(ratio 4 1)" \
    "$(column 2)" "$(column 5)" "$(ratio 5 2)" "$(column 3)" "$(column 6)"
}

echo "One job, one connection: the engine nbd, nullblk-fio, and of requests a" \
  "second a light client, too; medians of $rounds rounds."
echo
echo "| server, load | requests/s | of nbd's | fio's CPU us a request |" \
  "of nbd's | server's |"
echo "|---|---|---|---|---|---|"
for transport in unix tcp; do
  serve_ours "$transport" 64M
  for load in "${loads[@]}"; do
    compare "$transport" "$load"
  done
  stop "$transport"
done
