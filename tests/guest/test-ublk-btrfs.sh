#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# btrfs on the zones of a server of this host, and of another one: it is made,
# written, which it does by appends, mounted anew, compared, rebalanced and
# checked.  All that it has appended and written has reached the server.

# shellcheck source=ublk.sh source-path=SCRIPTDIR
source "${0%/*}/ublk.sh"
if on_host; then
  requires mkfs.btrfs btrfs ip
  boot_to_ublk
  exit
fi

# stat_of METRIC: print a number that the server has counted.
stat_of ()
{
  "${ublk_host[@]}" /nullblkctl --prometheus stats "$uri" |
    sed -n "s/^nullblk_$1{[^}]*op=\"write\"} //p"
}

# btrfs_lives WHERE
btrfs_lives ()
{
  local i pids=() bytes

  serve "$1" 1G memory-backed=true zoned=true zone-size=16M
  attach_ublk "$uri"
  count_requests
  make_filesystem btrfs "$disk"
  try mount -t btrfs "$disk" /mnt
  try dd if=/dev/urandom of="$tmp/content" bs=1M count=24
  cp "$tmp/content" /mnt/a
  cp -r /usr/sbin /mnt/sbin
  sync
  for ((i = 0; i < 4; i++)); do
    cp "$tmp/content" "/mnt/b$i" &
    pids+=($!)
  done
  wait "${pids[@]}"
  # Data of a file that is removed before it is written never gets there.
  sync
  rm /mnt/b1
  try umount /mnt
  try btrfs check "$disk"

  # All data, and much of the metadata, has been appended.
  count_no_more
  echo "$1: $(appends hitcount) appends with $(appends nr_sector) sectors," \
    "$(requests hitcount W) writes with $(requests nr_sector W)"
  [ "$(appends nr_sector)" -ge $((5 * 24 * 2048)) ] ||
    fail "$1: data has not been appended"
  bytes=$((512 * ($(appends nr_sector) + $(requests nr_sector W))))
  [ "$(stat_of bytes_total)" = $bytes ] ||
    fail "$1: the kernel has written $bytes, the server" \
      "$(stat_of bytes_total)"

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
  leave_server
  leaves_nothing "btrfs, $1"
  works btrfs "$1"
}

load_btrfs || skip "this kernel has no btrfs"
btrfs_lives local
make_hosts
btrfs_lives remote
! dmesg | grep -i 'btrfs.*error\|I/O error' || fail "the kernel complains"
