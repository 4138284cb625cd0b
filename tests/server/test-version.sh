#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nbdkit PLUGIN --version gives the version that was configured, with and
# without parameters on the command line.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
version=$(sed -n 's/^#define PACKAGE_VERSION "\(.*\)"$/\1/p' \
  "$top_builddir/config.h")
[ -n "$version" ] || fail "there is no PACKAGE_VERSION in config.h"
for args in '' 'size=1M memory-backed=true'; do
  # shellcheck disable=SC2086 # none or two
  "$NBDKIT" "$PLUGIN" $args --version >"$tmp/out" 2>"$tmp/err" ||
    fail "--version failed: $(cat "$tmp/err")"
  [ ! -s "$tmp/err" ] || fail "--version complains: $(cat "$tmp/err")"
  grep -qx "nullblk $version" "$tmp/out" ||
    fail "not nullblk $version: $(cat "$tmp/out")"
done
