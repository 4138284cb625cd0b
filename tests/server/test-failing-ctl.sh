#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblkctl, with each of its calls failing once.

most_seconds=900
# shellcheck source=failing.sh source-path=SCRIPTDIR
source "${0%/*}/failing.sh"
ctl=$top_builddir/tools/nullblkctl
[ -x "$ctl" ] || skip "nullblkctl is not built"

requires nbdcopy qemu-io
start_server size=1M memory-backed=true zoned=true zone-size=64K seed=1 \
  cache-size=64K badblocks=+2000-2001 'fault=name=a op=read error=EIO' \
  write-log="$tmp/log"

# Commands that print something.
each_call_fails "$ctl" list "$sock"
each_call_fails "$ctl" get "$sock" size lanes
each_call_fails "$ctl" --json get "$sock" size lanes
each_call_fails "$ctl" zones report "$sock"
each_call_fails "$ctl" --json zones report "$sock"
each_call_fails "$ctl" badblocks list "$sock"
each_call_fails "$ctl" fault list "$sock"
each_call_fails "$ctl" power status "$sock"

check ()
{
  grep -q '"write"' "$tmp/out"
}
each_call_fails "$ctl" --json stats "$sock"
check ()
{
  grep -q "^nullblk_" "$tmp/out"
}
each_call_fails "$ctl" --prometheus stats "$sock"
check ()
{
  [ "$(wc -l <"$tmp/out")" -ge 1 ]
}
each_call_fails "$ctl" --count 1 top "$sock"

# Commands that change something: the change is done, or the command fails.
# `state` is what the server has, by a program whose calls do not fail.
state ()
{
  "$ctl" get "$sock"
  "$ctl" power status "$sock" | sed "/^cuts/d"
  "$ctl" zones report --count 2 "$sock"
}
begin ()
{
  "$ctl" set "$sock" power=on lanes=1 badblocks=none fault-delete=all \
    'fault=name=a op=flush every=5 error=EIO'
  "$ctl" zones reset "$sock" 0
}
prepare ()
{
  begin
  state >"$tmp/before"
}
check ()
{
  state >"$tmp/after"
  [ -e "$tmp/changed" ] || cp "$tmp/after" "$tmp/changed"
  cmp "$tmp/after" "$tmp/changed" && ! cmp -s "$tmp/after" "$tmp/before"
}
check_failed ()
{
  state >"$tmp/after"
  cmp -s "$tmp/after" "$tmp/before" || cmp "$tmp/after" "$tmp/changed"
}
# changes WORD...: a command, before and after the socket
changes ()
{
  rm -f "$tmp/changed"
  each_call_fails "$ctl" "$@"
}
changes set "$sock" lanes=7
changes zones finish "$sock" 0
changes badblocks add "$sock" 8-9
changes fault add "$sock" 'op=write delay=1ms'
changes fault del "$sock" a
changes power cut "$sock"
prepare ()
{
  begin
  "$ctl" power cut "$sock"
  state >"$tmp/before"
}
changes power on "$sock"

# Entries of a log, and a file made of them, which is no longer than the data,
# also if a trim behind the data cannot punch a hole.
random_file "$tmp/data" "$(new_seed)" 65536
"$ctl" fault del --all "$sock"
"$ctl" zones reset "$sock" 0
nbdcopy --requests=1 "$tmp/data" "$uri"
"$ctl" zones reset "$sock" 3
check ()
{
  cmp "$tmp/out" "$tmp/expected"
}
prepare ()
{
  :
}
check_failed ()
{
  :
}
each_call_fails "$ctl" mark "$sock" here
stop_server
prepare ()
{
  rm -f "$tmp/file"
}
check ()
{
  cmp "$tmp/out" "$tmp/expected" && cmp "$tmp/file" "$tmp/data"
}
"$ctl" replay "$tmp/file" "$tmp/log" >"$tmp/out"
cmp "$tmp/file" "$tmp/data" || fail "this is no replay"
each_call_fails "$ctl" replay "$tmp/file" "$tmp/log"
start_server size=1M memory-backed=true write-log="$tmp/trims"
qemu-io -f raw -c 'discard 512k 64k' -c 'write 0 4k' "$uri" >"$tmp/out" ||
  fail "$(cat "$tmp/out")"
stop_server
check ()
{
  [ "$(stat -c %s "$tmp/file")" = 4096 ]
}
each_call_fails "$ctl" replay "$tmp/file" "$tmp/trims"
check ()
{
  cmp "$tmp/out" "$tmp/expected"
}
each_call_fails "$ctl" replay --list "$tmp/log"

# Into a server; and the name of a log that is no UTF-8.
prepare ()
{
  :
}
start_server size=1M memory-backed=true write-log="$tmp/"$'\xff'
each_call_fails "$ctl" replay "$uri" "$tmp/log"
nbdcopy "$uri" "$tmp/copy"
cmp -n 65536 "$tmp/copy" "$tmp/data" || fail "it has other data"
each_call_fails "$ctl" --json get "$sock" write-log
