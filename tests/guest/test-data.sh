#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Filesystems on the kernel's nbd device keep what is written to them, and the
# server sees what is discarded or zeroed: in its map, and in the memory it has.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
if on_host; then
  # shellcheck disable=SC2119
  boot_guest
  exit
fi

# map_is LINE...: fail the test unless this is the server's map.
map_is ()
{
  local is

  is=$(map)
  [ "$is" = "$(printf '%s\n' "$@")" ] || fail "the map is: $is; not: $*"
}

# grown_by LESS MORE: fail the test unless the server's memory has grown since
# $empty by at least LESS and at most MORE MiB.
grown_by ()
{
  local grown=$((($(resident) - empty) / 1024))

  { [ "$grown" -ge "$1" ] && [ "$grown" -le "$2" ]; } ||
    fail "the server has grown by $grown MiB; not by $1 to $2"
}

mib=1048576
start_server 512M memory-backed=true

attach --connections 4
filesystem ext4 $nbd
filesystem xfs $nbd
blkdiscard $nbd
detach
map_is "0 $((512 * mib)) hole"

attach
# The memory that the first request takes is not of the data.
try dd if=/dev/urandom of=$nbd bs=1M count=1 oflag=direct
try blkdiscard $nbd
empty=$(resident)
try dd if=/dev/urandom of=$nbd bs=1M count=64 oflag=direct
grown_by 60 72
map_is "0 $((64 * mib)) data" "$((64 * mib)) $((448 * mib)) hole"

# Discarding the half in the middle.
try blkdiscard -o $((16 * mib)) -l $((32 * mib)) $nbd
grown_by 30 40
map_is "0 $((16 * mib)) data" "$((16 * mib)) $((32 * mib)) hole" \
  "$((48 * mib)) $((16 * mib)) data" "$((64 * mib)) $((448 * mib)) hole"
try cmp -i $((16 * mib)) -n $((32 * mib)) $nbd /dev/zero

# Zeroing frees memory, too.
try blkdiscard -z -o 0 -l $((8 * mib)) $nbd
grown_by 20 34
map_is "0 $((8 * mib)) hole" "$((8 * mib)) $((8 * mib)) data" \
  "$((16 * mib)) $((32 * mib)) hole" \
  "$((48 * mib)) $((16 * mib)) data" "$((64 * mib)) $((448 * mib)) hole"
detach
stop_server

# With zero-memory=true, zeroing keeps the memory of data, and reserves memory
# for holes, which become data in the map.
start_server 512M memory-backed=true zero-memory=true
attach
try dd if=/dev/urandom of=$nbd bs=1M count=1 oflag=direct
try blkdiscard $nbd
empty=$(resident)
try dd if=/dev/urandom of=$nbd bs=1M count=16 oflag=direct
try dd if=/dev/urandom of=$nbd bs=1M seek=48 count=16 oflag=direct
grown_by 30 40
try blkdiscard -z -o 0 -l $((32 * mib)) $nbd
grown_by 28 40
map_is "0 $((32 * mib)) data" "$((32 * mib)) $((16 * mib)) hole" \
  "$((48 * mib)) $((16 * mib)) data" "$((64 * mib)) $((448 * mib)) hole"
try cmp -n $((48 * mib)) $nbd /dev/zero

try blkdiscard $nbd
grown_by 0 8
map_is "0 $((512 * mib)) hole"
detach
stop_server

# No memory is reserved beyond the limit.
start_server 64M memory-backed=true memory-limit=16M zero-memory=true
attach
try blkdiscard -z -l $((16 * mib)) $nbd
fails dd if=/dev/urandom of=$nbd bs=1M seek=16 count=1 oflag=direct
try dd if=/dev/urandom of=$nbd bs=1M count=16 oflag=direct
try blkdiscard -l $mib $nbd
try dd if=/dev/urandom of=$nbd bs=1M seek=16 count=1 oflag=direct
detach
stop_server

# A command of each kind is one request of that kind.
start_server --filter=log 64M memory-backed=true logfile="$tmp/log"
attach
try blkdiscard -o 65536 -l $((4 * mib)) $nbd
try blkdiscard -z -o 65536 -l $((8 * mib)) $nbd
try dd if=/dev/zero of=$nbd bs=4k count=16 oflag=direct,dsync
detach
wait_until 30 has_connections 0 || fail "the connection stays"
stop_server
requests ()
{
  grep -cE "$1" "$tmp/log" || true
}
for expected in '1 Trim .*count=0x400000 ' '1 Zero .*count=0x800000 ' \
                '16 Write .*count=0x1000 .*fua=1'; do
  is=$(requests "${expected#* }")
  [ "$is" = "${expected%% *}" ] ||
    fail "$is requests, not $expected: $(cat "$tmp/log")"
done
