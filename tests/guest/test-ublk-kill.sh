#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-ublk, or its server, is killed while fio writes to zones or to a
# served file, or btrfs to zones.  Nothing hangs, --detach clears what is left,
# and the export can be attached again, with all that was durable, if its data
# outlives the server.

# shellcheck source=ublk.sh source-path=SCRIPTDIR
source "${0%/*}/ublk.sh"
if on_host; then
  requires mkfs.btrfs
  boot_to_ublk
  exit
fi

# zoned_load FIO-OPTION...: run fio with two jobs, in zones of their own.
zoned_load ()
{
  fio --name=job --filename="$disk" --ioengine=libaio --direct=1 \
    --zonemode=zbd --thread --numjobs=2 --offset_increment=64M --size=64M \
    --iodepth=16 --max_open_zones=4 --randseed="$seed" "$@"
}

# zones_work: see that the zones of $disk can be written and read.
zones_work ()
{
  try blkzone reset "$disk"
  try zoned_load --bs=64k --rw=write --size=16M --verify=crc32c \
    --do_verify=1 --verify_fatal=1 --verify_state_save=0
}

has_completed_enough ()
{
  [ "$(completed)" -ge "$enough" ]
}

# begin_load: start it, and wait until it has done a random number of requests.
begin_load ()
{
  enough=$(($(completed) + 50 + RANDOM % 300))
  zoned_load --bsrange=4k-64k --rw=randwrite --time_based --runtime=3600 \
    >"$tmp/load" 2>&1 &
  load=$!
  wait_until 300 has_completed_enough || fail "it does nothing: $(cat "$tmp/load")"
}

# ends_badly WHEN: wait until the load has failed.
ends_badly ()
{
  wait_until 90 process_ended "$load" || fail "$1: the load hangs"
  ! wait "$load" || fail "$1: the load succeeds"
}

kill_bridge ()
{
  kill -KILL "$(process_of)"
  wait_until 60 disk_is_gone || fail "the device stays"
}

# The load is in the first 128M; behind them there is what was durable before.
# With more threads, nbdkit before 1.42 may abort when the bridge is killed.
zones=(-t 1 132M memory-backed=true zoned=true zone-size=4M zone-max-open=12)
kept=$((128 * 1048576))
try dd if=/dev/urandom of="$tmp/kept" bs=1M count=2
keep ()
{
  try dd if="$tmp/kept" of="$disk" bs=256k seek=$kept oflag=direct,seek_bytes \
    conv=fsync
}
is_kept ()
{
  try cmp -n 2097152 "$disk" "$tmp/kept" $kept 0
}
for round in 1 2 3; do
  start_server "${zones[@]}"
  attach_ublk "$uri"
  keep
  begin_load
  kill_bridge
  ends_badly "round $round, bridge"
  "$ublk" --list | grep '(dead)$' >/dev/null || fail "--list: $("$ublk" --list)"
  try "$ublk" --detach --all
  leaves_nothing "round $round, bridge"
  attach_ublk "$uri"
  is_kept
  zones_work

  begin_load
  kill_server
  ends_badly "round $round, server"
  # --detach fails only if something was left to be flushed, which depends on
  # the moment.
  "$ublk" --detach "$disk" 2>"$tmp/err" ||
    grep -q 'not all that was written' "$tmp/err" || fail "$(cat "$tmp/err")"
  leaves_nothing "round $round, server"
  start_server "${zones[@]}"
  attach_ublk "$uri"
  zones_work
  detach_ublk
  leave_server
done

# A file outlives its server.
truncate -s 132M "$tmp/disk"
plain_load ()
{
  fio --name=job --filename="$disk" --ioengine=libaio --direct=1 --thread \
    --iodepth=16 --size=16M --bsrange=4k-64k --rw=randwrite --time_based \
    --runtime=3600 --randseed="$seed"
}
serve_file -U "$sock"
attach_ublk "$uri"
keep
enough=$(($(completed) + 50 + RANDOM % 300))
plain_load >"$tmp/load" 2>&1 &
load=$!
wait_until 300 has_completed_enough || fail "it does nothing: $(cat "$tmp/load")"
kill_server
ends_badly "a file"
"$ublk" --detach "$disk" 2>"$tmp/err" ||
  grep -q 'not all that was written' "$tmp/err" || fail "$(cat "$tmp/err")"
leaves_nothing "a file"
serve_file -U "$sock"
attach_ublk "$uri"
is_kept
try cmp -n 2097152 "$tmp/disk" "$tmp/kept" $kept 0
detach_ublk
leave_server

# btrfs, with a file that was synchronized before.
load_btrfs || skip "this kernel has no btrfs"
try dd if=/dev/urandom of="$tmp/content" bs=1M count=8
write_files ()
{
  local i

  for ((i = 0; ; i++)); do
    cp "$tmp/content" "/mnt/file-$((i % 4))" || return
    sync -f /mnt || return
  done
}
start_server 1G memory-backed=true zoned=true zone-size=16M
attach_ublk "$uri"
make_filesystem btrfs "$disk"
try mount -t btrfs "$disk" /mnt
cp "$tmp/content" /mnt/durable
try sync -f /mnt
enough=$(($(completed) + 300))
write_files >"$tmp/load" 2>&1 &
load=$!
wait_until 300 has_completed_enough || fail "it does nothing: $(cat "$tmp/load")"
kill_bridge
ends_badly btrfs
try umount /mnt
try "$ublk" --detach --all
leaves_nothing btrfs
attach_ublk "$uri"
try btrfs check "$disk"
try mount -t btrfs "$disk" /mnt
try cmp "$tmp/content" /mnt/durable
try btrfs scrub start -B /mnt
try umount /mnt
detach_ublk
leave_server
leaves_nothing "btrfs again"
