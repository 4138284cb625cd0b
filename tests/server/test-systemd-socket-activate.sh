#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Socket activation as systemd does it: the server starts when the first client
# comes, and serves.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires systemd-socket-activate qemu-io

sock=$tmp/sock
uri=$(uri_of '')
# It passes on only the variables that it is told to: those of make check-batch.
systemd-socket-activate -l "$sock" -E NULLBLK_BATCH -E NULLBLK_NBDKIT \
  "$NBDKIT" -P "$tmp/pid" "$PLUGIN" 64M memory-backed=true 2>"$tmp/err" &
server_pid=$!
# Do not wait for the socket: for a moment it is there and refuses.
wait_until 60 grep -qs "^Listening on " "$tmp/err" ||
  fail "no socket: $(cat "$tmp/err")"
[ ! -e "$tmp/pid" ] || fail "the server is there before its first client"
io 'write -P 9 1M 1M' 'read -P 9 1M 1M' 'read -P 0 0 1M'
# It is the same process.
[ "$(cat "$tmp/pid")" = "$server_pid" ] || fail "another process serves"
io 'read -P 9 1M 1M'
stop_server
