#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# A server says whether its socket I/O is batched, and whether replies may wait
# for each other.

# shellcheck source=serve.sh source-path=SCRIPTDIR
source "${0%/*}/serve.sh"
requires jq
ctl=$top_builddir/tools/nullblkctl
[ -x "$ctl" ] || skip "nullblkctl is not built"

# says all|one|none: the server has to batch replies, each by itself, or not at
# all.
says ()
{
  local expected

  case $1 in
    all) expected="true true, batched socket I/O" ;;
    one) expected="true false, batched socket I/O, one reply at a time" ;;
    none) expected="false false" ;;
  esac
  "$ctl" stats --json "$tmp/sock" >"$tmp/json" || fail "nullblkctl"
  "$ctl" stats "$tmp/sock" >"$tmp/out" || fail "nullblkctl"
  {
    jq -j '.server | "\(.batch) \(.holds_replies)"' "$tmp/json"
    sed -n '1s/.*(largest [0-9]*)//p' "$tmp/out"
  } >"$tmp/said"
  [ "$(cat "$tmp/said")" = "$expected" ] ||
    fail "$(cat "$tmp/said") instead of $expected"
}

start_serve 64M
says all
"$ctl" set "$tmp/sock" latency=1us || fail "set"
says all
"$ctl" set "$tmp/sock" latency=0us || fail "set"
says all
"$ctl" set "$tmp/sock" 'fault=op=flush delay=1us' || fail "set"
says all
stop_server

start_serve 64M memory-backed=true zoned=true zone-size=1M
says all
stop_server

for setting in 'fault=op=read hang' parallel=on; do
  start_serve 64M "$setting"
  says one
  stop_server
done

NULLBLK_BATCH=0 start_serve 64M
says none
stop_server
