#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# A mirror of btrfs (raid1) on two devices, one of which has bad blocks until
# they are written: a scrub mends the data of files, by writing the other copy
# there.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"

if on_host; then
  requires mkfs.btrfs btrfs
  boot_guest
  exit
fi

modprobe btrfs || skip "this kernel has no btrfs"
start_server 192M memory-backed=true devices=2 badblocks-mend=true
# shellcheck disable=SC2119
attach
second=/dev/nbd1
try nbd-client --unix "$sock" $second --name nullb1
leave_second ()
{
  nbd-client --disconnect "$second" >/dev/null
}
at_exit=(leave_second "${at_exit[@]}")

head -c 1048000 /dev/urandom >"$tmp/content"
try mkfs.btrfs -q -f -d raid1 -m raid1 $nbd $second
try btrfs device scan
try mount -t btrfs $nbd /mnt
cp "$tmp/content" /mnt/file
try umount /mnt

# The chunks in which the first device has the data of files are bad.
btrfs inspect-internal dump-tree -t chunk $nbd >"$tmp/chunks"
awk '$1 == "length" { ours = / DATA/; bytes = $2 }
  ours && /devid 1 / { print $6 / 512 "-" ($6 + bytes) / 512 - 1 }' \
  "$tmp/chunks" >"$tmp/bad"
mapfile -t bad <"$tmp/bad"
[ ${#bad[@]} != 0 ] || fail "no chunk of data: $(cat "$tmp/chunks")"
try /nullblkctl badblocks add "$sock" "${bad[@]}"
fails dd if=$nbd of=/dev/null bs=512 skip="${bad[0]%-*}" count=1 iflag=direct
echo 3 >/proc/sys/vm/drop_caches
try mount -t btrfs $nbd /mnt
try btrfs scrub start -B /mnt
try cmp "$tmp/content" /mnt/file
try umount /mnt

# The data is there now, without the second device.
leave_second
at_exit=("${at_exit[@]:1}")
echo 3 >/proc/sys/vm/drop_caches
try btrfs device scan --forget
try mount -t btrfs -o ro,degraded $nbd /mnt
try cmp "$tmp/content" /mnt/file
try umount /mnt
