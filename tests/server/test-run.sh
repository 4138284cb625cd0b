#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nbdkit --run: a client runs against a private server, its status is nbdkit's,
# and the server ends with it.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires nbdinfo qemu-io

# $uri is a variable of the shell that --run starts, not in its environment.
# shellcheck disable=SC2016
"$NBDKIT" -U - -P "$tmp/pid" "$PLUGIN" 8M memory-backed=true --run '
  export uri
  nbdinfo --size "$uri" &&
  qemu-io -f raw -c "write -P 7 1M 64K" -c "read -P 7 1M 64K" \
    -c "read -P 0 0 1M" -c flush "$uri"
' >"$tmp/out" || fail "the client failed: $(cat "$tmp/out")"
grep -qx 8388608 "$tmp/out" || fail "wrong size: $(cat "$tmp/out")"
if grep -q 'Pattern verification failed' "$tmp/out"; then
  fail "wrong data: $(cat "$tmp/out")"
fi
process_ended "$(cat "$tmp/pid")" || fail "the server is still there"

status=0
"$NBDKIT" -U - "$PLUGIN" 8M --run 'exit 42' || status=$?
[ "$status" = 42 ] || fail "exit 42 became $status"
