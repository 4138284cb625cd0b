#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Each fuzzer goes through its corpus, and then through some thousand new
# inputs, without a finding.  It makes the fuzzers first: they need clang, and
# nothing else of a build tree does.

set -euo pipefail
fuzz=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/fuzz/functions.sh
. "$fuzz/functions.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The flags are those of the make that runs this.
env -u MAKEFLAGS -u MFLAGS make -C "${top_builddir:?}/tests" -j2 fuzzers \
  >"$work/make.log" 2>&1 || {
  tail -n 30 "$work/make.log"
  exit 1
}
[ -x "$top_builddir/tests/fuzz/fuzz-uri" ] || {
  cat "$work/make.log"
  exit 77
}

# How many executions take a few seconds, at most.
runs_of ()
{
  case $1 in
    config) echo 1000 ;;
    device) echo 2500 ;;
    uri | numbers | distribution) echo 50000 ;;
    *) echo 10000 ;;
  esac
}

# The same ones each time: fuzz/run is for what is new.
seed=${NULLBLK_SEED:-1}
for name in $(fuzzer_names); do
  echo "$name: NULLBLK_SEED=$seed"
  mkdir "$work/$name"
  unpack_corpus "$name" "$work/$name"
  with_dictionary "$name"
  "$top_builddir/tests/fuzz/fuzz-$name" "${options[@]}" "${dictionary[@]}" \
    -seed="$seed" -runs="$(runs_of "$name")" -artifact_prefix="$work/finding-" \
    "$work/$name" >"$work/$name.out" 2>&1 || {
    cat "$work/$name.out"
    exit 1
  }
done
