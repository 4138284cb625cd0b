#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What batched socket I/O is worth: nullblk-serve beside the fastest other
# servers.
#
#   tests/bench/batch.sh unix|tcp fio|engine|client [LOAD...]
#
# A null device is compared with nbdkit's null plugin.  A device of RAM is
# compared with nbdkit's memory plugin, and with qemu-nbd's null-co, which holds
# no data but is fast; the better one counts.  bench/least.c is a bound: no
# server can do much less.  All servers run side by side, as they are usually
# run, and are measured in turn, ROUNDS times, for each LOAD "randread|randwrite
# SIZE DEPTH CONNECTIONS".  fio is fio with its nbd engine, which costs more CPU than any
# of the servers; engine is fio with nullblk-fio(1); client is bench/client.c,
# which costs little.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "$(dirname "$0")/functions.sh"
transport=${1:?} with=${2:?}
shift 2
loads=("$@")
if [ $# = 0 ]; then
  loads=("randread 4k 32 4" "randwrite 4k 32 4" "randread 128k 32 4"
         "randwrite 128k 32 4" "randread 4k 32 1" "randread 4k 1 1"
         "randwrite 4k 1 1")
  [ -z "$quick" ] || loads=("${loads[0]}")
fi
null=(floor nbdkit-null nullblk-serve-unbatched nullblk-serve least)
memory=(floor nbdkit-memory-sparse qemu-null-co nullblk-serve least)
n=$((${#loads[@]} * rounds * (${#null[@]} + ${#memory[@]})))
[ "$with" != client ] || plan $((n * (runtime + 150) / 1000 + 5))
plan "$(seconds $n)"
[ "$with" != engine ] || load_with_engine
requires nbdkit fio jq qemu-nbd nbdinfo nbdcopy perl
client=$build/tests/bench/client
[ -x "$client" ] || die "there is no bench/client; run make bench"
open_raw "batch-$transport-$with"

size_of ()
{
  case $1 in
    4k) echo 4096 ;;
    128k) echo 131072 ;;
    *) echo "$1" ;;
  esac
}

# measure_client TABLE ROUND SERVER RW BS DEPTH CONNECTIONS
measure_client ()
{
  local before us rate

  before=$(cpu "$3")
  # shellcheck disable=SC2086 # words
  rate=$("$client" ${server_where[$3]} "${4#rand}" "$(size_of "$5")" "$7" \
    "$6" "$(awk -v ms="$runtime" 'BEGIN { print ms / 1000 }')")
  us=$(($(cpu "$3") - before))
  row "$@" "$rate" "$(awk -v us="$us" -v rate="$rate" -v ms="$runtime" \
    'BEGIN { print us / (rate * ms / 1000) }')"
}

# device TABLE SERVER...: measure all loads on the servers.
device ()
{
  local load round server

  for load in "${loads[@]}"; do
    for ((round = 0; round < rounds; round++)); do
      for server in "${@:2}"; do
        # shellcheck disable=SC2086 # words
        case $with in
          fio | engine) size=64M measure "$1" "$round" "$server" $load ;;
          client) measure_client "$1" "$round" "$server" $load ;;
        esac
      done
    done
  done
}

serve_floor
serve nbdkit-null null 64M
NULLBLK_BATCH=0 serve_ours nullblk-serve-unbatched 64M
serve_ours nullblk-serve 64M
serve_least $((64 << 20))
device "batch-null-$transport-$with" "${null[@]}"
stop nbdkit-null nullblk-serve-unbatched nullblk-serve least

serve nbdkit-memory-sparse memory 64M
# read-zeroes=on would send no data.
serve_qemu qemu-null-co driver=null-co,size=64M,read-zeroes=off
serve_ours nullblk-serve 64M memory-backed=true
serve_least $((64 << 20)) memory
head -c 64M /dev/urandom >"$shm/data"
for server in nbdkit-memory-sparse nullblk-serve least; do
  nbdcopy "$shm/data" "${server_uri[$server]}"
done
device "batch-memory-$transport-$with" "${memory[@]}"
close_raw
