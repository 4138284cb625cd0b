#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The server's resident memory grows with what is written and goes back when it
# is trimmed, or zeroed where a zero may trim.

# shellcheck source=memory.sh source-path=SCRIPTDIR
source "${0%/*}/memory.sh"

start_measured 1T memory-backed=true

# Alone on their pages, 4 KiB cost 4 KiB: 512 of them, each in a chunk of
# 128 KiB of its own, are 2 MiB.  In huge pages they would be 64.
write_each 1024 512 4K
holds 2
stop_server

start_measured 1T memory-backed=true
for give_back in 'discard 0 256M' 'write -z -u 0 256M'; do
  write_each 4 64 4M
  holds 256
  io 'discard 64M 64M'
  holds 192
  io "$give_back"
  holds 0
  io 'read -P 0 0 4M'
done
stop_server
