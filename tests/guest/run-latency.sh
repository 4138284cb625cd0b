#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Shows whether latencies through the kernel are those that were asked for:
#
#   cd BUILD; SOURCES/tests/guest/run-latency.sh [SECONDS [WHAT...]]
#
# In the guest fio reads 4 KiB at random places of a device of ours, for SECONDS
# (20) by each way to a block device, with each latency and each depth, and logs
# how long each read takes.  WHAT says which latencies: file, lognormal and
# fixed, by default all.  The client-overhead of a way is measured as
# nullblk-measure does it: by how much half of the reads exceed a latency of 2
# ms, the median of the drive that is played, at depth 1.
#
# Prints a table: percentiles of what fio has logged, beside those that were
# asked for in that run, by .stats, and how late the server itself was, by
# .stats, too.  It also has what the guest adds by itself: rows of a null_blk
# that completes by a timer (irqmode=2), and how late a thread is that only
# sleeps.  NULLBLK_KERNEL is as in build-guest.sh.  RESULTS.md has the results.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ -z "${NULLBLK_GUEST-}" ]; then
  export NULLBLK_GUEST_SECONDS=${1:-20}
  shift $(($# > 0))
  export NULLBLK_GUEST_PLAYED=${*:-file lognormal fixed}
  export top_srcdir=${here%/tests/guest} top_builddir=$PWD
  export NBDKIT=${NBDKIT:-nbdkit} PLUGIN=$PWD/plugin/nullblk.so
  export NULLBLK_TIMED=yes NULLBLK_LIMIT=${NULLBLK_LIMIT:-3600}
fi
# shellcheck source=differ.sh source-path=SCRIPTDIR
source "$here/differ.sh"
if on_host; then
  boot_guest
  exit
fi

ways=(ublk=true nullblk-ublk /dev/nbd)
depths=(1 8)

# A file for file=, as of a drive that was measured.
cat >"$tmp/drive" <<'DRIVE'
1,1200000
10,1500000
50,2000000
90,3100000
99,8000000
99.9,25000000
99.99,60000000
DRIVE
declare -A latency=([file]="file:$tmp/drive"
                    [lognormal]="lognormal:p50=3ms,p99=12ms"
                    [fixed]=5ms)
declare -A overhead # of each way, in ns

# begin WAY KEY=VALUE...: serve a device, make it a block device by WAY, and set
# $disk to that.
begin ()
{
  if [ "$1" = ublk=true ]; then
    serve_disk 1G seed="$seed" "${@:2}"
    return
  fi
  start_server 1G seed="$seed" "${@:2}"
  if [ "$1" = nullblk-ublk ]; then
    attach_ublk "$uri"
  else
    # shellcheck disable=SC2119
    attach
    disk=$nbd
  fi
}

end ()
{
  case $1 in
    ublk=true) stop_server ;;
    nullblk-ublk)
      detach_ublk
      leave_server
      ;;
    /dev/nbd)
      detach
      stop_server
      ;;
  esac
}

# read_disk DEVICE DEPTH: read, and put how long each read took, in ns, into
# $tmp/times.
read_disk ()
{
  rm -f "$tmp"/log_*
  try fio --name=job --filename="$1" --ioengine=libaio --direct=1 --thread \
    --rw=randread --bs=4k --iodepth="$2" --randseed="$seed" --time_based \
    --runtime="$NULLBLK_GUEST_SECONDS" --write_lat_log="$tmp/log"
  cut -d, -f2 "$tmp"/log_lat.1.log | sort -n >"$tmp/times"
}

# seen PERCENT: print that percentile of $tmp/times.
seen ()
{
  awk -v p="$1" '{ n[NR] = $1 }
    END { i = int (NR * p / 100 + 0.999999)
          printf "%.0f", n[i < 1 ? 1 : i] }' "$tmp/times"
}

# from_stats KEY PERCENTILE: print it, in ns, from the first list of that name
# in $tmp/stats, which is that of reads.
from_stats ()
{
  grep -m 1 "\"$1\"" "$tmp/stats" | sed "s/.*\"$2\": \([0-9]*\).*/\1/"
}

# show LATENCY WAY OVERHEAD DEPTH P50 P99 P99.9 REST: print a row, with the
# percentiles that were asked for beside those in $tmp/times, and then REST.
show ()
{
  local row p percentiles=(50 99 99.9)

  row="| $1 | $2 | $(us "$3") | $4 | $(wc -l <"$tmp/times") |"
  for p in "${percentiles[@]}"; do
    row+=" $(us "$5") / $(us "$(seen "$p")") |"
    shift
  done
  echo "$row ${5-}"
}

us ()
{
  echo $((($1 + 500) / 1000))
}

# measure LATENCY WAY DEPTH
measure ()
{
  local p asked=() over=${overhead[$2]}

  begin "$2" read-latency="${latency[$1]}" client-overhead="${over}ns"
  try /nullblkctl reset-stats "$sock"
  read_disk "$disk" "$3"
  /nullblkctl --json stats "$sock" >"$tmp/stats"
  # .stats has the latencies without the overhead.
  for p in p50 p99 p99.9; do
    asked+=($(($(from_stats asked_ns $p) + over)))
  done
  show "$1" "$2" "$over" "$3" "${asked[@]}" \
    "$(us "$(from_stats late_ns p50)") / $(us "$(from_stats late_ns p99)") |"
  end "$2"
}

# null_blk has one latency for all requests.
make_timed ()
{
  mkdir "$configfs"
  echo 2 >"$configfs/irqmode"
  echo 5000000 >"$configfs/completion_nsec"
  echo 128 >"$configfs/hw_queue_depth"
  echo 1 >"$configfs/power"
}

load_null_blk
echo "Linux $(uname -r), $(fio --version), $(nproc) processors, seed $seed"
for ns in 2000000 8000000; do
  read -r p50 p99 <<<"$(/alone sleep $ns 5)"
  echo "A sleep of $(us $ns) us is late by $(us "$p50") us, p99 $(us "$p99") us."
done
echo
echo "| latency | device | overhead | depth | reads | p50 | p99 | p99.9 |" \
  "server late |"
echo "|---|---|---|---|---|---|---|---|---|"
make_timed
for depth in "${depths[@]}"; do
  read_disk "$theirs" "$depth"
  show fixed null_blk 0 "$depth" 5000000 5000000 5000000 "- |"
done
remove_theirs
for way in "${ways[@]}"; do
  begin "$way" read-latency=2ms
  read_disk "$disk" 1
  end "$way"
  overhead[$way]=$(($(seen 50) - 2000000))
done
for played in $NULLBLK_GUEST_PLAYED; do
  for depth in "${depths[@]}"; do
    for way in "${ways[@]}"; do
      measure "$played" "$way" "$depth"
    done
  done
done
