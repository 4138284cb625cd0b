# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What the measurements share: servers side by side, each with its CPU time, fio
# as the load, rows of raw figures, and medians.  A script that sources this has
# a directory $tmp of its own, and its servers end with it.
#
# It runs in a build tree, or with top_builddir set to one.  Rows go to OUT
# (bench-out).  ROUNDS and RUNTIME (of one measurement, in ms) say how much is
# measured, and BENCH=quick makes all of it short.  With BENCH_PLAN set, a
# script only prints how many seconds it would take.

# shellcheck disable=SC2034 # some is only for those who source this

set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=${here%/tests/bench}
# shellcheck source=../port.sh source-path=SCRIPTDIR
source "$here/../port.sh"
build=${top_builddir:-$PWD}
tmp=$(mktemp -d)
shm=$(mktemp -d /dev/shm/nullblk-bench-XXXXXX)
transport=unix
declare -A server_pid server_uri server_where

quick=
[ "${BENCH-}" != quick ] || quick=yes
rounds=${ROUNDS:-${quick:+3}} rounds=${rounds:-7}
runtime=${RUNTIME:-200}

# shellcheck disable=SC2317 # trap
clean_up ()
{
  local pid

  for pid in "${server_pid[@]}"; do
    kill "$pid" 2>/dev/null || true
  done
  rm -rf "$tmp" "$shm"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

die ()
{
  echo "${0##*/}: $*" >&2
  exit 1
}

requires ()
{
  local program

  for program; do
    command -v "$program" >/dev/null || die "$program is missing"
  done
}

# find_plugin: print the path of the plugin: $PLUGIN, or that of a build.
find_plugin ()
{
  local candidate

  for candidate in "${PLUGIN-}" "$build/plugin/nullblk.so" \
                   "$top/plugin/nullblk.so"; do
    if [ -e "$candidate" ]; then
      realpath -s "$candidate"
      return
    fi
  done
  die "there is no plugin; name one in PLUGIN"
}

#----------------------------------------------------------------------
# Raw figures

# plan SECONDS: with BENCH_PLAN, print how long the script takes, roughly, and
# end.
plan ()
{
  [ -z "${BENCH_PLAN-}" ] || { printf '%.0f\n' "$1"; exit 0; }
}

# seconds COUNT: print how long that many measurements with fio take, with fio's
# start.
seconds ()
{
  echo $(($1 * (runtime + 330) / 1000))
}

# open_raw NAME: rows go to OUT/NAME.jsonl, a line of JSON each.  The file
# appears when close_raw is called.
open_raw ()
{
  mkdir -p "${OUT:-bench-out}"
  raw_name=$(realpath "${OUT:-bench-out}")/$1.jsonl
  raw=$tmp/raw.jsonl
  : >"$raw"
}

close_raw ()
{
  mv "$raw" "$raw_name"
}

# row TABLE ROUND SERVER RW BS DEPTH CONNECTIONS RATE CPU: add a row.  RATE is
# requests a second, CPU microseconds a request.
row ()
{
  jq -nc --arg table "$1" --argjson round "$2" --arg server "$3" \
    --arg rw "$4" --arg bs "$5" --argjson depth "$6" \
    --argjson connections "$7" --argjson rate "$8" --argjson cpu "$9" \
    '{$table, $round, $server, $rw, $bs, $depth, $connections, $rate, $cpu}' \
    >>"$raw"
}

# fact TABLE WHAT SERVER VALUE UNIT [MOST]: add a single figure, which is to be
# MOST at most.
fact ()
{
  jq -nc --arg table "$1" --arg what "$2" --arg server "$3" \
    --argjson value "$4" --arg unit "$5" --argjson most "${6:-null}" \
    '{$table, $what, $server, $value, $unit, $most}' >>"$raw"
}

#----------------------------------------------------------------------
# Servers

# listen NAME COMMAND...: start a server, which takes nbdkit's options or is
# qemu-nbd, and wait until it answers.
listen ()
{
  local where=(-U "$tmp/$1.sock") port

  server_uri[$1]="nbd+unix:///?socket=$tmp/$1.sock"
  server_where[$1]="unix $tmp/$1.sock"
  if [ "$transport" = tcp ]; then
    port=$(free_port)
    where=(-i 127.0.0.1 -p "$port")
    server_uri[$1]="nbd://127.0.0.1:$port"
    server_where[$1]="tcp $port"
  fi
  case $2-$transport in
    qemu-nbd-tcp) where=(-b 127.0.0.1 -p "$port") ;;
    qemu-nbd-unix) where=(-k "$tmp/$1.sock") ;;
    *) where+=(-f) ;;
  esac
  rm -f "$tmp/$1.sock"
  "$2" "${where[@]}" "${@:3}" &
  server_pid[$1]=$!
  wait_for_server "$1"
}

# wait_for_server NAME: until it answers.  Its socket is there before that.
wait_for_server ()
{
  until nbdinfo --size "${server_uri[$1]}" >"$tmp/out" 2>&1; do
    kill -0 "${server_pid[$1]}" 2>/dev/null || die "server $1 has ended"
    sleep 0.05
  done
}

# serve NAME NBDKIT-ARGUMENT...
serve ()
{
  listen "$1" nbdkit "${@:2}"
}

# serve_ours NAME ARGUMENT...: through nullblk-serve.
serve_ours ()
{
  [ -x "$build/tools/nullblk-serve" ] || die "$build is not a build tree"
  listen "$1" "$build/tools/nullblk-serve" "${@:2}"
}

