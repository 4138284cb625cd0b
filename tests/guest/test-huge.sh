#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Filesystems with journals on devices that are far larger than memory.  Linux
# zeroes a journal with NO_HOLE, a gigabyte and more of it: so an empty
# filesystem must hold next to nothing, and leave room for data.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"

if on_host; then
  [ -x "$top_builddir/tools/nullblkctl" ] || skip "nullblkctl is not built"
  # shellcheck disable=SC2119
  boot_guest
  exit
fi

# held: bytes of memory that all devices of the server hold.
held ()
{
  /nullblkctl stats --json "$sock" |
    sed -n 's/.*"held": \([0-9]*\),.*/\1/p'
}

# empty_holds_little TYPE SIZE: after mkfs with its defaults.
empty_holds_little ()
{
  local bytes

  start_server "$2" memory-backed=true memory-limit=512M
  # shellcheck disable=SC2119
  attach
  make_filesystem "$1" $nbd
  bytes=$(held)
  echo "an empty $1 of $2 holds $bytes bytes"
  [ "$bytes" -le $((8 * 1048576)) ] || fail "that is too much"
  ! dmesg | grep 'Other side returned error' || fail "mkfs meets errors"
  fill_filesystem "$1" $nbd
  detach
  stop_server
}

empty_holds_little ext4 250G
empty_holds_little xfs 2T
