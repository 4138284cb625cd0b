#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Prove with CBMC what is in the files beside this one; README.md says what that
# is.  By hand
#
#     PROOFS='zone_bounds lanes' make -C tests check TESTS=proofs/test-proofs
#
# proves two of them.  Each takes less than a minute.

set -euo pipefail
: "${top_srcdir:?is set by make check}" "${top_builddir:?is set by make check}"

command -v cbmc >/dev/null || {
  echo "skipped: cbmc is missing"
  exit 77
}
here=$top_srcdir/tests/proofs
checks=(--bounds-check --pointer-check --div-by-zero-check
  --signed-overflow-check --undefined-shift-check --unwinding-assertions)

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# prove FILE NAME ROUNDS: the last is the most of its loops.
prove ()
{
  SECONDS=0
  if timeout --foreground 600 cbmc -DHAVE_CONFIG_H -I"$top_builddir" \
    -I"$top_srcdir/plugin" "$1" --function "proof_$2" --unwind "$3" \
    "${checks[@]}" --slice-formula --drop-unused-functions \
    >"$tmp/out" 2>&1 </dev/null; then
    echo "$2: proved in $SECONDS s:" \
      "$(sed -n 's/^\*\* //p' "$tmp/out" | tail -n 1)"
  else
    failed+=("$2")
    echo "$2: not proved, after $SECONDS s:"
    grep -E 'FAILURE$|error:' "$tmp/out" || tail -n 20 "$tmp/out"
  fi
}

failed=()
proved=0
for file in "$here"/*.c; do
  list=$(sed -nE 's/^PROOF \(([a-z_]+), ([0-9]+)\).*/\1 \2/p' "$file")
  while read -r name rounds; do
    [[ -z ${PROOFS-} || " $PROOFS " = *" $name "* ]] || continue
    prove "$file" "$name" "$rounds"
    proved=$((proved + 1))
  done <<<"$list"
done
[ ${#failed[@]} -eq 0 ] && [ "$proved" -gt 0 ]
