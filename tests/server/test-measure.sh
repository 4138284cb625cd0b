#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-measure with a fake fio: which loads are run, and how; a measurement
# that is interrupted and goes on; the model, which the plugin takes;
# comparisons; and wrong output of fio.

name=nullblk-measure
# shellcheck source=usage.sh source-path=SCRIPTDIR
source "${0%/*}/usage.sh"
requires awk

# shellcheck source=fake-fio.sh source-path=SCRIPTDIR
source "${0%/*}/fake-fio.sh"

# measure ARGUMENT...: measure anew, which has to succeed.
measure ()
{
  : >"$tmp/fio.log"
  "$program" "$@" >"$tmp/out" 2>"$tmp/err" || fail "$*: $(cat "$tmp/err")"
}

# has PATTERN...: the model has to have these lines.
has ()
{
  local line

  for line; do
    grep -Eqx -- "$line" "$tmp/drive.model" ||
      fail "no $line: $(cat "$tmp/drive.model")"
  done
}

says 2 'nullblk-measure \[OPTION\]*'
says 2 '*unrecognized option*' --nonsense x
says 2 'nullblk-measure: y: one argument too many*' x y
says 2 'nullblk-measure: --compare: allowed are two*' --compare x
says 2 'nullblk-measure: --compare: not together *' --compare --from x y
says 2 'nullblk-measure: --plot: it is for --compare*' --plot x.svg y
says 2 'nullblk-measure: --plot=x: allowed is *' --compare --plot x y z
says 2 'nullblk-measure: --output: it is not *' --compare --output x y z
says 2 'nullblk-measure: --seconds=0: allowed is *' --seconds 0 x
says 2 'nullblk-measure: --sustain: allowed is at most 1000 times --seconds*' \
  --seconds 1 --sustain 1001 x
says 2 'nullblk-measure: --sizes=4K: allowed are *' --sizes 4K,4K x
says 2 'nullblk-measure: --sizes=100: allowed are *' --sizes 100 x
says 2 'nullblk-measure: --depths=1: allowed are *' --depths 2,1 x
says 2 'nullblk-measure: --depths=: allowed are *' --depths 1,,2 x
says 2 'nullblk-measure: --client-overhead=3: allowed is *' --client-overhead 3 x
says 1 'nullblk-measure: /nowhere: No such file or directory' /nowhere
says 1 'nullblk-measure: /dev/null: allowed is a block device, *' /dev/null
says 1 "nullblk-measure: $tmp/fails: allowed is what has at least 1 MiB" \
  "$tmp/fails"
same_options ''

# The model replaces nothing but a file.
says 1 'nullblk-measure: --output=/dev/null: allowed is a file' \
  --sizes 4K --depths 1 --seconds 1 --output /dev/null "$tmp/disk"
says 1 'nullblk-measure: --output=*/disk: allowed is another file*' \
  --sizes 4K --depths 1 --seconds 1 --output "$tmp/disk" "$tmp/disk"

# Only reads, each load once.
measure --sizes 4K,64K --depths 1,2,4 --seconds 1 --sustain 0 \
  --client-overhead 3us --output "$tmp/drive.model" "$tmp/disk"
[ "$(wc -l <"$tmp/fio.log")" = 10 ] || fail "$(cat "$tmp/fio.log")"
! grep -v -- '--readonly' "$tmp/fio.log" || fail "it would write"
! grep -v "measures $tmp/disk\$" "$tmp/fio.log" || fail "it reads elsewhere"
! grep -v -- '--direct=1' "$tmp/fio.log" || fail "it reads the page cache"
[ ! -e "$tmp/drive.model.part" ] || fail "what was kept stays"
has '# Source: measured by fio-9\.9\.' 'size=1M' 'read-iops=(19999|20000)' \
  '# figure: randread 64K q2 iops=19801 mean=101\.0us .*' 'client-overhead=3us' \
  'read-latency=percentiles:p1=100000ns,.*'
! grep -q '^write\|^flush' "$tmp/drive.model" || fail "$(cat "$tmp/drive.model")"
"$NBDKIT" "$PLUGIN" model="$tmp/drive.model" --dump-plugin >/dev/null ||
  fail "the plugin does not take it: $(cat "$tmp/drive.model")"

