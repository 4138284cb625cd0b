#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# A device with zones, and one without, are attached and detached 100 times.
# After each time there are exactly the processes, files, devices, threads and
# connections of before.  The kernel's own memory grows by less than if each
# device left some of its memory.

# shellcheck source=ublk.sh source-path=SCRIPTDIR
source "${0%/*}/ublk.sh"
if on_host; then
  boot_to_ublk
  exit
fi

# inventory: print all that a device could leave.
inventory ()
{
  local f name

  # By the shell alone, as to start a program takes long here.
  echo /sys/class/ublk-char/* /sys/class/bdi/* /sys/block/* /run/* \
    /run/nullblk-ublk/* /dev/* "/proc/$server_pid/fd"/*
  for f in /proc/[0-9]*/task/*/comm; do
    read -r name 2>/dev/null <"$f" || continue
    [[ $name == kworker* ]] || echo "$name"
  done
  echo "$(</proc/mounts)"
}

is_as_before ()
{
  inventory >"$tmp/now"
  cmp -s "$tmp/before" "$tmp/now"
}

# kernel_memory: print the KiB that the kernel cannot reclaim.
kernel_memory ()
{
  echo 3 >/proc/sys/vm/drop_caches
  awk '$1 == "SUnreclaim:" || $1 == "Percpu:" || $1 == "KernelStack:" ||
    $1 == "PageTables:" || $1 == "VmallocUsed:" { n += $2 }
    END { print n }' /proc/meminfo
}

start_server 64M memory-backed=true zoned=true zone-size=4M
try dd if=/dev/urandom of="$tmp/content" bs=64k count=1

# cycle NUMBER
cycle ()
{
  local zones=yes

  [ $(($1 % 2)) = 0 ] || zones=no
  attach_ublk --zones=$zones "$uri"
  [ "$disk" = /dev/ublkb0 ] || fail "cycle $1: it is $disk"
  if [ $zones = yes ]; then
    try blkzone reset "$disk"
    try dd if="$tmp/content" of="$disk" bs=64k count=1 oflag=direct
  fi
  try cmp -n 65536 "$tmp/content" "$disk"
  detach_ublk
  # The server needs some time to see that a client has left it, and the kernel
  # to end its threads.
  is_as_before || wait_until 60 is_as_before ||
    fail "cycle $1: $(diff "$tmp/before" "$tmp/now")"
}

# The first cycles make what stays, such as /run/nullblk-ublk and the kernel's
# caches.
attach_ublk "$uri"
detach_ublk
wait_until 60 has_connections 0 || fail "connections stay"
inventory >"$tmp/before"
for ((i = 0; i < 20; i++)); do
  cycle $i
done
held=$(kernel_memory)
for (( ; i < 100; i++)); do
  cycle $i
  ((i % 10)) || echo "cycle $i"
done
now=$(kernel_memory)
echo "the kernel holds $held KiB after 20 cycles, and $now KiB after 100"
# A device's tags alone have 100 KiB.
[ "$now" -lt $((held + 80 * 50)) ] ||
  fail "the kernel holds $((now - held)) KiB more after 80 cycles"
