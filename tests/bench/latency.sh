#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# How exact latencies are, beside those of nbdkit's delay filter and of qemu's
# null-co.
#
#   tests/bench/latency.sh [ROUNDS]      3 by default, 230 s each
#
# All servers run side by side, and are measured in turn, ROUNDS times: reads of
# 4 KiB, one at a time, by fio's nbd engine, which logs the time of each.  The
# error is this time, less the median of the same server without latency, and
# less the latency that was asked for.  Printed are the median and p99 of the
# error, each as the median over the rounds.  p99 needs many requests: so each
# latency is measured for 2 s, and 10 ms for 10 s.  Our server also tells its
# own error (late_ns in .stats), without the client's part.  bench/alone tells
# how late a thread is that serves nobody, and bench/bare how late the least
# server is that there can be.  After that come 64 requests at a time: of 5 ms by
# fio, as a share of what arithmetic gives, and of 20 us to 5 ms by bench/client;
# then 256 requests that sleep, and limits.  Prints tables.
#
# With OUT=DIRECTORY, it also leaves a plot (SVG) there, of the percentiles that
# were asked for and achieved: those of a file that fio has just measured, on
# this machine's disk below TMPDIR, which a server plays.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "$(dirname "$0")/functions.sh"
rounds=${1:-${quick:+1}} rounds=${rounds:-3}
seconds=2
plan $((rounds * 230 + 95))
requires nbdkit fio jq qemu-nbd nbdcopy
plugin=$(find_plugin)
alone=$build/tests/bench/alone
bare=$build/tests/bench/bare
[ -x "$alone" ] || die "there is no bench/alone; run make bench"
[ -x "$bare" ] || die "there is no bench/bare; run make bench"

asked=(20 100 1000 10000) # us

# measured US: print for how many seconds this latency is measured.
measured ()
{
  echo $(($1 < 10000 ? seconds : 5 * seconds))
}

# times NAME SECONDS: print how long each request takes, in ns, sorted.
times ()
{
  rm -f "$tmp"/log_*
  load "$1" --rw=randread --bs=4k --size=64M --iodepth=1 --time_based \
    --runtime="$2" --write_lat_log="$tmp/log"
  cut -d, -f2 "$tmp"/log_clat.*.log | sort -n
}

# at PERCENT FILE: print that percentile of the sorted numbers in FILE.
at ()
{
  awk -v p="$1" '{ n[NR] = $1 }
    END { i = int (NR * p / 100 + 0.999999); print n[i < 1 ? 1 : i] }' "$2"
}

# stats NAME FILTER: print statistics of our server, and reset them.
stats ()
{
  nbdcopy "nbd+unix:///nullb0.stats?socket=$tmp/$1.sock" - | jq -r "$2"
  echo stats=reset >"$tmp/change"
  nbdcopy "$tmp/change" "nbd+unix:///nullb0.config?socket=$tmp/$1.sock" \
    2>/dev/null || true
}

names=(spin all nospin served one delay qemu)
ours=(spin all nospin served one)
declare -A label=([spin]="nullblk" [all]="nullblk latency-spin=10ms"
                  [nospin]="nullblk latency-spin=0" [served]="nullblk-serve"
                  [one]="nullblk-serve --depth 1 latency-spin=10ms"
                  [delay]="nbdkit delay filter" [qemu]="qemu null-co")

