#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Do the tests notice when FUA is ignored?  For each place where it could get
# lost: lose it there in a copy of the tree, build, run the tests that are about
# it, and say which of them failed.  One loss that no test sees is a failure.
# Not run by make check: it builds a tree.
#
#   tests/mutate-fua.sh [MUTATION...]      (from anywhere; none: all of them)
#
# Needs what make check needs; the environment may set MAKE ("make -j2") and
# CONFIGURE, options of configure (CC="ccache gcc").

set -euo pipefail
# shellcheck source=build-aux/setup.sh
. "$(dirname "$0")/../build-aux/setup.sh"

# NAME FILE WHAT-IS-TAKEN-OUT WHAT-STANDS-THERE-INSTEAD: a place of FILE where
# each text is found just once, or in the function FILE:FUNCTION.
mutations='
write-in-plugin plugin/plugin.c:nullblk_pwrite
  (flags & NBDKIT_FLAG_FUA) != 0 => false
zero-in-plugin plugin/plugin.c:nullblk_zero
  (flags & NBDKIT_FLAG_FUA) != 0 => false
trim-in-plugin plugin/plugin.c:nullblk_trim
  (flags & NBDKIT_FLAG_FUA) != 0 => false
any-in-device plugin/device/device-operation.c:begin_write
  r->fua = fua; => r->fua = false && fua;
write-in-device plugin/device/device-operation.c:device_write
  OP_WRITE, count, offset, fua) => OP_WRITE, count, offset, false && fua)
write-in-place plugin/device/device-operation.c:device_write_from
  OP_WRITE, count, offset, fua) => OP_WRITE, count, offset, false && fua)
append-in-device plugin/device/device-operation.c:device_append
  zone_start), fua) => zone_start), false && fua)
zero-in-device plugin/device/device-operation.c:device_zero
  OP_ZERO, count, offset, fua) => OP_ZERO, count, offset, false && fua)
trim-in-device plugin/device/device-operation.c:device_trim
  request.fua = fua; => request.fua = false && fua;
change-in-device plugin/device/device-internal.h:change_store
  r->fua => (false && r->fua)
long-in-device plugin/device/device-log.c:device_change_long
  request->fua) => false)
write-by-ublk plugin/ublk/ublk-request.c:serve_write
  is_fua (t) => false && is_fua (t)
append-by-ublk plugin/ublk/ublk-request.c:serve_append
  is_fua (t) => false && is_fua (t)
trim-by-ublk plugin/ublk/ublk-request.c:serve
  offset_of (t), is_fua (t)); => offset_of (t), false);
zero-by-ublk plugin/ublk/ublk-request.c:serve
      is_fua (t)); =>     false);
write-in-cache plugin/power/durability.c:durability_write_slow
  .fua = fua, => .fua = false && fua,
zero-in-cache plugin/power/durability.c:durability_zero_slow
  .fua = fua, => .fua = false && fua,
trim-in-cache plugin/power/durability.c:durability_trim_slow
  .fua = fua} => .fua = false && fua}
steps-in-cache plugin/power/durability.c:change_long
  fua); => false && fua);
ignored-in-cache plugin/power/durability.c:change_now
  if (c->fua && !is_last) => if (false && c->fua && !is_last)
zone-not-moved plugin/power/durability.c:change_durably
  zone->durable = c->offset + c->count; => zone->durable = zone->durable + 0;
trim-of-zones plugin/device/device-zones.c:device_trim_zones
  r == 0 && fua => false && fua
write-in-log plugin/device/device-log.c:log_change
  count, offset, request->fua); => count, offset, false);
long-in-log plugin/device/device-log.c:log_step
  fua = request->fua && => fua = false &&
holes-in-log plugin/device/device-log.c:log_holes
  fua = request->fua && => fua = false &&
long-in-cache plugin/power/durability.c:durability_step_long_change
  .fua = fua, => .fua = false && fua,
trim-in-log plugin/device/device-log.c:log_trim
  fua && to == end => false && to == end
steps-beside-log plugin/device/device-log.c:log_step
  buf, request->fua) => buf, false)
holes-beside-log plugin/device/device-log.c:log_holes
  request->fua, true) => false, true)
holes-but-last plugin/device/device-log.c:log_holes
  request->fua) => false)
trim-beside-log plugin/device/device-log.c:log_trim
  offset, fua); => offset, false);
'
programs='unit/power/test-durability unit/power/test-durability-steps
  unit/device/test-device-power unit/device/test-device-log
  unit/device/test-device-log-steps unit/device/test-zones-power
  unit/device/test-append unit/ublk/test-ublk-device server/test-power'
scripts='server/test-write-log.sh'

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cd "$top"
git ls-files -z | xargs -0 cp --parents -t "$copy"
cd "$copy"
read -ra make <<<"${MAKE:-make -j2}"

# mutate FILE FUNCTION OLD NEW: within the function, wherever OLD stands.
mutate ()
{
  perl -0777 -i -pe '
    BEGIN { ($function, $old, $new) = splice @ARGV, 0, 3 }
    s{(^\Q$function\E \(.*?^\}\n)}{
      my $body = $1;
      $body =~ s/\Q$old\E/$new/g or die "$function: no $old\n";
      $body }mse or die "there is no $function\n"' "$2" "$3" "$4" "$1"
}

# build [-C DIRECTORY]: all, or the plugin alone, as no mutation is in another
# program; and the tests.
build ()
{
  # shellcheck disable=SC2086 # words
  { "${make[@]}" "$@" && "${make[@]}" -C tests $programs; } >make.log 2>&1 || {
    tail -n 20 make.log
    exit 1
  }
}

# failing: the tests that fail now.
failing ()
{
  local test

  # shellcheck disable=SC2086 # words
  "${make[@]}" -k -C tests check-TESTS TESTS="$programs $scripts" \
    check_PROGRAMS= check_LIBRARIES= check_LTLIBRARIES= \
    >check.log 2>&1 || true
  for test in $programs $scripts; do
    test=${test%.sh}
    grep -q '^:test-result: \(PASS\|FAIL\|ERROR\)' "tests/$test.trs" || {
      echo "$test (no result)"
      continue
    }
    ! grep -q '^:test-result: \(FAIL\|ERROR\)' "tests/$test.trs" || echo "$test"
  done
}

./bootstrap >bootstrap.log 2>&1
eval "./configure ${CONFIGURE-}" >configure.log 2>&1 || {
  tail -n 5 configure.log
  exit 1
}
build
failed=$(failing)
[ -z "$failed" ] || {
  echo "these fail as it is: $failed"
  exit 1
}

missed=0
while read -r name where; do
  IFS= read -r change
  [[ -n $name ]] || continue
  [[ $# == 0 || " $* " == *" $name "* ]] || continue
  change=${change#  }
  file=${where%%:*}
  cp "$file" original
  mutate "$file" "${where#*:}" "${change% => *}" "${change#* => }"
  build -C plugin
  failed=$(failing | xargs)
  printf '%-17s %s\n' "$name" "${failed:-NOT SEEN}"
  [ -n "$failed" ] || missed=1
  cp original "$file"
done < <(sed 1d <<<"$mutations")
exit $missed
