#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nbdkit PLUGIN --help lists every parameter where nbdkit's bash completion
# looks for them, with and without parameters on the command line.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
keys='badblocks badblocks-once badblocks-partial-io block-size
  cache-size control devices discard fault flush-latency fua hugepages iops lanes
  latency latency-spin mbps memory-backed memory-limit parallel
  physical-block-size power-cut profile read-iops read-latency read-mbps read-only
  rotational seed size stall trim-latency write-iops write-latency write-log
  write-mbps zero-latency zero-memory zone-capacity zone-full zone-latency zone-max-active
  zone-max-open zone-nr-conv zone-offline zone-read-past-wp zone-readonly
  zone-reorder-wait zone-size zone-trim zoned'

for args in '' 'size=1M devices=2'; do
  # shellcheck disable=SC2086 # none or two
  "$NBDKIT" "$PLUGIN" $args --help >"$tmp/out" 2>"$tmp/err" ||
    fail "--help failed: $(cat "$tmp/err")"
  [ ! -s "$tmp/err" ] || fail "--help complains: $(cat "$tmp/err")"
  found=$(grep -Eo '^[-a-z0-9]+=' "$tmp/out" | tr -d = | sort | xargs)
  [ "$found" = "$(echo "$keys" | xargs)" ] || fail "it lists $found"
  grep -Eq '^size=SIZE .*capacity.* \(default 250G\)$' "$tmp/out" ||
    fail "no line for size: $(cat "$tmp/out")"
done
