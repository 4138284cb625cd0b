#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What things cost where there is much of something: zones of great size, many
# devices, connections, bad blocks and rules.  In process (scale.c), and with a
# server.  A figure is of one run; a difference of less than half of it means
# nothing.
#
#   tests/bench/scale.sh

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "$(dirname "$0")/functions.sh"
plan 40
requires nbdkit fio jq nbdinfo
plugin=$(find_plugin)
[ -x "$build/tests/bench/scale" ] || die "there is no scale; run make bench"
open_raw scale

"$build/tests/bench/scale" >"$tmp/scale"
while IFS=$'\t' read -r what value unit; do
  fact scale "$what" core "$value" "$unit"
done <"$tmp/scale"

# start WHAT ARGUMENT...: until it answers.
start ()
{
  local begin

  begin=$(date +%s%N)
  serve nullblk "$plugin" "${@:2}"
  fact scale "start: $1" nullblk $((($(date +%s%N) - begin) / 1000000)) ms
  fact scale "memory: $1" nullblk "$(resident nullblk)" KiB
}

# reset_first: microseconds of one reset of an empty zone through .zones, by
# writes of a descriptor that asks for EMPTY.
reset_first ()
{
  local uri="nbd+unix:///nullb0.zones?socket=$tmp/nullblk.sock" zeroes

  zeroes=$(printf '%076d' 0)
  fio --name=reset --ioengine=nbd --uri="$uri" --thread --rw=write --bs=64 \
    --size=64 --loops=500 --output-format=json --output="$tmp/fio" \
    --buffer_pattern="0x${zeroes:0:50}01$zeroes" >"$tmp/out" 2>&1 ||
    die "fio: $(cat "$tmp/out")"
  sed -n '/^{/,$p' "$tmp/fio" >"$tmp/fio.json"
  fact scale "reset of an empty zone: $1" nullblk "$(jq \
    '.jobs[0].write.clat_ns.percentile["50.000000"] / 1000' "$tmp/fio.json")" us
}

start "1 device with zones" 1T zoned=true zone-size=64M
reset_first "1 device"
stop nullblk
rules=()
for i in {1..100}; do
  rules+=("fault=name=n$i op=flush error=EIO")
done
start "1,024 devices with zones and 100 rules" 1T zoned=true zone-size=64M \
  devices=1024 "${rules[@]}"
reset_first "1,024 devices and 100 rules"
stop nullblk

start "1,024 devices" 1G devices=1024
nbdinfo --list "nbd+unix:///?socket=$tmp/nullblk.sock" >/dev/null
fact scale "memory: after a list of their exports" nullblk \
  "$(resident nullblk)" KiB
stop nullblk

start "7E of memory" 7E memory-backed=true
stop nullblk
rules=()
for i in {1..1000}; do
  rules+=("fault=name=n$i op=flush error=EIO")
done
start "1,024 devices and 1,000 rules" 1G devices=1024 "${rules[@]}"
stop nullblk
close_raw
