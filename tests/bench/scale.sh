#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What many things cost: large zones, and many zones, devices, connections, bad
# blocks and rules.  In process (scale.c), and with a server: how soon it
# answers, how soon it has ended, and how much memory it has.  Each figure is of
# one run; a difference of less than half of it means nothing.
#
#   tests/bench/scale.sh

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "$(dirname "$0")/functions.sh"
plan 75
requires nbdkit fio jq nbdinfo nbdcopy
plugin=$(find_plugin)
[ -x "$build/tests/bench/scale" ] || die "there is no scale; run make bench"
client=$build/tests/bench/client
[ -x "$client" ] || die "there is no bench/client; run make bench"
open_raw scale

"$build/tests/bench/scale" >"$tmp/scale"
while IFS=$'\t' read -r what value unit; do
  fact scale "$what" core "$value" "$unit"
done <"$tmp/scale"

# timed WHAT MOST COMMAND...: add how long the command takes, in ms.  MOST is
# what the manual promises, or "".
timed ()
{
  local begin

  begin=$(date +%s%N)
  "${@:3}"
  fact scale "$1" nullblk $((($(date +%s%N) - begin) / 1000000)) ms "$2"
}

# memory WHAT MOST: add how much memory the server has.
memory ()
{
  fact scale "memory: $1" nullblk "$(resident nullblk)" KiB "$2"
}

# start WHAT ARGUMENT...: start the server, and add how soon it answers.
start ()
{
  timed "start: $1" "" serve nullblk "$plugin" "${@:2}"
  memory "$1" ""
}

# end WHAT: stop the server, and add how soon it has ended.
end ()
{
  timed "stop: $1" "" stop nullblk
}

# reset_first WHAT: add how many microseconds a reset of an empty zone takes: a
# write to .zones of a descriptor that asks for EMPTY.
reset_first ()
{
  local uri="nbd+unix:///nullb0.zones?socket=$tmp/nullblk.sock" zeroes

  zeroes=$(printf '%076d' 0)
  fio --name=reset --ioengine=nbd --uri="$uri" --thread --rw=write --bs=64 \
    --size=64 --loops=500 --output-format=json --output="$tmp/fio" \
    --buffer_pattern="0x${zeroes:0:50}01$zeroes" >"$tmp/out" 2>&1 ||
    die "fio: $(cat "$tmp/out")"
  sed -n '/^{/,$p' "$tmp/fio" >"$tmp/fio.json"
  fact scale "reset of an empty zone: $1" nullblk "$(jq \
    '.jobs[0].write.clat_ns.percentile["50.000000"] / 1000' "$tmp/fio.json")" us
}

# read_by CONNECTIONS DEPTH SECONDS [THINK]: read from the server by
# bench/client.
read_by ()
{
  # shellcheck disable=SC2086 # words
  "$client" ${server_where[nullblk]} read 4096 "$@"
}

# begin_read SECONDS CONNECTIONS DEPTH [THINK]: start the same in the
# background, as $reader, and wait until all have been connected for a second.
begin_read ()
{
  local fds=/proc/${server_pid[nullblk]}/fd

  read_by "$2" "$3" "$1" "${@:4}" >"$tmp/out" 2>&1 &
  reader=$!
  until [ "$(find "$fds" -lname 'socket:*' 2>/dev/null | wc -l)" -gt "$2" ]; do
    kill -0 "$reader" 2>/dev/null || die "client: $(cat "$tmp/out")"
    sleep 0.05
  done
  sleep 1
}

# connections WHAT: add how much memory each of 1,000 connections takes.
connections ()
{
  local before

  before=$(resident nullblk)
  begin_read 10 1000 1 200000
  fact scale "memory: a connection, of 1,000 that read: $1" nullblk \
    "$(awk -v n=$(($(resident nullblk) - before)) 'BEGIN { print n / 1000 }')" \
    KiB
  wait "$reader" || die "client: $(cat "$tmp/out")"
}

