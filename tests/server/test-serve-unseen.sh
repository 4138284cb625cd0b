#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-serve holds no reply back while a request of the same connection waits
# in a way that the library does not see: in a filter, or for the disk that has
# the write log.

# shellcheck source=serve.sh source-path=SCRIPTDIR
source "${0%/*}/serve.sh"
requires jq
ctl=$top_builddir/tools/nullblkctl
[ -x "$ctl" ] || skip "nullblkctl is not built"
unseen=$top_builddir/tests/server/unseen
slow_disk=$top_builddir/tests/server/.libs/slow-disk.so

# expect FILTER: of the statistics.
expect ()
{
  "$ctl" stats --json "$tmp/sock" >"$tmp/json" || fail "nullblkctl"
  jq -e "$1" "$tmp/json" >/dev/null || fail "not $1: $(cat "$tmp/json")"
}

# In other cases nullblk-serve does hold replies back.
start_serve 1M
expect '.server.holds_replies and .server.defers_replies'
stop_server

# A write log on a slow disk.  In the first case the device has no latencies; in
# the second it has, and is served by threads.
for parameter in discard=true latency=1us; do
  LD_PRELOAD=$slow_disk NULLBLK_SLOW_DISK=$tmp/slow \
    start_serve 1M memory-backed=true write-log="$tmp/log" "$parameter"
  batches "$server_pid" || fail "it does not batch"
  expect '.server.holds_replies or .server.defers_replies | not'
  : >"$tmp/slow"
  "$unseen" disk "$tmp/sock" "$tmp/slow" ||
    fail "a reply waits for the disk ($parameter)"
  stop_server
done

# A filter that delays requests.
for name in pause log; do
  requires_filter "$name"
done
start_serve --filter=pause --filter=log 1M \
  pause-control="$tmp/control" logfile="$tmp/requests"
"$unseen" pause "$tmp/sock" "$tmp/control" "$tmp/requests" ||
  fail "replies wait for the filter"
expect '.server.holds_replies or .server.defers_replies | not'
stop_server
