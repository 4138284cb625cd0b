#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-ublk --persist of a device with zones, whose process is killed under
# writes, zone commands and appends, of one queue and of several.  Another
# process takes the device over, nothing is lost, written twice or refused, and
# users of the device only wait.

# shellcheck source=ublk.sh source-path=SCRIPTDIR
source "${0%/*}/ublk.sh"
if on_host; then
  requires mkfs.btrfs
  boot_to_ublk
  exit
fi

# use_zones: reset, write and read all zones.
use_zones ()
{
  blkzone reset "$disk" &&
    fio --name=job --filename="$disk" --ioengine=libaio --direct=1 --thread \
      --zonemode=zbd --numjobs=2 --offset_increment=32M --size=32M \
      --iodepth=16 --max_open_zones=4 --randseed="$seed" --bsrange=4k-64k \
      --rw=write --verify=crc32c --do_verify=1 --verify_fatal=1 \
      --verify_state_save=0 >"$tmp/load" 2>&1 &&
    ! grep -E 'verify:|err= *[1-9]' "$tmp/load"
}

# command_zones: open, write, close, finish and reset each of 16 zones behind
# these.
command_zones ()
{
  local i at

  for ((i = 0; i < 16; i++)); do
    at=$(((64 + 4 * i) * 1048576))
    blkzone open -o $((at / 512)) -c 1 "$disk" &&
      dd if=/dev/zero of="$disk" bs=64k count=2 seek=$at \
        oflag=direct,seek_bytes conv=notrunc 2>"$tmp/dd" &&
      blkzone close -o $((at / 512)) -c 1 "$disk" &&
      blkzone finish -o $((at / 512)) -c 1 "$disk" &&
      blkzone reset -o $((at / 512)) -c 1 "$disk" || return
  done
}

# replace_often
replace_often ()
{
  local i

  for ((i = 0; i < 5; i++)); do
    replace_bridge
    io_goes_on
  done
}

# What waits for its turn is not answered one after another, with the latter.
for early in zone-reorder-wait=0 zone-reorder-wait=10s; do
  for queues in 1 2; do
    start_server 128M memory-backed=true zoned=true zone-size=4M \
      zone-max-open=12 "$early"
    attach_ublk --persist -q $queues "$uri"
    start_load use_zones
    replace_often
    stop_load
    start_load command_zones
    replace_often
    stop_load

    # Process and supervisor are killed, and another nullblk-ublk takes it over.
    cookie=$(ls /run/nullblk-ublk)
    start_load use_zones
    kill_for_good
    same=$disk
    attach_ublk --persist --cookie "$cookie" "$uri"
    [ "$disk" = "$same" ] || fail "$same is $disk now"
    stop_load
    detach_ublk
    leave_server
    leaves_nothing "$early, $queues queues"
  done
done

# Or the device is attached once more.
start_server 128M memory-backed=true zoned=true zone-size=4M zone-max-open=12
disk=$(/nullblk-attach --persist "$uri") || fail "it is not attached"
start_load use_zones
kill_for_good
/nullblk-attach --list | grep '(dead)' >/dev/null || fail "it is not dead"
same=$disk
disk=$(/nullblk-attach "$uri") || fail "it is not attached again"
[ "$disk" = "$same" ] || fail "$same is $disk now"
stop_load
try /nullblk-attach --detach "$disk"
leave_server
leaves_nothing "attached again"

# Appends: files that are written are there.
load_btrfs || skip "this kernel has no btrfs"
try dd if=/dev/urandom of="$tmp/content" bs=1M count=4
write_files ()
{
  local i

  for ((i = 0; i < 4; i++)); do
    rm -f "/mnt/file-$i"
    cp "$tmp/content" "/mnt/file-$i" && sync -f /mnt &&
      cmp "$tmp/content" "/mnt/file-$i" || return
  done
}
for early in zone-reorder-wait=0 zone-reorder-wait=10s; do
  for queues in 1 2; do
    start_server 512M memory-backed=true zoned=true zone-size=4M "$early"
    attach_ublk --persist -q $queues "$uri"
    make_filesystem btrfs "$disk"
    try mount -t btrfs "$disk" /mnt
    start_load write_files
    replace_often
    stop_load
    echo 3 >/proc/sys/vm/drop_caches
    for i in 0 1 2 3; do
      try cmp "$tmp/content" "/mnt/file-$i"
    done
    try btrfs scrub start -B /mnt
    try umount /mnt
    try btrfs check "$disk"
    detach_ublk
    leave_server
    leaves_nothing "btrfs, $early, $queues queues"
  done
done
! dmesg | grep -i 'btrfs.*error\|I/O error' || fail "the kernel complains"
