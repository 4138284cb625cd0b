#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# First writes to fresh memory: all servers in turn, ROUNDS times, each started
# anew.
#
#   tests/bench/first.sh

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "$(dirname "$0")/functions.sh"
servers=(floor nbdkit-memory-sparse nbdkit-memory-malloc nullblk nullblk-serve)
plan $((rounds * ${#servers[@]} * 3))
requires nbdkit fio jq nbdinfo perl
plugin=$(find_plugin)
open_raw first

# start NAME
start ()
{
  case $1 in
    floor) serve_floor ;;
    *sparse) serve "$1" memory 1G ;;
    *malloc) serve "$1" memory 1G allocator=malloc ;;
    nullblk) serve "$1" "$plugin" 1G memory-backed=true ;;
    nullblk-serve) serve_ours "$1" 1G memory-backed=true ;;
  esac
}

for ((round = 0; round < rounds; round++)); do
  for server in "${servers[@]}"; do
    for bs in 4k 128k; do
      start "$server"
      measure_all first "$round" "$server" write "$bs" 32 4 --size=64M \
        --offset_increment=64M
      stop "$server"
    done
  done
done
close_raw
