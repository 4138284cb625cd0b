#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The kernel's nbd driver attaches an export of another machine over TCP, with
# one connection and with four: here of the host, which qemu's network shows to
# the guest as 10.0.2.2.  The guest finds what the host has written, and the
# host what the guest has written.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
mib=1048576
if on_host; then
  requires nbdcopy nbdinfo
  start_tcp_server 128M memory-backed=true devices=2
  random_file "$tmp/content" "$(new_seed)" $((4 * mib))
  nbdcopy "$tmp/content" "$uri/nullb0"
  NULLBLK_GUEST_PORT=$port
  NULLBLK_GUEST_SUM=$(sha256sum <"$tmp/content")
  export NULLBLK_GUEST_PORT NULLBLK_GUEST_SUM
  boot_guest -netdev user,id=n \
    -device virtio-net-pci,netdev=n,romfile=
  # The guest has copied it by another 8 MiB, and discarded the rest.
  map_is=$(map)
  [ "$map_is" = "0 $((4 * mib)) data
$((4 * mib)) $((4 * mib)) hole
$((8 * mib)) $((4 * mib)) data
$((12 * mib)) $((116 * mib)) hole" ] || fail "the map is: $map_is"
  nbdcopy "$uri/nullb0" "$tmp/all"
  cmp -n $((4 * mib)) "$tmp/content" "$tmp/all"
  cmp -n $((4 * mib)) "$tmp/content" "$tmp/all" 0 $((8 * mib))
  stop_server
  exit
fi

host=(10.0.2.2 "$NULLBLK_GUEST_PORT")
# sum MiB: print a checksum of 4 MiB from there on.
sum ()
{
  dd if=$nbd bs=1M skip="$1" count=4 iflag=direct status=none | sha256sum
}
attach_to "${host[@]}" --name nullb0
[ "$(sum 0)" = "$NULLBLK_GUEST_SUM" ] || fail "not what the host has written"
dd if=$nbd of="$tmp/content" bs=1M count=4 iflag=direct status=none
try dd if="$tmp/content" of=$nbd bs=1M seek=8 oflag=direct conv=fsync
detach

for connections in 1 4; do
  attach_to "${host[@]}" --name nullb1 --connections "$connections"
  shows /sys/block/nbd0/size 262144
  shows "$queue/write_cache" "write back"
  shows "$queue/fua" 1
  [ "$(cat "$queue/discard_max_bytes")" -gt 0 ] || fail "no discard"
  verify --rw=randrw --bsrange=4k-64k
  [ "$connections" = 1 ] || filesystem ext4 $nbd
  try blkdiscard $nbd
  try cmp -n $((8 * mib)) $nbd /dev/zero
  detach
done

attach_to "${host[@]}" --name nullb0 --connections 4
[ "$(sum 0)" = "$NULLBLK_GUEST_SUM" ] || fail "nullb1 has changed nullb0"
[ "$(sum 8)" = "$NULLBLK_GUEST_SUM" ] || fail "the copy has changed"
detach
