#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# xfs on the zones of a server of this host, and of another one; it wants some
# that are conventional, for all but the data of files.  That is new in Linux and
# in xfsprogs 6.15, which Debian 13 has not: see "Testing" in HACKING.md.

# shellcheck source=ublk.sh source-path=SCRIPTDIR
source "${0%/*}/ublk.sh"
if on_host; then
  requires ip
  NULLBLK_KERNEL=${NULLBLK_KERNEL-full} boot_to_ublk
  exit
fi

# is_new VERSION: 6.15 at least.
is_new ()
{
  [ "$(printf '%s\n' 6.15 "$1" | sort -V | sed -n 1p)" = 6.15 ]
}
is_new "$(uname -r)" || skip "Linux $(uname -r) has no zoned xfs"
mkfs.xfs -V >"$tmp/version" || skip "there is no mkfs.xfs"
is_new "$(awk '{ print $NF }' "$tmp/version")" ||
  skip "$(cat "$tmp/version") makes no zoned xfs"

zones=(2G zone-size=16M zone-nr-conv=32)
filesystem_lives xfs local "${zones[@]}"
make_hosts
filesystem_lives xfs remote "${zones[@]}"
! dmesg | grep -i 'xfs.*error\|corruption\|I/O error' ||
  fail "the kernel complains"
