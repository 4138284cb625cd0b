#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# make install puts the plugin where nbdkit looks for it, and the man page
# (where it is built) and the other documents in place; make uninstall takes
# them away.

# shellcheck source=install.sh source-path=SCRIPTDIR
source "${0%/*}/install.sh"
requires cmp

root=$tmp/root
run_make install DESTDIR="$root"

# installed FILE FROM
installed ()
{
  [ -f "$root$1" ] || fail "$1 is not there: $(find "$root")"
  cmp "$2" "$root$1" || fail "$1 is not $2"
}

plugin=$(make_variable plugindir)/nbdkit-nullblk-plugin.so
[ -f "$root$plugin" ] || fail "$plugin is not there: $(find "$root")"
version=$("$NBDKIT" "$root$plugin" --version | grep ^nullblk) ||
  fail "nbdkit does not load it"
[ "$version" = "$("$NBDKIT" "$PLUGIN" --version | grep ^nullblk)" ] ||
  fail "it is another one: $version"
[ -z "$(find "$root" -name '*.la')" ] || fail "libtool's file is there"

serve=$(make_variable bindir)/nullblk-serve
[ "$("$root$serve" --version)" = \
  "$("$top_builddir/tools/nullblk-serve" --version)" ] ||
  fail "$serve is not there: $(find "$root")"
installed "$(make_variable pkglibdir)/libnullblk-batch.so" \
  "$top_builddir/plugin/.libs/libnullblk-batch.so"

for doc in README.md NEWS LICENSE HACKING.md; do
  installed "$(make_variable docdir)/$doc" "$top_srcdir/$doc"
done

for dir in "$top_builddir" "$top_srcdir"; do
  page=$dir/man/nbdkit-nullblk-plugin.1
  [ ! -e "$page" ] ||
    installed "$(make_variable mandir)/man1/nbdkit-nullblk-plugin.1" "$page"
done

run_make uninstall DESTDIR="$root"
left=$(find "$root" ! -type d)
[ -z "$left" ] || fail "make uninstall leaves $left"
