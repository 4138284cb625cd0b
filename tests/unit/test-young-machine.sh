#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The unit tests once more, on a machine that has just started: the monotonic
# clock counts from there, so that what is subtracted from it may well wrap.
# Each program has a time namespace, in which that was 12 seconds ago.

set -euo pipefail
: "${srcdir:?is set by make check}"

skip ()
{
  echo "skipped: $*"
  exit 77
}

age ()
{
  perl -MTime::HiRes=clock_gettime,CLOCK_MONOTONIC \
    -e 'printf ("%d\n", clock_gettime (CLOCK_MONOTONIC))'
}

# when_young COMMAND...
when_young ()
{
  unshare "${unshare[@]}" --time --fork --monotonic=$((12 - $(age))) "$@"
}

# Who is not root may be so in a user namespace.
makes_young ()
{
  [ "$(when_young bash -c "$(declare -f age); age")" -lt 60 ]
}

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
unshare=()
if ! makes_young 2>"$tmp/error"; then
  unshare=(--user --map-root-user)
  makes_young 2>/dev/null || skip "no time namespace: $(cat "$tmp/error")"
fi

failed=()
ran=0
while read -r name; do
  program=unit/$name
  [ -x "$program" ] || continue # its libraries are missing
  ran=$((ran + 1))
  if ! when_young "$srcdir/run-program" "$program" >"$tmp/log" 2>&1; then
    failed+=("$program")
    echo "$program:"
    cat "$tmp/log"
  fi
done < <(find "$srcdir/unit" -name 'test-*.c' -printf '%P\n' |
           sed 's/\.c$//' | LC_ALL=C sort)

[ "$ran" -gt 0 ] || skip "no unit test is built"
[ ${#failed[@]} -eq 0 ] || {
  echo "failed 12 seconds after the machine's start: ${failed[*]}"
  exit 1
}
echo "$ran programs pass"
