#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Under the filter log requests work, and the log has them.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires qemu-io nbdinfo
requires_filter log

start_server --filter=log 64M memory-backed=true logfile="$tmp/log"
io 'write -P 1 1M 1M' 'write -f -P 2 2M 4K' 'read -P 1 1M 1M' \
  'read -P 2 2M 4K' 'write -z 1M 64K' 'write -z -u 1088K 64K' \
  'discard 1152K 64K' 'read -P 0 1M 192K' flush
[ "$(map)" = '0 1245184 hole
1245184 856064 data
2101248 65007616 hole' ] || fail "the map is: $(map)"
stop_server
for request in Read Write Zero Trim Flush Extents; do
  grep -q " $request id=" "$tmp/log" || fail "no $request in the log"
  grep -q "\.\.\.$request id=.* return=0" "$tmp/log" ||
    fail "no $request succeeded: $(grep "$request" "$tmp/log")"
done
if grep -q 'return=-1' "$tmp/log"; then
  fail "$(grep 'return=-1' "$tmp/log")"
fi
