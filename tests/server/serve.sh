# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What the tests of nullblk-serve share.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
# nbdkit takes certificates from the home directory, and with these no reply is
# deferred.
export HOME=$tmp

serve=$top_builddir/tools/nullblk-serve
library=$top_builddir/plugin/.libs/libnullblk-batch.so
[ -x "$serve" ] || fail "$serve is not built"
[ -e "$library" ] || fail "$library is not built"

# These tests choose themselves what is batched, even with NULLBLK_TEST_BATCH.
NBDKIT=${NULLBLK_NBDKIT:-$NBDKIT}
export NULLBLK_NBDKIT=$NBDKIT
unset NULLBLK_BATCH

# A client in the background is killed at the end of the test: at another signal
# fio and qemu-io would wait for their requests.
client_pid=
stop_client ()
{
  [ -z "$client_pid" ] || kill -KILL "$client_pid" 2>/dev/null || true
  wait "$client_pid" 2>/dev/null || true
  client_pid=
}
at_exit+=(stop_client)

# batches PID: does this process have the batch library?
batches ()
{
  grep -q libnullblk-batch "/proc/$1/maps"
}

# start_serve ARGUMENT...: start nullblk-serve in the foreground, on $tmp/sock.
start_serve ()
{
  rm -f "$tmp/pid" "$tmp/sock"
  "$serve" -f -U "$tmp/sock" -P "$tmp/pid" "$@" &
  server_pid=$!
  wait_until 60 server_listens_or_ended || fail "it does not listen"
}

# requires_load: skip the test without fio as a client, and nullblkctl.
requires_load ()
{
  requires fio jq
  fio --enghelp=nbd >/dev/null 2>&1 || skip "fio has no nbd engine"
  ctl=$top_builddir/tools/nullblkctl
  [ -x "$ctl" ] || skip "nullblkctl is not built"
}
