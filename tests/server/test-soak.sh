#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# All kinds of load at once (soak.c says which), for a few rounds, or for as
# many as NULLBLK_ROUNDS says:
#
#     NULLBLK_ROUNDS=1440 make -C tests check TESTS=server/test-soak

most_seconds=$((300 + ${NULLBLK_ROUNDS:-3} * 60))
# shellcheck source=serve.sh source-path=SCRIPTDIR
source "${0%/*}/serve.sh"
soak=$top_builddir/tests/server/soak
[ -x "$soak" ] || skip "there is no libnbd"

seed=$(new_seed)
start_serve size=8M blocksize=4096 devices=2 memory-backed=true \
  cache-size=4M seed="$seed" zoned=true zone-size=256K zone-nr-conv=20 latency=1us
"$soak" "$tmp/sock" "$(cat "$tmp/pid")" "${NULLBLK_ROUNDS:-3}" "$seed"
stop_server
