# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What the tests of the service units share: the units as make install installs
# them, and what systemd would make of them, as far as they need it.

# shellcheck source=install.sh source-path=SCRIPTDIR
source "${0%/*}/install.sh"

# For %i and %t.
instance=ram
run=$tmp/run

root=$tmp/root
units=$root$(make_variable systemdsystemunitdir)
# shellcheck disable=SC2034 # by those that source this
examples=$root$(make_variable docdir)/examples
[ "$units" != "$root" ] || skip "make install installs no units"
run_make -C tools install DESTDIR="$root"

# values UNIT KEY: print all values that a unit gives KEY.
values ()
{
  sed -n "s/^$2=//p" "$units/$1"
}

# specifiers: print stdin with %i and %t replaced.
specifiers ()
{
  sed "s,%i,$instance,g; s,%t,$run,g"
}

# read_conf FILE: read the variables of an EnvironmentFile as a shell does,
# which is the same if nothing in the file is to be expanded.
read_conf ()
{
  ! grep -v '^#' "$1" | grep '[$`\\]' >/dev/null || fail "$1 is more than words"
  # shellcheck disable=SC1090 # any
  source "$1"
}

# read_environment UNIT: set the variables of its Environment.
read_environment ()
{
  local assignment

  while read -r assignment; do
    declare -g "$assignment"
  done < <(values "$1" Environment | specifiers)
}

# read_command UNIT KEY: read a command into the array `command`, with this
# build's nullblk-serve, and variables that stand alone split into words.
read_command ()
{
  local word words
  local installed

  installed=$(make_variable bindir)/nullblk-serve
  command=()
  read -ra words < <(values "$1" "$2" | specifiers)
  for word in "${words[@]}"; do
    case $word in
      \$*)
        word=${word#\$}
        # shellcheck disable=SC2206 # split it
        command+=(${!word-})
        ;;
      "$installed") command+=("$top_builddir/tools/nullblk-serve") ;;
      *) command+=("$word") ;;
    esac
  done
  [ ${#command[@]} -gt 0 ] || fail "$1 has no $2"
}
