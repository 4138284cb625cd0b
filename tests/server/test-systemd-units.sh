#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# systemd accepts the units, and finds them well restricted; the two that serve
# have the same restrictions.

# shellcheck source=systemd.sh source-path=SCRIPTDIR
source "${0%/*}/systemd.sh"
requires systemd-analyze
systemd-analyze --help | grep -- --offline >/dev/null ||
  skip "systemd-analyze cannot work offline"

# A machine of its own: the targets, beside the programs that the units run.
theirs=$(pkg-config --variable=systemdsystemunitdir systemd) ||
  skip "systemd.pc is missing"
mkdir -p "$root/usr/lib/systemd/system"
cp -P "$theirs"/*.target "$theirs"/*.slice "$root/usr/lib/systemd/system"
[ "$units" -ef "$root/usr/lib/systemd/system" ] ||
  cp "$units"/* "$root/usr/lib/systemd/system"

names=(nullblk@ram.service nullblk@ram.socket nullblk-socket@ram.service)
[ ! -e "$units/nullblk-attach@.service" ] ||
  names+=(nullblk-attach@ram.service)
systemd-analyze verify --man=no --root="$root" "${names[@]}" \
  >"$tmp/out" 2>&1 || fail "verify: $(cat "$tmp/out")"
[ ! -s "$tmp/out" ] || fail "verify: $(cat "$tmp/out")"

# secure BOUND UNIT: its exposure, in tenths, must not be above that.
secure ()
{
  systemd-analyze security --no-pager --offline=true --root="$root" \
    --threshold="$1" "$2" >"$tmp/out" 2>&1 || fail "$2: $(cat "$tmp/out")"
  grep -q 'Overall exposure' "$tmp/out" || fail "$2: $(cat "$tmp/out")"
}

secure 15 nullblk@ram.service
secure 15 nullblk-socket@ram.service
[ ! -e "$units/nullblk-attach@.service" ] ||
  secure 46 nullblk-attach@ram.service # it may serve a ublk device

# locks UNIT: print its restrictions: all lines from MemoryMax on, without
# RuntimeDirectory.
locks ()
{
  sed -n '/^MemoryMax=/,/^\[/p' "$units/$1" |
    grep -E '^[A-Z]' | grep -v ^RuntimeDirectory=
}

diff <(locks nullblk@.service) <(locks nullblk-socket@.service) ||
  fail "the locks differ"
[ "$(locks nullblk@.service | wc -l)" -gt 20 ] || fail "hardly a lock is there"
