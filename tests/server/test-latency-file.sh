#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# A device that fio has measured is played back: the longest and the shortest
# latency are those of fio's file, which is found whatever directory the server
# runs in.

# shellcheck source=ctl.sh source-path=SCRIPTDIR
source "${0%/*}/ctl.sh"
requires fio jq

start_server -t 4 1G read-latency=uniform:20us-300us flush-latency=1us
fio --name=job --ioengine=nbd --uri="$uri" --rw=randread --bs=4k --size=4M \
  --output-format=json --output="$tmp/fio.json" >"$tmp/out" 2>&1 ||
  fail "$(cat "$tmp/out")"
stop_server
sed -i -n '/^{/,$p' "$tmp/fio.json"

# As a daemon it runs in another directory than it was started in.
cd "$tmp"
"$NBDKIT" -U "$tmp/daemon.sock" -P "$tmp/daemon.pid" "$PLUGIN" 1G \
  read-latency=file:fio.json 2>"$tmp/err" || fail "$(cat "$tmp/err")"
# shellcheck disable=SC2317 # at exit
end_daemon ()
{
  end_process "$(cat "$tmp/daemon.pid")"
}
at_exit+=(end_daemon)
prints "read-latency +yes +file:$(realpath "$tmp")/fio\.json" \
  get "$tmp/daemon.sock"
# The file has no writes.
says 1 'nullblkctl: set: write-latency=file:*fio.json: *' \
  set "$tmp/daemon.sock" "write-latency=file:$tmp/fio.json"
prints "read-latency +yes +file:.*" get "$tmp/daemon.sock"

# The median of 2048 latencies is outside of p40 to p60 once in 10^18 times.
# Both sides round to buckets.
uri="nbd+unix:///?socket=$tmp/daemon.sock"
fio --name=job --ioengine=nbd --uri="$uri" --rw=randread --bs=4k --size=8M \
  >"$tmp/out" 2>&1 || fail "$(cat "$tmp/out")"
"$ctl" stats --json "$tmp/daemon.sock" >"$tmp/stats"
jq -e --slurpfile fio "$tmp/fio.json" '
  .operations.read.asked_ns as $asked |
  ($fio[0].jobs[0].read.clat_ns // $fio[0].jobs[0].read.lat_ns) as $clat |
  .operations.read.requests == 2048 and .operations.write.requests == 0 and
  $asked.max <= $clat.max * 1.02 and
  $asked.p50 >= $clat.percentile["40.000000"] * 0.98 and
  $asked.p50 <= $clat.percentile["60.000000"] * 1.02' \
  "$tmp/stats" >"$tmp/jq" ||
  fail "$(jq .operations.read.asked_ns "$tmp/stats")," \
       "not $(jq .jobs[0].read.clat_ns "$tmp/fio.json")"
