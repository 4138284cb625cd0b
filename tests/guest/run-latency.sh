#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Are latencies through the kernel those that were asked for?
#
#   cd BUILD; SOURCES/tests/guest/run-latency.sh [SECONDS]
#
# In the guest fio reads 4 KiB at random places of a device of ours, for SECONDS
# (20) by each way to a block device, each latency and each depth, and logs how
# long each read takes.  The percentiles of what it has logged are printed beside
# those that were asked for, as rows of Markdown.  A null_blk that completes by a
# timer (irqmode=2) has rows, too: they say what the guest and fio add by
# themselves.  NULLBLK_KERNEL is as in build-guest.sh.  RESULTS.md has what came
# out.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ -z "${NULLBLK_GUEST-}" ]; then
  export NULLBLK_GUEST_SECONDS=${1:-20}
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

percentiles=(50 99 99.9)
depths=(1 8)

# What is played: a text as file: takes it, of a drive that was measured, whose
# times are some milliseconds; one of the shapes; and one time for all.  Each has
# the three percentiles, in us.
cat >"$tmp/drive" <<'DRIVE'
1,1200000
10,1500000
50,2000000
90,3100000
99,8000000
99.9,25000000
99.99,60000000
DRIVE
played=("file:$tmp/drive" "lognormal:p50=3ms,p99=12ms" 5ms)
declare -A asked=(["${played[0]}"]="2000 8000 25000"
                  ["${played[1]}"]="3000 12000 18918"
                  [5ms]="5000 5000 5000")

# read_disk DEVICE DEPTH LATENCY NAME: a row.
read_disk ()
{
  local row p us want i=0

  rm -f "$tmp"/log_*
  try fio --name=job --filename="$1" --ioengine=libaio --direct=1 --thread \
    --rw=randread --bs=4k --iodepth="$2" --randseed="$seed" --time_based \
    --runtime="$NULLBLK_GUEST_SECONDS" --write_lat_log="$tmp/log"
  cut -d, -f2 "$tmp"/log_lat.1.log | sort -n >"$tmp/times"
  read -ra want <<<"${asked[$3]}"
  row="| ${3/file:*/file:} | $4 | $2 | $(wc -l <"$tmp/times") |"
  for p in "${percentiles[@]}"; do
    us=$(awk -v p="$p" '{ n[NR] = $1 }
      END { i = int (NR * p / 100 + 0.999999)
            printf "%.0f", n[i < 1 ? 1 : i] / 1000 }' "$tmp/times")
    row+=" ${want[i++]} / $us |"
  done
  echo "$row"
}

# null_blk's only shape is one time for all.
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
echo "| latency | device | depth | reads | p50 | p99 | p99.9 |"
echo "|---|---|---|---|---|---|---|"
make_timed
for depth in "${depths[@]}"; do
  read_disk "$theirs" "$depth" 5ms null_blk
done
remove_theirs
for latency in "${played[@]}"; do
  words=("read-latency=$latency" seed="$seed")
  for depth in "${depths[@]}"; do
    start_server 1G "${words[@]}" ublk=true
    find_disk
    read_disk "$disk" "$depth" "$latency" ublk=true
    stop_server

    start_server 1G "${words[@]}"
    attach_ublk "$uri"
    read_disk "$disk" "$depth" "$latency" nullblk-ublk
    detach_ublk
    leave_server

    start_server 1G "${words[@]}"
    # shellcheck disable=SC2119
    attach
    read_disk "$nbd" "$depth" "$latency" /dev/nbd
    detach
    stop_server
  done
done
