#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk beside its peers: requests a second, server CPU a request, memory, and
# instructions a request in our own code.
#
#   tests/bench/bench.sh        or: make bench [BENCH=quick] [OUT=FOLDER]
#
# The servers of a table run side by side, each on a Unix socket of its own, and
# fio's nbd engine puts the same load on one after the other, in turn, ROUNDS (7)
# times.  So whatever else the machine does meets all of them alike, and what
# counts is the ratio of two figures of the same round: printed are medians of
# requests a second and of CPU microseconds a request, and the median and the
# range of the ratios to a peer.  nullblk is measured twice, with plain nbdkit
# and through nullblk-serve.
#
# OUT (bench-out) gets report.md, raw.json with every figure, and plots.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires nbdkit fio jq qemu-nbd nbdcopy
plugin=$(find_plugin)
build=${top_builddir:-${plugin%/plugin/*}}
out=${OUT:-bench-out}
mkdir -p "$out"
out=$(realpath "$out")
raw=$tmp/raw.jsonl
: >"$raw"

if [ "${BENCH-}" = quick ]; then
  rounds=${ROUNDS:-7} seconds=0.4
  loads=("randread 4k 32 4" "randwrite 4k 32 4" "randread 4k 1 1"
         "read 128k 32 4")
else
  rounds=${ROUNDS:-7} seconds=1
  loads=()
  for rw in randread randwrite read write; do
    for bs in 4k 128k; do
      for depth in 1 32; do
        for connections in 1 4; do
          loads+=("$rw $bs $depth $connections")
        done
      done
    done
  done
fi
size=256M
hz=$(getconf CLK_TCK)

# measure TABLE ROUND SERVER RW BS DEPTH CONNECTIONS
measure ()
{
  local before

  before=$(cpu "$3")
  load "$3" --rw="$4" --bs="$5" --iodepth="$6" --numjobs="$7" --size="$size" \
    --time_based --runtime="$seconds"
  jq -c --arg table "$1" --argjson round "$2" --arg server "$3" \
    --arg load "$4 $5, depth $6, $7 conn." \
    --argjson ticks $(($(cpu "$3") - before)) --argjson hz "$hz" '
    .jobs[0] | (.read.total_ios + .write.total_ios) as $n |
    {$table, $round, $server, $load, iops: (.read.iops + .write.iops),
     cpu: ($ticks / $hz * 1e6 / $n)}' "$tmp/fio.json" >>"$raw"
}

# table NAME SERVER...: measure all of them under every load.
table ()
{
  local name=$1 load round server

  shift
  for load in "${loads[@]}"; do
    for ((round = 0; round < rounds; round++)); do
      for server; do
        # shellcheck disable=SC2086 # words
        measure "$name" "$round" "$server" $load
      done
    done
  done
}

# report NAME PEER...: Markdown; ratios are to the best of the peers, round by
# round.
report ()
{
  local name=$1

  shift
  jq -rs --arg table "$name" '
    def median: sort | if length == 0 then null
      elif length % 2 == 1 then .[length / 2 | floor]
      else (.[length / 2 - 1] + .[length / 2]) / 2 end;
    def round1: . * 10 | round / 10;
    def round2: . * 100 | round / 100;
    map(select(.table == $table)) as $rows | $ARGS.positional as $peers |
    ($rows | map(.server) | reduce .[] as $s ([];
      if index($s) then . else . + [$s] end)) as $servers |
    ($rows | map(.load) | reduce .[] as $l ([];
      if index($l) then . else . + [$l] end)) as $loads |
    "| load | server | k/s | CPU us | k/s to \($peers | join(", ")) | CPU to it |",
    "|---|---|---|---|---|---|",
    ($loads[] as $load | $servers[] as $server |
      ($rows | map(select(.load == $load))) as $cell |
      ($cell | map(select(.server == $server))) as $own |
      ($own | map(. as $r |
        ($cell | map(select(.round == $r.round and
          (.server as $s | $peers | index($s))))) as $p |
        {iops: ($r.iops / ($p | map(.iops) | max)),
         cpu: ($r.cpu / ($p | map(.cpu) | min))})) as $ratio |
      "| \($load) | \($server) | \($own | map(.iops / 1000) | median | round1)" +
      " | \($own | map(.cpu) | median | round2)" +
      " | \($ratio | map(.iops) | median | round2)" +
      " (\($ratio | map(.iops) | min | round2)-\($ratio | map(.iops) | max | round2))" +
      " | \($ratio | map(.cpu) | median | round2) |")' \
    --args "$@" <"$raw"
}

# serve_ours NAME PARAMETER...: with plain nbdkit, and as NAME-batched.
serve_ours ()
{
  serve "$1" "$plugin" "${@:2}"
  ours+=("$1")
  [ -x "$build/tools/nullblk-serve" ] || return 0
  "$build/tools/nullblk-serve" -f -U "$tmp/$1-batched.sock" "${@:2}" &
  server_pid[$1-batched]=$!
  server_uri[$1-batched]="nbd+unix:///?socket=$tmp/$1-batched.sock"
  wait_for_socket "$1-batched"
  ours+=("$1-batched")
}

# fill SERVER...: so that no load meets memory for the first time.
fill ()
{
  local name

  for name; do
    load "$name" --rw=write --bs=1M --size="$size"
  done
}

# resident NAME: KiB.
resident ()
{
  awk '$1 == "VmRSS:" { print $2 }' "/proc/${server_pid[$1]}/status"
}

{
  echo "$(nbdkit "$plugin" --version | tail -n 1), $(nbdkit --version |
    head -n 1), $(fio --version), $(qemu-nbd --version | head -n 1)"
  echo
  echo "$(nproc) CPUs, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo |
    head -n 1), Linux $(uname -r); $rounds rounds of $seconds s, one fio" \
    "thread a connection, Unix sockets, $(date -u +%F)"
} | tee "$out/report.md"

#----------------------------------------------------------------------
# Null mode

ours=()
floor=()
if [ -e "$build/tests/bench/.libs/floor.so" ]; then
  serve floor "$build/tests/bench/.libs/floor.so"
  floor=(floor)
fi
serve nbdkit-null null 1G
serve_qemu qemu-null-co driver=null-co,size=1G,read-zeroes=on
serve_ours nullblk 1G
table null "${floor[@]}" nbdkit-null qemu-null-co "${ours[@]}"
{
  printf '\n## Null mode\n\n'
  report null nbdkit-null
} | tee -a "$out/report.md"
stop "${!server_pid[@]}"

#----------------------------------------------------------------------
# Memory mode, written before

ours=()
peers=(nbdkit-memory-sparse nbdkit-memory-malloc)
serve nbdkit-memory-sparse memory 1G
serve nbdkit-memory-malloc memory 1G allocator=malloc
truncate -s 1G /dev/shm/nullblk-bench-$$
at_exit=/dev/shm/nullblk-bench-$$
trap 'rm -f "$at_exit"; clean_up' EXIT
serve_qemu qemu-ram-file "driver=file,filename=$at_exit,cache.direct=off"
serve_ours nullblk-memory 1G memory-backed=true
fill "${peers[@]}" qemu-ram-file "${ours[@]}"
table memory "${peers[@]}" qemu-ram-file "${ours[@]}"
{
  printf '\n## Memory mode, written before\n\n'
  report memory "${peers[@]}"
} | tee -a "$out/report.md"
stop "${!server_pid[@]}"
rm -f "$at_exit"

#----------------------------------------------------------------------
# First writes to fresh memory: a new server each time

first_writes ()
{
  local round server before start

  for ((round = 0; round < rounds; round++)); do
    for server in nbdkit-memory-sparse nbdkit-memory-malloc nullblk-memory; do
      case $server in
        *sparse) serve "$server" memory 1G ;;
        *malloc) serve "$server" memory 1G allocator=malloc ;;
        *) serve "$server" "$plugin" 1G memory-backed=true ;;
      esac
      before=$(cpu "$server")
      load "$server" --rw=write --bs=4k --iodepth=32 --numjobs=4 --size=64M \
        --offset_increment=64M
      jq -c --argjson round "$round" --arg server "$server" \
        --argjson ticks $(($(cpu "$server") - before)) --argjson hz "$hz" '
        .jobs[0] | {table: "first", $round, $server,
          load: "write 4k, depth 32, 4 conn.", iops: .write.iops,
          cpu: ($ticks / $hz * 1e6 / .write.total_ios)}' "$tmp/fio.json" \
        >>"$raw"
      stop "$server"
    done
  done
}
first_writes
{
  printf '\n## First writes\n\n'
  report first nbdkit-memory-sparse nbdkit-memory-malloc
} | tee -a "$out/report.md"

#----------------------------------------------------------------------
# Memory

{
  printf '\n## Memory\n\n'
  serve memory "$plugin" 8G memory-backed=true
  start=$(resident memory)
  load memory --rw=randwrite --bs=4k --iodepth=32 --numjobs=1 --size=256M \
    --norandommap=0
  full=$(resident memory)
  nbdcopy --destination-is-zero --allocated /dev/null \
    "${server_uri[memory]}" 2>/dev/null || true
  load memory --rw=trim --bs=32M --size=8G
  trimmed=$(resident memory)
  awk -v s="$start" -v f="$full" -v t="$trimmed" 'BEGIN {
    printf "256 MiB written in 4 KiB blocks hold %.4f bytes a byte", (f - s) / 262144
    printf "; after a trim of everything %.2f MiB are left.\n", (t - s) / 1024 }'
  stop memory
  serve huge "$plugin" 9223372036854775807 memory-backed=true
  start=$(resident huge)
  load huge --rw=write --bs=4k --size=4k --offset=4611686018427387904
  echo "One block in 2^63-1 bytes holds $(($(resident huge) - start)) KiB."
  stop huge
} | tee -a "$out/report.md"

#----------------------------------------------------------------------
# Instructions

# instructions OP [KEY=VALUE]...: a request, by the difference of two runs.
instructions ()
{
  local n counts=()

  for n in 10000 20000; do
    valgrind --tool=callgrind --callgrind-out-file=/dev/null \
      "$build/tests/bench/core-load" "$1" "$n" "${@:2}" >"$tmp/callgrind" 2>&1
    counts+=("$(sed -n 's/.*Collected : //p' "$tmp/callgrind")")
  done
  echo $(((counts[1] - counts[0]) / 10000))
}

if [ -x "$build/tests/bench/core-load" ] && command -v valgrind >/dev/null; then
  {
    printf '\n## Instructions a request of 4 KiB, in our own code\n\n'
    echo "| device | read | write | trim | flush |"
    echo "|---|---|---|---|---|"
    while IFS= read -r parameters; do
      printf '| %s |' "${parameters:-null mode}"
      for op in read write trim flush; do
        # shellcheck disable=SC2086 # words
        printf ' %s |' "$(instructions $op $parameters)"
      done
      echo
    done <<'PARAMETERS'

latency=0
memory-backed=true
memory-backed=true latency=0
PARAMETERS
    printf '| memory-backed=true zoned=true (conventional) | %s | %s | | |\n' \
      "$(instructions read size=1G memory-backed=true zoned=true \
        zone-size=64M zone-nr-conv=15)" \
      "$(instructions write size=1G memory-backed=true zoned=true \
        zone-size=64M zone-nr-conv=15)"
  } | tee -a "$out/report.md"
fi

jq -s . "$raw" >"$out/raw.json"

#----------------------------------------------------------------------
# Plots: one a table, requests a second by load

command -v gnuplot >/dev/null || exit 0
for name in null memory; do
  jq -rs --arg table "$name" '
    def median: sort | .[length / 2 | floor];
    map(select(.table == $table)) as $rows |
    ($rows | map(.server) | reduce .[] as $s ([];
      if index($s) then . else . + [$s] end)) as $servers |
    (["load"] + $servers | map("\"\(.)\"") | join(" ")),
    ($rows | map(.load) | reduce .[] as $l ([];
      if index($l) then . else . + [$l] end) | .[] as $load |
      ["\"\($load)\""] + ($servers | map(. as $s | $rows |
        map(select(.load == $load and .server == $s) | .iops / 1000) |
        median | tostring)) | join(" "))' <"$raw" >"$tmp/$name.dat"
  columns=$(head -n 1 "$tmp/$name.dat" | wc -w)
  gnuplot <<PLOT
set terminal svg size 1400,600 background "white"
set output "$out/$name.svg"
set title "$name mode: thousands of requests a second"
set style data histograms
set style fill solid
set xtics rotate by -45
set key outside
set grid ytics
set yrange [0:*]
plot for [i=2:$columns] "$tmp/$name.dat" using i:xtic(1) title columnheader(i)
PLOT
done
echo
echo "Plots and raw data: $out"
