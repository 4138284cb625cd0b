#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Clients that know nothing of zones write to a zoned device, by requests that
# may cross zones.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires nbdcopy qemu-img qemu-io cmp truncate

# A file with holes: one of 100 MiB, for which clients write zeroes to many
# zones, and some that end within a zone.
seed=$(new_seed)
random_file "$tmp/piece" "$seed" $((5 << 20))
truncate -s 192M "$tmp/sparse"
for at in 0 22 140 187; do
  dd if="$tmp/piece" of="$tmp/sparse" bs=1M seek=$at conv=notrunc status=none
done

zoned=(192M memory-backed=true zoned=true zone-size=16M)

# holds_file: does the device have what is in the file?
holds_file ()
{
  nbdcopy "$uri" "$tmp/back" || fail "nbdcopy from the device"
  cmp "$tmp/sparse" "$tmp/back" || fail "other data: $*"
  rm "$tmp/back"
}

for conventional in 0 2; do
  start_server "${zoned[@]}" zone-nr-conv=$conventional
  nbdcopy "$tmp/sparse" "$uri" || fail "nbdcopy, sparse"
  holds_file nbdcopy
  stop_server

  start_server "${zoned[@]}" zone-nr-conv=$conventional
  qemu-img convert -n -f raw -O raw "$tmp/sparse" "$uri" ||
    fail "qemu-img convert, sparse"
  holds_file qemu-img
  stop_server
done

# As dd bs=3M oflag=direct does: the sixth write crosses the first zone
# boundary.
start_server "${zoned[@]}"
commands=()
for ((at = 0; at < 192; at += 3)); do
  commands+=("write -P $((at + 1)) ${at}M 3M")
done
for ((at = 0; at < 192; at += 3)); do
  commands+=("read -P $((at + 1)) ${at}M 3M")
done
io "${commands[@]}"
stop_server

# Without zone-cross=split they fail.
start_server "${zoned[@]}" zone-cross=error
if nbdcopy "$tmp/sparse" "$uri" 2>"$tmp/err"; then
  fail "zeroes across zones are done with zone-cross=error"
fi
grep -q 'Input/output error' "$tmp/err" || fail "$(cat "$tmp/err")"
stop_server
