#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-measure, with each of its calls failing once.

# shellcheck source=failing.sh source-path=SCRIPTDIR
source "${0%/*}/failing.sh"
measure=$top_builddir/tools/nullblk-measure
[ -x "$measure" ] || skip "nullblk-measure is not built"

# What it does is done for each load and each line.
same=${NULLBLK_FAIL_SAME:-1}

# shellcheck source=fake-fio.sh source-path=SCRIPTDIR
source "${0%/*}/fake-fio.sh"
fio --output="$tmp/from.json" --rw=randread --bs=4096 --iodepth=1

# A new model replaces the old one as a whole, and the measurement is kept until
# then.
arguments=(--sizes 4K --depths 1 --seconds 1 --sustain 0 --client-overhead 3us
  --output "$tmp/drive.model" "$tmp/disk")
prepare ()
{
  rm -f "$tmp/drive.model.part"
  echo 'lanes=1' >"$tmp/drive.model"
}
check ()
{
  diff "$tmp/drive.model" "$tmp/whole.model" >&2
}
check_failed ()
{
  [ "$(cat "$tmp/drive.model")" = lanes=1 ] || check
}
"$measure" "${arguments[@]}" >"$tmp/out" 2>&1 || fail "$(cat "$tmp/out")"
cp "$tmp/drive.model" "$tmp/whole.model"
each_call_fails "$measure" "${arguments[@]}"

# One that goes on where another has ended, in the middle of a line; and one
# that begins anew.
rest=(--sizes 4K --depths '1,2' --seconds 1 --sustain 0 --client-overhead 3us
  --output "$tmp/drive.model" "$tmp/disk")
echo 'randread 4096 2' >"$tmp/fails"
! "$measure" "${rest[@]}" 2>"$tmp/out" || fail "fio has not failed"
: >"$tmp/fails"
cp "$tmp/drive.model.part" "$tmp/part"
printf '# figure: randr' >>"$tmp/part"
"$measure" "${rest[@]}" >"$tmp/out" 2>&1 || fail "$(cat "$tmp/out")"
cp "$tmp/drive.model" "$tmp/whole.model"
prepare ()
{
  cp "$tmp/part" "$tmp/drive.model.part"
  echo 'lanes=1' >"$tmp/drive.model"
  : >"$tmp/fio.log"
}
each_call_fails "$measure" "${rest[@]}"
check ()
{
  grep -qw -e --iodepth=1 "$tmp/fio.log" &&
    diff "$tmp/drive.model" "$tmp/whole.model" >&2
}
each_call_fails "$measure" --restart "${rest[@]}"

prepare ()
{
  :
}
check_failed ()
{
  :
}
check ()
{
  cmp "$tmp/out" "$tmp/expected"
}
each_call_fails "$measure" --from "$tmp/from.json"
each_call_fails "$measure" --compare --plot "$tmp/plot.svg" "$tmp/whole.model" \
  "$tmp/whole.model"
cat >"$tmp/bin/rsvg-convert" <<'END'
#!/bin/sh
cp "$3" "$2"
END
chmod +x "$tmp/bin/rsvg-convert"
each_call_fails "$measure" --compare --plot "$tmp/plot.png" "$tmp/whole.model" \
  "$tmp/whole.model"