serve spin-0 "$plugin" 1G parallel=on
serve all-0 "$plugin" 1G parallel=on
serve nospin-0 "$plugin" 1G parallel=on
serve_ours served-0 1G parallel=on
serve_ours one-0 --depth 1 1G parallel=on
serve delay-0 --filter=delay null 1G
serve_qemu qemu-0 driver=null-co,size=1G
for us in "${asked[@]}"; do
  serve "spin-$us" "$plugin" 1G read-latency="${us}us"
  serve "all-$us" "$plugin" 1G read-latency="${us}us" latency-spin=10ms
  serve "nospin-$us" "$plugin" 1G read-latency="${us}us" latency-spin=0
  serve_ours "served-$us" 1G read-latency="${us}us"
  serve_ours "one-$us" --depth 1 1G read-latency="${us}us" latency-spin=10ms
  # The delay filter of nbdkit 1.32 takes no less than 1 ms.
  if nbdkit --filter=delay null 1G rdelay="${us}us" --run true 2>/dev/null
  then
    serve "delay-$us" --filter=delay null 1G rdelay="${us}us"
  elif ((us >= 1000)); then
    serve "delay-$us" --filter=delay null 1G rdelay=$((us / 1000))ms
  fi
  serve_qemu "qemu-$us" "driver=null-co,size=1G,latency-ns=${us}000"
done

for ((round = 0; round < rounds; round++)); do
  for us in "${asked[@]}"; do
    for how in spin sleep; do
      for program in alone bare; do
        depth=()
        [ "$program" = alone ] || depth=(1)
        "${!program}" "$how" "${us}000" "$(measured "$us")" "${depth[@]}" \
          >"$tmp/late"
        cut -d' ' -f1 "$tmp/late" >>"$tmp/$program-$how-$us-50"
        cut -d' ' -f2 "$tmp/late" >>"$tmp/$program-$how-$us-99"
      done
    done
  done
  for name in "${names[@]}"; do
    times "$name-0" "$seconds" >"$tmp/times"
    base=$(at 50 "$tmp/times")
    for us in "${asked[@]}"; do
      [ -n "${server_pid[$name-$us]-}" ] || continue
      times "$name-$us" "$(measured "$us")" >"$tmp/times"
      for p in 50 99; do
        echo $(($(at $p "$tmp/times") - base - us * 1000)) \
          >>"$tmp/$name-$us-$p"
      done
      case $name in
        spin | all | nospin | served | one)
          stats "$name-$us" '.late_ns | "\(.p50) \(.p99)"' >"$tmp/late"
          cut -d' ' -f1 "$tmp/late" >>"$tmp/$name-$us-late-50"
          cut -d' ' -f2 "$tmp/late" >>"$tmp/$name-$us-late-99"
          ;;
      esac
    done
  done
done

# cell FILE-PREFIX: print "median / p99" in us, or "-".
cell ()
{
  if [ -s "$1-50" ]; then
    printf '%.1f / %.1f' "$(median <"$1-50" | awk '{ print $1 / 1000 }')" \
      "$(median <"$1-99" | awk '{ print $1 / 1000 }')"
  else
    printf -- '-'
  fi
}

echo "Error in us, median / p99, at depth 1 (achieved less asked):"
echo
echo "| server | seen by | 20 us | 100 us | 1 ms | 10 ms |"
echo "|---|---|---|---|---|---|"
for program in alone bare; do
  for how in spin sleep; do
    case $program in
      alone) printf '| no server: a thread alone that %ss | itself |' "$how" ;;
      *) printf '| bare: one that %ss and answers | itself |' "$how" ;;
    esac
    for us in "${asked[@]}"; do
      printf ' %s |' "$(cell "$tmp/$program-$how-$us")"
    done
    echo
  done
done
for name in "${ours[@]}"; do
  printf '| %s | itself |' "${label[$name]}"
  for us in "${asked[@]}"; do
    printf ' %s |' "$(cell "$tmp/$name-$us-late")"
  done
  echo
done
for name in "${names[@]}"; do
  printf '| %s | fio |' "${label[$name]}"
  for us in "${asked[@]}"; do
    printf ' %s |' "$(cell "$tmp/$name-$us")"
  done
  echo
done
stop "${!server_pid[@]}"

#----------------------------------------------------------------------
# Depth

names=(deep deep-served deep-delay deep-qemu)
label=([deep]="nullblk -t 64" [deep-served]="nullblk-serve --depth 64"
       [deep-delay]="nbdkit delay filter -t 64" [deep-qemu]="qemu null-co")
