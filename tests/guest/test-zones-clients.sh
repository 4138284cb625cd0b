#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The man page's table of what fills a zoned device through the kernel's driver,
# which knows nothing of zones: each row is a command and what comes of it, and
# is run as it stands there.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
if on_host; then
  mkdir "$tmp/add"
  awk '/^=head/ { ours = $0 == "=head2 Zones through the kernel" }
    ours && /^ [^ ]/ && ++n > 1 { print substr ($0, 2) }' \
    "$top_srcdir/man/nbdkit-nullblk-plugin.pod" >"$tmp/add/rows"
  [ "$(wc -l <"$tmp/add/rows")" -gt 2 ] || fail "there is no table"
  export NULLBLK_ADD=$tmp/add
  # shellcheck disable=SC2119
  boot_guest
  exit
fi

size=33554432
random_file "$tmp/full" "$(new_seed)" $size
wrong=
while read -r row; do
  expected=${row##*  } command=${row%%  *}
  echo "$command"
  start_server $size memory-backed=true zoned=true zone-size=4M
  attach --connections 1
  status=0
  bash -c "${command//FILE/$tmp/full}" >"$tmp/out" 2>&1 || status=$?
  # What the kernel has yet to write, or has given up to.
  sync $nbd || true
  detach
  attach --connections 1
  if [ "$status" != 0 ]; then
    is=fails
  elif cmp "$tmp/full" $nbd >"$tmp/cmp" 2>&1; then
    is=works
  else
    is='loses data'
  fi
  detach
  stop_server
  echo "$command: $is"
  [ "$is" = "$expected" ] || wrong+=" $command: $is, not $expected: $(cat "$tmp/out")"
done </rows
[ -z "$wrong" ] || fail "the table is wrong of$wrong"
