#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-attach and the kernel's nodes: if the module has made none, and beyond
# those that it has made.  A device shows nothing of the one before it, and
# nodes that were there before are there afterwards, for anybody.  What keeps
# the kernel from attaching is told in words.

# shellcheck source=attach.sh source-path=SCRIPTDIR
source "${0%/*}/attach.sh"

if on_host; then
  boot_to_attach
  exit
fi

# nodes NUMBER...: wait until exactly these are there.  A node goes a moment
# after its device.
has_nodes ()
{
  [ "$(cd /sys/block && echo nbd*)" = "$1" ]
}
nodes ()
{
  wait_until 30 has_nodes "$1" || fail "not '$1': $(ls /sys/block)"
}

# reload PARAMETER...
reload ()
{
  try modprobe -r nbd
  try modprobe nbd "$@"
}

# is_plain DEVICE: see that it is what an export without options makes.
is_plain ()
{
  local queue=/sys/block/${1##*/}/queue

  shows "$queue/rotational" 0
  shows "$queue/logical_block_size" 512
  shows "$queue/minimum_io_size" 512
  shows "$queue/discard_granularity" 512
  shows "/sys/block/${1##*/}/ro" 0
}

odd=(16M block-size=4096 rotational=true)
is_odd ()
{
  local queue=/sys/block/${1##*/}/queue

  shows "$queue/rotational" 1
  shows "$queue/minimum_io_size" 4096
}

# The module has made no node, and none is left.
reload nbds_max=0
nodes 'nbd*'
for _ in 1 2; do
  made /dev/nbd0 "${odd[@]}"
  is_odd nbd0
  try "$attach" --detach nbd0
  nodes 'nbd*'
  made /dev/nbd0 16M memory-backed=true
  is_plain nbd0
  verify --rw=randwrite --bs=4k --size=1M
  made /dev/nbd1 1M
  nodes 'nbd0 nbd1'
  try "$attach" --detach --all
  nodes 'nbd*'
done
leaves_nothing nbds_max=0

# An export does not show what another one was able to do, either.
truncate -s 16M "$tmp/disk"
plain ()
{
  "$NBDKIT" -f -U "$tmp/plain" -P "$tmp/plain-pid" "$@" file "$tmp/disk" &
  plain_pid=$!
  wait_until 60 test -s "$tmp/plain-pid" || fail "it does not listen"
}
made /dev/nbd0 16M
[ "$(cat /sys/block/nbd0/queue/write_zeroes_max_bytes)" -gt 0 ] ||
  fail "no zeroes"
try "$attach" --detach nbd0
nodes 'nbd*'
plain --filter=nozero
made /dev/nbd0 "nbd+unix:///?socket=$tmp/plain"
shows /sys/block/nbd0/queue/write_zeroes_max_bytes 0
try blkdiscard -z /dev/nbd0
try "$attach" --detach nbd0
kill "$plain_pid"
nodes 'nbd*'

# Nodes that the module has made stay, show nothing of a device of before, and
# can be used by anybody.
reload nbds_max=2
nodes 'nbd0 nbd1'
for _ in 1 2; do
  made /dev/nbd0 "${odd[@]}"
  try "$attach" --detach nbd0
  has_nodes 'nbd0 nbd1' || fail "left: $(ls /sys/block)"
  [ -b /dev/nbd0 ] || fail "its node is not in /dev"
  shows /sys/block/nbd0/size 0
  [ ! -e /sys/block/nbd0/pid ] || fail "it is attached"
  made /dev/nbd0 16M
  is_plain nbd0
  try "$attach" --detach /dev/nbd0
done
for n in 0 1 2 3; do
  made /dev/nbd$n 1M
done
try "$attach" --detach --all
nodes 'nbd0 nbd1'
start_server 16M memory-backed=true
# shellcheck disable=SC2119
attach
is_plain nbd0
verify --rw=randwrite --bs=4k --size=1M
made /dev/nbd1 "${odd[@]}"
try "$attach" --detach nbd1
detach
nodes 'nbd0 nbd1'

# The device is disconnected behind nullblk-attach's back: --detach clears up.
made /dev/nbd0 1M
take_away
try "$attach" --detach nbd0
nodes 'nbd0 nbd1'
# Another user's device has that number by then, and keeps it.
made /dev/nbd0 1M
take_away
wait_until 30 is_theirs "$sock" || fail "nbd0 is not theirs"
try "$attach" --detach nbd0
shows /sys/block/nbd0/size 32768
detach
nodes 'nbd0 nbd1'
# A process has the device open.
made /dev/nbd0 1M
exec 7</dev/nbd0
fails "$attach" --detach nbd0
exec 7<&-
try "$attach" --detach nbd0
nodes 'nbd0 nbd1'
# If attaching fails, no node goes.
fails "$attach" "$(uri_of nullb7)"
fails "$attach" 1M nonsense=1
nodes 'nbd0 nbd1'

# nullblk-attach was killed just when the kernel had attached the device.
made /dev/nbd0 16M
rm /run/nullblk/nbd0/device
mv /run/nullblk/nbd0 /run/nullblk/new-1.0
"$attach" --list >"$tmp/list"
grep -qE '^new-1\.0 +/dev/nbd0 +16777216 ' "$tmp/list" ||
  fail "$(cat "$tmp/list")"
try "$attach" --detach /dev/nbd0
leaves_nothing "killed"
nodes 'nbd0 nbd1'

# What the kernel refuses is told in words, in one line.
says ()
{
  [ "$(wc -l <"$tmp/fails")" = 1 ] || fail "not a line: $(cat "$tmp/fails")"
  grep -q "^nullblk-attach: .*$1" "$tmp/fails" || fail "$(cat "$tmp/fails")"
}
fails unshare -r "$attach" "$uri"
says 'CAP_SYS_ADMIN'
leaves_nothing "a user namespace"
try modprobe -r nbd
PATH=$tmp fails "$attach" 1M
says 'no nbd module'
try modprobe nbd
stop_server
