#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# How much resident memory a server gains: by random writes of 4 KiB, after a
# trim of everything, and by one block in a device of 2^63-1 bytes.
#
#   tests/bench/footprint.sh

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "$(dirname "$0")/functions.sh"
plan 12
requires nbdkit fio jq nbdinfo perl
plugin=$(find_plugin)
open_raw footprint
mib=256

# measure_footprint NAME: add how much more memory it has than at its start.
measure_footprint ()
{
  local start full trimmed ours=

  [[ $1 != nullblk* ]] || ours=yes
  start=$(resident "$1")
  load "$1" --rw=randwrite --bs=4k --iodepth=32 --size=${mib}M
  full=$(resident "$1")
  load "$1" --rw=trim --bs=32M --size=8G
  trimmed=$(resident "$1")
  # One MiB is not of the data.
  fact footprint "$mib MiB written in 4 KiB blocks, less 1 MiB" "$1" \
    "$(awk -v kib=$((full - start - 1024)) -v mib=$mib \
      'BEGIN { print kib / 1024 / mib }')" "bytes a byte" ${ours:+1.02}
  fact footprint "left after a trim of everything" "$1" \
    "$(awk -v kib=$((trimmed - start)) 'BEGIN { print kib / 1024 }')" MiB \
    ${ours:+2}
  stop "$1"
}

serve nbdkit-memory-sparse memory 8G
measure_footprint nbdkit-memory-sparse
serve nullblk "$plugin" 8G memory-backed=true
measure_footprint nullblk
serve_ours nullblk-serve 8G memory-backed=true
measure_footprint nullblk-serve

# measure_huge NAME
measure_huge ()
{
  local start

  start=$(resident "$1")
  load "$1" --rw=write --bs=4k --size=4k --offset=4611686018427387904
  fact footprint "one block in 2^63-1 bytes" "$1" \
    $(($(resident "$1") - start)) KiB 1024
  stop "$1"
}

serve nullblk "$plugin" 9223372036854775807 memory-backed=true
measure_huge nullblk
serve_ours nullblk-serve 9223372036854775807 memory-backed=true
measure_huge nullblk-serve
close_raw
