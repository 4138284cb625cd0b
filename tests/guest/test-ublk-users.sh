#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-ublk does not detach a device that is in use, in whatever way: by a
# mapping, a thread's own files, a loop device, swap or a driver, and the same
# of a partition.  It detaches the device when nobody uses it any more.  It also
# tells of a driver that is missing.  nullblk-measure does not measure a device
# that is held exclusively.

# shellcheck source=ublk.sh source-path=SCRIPTDIR
source "${0%/*}/ublk.sh"
if on_host; then
  requires dmsetup
  boot_to_ublk
  exit
fi

modprobe loop
modprobe dm_mod
start_server 64M memory-backed=true

# Each user has a device of its own, so that all are tried to detach at once.
ways=(map thread loop swap driver partition mounted-partition holder-of-partition)
declare -A disks users
for way in "${ways[@]}"; do
  attach_ublk -q 1 -d 16 "$uri"
  disks[$way]=$disk
done

# partition_of DEVICE: make one, and print it.
partition_of ()
{
  local part=${1}p1

  echo 2048,65536 | sfdisk -q "$1" >"$tmp/sfdisk" 2>&1 ||
    fail "sfdisk: $(cat "$tmp/sfdisk")"
  blockdev --rereadpt "$1"
  wait_until 60 test -b "$part" || fail "there is no $part"
  echo "$part"
}

# start_user WAY DEVICE: start something that uses it.
start_user ()
{
  /user "$1" "$2" >"$tmp/used-$1" &
  users[$1]=$!
  wait_until 60 grep -qx used "$tmp/used-$1" || fail "$1: it does not use $2"
}

begin_use ()
{
  local device=${disks[$1]} part

  case $1 in
    map | thread) start_user "$1" "$device" ;;
    loop) try losetup /dev/loop0 "$device" ;;
    swap)
      try mkswap "$device"
      try swapon "$device"
      ;;
    driver)
      try dmsetup create over --table "0 2048 linear $device 0"
      ;;
    partition)
      part=$(partition_of "$device")
      exec 5<"$part"
      ;;
    mounted-partition)
      part=$(partition_of "$device")
      try mkfs.ext4 -q -F "$part"
      try mount -t ext4 "$part" /mnt
      ;;
    holder-of-partition)
      part=$(partition_of "$device")
      try dmsetup create over-part --table "0 2048 linear $part 0"
      ;;
  esac
}

end_use ()
{
  case $1 in
    map | thread)
      kill "${users[$1]}"
      wait "${users[$1]}" || true
      ;;
    loop) try losetup -d /dev/loop0 ;;
    swap) try swapoff "${disks[swap]}" ;;
    driver) try dmsetup remove over ;;
    partition) exec 5<&- ;;
    mounted-partition) try umount /mnt ;;
    holder-of-partition) try dmsetup remove over-part ;;
  esac
}

modprobe ext4
# All devices have the same data, so partitions are made first.
for way in partition mounted-partition holder-of-partition \
           map thread loop driver swap; do
  begin_use $way
done
pids=()
for way in "${ways[@]}"; do
  (refuses '*: it is in use*' --detach "${disks[$way]}") &
  pids+=($!)
done
for i in "${!ways[@]}"; do
  wait "${pids[i]}" || fail "${ways[i]}: it is not refused"
  [ -b "${disks[${ways[i]}]}" ] || fail "${ways[i]}: the device is gone"
done

# is_not_measured TARGET
is_not_measured ()
{
  ! /nullblk-measure --write "$1" >"$tmp/measure" 2>&1 ||
    fail "nullblk-measure writes to $1"
  [ "$(cat "$tmp/measure")" = "nullblk-measure: $1: it is in use (mounted, swap,\
 or a part of another device); allowed is what nobody uses" ] ||
    fail "$1: nullblk-measure says: $(cat "$tmp/measure")"
}
for way in loop driver swap mounted-partition holder-of-partition; do
  is_not_measured "${disks[$way]}"
done
is_not_measured "${disks[mounted-partition]}p1"
is_not_measured "${disks[holder-of-partition]}p1"
truncate -s 2M "$tmp/image"
try losetup /dev/loop1 "$tmp/image"
is_not_measured "$tmp/image"
try losetup -d /dev/loop1

# The devices still work, and can be detached when nobody uses them.
for way in swap driver loop thread map \
           holder-of-partition mounted-partition partition; do
  try dd if="${disks[$way]}" of=/dev/null bs=4k count=1 iflag=direct
  end_use $way
done
for way in "${ways[@]}"; do
  try "$ublk" --detach "${disks[$way]}"
done
leaves_nothing "users"

# Without the driver's module, which cannot be loaded.
modprobe -r ublk_drv
mkdir "$tmp/bin"
ln -s "$(command -v cat)" "$tmp/bin/cat"
PATH=$tmp/bin "$ublk" "$uri" >"$tmp/out" 2>"$tmp/err" &&
  fail "it attaches without a driver"
grep -q '^nullblk-ublk: this kernel has no ublk driver: .*Linux 6.6' \
  "$tmp/err" || fail "no module: it says: $(cat "$tmp/err")"
[ -z "$("$ublk" --list)" ] || fail "it lists something"
[ -z "$(ls /run/nullblk-ublk)" ] || fail "no module: left: a file"
# nullblk-ublk loads the module.
attach_ublk "$uri"
detach_ublk
