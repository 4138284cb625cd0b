#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Under the filter blocksize, which reads and writes back whole blocks, a
# command to one zone leaves all others as they are.

# shellcheck source=ctl.sh source-path=SCRIPTDIR
source "${0%/*}/ctl.sh"
requires jq qemu-io
requires_filter blocksize

start_server --filter=blocksize 64M memory-backed=true zoned=true \
  zone-size=1M zone-full=true zone-readonly=5 zone-offline=6 minblock=4096

# are CONDITIONS: the first zones have to be in these.
are ()
{
  local is

  is=$("$ctl" zones report --json --count 8 "$sock" |
         jq -r 'map(.cond) | join(" ")')
  [ "$is" = "$1" ] || fail "zones are $is, not $1"
}

are 'fu fu fu fu fu ro ol fu'
says 0 '' zones reset "$sock" 20
are 'fu fu fu fu fu ro ol fu'
prints '.*, em, .*' zones report --from 20 --count 1 "$sock"

# Zones that take no command are not in the way.
says 0 '' zones reset "$sock" 0
io 'write 0 4K'
says 0 '' zones reset "$sock" 2
says 0 '' zones open "$sock" 2
are 'oi fu oe fu fu ro ol fu'
stop_server
