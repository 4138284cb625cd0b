#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What settings and statistics say about how the requests of a connection are
# served, and what nullblkctl advises, is right with nbdkit's -t and with a
# filter that serializes requests, too.

# shellcheck source=ctl.sh source-path=SCRIPTDIR
source "${0%/*}/ctl.sh"
requires fio jq nbdcopy
fio --enghelp=nbd >/dev/null 2>&1 || skip "fio has no nbd engine"

# serve PARALLEL ARGUMENT...: 200 reads, up to 16 at a time; does .stats say
# that they are served side by side?
serve ()
{
  start_server 64M read-latency=1ms "${@:2}"
  fio --name=read --ioengine=nbd --uri="$uri" --rw=randread --bs=4k \
    --iodepth=16 --number_ios=200 --size=64M >"$tmp/fio" 2>&1 ||
    fail "fio: $(cat "$tmp/fio")"
  says 0 '' stats --json "$sock"
  [ "$(jq .server.parallel "$tmp/out")" = "$1" ] ||
    fail "${*:2}: $(jq -c .server "$tmp/out")"
  says 0 '' stats "$sock"
  grep '^hint: ' "$tmp/out" >"$tmp/hint" || true
  nbdcopy "$(uri_of nullb0.config)" - | grep '^# note: ' >"$tmp/note" || true
  stop_server
}

# advises PATTERN NOTE-PATTERN
advises ()
{
  # shellcheck disable=SC2053 # patterns
  [[ $(cat "$tmp/hint") == $1 ]] || fail "the hint is $(cat "$tmp/hint")"
  # shellcheck disable=SC2053
  [[ $(cat "$tmp/note") == $2 ]] || fail "the note is $(cat "$tmp/note")"
}

serialized='hint: requests of a connection wait one after another: start the '
serialized+='server with parallel=on, and without -t 1 and filters that '
serialized+='serialize them (noparallel)'
note='# note: requests of a connection wait one after another: '

serve true parallel=on -t 2
advises 'hint: all threads of a connection (2) were in use at * -t' ''
serve true parallel=on -t 32
advises '' ''
serve false parallel=on -t 1
advises "$serialized" "${note}nbdkit was started with -t 1 or *"
serve false parallel=off
advises "$serialized" "${note}the server was started *, or parallel=off"
requires_filter noparallel
serve false parallel=on --filter=noparallel serialize=requests
advises "$serialized" "${note}nbdkit was started with -t 1 or *"

# Nothing waits on a device with zones but writes that are early.  Where they
# stand in the way of those that they wait for, a note says so.
# notes PATTERN ARGUMENT...
notes ()
{
  start_server 16M zoned=true zone-size=4M "${@:2}"
  says 0 '' get "$sock"
  grep '^# note: ' "$tmp/out" >"$tmp/note" || true
  # shellcheck disable=SC2053 # a pattern
  [[ $(cat "$tmp/note") == $1 ]] || fail "${*:2}: $(cat "$tmp/note")"
  stop_server
}

early=$'\n''# note: a write ahead of its zone'
notes ''
notes "${note}the server was started *$early*" parallel=off
notes "${note}nbdkit was started with -t 1 *$early*" -t 1
notes "${note}nbdkit was started with -t 1 *$early*" --filter=noparallel \
  serialize=requests
notes '' parallel=off zone-reorder-wait=0
