#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# f2fs on the zones of a server of this host, and of another one; f2fs wants
# some conventional zones.  Debian's cloud kernels do not have f2fs, so this
# boots the kernel for all machines.

# shellcheck source=ublk.sh source-path=SCRIPTDIR
source "${0%/*}/ublk.sh"
if on_host; then
  requires mkfs.f2fs fsck.f2fs ip
  NULLBLK_KERNEL=${NULLBLK_KERNEL-full} boot_to_ublk
  exit
fi

modprobe crc32_generic 2>/dev/null || true
modprobe f2fs || skip "this kernel has no f2fs"
zones=(1G zone-size=4M zone-nr-conv=32)
filesystem_lives f2fs local "${zones[@]}"
make_hosts
filesystem_lives f2fs remote "${zones[@]}"
! dmesg | grep -i 'f2fs.*error\|I/O error' || fail "the kernel complains"
