#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Runs some of the other tests with the batch library preloaded.  make
# check-batch does so with all.

# shellcheck source=serve.sh source-path=SCRIPTDIR
source "${0%/*}/serve.sh"

export NULLBLK_BATCH=$library
NBDKIT=$top_srcdir/tests/server/nbdkit-batched.sh

# The library is really there: an nbdkit without it would pass these tests, too.
start_server 1M
batches "$server_pid" || fail "it does not batch"
stop_server

for name in connections control faults-actions latency power protocol \
            requests zones \
            daemon.sh filter-log.sh filter-noparallel.sh fio-verify.sh \
            qemu-io.sh run.sh sigterm-under-load.sh; do
  status=0
  case $name in
    *.sh) bash "${0%/*}/test-$name" >"$tmp/out" 2>&1 || status=$? ;;
    *)
      program=$top_builddir/tests/server/test-$name
      [ -x "$program" ] || continue # without libnbd or cmocka
      "$program" >"$tmp/out" 2>&1 || status=$?
      ;;
  esac
  echo "$name: status $status"
  case $status in
    0 | 77) ;;
    *) fail "$name: $(cat "$tmp/out")" ;;
  esac
done
