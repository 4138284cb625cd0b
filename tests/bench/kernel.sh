#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Block devices of one server in a guest: that of the kernel's nbd driver beside
# that of nullblk-ublk.
#
#   tests/bench/kernel.sh
#
# Both have two connections to the same nullblk-serve, and fio's libaio engine
# has one job on one after the other, in turn, ROUNDS (5) times; who is first
# changes with the round.  Then each round attaches the server by nbd-client, by
# nullblk-attach and by nullblk-ublk: the time is from the call to the end of the
# first read.  The guest's processor is emulated, so figures are for their ratios
# alone; CPU is that of the whole guest.
#
# Like a guest test, this has two halves in one file.

if [ -z "${NULLBLK_GUEST-}" ]; then
  # shellcheck source=functions.sh source-path=SCRIPTDIR
  source "$(dirname "$0")/functions.sh"
  rounds=${ROUNDS:-${quick:+2}} rounds=${rounds:-5}
  loads=8
  [ -z "$quick" ] || loads=2
  plan $((40 + rounds * (loads * 2 * 4 + 10)))
  requires qemu-system-x86_64 nbdkit fio jq
  for program in nullblk-serve nullblk-attach nullblk-ublk; do
    [ -x "$build/tools/$program" ] || die "$program is not built"
  done
  PLUGIN=$(find_plugin)
  export PLUGIN top_builddir=$build NULLBLK_LIMIT=3600
  export NULLBLK_GUEST_ROUNDS=$rounds NULLBLK_GUEST_QUICK=$quick
  open_raw kernel

  bash "$top/tests/guest/run-guest.sh" "$here/kernel.sh" >"$tmp/console" 2>&1 &
  server_pid[guest]=$!
  wait "${server_pid[guest]}" || die "the guest: $(tail -n 20 "$tmp/console")"
  unset "server_pid[guest]"
  # Lines "row ROUND SERVER RW BS DEPTH RATE CPU", "time ROUND SERVER US".
  while read -r kind round server rw bs depth rate cpu; do
    case $kind in
      row) row kernel "$round" "$server" "$rw" "$bs" "$depth" 2 "$rate" "$cpu" ;;
      time)
        jq -nc --argjson round "$round" --arg server "$server" --argjson us "$rw" \
          '{table: "attaching", $round, $server, $us}' >>"$raw"
        ;;
    esac
  done < <(grep -E '^(row|time) ' "$tmp/console")
  [ -s "$raw" ] || die "the guest has measured nothing"
  close_raw
  exit
fi

#----------------------------------------------------------------------
# In the guest

# shellcheck source=../guest/ublk.sh
source "$(dirname "$0")/ublk.sh"
export NULLBLK_PLUGIN=$PLUGIN
loads=("randread 4k 32" "randwrite 4k 32" "randread 4k 1" "randwrite 4k 1"
       "randread 128k 32" "randwrite 128k 32" "randread 128k 1"
       "randwrite 128k 1")
[ -z "$NULLBLK_GUEST_QUICK" ] || loads=("${loads[@]:0:2}")
size=64M

sock=$tmp/sock
uri="nbd+unix:///?socket=$sock"
/nullblk-serve -f -U "$sock" -P "$tmp/pid" $size &
# shellcheck disable=SC2178 # another one than the host's
server_pid=$!
wait_until 60 test -s "$tmp/pid" || fail "nullblk-serve does not listen"

# busy: what the guest's CPUs have done, in ticks.
busy ()
{
  awk '$1 == "cpu" { print $2 + $3 + $4 + $7 + $8 }' /proc/stat
}

# measure ROUND SERVER DEVICE RW BS DEPTH
measure ()
{
  local before ticks

  before=$(busy)
  try fio --name=load --filename="$3" --ioengine=libaio --direct=1 --thread \
    --rw="$4" --bs="$5" --iodepth="$6" --size=$size --time_based --runtime=1 \
    --output-format=terse --terse-version=3 --output="$tmp/fio"
  ticks=$(($(busy) - before))
  # Fields: KiB read 6, a second 8; KiB written 47, a second 49.
  grep '^3;' "$tmp/fio" | awk -F';' -v ticks="$ticks" -v bs="${5%k}" \
    -v hz="$(getconf CLK_TCK 2>/dev/null || echo 100)" -v what="$1 $2 $4 $5 $6" '
    { print "row", what, $8 + $49, ticks / hz * 1e6 / (($6 + $47) / bs) }'
}

nbd=/dev/nbd0
attach --connections 2
attach_ublk -q 2 "$uri"
for device in "$nbd" "$disk"; do
  echo none >"/sys/block/${device##*/}/queue/scheduler"
done
for load in "${loads[@]}"; do
  for ((round = 0; round < NULLBLK_GUEST_ROUNDS; round++)); do
    # shellcheck disable=SC2086 # words
    if ((round % 2)); then
      measure $round nullblk-ublk "$disk" $load
      measure $round kernel-nbd "$nbd" $load
    else
      measure $round kernel-nbd "$nbd" $load
      measure $round nullblk-ublk "$disk" $load
    fi
  done
done
detach_ublk
detach

# Attaching.

by_nbd_client ()
{
  nbd-client --unix "$sock" "$nbd" --connections 2 >"$tmp/out" 2>&1 &&
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

for ((round = 0; round < NULLBLK_GUEST_ROUNDS; round++)); do
  time_of $round nbd-client by_nbd_client
  detach
  time_of $round nullblk-attach by_nullblk_attach
  try /nullblk-attach --detach "$disk"
  time_of $round nullblk-ublk by_nullblk_ublk
  detach_ublk
done
