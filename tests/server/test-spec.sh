#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# packaging/nullblk.spec.in says what a build needs, and of which packages it
# is, where nothing of that is installed; and what --with fio wants.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires rpmspec
sed s/@VERSION@/1.0/ "$top_srcdir/packaging/nullblk.spec.in" >"$tmp/spec"
mkdir "$tmp/none" "$tmp/fio"

# query OPTION...: query the spec, without nbdkit, with the answer in $tmp/out.
query ()
{
  PKG_CONFIG_PATH='' PKG_CONFIG_LIBDIR=$tmp/none rpmspec --query "$@" \
    "$tmp/spec" >"$tmp/out" 2>"$tmp/err"
}

# says LINE: $tmp/out has to have it.
says ()
{
  grep -Fx -- "$1" "$tmp/out" >/dev/null ||
    fail "no '$1': $(cat "$tmp/out" "$tmp/err")"
}

query --buildrequires || fail "$(cat "$tmp/err")"
says 'pkgconfig(nbdkit) >= 1.32'
query --requires || fail "$(cat "$tmp/err")"
grep -x 'nbdkit-server.* >= 1\.32' "$tmp/out" >/dev/null ||
  fail "$(cat "$tmp/out")"

echo 'DEF_VER=fio-3.41' >"$tmp/fio/FIO-VERSION-GEN"
query --with fio --define "fio_source $tmp/fio" --requires ||
  fail "$(cat "$tmp/err")"
says 'fio >= 3.41'
says 'fio < 3.42'
! query --with fio --requires || fail "--with fio is enough by itself"
grep -F -- "--with fio wants --define 'fio_source DIR'" "$tmp/err" >/dev/null ||
  fail "$(cat "$tmp/err")"
