#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Each file that make install installs is in exactly one package, in the same
# for Debian and for RPM.  No package lists a file that is not installed.  The
# packages' tests depend only on packages that are always made.
# debian/changelog has the version of this release.

# shellcheck source=install.sh source-path=SCRIPTDIR
source "${0%/*}/install.sh"
off=$(sed -n "s/^\(HAVE_.*\|BUILD_.*\)_TRUE='#'$/\1/p" \
  "$top_builddir/config.log" | grep -vx 'HAVE_FIO\|HAVE_[AT]SAN' || true)
[ -z "$off" ] || skip "not all is built: ${off//$'\n'/, }"

# A line for each file or directory: PACKAGE PATH, with * for a directory that
# differs between systems.

# From debian/PACKAGE.install, with the names of packages that the spec has.
debian ()
{
  local file package

  for file in "$top_srcdir"/debian/*.install; do
    package=${file##*/}
    package=${package%.install}
    sed "/^#/d; /^\$/d; s,^,${package/nbdkit-plugin-nullblk/nbdkit-nullblk-plugin} ," \
      "$file"
  done
}

# From the spec's %files; a directory by itself has no files.
spec ()
{
  awk '
    /^%files -n / { package = $3; next }
    /^%files /    { package = "nullblk-" $2; next }
    /^%(package|description|prep|build|install|check|preun)/ { package = "" }
    package && !/^%(license|dir|if|endif)/ && NF { print package, $1 }
  ' "$top_srcdir/packaging/nullblk.spec.in" |
    sed 's,%{plugindir},usr/lib/*/nbdkit/plugins,
         s,%{completionsdir},usr/share/bash-completion/completions,
         s,%{unitdir},usr/lib/systemd/system,
         s,%{_bindir},usr/bin,; s,%{_sbindir},usr/sbin,
         s,%{_libdir},usr/lib/*,; s,%{_datadir},usr/share,
         s,%{_docdir},usr/share/doc,; s,%{_mandir}\(.*\)\*$,usr/share/man\1,'
}

debian | LC_ALL=C sort >"$tmp/debian"
spec | LC_ALL=C sort >"$tmp/spec"
[ "$(wc -l <"$tmp/debian")" -gt 20 ] || fail "debian/*.install have few files"
diff "$tmp/debian" "$tmp/spec" ||
  fail "debian/*.install (<) and nullblk.spec.in (>) differ"

# Install by a tree that was configured for other directories.
root=$tmp/root
run_make install DESTDIR="$root"
(cd "$root" && find . ! -type d -printf '%P\n') |
  sed "s,^$(make_variable plugindir | cut -c2-)/,usr/lib/*/nbdkit/plugins/,
       s,^$(make_variable pkglibdir | cut -c2-)/,usr/lib/*/nullblk/,
       s,^$(make_variable docdir | cut -c2-)/,usr/share/doc/nullblk-tools/,
       s,^.*/systemd/system/,usr/lib/systemd/system/,
       s,^.*/bash-completion/,usr/share/bash-completion/,
       s,^$(make_variable prefix | cut -c2-)/,usr/," |
  LC_ALL=C sort >"$tmp/installed"

# above FILE: print how many lines of stdin are FILE, or a directory above it.
above ()
{
  awk -v file="$1" 'index(file "/", $0 "/") == 1 { n++ } END { print n + 0 }'
}

# is_installed PATH: was this file, or a directory with files, installed?
is_installed ()
{
  awk -v path="$1" '
    index($0 "/", path "/") == 1 { found = 1 } END { exit !found }' \
    "$tmp/installed"
}

sed '/^#/d' "$top_srcdir/debian/not-installed" >"$tmp/not-installed"
while read -r file; do
  n=$(cut -d' ' -f2 "$tmp/debian" | above "$file")
  [ "$n" -le 1 ] || fail "more than one package has $file"
  [ "$n" = 1 ] || [ "$(above "$file" <"$tmp/not-installed")" -gt 0 ] ||
    fail "no package has $file"
done <"$tmp/installed"

while read -r package file; do
  [ "$package" != nullblk-fio ] || continue # which need not be built
  is_installed "$file" ||
    fail "$package has $file, which make install does not install"
done <"$tmp/debian"
while read -r file; do
  is_installed "$file" ||
    fail "debian/not-installed has $file, which make install does not install"
done <"$tmp/not-installed"

# @ stands for all packages, but nullblk-fio is not always made.
! grep -nE '(^|[ :,])@([ ,]|$)' "$top_srcdir/debian/tests/control" ||
  fail "debian/tests/control wants packages that need not be there"

version=$(make_variable PACKAGE_VERSION)
packaged=$(sed -n '1s/.*(\(.*\)-[^-]*).*/\1/p' "$top_srcdir/debian/changelog")
[ "$packaged" = "$version" ] ||
  fail "debian/changelog is of $packaged, and this is $version"
