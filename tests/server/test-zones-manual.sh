#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The man page's programs that reach the zone table with libnbd alone, taken
# from there: that in C, and, where Python has libnbd, that in Python.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires cc pkg-config
pkg-config libnbd || skip "libnbd's header is missing"

# program HEADING: print the code below it.
program ()
{
  awk -v heading="=head2 $1" '/^=/ { ours = $0 == heading }
    ours && (/^ / || /^$/) { print substr ($0, 2) }' \
    "$top_srcdir/man/nbdkit-nullblk-plugin.pod"
}

# prints COMMAND...: it has to print what stdin has.
prints ()
{
  "$@" "$(uri_of nullb0.zones)" >"$tmp/out"
  diff - "$tmp/out" || fail "$*"
}

# prints_and_resets COMMAND...
prints_and_resets ()
{
  start_server 3M zoned=true zone-size=1M zone-nr-conv=1 zone-full=true
  prints "$@" <<'END'
zone 0: condition 0, write pointer 1048576
zone 1: condition 14, write pointer 2097152
zone 2: condition 14, write pointer 3145728
END
  prints "$@" <<'END'
zone 0: condition 0, write pointer 1048576
zone 1: condition 1, write pointer 1048576
zone 2: condition 1, write pointer 2097152
END
  stop_server
}

program "Zones from C" >"$tmp/zones.c"
read -ra flags < <(pkg-config --cflags --libs libnbd)
cc -Wall -Wextra -Werror -o "$tmp/zones" "$tmp/zones.c" "${flags[@]}"
prints_and_resets "$tmp/zones"
if "$tmp/zones" "$tmp/nobody" 2>"$tmp/err"; then
  fail "it does not mind who is not there"
fi
[ -s "$tmp/err" ] || fail "it does not say what is wrong"

has_python=
for python in python3 /usr/bin/python3; do
  if "$python" -c 'import nbd' 2>"$tmp/err"; then
    echo "with $python"
    has_python=yes
    program "Zones from Python" >"$tmp/zones.py"
    prints_and_resets "$python" "$tmp/zones.py"
    break
  fi
done
[ -n "$has_python" ] || leave_out "Python has no libnbd"
