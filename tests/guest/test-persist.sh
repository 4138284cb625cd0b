#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-attach --persist: I/O waits for a server that is away, and goes on
# when it is back.  It fails if the server stays away for longer than --persist,
# and works again once it is back.  Detaching leaves nothing at any of these
# times.

# shellcheck source=attach.sh source-path=SCRIPTDIR
source "${0%/*}/attach.sh"

if on_host; then
  boot_to_attach
  exit
fi

# The server serves a file, which outlives it.
truncate -s 16M "$tmp/disk"


with_library ()
{
  LD_PRELOAD=$NULLBLK_BATCH exec "$plain" "$@"
}

watchers ()
{
  grep -l '^nullblk-attach$' /proc/[0-9]*/comm 2>/dev/null || true
}

# By any listener: the ninth field says how many.
events_are_lost ()
{
  awk '$2 == 16 && $9 > 0 { lost = 1 } END { exit !lost }' /proc/net/netlink
}

nobody_watches ()
{
  [ -z "$(watchers)" ]
}

nothing_left ()
{
  [ -z "$(ls /run/nullblk)" ] || fail "left: $(ls /run/nullblk)"
  [ -z "$(watchers)" ] || fail "left: $(watchers)"
}

# detach_and_stop NAME: detach the device, which leaves nothing; then stop the
# server.
detach_and_stop ()
{
  try "$attach" --detach "$1"
  nothing_left
  stop_server
}

sock=$tmp/sock
uri="nbd+unix:///?socket=$sock"
tcp=(-i 127.0.0.1 -p 10809)

# The server is killed and comes back, under fio that verifies what it writes.
# The kernel sends requests that were in flight again after the timeout.
for where in unix tcp; do
  if [ "$where" = unix ]; then
    at=(-U "$sock") to=$uri
  else
    at=("${tcp[@]}") to=nbd://127.0.0.1
  fi
  serve_file "${at[@]}"
  [ "$("$attach" --persist --timeout 5 -C 2 "$to")" = $nbd ] || fail "not $nbd"
  [ -n "$(watchers)" ] || fail "nobody watches"
  start_load verify --rw=randwrite --bs=4k --size=2M
  for _ in 1 2 3; do
    kill_server
    reads_disk &
    reader=$!
    serve_file "${at[@]}"
    wait "$reader" || fail "I/O did not wait: $(cat "$tmp/dd")"
    io_goes_on
    wait_until 60 has_connections 2 || fail "not all connections are back"
  done
  stop_load
  detach_and_stop nbd0
done

# A planned restart of a server with the batch library: it closes its
# connections, and the load notices nothing.  Also with threads.
plain=$NBDKIT
NBDKIT=with_library
for at in "-U $sock -t 1" "${tcp[*]} -t 1" "-U $sock -t 8"; do
  to=$uri
  [[ $at == -U* ]] || to=nbd://127.0.0.1
  # shellcheck disable=SC2086 # words
  serve_file $at
  try "$attach" --persist --timeout 3 -C 2 "$to"
  start_load verify --rw=randwrite --bs=4k --size=2M
  for _ in 1 2; do
    kill -TERM "$server_pid"
    wait_until 30 process_ended "$server_pid" || fail "it does not end"
    wait "$server_pid" || fail "the server's status is $?"
    # shellcheck disable=SC2086 # words
    serve_file $at
    io_goes_on
    wait_until 60 has_connections 2 || fail "not all connections are back"
  done
  stop_load
  ! dmesg | grep 'Other side returned error' || fail "it was told of an error"
  detach_and_stop nbd0
done
NBDKIT=$plain

# As many connections as there can be, which all die while nobody listens: the
# kernel has no room for so many events.  The socket's path is a relative one.
serve_file -U "$sock" -t 1
cd "$tmp"
try "$attach" --persist -C 128 "nbd+unix:///?socket=sock"
cd /
read -r watcher _ </run/nullblk/nbd0/watcher
kill -STOP "$watcher"
kill_server
serve_file -U "$sock" -t 1
wait_until 60 events_are_lost || fail "there is room for all"
kill -CONT "$watcher"
wait_until 60 has_connections 128 || fail "only $(connections) are back"
detach_and_stop nbd0

# The server is away for longer than --persist.
serve_file -U "$sock"
try "$attach" --persist=1 --name away -C 1 "$uri"
away_for_long

# Disconnected behind its back while a process has it open, and the server is
# away: the kernel takes no connection for it any more, and is not asked again
# and again.
kill_server
# shellcheck disable=SC2217 # it only has it open
sleep 1000 <$nbd &
holder=$!
nbd-client --disconnect $nbd >/dev/null
serve_file -U "$sock"
wait_until 30 nobody_watches || fail "it tries for ever"
[ "$(dmesg | grep -c 'cannot reconfigure')" -le 1 ] || fail "it has tried often"
kill "$holder"
wait "$holder" || true
detach_and_stop away
serve_file -U "$sock"
try "$attach" --persist=30 --name away -C 1 "$uri"

# Detached while the server is away.
kill_server
dd if=$nbd of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null &
reader=$!
try "$attach" --detach away
wait "$reader" || true
nothing_left
