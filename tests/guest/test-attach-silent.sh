#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-attach and a server that takes connections but is silent, or never
# ends the handshake: other calls of nullblk-attach go on, and a signal, or a
# time limit, ends the waiting.

# shellcheck source=attach.sh source-path=SCRIPTDIR
source "${0%/*}/attach.sh"

if on_host; then
  boot_to_attach
  exit
fi

only_bad_is_left ()
{
  [ "$(ls /run/nullblk)" = bad ]
}

start_server 16M
# A server that is stopped takes connections, and says nothing.
try "$attach" --name good 1M
kill -STOP "$server_pid"
for signal in INT TERM HUP; do
  # In the background a shell ignores SIGINT.
  (
    trap - INT
    exec "$attach" --name bad "$uri"
  ) 2>"$tmp/err" &
  waiting=$!
  wait_until 30 grep -q SigCgt:.*5003 "/proc/$waiting/status" ||
    fail "it does not heed signals"
  try "$attach" --name other 1M
  try "$attach" --detach other
  try "$attach" --detach good
  kill -$signal "$waiting"
  status=0
  wait "$waiting" || status=$?
  [ "$status" = 1 ] || fail "SIG$signal: status $status"
  grep -q '^nullblk-attach: interrupted$' "$tmp/err" || fail "$(cat "$tmp/err")"
  leaves_nothing "SIG$signal"
  try "$attach" --name good 1M
done
# Without a signal nullblk-attach gives up after some time.
fails "$attach" "$uri"
grep -q 'the server does not answer' "$tmp/fails" || fail "$(cat "$tmp/fails")"
kill -CONT "$server_pid"

# So it does with a server that goes on sending what nobody knows: NBD_REP_INFO
# of an unknown type, again and again.
talk ()
{
  local reply='\x00\x03\xe8\x89\x04\x55\x65\xa9'

  reply+='\x00\x00\x00\x07\x00\x00\x00\x03\x00\x00\x00\x02\xff\xff'
  printf 'NBDMAGICIHAVEOPT\0\3'
  while printf %b "$reply"; do
    sleep 0.05
  done
}
talk 2>/dev/null | nc -l -p 10810 >/dev/null &
talker=$!
wait_until 60 grep -q ':2A3A .* 0A ' /proc/net/tcp /proc/net/tcp6 ||
  fail "nobody talks"
"$attach" --as=nbd nbd://127.0.0.1:10810 2>"$tmp/err" &
waiting=$!
wait_until 90 process_ended "$waiting" || fail "it listens for ever"
grep -q 'the server does not answer' "$tmp/err" || fail "$(cat "$tmp/err")"
wait_until 30 process_ended "$talker" || fail "it is still connected"

# --detach --all waits for the flush of a silent server's device, and detaches
# the other devices meanwhile.
disk=$("$attach" --name bad "$uri") || fail "it does not attach"
write_in_vain
"$attach" --detach --all 2>"$tmp/err" &
waiting=$!
wait_until 60 only_bad_is_left || fail "a silent server keeps: $(ls /run/nullblk)"
try "$attach" --name good 1M
try "$attach" --detach good
kill -0 "$waiting" || fail "it did not wait: $(cat "$tmp/err")"
kill -CONT "$server_pid"
wait "$waiting" || fail "$(cat "$tmp/err")"
wait "$writer" || fail "it could not be written"
leaves_nothing "a silent server"
stop_server
