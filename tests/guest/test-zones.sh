#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Zones under the kernel's driver, which knows nothing of them: a zone is filled
# at depth over two connections, whatever their order, and verified; what is not
# sequential fails; a discard of the zone resets it.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
if on_host; then
  # shellcheck disable=SC2119
  boot_guest
  exit
fi

# The wait is long, as the guest is slow.
start_server 16M memory-backed=true zoned=true zone-size=4M zone-nr-conv=1 \
  zone-reorder-wait=60s parallel=on
attach --connections 2
echo none >$queue/scheduler

# Zone 1, all of it.
verify --rw=write --bs=16k --offset=4M
fails dd if=/dev/zero of=$nbd bs=16k count=1 seek=4M oflag=direct,seek_bytes
grep -q 'Input/output error' "$tmp/fails" || fail "$(cat "$tmp/fails")"

# Not from the start, and no zone boundary is crossed.
try dd if=/dev/urandom of="$tmp/content" bs=64k count=1
try dd if="$tmp/content" of=$nbd bs=64k seek=8M oflag=direct,seek_bytes
fails dd if=/dev/zero of=$nbd bs=4k count=1 seek=8M oflag=direct,seek_bytes
try cmp -n 65536 -i 0:8388608 "$tmp/content" $nbd

# A part of a zone stays, a zone becomes empty, and can be filled again.
try blkdiscard -o 8M -l 64k $nbd
try cmp -n 65536 -i 0:8388608 "$tmp/content" $nbd
try blkdiscard -o 4M -l 4M $nbd
try cmp -n 4194304 -i 0:4194304 /dev/zero $nbd
verify --rw=write --bs=4k --offset=4M --size=1M
# A conventional zone takes anything.
verify --rw=randwrite --bs=4k --size=1M
detach
stop_server
