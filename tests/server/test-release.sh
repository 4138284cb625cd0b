#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# packaging/make-release signs a release, here by a key that is thrown away
# afterwards, and a file that is changed later fails gpg --verify.  It asks for
# what only the person who makes a release can fill in.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires gpg gpgconf gpg-agent sha256sum
version=$(sed -n "s/^PACKAGE_VERSION='\(.*\)'$/\1/p" \
  "$top_builddir/config.log")
[ -n "$version" ] || fail "config.log has no version"

export GNUPGHOME=$tmp/gpg
mkdir -m 700 "$GNUPGHOME"
end_agent ()
{
  gpgconf --kill gpg-agent || true
}
at_exit+=(end_agent)
gpg --batch --quiet --passphrase '' --quick-generate-key tester@localhost \
  ed25519 sign never 2>"$tmp/gpg.err" || fail "$(cat "$tmp/gpg.err")"

source=$tmp/source
mkdir -p "$source/debian"
cp "$top_srcdir"/debian/{control,changelog} "$source/debian"
cp "$top_srcdir"/{NEWS,SECURITY.md} "$source"
chmod -R u+w "$source"
# By their names alone, as make release gives them.
cd "$tmp"
tarball=nullblk-$version.tar.xz
sbom=nullblk-$version.spdx.json
# pack: make a tarball of $source, and its SBOM.
pack ()
{
  rm -rf "nullblk-$version"
  cp -r "$source" "nullblk-$version"
  tar -cJf "$tarball" "nullblk-$version"
  printf '"%s"\n' "$(sha256sum "$tarball" | cut -d' ' -f1)" >"$sbom"
}

make_release ()
{
  bash "$top_srcdir/packaging/make-release" "$source" "$tarball" "$sbom" \
    >"$tmp/out" 2>&1
}

# For the sources as they are, it asks for all at once.
sed -i '1s/.*/nullblk (not released yet)/' "$source/NEWS"
sed -i '1s/unstable/UNRELEASED/' "$source/debian/changelog"
sed -i 's/<.*@[^>]*>/<maintainers@nullblk.example>/' "$source/debian/control"
echo 'There is no address here.' >>"$source/SECURITY.md"
pack
echo '"of another"' >"$sbom"
! make_release || fail "it takes a release that is not one"
for what in debian/control debian/changelog: NEWS: SECURITY.md: "$sbom"; do
  grep -F "$what" "$tmp/out" >/dev/null ||
    fail "it does not ask for $what: $(cat "$tmp/out")"
done
[ ! -e "$tarball.asc" ] || fail "it signs what it refuses"

sed -i "1s/.*/nullblk $version (2000-01-02)/" "$source/NEWS"
sed -i '1s/UNRELEASED/unstable/; s/nullblk\.example/localhost/' \
  "$source"/debian/*
sed -i '/There is no address/d' "$source/SECURITY.md"
! make_release || fail "it signs another tarball"
for file in debian/control debian/changelog SECURITY.md NEWS; do
  grep -F "$tarball has another $file" "$tmp/out" >/dev/null ||
    fail "$file: $(cat "$tmp/out")"
done
pack
make_release || fail "$(cat "$tmp/out")"
for file in "$tarball" "$sbom"; do
  gpg --verify "$file.asc" "$file" 2>/dev/null || fail "$file is not signed"
  echo more >>"$file"
  ! gpg --verify "$file.asc" "$file" 2>/dev/null ||
    fail "$file may be changed"
done
