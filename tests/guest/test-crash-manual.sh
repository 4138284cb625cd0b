#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The man page's test of a database, taken from there, prints what stands there:
# nothing is lost, and when flushes lie, something is.  How many transactions
# there are at a cut may differ, and so may what is left of those that are lost.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"

# block N: print the Nth example of the section.
block ()
{
  awk -v n="$1" '
    /^=/ { ours = $0 == "=head2 A database, for example" }
    !ours { next }
    /^[^ ]/ { inside = 0 }
    /^ / && !inside { inside = 1; seen++ }
    inside && seen == n { print substr ($0, 2) }' \
    "$top_srcdir/man/nbdkit-nullblk-plugin.pod"
}

if on_host; then
  requires sqlite3
  for program in nullblk-attach nullblk-serve nullblkctl; do
    [ -x "$top_builddir/tools/$program" ] || skip "$program is not built"
  done
  mkdir -p "$tmp/add/manual"
  block 1 >"$tmp/add/manual/crash-test"
  block 2 | sed '/^$/d' >"$tmp/add/manual/printed"
  chmod +x "$tmp/add/manual/crash-test"
  export NULLBLK_ADD=$tmp/add
  boot_guest
  exit
fi

export NULLBLK_PLUGIN=$PLUGIN PATH=/:$PATH
cd /manual
[ "$(grep -c '^# ' printed)" = 2 ] || fail "not two commands: $(cat printed)"

modprobe ext4
while read -r line; do
  echo "$line"
  status=0
  bash -c "${line#\# }" >"$tmp/out" 2>"$tmp/err" || status=$?
  cat "$tmp/out"
  cat "$tmp/err" >&2
  case $(tail -n 1 "$tmp/out") in
    *': good') [ "$status" = 0 ] || fail "status $status" ;;
    *': LOST') [ "$status" = 1 ] || fail "status $status" ;;
  esac
done < <(grep '^# ' printed) >"$tmp/transcript"
cat "$tmp/transcript"

# what_counts FILE
what_counts ()
{
  sed -E 's/: [0-9]+ committed, ok [0-9]+ there: good$/: good/
    s/: [0-9]+ committed, .* there: LOST$/: LOST/' "$1"
}
diff <(what_counts printed) <(what_counts "$tmp/transcript") ||
  fail "the man page has something else"
[ "$(nullblk-attach --list)" = '' ] || fail "a device is left"
