#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Ctrl-C, a signal to make's process group, ends a test that waits for
# something, and its server; so does the signal that CI sends at the end of its
# time.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
cat >"$tmp/waits.sh" <<'EOF'
source "$top_srcdir/tests/server/functions.sh"
start_server 1M
echo "$server_pid $BASHPID" >"$1.new"
mv "$1.new" "$1"
sleep 290
EOF
pids=()
end_all ()
{
  kill "${pids[@]}" 2>/dev/null || true
}
at_exit+=(end_all)

for signal in INT TERM; do
  # These stand for make and test-driver, which are in one group.
  set -m
  NULLBLK_TIMED='' bash -c 'bash "$0" "$1" || exit' "$tmp/waits.sh" \
    "$tmp/$signal" >"$tmp/out" 2>&1 &
  group=$!
  set +m
  wait_until 60 test -e "$tmp/$signal" || fail "$(cat "$tmp/out")"
  read -ra pids <"$tmp/$signal"
  kill "-$signal" -- "-$group"
  wait "$group" && fail "SIG$signal: the test passes"
  for pid in "${pids[@]}"; do
    wait_until 60 process_ended "$pid" || fail "SIG$signal: $pid still runs"
  done
done
