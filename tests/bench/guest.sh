#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Block devices in a guest: the kernel's own null_blk, without memory and with
# it, and brd, beside servers that the kernel's nbd driver has attached with 1
# and with 4 connections.
#
#   tests/bench/guest.sh
#
# Two jobs of fio's libaio engine run on one device after the other, in turn,
# ROUNDS (3) times.  The guest's processor is emulated, so only the ratios of
# figures mean anything; CPU is that of the whole guest: server, kernel and fio.
# The processor has no fast strings (ERMS): where it says that it has them, the
# kernel copies by "rep movsb", which qemu does byte by byte.
#
# Like a guest test, this has two halves in one file.

if [ -z "${NULLBLK_GUEST-}" ]; then
  # shellcheck source=functions.sh source-path=SCRIPTDIR
  source "$(dirname "$0")/functions.sh"
  rounds=${ROUNDS:-${quick:+1}} rounds=${rounds:-3}
  loads=6
  [ -z "$quick" ] || loads=2
  plan $((40 + rounds * loads * 15 * 4))
  requires qemu-system-x86_64 nbdkit fio jq
  PLUGIN=$(find_plugin)
  # Add the plugins that the image lacks.
  plugindir=$(nbdkit --dump-config | sed -n 's/^plugindir=//p')
  mkdir -p "$tmp/add$plugindir"
  cp "$plugindir"/nbdkit-{null,memory}-plugin.so "$tmp/add$plugindir"
  export PLUGIN top_builddir=$build NULLBLK_ADD=$tmp/add NULLBLK_LIMIT=3600
  export NULLBLK_GUEST_ROUNDS=$rounds NULLBLK_GUEST_QUICK=$quick
  open_raw guest

  bash "$top/tests/guest/run-guest.sh" "$here/guest.sh" -cpu max,erms=off \
    >"$tmp/console" 2>&1 &
  server_pid[guest]=$!
  wait "${server_pid[guest]}" || die "the guest: $(tail -n 20 "$tmp/console")"
  unset "server_pid[guest]"
  # Lines "row ROUND SERVER CONNECTIONS RW BS DEPTH RATE CPU"; those of the
  # kernel's own devices have no connections.
  while read -r _ round server connections rw bs depth rate cpu; do
    name=$server
    if [ "$connections" != 0 ]; then
      name=$server-$connections
      row guest-nbd "$round" "$server" "$rw" "$bs" "$depth" "$connections" \
        "$rate" "$cpu"
    fi
    row guest "$round" "$name" "$rw" "$bs" "$depth" 2 "$rate" "$cpu"
  done < <(grep '^row ' "$tmp/console")
  [ -s "$raw" ] || die "the guest has measured nothing"
  close_raw
  exit
fi

#----------------------------------------------------------------------
# In the guest

# shellcheck source=../guest/functions.sh
source "$(dirname "$0")/functions.sh"
export NULLBLK_PLUGIN=$PLUGIN
loads=("randread 4k 1" "randread 4k 32" "randwrite 4k 32" "randread 128k 32"
       "randwrite 128k 32" "randwrite 4k 1")
[ -z "$NULLBLK_GUEST_QUICK" ] || loads=("${loads[@]:1:2}")
size=64M

declare -A pids
end_servers ()
{
  local pid

  for pid in "${pids[@]}"; do
    end_process "$pid"
  done
}
at_exit+=(end_servers)

# start NAME PROGRAM ARGUMENT...
start ()
{
  "$2" -f -U "$tmp/$1.sock" "${@:3}" &
  pids[$1]=$!
  wait_until 60 nbdinfo --size "nbd+unix:///?socket=$tmp/$1.sock" \
    >"$tmp/size" 2>&1 || fail "$1 does not listen"
}

# make_null_blk NAME MEMORY-BACKED
make_null_blk ()
{
  local dir=/sys/kernel/config/nullb/$1

  mkdir "$dir"
  echo 64 >"$dir/size"
  echo "$2" >"$dir/memory_backed"
  echo 1 >"$dir/power"
}

# busy: print for how many ticks the guest's CPUs have worked.
busy ()
{
  awk '$1 == "cpu" { print $2 + $3 + $4 + $7 + $8 }' /proc/stat
}

# measure ROUND SERVER CONNECTIONS DEVICE RW BS DEPTH
measure ()
{
  local before ticks

  echo none >"/sys/block/${4#/dev/}/queue/scheduler" 2>/dev/null || true
  before=$(busy)
  try fio --name=load --filename="$4" --ioengine=libaio --direct=1 --thread \
    --rw="$5" --bs="$6" --iodepth="$7" --numjobs=2 --size=$size --time_based \
    --runtime=1 --group_reporting --output-format=terse --terse-version=3 \
    --output="$tmp/fio"
  ticks=$(($(busy) - before))
  # Fields: KiB read 6, a second 8; KiB written 47, a second 49.
  grep '^3;' "$tmp/fio" | awk -F';' -v ticks="$ticks" -v bs="${6%k}" \
    -v hz="$(getconf CLK_TCK 2>/dev/null || echo 100)" -v what="$1 $2 $3 $5 $6 $7" '
    { print "row", what, $8 + $49, ticks / hz * 1e6 / (($6 + $47) / bs) }'
}

modprobe null_blk nr_devices=0
mount -t configfs none /sys/kernel/config
make_null_blk nullb0 0
make_null_blk nullb1 1
modprobe brd rd_nr=1 rd_size=65536

start nbdkit-null "$NULLBLK_NBDKIT" null $size
start nbdkit-memory "$NULLBLK_NBDKIT" memory $size
start nullblk-serve /nullblk-serve $size
NULLBLK_BATCH_POLL=0 start nullblk-serve-no-poll /nullblk-serve $size
NULLBLK_BATCH=0 start nullblk-unbatched /nullblk-serve $size
start nullblk-memory-serve /nullblk-serve $size memory-backed=true
servers=(nbdkit-null nullblk-unbatched nullblk-serve-no-poll nullblk-serve
         nbdkit-memory nullblk-memory-serve)

# with_server SERVER CONNECTIONS COMMAND...: run it while $nbd is that server.
with_server ()
{
  attach_to -unix "$tmp/$1.sock" -C "$2"
  "${@:3}"
  detach
}

fill ()
{
  try dd if=/dev/urandom of="$1" bs=1M count=64 oflag=direct
}

fill /dev/nullb1
fill /dev/ram0
for server in nbdkit-memory nullblk-memory-serve; do
  with_server $server 1 fill "$nbd"
done

for load in "${loads[@]}"; do
  for ((round = 0; round < NULLBLK_GUEST_ROUNDS; round++)); do
    # shellcheck disable=SC2086 # words
    {
      measure $round null_blk 0 /dev/nullb0 $load
      measure $round null_blk-memory 0 /dev/nullb1 $load
      measure $round brd 0 /dev/ram0 $load
      for server in "${servers[@]}"; do
        for connections in 1 4; do
          with_server "$server" $connections \
            measure $round "$server" $connections "$nbd" $load
        done
      done
    }
  done
done
