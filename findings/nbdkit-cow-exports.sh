#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nbdkit's cow filter in front of a plugin with several exports: what is written
# to one is read from the other, and a list of the exports cuts it short.
#
# Seen with nbdkit 1.32.5-1 and nbdinfo 1.14.2-1 (Debian 12).
# From nbdkit 1.44 on each export has an overlay of its own.
#
# There is one overlay for all exports, and it is made as long as the export
# that is opened.  Exports are "large" (4 MiB of zeroes) and "small" (1 MiB).
# 4 MiB of 0x11 are written to "large"; "small" then reads as 0x11, too.  After
# that only the first MiB of "large" is left, and nobody was told.  (A list of
# exports opens each in turn, so `nbdinfo --list` is enough.)  What was printed:
#
#   large, written: 4194304 bytes are 0x11
#   small, not written: 1048576 bytes are 0x11
#   large, afterwards: 1048576 bytes are 0x11
#
# Needs what packages.sh says.  Ends with 1 where that is not seen.

set -euo pipefail
# shellcheck source=findings/packages.sh
. "$(dirname "$0")/packages.sh"
begin
unpack nbdkit=1.32.5-1 libnbd-bin=1.14.2-1

# count EXPORT: how many bytes of it are 0x11.
count ()
{
  run nbdcopy "nbd+unix:///$1?socket=$tmp/s" - | tr -cd '\021' | wc -c
}

mkdir data
truncate -s 4M data/large
truncate -s 1M data/small
head -c 4M /dev/zero | tr '\0' '\021' >pattern
serve s --filter=cow plugin:file "dir=$tmp/data"
run nbdcopy pattern "nbd+unix:///large?socket=$tmp/s"
{
  echo "large, written: $(count large) bytes are 0x11"
  echo "small, not written: $(count small) bytes are 0x11"
  echo "large, afterwards: $(count large) bytes are 0x11"
} | tee seen
cmp seen - <<'SEEN'
large, written: 4194304 bytes are 0x11
small, not written: 1048576 bytes are 0x11
large, afterwards: 1048576 bytes are 0x11
SEEN
