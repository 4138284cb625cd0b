# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What every test of nullblk-ublk begins with: functions.sh, the program, and
# that nothing stays attached.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"

ublk=/nullblk-ublk

# boot_to_ublk: boot_guest, where there is a program to test in it.
boot_to_ublk ()
{
  [ -x "$top_builddir/tools/nullblk-ublk" ] || skip "nullblk-ublk is not built"
  # shellcheck disable=SC2119
  boot_guest
}

detach_all ()
{
  "$ublk" --detach --all
}
if ! on_host; then
  modprobe ublk_drv || skip "this kernel has no ublk"
  at_exit+=(detach_all)
fi

# attach_ublk ARGUMENT...: sets $disk, and $queue of it, which is all that it
# prints.
attach_ublk ()
{
  disk=$("$ublk" "$@" 2>"$tmp/err") || fail "$*: $(cat "$tmp/err")"
  [[ $disk =~ ^/dev/ublkb[0-9]+$ ]] || fail "$*: it says '$disk'"
  [ -b "$disk" ] || fail "$*: there is no $disk"
  # shellcheck disable=SC2034 # for the tests
  queue=/sys/block/${disk##*/}/queue
}

detach_ublk ()
{
  try "$ublk" --detach "$disk"
}

# leaves_nothing WHEN: no device, no process, no file.
leaves_nothing ()
{
  [ -z "$(ls /run/nullblk-ublk)" ] || fail "$1: left: $(ls /run/nullblk-ublk)"
  [ -z "$(ls /sys/class/ublk-char)" ] ||
    fail "$1: left: $(ls /sys/class/ublk-char)"
  ! grep -l '^nullblk-ublk$' /proc/[0-9]*/comm 2>/dev/null ||
    fail "$1: left: a process"
}

# refuses TEXT ARGUMENT...: with one line that is so.
refuses ()
{
  ! "$ublk" "${@:2}" >"$tmp/out" 2>"$tmp/err" || fail "${*:2}: it succeeds"
  # shellcheck disable=SC2053 # a pattern
  [[ $(cat "$tmp/err") == "nullblk-ublk: "$1 ]] ||
    fail "${*:2}: it says: $(cat "$tmp/err")"
  [ "$(wc -l <"$tmp/err")" = 1 ] || fail "${*:2}: more than a line"
}
