#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The health check of the container's image tells whether there is a server, and
# leaves nothing in the server's log.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
healthy ()
{
  bash "$top_srcdir/packaging/container/nullblk-healthy" "$port" 60 2>"$tmp/said"
}

start_tcp_server 1M 2>"$tmp/log"
for check in 1 2 3; do
  healthy || fail "check $check: the server is ill: $(cat "$tmp/said")"
done
stop_server
[ ! -s "$tmp/log" ] || fail "the server's log: $(cat "$tmp/log")"
! healthy || fail "a server that has ended is healthy"
