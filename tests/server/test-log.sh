#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Faults of clients do not fill the server's log: only the first write that
# meets memory-limit has a line, and bad requests have none.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires qemu-io
requires_filter blocksize-policy

# With this filter, the client sends requests that it would not send otherwise.
start_server --filter=blocksize-policy blocksize-minimum=1 \
  blocksize-preferred=4096 blocksize-maximum=64M \
  1G memory-backed=true memory-limit=1M devices=2 block-size=4096 2>"$tmp/err"
for command in 'write 0 2M' 'write 8M 2M' 'write 16M 2M' 'write 512 512' \
  'read 512 512' 'write -z 512 512' 'discard 512 512'; do
  if qemu-io -f raw -d unmap -c "$command" "$uri" >"$tmp/out" 2>&1; then
    fail "$command works"
  fi
done
if qemu-io -f raw -c 'write 0 2M' "$(uri_of nullb1)" >"$tmp/out" 2>&1; then
  fail "nullb1 has room"
fi
stop_server

[ "$(wc -l <"$tmp/err")" = 1 ] || fail "not one line: $(cat "$tmp/err")"
grep -q 'nullb0: memory-limit=1M .*ENOSPC' "$tmp/err" ||
  fail "$(cat "$tmp/err")"
