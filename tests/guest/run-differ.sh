#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Adds rows to the table of tests/guest/DIFFER.md, which has all runs in which
# null_blk and ours were asked the same operations:
#
#   cd BUILD; SOURCES/tests/guest/run-differ.sh [RUNS [OPERATIONS]]
#
# A run is test-differ-all.sh with OPERATIONS (500000), with the seed after the
# last one of the table, or from NULLBLK_SEED on, and with ublk=true, unless
# NULLBLK_GUEST_WAYS says otherwise; NULLBLK_KERNEL is as in build-guest.sh.
# Two of these scripts can run side by side if their seeds differ.  Each run
# adds its row, also one that finds a difference.  The exit status is then 1,
# and the difference is in BUILD/tests/guest/differ-SEED.log.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
table=$here/DIFFER.md
runs=${1:-1}
operations=${2:-500000}
first=${NULLBLK_SEED-}
export top_srcdir=${here%/tests/guest} top_builddir=$PWD
export NBDKIT=${NBDKIT:-nbdkit} PLUGIN=$PWD/plugin/nullblk.so
export NULLBLK_TIMED=yes NULLBLK_LIMIT=${NULLBLK_LIMIT:-7200}
export NULLBLK_GUEST_OPERATIONS=$operations
export NULLBLK_GUEST_WAYS=${NULLBLK_GUEST_WAYS-ublk=true}

# A run uses a seed for each geometry and way; it has room for so many.
seeds=1000

# next_seed: print the seed after the last row's; a row begins with its seed.
next_seed ()
{
  awk -F'|' -v seeds=$seeds '$2 + 0 > last { last = $2 + 0 }
    END { print last + seeds }' "$table"
}

# row SEED LOG: print a row, from the line in LOG in which a run says what it
# did.
row ()
{
  local line words

  line=$(sed -n 's/^operations: //p' "$2" | tail -n 1)
  [[ $line =~ ^([0-9]+),\ not\ known:\ ([0-9]+),\ geometries:\ (.*),\ by:\ (.*),\ Linux:\ (.*)$ ]] ||
    return
  words=("$1" "${BASH_REMATCH[@]:1}")
  printf '|'
  printf ' %s |' "${words[@]}" "$(git -C "$here" describe --always --dirty)"
  printf '\n'
}

for ((run = 0; run < runs; run++)); do
  seed=${first:+$((first + run * seeds))}
  seed=${seed:-$(next_seed)}
  log=$top_builddir/tests/guest/differ-$seed.log
  status=0
  NULLBLK_SEED=$seed bash "$here/test-differ-all.sh" >"$log" 2>&1 || status=$?
  row "$seed" "$log" >"$log.row" ||
    { echo "seed $seed: no result, see $log" >&2; exit 1; }
  cat "$log.row" >>"$table"
  cat "$log.row"
  rm "$log.row"
  [ "$status" = 0 ] || { echo "seed $seed: see $log" >&2; exit 1; }
  rm "$log"
done
