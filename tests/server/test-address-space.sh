#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# With a limit on address space (ulimit -v), a server starts with a memory-limit
# that fits into it, the default fits, and one that does not is an error before
# the server listens.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires qemu-io

# Half of the address space is left for nbdkit and its threads.
# start_in MIB ARGUMENT...: start_server in so much address space.
start_in ()
{
  local hard

  hard=$(ulimit -Hv)
  ulimit -Sv $(($1 << 10)) # in KiB
  start_server "${@:2}"
  ulimit -Sv "$hard"
}

# Less is not enough for nbdkit itself: threads have stacks and malloc's arenas,
# and each a buffer for its request, for which 1.42 does not find 64 MiB in 512.
for mib in 512 700 1024 1600; do
  start_in "$mib" 1T memory-backed=true memory-limit=64M
  for at in 524288 524304 524320 524336; do # MiB
    io "write -P 1 ${at}M 16M" "read -P 1 ${at}M 16M"
  done
  if qemu-io -f raw -c 'write 1G 4K' "$uri" >"$tmp/out" 2>&1; then
    fail "there is room above the limit"
  fi
  grep -q 'No space left on device' "$tmp/out" || fail "$(cat "$tmp/out")"
  stop_server
done

# The default, whatever RAM there is.
for mib in 512 3906; do
  start_in "$mib" 7E memory-backed=1 -v 2>"$tmp/log"
  limit=$(sed -n 's/.*debug: memory-limit=//p' "$tmp/log" | numfmt --from=iec)
  echo "$mib MiB of address space: memory-limit=$limit"
  [[ $limit -gt 0 && $limit -lt $((mib << 19)) ]] || fail "it does not fit"
  io 'write -P 1 6E 16M' 'read -P 1 6E 16M'
  stop_server
done

ulimit -Sv $((1 << 20))
status=0
"$NBDKIT" -U "$tmp/sock2" -P "$tmp/pid2" "$PLUGIN" 1T memory-backed=true \
  memory-limit=2G --run "touch '$tmp/ran'" 2>"$tmp/err" || status=$?
[ "$status" = 1 ] || fail "exit status $status"
for trace in pid2 ran; do
  [ ! -e "$tmp/$trace" ] || fail "the server listened"
done
[ "$(wc -l <"$tmp/err")" = 1 ] || fail "not one line: $(cat "$tmp/err")"
grep -q '^nbdkit: error: .*memory-limit=2G .*ulimit -v' "$tmp/err" ||
  fail "$(cat "$tmp/err")"
