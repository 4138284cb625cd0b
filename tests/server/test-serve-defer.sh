#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# If requests wait, nullblk-serve serves each connection with one thread, and as
# many requests as --depth says wait at the same time, unless something needs
# threads of nbdkit.

# shellcheck source=serve.sh source-path=SCRIPTDIR
source "${0%/*}/serve.sh"
requires_load
requires nbdcopy cmp

uri="nbd+unix:///?socket=$tmp/sock"

# reads COUNT DEPTH [FIO-OPTION...]: read 4 KiB so many times.
reads ()
{
  exec fio --name=reads --ioengine=nbd --uri="$uri" --thread --rw=read --bs=4k \
    --number_ios="$1" --iodepth="$2" --output="$tmp/out" "${@:3}"
}

# stats FILTER [OPTION...]: is the filter of jq true of the statistics?
stats ()
{
  "$ctl" stats --json "$tmp/sock" >"$tmp/json" || fail "nullblkctl"
  jq -e "$1" "$tmp/json" >/dev/null
}

# expect FILTER
expect ()
{
  stats "$1" || fail "not $1: $(cat "$tmp/json")"
}

# Many requests at a time, and no thread for each: there are nbdkit's own
# threads, that of the client's connection, and that of the statistics.
start_serve --depth 32 64M read-latency=100s
reads 32 32 &
client_pid=$!
wait_until 60 stats '.queue_depth.now == 32' || fail "not 32 at a time"
expect '.server.defers_replies and (.server.parallel | not)'
threads=$(find "/proc/$server_pid/task" -mindepth 1 -maxdepth 1 | wc -l)
[ "$threads" -le 5 ] || fail "$threads threads"
# Requests end with their client, and a server ends with its requests.
stop_client
wait_until 60 stats '.queue_depth.now == 0' || fail "they do not end"
expect '.operations.read.errors.ESHUTDOWN == 32'
reads 32 32 &
client_pid=$!
wait_until 60 stats '.queue_depth.now == 32' || fail "not 32 at a time"
stop_server
stop_client

# No more requests at a time than --depth says, and nullblkctl gives a hint.
# There are no more reads, which would be read ahead, so that their time would
# begin then.
for option in --depth -t; do
  start_serve $option 8 64M write-latency=20ms
  (reads 200 16 --rw=write --bs=128k) || fail "fio: $(cat "$tmp/out")"
  expect '.queue_depth | .largest == 8 and .threads == 8 and .saturated >= 20'
  "$ctl" stats "$tmp/sock" >"$tmp/text"
  grep -q '^hint: as many requests as a connection may have (8) waited at' \
    "$tmp/text" || fail "$(cat "$tmp/text")"
  stop_server
done

# A device that did not wait when it was started.
start_serve 64M
(reads 200 16) || fail "fio: $(cat "$tmp/out")"
expect '.queue_depth.largest == 1'
"$ctl" set "$tmp/sock" read-latency=500ms || fail "set"
! "$ctl" get "$tmp/sock" | grep '# note' || fail "there is a note"
(reads 32 16) || fail "fio: $(cat "$tmp/out")"
expect '.queue_depth.largest == 16'
stop_server

# The data is right to the byte, in whatever order replies come.
random_file "$tmp/sent" "$(new_seed)" $((16 << 20))
start_serve 64M memory-backed=true latency=uniform:0-2ms flush-latency=1ms
nbdcopy --connections=4 --requests=64 --request-size=65536 --flush \
  "$tmp/sent" "$uri"
nbdcopy --connections=2 --requests=16 --request-size=1048576 "$uri" "$tmp/back"
truncate -s 16M "$tmp/back"
cmp "$tmp/sent" "$tmp/back" || fail "what came back is not what was sent"
stop_server

# Servers that need threads.
for needs in --filter=noextents fault='op=flush hang' parallel=on; do
  start_serve 64M latency=1us "$needs"
  expect '.server.parallel and (.server.defers_replies | not)'
  stop_server
done
# As many requests as --depth says, also if a parameter is a filter's, so that
# the plugin alone would not take all.
start_serve --depth 24 --filter=delay 64M read-latency=500ms rdelay=0
(reads 48 24) || fail "fio: $(cat "$tmp/out")"
expect '.queue_depth.largest == 24'
stop_server
start_serve 64M latency=1us parallel=off
expect '.server | .parallel or .defers_replies | not'
stop_server
NULLBLK_BATCH=0 start_serve 64M latency=1us
expect '.server.parallel and (.server.defers_replies | not)'
stop_server
