#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-ublk called wrongly, or without root, says so in one line; its options
# and its man page are the same.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"

ublk=$top_builddir/tools/nullblk-ublk
[ -x "$ublk" ] || skip "nullblk-ublk is not built"
page=$top_srcdir/man/nullblk-ublk.pod

# says STATUS TEXT ARGUMENT...: on stderr, in its first line.
says ()
{
  local status=0

  "${as[@]}" "$ublk" "${@:3}" >"$tmp/out" 2>"$tmp/err" || status=$?
  [ "$status" = "$1" ] || fail "${*:3}: exit status $status, not $1"
  [ ! -s "$tmp/out" ] || fail "${*:3}: $(cat "$tmp/out")"
  # shellcheck disable=SC2053 # a pattern
  [[ $(head -n 1 "$tmp/err") == $2 ]] || fail "${*:3}: $(cat "$tmp/err")"
}

as=()
says 2 'nullblk-ublk \[-f\]*'
says 2 'nullblk-ublk \[-f\]*' --detach
says 2 'nullblk-ublk \[-f\]*' --list x
says 2 '*unrecognized option*' --nonsense nbd://localhost
says 2 'nullblk-ublk: --queues 0: allowed is *' -q 0 nbd://localhost
says 2 'nullblk-ublk: 8G: this is no URI*' 8G

if [ "$(id -u)" = 0 ]; then
  as=(setpriv --reuid 65534 --regid 65534 --clear-groups)
  chmod 755 "$tmp"
  cp "$ublk" "$tmp/nullblk-ublk"
  ublk=$tmp/nullblk-ublk
fi
says 1 'nullblk-ublk: only root can make a ublk device' nbd://localhost
says 1 'nullblk-ublk: only root can see what is attached' --list
says 1 'nullblk-ublk: only root can see what is attached' --detach --all

# Options in --help and in the man page.
"$ublk" --help | grep -oE -- '--[a-z]+(-[a-z]+)?' | sort -u >"$tmp/help"
grep -oE '^=item B<--[a-z-]+>( B<--all>)?' "$page" | grep -oE -- '--[a-z-]+' |
  grep -vxE -- '--(foreground|queues|depth)' | sort -u >"$tmp/page"
diff "$tmp/help" "$tmp/page" || fail "--help and the man page differ"
[ "$(wc -l <"$tmp/help")" -ge 8 ] || fail "--help has hardly an option"
