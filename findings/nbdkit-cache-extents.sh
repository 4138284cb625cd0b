#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nbdkit's cache filter in front of a sparse plugin: what was just written reads
# back, but a copy of the export is empty, and nothing fails.
#
# Seen with nbdkit 1.32.5-1, nbdcopy 1.14.2-1 and qemu-utils
# 1:7.2+dfsg-7+deb12u18+b3 (Debian 12).  By hand also with nbdkit 1.42.3 and
# 1.48.1, the newest in November 2026.
#
# The filter keeps writes until a flush, and answers reads from there.  But it
# passes questions for data and holes on to the plugin, which has not got the
# data yet and says that all is a hole.  Programs that copy believe that and do
# not read.  After a flush, or with --filter=noextents before the cache filter,
# the copies are right.  nbdcopy itself does not flush what it writes unless it
# is told to.  What was printed:
#
#   nbdcopy in, status 0
#   map: 3 hole,zero
#   nbdcopy out, status 0: 0 of 4194304 bytes are right
#   qemu-img convert, status 0: 0 of 4194304 bytes are right
#   without extents, status 0: 4194304 of 4194304 bytes are right
#   nbdcopy in with --flush, status 0
#   nbdcopy out, status 0: 4194304 of 4194304 bytes are right
#
# Needs what packages.sh says.  Ends with 1 where that is not seen.

set -euo pipefail
# shellcheck source=findings/packages.sh
. "$(dirname "$0")/packages.sh"
begin
unpack nbdkit=1.32.5-1 libnbd-bin=1.14.2-1 \
  qemu-utils=1:7.2+dfsg-7+deb12u18+b3

# try WORDS COMMAND...: run it, and say with which status it ended.
try ()
{
  local words=$1 status=0

  shift
  run "$@" || status=$?
  printf '%s, status %d' "$words" "$status"
}

# right: how much of the copy is what was written.
right ()
{
  printf ': %d of 4194304 bytes are right\n' "$(tr -cd '\021' <copy | wc -c)"
}

head -c 4M /dev/zero | tr '\0' '\021' >pattern
uri="nbd+unix:///?socket=$tmp/s"

{
  serve s --filter=cache plugin:memory 4M
  try 'nbdcopy in' nbdcopy pattern "$uri"
  echo
  echo "map: $(run nbdinfo --map "$uri" | awk '{ print $3, $4 }')"
  try 'nbdcopy out' nbdcopy "$uri" copy
  right
  rm copy
  try 'qemu-img convert' qemu-img convert -f raw -O raw "$uri" copy
  right
  rm copy
  try 'without extents' nbdcopy --no-extents "$uri" copy
  right
  rm copy
  try 'nbdcopy in with --flush' nbdcopy --flush pattern "$uri"
  echo
  try 'nbdcopy out' nbdcopy "$uri" copy
  right
} | tee seen
cmp seen - <<'SEEN'
nbdcopy in, status 0
map: 3 hole,zero
nbdcopy out, status 0: 0 of 4194304 bytes are right
qemu-img convert, status 0: 0 of 4194304 bytes are right
without extents, status 0: 4194304 of 4194304 bytes are right
nbdcopy in with --flush, status 0
nbdcopy out, status 0: 4194304 of 4194304 bytes are right
SEEN
