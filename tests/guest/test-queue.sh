#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# A busy device keeps its data, whatever is done to it: discards of many sizes
# beside I/O, a flush after each write, another scheduler and queue depth, CPUs
# that come and go, polling, partitions, and attaching over and over.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
if on_host; then
  # shellcheck disable=SC2119
  boot_guest
  exit
fi

start_server 64M memory-backed=true
attach --connections 4

# Data in the first 32 MiB, while all sizes of discards go over the others.
start_load verify --rw=randrw --bsrange=4k-64k --size=2M
for size in 512 4k 12k 128k 1m 4m; do
  try fio --name=trim --filename=$nbd --ioengine=sync --direct=1 --thread \
    --rw=randtrim --bs="$size" --offset=32M --size=32M --number_ios=20 \
    --randseed="$seed"
done
# If both use the same blocks, nobody knows what a read gives; but nothing
# fails.
try fio --name=trim --filename=$nbd --direct=1 --thread --offset=32M \
  --size=2M --ioengine=libaio --iodepth=8 --randseed="$seed" \
  --bs=4k --number_ios=300 --rw=randtrim \
  --name=write --filename=$nbd --direct=1 --thread --offset=32M \
  --size=2M --ioengine=libaio --iodepth=8 --rw=randrw --bs=4k --number_ios=300
stop_load

# Flushes.
verify --rw=randwrite --bs=4k --fsync=1 --size=1M
verify --rw=randwrite --bs=4k --sync=1 --size=512k --iodepth=1 --ioengine=sync

# Schedulers and depths.
start_load verify --rw=randrw --bs=4k --size=2M
schedulers=$(tr -d '[]' <$queue/scheduler)
case $schedulers in
  *' '*) ;;
  *) fail "there is no scheduler to change to: $schedulers" ;;
esac
for round in 1 2; do
  for scheduler in $schedulers; do
    echo "$scheduler" >$queue/scheduler
    grep -qF "[$scheduler]" $queue/scheduler || fail "no $scheduler"
    echo $((16 << round)) >$queue/nr_requests
    io_goes_on
  done
done
stop_load

# CPUs.
start_load verify --rw=randrw --bs=4k --size=2M
for round in 1 2 3; do
  echo 0 >/sys/devices/system/cpu/cpu1/online
  shows /sys/devices/system/cpu/online 0
  io_goes_on
  echo 1 >/sys/devices/system/cpu/cpu1/online
  shows /sys/devices/system/cpu/online 0-1
  io_goes_on
done
stop_load

# Polling, which the driver does not have.
try fio --name=poll --filename=$nbd --ioengine=pvsync2 --hipri --direct=1 \
  --thread --rw=randread --bs=4k --size=2M --number_ios=300 --randseed="$seed"

# A second nbd-client is refused, and the device goes on.
fails nbd-client --unix "$sock" $nbd
verify --rw=randwrite --bs=4k --size=2M
detach

# Over and over: the data stays, and the server keeps no connection.
attach
try dd if=/dev/urandom of="$tmp/content" bs=1M count=1
try dd if="$tmp/content" of=$nbd bs=1M count=1 oflag=direct
detach
for round in {1..8}; do
  attach --connections $((round % 4 + 1))
  try cmp -n 1048576 "$tmp/content" $nbd
  detach
done
wait_until 30 has_connections 0 || fail "$(connections) connections are left"

# A partition that was there is there again.
attach
try sfdisk -q $nbd <<<$'label: gpt\nsize=16M\nsize=16M'
detach
attach --connections 2
has_partition ()
{
  blockdev --getsize64 "$nbd" >/dev/null
  [ -b "${nbd}p1" ] && [ -b "${nbd}p2" ]
}
wait_until 30 has_partition || fail "no partitions: $(lsblk $nbd)"
shows /sys/block/nbd0/nbd0p1/size 32768
disk=${nbd}p2
try fio --name=job --filename="$disk" --direct=1 --ioengine=libaio --thread \
  --iodepth=32 --rw=randwrite --bs=4k --size=4M --verify=crc32c \
  --verify_state_save=0 --randseed="$seed"
disk=$nbd
detach
stop_server
