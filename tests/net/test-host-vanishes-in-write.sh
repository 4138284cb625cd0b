#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# A host vanishes for good when a part of a write request has arrived: nothing
# of it is on the device, and clients of other hosts read and write that place.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires qemu-io
[ -r /proc/self/io ] || skip "there is no /proc/PID/io to see requests in"

other_host=$prefix-other
new_host "$other_host" 2

# of_lost_host: the server's connections to client_host
of_lost_host ()
{
  sockets "$server_host" | grep -F '10.77.1.2:' || true
}

# On the other host, for io.
qemu-io ()
{
  ip netns exec "$other_host" qemu-io "$@"
}

serve 64M memory-backed=true
uri=nbd://10.77.2.1
io 'write -P 1 0 32M'
before=$(received)

# The client, by hand: the export of the empty name, a write of 16 MiB at 8 MiB,
# and 5 MiB of what is to be written.
write_part ()
{
  printf '\0\0\0\3IHAVEOPT\0\0\0\1\0\0\0\0'
  printf '\x25\x60\x95\x13\0\0\0\1cookiexx'
  printf '\0\0\0\0\0\x80\0\0\1\0\0\0'
  head -c 5M /dev/zero
}
export -f write_part
"${on_client[@]}" bash -c '
  exec 3<>/dev/tcp/10.77.1.1/10809
  write_part >&3
  exec cat <&3
' >"$tmp/said" &
lost=$!
clients+=("$lost")
wait_until 60 received_more_than $((before + (5 << 20))) ||
  fail "the server does not take the write"

# With the cable out, nothing tells the server that the host is no more.
cut_off 1
kill -KILL "$lost"
wait "$lost" 2>/dev/null || true
clients=()
ip netns del "$client_host"
hosts=("$server_host" "$other_host")
[ -n "$(of_lost_host)" ] || fail "the server knows that the host is lost"

io 'read -P 1 0 32M' 'write -P 2 8M 16M' 'discard 10M 1M'
io 'read -P 1 0 8M' 'read -P 2 8M 2M' 'read -P 0 10M 1M' 'read -P 2 11M 13M' \
  'read -P 1 24M 8M'

# nbdkit waits for the rest of the request, even after SIGTERM, and does not
# ask TCP to find out that nobody is there.
kill -KILL "$server_pid"
wait "$server_pid" 2>/dev/null || true
server_pid=
