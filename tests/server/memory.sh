# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What the tests of the server's own memory share.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires qemu-io
[ -r /proc/self/smaps_rollup ] || skip "there is no /proc/PID/smaps_rollup"

# The memory that a server may have beside the data, in MiB: nbdkit's buffer for
# the connection (as long as the longest request, 4), what malloc keeps of it
# and of earlier ones (as much again), and the store's own tables (32 bytes for
# each chunk of 128 KiB, 4 for each bucket and span: below 1).  That is 9; 16
# leaves room.
slack=16

# resident: print the server's resident memory in MiB.  smaps_rollup is exact;
# VmRSS may lag behind.
resident ()
{
  smaps_field Rss
}

# smaps_field FIELD: print it in MiB.
smaps_field ()
{
  awk -v field="$1:" '$1 == field { print int ($2 / 1024) }' \
    "/proc/$server_pid/smaps_rollup"
}

# resident_between LEAST MOST: is it at least LEAST and at most MOST MiB?
resident_between ()
{
  local mib

  mib=$(resident)
  ((mib >= $1 && mib <= $2))
}

# write_each STEP NUMBER SIZE: have qemu-io write NUMBER times SIZE bytes, STEP
# MiB apart.
write_each ()
{
  local i commands=()

  for ((i = 0; i < $2; i++)); do
    commands+=("write -P $((i % 255 + 1)) $((i * $1))M $3")
  done
  io "${commands[@]}"
}

# holds MIB: wait until the server has so many MiB more than at the start.
holds ()
{
  wait_until 10 resident_between $((start + $1 - slack)) \
    $((start + $1 + slack)) ||
    fail "$(resident) MiB, where $((start + $1)) were expected"
}

# start_measured ARGUMENT...: start_server, and note its memory at the start.
start_measured ()
{
  start_server "$@"
  io 'read 0 4M' # so that the buffer is there
  start=$(resident)
}

# gives_back CHECK: see that memory that is trimmed or zeroed goes back to the
# machine.  CHECK is called while the server has 256 MiB of data.
gives_back ()
{
  local give_back

  for give_back in 'discard 0 256M' 'write -z -u 0 256M'; do
    write_each 4 64 4M
    holds 256
    "$1"
    io 'discard 64M 64M'
    holds 192
    io "$give_back"
    holds 0
    io 'read -P 0 0 4M'
  done
}