# serve_floor: the plugin that does nothing (floor.c).
serve_floor ()
{
  [ -e "$build/tests/bench/.libs/floor.so" ] ||
    die "there is no floor.so; run make bench"
  serve floor "$build/tests/bench/.libs/floor.so"
}

# serve_least SIZE [memory]: the least that a server can be (least.c); SIZE is
# bytes.
serve_least ()
{
  [ -x "$build/tests/bench/least" ] || die "there is no least; run make bench"
  listen least "$build/tests/bench/least" "$@"
}

# serve_qemu NAME IMAGE-OPTIONS: qemu-nbd.
serve_qemu ()
{
  listen "$1" qemu-nbd --persistent --shared=0 --image-opts "$2"
}

# serve_nbd_server NAME FILE: nbd-server.  It wants a TCP port, too, and goes
# into the background.
serve_nbd_server ()
{
  cat >"$tmp/$1.conf" <<CONF
[generic]
unixsock = $tmp/$1.sock
listenaddr = 127.0.0.1
port = $(free_port)
[ram]
exportname = $2
filesize = $(stat -c %s "$2")
flush = true
trim = true
CONF
  nbd-server -C "$tmp/$1.conf" -p "$tmp/$1.pid" 2>"$tmp/out"
  until [ -s "$tmp/$1.pid" ]; do
    sleep 0.05
  done
  server_pid[$1]=$(cat "$tmp/$1.pid")
  server_uri[$1]="nbd+unix:///ram?socket=$tmp/$1.sock"
  wait_for_server "$1"
}

# stop NAME...
stop ()
{
  local name pid

  for name; do
    pid=${server_pid[$name]}
    kill "$pid"
    wait "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null; do
      sleep 0.05
    done
    unset "server_pid[$name]"
  done
}

# cpu NAME: print the CPU time of the server, user and system, in microseconds,
# by the clock of its process.  nbd-server has a process for each connection:
# its time is counted in ticks.
cpu ()
{
  local pid=${server_pid[$1]}

  if [ "$(cat "/proc/$pid/comm")" = nbd-server ]; then
    while [ -s "/proc/$pid/task/$pid/children" ]; do
      sleep 0.01
    done
    sed 's/.*) //' "/proc/$pid/stat" |
      awk -v hz="$(getconf CLK_TCK)" \
        '{ printf "%.0f", ($12 + $13 + $14 + $15) / hz * 1e6 }'
  else
    perl -MTime::HiRes=clock_gettime -e '
      my $id = do { use integer; (~(0 + $ARGV[0]) << 3) | 2 };
      printf "%.0f", 1e6 * clock_gettime ($id)' \
      "$pid"
  fi
}

# resident NAME: print the KiB of memory that the server holds.
resident ()
{
  awk '$1 == "VmRSS:" { print $2 }' "/proc/${server_pid[$1]}/status"
}

#----------------------------------------------------------------------
# The load

# The engine of fio that makes the load; load_with_engine changes it.
ioengine=nbd

# load_with_engine: have nullblk-fio make the load.
load_with_engine ()
{
  local so=$build/tools/.libs/nullblk-fio.so

  [ -e "$so" ] || die "there is no nullblk-fio.so; see configure --with-fio"
  ioengine=external:$so
}

# load NAME FIO-OPTION...: run fio on that server; its report is in
# $tmp/fio.json.
load ()
{
  fio --name=load --ioengine="$ioengine" --uri="${server_uri[$1]}" --thread \
    --clocksource=clock_gettime --group_reporting --output-format=json \
    --output="$tmp/fio" "${@:2}" >"$tmp/out" 2>&1 ||
    die "fio at $1: $(cat "$tmp/out"; sed '/^{/,$d' "$tmp/fio")"
  # fio's notes may stand before the report.
  sed -n '/^{/,$p' "$tmp/fio" >"$tmp/fio.json"
  jq -e '.jobs[0] | .error == 0 and
    .read.total_ios + .write.total_ios + .trim.total_ios > 0' \
    "$tmp/fio.json" >"$tmp/out" || die "fio has done nothing at $1"
}

# measure_all TABLE ROUND SERVER RW BS DEPTH CONNECTIONS FIO-OPTION...: measure
# a load to its end, which the options say.  fio does not note the time of each
# request, nor which blocks it has had.
measure_all ()
{
  local before us

  before=$(cpu "$3")
  load "$3" --rw="$4" --bs="$5" --iodepth="$6" --numjobs="$7" \
    --gtod_reduce=1 --norandommap "${@:8}"
  us=$(($(cpu "$3") - before))
  # shellcheck disable=SC2046 # words
  row "${@:1:7}" $(jq -r --argjson us "$us" '.jobs[0] |
    "\(.read.iops + .write.iops + .trim.iops) \($us /
      (.read.total_ios + .write.total_ios + .trim.total_ios))"' "$tmp/fio.json")
}

# measure TABLE ROUND SERVER RW BS DEPTH CONNECTIONS [FIO-OPTION]...: measure a
# load for RUNTIME.
measure ()
{
  measure_all "$@" --size="${size:-256M}" --time_based \
    --runtime="${runtime}ms"
}

# fill SERVER...: write all of it, so that no load is the first to use its
# memory.
fill ()
{
  local name

  for name; do
    load "$name" --rw=write --bs=1M --size="${size:-256M}"
  done
}

#----------------------------------------------------------------------

# median: print that of the numbers on stdin.
median ()
{
  sort -g | awk '{ n[NR] = $1 }
    END { print NR % 2 ? n[(NR + 1) / 2] : (n[NR / 2] + n[NR / 2 + 1]) / 2 }'
}
