#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# A filesystem image with random files in it is copied onto the device, compared
# there, and copied back the same byte for byte.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires mke2fs e2fsck nbdcopy qemu-img cmp

seed=$(new_seed)
RANDOM=$((seed % 32768))
for dir in a a/b a/b/c d; do
  mkdir -p "$tmp/tree/$dir"
  for ((i = 0; i < 10; i++)); do
    random_file "$tmp/tree/$dir/file$i" "$((seed + i))" \
      "$((RANDOM * RANDOM % 500000 + i))"
  done
done
mke2fs -q -F -t ext4 -d "$tmp/tree" "$tmp/image" 64M

start_server 64M memory-backed=true
nbdcopy --request-size=32768 "$tmp/image" "$uri"
qemu-img compare -f raw -F raw "$tmp/image" "$uri" >"$tmp/out" ||
  fail "the device is not the image: $(cat "$tmp/out")"
nbdcopy --request-size=32768 "$uri" "$tmp/copy"
cmp "$tmp/image" "$tmp/copy" || fail "the copy is not the image"
e2fsck -fn "$tmp/copy" >"$tmp/out" 2>&1 || fail "e2fsck: $(cat "$tmp/out")"
stop_server
