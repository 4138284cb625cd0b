#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# A server of nullblk-serve is nbdkit, however it is started: in the foreground,
# as a daemon, with --run, with -s, by socket activation.  It has the batch
# library, which nbdkit does not pass on to its children.

# shellcheck source=serve.sh source-path=SCRIPTDIR
source "${0%/*}/serve.sh"
requires cmp qemu-io

sock=$tmp/sock
uri=$(uri_of '')
try_io=('write -P 5 512M 8M' 'read -P 5 512M 8M' 'read -P 0 0 8M' flush)

# In the foreground: the process that was started, by that name; ended by a
# signal.
"$serve" -f -U "$sock" -P "$tmp/pid" 1G memory-backed=true &
server_pid=$!
wait_until 60 server_listens_or_ended || fail "it does not listen"
[ -s "$tmp/pid" ] || fail "it ended"
[ "$(cat "$tmp/pid")" = "$server_pid" ] || fail "another process serves"
[ "$(cat "/proc/$server_pid/comm")" = nbdkit ] || fail "it is not nbdkit"
batches "$server_pid" || fail "it does not batch"
io "${try_io[@]}"
stop_server

rm -f "$tmp/pid" "$sock"
NULLBLK_BATCH=0 "$serve" -f -U "$sock" -P "$tmp/pid" 1G memory-backed=true &
server_pid=$!
wait_until 60 server_listens_or_ended || fail "it does not listen"
[ -s "$tmp/pid" ] || fail "it ended"
! batches "$server_pid" || fail "it batches"
io "${try_io[@]}"
stop_server

# In the background.
rm -f "$tmp/pid" "$sock"
stop_daemon ()
{
  [ ! -s "$tmp/pid" ] || end_process "$(cat "$tmp/pid")"
}
at_exit+=(stop_daemon)
"$serve" -U "$sock" -P "$tmp/pid" 1G memory-backed=true latency=1us ||
  fail "no daemon"
wait_until 60 test -s "$tmp/pid" || fail "no pid"
pid=$(cat "$tmp/pid")
[ "$(readlink "/proc/$pid/cwd")" = / ] || fail "this is not a daemon"
batches "$pid" || fail "the daemon does not batch"
io "${try_io[@]}"
end_process "$pid" || fail "the daemon had to be killed"
rm "$tmp/pid"

# --run: its status, and what it sees.
status=0
# shellcheck disable=SC2016 # nbdkit's shell
LD_PRELOAD=libm.so.6 "$serve" -U - -P "$tmp/pid" 8M --run '
  export uri
  echo "preload=$LD_PRELOAD"
  qemu-io -f raw -c "read -P 0 1M 64K" "$uri"
  exit 42' >"$tmp/out" 2>&1 || status=$?
[ "$status" = 42 ] || fail "exit 42 became $status: $(cat "$tmp/out")"
grep -qx 'preload=libm.so.6' "$tmp/out" || fail "$(cat "$tmp/out")"
grep -q 'read 65536/65536' "$tmp/out" || fail "$(cat "$tmp/out")"
# shellcheck disable=SC2016
"$serve" -U - 8M --run 'env' >"$tmp/out"
! grep LD_PRELOAD "$tmp/out" || fail "something is preloaded"
rm -f "$tmp/pid"

# -s: the connection is not a socket that was accepted.
# A read of 512 bytes, and a disconnect; -o: the greeting asks for nothing.
printf '%b' '\x25\x60\x95\x13\0\0\0\0cookie01\0\0\0\0\0\0\0\0\0\0\02\0' \
  '\x25\x60\x95\x13\0\0\0\02cookie02\0\0\0\0\0\0\0\0\0\0\0\0' >"$tmp/in"
"$serve" -o -s 5M <"$tmp/in" >"$tmp/out" || fail "-s does not serve"
"$NBDKIT" -o -s "$PLUGIN" 5M <"$tmp/in" >"$tmp/expected"
cmp "$tmp/out" "$tmp/expected" || fail "-s answers something else"
[ "$(stat -c %s "$tmp/out")" = $((152 + 16 + 512)) ] || fail "-s: wrong size"

# Socket activation.
requires systemd-socket-activate
rm -f "$sock"
systemd-socket-activate -l "$sock" \
  -E NULLBLK_NBDKIT="$NULLBLK_NBDKIT" \
  "$serve" -P "$tmp/pid" 1G memory-backed=true 2>"$tmp/err" &
server_pid=$!
wait_until 60 grep -qs "^Listening on " "$tmp/err" ||
  fail "no socket: $(cat "$tmp/err")"
io "${try_io[@]}"
[ "$(cat "$tmp/pid")" = "$server_pid" ] || fail "another process serves"
batches "$server_pid" || fail "it does not batch"
stop_server