serve deep -t 64 "$plugin" 1G read-latency=5ms
serve_ours deep-served --depth 64 1G read-latency=5ms
serve deep-delay -t 64 --filter=delay null 1G rdelay=5ms
serve_qemu deep-qemu driver=null-co,size=1G,latency-ns=5000000
serve deep-null -t 64 null 1G
for ((round = 0; round < rounds; round++)); do
  load deep-null --rw=randread --bs=4k --size=64M --iodepth=64 --time_based \
    --runtime="$seconds"
  jq '.jobs[0].read.clat_ns.mean / 1000' "$tmp/fio.json" >>"$tmp/deep-null"
  for name in "${names[@]}"; do
    before=$(cpu "$name")
    load "$name" --rw=randread --bs=4k --size=64M --iodepth=64 --time_based \
      --runtime="$seconds"
    jq ".jobs[0].read.iops / 12800 * 100" "$tmp/fio.json" >>"$tmp/$name"
    jq --argjson us $(($(cpu "$name") - before)) \
      '$us / .jobs[0].read.total_ios' "$tmp/fio.json" >>"$tmp/$name-cpu"
  done
  "$bare" sleep 5000000 "$seconds" 64 | cut -d' ' -f3 >>"$tmp/deep-bare"
done
echo
echo "64 reads at a time of 5 ms (12,800 a second are possible):"
echo
echo "| server | of what is possible | server CPU a request |"
echo "|---|---|---|"
for name in "${names[@]}"; do
  printf '| %s | %.1f %% | %.1f us |\n' "${label[$name]}" \
    "$(median <"$tmp/$name")" "$(median <"$tmp/$name-cpu")"
done
printf '| bare: 64 threads that sleep and answer | %.1f %% | |\n' \
  "$(median <"$tmp/deep-bare")"
echo
printf '64 at a time without any wait (nbdkit null -t 64) take %.0f us each.\n' \
  "$(median <"$tmp/deep-null")"
stop "${!server_pid[@]}"

asked=(20 100 1000 5000) # us
for us in "${asked[@]}"; do
  serve "deep-$us" -t 64 "$plugin" 1G read-latency="${us}us"
  serve_ours "deep-served-$us" --depth 64 1G read-latency="${us}us"
  ((us < 1000)) || serve "deep-delay-$us" -t 64 --filter=delay null 1G \
    rdelay=$((us / 1000))ms
  serve_qemu "deep-qemu-$us" "driver=null-co,size=1G,latency-ns=${us}000"
done
for ((round = 0; round < rounds; round++)); do
  for us in "${asked[@]}"; do
    for name in "${names[@]}"; do
      [ -n "${server_pid[$name-$us]-}" ] || continue
      before=$(cpu "$name-$us")
      # shellcheck disable=SC2086 # where: two words and more
      rate=$("$build/tests/bench/client" ${server_where[$name-$us]} read 4096 \
        1 64 "$seconds")
      echo "$rate" >>"$tmp/$name-$us-rate"
      echo $(($(cpu "$name-$us") - before)) "$rate" "$seconds" |
        awk '{ print $1 / ($2 * $3) }' >>"$tmp/$name-$us-cpu"
    done
  done
done
echo
echo "64 reads of 4 KiB at a time, by the light client: a second, and us of"
echo "server CPU for each:"
echo
echo "| server | 20 us | 100 us | 1 ms | 5 ms |"
echo "|---|---|---|---|---|"
for name in "${names[@]}"; do
  printf '| %s |' "${label[$name]}"
  for us in "${asked[@]}"; do
    if [ -s "$tmp/$name-$us-rate" ]; then
      printf ' %.0f, %.1f |' "$(median <"$tmp/$name-$us-rate")" \
        "$(median <"$tmp/$name-$us-cpu")"
    else
      printf ' - |'
    fi
  done
  echo
done
stop "${!server_pid[@]}"

