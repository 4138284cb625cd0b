#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# With batched socket I/O the time of a request begins when the library reads
# it, not when a thread serves it: so one thread serves 100 requests of 1 s,
# which come together, in a few seconds.  If a filter waits before it asks the
# device, the time begins then.

# shellcheck source=serve.sh source-path=SCRIPTDIR
source "${0%/*}/serve.sh"
requires fio nbdinfo jq
fio --enghelp=nbd >/dev/null 2>&1 || skip "fio has no nbd engine"
ctl=$top_builddir/tools/nullblkctl
[ -x "$ctl" ] || skip "nullblkctl is not built"

# ask COUNT DEPTH: do so many reads, DEPTH at a time, in 50 s at most.
ask ()
{
  timeout --foreground 50 fio --name=ask --ioengine=nbd --uri="$uri" --thread \
    --rw=read --bs=4k --number_ios="$1" --iodepth="$2" \
    --output="$tmp/out" || fail "fio: $(cat "$tmp/out")"
}

uri="nbd+unix:///?socket=$tmp/sock"

start_serve -t 1 64M read-latency=1s
ask 100 100
"$ctl" stats --json "$tmp/sock" >"$tmp/json" || fail "nullblkctl"
jq -e '.operations.read | .requests == 100 and .histogram[0][0] > 9e8' \
  "$tmp/json" >/dev/null || fail "$(cat "$tmp/json")"
stop_server

# If a filter waits first, the time of a request begins after that.
start_serve -t 1 64M --filter=delay rdelay=3 read-latency=100ms
ask 1 1
"$ctl" stats --json "$tmp/sock" >"$tmp/json" || fail "nullblkctl"
jq -e '.operations.read.latency_ns.max | . >= 1e8 and . < 3e9' "$tmp/json" \
  >/dev/null || fail "$(cat "$tmp/json")"
stop_server
