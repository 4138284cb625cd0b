#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# A server under valgrind: no memory is used wrongly or lost, over all kinds of
# requests from several clients.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires valgrind qemu-io nbdinfo nbdcopy

# nbdkit unloads the plugin at the end: without --keep-debuginfo there would be
# no names in what valgrind says.
wrapper=(valgrind --quiet --error-exitcode=119 --leak-check=full
  --keep-debuginfo=yes --suppressions="${0%/*}/valgrind.supp")
seed=$(new_seed)
random_file "$tmp/in" "$seed" 8388608

for parallel in on off; do
  start_server 1G memory-backed=true memory-limit=16M devices=2 \
    parallel="$parallel"
  nbdinfo --list "$uri" >"$tmp/out"
  nbdcopy "$tmp/in" "$uri"
  qemu-io -f raw -r -c 'read 0 8M' "$uri" >"$tmp/out"
  io 'write -P 1 0 64K' 'write -f -P 2 512 512' 'read -P 2 512 512' \
    'write -z 16K 8K' 'write -z -u 32K 8K' 'discard 128K 512K' \
    'read -P 0 128K 512K' 'write -P 3 1020K 4616' flush
  map >"$tmp/out"
  grep -q data "$tmp/out" || fail "wrong map: $(cat "$tmp/out")"
  if qemu-io -f raw -c 'write 64M 32M' "$uri" >"$tmp/out" 2>&1; then
    fail "memory-limit is not there"
  fi
  if nbdinfo --size "$(uri_of nullb2)" 2>"$tmp/out"; then
    fail "there is a nullb2"
  fi
  nbdinfo --size "$(uri_of nullb1)" >"$tmp/out"
  stop_server # valgrind makes the status 119 if it has found something
done
