#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# block-size is enforced also for a client that was not told of it (a filter
# hides it), and a client that was told keeps to it.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires qemu-io
requires_filter blocksize-policy

start_server --filter=blocksize-policy 1M memory-backed=true block-size=4096 \
  blocksize-minimum=1 blocksize-preferred=4096 blocksize-maximum=64M
io 'write -P 1 0 8K'
for command in 'write -P 2 512 512' 'write -P 2 512 4K' 'write -P 2 4K 512' \
  'write -z 512 4K' 'write -z -u 512 4K' 'discard 512 512' 'read 512 4K' \
  'read 4K 512'; do
  qemu-io -f raw -d unmap -c "$command" "$uri" >"$tmp/out" 2>&1 || true
  grep -q 'failed: Invalid argument$' "$tmp/out" ||
    fail "$command is not refused: $(cat "$tmp/out")"
  io 'read -P 1 0 8K' 'read -P 0 8K 1016K'
done
stop_server

start_server 1M memory-backed=true block-size=4096
io 'write -P 1 0 8K' 'write -P 2 512 512' 'write -P 3 8K 512' \
  'read -P 1 0 512' 'read -P 2 512 512' 'read -P 1 1K 7K' \
  'read -P 3 8K 512' 'read -P 0 8704 512'
stop_server
