#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Under the filter multi-conn, in each of its modes, control exports can be
# opened and used; and a client that flushes what it has written to one ends
# well.

# shellcheck source=ctl.sh source-path=SCRIPTDIR
source "${0%/*}/ctl.sh"
requires nbdcopy qemu-io
requires_filter multi-conn

for mode in auto emulate plugin disable unsafe; do
  start_server --filter=multi-conn 64M memory-backed=true zoned=true \
    zone-size=1M parallel=on multi-conn-mode="$mode"
  says 0 '' set "$sock" read-latency=1ms
  prints 'read-latency +yes +1ms' get "$sock" read-latency
  says 0 '' zones finish "$sock" 0
  prints 'zones 64: 63 empty, 1 full' stats "$sock"
  io 'write -P 1 1M 4K' 'read -P 1 1M 4K' flush
  echo read-latency=2ms >"$tmp/change"
  nbdcopy --flush "$tmp/change" "$(uri_of nullb0.config)" ||
    fail "$mode: nbdcopy --flush"
  prints 'read-latency +yes +2ms' get "$sock" read-latency
  stop_server
done
