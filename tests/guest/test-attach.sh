#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-attach in all its forms: a device with a server that it starts, and
# one that is served already; what it lists, what it refuses, and that nothing
# is left, also if the server or the device has gone.

# shellcheck source=attach.sh source-path=SCRIPTDIR
source "${0%/*}/attach.sh"

if on_host; then
  boot_to_attach
  exit
fi

# refused TEXT ARGUMENT...: nullblk-attach has to fail, with TEXT in its last
# line.
refused ()
{
  if "$attach" "${@:2}" >"$tmp/out" 2>"$tmp/err"; then
    fail "${*:2}: this should have failed"
  fi
  [ ! -s "$tmp/out" ] || fail "${*:2}: $(cat "$tmp/out")"
  tail -n 1 "$tmp/err" | grep "^nullblk-attach: .*$1" >/dev/null ||
    fail "${*:2}: $(cat "$tmp/err")"
}

# nothing_left: fail the test if there is a device, a server that nullblk-attach
# has started, or a file.
nothing_left ()
{
  local left

  left=$("$attach" --list)
  [ -z "$left" ] || fail "left: $left"
  [ -z "$(ls /run/nullblk)" ] || fail "left: $(ls /run/nullblk)"
  left=$(servers)
  [ -z "$left" ] || fail "left: servers $left"
}

# servers: print the pids of those that nullblk-attach has started.
servers ()
{
  processes nbdkit | grep -vx "${server_pid:-none}" || true
}

no_servers ()
{
  [ -z "$(servers)" ]
}

# nullblk-attach loads the module.
modprobe -r nbd
[ ! -e /sys/block/nbd0 ] || fail "nbd is not a module here"
made /dev/nbd0 64M memory-backed=true
shows /sys/block/nbd0/size 131072
shows /sys/block/nbd0/ro 0
[ "$(find /sys/block/nbd0/mq -mindepth 1 -maxdepth 1 | wc -l)" = \
  "$(nproc)" ] || fail "not a connection for each CPU"
seed=$(new_seed)
verify --rw=randwrite --bs=4k
"$attach" --list >"$tmp/list"
grep -qE '^nbd0 +/dev/nbd0 +67108864 nbd\+unix:' "$tmp/list" ||
  fail "$(cat "$tmp/list")"

# Another one beside it, with the properties of its export.
made /dev/nbd1 --name second -C 1 32M block-size=4096 read-only=true
shows /sys/block/nbd1/queue/logical_block_size 4096
shows /sys/block/nbd1/ro 1
[ "$(find /sys/block/nbd1/mq -mindepth 1 -maxdepth 1 | wc -l)" = 1 ] ||
  fail "more than one connection"
refused 'is taken' --name second 1G

# Blocks larger than a page: if the kernel takes none, the error says so.
for block in 8192 65536; do
  if "$attach" -C 1 1M memory-backed=true block-size=$block \
    >"$tmp/out" 2>"$tmp/err"; then
    echo "blocks of $block bytes: attached"
    device=$(basename "$(cat "$tmp/out")")
    shows "/sys/block/$device/queue/logical_block_size" $block
    try dd if=/dev/urandom of="$tmp/content" bs=64K count=4
    try dd if="$tmp/content" of="/dev/$device" bs=64K oflag=direct
    try cmp -n 262144 "$tmp/content" "/dev/$device"
    try "$attach" --detach "$device"
  else
    echo "blocks of $block bytes: $(cat "$tmp/err")"
    [ "$(uname -r | cut -d. -f1)" -lt 7 ] || fail "this kernel takes them"
    [ "$(wc -l <"$tmp/err")" = 1 ] || fail "more than a line"
    grep -q "^nullblk-attach: .*block-size=$block .* 4096 bytes" "$tmp/err" ||
      fail "that is not the reason"
  fi
done

# A mounted device is not detached.
try mkfs.ext4 -q /dev/nbd0
mkdir -p "$tmp/mnt"
try mount /dev/nbd0 "$tmp/mnt"
echo kept >"$tmp/mnt/file"
refused 'in use' --detach /dev/nbd0
[ "$(cat "$tmp/mnt/file")" = kept ] || fail "the device is gone"
try umount "$tmp/mnt"
refused 'not attached by nullblk-attach' --detach third
try "$attach" --detach /dev/nbd0
shows /sys/block/nbd0/size 0
try "$attach" --detach second
nothing_left

# Twice in a row, and with wrong parameters.
for _ in 1 2; do
  made /dev/nbd0 1G
  try "$attach" --detach nbd0
done
refused 'does not start' 1G nonsense=1
grep -q 'nonsense=1: unknown parameter' "$tmp/err" || fail "$(cat "$tmp/err")"
nothing_left

# An export that is served already: it is still served afterwards, with its
# data.  And more devices than the module has made nodes for.
try modprobe -r nbd
try modprobe nbd nbds_max=4
head -c 1048576 /dev/urandom >"$tmp/data"
start_server 48M memory-backed=true devices=2
made /dev/nbd0 --timeout 60 "$uri"
try dd if="$tmp/data" of=/dev/nbd0 bs=64K
made /dev/nbd1 "$(uri_of nullb1)"
made /dev/nbd2 1G
made /dev/nbd3 1G
made /dev/nbd4 1G
try "$attach" --detach --all
nothing_left
made /dev/nbd0 "$(uri_of nullb0)"
try cmp -n 1048576 /dev/nbd0 "$tmp/data"
try "$attach" --detach nbd0
refused 'nullb2' "$(uri_of nullb2)"
nothing_left
stop_server
refused 'socket' "$uri"
nothing_left

# By Unix sockets and TCP, over one connection and four.
for start in start_server start_tcp_server; do
  $start 16M memory-backed=true
  for n in 1 4; do
    made /dev/nbd0 -C $n "$uri"
    has_connections $n || fail "-C $n: $(connections) connections"
    verify --rw=randwrite --bs=4k --size=2M
    try "$attach" --detach nbd0
  done
  stop_server
  $start 16M read-only=true
  made /dev/nbd0 -C 4 "$uri"
  shows /sys/block/nbd0/ro 1
  try cmp -n 16777216 /dev/nbd0 /dev/zero
  fails dd if=/dev/zero of=/dev/nbd0 bs=4096 count=1 oflag=direct conv=notrunc
  try "$attach" --detach nbd0
  stop_server
done
nothing_left

# The server dies.
made /dev/nbd0 1G
kill -KILL "$(cat /run/nullblk/nbd0/pid)"
wait_until 60 no_servers || fail "the server lives on"
try "$attach" --detach nbd0
nothing_left

# The device is disconnected behind nullblk-attach's back.
made /dev/nbd0 1G
take_away
"$attach" --list | grep '^nbd0 *(dead)' >/dev/null ||
  fail "it is not listed as dead"
try "$attach" --detach nbd0
nothing_left
made /dev/nbd0 64M memory-backed=true
verify --rw=randwrite --bs=4k
try "$attach" --detach nbd0
nothing_left
