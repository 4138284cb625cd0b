#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Linux's null_blk and ours answer the same in all geometries, and the
# differences that the manual has are still there, except for that of older
# kernels, that of zloop, and one that is rare.  NULLBLK_GUEST_OPERATIONS in the
# environment is how many operations there are at least, and NULLBLK_GUEST_WAYS
# by which ways ours becomes a block device (see differ.sh); many operations
# take NULLBLK_TIMED=yes and a NULLBLK_LIMIT, in seconds, as well.

# shellcheck source=differ.sh source-path=SCRIPTDIR
source "${0%/*}/differ.sh"
if on_host; then
  boot_to_differ
  exit
fi

load_null_blk
leaks_active_zones
differ_in_all "${NULLBLK_GUEST_OPERATIONS-100000}" "${geometries[@]}"
for row in "${!rows[@]}"; do
  [[ $row != zloop:* ]] || continue
  echo "${rows[$row]} times: $row"
  # This one is rare.
  [[ ${rows[$row]} -gt 0 || $row == "Which limit has"* ]] ||
    fail "this does not happen any more: $row"
done
