#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The real nbdkit does not see plain requests: it wants one header for many of
# them.  It sees all others.

# shellcheck source=serve.sh source-path=SCRIPTDIR
source "${0%/*}/serve.sh"
headers=$top_builddir/tests/server/.libs/headers.so
plain=$top_builddir/tests/server/plain

# nbdkit with its reads counted: what is preloaded first is called first.
cat >"$tmp/nbdkit" <<EOF
#!/bin/sh
LD_PRELOAD=$headers\${LD_PRELOAD:+:\$LD_PRELOAD} exec "$NULLBLK_NBDKIT" "\$@"
EOF
chmod +x "$tmp/nbdkit"
export NULLBLK_NBDKIT=$tmp/nbdkit
export NULLBLK_HEADERS=$tmp/headers

# count zero|data SIZE COUNT [fua]: how many headers nbdkit has wanted of four
# times COUNT requests.
count ()
{
  local is_memory=false

  [ "$1" = zero ] || is_memory=true
  rm -f "$NULLBLK_HEADERS"
  start_serve 64M memory-backed="$is_memory"
  "$plain" "$tmp/sock" "$@" || fail "the client"
  stop_server
  n=$(cat "$NULLBLK_HEADERS") || fail "nbdkit has read no header"
  echo "$*: $n headers"
}

# Of larger payloads a part may come first.
for what in "zero 512" "zero 4096" "zero 131072" "data 512" "data 4096" \
            "data 16384"; do
  read -r kind size <<<"$what"
  count "$kind" "$size" 480
  [ "$n" -le 100 ] || fail "nbdkit has seen $n of 1920 requests"
  NULLBLK_BATCH_PLAIN=0 count "$kind" "$size" 480
  [ "$n" -ge 1920 ] || fail "without plain requests, nbdkit has seen $n"
done

# The writes are nbdkit's, and a read now and then.
count zero 512 480 fua
[ "$n" -ge 960 ] || fail "with FUA, nbdkit has seen $n"
[ "$n" -le 1060 ] || fail "with FUA, nbdkit has seen $n"
