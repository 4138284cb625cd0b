#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# qemu's NBD client sends sequential writes in another order than it was asked
# for them, on its one connection, as soon as two are in flight.
#
# Seen with qemu-utils 1:7.2+dfsg-7+deb12u18+b3 and nbdkit 1.32.5-1 (Debian 12).
#
# `qemu-img bench -w` asks for 1,000 writes of 4 KiB one after the other.  With
# -d 1 the server sees them in order of their places.  With -d 2, 4 and 16 some
# come before the one in front of them, in each run.  NBD allows that; but a
# server of a zoned device, or of a tape, that takes data at one place only must
# be ready for it even where a single client writes from the beginning to the
# end over a single socket.  What was printed:
#
#   depth 1: in order
#   depth 2: out of order
#   depth 4: out of order
#   depth 16: out of order
#
# Needs what packages.sh says.  Ends with 1 where that is not seen.

set -euo pipefail
# shellcheck source=findings/packages.sh
. "$(dirname "$0")/packages.sh"
begin
unpack qemu-utils=1:7.2+dfsg-7+deb12u18+b3 nbdkit=1.32.5-1

for depth in 1 2 4 16; do
  serve s --filter=log plugin:memory 64M "logfile=$tmp/log"
  run qemu-img bench -w -f raw -d "$depth" -c 1000 -s 4096 \
    "nbd+unix:///?socket=$tmp/s" >/dev/null
  stop s
  sed -n 's/.* Write .*offset=0x\([0-9a-f]*\) .*/\1/p' log |
    while read -r place; do
      echo $((16#$place))
    done >places
  [ "$(wc -l <places)" -eq 1000 ]
  rm -f log s
  if sort -nc places 2>/dev/null; then
    echo "depth $depth: in order"
  else
    echo "depth $depth: out of order"
  fi
done | tee seen
cmp seen - <<'SEEN'
depth 1: in order
depth 2: out of order
depth 4: out of order
depth 16: out of order
SEEN
