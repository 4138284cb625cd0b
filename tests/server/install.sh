# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What the tests of make install share.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires make

# run_make ARGUMENT...: run make in the build tree, without the variables of the
# make that runs this test.
run_make ()
{
  env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL \
    make -C "$top_builddir" "$@" >"$tmp/make.out" 2>&1 ||
    fail "make $*: $(cat "$tmp/make.out")"
}

# make_variable NAME: print its value in the plugin's Makefile, expanded.
make_variable ()
{
  # shellcheck disable=SC2016 # for make to expand
  env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL \
    make -s --no-print-directory -C "$top_builddir/plugin" \
    --eval='print-variable: ; @echo $('"$1"')' print-variable
}
