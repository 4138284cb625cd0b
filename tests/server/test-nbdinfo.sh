#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nbdinfo shows the list of exports, and a device's properties and map.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires nbdinfo jq qemu-io

# assert_jq FILTER: it has to be true of $tmp/json.
assert_jq ()
{
  jq -e "$1" "$tmp/json" >/dev/null || fail "not $1: $(cat "$tmp/json")"
}

start_server 1G memory-backed=true devices=2 block-size=4096 \
  physical-block-size=64K rotational=true control=off

nbdinfo --list --json "$uri" >"$tmp/json"
assert_jq '.exports | length == 2'
assert_jq '[.exports[]."export-name"] == ["nullb0", "nullb1"]'
assert_jq '.exports | all(."export-size" == 1073741824)'
assert_jq '.exports | all(.description == "memory-backed block device, 1G")'

nbdinfo --json "$(uri_of nullb1)" >"$tmp/json"
assert_jq '.exports[0]."export-name" == "nullb1"'
assert_jq '.exports[0]."block_size_minimum" == 4096'
assert_jq '.exports[0]."block_size_preferred" == 65536'
assert_jq '.exports[0]."block_size_maximum" == 67108864'
assert_jq '.exports[0] | .is_rotational and (.is_read_only | not)'
assert_jq '.exports[0] | .can_cache and .can_fast_zero and .can_flush
  and .can_fua and .can_multi_conn and .can_trim and .can_zero'
assert_jq '.exports[0].contexts == ["base:allocation"]'

qemu-io -f raw -c 'write 1M 4K' -c 'write 512M 1M' "$uri" >"$tmp/out"
nbdinfo --map --json "$uri" >"$tmp/json"
assert_jq '[.[] | [.offset, .length, .type, .description]] == [
  [0, 1048576, 3, "hole,zero"],
  [1048576, 4096, 0, "data"],
  [1052672, 535818240, 3, "hole,zero"],
  [536870912, 1048576, 0, "data"],
  [537919488, 535822336, 3, "hole,zero"]]'

# What it needs to know to answer, it has asked for all of the device.
nbdinfo --map --totals --json "$uri" >"$tmp/json"
assert_jq '[.[] | select(.type == 0) | .size] == [1052672]'
stop_server
