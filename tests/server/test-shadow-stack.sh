#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# A process with a shadow stack may load the plugin and the library that
# batches socket I/O: they are marked for it, and every object in them is made
# for it.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires objdump readelf

grep -qx 'CF_CFLAGS = -fcf-protection' "$top_builddir/plugin/Makefile" ||
  skip "the compiler or linker has no -fcf-protection"

# marked FILE FUNCTION: the file has to be marked, and FUNCTION to begin with
# the instruction at which a branch may arrive.
marked ()
{
  readelf --wide --notes "$1" >"$tmp/notes"
  grep -q 'x86 feature:.*SHSTK' "$tmp/notes" ||
    fail "$1 is not marked: $(cat "$tmp/notes")"
  objdump --disassemble="$2" "$1" >"$tmp/code"
  grep -qE 'endbr(64|32)' "$tmp/code" || fail "$1: $(cat "$tmp/code")"
}
marked "$PLUGIN" plugin_init
marked "$top_builddir/plugin/.libs/libnullblk-batch.so" read

# All objects of the plugin.
readelf --wide --notes "$top_builddir/plugin/.libs/libcore.a" >"$tmp/notes"
objects=$(grep -c '^File: ' "$tmp/notes")
made=$(grep -c 'x86 feature: IBT, SHSTK' "$tmp/notes")
[[ $objects -gt 30 && $made = "$objects" ]] ||
  fail "$made of $objects objects are made for it: $(cat "$tmp/notes")"
