#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# With hugepages=true the server's memory is in huge pages.  It grows with what
# is written, and goes back when that is trimmed, or zeroed if a zero may trim.

# shellcheck source=memory.sh source-path=SCRIPTDIR
source "${0%/*}/memory.sh"

"$NBDKIT" "$PLUGIN" --dump-plugin |
  grep -x nullblk_hugepages=yes >/dev/null ||
  skip "this kernel has no transparent huge pages"

# A machine with fragmented memory may give fewer huge pages: half of them shows
# that they were asked for.
half_is_huge ()
{
  local huge

  huge=$(smaps_field AnonHugePages)
  ((huge >= 128)) || fail "$huge MiB in huge pages, of 256"
}
start_measured 1T memory-backed=true hugepages=true
gives_back half_is_huge
stop_server