#----------------------------------------------------------------------
# Sleeping costs nothing

serve asleep -t 256 "$plugin" 1G read-latency=1s
before=$(cpu asleep)
load asleep --rw=randread --bs=4k --size=64M --iodepth=256 --time_based \
  --runtime=5
echo
jq -r --argjson us $(($(cpu asleep) - before)) '
  .jobs[0] | "256 reads of 1 s at a time: \(.read.total_ios) reads, " +
   "\($us / 1000 | round) ms of server CPU in \(.job_runtime / 1000) s"' \
  "$tmp/fio.json"
stop asleep

#----------------------------------------------------------------------
# Limits

# share SERVER mbps|iops LIMIT FIO-OPTION...: print what passed in 5 s, in % of
# LIMIT.
share ()
{
  load "$1" --rw=randread --size=64M --time_based --runtime=5 "${@:4}"
  jq --arg what "$2" --argjson limit "$3" \
    '.jobs[0].read | if $what == "mbps" then .bw_bytes / 1048576 else .iops end
     | . / $limit * 100' "$tmp/fio.json"
}

echo
echo "Limits: what passed, in % of the limit:"
echo
echo "| limit | connections | depth | passed |"
echo "|---|---|---|---|"
serve limited -t 64 "$plugin" 1G mbps=100
serve limited-iops -t 64 "$plugin" 1G iops=5000
for shape in "1 1" "1 64" "4 1" "4 64"; do
  read -r jobs depth <<<"$shape"
  printf '| mbps=100 | %d | %d | %.2f |\n' "$jobs" "$depth" \
    "$(share limited mbps 100 --bs=64k --numjobs="$jobs" \
      --iodepth="$depth")"
  printf '| iops=5000 | %d | %d | %.2f |\n' "$jobs" "$depth" \
    "$(share limited-iops iops 5000 --bs=4k --numjobs="$jobs" \
      --iodepth="$depth")"
done
stop limited limited-iops

#----------------------------------------------------------------------
# A drive, played back

[ -n "${OUT-}" ] || exit 0
requires gnuplot
mkdir -p "$OUT"
fio --name=drive --filename="$tmp/drive" --size=64M --rw=randread --bs=4k \
  --direct=1 --time_based --runtime=5 --output-format=json \
  --output="$OUT/drive.json" >"$tmp/out" 2>&1 || die "$(cat "$tmp/out")"
sed -i -n '/^{/,$p' "$OUT/drive.json"
serve drive -t 4 "$plugin" 1G "read-latency=file:$OUT/drive.json"
load drive --rw=randread --bs=4k --size=64M --iodepth=1 --time_based \
  --runtime=10
nbdcopy "nbd+unix:///nullb0.stats?socket=$tmp/drive.sock" - \
  >"$OUT/latency-stats.json"
jq -r '.jobs[0].read.clat_ns.percentile | to_entries[] |
  "\(.key) \(.value / 1000)"' "$OUT/drive.json" >"$OUT/latency-asked.txt"
# The percentiles that were achieved, from the server's histogram.
jq -r '.operations.read.histogram as $h | ([$h[][2]] | add) as $n |
  foreach $h[] as $b (0; . + $b[2];
    "\(. / $n * 100) \(($b[0] + $b[1]) / 2000)")' \
  "$OUT/latency-stats.json" >"$OUT/latency-achieved.txt"
gnuplot <<PLOT
set terminal svg size 800,500 background "white"
set output "$OUT/latency.svg"
set title "A drive that fio has measured, played back"
set xlabel "requests that take longer (%)"
set ylabel "us"
set logscale xy
set xrange [100:0.01]
set key left top
set grid
plot "$OUT/latency-asked.txt" using (100 - \$1):2 title "asked (fio's file)" \
       with points pointtype 7, \
     "$OUT/latency-achieved.txt" using (100 - \$1):2 title "achieved" with lines
PLOT
echo
echo "Plot: latency.svg"