# In rounds, each once through all loads.
measure --sizes 4K --depths 1,2 --seconds 4 --rounds 2 --sustain 0 \
  --client-overhead 0 --output "$tmp/drive.model" "$tmp/disk"
[ "$(grep -c -- '--runtime=2 ' "$tmp/fio.log")" = 8 ] ||
  fail "not four loads twice: $(cat "$tmp/fio.log")"
sed 's/--output=[^ ]*//' "$tmp/fio.log" >"$tmp/loads"
diff <(head -n 4 "$tmp/loads") <(tail -n 4 "$tmp/loads") ||
  fail "a round is not once through all loads"
[ "$(grep -c '# figure' "$tmp/drive.model")" = 4 ] ||
  fail "$(cat "$tmp/drive.model")"
has 'read-latency=percentiles:p1=100000ns,.*'

# As a child of a process that ignores SIGCHLD.
(
  trap '' CHLD
  exec "$program" --sizes 4K --depths 1 --seconds 1 --client-overhead 0 \
    "$tmp/disk" >"$tmp/out" 2>"$tmp/err"
) || fail "$(cat "$tmp/err")"

# Without a standard output.
! "$program" --sizes 4K --depths 1 --seconds 1 --client-overhead 0 \
  "$tmp/disk" >&- 2>"$tmp/err" || fail "nobody gets what it prints"
[ "$(tail -n 1 "$tmp/err")" = "nullblk-measure: output: Bad file descriptor" ] ||
  fail "it says: $(cat "$tmp/err")"

# Writes and flushes, of an NBD export.
measure --write --sizes 4K --depths 1 --seconds 1 --sustain 9 \
  --client-overhead 0 --output "$tmp/drive.model" nbd://localhost
grep -q -- '--ioengine=nbd --uri=nbd://localhost' "$tmp/fio.log" ||
  fail "$(cat "$tmp/fio.log")"
[ "$(grep -c -- '--fsync=' "$tmp/fio.log")" = 3 ] || fail "$(cat "$tmp/fio.log")"
[ "$(grep -c -- '--iodepth=32 .*--ramp_time=1' "$tmp/fio.log")" = 11 ] ||
  fail "parts after the first are counted at once: $(cat "$tmp/fio.log")"
[ "$(grep -c -- '--rw=randread .*--iodepth=32' "$tmp/fio.log")" = 9 ] ||
  fail "no sustained reads: $(cat "$tmp/fio.log")"
# A cell takes 1 s, a part of a sustained load that and a second that is not
# counted, and fio a second to start.
for line in '*: 7 cells, about 68 s' '*: 1/7 randread 4K q1: *; left: 66 s' \
  '*: 9/9 sustainread 4K q32 n9: *; left: 27 s' \
  '*: 4/9 sustain 4K q32 n4: *; left: 15 s'; do
  grep -Eqx "${line//\*/.*}" "$tmp/err" || fail "no $line: $(cat "$tmp/err")"
done
has '# figure: flush 4K n64 p50=129\.0ms' '# figure: sustain 4K q32 n4 .*' \
  '# figure: sustainread 4K q32 n9 .*' \
  'write-latency=percentiles:.*' 'flush-latency=percentiles:p50=1000000ns' \
  'buffer-size=2400000K' 'drain-latency=2100000ns'
! grep -q 'sustain 4K q32 n5' "$tmp/drive.model" || fail "it was steady before that"

