#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# qemu-img sees an export as a disk: info, convert in both directions, compare
# and map, over a Unix socket and over TCP.  This test boots no guest.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires qemu-img jq

mib=1048576
random_file "$tmp/image" "$(new_seed)" $((5 * mib))
truncate -s $((64 * mib)) "$tmp/image"

for start in start_server start_tcp_server; do
  $start 64M memory-backed=true
  size=$(qemu-img info --output=json -f raw "$uri" | jq '.["virtual-size"]')
  [ "$size" = $((64 * mib)) ] || fail "qemu-img info: $size"

  # Convert a raw image to the export, and the export to another format;
  # compare.
  qemu-img convert -n -f raw -O raw "$tmp/image" "$uri"
  qemu-img compare -f raw -F raw "$tmp/image" "$uri"
  qemu-img convert -f raw -O qcow2 "$uri" "$tmp/out"
  qemu-img compare -f qcow2 -F raw "$tmp/out" "$tmp/image"
  data=$(qemu-img map --output=json -f raw "$uri" |
    jq '[.[] | select(.data) | .length] | add')
  [ "$data" = $((5 * mib)) ] || fail "qemu-img map: $data bytes of data"

  # Convert the other format back, over data that has changed meanwhile.
  io "write -P 7 1M 1M"
  if qemu-img compare -f raw -F qcow2 "$uri" "$tmp/out"; then
    fail "qemu-img compare sees no difference"
  fi
  qemu-img convert -n -f qcow2 -O raw "$tmp/out" "$uri"
  qemu-img compare -f raw -F raw "$uri" "$tmp/image"
  stop_server
  rm "$tmp/out"
done
