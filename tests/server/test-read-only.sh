#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# A device that is read-only, by nbdkit -r or by read-only=true, can be read and
# not written.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires qemu-io nbdinfo

for how in -r read-only=true; do
  start_server "$how" 1M memory-backed=true
  nbdinfo --is read-only "$uri" || fail "$how: not read-only"
  for can in trim zero fua; do
    status=0
    nbdinfo --can "$can" "$uri" || status=$?
    [ "$status" = 2 ] || fail "$how: nbdinfo --can $can gives $status"
  done
  if qemu-io -f raw -c 'write 0 4K' "$uri" >"$tmp/out" 2>&1; then
    fail "$how: a write works: $(cat "$tmp/out")"
  fi
  qemu-io -r -f raw -c 'read -P 0 0 1M' "$uri" >"$tmp/out" 2>&1 ||
    fail "$how: $(cat "$tmp/out")"
  if grep -q failed "$tmp/out"; then
    fail "$how: $(cat "$tmp/out")"
  fi
  stop_server
done
