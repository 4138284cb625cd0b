#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# make-sbom lists each library that a program is linked to, with a version and a
# licence.  All references have a target, and a second run gives the same.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires jq ldd readelf sha256sum dpkg-query

tarball=$tmp/nullblk-9.9.tar.xz
echo x >"$tarball"
objects=("$top_builddir/plugin/.libs/nbdkit-nullblk-plugin.so")
for program in serve attach ublk measure; do
  [ ! -x "$top_builddir/tools/nullblk-$program" ] ||
    objects+=("$top_builddir/tools/nullblk-$program")
done
[ ! -x "$top_builddir/tools/nullblkctl" ] ||
  objects+=("$top_builddir/tools/nullblkctl")

sbom ()
{
  "$top_srcdir/packaging/make-sbom" 9.9 "$tarball" "${objects[@]}"
}

sbom >"$tmp/json" || fail "make-sbom fails"
sbom | cmp - "$tmp/json" || fail "it says something else the second time"
jq -e '.spdxVersion == "SPDX-2.3" and .packages[0].versionInfo == "9.9"' \
  "$tmp/json" >/dev/null || fail "that is no SBOM of 9.9: $(cat "$tmp/json")"

# Identifiers are unique, and references lead to one.
jq -e '[.packages[].SPDXID, "SPDXRef-DOCUMENT"] as $ids |
  ($ids | length) == ($ids | unique | length) and
  ([.relationships[] | .spdxElementId, .relatedSpdxElement] - $ids == [])' \
  "$tmp/json" >/dev/null || fail "identifiers: $(cat "$tmp/json")"
unknown=$(jq -r '.packages[] |
  select (.licenseDeclared == "NOASSERTION" or .versionInfo == "unknown") |
  .comment' "$tmp/json")
[ -z "$unknown" ] || fail "no licence or version: $unknown"

for object in "${objects[@]}"; do
  while read -r library; do
    jq -e --arg object "${object##*/}" --arg library "${library%%.so*}" '
      (.packages[] | select (.name == $object) | .SPDXID) as $from |
      (.packages[] | select (.comment == $library) | .SPDXID) as $to |
      any(.relationships[]; .spdxElementId == $from and
        .relatedSpdxElement == $to)' "$tmp/json" >/dev/null ||
      fail "$object is linked to $library, which is not listed"
  done < <(readelf --dynamic "$object" |
    sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
done
