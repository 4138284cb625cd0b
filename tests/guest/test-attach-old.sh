#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-attach on a kernel that shows no identifier of a device, as before
# Linux 5.14.  Here the identifier is hidden from nullblk-attach.

# shellcheck source=attach.sh source-path=SCRIPTDIR
source "${0%/*}/attach.sh"

if on_host; then
  boot_to_attach
  exit
fi

# /sys/block without the identifiers.
for n in 0 1 2 3; do
  mkdir -p "$tmp/block/nbd$n"
  for name in inflight pid queue size; do
    ln -s "/sys/devices/virtual/block/nbd$n/$name" "$tmp/block/nbd$n"
  done
done
mount --bind "$tmp/block" /sys/block
show_all ()
{
  umount /sys/block
}
at_exit+=(show_all)

# listed LINE: fail the test unless --list prints this.
listed ()
{
  "$attach" --list >"$tmp/list" || fail "--list"
  [ "$(tr -s ' ' <"$tmp/list" | cut -d' ' -f1-3)" = "$1" ] ||
    fail "not '$1': $(cat "$tmp/list")"
}

# Our device is found again.
try "$attach" --name a -C 2 64M memory-backed=true
listed "a /dev/nbd0 67108864"
try mkfs.ext4 -q -F /dev/nbd0
try "$attach" --detach a
leaves_nothing "by its name"
start_server 16M
try "$attach" "$uri"
try "$attach" --detach /dev/nbd0
leaves_nothing "by its device"

# A number that is of another user's device by now is left alone.
try "$attach" --name a "$uri"
take_away
listed "a (dead) -"
wait_until 30 is_theirs "$sock" || fail "nbd0 is not theirs"
listed "a (dead) -"
try "$attach" --detach a
shows /sys/block/nbd0/size 32768
detach
leaves_nothing "another's"

# No other user's device gets a connection to our server.
fails "$attach" --persist "$uri"
grep -q '^nullblk-attach: --persist: before Linux 5.14 ' "$tmp/fails" ||
  fail "$(cat "$tmp/fails")"
leaves_nothing --persist
stop_server
