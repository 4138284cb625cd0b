#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The recipes of CI.md that need root, as they stand there: a block device with
# a filesystem, and one device of two servers, by stripes.

# shellcheck source=attach.sh source-path=SCRIPTDIR
source "${0%/*}/attach.sh"

# block TITLE: the commands below a title.
block ()
{
  # shellcheck disable=SC2016 # no commands
  sed -n "/^## $1/,/^## /p" "$top_srcdir/CI.md" |
    sed -n '/^[`]``sh$/,/^[`]``$/p' | sed '/^[`]``/d'
}

if on_host; then
  NULLBLK_GUEST_ROOT=$(block 'With root')
  NULLBLK_GUEST_STRIPES=$(block 'One device of two servers')
  export NULLBLK_GUEST_ROOT NULLBLK_GUEST_STRIPES
  boot_to_attach
  exit
fi

requires dmsetup
modprobe dm_mod || skip "this kernel has no device mapper"
ln -s /nullblk-attach /usr/bin

# Each line has to succeed.
bash -euxc "${NULLBLK_GUEST_ROOT:?}" || fail "with root: it fails"
leaves_nothing "with root"

start_server 64M memory-backed=true devices=2
lines=${NULLBLK_GUEST_STRIPES:?}
lines=${lines/nbd:\/\/SERVER1/\'$(uri_of nullb0)\'}
lines=${lines/nbd:\/\/SERVER2/\'$(uri_of nullb1)\'}
# Without udev nobody makes the node.
lines=${lines/dmsetup create striped/dmsetup create --noudevsync striped; dmsetup mknodes}
bash -euxc "$lines" || fail "stripes: it fails"
[ "$(blockdev --getsize64 /dev/mapper/striped)" = $((128 << 20)) ] ||
  fail "the striped device has another size"
e2fsck -fn /dev/mapper/striped || fail "it has no filesystem"
for name in nullb0 nullb1; do
  nbdinfo --map --totals "$(uri_of "$name")" | grep data >/dev/null ||
    fail "$name has none of it"
done
dmsetup remove --noudevsync striped
