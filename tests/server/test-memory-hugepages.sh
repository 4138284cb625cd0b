#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# With hugepages=true the server's memory is in huge pages, grows with what is
# written and goes back when it is trimmed, or zeroed where a zero may trim.

# shellcheck source=memory.sh source-path=SCRIPTDIR
source "${0%/*}/memory.sh"

"$NBDKIT" "$PLUGIN" --dump-plugin |
  grep -x nullblk_hugepages=yes >/dev/null ||
  skip "this kernel has no transparent huge pages"

start_measured 1T memory-backed=true hugepages=true
for give_back in 'discard 0 256M' 'write -z -u 0 256M'; do
  write_each 4 64 4M
  holds 256
  # A machine whose memory is in pieces may give fewer: half is enough to see
  # that they were asked for.
  huge=$(smaps_field AnonHugePages)
  ((huge >= 128)) || fail "$huge MiB in huge pages, of 256"
  io 'discard 64M 64M'
  holds 192
  io "$give_back"
  holds 0
  io 'read -P 0 0 4M'
done
stop_server
