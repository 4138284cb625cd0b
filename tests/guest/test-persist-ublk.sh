#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-ublk --persist: I/O waits for a server or a network that is away, and
# goes on when it is back; requests that were in flight are done once, also in
# zones.  I/O fails if the server stays away for longer than --persist, and
# works again once it is back.  Detaching leaves nothing at any of these times.

# shellcheck source=ublk.sh source-path=SCRIPTDIR
source "${0%/*}/ublk.sh"
if on_host; then
  [ -x "$top_builddir/tests/guest/relay" ] || skip "guest/relay is not built"
  boot_to_ublk
  exit
fi

# The server serves a file, which outlives it.
make_file 16M

# The server is killed and comes back, under fio that verifies what it writes.
# The socket's path is a relative one.
serve_file -U "$sock"
cd "$tmp"
attach_ublk --persist -q 2 "nbd+unix:///?socket=sock"
cd /
start_load verify --rw=randwrite --bs=4k --size=2M
for _ in 1 2 3; do
  kill_server
  reads_disk &
  reader=$!
  serve_file -U "$sock"
  wait "$reader" || fail "I/O did not wait: $(cat "$tmp/dd")"
  io_goes_on
done
stop_load
detach_ublk
leaves_nothing "killed and back"

# The server is away for longer than --persist.
attach_ublk --persist=1 "$uri"
away_for_long

# A server that is there, but silent, counts as away, also for new connections.
detach_ublk
attach_ublk --persist=1 --timeout 1 "$uri"
kill -STOP "$server_pid"
fails reads_disk
kill -CONT "$server_pid"
comes_back
verify --rw=randwrite --bs=4k --size=1M

# A request that was sent before it fell silent is sent again.
detach_ublk
attach_ublk --persist --timeout 1 "$uri"
sockets=$(sockets_of)
kill -STOP "$server_pid"
reads_disk &
reader=$!
wait_until 60 connects_anew "$sockets" ||
  fail "the silent server is waited for"
kill -CONT "$server_pid"
wait "$reader" || fail "I/O did not wait: $(cat "$tmp/dd")"

# Detached while the server is away.
kill_server
refuses '*: not all that was written to it*' --detach "$disk"
leaves_nothing "detached without a server"

# A network that breaks, below zones: writes at a write pointer, commands, and
# appends, by which btrfs writes files.
# Not plain nbdkit 1.32, which may abort when connections break.
[ ! -x /nbdkit-batched.sh ] || NBDKIT=/nbdkit-batched.sh
start_tcp_server 512M memory-backed=true zoned=true zone-size=8M control=any
relay_port=$(free_port)
/relay "$relay_port" "$port" &
relay=$!
end_relay ()
{
  kill "$relay" 2>/dev/null || true
}
at_exit+=(end_relay)
can_attach ()
{
  disk=$("$ublk" --persist=600 "nbd://127.0.0.1:$relay_port" 2>"$tmp/err")
}
wait_until 60 can_attach || fail "$(cat "$tmp/err")"
queue=/sys/block/${disk##*/}/queue
shows "$queue/zoned" host-managed
# breaks_often COMMAND...: run it, and break the network each time that
# something has been completed since the last time.
breaks_often ()
{
  local pid before

  "$@" &
  pid=$!
  while ! process_ended "$pid"; do
    before=$(completed)
    kill -USR1 "$relay"
    wait_until 300 goes_on_or_ends "$before" "$pid" || fail "it hangs"
  done
  wait "$pid" || exit 1
}
# goes_on_or_ends COUNT PID
goes_on_or_ends ()
{
  has_completed_more_than "$1" || process_ended "$2"
}
dd if=/dev/urandom of="$tmp/content" bs=1M count=8 2>/dev/null

write_zones ()
{
  try dd if="$tmp/content" of="$disk" bs=16k oflag=direct
  try cmp -n $((8 * 1048576)) "$tmp/content" "$disk"
  try blkzone finish -o $((10 * 16384)) -c 1 "$disk"
  try blkzone reset "$disk"
}
write_files ()
{
  try cp "$tmp/content" /mnt/a
  try sync
  try cp "$tmp/content" /mnt/b
  try umount /mnt
}
breaks_often write_zones
breaks_often write_zones
if modprobe btrfs; then
  try mkfs.btrfs -q -f -d single -m single "$disk"
  try mount -t btrfs "$disk" /mnt
  breaks_often write_files
  try mount -t btrfs "$disk" /mnt
  try cmp "$tmp/content" /mnt/a
  try cmp "$tmp/content" /mnt/b
  try umount /mnt
else
  leave_out "this kernel has no btrfs"
fi
detach_ublk
leaves_nothing "a network that breaks"
