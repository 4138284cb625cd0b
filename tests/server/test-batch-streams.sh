#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Whatever a client sends, a server that batches answers the same bytes as one
# that does not, and holds the same data afterwards.  NULLBLK_STREAMS says how
# many streams are tried.

# shellcheck source=serve.sh source-path=SCRIPTDIR
source "${0%/*}/serve.sh"
requires nbdcopy cmp

count=${NULLBLK_STREAMS:-1500}

pids=()
# begin NAME ARGUMENT...: start a server of that name.
begin ()
{
  "$serve" -f -U "$tmp/$1" -P "$tmp/$1.pid" 4M "${@:2}" 2>"$tmp/$1.log" &
  pids+=($!)
  server_pid=$!
  wait_until 60 test -s "$tmp/$1.pid" || fail "$1 does not listen"
}
end_servers ()
{
  local pid

  server_pid=
  for pid in "${pids[@]}"; do
    end_process "$pid" || fail "a server had to be killed"
  done
}
at_exit+=(end_servers)

# compare COUNT ARGUMENT...: compare two such servers by so many streams.
compare ()
{
  local pid

  rm -f "$tmp"/*.pid "$tmp/plain" "$tmp/batched"
  NULLBLK_BATCH=0 begin plain "${@:2}"
  begin batched "${@:2}"
  batches "${pids[1]}" || fail "it does not batch"
  ! batches "${pids[0]}" || fail "it batches"

  "$top_builddir/tests/server/compare-streams" "$tmp/plain" "$tmp/batched" "$1" ||
    fail "with ${*:2}"

  for name in plain batched; do
    nbdcopy "nbd+unix:///?socket=$tmp/$name" "$tmp/$name.data"
  done
  cmp "$tmp/plain.data" "$tmp/batched.data" || fail "they hold other data"
  end_servers
  for pid in "${pids[@]}"; do
    wait "$pid" || fail "a server ended with status $?"
  done
  pids=()
}

compare "$count" memory-backed=true
[ "$(tr -d '\0' <"$tmp/plain.data" | wc -c)" -gt 10000 ] ||
  fail "hardly anything was written"

# Answers that are all zero are not filled in each time, unless a filter puts
# data into them.
compare "$count"
compare "$count" --filter=cow control=off
[ "$(tr -d '\0' <"$tmp/plain.data" | wc -c)" -gt 10000 ] ||
  fail "hardly anything was written"
