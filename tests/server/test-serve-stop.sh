#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# A server of nullblk-serve that is told to stop closes its connections: no
# client gets an error, those that wait for a reply see the end of the
# connection, and a client that sends nothing, or takes no reply, does not keep
# the server.  This is so with threads, with deferred replies, and with another
# plugin.

# shellcheck source=serve.sh source-path=SCRIPTDIR
source "${0%/*}/serve.sh"
requires_load

uri="nbd+unix:///?socket=$tmp/sock"

# load: run one that goes on until there is an error.
load ()
{
  fio --name=load --ioengine=nbd --uri="$uri" --thread --rw=randwrite \
    --bs=4k --iodepth=32 --time_based --runtime=600 --output="$tmp/fio" \
    2>"$tmp/fio-err" &
  client_pid=$!
}

requests_are ()
{
  "$ctl" stats --json "$tmp/sock" >"$tmp/json" || fail "nullblkctl"
  jq -e "$1" "$tmp/json" >/dev/null
}

# client_was_left: it has to have an error that is not the server's reply.
client_was_left ()
{
  local status=0

  wait_until 60 process_ended "$client_pid" || fail "$1: the client hangs"
  wait "$client_pid" || status=$?
  client_pid=
  [ "$status" != 0 ] || fail "$1: the client saw no end"
  ! grep -i 'endpoint shutdown\|ESHUTDOWN' "$tmp/fio" "$tmp/fio-err" ||
    fail "$1: it was answered an error"
}

for signal in TERM INT HUP QUIT; do
  for mode in latency=1ms memory-backed=true 'latency=1ms parallel=on'; do
    # In the background a shell ignores these signals.
    # shellcheck disable=SC2086 # words
    (
      trap - INT QUIT
      exec "$serve" -f -U "$tmp/sock" -P "$tmp/pid" 64M $mode
    ) &
    server_pid=$!
    wait_until 60 server_listens_or_ended || fail "it does not listen"
    load
    wait_until 60 requests_are '.operations.write.requests > 1000' ||
      fail "$mode: fio makes no load"
    kill -$signal "$server_pid"
    wait_until 60 process_ended "$server_pid" || fail "$mode: it does not end"
    status=0
    wait "$server_pid" || status=$?
    server_pid=
    [ "$status" = 0 ] || fail "$mode: status $status"
    client_was_left "$mode, SIG$signal"
    rm -f "$tmp/pid" "$tmp/sock"
  done
done

# Requests that wait for long end at once.
start_serve --depth 32 64M write-latency=100s
load
wait_until 60 requests_are '.queue_depth.now == 32' || fail "not 32 at a time"
stop_server
client_was_left "requests that wait"

# A client that says nothing.
start_tcp ()
{
  rm -f "$tmp/pid"
  port=$((20000 + RANDOM % 12000))
  "$serve" -f -i 127.0.0.1 -p $port -P "$tmp/pid" 64M &
  server_pid=$!
  wait_until 60 server_listens_or_ended && [ -s "$tmp/pid" ]
}
for _ in 1 2 3 4 5; do
  ! start_tcp || break
done
[ -s "$tmp/pid" ] || fail "it does not listen"
exec 5<>"/dev/tcp/127.0.0.1/$port"
[ "$(head -c 8 <&5)" = NBDMAGIC ] || fail "no greeting"
kill -TERM "$server_pid"
wait_until 60 process_ended "$server_pid" || fail "a silent client keeps it"
wait "$server_pid" || fail "status $?"
server_pid=
exec 5<&-

# A client that asks for 64 MiB, 1 MiB at a time, and does not read them.
ask_for_much ()
{
  exec perl -MIO::Socket::UNIX -e '
    my $s = IO::Socket::UNIX->new (Peer => $ARGV[0]) or die;
    $s->syswrite (pack ("Na8NN", 3, "IHAVEOPT", 1, 0)); # any export
    $s->syswrite (pack ("NnnQ>Q>N", 0x25609513, 0, 0, $_, 0, 1 << 20))
      for 1 .. 64;
    sleep' "$tmp/sock"
}

served=-1
serves_no_more ()
{
  local before=$served

  served=$("$ctl" stats --json "$tmp/sock" |
    jq .operations.read.requests) || fail "nullblkctl"
  [ "$served" -ge 1 ] && [ "$served" = "$before" ]
}

start_serve 64M
ask_for_much &
client_pid=$!
wait_until 60 serves_no_more || fail "the client is served all the same"
kill -TERM "$server_pid"
wait_until 60 process_ended "$server_pid" ||
  fail "a client that does not read keeps it"
wait "$server_pid" || fail "status $?"
server_pid=
