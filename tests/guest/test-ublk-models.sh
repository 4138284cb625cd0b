#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The data of a block device, its fault rules and its power are compared with a
# simple model, by random requests of the kernel.  test-differ.sh compares a
# device with zones with null_blk.

# shellcheck source=ublk.sh source-path=SCRIPTDIR
source "${0%/*}/ublk.sh"
if on_host; then
  [ -x "$top_builddir/tests/guest/models" ] || skip "models is not built"
  [ -x "$top_builddir/tools/nullblkctl" ] || skip "nullblkctl is not built"
  boot_to_ublk
  exit
fi

operations=${NULLBLK_GUEST_OPERATIONS-4000}
echo "NULLBLK_SEED=$seed NULLBLK_GUEST_OPERATIONS=$operations"
dmesg -n 1 # each error has a line

# models KEY=VALUE [OPTION]...: run the program on a device with this parameter.
models ()
{
  serve_disk 1M memory-backed=true "$1"
  /models --seed="$seed" --operations="$operations" "${@:2}" \
    "$(uri_of nullb0.config)" "$disk" || fail "the model differs: $1"
  stop_server
}

models cache-size=4M
models cache-size=64K --evicts
