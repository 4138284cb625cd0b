#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Linux's null_blk and ours answer the same, in a few geometries and some
# thousands of operations.  test-differ-all.sh has more of both.

# shellcheck source=differ.sh source-path=SCRIPTDIR
source "${0%/*}/differ.sh"
if on_host; then
  boot_to_differ
  exit
fi

load_null_blk
differ_in_all 4500 \
  "size=32 zoned=1 zone_size=2 zone_nr_conv=4 zone_capacity=1 $limits --bad" \
  "size=32 zoned=1 zone_size=2 blocksize=4096" \
  "size=16 discard=1 blocksize=1024 cache_size=1 --bad"
