#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# qemu-io's writes, zeroes, discards and reads give the right patterns, and
# leave holes where they may.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires qemu-io nbdinfo

# assert_map LINE...
assert_map ()
{
  [ "$(map)" = "$(printf '%s\n' "$@")" ] || fail "the map is: $(map)"
}

# qemu-io allows a hole only with -u.
start_server 64M memory-backed=true zero-memory=true
io 'write -P 0x11 0 8M' 'read -P 0x11 0 8M' 'read -P 0 8M 1M'
io 'write -f -P 0x22 1M 64K' 'read -P 0x11 0 1M' 'read -P 0x22 1M 64K' \
  'read -P 0x11 1088K 1M'
io 'write -P 0x33 4194816 512' 'read -P 0x11 4M 512' \
  'read -P 0x33 4194816 512' 'read -P 0x11 4195328 512'

io 'write -z 2M 1M' 'read -P 0 2M 1M' 'read -P 0x11 3M 1M'
assert_map '0 8388608 data' '8388608 58720256 hole'
io 'write -z -u 3M 1M' 'read -P 0 3M 1M' 'read -P 0x11 4M 512'
assert_map '0 3145728 data' '3145728 1048576 hole' '4194304 4194304 data' \
  '8388608 58720256 hole'
io 'discard 5M 1M' 'read -P 0x11 4195328 512' 'read -P 0 5M 1M' \
  'read -P 0x11 6M 2M'
assert_map '0 3145728 data' '3145728 1048576 hole' '4194304 1048576 data' \
  '5242880 1048576 hole' '6291456 2097152 data' '8388608 58720256 hole'
io flush 'discard 0 64M' 'read -P 0 0 64M'
assert_map '0 67108864 hole'
stop_server

start_server 64M memory-backed=true
io 'write -P 0x11 0 8M' 'write -z 2M 1M' 'read -P 0 2M 1M' 'read -P 0x11 3M 1M'
assert_map '0 2097152 data' '2097152 1048576 hole' '3145728 5242880 data' \
  '8388608 58720256 hole'
stop_server
