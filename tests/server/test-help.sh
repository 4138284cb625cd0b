#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nbdkit PLUGIN --help lists every parameter where nbdkit's bash completion
# looks for them, with and without parameters on the command line.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
keys=$("$top_builddir/tests/unit/list-parameters" |
  awk '$1 == "parameter" { print $2 }' | sort | xargs)
[[ $keys == *read-latency* ]] || fail "the table has $keys"

for args in '' 'size=1M devices=2'; do
  # shellcheck disable=SC2086 # none or two
  "$NBDKIT" "$PLUGIN" $args --help >"$tmp/out" 2>"$tmp/err" ||
    fail "--help failed: $(cat "$tmp/err")"
  [ ! -s "$tmp/err" ] || fail "--help complains: $(cat "$tmp/err")"
  found=$(grep -Eo '^[-a-z0-9]+=' "$tmp/out" | tr -d = | sort | xargs)
  [ "$found" = "$keys" ] || fail "it lists $found"
  grep -Eq '^size=SIZE .*capacity.* \(default 250G\)$' "$tmp/out" ||
    fail "no line for size: $(cat "$tmp/out")"
done
