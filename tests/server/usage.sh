# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Functions for tests that call a program for root wrongly, or as another user.
# Such a test sets $name to the program's name before it sources this.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"

: "${name:?is set by the test}"
program=$top_builddir/tools/$name
[ -x "$program" ] || skip "$name is not built"
page=$top_srcdir/man/$name.pod
as=() # the command that runs the program

# says STATUS TEXT ARGUMENT...: the program has to print a line that matches the
# pattern TEXT.  Its usage may follow if STATUS is 2, and nothing otherwise.
says ()
{
  local status=0

  "${as[@]}" "$program" "${@:3}" >"$tmp/out" 2>"$tmp/err" || status=$?
  [ "$status" = "$1" ] || fail "${*:3}: exit status $status, not $1"
  [ ! -s "$tmp/out" ] || fail "${*:3}: $(cat "$tmp/out")"
  # shellcheck disable=SC2053 # a pattern
  [[ $(head -n 1 "$tmp/err") == $2 ]] || fail "${*:3}: $(cat "$tmp/err")"
  [ "$1" = 2 ] || [ "$(wc -l <"$tmp/err")" = 1 ] ||
    fail "${*:3}: more than a line: $(cat "$tmp/err")"
}

# From now on says runs the program as a user who is not root.
become_nobody ()
{
  [ "$(id -u)" = 0 ] || return 0
  as=(setpriv --reuid 65534 --regid 65534 --clear-groups)
  chmod 755 "$tmp"
  cp "$program" "$tmp/$name"
  program=$tmp/$name
}

# same_options SHORT: --help has to have the options of the man page, except
# those that it shows by their letters alone, which match the pattern SHORT.
same_options ()
{
  "$program" --help | grep -oE -- '--[a-z]+(-[a-z]+)*' | sort -u >"$tmp/help"
  grep -oE '^=item B<--[a-z-]+>( B<--all>)?' "$page" |
    grep -oE -- '--[a-z-]+' | grep -vxE -- "--($1)" | sort -u >"$tmp/page"
  diff "$tmp/help" "$tmp/page" || fail "--help and the man page differ"
  [ "$(wc -l <"$tmp/help")" -ge 8 ] || fail "--help has hardly an option"
}
