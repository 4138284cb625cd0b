#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Latency, and a limit on bytes a second: by nbdkit's filters, and by nullblk.
#
#   tests/bench/filters.sh
#
# All servers can have 32 requests wait.  The latency is 1 ms, which is the
# least of nbdkit 1.32's delay filter; 32 requests at a time are 32,000 a
# second.  There are two limits: one that is never reached shows what a limit
# costs, and one of 100 MiB/s, or 800 requests of 128 KiB a second, how exact a
# limit is.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "$(dirname "$0")/functions.sh"
delayed=(nbdkit-null-delay nbdkit-memory-delay nullblk nullblk-serve
         nullblk-memory)
rated=(nbdkit-null-rate nbdkit-memory-rate nullblk nullblk-serve nullblk-memory)
delay_loads=("randread 4k 1 1" "randread 4k 32 1" "randwrite 4k 32 1")
rate_loads=("randread 4k 32 4" "randwrite 4k 32 4")
limit_loads=("randread 128k 32 1" "randwrite 128k 32 4")
if [ -n "$quick" ]; then
  delay_loads=("${delay_loads[1]}") rate_loads=("${rate_loads[0]}")
  limit_loads=("${limit_loads[0]}")
fi
plan "$(seconds $((rounds * 5 * (${#delay_loads[@]} + ${#rate_loads[@]} +
  3 * ${#limit_loads[@]}))))"
requires nbdkit fio jq nbdinfo perl
plugin=$(find_plugin)
export size=64M
open_raw filters

# table NAME LOADS SERVER...: measure these loads on the servers.
table ()
{
  local -n loads=$2
  local load round server

  for load in "${loads[@]}"; do
    for ((round = 0; round < rounds; round++)); do
      for server in "${@:3}"; do
        # shellcheck disable=SC2086 # words
        measure "$1" "$round" "$server" $load
      done
    done
  done
}

serve nbdkit-null-delay -t 32 --filter=delay null 1G rdelay=1ms wdelay=1ms
serve nbdkit-memory-delay -t 32 --filter=delay memory 1G rdelay=1ms wdelay=1ms
serve nullblk -t 32 "$plugin" 1G latency=1ms
serve_ours nullblk-serve --depth 32 1G latency=1ms
serve nullblk-memory -t 32 "$plugin" 1G memory-backed=true latency=1ms
fill nbdkit-memory-delay nullblk-memory
table delay delay_loads "${delayed[@]}"
stop "${delayed[@]}"

# limited MIB: start the servers with this limit, in MiB/s.  nbdkit's filter
# lets the bytes of 2 s through at once, unless it is told otherwise.
limited ()
{
  local rate=("rate=$(($1 * 8388608))" burstiness=0.1)

  serve nbdkit-null-rate -t 32 --filter=rate null 1G "${rate[@]}"
  serve nbdkit-memory-rate -t 32 --filter=rate memory 1G "${rate[@]}"
  serve nullblk -t 32 "$plugin" 1G mbps="$1"
  serve_ours nullblk-serve --depth 32 1G mbps="$1"
  serve nullblk-memory -t 32 "$plugin" 1G memory-backed=true mbps="$1"
}

limited 40000
fill nbdkit-memory-rate nullblk-memory
table rate-unreached rate_loads "${rated[@]}"
stop "${rated[@]}"
limited 100
# What a limit lets through at once should be a small part of what is counted.
runtime=$((runtime * 3))
table rate-100M limit_loads "${rated[@]}"
close_raw
