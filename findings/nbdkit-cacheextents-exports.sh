#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nbdkit's cacheextents filter in front of a plugin with several exports: a copy
# of one export is empty once another was looked at, and nothing fails.
#
# Seen with nbdkit 1.32.5-1 and nbdcopy 1.14.2-1 (Debian 12).  Releases from 1.46
# on do not have this filter any more.
#
# The filter keeps the last extents that it was told, and does not keep them
# apart by export.  Export "a" is a hole, "b" is full of data.  After a map of
# "a", the filter says of "b", too, that it is a hole; nbdcopy believes it and
# writes no byte, with status 0.  What was printed:
#
#   map of a: 3 hole,zero
#   map of b: 3 hole,zero
#   copy of b: status 0, 0 of 4194304 bytes are right
#
# Needs what packages.sh says, and cmp.  Ends with 1 where that is not seen.

set -euo pipefail
# shellcheck source=findings/packages.sh
. "$(dirname "$0")/packages.sh"
begin
unpack nbdkit=1.32.5-1 libnbd-bin=1.14.2-1

map ()
{
  echo "map of $1: $(run nbdinfo --map "nbd+unix:///$1?socket=$tmp/s" |
    awk '{ print $3, $4 }')"
}

mkdir data
truncate -s 4M data/a
head -c 4M /dev/zero | tr '\0' x >data/b
serve s --filter=cacheextents plugin:file "dir=$tmp/data"
{
  map a
  map b
  run nbdcopy "nbd+unix:///b?socket=$tmp/s" copy && status=0 || status=$?
  echo "copy of b: status $status," \
       "$((4194304 - $(cmp -l copy data/b | wc -l))) of 4194304 bytes are right"
} | tee seen
cmp seen - <<'SEEN'
map of a: 3 hole,zero
map of b: 3 hole,zero
copy of b: status 0, 0 of 4194304 bytes are right
SEEN
