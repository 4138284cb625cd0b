#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Block devices in a guest: the kernel's own null_blk and brd, its nbd driver
# and nullblk-ublk on one nullblk-serve, and the plugin's own device
# (ublk=true).
#
#   tests/bench/kernel.sh
#
# All but brd have two queues, or two connections.  One job (JOBS) of fio's
# io_uring engine runs on one device after the other, in turn, ROUNDS (5) times;
# each round begins with another device.  PARTS says what is measured:
#
#   null       devices that store nothing
#   memory     devices with memory that was written before
#   latency    reads with a fixed latency, and without, beside null_blk with a
#              timer (irqmode=2): how long fio waits for each, less the latency
#   attaching  by nbd-client, nullblk-attach and nullblk-ublk: the time from the
#              call to the end of the first read
#
# LOADS says which loads null and memory measure, as "randread 4k 32, randwrite
# 128k 1"; all by default.
#
# The guest's processor is emulated, so figures are for their ratios alone; CPU
# is that of the whole guest.
# The processor has no fast strings (ERMS): where it says that it has them, the
# kernel copies by "rep movsb", which qemu does byte by byte.  With IDLE=poll a
# processor that has nothing to do looks for work instead of halting: what qemu
# takes to wake one that has halted is not in the figures then.  With COUNTED=yes
# there is one processor, which takes 2 ns for each instruction: so figures do not
# depend on the machine, nor on what else it does, and have none of the costs of
# caches, wakings or the emulation.
#
# Like a guest test, this has two halves in one file.

if [ -z "${NULLBLK_GUEST-}" ]; then
  # shellcheck source=functions.sh source-path=SCRIPTDIR
  source "$(dirname "$0")/functions.sh"
  rounds=${ROUNDS:-${quick:+2}} rounds=${rounds:-5}
  read -ra parts <<<"${PARTS:-null memory latency attaching}"
  IFS=, read -ra loads <<<"${LOADS-}"
  cells=${#loads[@]}
  [ "$cells" != 0 ] || cells=8
  [ -z "$quick" ] || cells=2
  seconds=40
  for part in "${parts[@]}"; do
    case $part in
      null) seconds=$((seconds + 20 + rounds * cells * 4 * 4)) ;;
      memory) seconds=$((seconds + 40 + rounds * cells * 5 * 4)) ;;
      latency) seconds=$((seconds + 60 + rounds * cells * 4 * 4)) ;;
      attaching) seconds=$((seconds + rounds * 10)) ;;
      *) die "there is no part $part" ;;
    esac
  done
  plan "$seconds"
  requires qemu-system-x86_64 nbdkit fio jq
  for program in nullblk-serve nullblk-attach nullblk-ublk; do
    [ -x "$build/tools/$program" ] || die "$program is not built"
  done
  PLUGIN=$(find_plugin)
  export PLUGIN top_builddir=$build NULLBLK_LIMIT=7200
  export NULLBLK_GUEST_ROUNDS=$rounds NULLBLK_GUEST_QUICK=$quick
  export NULLBLK_GUEST_PARTS="${parts[*]}" NULLBLK_GUEST_JOBS=${JOBS:-1}
  export NULLBLK_GUEST_LOADS=${LOADS-}
  export NULLBLK_BOOT=${IDLE:+idle=$IDLE} NULLBLK_COUNTED=${COUNTED-}
  open_raw kernel

  bash "$top/tests/guest/run-guest.sh" "$here/kernel.sh" -cpu max,erms=off \
    >"$tmp/console" 2>&1 &
  server_pid[guest]=$!
  wait "${server_pid[guest]}" || die "the guest: $(tail -n 20 "$tmp/console")"
  unset "server_pid[guest]"
  grep '^note ' "$tmp/console" >&2 || true
  # Lines "row-PART ROUND SERVER RW BS DEPTH JOBS RATE CPU", "late ROUND SERVER
  # US DEPTH P50 P99" (of ns), "time ROUND SERVER US".  A row is in two tables:
  # one has the ratios to the kernel's nbd driver, one those to null_blk.
  while read -r kind round server more; do
    read -ra words <<<"$more"
    case $kind in
      row-null) tables=(kernel kernel-near) ;;
      row-memory) tables=(kernel-memory kernel-near-memory) ;;
      late)
        jq -nc --argjson round "$round" --arg server "$server" \
          --argjson us "${words[0]}" --argjson depth "${words[1]}" \
          --argjson p50 "${words[2]}" --argjson p99 "${words[3]}" \
          '{table: "kernel-latency", $round, $server, $us, $depth,
            p50: ($p50 / 1000 - $us), p99: ($p99 / 1000 - $us)}' >>"$raw"
        continue
        ;;
      time)
        jq -nc --argjson round "$round" --arg server "$server" \
          --argjson us "${words[0]}" \
          '{table: "attaching", $round, $server, $us}' >>"$raw"
        continue
        ;;
    esac
    for table in "${tables[@]}"; do
      row "$table" "$round" "$server" "${words[@]}"
    done
  done < <(grep -E '^(row-null|row-memory|late|time) ' "$tmp/console")
  [ -s "$raw" ] || die "the guest has measured nothing"
  close_raw
  exit
