#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Under the filter stats requests work, and are counted.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires qemu-io
requires_filter stats

start_server --filter=stats 64M memory-backed=true statsfile="$tmp/stats"
io 'write -P 1 0 4K' 'write -P 2 4K 4K' 'read -P 1 0 4K' 'read -P 2 4K 4K' \
  'write -z 8K 4K' 'discard 12K 4K' flush
stop_server
for line in 'read: 2 ops, .* s, 8.00 KiB,' 'write: 2 ops, .* s, 8.00 KiB,' \
  'trim: 1 ops, .* s, 4.00 KiB,' 'zero: 1 ops, .* s, 4.00 KiB,'; do
  grep -q "^$line" "$tmp/stats" ||
    fail "not '$line': $(cat "$tmp/stats")"
done
