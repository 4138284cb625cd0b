#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The examples of configurations: the plugin takes every parameter that they
# show, nbdkit and nullblk-attach take the options, and units use all variables
# that are set.

# shellcheck source=systemd.sh source-path=SCRIPTDIR
source "${0%/*}/systemd.sh"
requires nbdinfo

# shown FILE: print the example, with the lines that are comments uncommented.
shown ()
{
  sed 's/^#\([A-Z]*=\)/\1/' "$examples/$1" >"$tmp/$1"
  read_conf "$tmp/$1"
}

# used FILE UNIT...: the variables of the example and of the units have to
# agree.
used ()
{
  diff <(grep -oE '^#?[A-Z]+=' "$examples/$1" | tr -d '#=' | sort) \
    <(for unit in "${@:2}"; do
      values "$unit" ExecStart | grep -oE '\$[A-Z]+' | tr -d '$'
    done | sort -u) || fail "$1 sets other variables than are used"
}

used nullblk.conf nullblk@.service nullblk-socket@.service
PARAMETERS="" LISTEN="" OPTIONS=""
shown nullblk.conf
[[ -n $PARAMETERS && -n $LISTEN && -n $OPTIONS ]] || fail "something is empty"

# No parameter that does not exist.
sed -n 's/^#   \([a-z-]*\)=.*/\1/p' "$examples/nullblk.conf" |
  sort >"$tmp/shown"
"$top_builddir/tests/unit/list-parameters" |
  awk '$1 == "parameter" { print $2 }' | sort >"$tmp/table"
[ -s "$tmp/shown" ] || fail "no parameters are shown"
comm -23 "$tmp/shown" "$tmp/table" >"$tmp/unknown"
[ ! -s "$tmp/unknown" ] || fail "no such parameters: $(xargs <"$tmp/unknown")"

# serves SIZE PARAMETER...: nbdkit has to serve this size, with the example's
# options.
serves ()
{
  local size

  # shellcheck disable=SC2016,SC2086 # nbdkit's shell; words
  size=$("$NBDKIT" -U - $OPTIONS "$PLUGIN" "${@:2}" \
    --run 'nbdinfo --size "nbd+unix:///?socket=$unixsocket"') ||
    fail "not accepted: ${*:2}"
  [ "$size" = "$1" ] || fail "the size is $size"
}

mapfile -t defaults < <(sed -n 's/^#   \([a-z-]*=.*\)/\1/p' \
  "$examples/nullblk.conf")
serves $((250 << 30)) "${defaults[@]}"
read -rd '' -a words <<<"$PARAMETERS" || true
serves $((8 << 30)) "${words[@]}"

# LISTEN is only read, as the port may be in use.
# shellcheck disable=SC2086 # words
"$NBDKIT" $LISTEN "$PLUGIN" --version >"$tmp/out" || fail "nbdkit $LISTEN"

[ -e "$units/nullblk-attach@.service" ] ||
  skip "nullblk-attach's unit is not built"
used nullblk-attach.conf nullblk-attach@.service
URI="" OPTIONS=""
shown nullblk-attach.conf
[[ $URI == nbd://* && -n $OPTIONS ]] || fail "something is empty"
read_command nullblk-attach@.service ExecStart
# --version is an option, so it comes before the URI.
command=("${command[@]:1:$((${#command[@]} - 2))}")
"$top_builddir/tools/nullblk-attach" "${command[@]}" --version >"$tmp/out" ||
  fail "nullblk-attach does not take ${command[*]}"
