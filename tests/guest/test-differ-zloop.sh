#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Linux's zloop and ours answer the same, for what both promise.  Only newer
# kernels have zloop, and Debian's do not: NULLBLK_KERNEL=uml has one that does,
# see build-uml.sh.  NULLBLK_GUEST_OPERATIONS is as in test-differ-all.sh.

# shellcheck source=differ.sh source-path=SCRIPTDIR
source "${0%/*}/differ.sh"
if on_host; then
  boot_to_differ
  exit
fi

load_zloop
differ_in_all "${NULLBLK_GUEST_OPERATIONS-20000}" \
  "size=32 zoned=1 zone_size=2 blocksize=4096" \
  "size=32 zoned=1 zone_size=2 blocksize=4096 zone_nr_conv=4" \
  "size=64 zoned=1 zone_size=1 blocksize=4096 zone_nr_conv=1"
for row in "${!rows[@]}"; do
  [[ $row == zloop:* ]] || continue
  echo "${rows[$row]} times: $row"
  [ "${rows[$row]}" -gt 0 ] || fail "this does not happen any more: $row"
done
