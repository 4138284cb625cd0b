#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-attach of an export that is attached already: it prints the device
# that the export has, also if several run at the same time; it reconnects dead
# connections; and it refuses an export that has changed.

# shellcheck source=attach.sh source-path=SCRIPTDIR
source "${0%/*}/attach.sh"

if on_host; then
  boot_to_attach
  exit
fi

# attached_as NAME...: fail the test unless exactly these are attached.
attached_as ()
{
  local is

  is=$(cd /run/nullblk && echo *)
  [ "$is" = "$*" ] || fail "'$is' is attached, not '$*'"
}

refused ()
{
  fails "$attach" "${@:2}"
  [ "$(wc -l <"$tmp/fails")" = 1 ] || fail "not a line: $(cat "$tmp/fails")"
  grep -q "^nullblk-attach: .*$1" "$tmp/fails" || fail "$(cat "$tmp/fails")"
}

serve ()
{
  rm -f "$tmp/pid" "$tmp/sock"
  start_server memory-backed=true "$@"
}

# The same export again.
serve 16M devices=2
made /dev/nbd0 -C 2 "$uri"
try dd if=/dev/urandom of="$tmp/content" bs=1M count=1
try dd if="$tmp/content" of=/dev/nbd0 bs=64K oflag=direct
for again in "$uri" "nbd+unix:///?socket=${sock/\/tmp/%2ftmp}"; do
  made /dev/nbd0 -C 1 "$again"
  attached_as nbd0
  wait_until 60 has_connections 2 || fail "$(connections) connections"
done
try cmp -n 1048576 "$tmp/content" /dev/nbd0
# Another export, or another name, makes another device.
made /dev/nbd1 "$(uri_of nullb1)"
made /dev/nbd2 --name other "$uri"
made /dev/nbd2 --name other "$uri"
attached_as nbd0 nbd1 other
refused 'is taken' --name nbd1 "$uri"
try "$attach" --detach nbd0
made /dev/nbd2 "$uri"
try "$attach" --detach --all
leaves_nothing "again"

# Several at the same time make one device.
for _ in 1 2 3; do
  all=()
  for n in 1 2 3 4; do
    "$attach" -C 1 "$uri" >"$tmp/out.$n" 2>"$tmp/err.$n" &
    all+=($!)
  done
  for n in 1 2 3 4; do
    wait "${all[n - 1]}" || fail "$n: $(cat "$tmp/err.$n")"
    [ "$(cat "$tmp/out.$n")" = /dev/nbd0 ] || fail "$n: $(cat "$tmp"/out.*)"
  done
  attached_as nbd0
  [ ! -e /sys/block/nbd1/pid ] || fail "there are two"
  try "$attach" --detach nbd0
done
leaves_nothing "at the same time"

# The server dies, and another one takes its place: the same device works again.
made /dev/nbd0 -C 2 "$uri"
kill_server
fails reads_disk
refused 'socket' "$uri"
serve 16M devices=2
made /dev/nbd0 -C 2 "$uri"
reads_disk || fail "it does not work again: $(cat "$tmp/dd")"
attached_as nbd0
wait_until 60 has_connections 2 || fail "$(connections) connections"
# But not if that has another export.
kill_server
serve 8M
refused 'has changed since then; --detach nbd0 first' "$uri"
kill_server
serve 16M read-only=true
refused 'has changed since then' "$uri"
attached_as nbd0
try "$attach" --detach nbd0
leaves_nothing "another export"
stop_server

# By TCP, and with --persist.
start_tcp_server 16M memory-backed=true
made /dev/nbd0 --persist -C 2 "$uri"
made /dev/nbd0 --persist "$uri/"
attached_as nbd0
try "$attach" --detach nbd0
made /dev/nbd0 "$uri"
refused 'without --persist' --persist "$uri"
# The device is being detached, which a process keeps from ending.
exec 7</dev/nbd0
"$attach" --detach nbd0 2>"$tmp/err" 7<&- &
waiting=$!
wait_until 60 has_connections 0 || fail "it does not detach"
refused 'another nullblk-attach is at work' "$uri"
exec 7<&-
wait "$waiting" || fail "$(cat "$tmp/err")"
leaves_nothing "TCP"
stop_server
