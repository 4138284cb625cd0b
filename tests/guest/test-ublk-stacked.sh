#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Drivers of the kernel on top of devices with zones: dm-linear and dm-crypt
# show the zones, and fio's zoned mode and btrfs find their data there.  What
# the kernel refuses does no harm.

# shellcheck source=ublk.sh source-path=SCRIPTDIR
source "${0%/*}/ublk.sh"
if on_host; then
  requires dmsetup mkfs.btrfs
  boot_to_ublk
  exit
fi

modprobe dm_mod
zone=8192 # sectors of one
start_server 256M devices=2 memory-backed=true zoned=true zone-size=4M
attach_ublk "$(uri_of nullb0)"
first=$disk
attach_ublk "$(uri_of nullb1)"
second=$disk

# stack NAME TABLE: make a device-mapper device, and set $disk to it.
stack ()
{
  try dmsetup create --noudevsync "$1" --table "$2"
  disk=/dev/$(dmsetup info -c --noheadings -o blkdevname "$1")
  queue=/sys/block/${disk##*/}/queue
  wait_until 60 test -b "$disk" || fail "$1: there is no $disk"
}

unstack ()
{
  try dmsetup remove --noudevsync "$1"
}

# zones_work NAME ZONES
zones_work ()
{
  shows "$queue/zoned" host-managed
  shows "$queue/nr_zones" "$2"
  try blkzone reset "$disk"
  try fio --name=job --filename="$disk" --ioengine=libaio --direct=1 \
    --zonemode=zbd --iodepth=16 --thread --numjobs=2 --size=32M \
    --offset_increment=32M --bs=64k --rw=write --verify=crc32c --do_verify=1 \
    --verify_fatal=1 --verify_state_save=0 --max_open_zones=2
  try blkzone finish -o $((20 * zone)) -c 1 "$disk"
  try blkzone reset -o $zone -c 1 "$disk"
  blkzone report "$disk" >"$tmp/report"
  [ "$(sed -n 2p "$tmp/report" | grep -c '(em)')" = 1 ] ||
    fail "$1: zone 1: $(sed -n 2p "$tmp/report")"
  [ "$(sed -n 21p "$tmp/report" | grep -c '(fu)')" = 1 ] ||
    fail "$1: zone 20: $(sed -n 21p "$tmp/report")"
  [ "$(grep -c 'start:' "$tmp/report")" = "$2" ] || fail "$1: not $2 zones"
}

# dm-linear: all zones but the first four.
try dd if=/dev/urandom of="$tmp/content" bs=64k count=1
stack linear "0 $((60 * zone)) linear $first $((4 * zone))"
zones_work linear 60
try blkzone reset -o $((30 * zone)) -c 1 "$disk"
try dd if="$tmp/content" of="$disk" bs=64k seek=$((30 * 64)) count=1 \
  oflag=direct conv=notrunc
try cmp -n 65536 -i 0:$((34 << 22)) "$tmp/content" "$first"
refuses '*: it is in use*' --detach "$first"
unstack linear
works "dm-linear" local

# Two of them, one behind the other.
stack both "0 $((32 * zone)) linear $first 0
$((32 * zone)) $((64 * zone)) linear $second 0"
zones_work both 96
unstack both

# dm-crypt: what it writes is encrypted.
modprobe dm_crypt
modprobe xts
key=$(od -An -N 64 -tx1 /dev/urandom | tr -d ' \n')
crypt="0 $((64 * zone)) crypt aes-xts-plain64 $key 0 $first 0"
try blkzone reset "$first"
stack crypt "$crypt"
zones_work crypt 64
try blkzone reset "$disk"
try dd if="$tmp/content" of="$disk" bs=64k count=1 oflag=direct conv=notrunc
fails cmp -n 65536 "$tmp/content" "$first"
unstack crypt
stack crypt "$crypt"
try cmp -n 65536 "$tmp/content" "$disk"
works "dm-crypt" local
if load_btrfs; then
  filesystem btrfs "$disk"
  works "btrfs on dm-crypt" local
else
  leave_out "this kernel has no btrfs"
fi
unstack crypt

# What the kernel refuses.
# is_refused NAME TABLE
is_refused ()
{
  fails dmsetup create --noudevsync "$1" --table "$2"
  [ ! -e /sys/block/dm-0 ] || fail "$1: something is left"
  echo "refused: $1, Linux $(uname -r)"
}
modprobe dm_mirror
is_refused "dm-linear with half a zone" "0 $zone linear $first $((zone / 2))"
is_refused "dm-stripe" \
  "0 $((64 * zone)) striped 2 128 $first 0 $second 0"
is_refused "dm-mirror" \
  "0 $((64 * zone)) mirror core 1 1024 2 $first 0 $second 0"

# Show what md makes of them, without mdadm and superblocks.  Up to Linux 6.12
# md does not look whether its disks have zones.  md LEVEL: does the kernel make
# an array of both?
md ()
{
  local dir=/sys/block/md_over/md n=0 device

  modprobe "$1" 2>"$tmp/md" || return 1
  [ -e $dir ] || echo md_over >/sys/module/md_mod/parameters/new_array
  {
    echo none >$dir/metadata_version
    echo "$1" >$dir/level
    echo 2 >$dir/raid_disks
    [ "$1" = raid1 ] || echo 65536 >$dir/chunk_size
    for device in "$first" "$second"; do
      cat "/sys/block/${device##*/}/dev" >$dir/new_dev
      echo $n >"$dir/dev-${device##*/}/slot"
      n=$((n + 1))
    done
    echo $((64 * zone / 2)) >$dir/component_size
    echo active >$dir/array_state
  } 2>"$tmp/md"
}
if modprobe md_mod; then
  for level in raid0 raid1 linear; do
    if md $level; then
      echo "md $level: $(cat /sys/block/md_over/md/array_state)" \
        "$(cat /sys/block/md_over/queue/zoned) $(cat /sys/block/md_over/size)"
    else
      echo "md $level: $(cat "$tmp/md")"
    fi
    [ ! -e /sys/block/md_over ] ||
      echo clear >/sys/block/md_over/md/array_state || true
  done
fi

# No harm has been done.
for disk in "$first" "$second"; do
  try blkzone reset "$disk"
  try dd if="$tmp/content" of="$disk" bs=64k count=1 oflag=direct conv=notrunc
  try cmp -n 65536 "$tmp/content" "$disk"
done
try "$ublk" --detach --all
leaves_nothing "drivers"
