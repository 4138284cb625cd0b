#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What nullblk@.socket starts for its first client, with the example of a
# configuration, serves on the socket that it is handed, even where LISTEN is
# set.

# shellcheck source=systemd.sh source-path=SCRIPTDIR
source "${0%/*}/systemd.sh"
requires systemd-socket-activate nbdinfo

unit=$(values nullblk@.socket Service)
[ "$unit" = nullblk-socket@%i.service ] || fail "it starts $unit"
# shellcheck disable=SC2034 # by a command that had it
LISTEN=--port=1
read_conf "$examples/nullblk.conf"
read_command nullblk-socket@.service ExecStart

sock=$(values nullblk@.socket ListenStream | specifiers)
mkdir -p "${sock%/*}"
systemd-socket-activate -l "$sock" "${command[@]}" 2>"$tmp/err" &
server_pid=$!
# Do not wait for the socket: for a moment it is there and refuses.
wait_until 60 grep -qs "^Listening on " "$tmp/err" ||
  fail "no socket: $(cat "$tmp/err")"
[ "$(nbdinfo --size "$(uri_of '')")" = 8589934592 ] || fail "the size is wrong"
stop_server
