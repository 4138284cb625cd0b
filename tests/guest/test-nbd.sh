#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The kernel's nbd driver attaches an export over a Unix socket, with one
# connection and with four; its queue shows what the export advertises, and
# keeps fio's data at depth 32.  Read-only exports cannot be written, and
# devices with blocks of 4096 bytes take no smaller ones.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
if on_host; then
  # shellcheck disable=SC2119
  boot_guest
  exit
fi

# shows_queue BLOCK-SIZE
shows_queue ()
{
  shows "$queue/write_cache" "write back"
  shows "$queue/fua" 1
  shows "$queue/logical_block_size" "$1"
  shows "$queue/rotational" 0
  shows "$queue/discard_granularity" "$1"
  [ "$(cat "$queue/discard_max_bytes")" -gt 0 ] || fail "no discard"
  [ "$(cat "$queue/write_zeroes_max_bytes")" -gt 0 ] || fail "no write zeroes"
}

start_server 16M memory-backed=true
for connections in 1 4; do
  attach --connections "$connections"
  shows /sys/block/nbd0/size 32768
  shows /sys/block/nbd0/ro 0
  shows_queue 512
  has_connections "$connections" || fail "$(connections) connections"
  verify --rw=randwrite --bs=4k
  verify --rw=randrw --bsrange=512-64k --size=2M
  # The device has what the server has.
  dd if=$nbd of="$tmp/device" bs=1M iflag=direct status=none
  detach
  nbdinfo --size "$uri" | grep -x "$(stat -c %s "$tmp/device")" >/dev/null ||
    fail "the sizes differ"
  attach --connections "$connections"
  try cmp "$tmp/device" "$nbd"
  rm "$tmp/device"
  detach
done
stop_server

# Blocks of 4096 bytes: nbd-client must be told their size, too.
start_server 16M memory-backed=true block-size=4096
attach --block-size 4096 --connections 4
shows_queue 4096
shows "$queue/physical_block_size" 4096
verify --rw=randwrite --bs=4k
fails dd if=$nbd of=/dev/null bs=512 count=1 iflag=direct
detach
# With a smaller size the device is there, and refuses what is not whole blocks.
attach
try dd if=$nbd of=/dev/null bs=4096 count=1 iflag=direct
fails dd if=$nbd of=/dev/null bs=512 count=1 iflag=direct
detach
stop_server

# The device lacks what the server does not offer.
start_server 16M memory-backed=true discard=false rotational=true
attach
shows "$queue/discard_max_bytes" 0
shows "$queue/rotational" 1
fails blkdiscard "$nbd"
detach
stop_server

# A read-only device can be read, and not written.
start_server 16M memory-backed=true read-only=true
attach
shows /sys/block/nbd0/ro 1
fails dd if=/dev/zero of=$nbd bs=4096 count=1 oflag=direct conv=notrunc
fails blkdiscard "$nbd"
fails blkdiscard -z "$nbd"
fails mkfs.ext4 -q -F "$nbd"
try cmp -n 16777216 "$nbd" /dev/zero
detach
stop_server

# A request of the last block and one more fails.
start_server 16M memory-backed=true
attach
try dd if=/dev/zero of=$nbd bs=512 seek=32767 count=1 oflag=direct
fails dd if=/dev/zero of=$nbd bs=512 seek=32768 count=1 oflag=direct
detach
stop_server

# Null mode, of the size that null_blk has.
start_server
attach
shows /sys/block/nbd0/size $((250 * 1024 * 1024 * 2))
try dd if=/dev/urandom of=$nbd bs=1M count=2 oflag=direct
try cmp -n 2097152 "$nbd" /dev/zero
detach
stop_server
