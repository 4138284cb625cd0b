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

# An fio that has measured already.
mkdir "$tmp/bin"
cat >"$tmp/bin/fio" <<'FIO'
#!/bin/bash
for a; do
  case $a in
    --output=*) output=${a#*=} ;;
    --rw=*) rw=${a#*=} ;;
  esac
done
sed "s/randread/$rw/" "${0%/*}/answer" >"$output"
FIO
cat >"$tmp/bin/answer" <<'JSON'
{"fio version": "fio-9.9", "global options": {"bs": "4096", "iodepth": "1"},
 "jobs": [{"job options": {"rw": "randread"},
   "read": {"total_ios": 1000, "iops": 10000, "lat_ns": {"mean": 100000,
     "min": 90000, "max": 200000, "percentile": {"1.000000": 95000,
     "50.000000": 100000, "99.000000": 190000}}}}]}
JSON
chmod +x "$tmp/bin/fio"
PATH=$tmp/bin:$PATH
truncate -s 1M "$tmp/disk"

# A model takes another's place as a whole, and the measurement is kept until
# then.
arguments=(--sizes 4K --depths 1 --seconds 1 --client-overhead 3us
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
each_call_fails "$measure" --from "$tmp/bin/answer"
each_call_fails "$measure" --compare --plot "$tmp/plot.svg" "$tmp/whole.model" \
  "$tmp/whole.model"
