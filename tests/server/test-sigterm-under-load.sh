#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# SIGTERM ends a server whose clients are busy, cleanly.  The clients see
# errors.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires fio
fio --enghelp=nbd >/dev/null 2>&1 || skip "fio has no nbd engine"
[ -r /proc/self/io ] || skip "there is no /proc/PID/io to see load in"

fio_pid=
stop_fio ()
{
  [ -z "$fio_pid" ] || end_process "$fio_pid"
}
at_exit+=(stop_fio)

# busy: has the server read 32 MiB since it was started?  All that it reads
# comes from clients.
busy ()
{
  local n

  n=$(awk '$1 == "rchar:" { print $2 }' "/proc/$server_pid/io")
  ((n > 32 << 20))
}

for mode in memory-backed=true memory-backed=false; do
  start_server 256M "$mode"
  fio --name=load --ioengine=nbd --uri="$uri" --thread --numjobs=4 \
    --rw=randrw --bs=4k --iodepth=16 --size=64M --offset_increment=64M \
    --time_based --runtime=120 >"$tmp/fio" 2>&1 &
  fio_pid=$!
  wait_until 60 busy || fail "fio makes no load: $(cat "$tmp/fio")"
  kill -0 "$fio_pid" || fail "fio ended by itself: $(cat "$tmp/fio")"
  stop_server

  # fio ends, as the server has gone.
  wait_until 60 process_ended "$fio_pid" ||
    fail "fio goes on without a server: $(cat "$tmp/fio")"
  status=0
  wait "$fio_pid" || status=$?
  fio_pid=
  [ "$status" != 0 ] || fail "fio saw no error"
done
