#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The filter noparallel can make a parallel server serial, and it serves as
# well then.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires qemu-io fio
requires_filter noparallel
fio --enghelp=nbd >/dev/null 2>&1 || skip "fio has no nbd engine"

seed=$(new_seed)
for serialize in connections all-requests requests; do
  "$NBDKIT" --filter=noparallel "$PLUGIN" parallel=on \
    serialize="$serialize" --dump-plugin >"$tmp/dump"
  grep -qx "thread_model=serialize_${serialize/-/_}" "$tmp/dump" ||
    fail "$serialize: $(grep thread_model "$tmp/dump")"

  start_server --filter=noparallel 64M memory-backed=true parallel=on \
    serialize="$serialize"
  io 'write -P 1 0 8M' 'read -P 1 0 8M' 'discard 1M 1M' 'read -P 0 1M 1M'
  fio --name=verify --ioengine=nbd --uri="$uri" --randseed="$seed" \
    --size=8M --offset=16M --rw=randwrite --bs=4k --iodepth=16 \
    --verify=crc32c --verify_fatal=1 >"$tmp/out" 2>&1 ||
    fail "$serialize: $(cat "$tmp/out")"
  stop_server
done
