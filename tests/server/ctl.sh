# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What the tests of nullblkctl share.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
ctl=$top_builddir/tools/nullblkctl
[ -x "$ctl" ] || skip "nullblkctl is not built"

# says STATUS PATTERN ARGUMENT...: nullblkctl must end with STATUS, and say on
# stderr what PATTERN matches, in one line at most.
says ()
{
  local status=0

  "$ctl" "${@:3}" >"$tmp/out" 2>"$tmp/err" </dev/null || status=$?
  [ "$status" = "$1" ] || fail "${*:3}: status $status: $(cat "$tmp/err")"
  # shellcheck disable=SC2053 # a pattern
  [[ $(cat "$tmp/err") == $2 ]] || fail "${*:3}: not '$2': $(cat "$tmp/err")"
  [ "$(wc -l <"$tmp/err")" -le 1 ] || fail "${*:3}: $(cat "$tmp/err")"
}

# prints PATTERN ARGUMENT...: nullblkctl must succeed, and print a line that the
# extended regular expression PATTERN matches.
prints ()
{
  says 0 '' "${@:2}"
  grep -Eqx -- "$1" "$tmp/out" || fail "${*:2}: no '$1': $(cat "$tmp/out")"
}
