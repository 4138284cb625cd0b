#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# A server that is killed under I/O, one that is slower than the kernel waits,
# and one that is left under I/O: there are errors, nothing hangs, and the same
# device can be attached again.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
if on_host; then
  # shellcheck disable=SC2119
  boot_guest
  exit
fi

# Ends with the first error.
hammer ()
{
  fio --name=job --filename=$nbd --ioengine=libaio --direct=1 --iodepth=32 \
    --thread --randseed="$seed" --rw=randrw --bs=4k --size=32M --loops=1000 \
    >"$tmp/hammer" 2>&1
}

# hammer_ended WHY: wait until it has ended, as the device has failed or gone.
hammer_ended ()
{
  wait_until 90 process_ended "$hammer" || fail "I/O hangs: $1"
  if wait "$hammer"; then
    fail "no error: $1"
  fi
  grep -Eq 'error=(Input/output|No space left)' "$tmp/hammer" ||
    fail "$1: $(cat "$tmp/hammer")"
}

# works_again: see that the device works with another server.
works_again ()
{
  start_server 64M memory-backed=true
  attach --connections 2
  verify --rw=randwrite --bs=4k --size=1M
  detach
  stop_server
}

for n in 1 4; do
  start_server 64M memory-backed=true
  attach --connections $n
  hammer &
  hammer=$!
  io_goes_on
  kill -KILL "$server_pid"
  wait "$server_pid" || true
  server_pid=
  hammer_ended "a killed server, $n connections"
  fails dd if=$nbd of=/dev/null bs=4k count=1 iflag=direct
  detach
  works_again
done

# The device is disconnected under I/O: the server stays, and can be attached
# again.
start_server 64M memory-backed=true
attach --connections 4
hammer &
hammer=$!
io_goes_on
detach
hammer_ended "detached under I/O"
wait_until 30 has_connections 0 || fail "the connections stay"
attach --connections 4
verify --rw=randwrite --bs=4k
detach
stop_server

# A mounted filesystem loses its server: errors, and it can be unmounted.
start_server 64M memory-backed=true
attach
modprobe ext4
try mkfs.ext4 -q -F $nbd
try mount -t ext4 $nbd /mnt
kill -KILL "$server_pid"
wait "$server_pid" || true
server_pid=
fails dd if=/dev/zero of=/mnt/file bs=1M count=1 conv=fsync
try umount /mnt
detach
works_again

# Slower than -timeout; the same without -timeout only waits.
start_server --filter=delay 64M memory-backed=true wdelay=5
attach --timeout 1
fails dd if=/dev/zero of=$nbd bs=4k count=1 oflag=direct
grep -q 'Input/output error' "$tmp/fails" || fail "$(cat "$tmp/fails")"
dmesg | grep 'nbd0: Connection timed out' >/dev/null ||
  fail "no timeout in dmesg"
detach
stop_server
works_again
start_server --filter=delay 64M memory-backed=true wdelay=2
attach
echo slow >"$tmp/slow"
truncate -s 4096 "$tmp/slow"
try dd if="$tmp/slow" of=$nbd bs=4k count=1 oflag=direct
try cmp -n 4096 "$tmp/slow" $nbd
detach
stop_server

# If the store is full, the one request fails; after a trim it succeeds.
start_server 64M memory-backed=true memory-limit=16M
attach
fails dd if=/dev/urandom of=$nbd bs=1M count=20 oflag=direct
try dd if=$nbd of=/dev/null bs=1M count=4 iflag=direct
try blkdiscard $nbd
verify --rw=randwrite --bs=4k
detach
stop_server
