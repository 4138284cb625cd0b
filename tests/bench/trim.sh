#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Trims of written memory, and resets of full zones, by trims of whole zones.
#
#   tests/bench/trim.sh
#
# A round fills 128 MiB, which is not timed, and then trims all of it.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "$(dirname "$0")/functions.sh"
servers=(floor nbdkit-memory-sparse nbdkit-memory-malloc qemu-ram-file
         nbd-server-tmpfs nullblk nullblk-serve nullblk-zoned)
command -v nbd-server >/dev/null ||
  servers=("${servers[@]/nbd-server-tmpfs/}")
loads=("trim 4k 32 4" "trim 64k 32 4")
[ -z "$quick" ] || loads=("trim 64k 32 4")
plan $((rounds * ${#loads[@]} * ${#servers[@]} * 11 / 10))
requires nbdkit fio jq qemu-nbd nbdinfo perl
plugin=$(find_plugin)
export size=128M
open_raw trim

serve_floor
truncate -s $size "$shm/qemu" "$shm/nbd-server"
serve nbdkit-memory-sparse memory $size
serve nbdkit-memory-malloc memory $size allocator=malloc
serve_qemu qemu-ram-file "driver=file,filename=$shm/qemu,discard=unmap"
serve nullblk "$plugin" $size memory-backed=true
serve_ours nullblk-serve $size memory-backed=true
serve nullblk-zoned "$plugin" $size memory-backed=true zoned=true \
  zone-size=64K
[[ ${servers[*]} != *nbd-server* ]] ||
  serve_nbd_server nbd-server-tmpfs "$shm/nbd-server"

# measure_trim ROUND SERVER RW BS DEPTH CONNECTIONS: each connection trims a
# part.
measure_trim ()
{
  # 64 KiB is a zone of the zoned device, beyond which no write goes.
  load "$2" --rw=write --bs=64k --iodepth=8 --size=$size
  measure_all trim "$@" --size=$((128 / $6))M --offset_increment=$((128 / $6))M
}

for load in "${loads[@]}"; do
  for ((round = 0; round < rounds; round++)); do
    # shellcheck disable=SC2068 # no empty ones
    for server in ${servers[@]}; do
      # A trim of less than a zone resets none.
      [[ $server != *zoned || $load == *64k* ]] || continue
      # shellcheck disable=SC2086 # words
      measure_trim "$round" "$server" $load
    done
  done
done
close_raw
