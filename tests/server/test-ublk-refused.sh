#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# ublk=true where no such device can be made: nbdkit fails with one line that
# says why, and has never listened.  What the kernel would refuse is refused
# before the kernel is asked, so also if it has no driver.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"

# refused TEXT ARGUMENT...: nbdkit, run by the command $before, has to fail with
# TEXT.
before=()
refused ()
{
  if "${before[@]}" "$NBDKIT" -U "$tmp/sock" "$PLUGIN" ublk=true "${@:2}" \
       --run "touch '$tmp/ran'" 2>"$tmp/err"; then
    fail "ublk=true ${*:2}: it is taken"
  fi
  [ ! -e "$tmp/ran" ] || fail "ublk=true ${*:2}: it has listened"
  # shellcheck disable=SC2053 # a pattern
  [[ $(cat "$tmp/err") == "nbdkit: error: ublk=true: "$1 ]] ||
    fail "ublk=true ${*:2}: it says: $(cat "$tmp/err")"
  [ "$(wc -l <"$tmp/err")" = 1 ] || fail "ublk=true ${*:2}: more than a line"
}

if "$NBDKIT" "$PLUGIN" --dump-plugin | grep -x nullblk_ublk=no >/dev/null; then
  refused '*was built without liburing'
  exit
fi

if [ "$(id -u)" != 0 ]; then
  refused 'only root can make a ublk device'
  exit
fi
command -v setpriv >/dev/null || skip "setpriv is missing"
chmod 755 "$tmp"
before=(setpriv --reuid=65534 --clear-groups)
if "${before[@]}" test -r "$PLUGIN" && "${before[@]}" test -w "$tmp/.."; then
  mkdir -m 777 "$tmp/nobody"
  kept=$tmp
  tmp=$tmp/nobody
  refused 'only root can make a ublk device'
  tmp=$kept
fi
before=()

# Before the kernel is asked.
refused '*blocks have 8192 bytes*' 1G block-size=8K
refused '*last zone is shorter*' 10M zoned=true zone-size=4M
refused '*it has 65537 zones*' $((65537 * 4096)) zoned=true zone-size=4K

# A kernel without the driver, or one that does not let us use it.
if [ ! -e /dev/ublk-control ] && ! modprobe -n ublk_drv 2>/dev/null; then
  refused '*no ublk driver*'
fi
