#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# A server says whether its socket I/O is batched.

# shellcheck source=serve.sh source-path=SCRIPTDIR
source "${0%/*}/serve.sh"
requires jq
ctl=$top_builddir/tools/nullblkctl
[ -x "$ctl" ] || skip "nullblkctl is not built"

# says true|false: of the server that nullblk-serve starts.
says ()
{
  rm -f "$tmp/pid" "$tmp/sock"
  "$serve" -f -U "$tmp/sock" -P "$tmp/pid" 1M &
  server_pid=$!
  wait_until 60 server_listens_or_ended || fail "it does not listen"
  "$ctl" stats --json "$tmp/sock" >"$tmp/json" || fail "nullblkctl"
  [ "$(jq .server.batch "$tmp/json")" = "$1" ] || fail "$(head -3 "$tmp/json")"
  "$ctl" stats "$tmp/sock" >"$tmp/out"
  if head -n 1 "$tmp/out" | grep -q ', batched socket I/O$'; then
    [ "$1" = true ] || fail "it says: $(head -n 1 "$tmp/out")"
  else
    [ "$1" = false ] || fail "it says: $(head -n 1 "$tmp/out")"
  fi
  # A change, of which the library is told, is a change as ever.
  "$ctl" set "$tmp/sock" latency=1us || fail "set"
  "$ctl" set "$tmp/sock" latency=0us || fail "set"
  stop_server
}

says true
NULLBLK_BATCH=0 says false
