#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nbdkit finds the installed plugin by its name.  In a mount namespace of this
# test, the directory of the installation is mounted over nbdkit's own.

# shellcheck source=install.sh source-path=SCRIPTDIR
source "${0%/*}/install.sh"
requires unshare mount nbdinfo
[ "$(id -u)" = 0 ] || skip "only root may mount"
unshare --mount true 2>/dev/null ||
  skip "unshare --mount does not work here"

plugindir=$("$NBDKIT" --dump-config | sed -n 's/^plugindir=//p')
[ -d "$plugindir" ] || fail "nbdkit's plugindir is '$plugindir'"
run_make install DESTDIR="$tmp/root"
installed=$tmp/root$(make_variable plugindir)

# shellcheck disable=SC2016 # for that bash to expand
unshare --mount bash -euc '
  mount --bind "$1" "$2"
  "$3" nullblk --version
  "$3" -U - nullblk 3G --run "nbdinfo --size \$uri"
' bash "$installed" "$plugindir" "$NBDKIT" >"$tmp/out" ||
  fail "nbdkit nullblk fails: $(cat "$tmp/out")"
grep -q '^nullblk [0-9]' "$tmp/out" || fail "no version: $(cat "$tmp/out")"
grep -qx 3221225472 "$tmp/out" || fail "no size: $(cat "$tmp/out")"
