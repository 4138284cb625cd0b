#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What nullblk@.service runs, with the example of a configuration, serves the
# device on the socket where nullblk-attach@.service looks for it, and has the
# pid where systemd looks for it.

# shellcheck source=systemd.sh source-path=SCRIPTDIR
source "${0%/*}/systemd.sh"
requires nbdinfo

unit=nullblk@.service
read_environment "$unit"
read_conf "$examples/nullblk.conf"
read_command "$unit" ExecStart
mkdir -p "$run/$(values "$unit" RuntimeDirectory | specifiers)"

stop_daemon ()
{
  [ ! -s "$pidfile" ] || end_process "$(cat "$pidfile")"
}
pidfile=$(values "$unit" PIDFile | specifiers)
at_exit+=(stop_daemon)

# It goes into the background once it listens, so only the pid is waited for.
"${command[@]}" || fail "${command[*]} failed"
wait_until 60 test -s "$pidfile" || fail "no $pidfile"

# The default path, at which nullblk-attach@.service looks.
uri="nbd+unix:///?socket=$run/nullblk-server/ram/socket"
[ "$(nbdinfo --size "$uri")" = 8589934592 ] || fail "the size is wrong"
if [ -e "$units/nullblk-attach@.service" ]; then
  URI=
  read_environment nullblk-attach@.service
  [ "$URI" = "$uri" ] || fail "attached would be $URI, not $uri"
fi
listen=$(values nullblk@.socket ListenStream | specifiers)
[ "$uri" = "nbd+unix:///?socket=$listen" ] || fail "the socket is $listen"

end_process "$(cat "$pidfile")" || fail "the server had to be killed"
rm -f "$pidfile"
