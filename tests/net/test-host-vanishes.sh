#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# A host vanishes for good while the server is sending to it.  A client of
# another host that was connected before goes on, new ones are served, and the
# server drops the lost connections as soon as TCP has given them up, and ends
# cleanly.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires fio mkfifo
fio --enghelp=nbd >/dev/null 2>&1 || skip "fio has no nbd engine"

size=$((32 << 20))
other_host=$prefix-other
new_host "$other_host" 2
on_other=(ip netns exec "$other_host")
other=10.77.2.1

# TCP gives up within seconds, and not within a quarter of an hour.
"${on_server[@]}" sysctl -qw net.ipv4.tcp_retries2=4

# of_lost_host: the server's connections to client_host
of_lost_host ()
{
  sockets "$server_host" | grep -F '10.77.1.2:' || true
}

# reading: has the server sent megabytes on each of four connections to it?
reading ()
{
  [ "$(sockets "$server_host" -iO | grep -F '10.77.1.2:' |
    grep -cE 'bytes_sent:[0-9]{7}')" = 4 ]
}

# stuck: has it something to send on each of four?
stuck ()
{
  [ "$(of_lost_host | awk '$2 > 0' | wc -l)" = 4 ]
}

# same_on_device NUMBER: has it got what was sent?
same_on_device ()
{
  copy "nbd://$other/nullb$1" "$tmp/back"
  truncate -s "$size" "$tmp/back"
  same "$tmp/sent" "$tmp/back"
}

given_up ()
{
  [ -z "$(of_lost_host)" ]
}

serve 256M memory-backed=true devices=2
random_file "$tmp/sent" "$(new_seed)" "$size"
copy "$tmp/sent" "nbd://$ipv4/nullb0"

# The other host is in the middle of writing device 1.
mkfifo "$tmp/fifo"
before=$(received)
"${on_other[@]}" nbdcopy - "nbd://$other/nullb1" <"$tmp/fifo" &
writer=$!
clients+=("$writer")
exec 5>"$tmp/fifo"
head -c $((size / 2)) "$tmp/sent" >&5
wait_until 60 received_more_than $((before + size / 4)) ||
  fail "the other host does not write"

# fio asks for more than it will ever take.
"${on_client[@]}" fio --name=lost --ioengine=nbd --uri="nbd://$ipv4/nullb0" \
  --thread --numjobs=4 --size=256M --rw=read --bs=4M --iodepth=16 \
  --time_based --runtime=120 >"$tmp/fio" 2>&1 &
lost=$!
clients+=("$lost")
wait_until 60 reading || fail "fio does not read: $(cat "$tmp/fio")"
kill -STOP "$lost"
wait_until 60 stuck || fail "fio left nothing to send: $(of_lost_host)"

# With the cable out, nothing tells the server that the host is no more.
cut_off 1
kill -KILL "$lost"
wait "$lost" 2>/dev/null || true
ip netns del "$client_host"
hosts=("$server_host" "$other_host")
clients=("$writer")
on_client=("${on_other[@]}")
stuck || fail "the server knows at once: $(of_lost_host)"

# New clients are served meanwhile, and the old one goes on.
same_on_device 0
tail -c $((size / 2)) "$tmp/sent" >&5
exec 5>&-
wait "$writer" || fail "the client that was connected before failed"
clients=()

wait_until 60 given_up || fail "still connected: $(of_lost_host)"
same_on_device 0
same_on_device 1
stop_server