fi

#----------------------------------------------------------------------
# In the guest

# shellcheck source=../guest/ublk.sh
source "$(dirname "$0")/ublk.sh"
export NULLBLK_PLUGIN=$PLUGIN
rounds=$NULLBLK_GUEST_ROUNDS jobs=$NULLBLK_GUEST_JOBS
loads=("randread 4k 32" "randwrite 4k 32" "randread 4k 1" "randwrite 4k 1"
       "randread 128k 32" "randwrite 128k 32" "randread 128k 1"
       "randwrite 128k 1")
[ -z "$NULLBLK_GUEST_LOADS" ] || IFS=, read -ra loads <<<"$NULLBLK_GUEST_LOADS"
asked=(0 20 100 1000) # us
depths=(1 32)
if [ -n "$NULLBLK_GUEST_QUICK" ]; then
  loads=("${loads[@]:0:2}")
  asked=(0 100)
  depths=(1)
fi
size=64M
nbd=/dev/nbd0

#----------------------------------------------------------------------
# Servers, and their devices

servers=()
declare -A device server_pids

end_servers ()
{
  local pid

  for pid in "${server_pids[@]}"; do
    end_process "$pid"
  done
}
at_exit+=(end_servers)

stop ()
{
  local pid=${server_pids[$1]}

  unset "server_pids[$1]"
  end_process "$pid" || fail "$1 had to be killed"
  wait "$pid" || fail "$1 fails"
}

# add NAME DEVICE
add ()
{
  servers+=("$1")
  device[$1]=$2
  echo none >"/sys/block/${2##*/}/queue/scheduler" 2>/dev/null || true
}

# add_null_blk US [memory]
null_blk=/sys/kernel/config/nullb/nullb0
add_null_blk ()
{
  mkdir "$null_blk"
  echo 64 >"$null_blk/size"
  echo 2 >"$null_blk/submit_queues"
  [ -z "${2-}" ] || echo 1 >"$null_blk/memory_backed"
  if [ "$1" != 0 ]; then
    echo 2 >"$null_blk/irqmode"
    echo $(($1 * 1000)) >"$null_blk/completion_nsec"
  else
    echo 0 >"$null_blk/irqmode"
  fi
  echo 1 >"$null_blk/power"
  add null_blk /dev/nullb0
}

# start NAME PROGRAM ARGUMENT...: returns 1 if it ends instead of listening.
start ()
{
  rm -f "$tmp/$1.pid" "$tmp/$1.sock"
  "$2" -f -U "$tmp/$1.sock" -P "$tmp/$1.pid" "${@:3}" 2>"$tmp/$1.err" &
  server_pids[$1]=$!
  wait_until 60 listens_or_ended "$1" || fail "$1 does not listen"
  [ ! -s "$tmp/$1.pid" ] || return 0
  unset "server_pids[$1]"
  return 1
}

listens_or_ended ()
{
  [ -s "$tmp/$1.pid" ] || process_ended "${server_pids[$1]}"
}

# serve_size ARGUMENT...
serve_size ()
{
  start serve /nullblk-serve $size "$@" || fail "$(cat "$tmp/serve.err")"
  uri="nbd+unix:///?socket=$tmp/serve.sock"
}

# add_plugins_own ARGUMENT...: add the plugin's own device, if it can make one.
add_plugins_own ()
{
  local before

  before=$(ls -d /sys/block/ublkb*)
  if ! start own "$NULLBLK_NBDKIT" "$PLUGIN" $size ublk=true "$@"; then
    [ -n "$noted" ] ||
      echo "note there is no nullblk-ublk=true: $(head -n 1 "$tmp/own.err")"
    noted=yes
    return
  fi
  wait_until 60 new_device "$before" || fail "ublk=true makes no device"
  add nullblk-ublk=true "$new"
}
noted=