# hanging WHAT: add how much CPU the server uses while 1,024 requests hang.
hanging ()
{
  local before

  begin_read 10 16 64
  before=$(cpu nullblk)
  sleep 5
  fact scale "CPU: while 1,024 requests hang: $1" nullblk \
    $((($(cpu nullblk) - before) / 5000)) "ms a second"
  echo fault-delete=all >"$tmp/change"
  nbdcopy "$tmp/change" "nbd+unix:///nullb0.config?socket=$tmp/nullblk.sock" \
    >"$tmp/out" 2>&1 || die "nbdcopy: $(cat "$tmp/out")"
  wait "$reader" || die "client: $(cat "$tmp/out")"
}

# with WHAT CODE ARGUMENT...: start nullblk-serve, in which CODE then makes many
# of something, and stop it.  The manual (MEMORY) promises a second for each,
# and 64 MiB.
with ()
{
  timed "start: $1, nullblk-serve" 1000 serve_ours nullblk "${@:3}"
  $2
  memory "$1, nullblk-serve" 65536
  timed "stop: $1, nullblk-serve" 1000 stop nullblk
}

# change FIRST LAST STEP LINE: write the settings that the command LINE prints
# for these numbers, STEP numbers in one write.  Without -S 0, nbdcopy would
# write the last block by itself.
change ()
{
  local n

  for ((n = $1; n <= $2; n += $3)); do
    "$4" "$n" $((n + $3 - 1)) >"$tmp/change"
    nbdcopy -S 0 "$tmp/change" \
      "nbd+unix:///nullb0.config?socket=$tmp/nullblk.sock" >"$tmp/out" 2>&1 ||
      die "nbdcopy: $(cat "$tmp/out")"
  done
}

rule_lines ()
{
  seq -f "fault=name=n%g op=flush error=EIO" "$1" "$2"
}

bad_line ()
{
  echo "badblocks=$(seq "$1" "$2" | awk '{ print "+" 4 * $1 "-" 4 * $1 + 1 }' |
    paste -sd ,)"
}

many_rules ()
{
  change 1 10000 500 rule_lines
}

many_bad_ranges ()
{
  change 0 99999 2500 bad_line
}

# They are still connected, and reading, when the server is stopped.
many_connections ()
{
  begin_read 60 1000 1 200000
}

with "1,000 connections" many_connections 1G memory-backed=true
wait "$reader" || true # its server has gone
with "1,024 devices" : 1G memory-backed=true devices=1024
with "a million zones" : 1T memory-backed=true zoned=true zone-size=1M
with "10,000 rules" many_rules 1G memory-backed=true
with "100,000 bad ranges" many_bad_ranges 1G memory-backed=true

start "1 device with zones" 1T zoned=true zone-size=64M
reset_first "1 device"
end "1 device with zones"
rules=()
for i in {1..100}; do
  rules+=("fault=name=n$i op=flush error=EIO")
done
start "1,024 devices with zones and 100 rules" 1T zoned=true zone-size=64M \
  devices=1024 "${rules[@]}"
reset_first "1,024 devices and 100 rules"
end "1,024 devices with zones and 100 rules"

start "1,024 devices" 1G devices=1024
nbdinfo --list "nbd+unix:///?socket=$tmp/nullblk.sock" >/dev/null
fact scale "memory: after a list of their exports" nullblk \
  "$(resident nullblk)" KiB
end "1,024 devices"

start "1 device" 1G
connections nbdkit
stop nullblk
serve_ours nullblk 1G
connections nullblk-serve
stop nullblk

serve nullblk -t 64 "$plugin" 1G fault="op=read hang"
hanging "nbdkit -t 64"
stop nullblk
serve_ours nullblk 1G fault="op=read hang" -t 64
hanging "nullblk-serve -t 64"
stop nullblk

start "7E of memory" 7E memory-backed=true
end "7E of memory"
rules=()
for i in {1..1000}; do
  rules+=("fault=name=n$i op=flush error=EIO")
done
start "1,024 devices and 1,000 rules" 1G devices=1024 "${rules[@]}"
end "1,024 devices and 1,000 rules"
close_raw
