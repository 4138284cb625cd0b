#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# qemu, which does not send the requests of its one connection in the order of
# their offsets, writes to zones, at depths from 1 to 16, with plain nbdkit and
# with nullblk-serve.

# shellcheck source=serve.sh source-path=SCRIPTDIR
source "${0%/*}/serve.sh"
requires qemu-img qemu-io nbdcopy cmp truncate

sock=$tmp/sock
uri="nbd+unix:///?socket=$sock"
zoned=(64M memory-backed=true zoned=true zone-size=4M)

seed=$(new_seed)
random_file "$tmp/piece" "$seed" $((24 << 20))
truncate -s 64M "$tmp/file"
for at in 0 39; do
  dd if="$tmp/piece" of="$tmp/file" bs=1M seek=$at conv=notrunc status=none
done

# check START [ARGUMENT...]: test a server that START starts.
check ()
{
  local depth

  # Up to the last block: qemu 11 begins anew if one is left.
  for depth in 1 2 4 8 16; do
    "$@" "${zoned[@]}"
    qemu-img bench -f raw -w -t none -d $depth -s 64k -c 1023 --pattern=90 \
      "$uri" >"$tmp/out" || fail "$*: depth $depth: $(cat "$tmp/out")"
    io 'read -P 90 0 65472K'
    stop_server
  done

  # Blocks that are no power of two cross zones.
  "$@" "${zoned[@]}"
  qemu-img bench -f raw -w -t none -d 16 -s 100k -c 640 --pattern=91 \
    "$uri" >"$tmp/out" || fail "$*: across zones: $(cat "$tmp/out")"
  io 'read -P 91 0 65536000'
  stop_server

  "$@" "${zoned[@]}" zone-nr-conv=1
  qemu-img convert -W -n -f raw -O raw "$tmp/file" "$uri" || fail "$*: convert"
  nbdcopy "$uri" "$tmp/back" || fail "nbdcopy"
  cmp "$tmp/file" "$tmp/back" || fail "$*: other data"
  stop_server
}

check start_server
check start_serve
NULLBLK_BATCH=0 check start_serve
check start_serve write-latency=200us

# Writes of 80 MiB wait for a write that the connection sends last.
backwards ()
{
  local at commands=()

  "$@" 128M zoned=true zone-size=128M zone-reorder-wait=100s
  for at in 80 64 48 32 16 0; do
    commands+=(-c "aio_write -q ${at}M 16M")
  done
  qemu-io -f raw "${commands[@]}" -c aio_flush "$uri" >"$tmp/out" 2>&1 ||
    fail "$*: backwards: $(cat "$tmp/out")"
  ! grep -q 'failed' "$tmp/out" || fail "$*: backwards: $(cat "$tmp/out")"
  io 'write 96M 64K' # the write pointer is there
  stop_server
}
backwards start_server
backwards start_serve

# A client that goes, and a server that stops, while a write is set aside that
# waits for a write which never comes.
ctl=$top_builddir/tools/nullblkctl
if [ -x "$ctl" ] && command -v jq >/dev/null; then
  # in_flight N: are so many requests in service?
  in_flight ()
  {
    "$ctl" stats --json "$sock" >"$tmp/json" || fail "nullblkctl"
    jq -e ".queue_depth.now == $1 and .server.defers_replies and
      (.server.parallel | not)" "$tmp/json" >/dev/null
  }

  early_write ()
  {
    qemu-io -f raw -c 'write -P 9 64K 64K' "$uri" >/dev/null 2>&1 &
    client_pid=$!
    wait_until 60 in_flight 1 || fail "no write is set aside"
  }

  start_serve "${zoned[@]}" zone-reorder-wait=100s
  early_write
  stop_client
  wait_until 60 in_flight 0 || fail "it stays after its client"
  # Power and a reset do not wait for it.
  early_write
  "$ctl" zones reset "$sock" 0 || fail "reset"
  "$ctl" power cut "$sock" || fail "cut"
  "$ctl" power on "$sock" || fail "on"
  wait_until 60 in_flight 0 || fail "it stays after a power cut"
  stop_client
  # Another connection writes what it waits for.
  early_write
  io 'write -P 8 0 64K'
  wait "$client_pid" || fail "it has failed"
  client_pid=
  io 'read -P 8 0 64K' 'read -P 9 64K 64K'
  "$ctl" stats --json "$sock" | jq -e '.queue_depth.threads > 1' >/dev/null ||
    fail "statistics do not know how many writes may wait"
  "$ctl" zones reset "$sock" --all || fail "reset"
  early_write
  stop_server
  stop_client

  # There is no memory for the write when its turn comes.
  start_serve "${zoned[@]}" zone-reorder-wait=100s memory-limit=112K \
    2>"$tmp/log"
  early_write
  io 'write -P 8 0 64K'
  wait "$client_pid" || true
  client_pid=
  stop_server
  grep -q 'memory-limit=112K is reached' "$tmp/log" ||
    fail "the log does not tell of memory: $(cat "$tmp/log")"
fi
