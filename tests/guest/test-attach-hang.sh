#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# A device whose reads hang is detached, or its attaching is undone, long before
# its requests time out.  (Whoever opens it first, the kernel's scan for
# partitions keeps all others waiting.)  Data that was written is not dropped by
# that.

# shellcheck source=attach.sh source-path=SCRIPTDIR
source "${0%/*}/attach.sh"

if on_host; then
  boot_to_attach
  exit
fi

# in_flight READS WRITES: are at least so many in flight?
in_flight ()
{
  local reads writes

  read -r reads writes </sys/block/nbd0/inflight
  [ "$reads" -ge "$1" ] && [ "$writes" -ge "$2" ]
}

# ends PID WHAT: wait until it has ended with success, which has to be far
# earlier than the 600 seconds after which a request times out.
ends ()
{
  wait_until 120 process_ended "$1" || fail "$2: it hangs"
  wait "$1" || fail "$2: $(cat "$tmp/err")"
}

# detached_soon WHAT
detached_soon ()
{
  "$attach" --detach nbd0 2>"$tmp/err" &
  ends $! "$1"
  [ ! -s "$tmp/err" ] || fail "$1: $(cat "$tmp/err")"
  leaves_nothing "$1"
}

# Nobody has the device open.
for connections in 1 2; do
  try "$attach" -C $connections 16M 'fault=op=read hang'
  detached_soon "$connections connections"
done

# Another process, as udev, has it open and reads: its read ends.
try "$attach" -C 1 16M 'fault=op=read hang'
cat /dev/nbd0 >/dev/null 2>"$tmp/cat" &
other=$!
wait_until 60 in_flight 1 0 || fail "nobody reads: $(cat "$tmp/cat"; grep . \
  /sys/block/nbd0/{size,inflight,stat} "/proc/$other/stack" 2>&1)"
detached_soon "another one"
wait_until 60 process_ended "$other" || fail "the other one hangs"

# The server is silent.
start_server 16M memory-backed=true
try "$attach" "$uri"
kill -STOP "$server_pid"
detached_soon "a silent server"
wake_server
stop_server

# An interrupted nullblk-attach detaches the device again.  Here it reads the
# device's identifier from a pipe, so that it waits there until the signal
# comes.
mkdir -p "$tmp/block"
for n in 0 1 2 3; do
  mkdir "$tmp/block/nbd$n"
  for name in dev inflight pid size; do
    ln -s "/sys/devices/virtual/block/nbd$n/$name" "$tmp/block/nbd$n"
  done
  mkfifo "$tmp/block/nbd$n/backend"
done
attach_without_answer ()
{
  # shellcheck disable=SC2016 # of the shell there
  exec unshare -m sh -c 'mount --bind "$0" /sys/block && exec "$@"' \
    "$tmp/block" "$attach" -C 1 16M 'fault=op=read hang'
}
# ends_by_signal PID: send signals until it ends, as one that comes just before
# the read of the pipe has no effect.
ends_by_signal ()
{
  kill "$1" 2>/dev/null || true
  process_ended "$1"
}
attach_without_answer 2>"$tmp/err" &
waiting=$!
# The device is there before it has a size; until then a read ends at once.
has_size ()
{
  [ "$(cat /sys/block/nbd0/size)" -gt 0 ]
}
wait_until 60 has_size || fail "it does not attach"
cat /dev/nbd0 >/dev/null 2>"$tmp/cat" &
other=$!
wait_until 60 in_flight 1 0 || fail "nobody reads: $(cat "$tmp/cat"; grep . \
  /sys/block/nbd0/{size,inflight,stat} "/proc/$other/stack" 2>&1)"
wait_until 120 ends_by_signal "$waiting" || fail "interrupted: it hangs"
! wait "$waiting" || fail "it was not interrupted"
grep -q '^nullblk-attach: interrupted$' "$tmp/err" || fail "$(cat "$tmp/err")"
leaves_nothing interrupted
wait_until 60 process_ended "$other" || fail "the other one hangs"

# But if data was written, --detach waits until it is at the server.  In the
# first two rounds it cannot even open the device, as a scan for partitions
# began before the write, or waits for it; in the third round it can.  The page
# cache keeps data for ten minutes, instead of five seconds.
echo 60000 >/proc/sys/vm/dirty_writeback_centisecs
start_server 16M memory-backed=true
try dd if=/dev/urandom of="$tmp/content" bs=1M count=4
mkfifo "$tmp/fifo"
write_late ()
{
  exec 8>/dev/nbd0
  kill -STOP "$server_pid"
  touch "$tmp/opened"
  read -r <"$tmp/fifo"
  dd if="$tmp/content" bs=1M seek=1 conv=notrunc >&8 2>/dev/null || exit
  touch "$tmp/written"
  read -r <"$tmp/fifo"
}
for look in before after ''; do
  rm -f "$tmp/opened" "$tmp/written"
  try "$attach" -C 1 "$uri"
  write_late &
  writer=$!
  wait_until 60 test -e "$tmp/opened" || fail "nobody opens it"
  if [ "$look" = before ]; then
    blockdev --rereadpt /dev/nbd0 &
    other=$!
    wait_until 60 in_flight 1 0 || fail "nobody looks"
  fi
  echo >"$tmp/fifo"
  wait_until 60 test -e "$tmp/written" || fail "nobody writes"
  if [ "$look" = after ]; then
    blockdev --rereadpt /dev/nbd0 &
    other=$!
    wait_until 60 in_flight 0 1 || fail "nobody looks"
  fi
  "$attach" --detach nbd0 2>"$tmp/err" &
  waiting=$!
  # For twice as long as --detach waits for another device, whose reads hang.
  for _ in 1 2; do
    try "$attach" --name other -C 1 16M 'fault=op=read hang'
    try "$attach" --detach other
  done
  kill -0 "$waiting" || fail "$look: it did not wait: $(cat "$tmp/err")"
  kill -CONT "$server_pid"
  echo >"$tmp/fifo"
  ends "$waiting" "written"
  wait "$writer" || fail "$look: it could not be written"
  [ -z "$look" ] || wait "$other" || fail "nobody could look"
  leaves_nothing "written"
  try "$attach" -C 1 "$uri"
  try cmp -n 4194304 -i 0:1048576 "$tmp/content" /dev/nbd0
  try blkdiscard /dev/nbd0
  try "$attach" --detach nbd0
done
stop_server
