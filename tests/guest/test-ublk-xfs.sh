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

has_zoned_xfs ||
  skip "Linux $(uname -r) or $(mkfs.xfs -V) has no zoned xfs"

zones=(2G zone-size=16M zone-nr-conv=32)
filesystem_lives xfs local "${zones[@]}"
make_hosts
filesystem_lives xfs remote "${zones[@]}"
! dmesg | grep -i 'xfs.*error\|corruption\|I/O error' ||
  fail "the kernel complains"
