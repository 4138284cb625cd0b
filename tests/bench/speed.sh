#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk beside other servers: requests a second, and server CPU a request.
#
#   tests/bench/speed.sh null|memory
#
# All servers run side by side, each on a Unix socket of its own, and fio's nbd
# engine puts the same load on one after the other, in turn, ROUNDS times.  So
# whatever else the machine does affects all of them alike, and what counts is
# the ratio of two figures of the same round.  nullblk is measured twice, with
# plain nbdkit and through nullblk-serve.  Memory is written before it is
# measured.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "$(dirname "$0")/functions.sh"
mode=${1:?}
case $mode in
  null)
    servers=(floor nbdkit-null qemu-null-co nullblk nullblk-serve) ;;
  memory)
    servers=(floor nbdkit-memory-sparse nbdkit-memory-malloc qemu-ram-file
             nbd-server-tmpfs nullblk nullblk-serve)
    command -v nbd-server >/dev/null ||
      servers=("${servers[@]/nbd-server-tmpfs/}") ;;
  *) die "null or memory?" ;;
esac

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
if [ -n "$quick" ]; then
  loads=("randread 4k 32 4" "randwrite 4k 32 1" "randwrite 4k 32 4")
fi
plan "$(seconds $((${#loads[@]} * rounds * ${#servers[@]})))"
requires nbdkit fio jq qemu-nbd nbdinfo perl
plugin=$(find_plugin)
open_raw "$mode"

serve_floor
case $mode in
  null)
    serve nbdkit-null null 1G
    # read-zeroes=on would send no data.
    serve_qemu qemu-null-co driver=null-co,size=1G,read-zeroes=off
    serve nullblk "$plugin" 1G
    serve_ours nullblk-serve 1G
    ;;
  memory)
    truncate -s 1G "$shm/qemu" "$shm/nbd-server"
    serve nbdkit-memory-sparse memory 1G
    serve nbdkit-memory-malloc memory 1G allocator=malloc
    serve_qemu qemu-ram-file "driver=file,filename=$shm/qemu,cache.direct=off"
    serve nullblk "$plugin" 1G memory-backed=true
    serve_ours nullblk-serve 1G memory-backed=true
    [[ ${servers[*]} != *nbd-server* ]] ||
      serve_nbd_server nbd-server-tmpfs "$shm/nbd-server"
    # shellcheck disable=SC2068 # no empty ones
    fill ${servers[@]}
    ;;
esac

for load in "${loads[@]}"; do
  for ((round = 0; round < rounds; round++)); do
    # shellcheck disable=SC2068 # no empty ones
    for server in ${servers[@]}; do
      # shellcheck disable=SC2086 # words
      measure "$mode" "$round" "$server" $load
    done
  done
done
close_raw