new_device ()
{
  new=$(ls -d /sys/block/ublkb*)
  new=$(grep -vxF "$1" <<<"$new") || return 1
  new=/dev/${new##*/}
  [ -b "$new" ] && [ "$(cat "/sys/block/${new##*/}/size")" != 0 ]
}

# start_all US [memory]: make all devices, with that latency.
start_all ()
{
  local arguments=()

  servers=()
  [ "$1" = 0 ] || arguments+=("read-latency=$1us")
  [ -z "${2-}" ] || arguments+=(memory-backed=true)
  add_null_blk "$@"
  if [ -n "${2-}" ]; then
    modprobe brd rd_nr=1 rd_size=65536
    add brd /dev/ram0
  fi
  serve_size "${arguments[@]}"
  attach_to --unix "$tmp/serve.sock" --connections 2
  add kernel-nbd "$nbd"
  attach_ublk -q 2 "$uri"
  add nullblk-ublk "$disk"
  add_plugins_own "${arguments[@]}"
}

end_all ()
{
  [ -z "${server_pids[own]-}" ] || stop own
  detach_ublk
  detach
  stop serve
  [ ! -e /dev/ram0 ] || rmmod brd
  echo 0 >"$null_blk/power"
  rmdir "$null_blk"
}

# in_turn COMMAND...: run it for each round and server, its last two arguments.
in_turn ()
{
  local round i n=${#servers[@]}

  for ((round = 0; round < rounds; round++)); do
    for ((i = 0; i < n; i++)); do
      "$@" "$round" "${servers[(i + round) % n]}"
    done
  done
}

#----------------------------------------------------------------------
# What is measured

# run_fio SERVER RW BS DEPTH OPTION...
run_fio ()
{
  try fio --name=load --filename="${device[$1]}" --ioengine=io_uring \
    --direct=1 --thread --rw="$2" --bs="$3" --iodepth="$4" --size=$size \
    --time_based --runtime=1 --group_reporting --output="$tmp/fio" "${@:5}"
}

# busy: print for how many ticks the guest's CPUs have worked.
busy ()
{
  awk '$1 == "cpu" { print $2 + $3 + $4 + $7 + $8 }' /proc/stat
}

# measure PART RW BS DEPTH ROUND SERVER
measure ()
{
  local before ticks

  before=$(busy)
  run_fio "$6" "$2" "$3" "$4" --numjobs="$jobs" --norandommap \
    --gtod_reduce=1 --output-format=terse --terse-version=3
  ticks=$(($(busy) - before))
  # Fields: KiB read 6, a second 8; KiB written 47, a second 49.
  grep '^3;' "$tmp/fio" | awk -F';' -v ticks="$ticks" -v bs="${3%k}" \
    -v hz="$(getconf CLK_TCK 2>/dev/null || echo 100)" \
    -v what="row-$1 $5 $6 $2 $3 $4 $jobs" '
    { print what, $8 + $49, ticks / hz * 1e6 / (($6 + $47) / bs) }'
}

# measure_late US DEPTH ROUND SERVER
measure_late ()
{
  run_fio "$4" randread 4k "$2" --clat_percentiles=0 --lat_percentiles=1 \
    --percentile_list=50:99 --output-format=json
  # The percentiles of reads come first.
  awk -v what="late $3 $4 $1 $2" '
    $1 == "\"50.000000\"" && !p50 { p50 = $3 + 0 }
    $1 == "\"99.000000\"" && !p99 { p99 = $3 + 0 }
    END { print what, p50, p99 }' "$tmp/fio"
}

# fill: write all devices, so that no load meets memory for the first time.
fill ()
{
  local server

  for server in "${servers[@]}"; do
    try dd if=/dev/urandom of="${device[$server]}" bs=1M count=64 oflag=direct
  done
}

compare ()
{
  local load

  for load in "${loads[@]}"; do
    # shellcheck disable=SC2086 # words
    in_turn measure "$1" $load
  done
}

compare_latency ()
{
  local us depth

  for us in "${asked[@]}"; do
    start_all "$us"
    for depth in "${depths[@]}"; do
      in_turn measure_late "$us" "$depth"
    done
    end_all
  done
}

by_nbd_client ()
{
  nbd-client --unix "$tmp/serve.sock" "$nbd" --connections 2 >"$tmp/out" 2>&1 &&
    disk=$nbd
}

by_nullblk_attach ()
{
  disk=$(/nullblk-attach --connections 2 "$uri" 2>"$tmp/out")
}

by_nullblk_ublk ()
{
  disk=$("$ublk" --queues 2 "$uri" 2>"$tmp/out")
}

# time_of ROUND SERVER ATTACH
time_of ()
{
  local start=${EPOCHREALTIME/.}

  "$3" || fail "$2: $(cat "$tmp/out")"
  dd if="$disk" of=/dev/null bs=4k count=1 iflag=direct 2>"$tmp/out" ||
    fail "$2: $(cat "$tmp/out")"
  echo "time $1 $2 $((${EPOCHREALTIME/.} - start))"
}

compare_attaching ()
{
  local round

  serve_size
  for ((round = 0; round < rounds; round++)); do
    time_of $round nbd-client by_nbd_client
    detach
    time_of $round nullblk-attach by_nullblk_attach
    try /nullblk-attach --detach "$disk"
    time_of $round nullblk-ublk by_nullblk_ublk
    detach_ublk
  done
  stop serve
}

modprobe null_blk nr_devices=0
mount -t configfs none /sys/kernel/config
for part in $NULLBLK_GUEST_PARTS; do
  case $part in
    null)
      start_all 0
      compare null
      end_all
      ;;
    memory)
      start_all 0 memory
      fill
      compare memory
      end_all
      ;;
    latency) compare_latency ;;
    attaching) compare_attaching ;;
  esac
done
