#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Bulk copies by nbdcopy with its defaults (4 connections, 64 requests of 256
# KiB at a time): a file in RAM to a server, and a server to nothing.
#
#   tests/bench/copy.sh
#
# A row's rate is MiB a second, and its CPU microseconds a MiB.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "$(dirname "$0")/functions.sh"
null=(floor nbdkit-null qemu-null-co nullblk nullblk-serve)
memory=(floor nbdkit-memory-sparse nbdkit-memory-malloc qemu-ram-file
        nbd-server-tmpfs nullblk nullblk-serve)
command -v nbd-server >/dev/null || memory=("${memory[@]/nbd-server-tmpfs/}")
mib=512
[ -z "$quick" ] || mib=256
plan $((rounds * 2 * (${#null[@]} + ${#memory[@]}) * (mib + 50) / 900))
requires nbdkit qemu-nbd jq nbdcopy nbdinfo perl
plugin=$(find_plugin)
open_raw copy
head -c ${mib}M /dev/urandom >"$shm/data"

# copy TABLE ROUND SERVER write|read
copy ()
{
  local before start us from="$shm/data" to=${server_uri[$3]} n=$mib

  if [ "$4" = read ]; then
    from=${server_uri[$3]} to=null:
    [ "$3" != floor ] || n=1024 # all that it has
  fi
  before=$(cpu "$3") start=${EPOCHREALTIME/./}
  nbdcopy --no-extents "$from" "$to"
  us=$((${EPOCHREALTIME/./} - start))
  # shellcheck disable=SC2046 # words
  row "$1" "$2" "$3" "$4" 256k 64 4 $(awk -v us="$us" -v mib="$n" \
    -v cpu=$(($(cpu "$3") - before)) 'BEGIN {
      print mib / us * 1e6, cpu / mib }')
}

# table NAME SERVER...
table ()
{
  local rw round server

  for rw in write read; do
    for ((round = 0; round < rounds; round++)); do
      for server in "${@:2}"; do
        [ -z "$server" ] || copy "$1" "$round" "$server" $rw
      done
    done
  done
}

serve_floor
serve nbdkit-null null ${mib}M
serve_qemu qemu-null-co driver=null-co,size=${mib}M,read-zeroes=off
serve nullblk "$plugin" ${mib}M
serve_ours nullblk-serve ${mib}M
table copy-null "${null[@]}"
stop nbdkit-null qemu-null-co nullblk nullblk-serve

truncate -s ${mib}M "$shm/qemu" "$shm/nbd-server"
serve nbdkit-memory-sparse memory ${mib}M
serve nbdkit-memory-malloc memory ${mib}M allocator=malloc
serve_qemu qemu-ram-file "driver=file,filename=$shm/qemu,cache.direct=off"
serve nullblk "$plugin" ${mib}M memory-backed=true
serve_ours nullblk-serve ${mib}M memory-backed=true
[[ ${memory[*]} != *nbd-server* ]] ||
  serve_nbd_server nbd-server-tmpfs "$shm/nbd-server"
table copy-memory "${memory[@]}"
close_raw
