#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# btrfs on the zones of another program: it is made, written, which it does by
# appends, mounted anew, compared, rebalanced and checked.

# shellcheck source=ublk.sh source-path=SCRIPTDIR
source "${0%/*}/ublk.sh"
if on_host; then
  requires mkfs.btrfs btrfs
  boot_to_ublk
  exit
fi

modprobe btrfs || skip "this kernel has no btrfs"
start_server 1G memory-backed=true zoned=true zone-size=16M
attach_ublk "$uri"
try mkfs.btrfs -q -f -d single -m single "$disk"
try mount -t btrfs "$disk" /mnt
try dd if=/dev/urandom of="$tmp/content" bs=1M count=24
cp "$tmp/content" /mnt/a
cp -r /usr/sbin /mnt/sbin
sync
pids=()
for ((i = 0; i < 4; i++)); do
  cp "$tmp/content" "/mnt/b$i" &
  pids+=($!)
done
wait "${pids[@]}"
rm /mnt/b1
try umount /mnt
try btrfs check "$disk"

echo 3 >/proc/sys/vm/drop_caches
try mount -t btrfs "$disk" /mnt
try cmp "$tmp/content" /mnt/a
for i in 0 2 3; do
  try cmp "$tmp/content" "/mnt/b$i"
done
try diff -r /usr/sbin /mnt/sbin
try btrfs balance start -dusage=90 /mnt
try btrfs scrub start -B /mnt
try cmp "$tmp/content" /mnt/a
try umount /mnt
try btrfs check "$disk"
detach_ublk
leaves_nothing "btrfs"
! dmesg | grep -i 'btrfs.*error\|I/O error' || fail "the kernel complains"