# The overhead of a client at the latency that is left: 46.7 us of a read of 100
# us, where it is half of the latency and 20 us.
cp "$program" "$tmp/bin/nullblk-measure"
cat >"$tmp/bin/nullblk-serve" <<'SERVE'
#!/bin/bash
for a; do
  case $a in
    read-latency=percentiles:*)
      SERVED=${a#*,p50=}
      SERVED=${SERVED%%ns*}
      ;;
  esac
done
export SERVED
eval "${*: -1}"
SERVE
chmod +x "$tmp/bin/nullblk-serve"
"$tmp/bin/nullblk-measure" --sizes 4K --depths 1 --seconds 1 --sustain 0 \
  --output "$tmp/drive.model" "$tmp/disk" >"$tmp/out" 2>"$tmp/err" ||
  fail "$(cat "$tmp/err")"
has 'client-overhead=4[5-8][0-9]{3}ns'
# Of a read of 64K, which takes 101 us, it is half of the latency and 25 us.
"$tmp/bin/nullblk-measure" --sizes 4K,64K --depths 1 --seconds 1 --sustain 0 \
  --output "$tmp/drive.model" "$tmp/disk" >"$tmp/out" 2>"$tmp/err" ||
  fail "$(cat "$tmp/err")"
has 'client-overhead=4K:4[5-8][0-9]{3}ns,64K:(49|5[0-2])[0-9]{3}ns'
rm "$tmp/bin/nullblk-serve"

# A measurement fails half way, and goes on there; but not that of another
# target.
echo 'randread 4096 4' >"$tmp/fails"
half=(--sizes 4K --depths "1,2,4" --sustain 0 --client-overhead 0 --output
  "$tmp/half.model")
: >"$tmp/fio.log"
! "$program" --seconds 1 "${half[@]}" "$tmp/disk" >"$tmp/out" 2>"$tmp/err" ||
  fail "fio has not failed"
[ "$(tail -n 1 "$tmp/err")" = \
  "nullblk-measure: $tmp/disk: fio ends with status 3: fio: it has failed" ] ||
  fail "$(cat "$tmp/err")"
[ ! -e "$tmp/half.model" ] || fail "half a model"
: >"$tmp/is-silent"
! "$program" --seconds 1 "${half[@]}" "$tmp/disk" >"$tmp/out" 2>"$tmp/err" ||
  fail "fio has not failed"
[[ $(tail -n 1 "$tmp/err") = *'status 3: it gives no reason' ]] ||
  fail "$(cat "$tmp/err")"
rm "$tmp/is-silent"
[ "$(grep -c figure "$tmp/half.model.part")" = 2 ] ||
  fail "$(cat "$tmp/half.model.part")"
: >"$tmp/fails"
# Nor while another one writes to the file.
cp "$tmp/half.model.part" "$tmp/whole"
exec 9<"$tmp/half.model.part"
flock -n 9
for restart in '' --restart; do
  says 1 'nullblk-measure: *.part: another nullblk-measure writes to it' \
    --seconds 1 "${half[@]}" $restart "$tmp/disk"
done
exec 9<&-
cmp "$tmp/half.model.part" "$tmp/whole"
says 1 "nullblk-measure: $tmp/half.model.part: it is of another measurement*" \
  --seconds 2 "${half[@]}" "$tmp/disk"
measure --seconds 1 "${half[@]}" "$tmp/disk"
[ "$(wc -l <"$tmp/fio.log")" = 3 ] || fail "$(cat "$tmp/fio.log")"
[ "$(grep -c '# figure' "$tmp/half.model")" = 5 ] || fail "$(cat "$tmp/half.model")"
grep -q 'fio-9' "$tmp/half.model" || fail "$(cat "$tmp/half.model")"

# A line that was cut short as it was written has no figures: its cell is
# measured anew.  And sustained loads begin with their first part.
echo 'randread 4096 32' >"$tmp/fails"
kept=(--write --sizes 4K --depths "1,2" --seconds 1 --sustain 9
  --client-overhead 0 --output "$tmp/kept.model" "$tmp/disk")
! "$program" "${kept[@]}" >"$tmp/out" 2>"$tmp/err" || fail "fio has not failed"
: >"$tmp/fails"
cp "$tmp/kept.model.part" "$tmp/whole"
{
  printf '# figure: sustain 4K q32 n%s iops=40000\n' 1 2 3
  printf '# figure: randwrite 4K q32 iops=4'
} >>"$tmp/kept.model.part"
measure "${kept[@]}"
[ "$(grep -c -- '--iodepth=32' "$tmp/fio.log")" = 13 ] ||
  fail "not nine parts of reads and four of writes: $(cat "$tmp/fio.log")"
[ "$(wc -l <"$tmp/fio.log")" = 13 ] || fail "$(cat "$tmp/fio.log")"
! grep 'iops=40000' "$tmp/kept.model" || fail "it has parts of before"
echo 'randread 4096 32' >"$tmp/fails"
for cut in -5 10; do
  head -c "$cut" "$tmp/whole" >"$tmp/kept.model.part"
  : >"$tmp/fio.log"
  ! "$program" "${kept[@]}" >"$tmp/out" 2>"$tmp/err" || fail "fio has not failed"
  diff "$tmp/whole" "$tmp/kept.model.part" || fail "it is another file"
done
: >"$tmp/fails"

# Files, and both sides of a comparison.  Half as fast is 100 % more.
sed 's/^# figure: randread 4K q1 .*/# figure: randread 4K q1 p50=200us/' \
  "$tmp/half.model" >"$tmp/slow.model"
measure --compare --plot "$tmp/plot.svg" "$tmp/half.model" "$tmp/slow.model"
grep -Eq '^randread 4K q1 +100\.0us +200\.0us +\+100\.0% .*' "$tmp/out" ||
  fail "$(cat "$tmp/out")"
grep -q '^median: p50 0\.0% (5 cells), p99 0\.0% (4 cells), rate 0\.0% (4 cells)$' \
  "$tmp/out" || fail "$(cat "$tmp/out")"
[ "$(grep -c '#d40' "$tmp/plot.svg")" = 14 ] || fail "$(cat "$tmp/plot.svg")"
measure --compare "$tmp/kept.model" "$tmp/kept.model"
! grep sustain "$tmp/out" || fail "sustained loads are compared"
grep -q '^flush 4K n64 ' "$tmp/out" || fail "$(cat "$tmp/out")"
echo '# figure: read 1M q3 p50=200us' >"$tmp/other.model"
says 1 'nullblk-measure: --compare: there is no load that both *' \
  --compare "$tmp/other.model" "$tmp/slow.model"
measure --compare --seconds 1 --rounds 2 "$tmp/slow.model" "$tmp/disk"
[ "$(wc -l <"$tmp/fio.log")" = 10 ] || fail "$(cat "$tmp/fio.log")"
grep -Eq '^randread 4K q1 +200\.0us +100\.0us +-50\.0% .*' "$tmp/out" ||
  fail "$(cat "$tmp/out")"

# When it is killed, neither fio nor a file is left.
mkdir "$tmp/files"
: >"$tmp/sleeps"
TMPDIR=$tmp/files "$program" --sizes 4K --depths 1 "$tmp/disk" >"$tmp/out" 2>&1 &
measure_pid=$!
wait_until 60 test -s "$tmp/sleeps" || fail "fio was not run"
fio_pid=$(cat "$tmp/sleeps")
kill -9 "$measure_pid"
wait "$measure_pid" || true
wait_until 60 process_ended "$fio_pid" || fail "fio goes on"
rm "$tmp/sleeps"
[ -z "$(ls "$tmp/files")" ] || fail "it leaves $(ls "$tmp/files")"

# --from
fio --rw=randread --bs=4096 --iodepth=1 --ioengine=psync --output="$tmp/a.json"
fio --rw=randread --bs=4096 --iodepth=8 --ioengine=libaio \
  --output="$tmp/b.json"
measure --from "$tmp/a.json" "$tmp/b.json"
grep -q '^# figure: randread 4K q8 ' "$tmp/out" || fail "$(cat "$tmp/out")"
says 1 "nullblk-measure: $tmp/a.json: it has randread 4K q1, as *" \
  --from "$tmp/b.json" "$tmp/a.json" "$tmp/a.json"

# Each version of fio is named, also if another one begins with it.
sed 's/fio-9\.9/fio-9.95/' "$tmp/a.json" >"$tmp/c.json"
measure --from "$tmp/c.json" "$tmp/b.json"
grep -qx '# Source: measured by fio-9\.95, fio-9\.9\.' "$tmp/out" ||
  fail "$(cat "$tmp/out")"

# Loads that look like cells and are none.
# is_no_cell FILE SCRIPT WHAT: the file, changed by sed, is refused with WHAT.
is_no_cell ()
{
  sed "$2" "$tmp/$1.json" >"$tmp/odd.json"
  ! cmp -s "$tmp/$1.json" "$tmp/odd.json" || fail "$2: no change"
  says 1 "nullblk-measure: $tmp/odd.json: $3" --from "$tmp/odd.json"
}
fio --rw=randwrite --bs=4096 --iodepth=1 --ioengine=psync --fsync=8 \
  --output="$tmp/c.json"
measure --from "$tmp/c.json"
grep -q '^# figure: flush 4K n8 ' "$tmp/out" || fail "$(cat "$tmp/out")"
is_no_cell c 's/"iodepth": "1"/"numjobs": "4"/' '*with syncs and a depth above 1'
for option in bssplit:4k/50:64k/50 bsrange:4k-8k thinktime:100 rate_iops:50 \
              sync:dsync; do
  is_no_cell a "s|\"rw\":|\"${option%%:*}\": \"${option#*:}\", &|" \
    "*with fio's option ${option%%:*}"
done
is_no_cell a 's/"job options":/"error": 5, &/' '*that ended with an error'

# jobs_of GROUP: print output with a job of writes, and one of reads in GROUP.
jobs_of ()
{
  local times='"total_ios": 9, "lat_ns": {"percentile": {"50": 7}}'

  cat <<JSON
{"jobs": [{"groupid": 0, "job options": {"rw": "randwrite"}, "write": {$times}},
  {"groupid": $1, "job options": {"rw": "randread"}, "read": {$times}}]}
JSON
}
jobs_of 0 >"$tmp/odd.json"
says 1 "nullblk-measure: $tmp/odd.json: it is of loads that ran at the same time" \
  --from "$tmp/odd.json"
jobs_of 1 >"$tmp/odd.json"
measure --from "$tmp/odd.json"

# With an engine that waits for each request, iodepth means nothing.
sed 's/libaio/psync/' "$tmp/b.json" >"$tmp/odd.json"
measure --from "$tmp/odd.json"
grep -q '^# figure: randread 4K q1 ' "$tmp/out" || fail "$(cat "$tmp/out")"

# No name makes a line of its own in the model.
sed 's/fio-9\.9/x\\nlanes=1/' "$tmp/a.json" >"$tmp/d.json"
measure --from "$tmp/d.json"
! grep '^lanes' "$tmp/out" || fail "a version has become a setting"
cp "$tmp/a.json" "$tmp/"$'e\nlanes=1.json'
measure --from "$tmp/"$'e\nlanes=1.json'
! grep '^lanes' "$tmp/out" || fail "a name has become a setting"

# Wrong output of fio.
for text in '' '{' '{}' '[]' '{"jobs":[{}]}' '{"jobs":3}' \
  '{"jobs":[{"read":{"total_ios":1,"lat_ns":{"percentile":{"50":1e400}}}}]}' \
  '{"jobs":[{"job options":{"rw":"randread","bs":"4k"},
   "read":{"total_ios":1,"iops":1e300,"lat_ns":{"mean":1e9,
   "percentile":{"50":1000}}}}]}' \
  '{"jobs":[{"job options":{"rw":"randread","bs":"4k"},
   "read":{"total_ios":1,"lat_ns":{"percentile":{"50":1e300}}}}]}' \
  '{"jobs":[{"read":{"total_ios":1,"lat_ns":{"percentile":{"50":-1}}}}]}' \
  '{"jobs":[{"read":{"total_ios":1,"lat_ns":{"percentile":{"x":1}}}}]}' \
  '{"jobs":[{"job options":{"rw":"randread","bs":"9999999999999g"},
   "read":{"total_ios":1,"lat_ns":{"percentile":{"50":1}}}}]}' \
  '{"jobs":[{"job options":{"rw":"sustain","bs":"4k"},
   "read":{"total_ios":1,"lat_ns":{"percentile":{"50":1}}}}]}'; do
  printf '%s' "$text" >"$tmp/c.json"
  says 1 "nullblk-measure: $tmp/c.json: *" --from "$tmp/c.json"
done
echo '# figure: randread 4K q0 p50=1us' >"$tmp/wrong.model"
says 1 "nullblk-measure: $tmp/wrong.model: line 1: *allowed is a load*" \
  --compare "$tmp/wrong.model" "$tmp/disk"
echo '# figure: randread 4K q1 p99=2us p50=1us' >"$tmp/wrong.model"
says 1 "nullblk-measure: $tmp/wrong.model: line 1: p50=1us: * ascend" \
  --compare "$tmp/wrong.model" "$tmp/disk"
