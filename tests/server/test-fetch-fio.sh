#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# build-aux/fetch-fio.sh leaves alone what it has not made.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
mkdir "$tmp/full" "$tmp/bin"
echo precious >"$tmp/full/file"
# If the script went on, it would run these, and find no package.
for program in dpkg-query apt-get fio; do
  printf '#!/bin/sh\ntouch %q\nexit 1\n' "$tmp/asked" >"$tmp/bin/$program"
done
chmod +x "$tmp"/bin/*

# fetch DIRECTORY: run it, which has to fail, with its output in $tmp/out.
fetch ()
{
  ! PATH=$tmp/bin:$PATH bash "$top_srcdir/build-aux/fetch-fio.sh" "$1" \
    >"$tmp/out" 2>&1 || fail "$1: it succeeds"
}

for name in full full/file; do
  fetch "$tmp/$name"
  grep -Fx "$tmp/$name is neither empty nor made by fetch-fio" "$tmp/out" \
    >/dev/null || fail "$(cat "$tmp/out")"
  [ ! -e "$tmp/asked" ] || fail "$name: it goes on"
  [ "$(cat "$tmp/full/file")" = precious ] || fail "$name: the file is gone"
done

mkdir "$tmp/empty"
fetch "$tmp/empty"
[ -e "$tmp/asked" ] || fail "an empty directory is refused: $(cat "$tmp/out")"
