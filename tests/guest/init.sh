#!/bin/bash
# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The guest's first process: mounts what programs need, runs the test that
# run-guest.sh has put into /tests/guest, prints the verdict that run-guest.sh
# looks for, and switches the guest off.  A complaint of the kernel counts as a
# failure of the test.

echo guest-boots
export PATH=/usr/sbin:/usr/bin HOME=/ TMPDIR=/tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
ip link set lo up
if modprobe virtio_net && [ -e /sys/class/net/eth0 ]; then
  ip link set eth0 up
  ip addr add 10.0.2.15/24 dev eth0
fi
modprobe virtio_blk

status=99
# shellcheck source=/dev/null
if . /tests/guest/environment; then
  bash "/tests/guest/$NULLBLK_GUEST" </dev/null
  status=$?
fi
if [ "$status" = 0 ] &&
   dmesg | grep -E 'BUG:|WARNING:|Oops|Call Trace|blocked for more than'; then
  echo "the kernel complains:"
  dmesg
  status=98
fi
echo "guest-verdict $status"
sync
poweroff -f
