#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Zones of this host, and of another one, are mounted: zonefs on both, and what
# nullblk-ublk(1) says of another machine, command by command, with btrfs.

# shellcheck source=ublk.sh source-path=SCRIPTDIR
source "${0%/*}/ublk.sh"
if on_host; then
  requires mkfs.btrfs ip
  boot_to_ublk
  exit
fi

# zone_pointers: print the server's write pointers, from the start of each zone.
zone_pointers ()
{
  local words

  "${ublk_host[@]}" /nullblkctl zones report "$uri" | tr -d , |
    while read -r -a words; do
      echo $((10#${words[10]} - 10#${words[4]}))
    done
}

# zonefs WHERE: a file is a zone, except for the first one.
zonefs ()
{
  local n sizes

  serve "$1" 64M memory-backed=true zoned=true zone-size=4M zone-capacity=3M
  attach_ublk "$uri"
  shows "$queue/nr_zones" 16
  make_zonefs "$disk"
  try mount -t zonefs -o errors=remount-ro "$disk" /mnt
  [ "$(find /mnt/seq -type f | wc -l)" = 15 ] || fail "$1: files: $(ls /mnt/seq)"
  try dd if=/dev/urandom of="$tmp/content" bs=64k count=48
  for n in 0 7 14; do
    try dd if="$tmp/content" of=/mnt/seq/$n bs=64k oflag=direct conv=notrunc
  done
  fails dd if="$tmp/content" of=/mnt/seq/7 bs=64k count=1 oflag=direct \
    conv=notrunc
  try truncate -s 0 /mnt/seq/7
  try dd if="$tmp/content" of=/mnt/seq/7 bs=64k count=5 oflag=direct \
    conv=notrunc
  try umount /mnt

  # Attached anew, the device has what the server has.
  detach_ublk
  attach_ublk "$uri"
  try mount -t zonefs "$disk" /mnt
  try cmp "$tmp/content" /mnt/seq/0
  try cmp "$tmp/content" /mnt/seq/14
  try cmp -n $((5 * 65536)) "$tmp/content" /mnt/seq/7
  sizes=$(for ((n = 0; n < 15; n++)); do stat -c %s /mnt/seq/$n; done)
  zone_pointers >"$tmp/pointers"
  # The write pointer of a full zone is at its end.
  sed 1d "$tmp/pointers" | sed 's/^4194304$/3145728/' >"$tmp/those"
  diff "$tmp/those" - <<<"$sizes" ||
    fail "$1: sizes are other than write pointers"
  try umount /mnt
  detach_ublk
  leave_server
  leaves_nothing "zonefs, $1"
  works zonefs "$1"
}

modprobe zonefs
load_btrfs
zonefs local
make_hosts
zonefs remote

# on HOST COMMAND...: print the command, and run it there.
on ()
{
  echo "$1# ${*:2}"
  nsenter --net="/run/netns/$1" "${@:2}" 2>&1 || fail "on $1: ${*:2}"
}

# The manual's example.
export PATH=/:$PATH NULLBLK_PLUGIN=$PLUGIN
rm "$tmp/pid"
echo 'server# nullblk-serve 1G memory-backed=true zoned=true zone-size=16M control=any'
"${on_server[@]}" nullblk-serve -f -P "$tmp/pid" 1G memory-backed=true \
  zoned=true zone-size=16M control=any &
server_pid=$!
wait_until 60 test -s "$tmp/pid" || fail "nullblk-serve does not listen"
on client nullblk-ublk nbd://10.77.1.1/nullb0 | tee "$tmp/out"
disk=$(tail -n 1 "$tmp/out")
on client nullblk-ublk --list
on client blkzone report -c 3 "$disk"
on client mkfs.btrfs -m single -d single "$disk"
on client mount "$disk" /mnt
cp "$tmp/content" /mnt/file
on client df -h /mnt
on client umount /mnt
on client mount "$disk" /mnt
on client cmp "$tmp/content" /mnt/file
on client umount /mnt
on client nullblk-ublk --detach "$disk"
stop_server
leaves_nothing "the manual's example"
works btrfs remote
