#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Under the filter blocksize-policy a client is told the filter's sizes, and
# what keeps to them works.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires qemu-io nbdinfo jq
requires_filter blocksize-policy

start_server --filter=blocksize-policy 64M memory-backed=true \
  blocksize-minimum=4096 blocksize-preferred=64K blocksize-maximum=1M \
  blocksize-error-policy=error
sizes=$(nbdinfo --json "$uri" | jq -c '.exports[0] | [.block_size_minimum,
  .block_size_preferred, .block_size_maximum]')
[ "$sizes" = '[4096,65536,1048576]' ] || fail "the block sizes are $sizes"
io 'write -P 1 0 8M' 'write -P 2 512 512' 'read -P 2 512 512' \
  'read -P 1 1K 7K' 'discard 1M 1M' 'write -z 3M 1M' 'read -P 0 1M 1M' \
  'read -P 1 2M 1M' 'read -P 0 3M 1M' 'read -P 1 4M 4M' flush
[ "$(map)" = '0 1048576 data
1048576 1048576 hole
2097152 1048576 data
3145728 1048576 hole
4194304 4194304 data
8388608 58720256 hole' ] || fail "the map is: $(map)"
stop_server
