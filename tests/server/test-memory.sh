#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The server's resident memory grows with what is written, and goes back when
# that is trimmed, or zeroed if a zero may trim.

# shellcheck source=memory.sh source-path=SCRIPTDIR
source "${0%/*}/memory.sh"

start_measured 1T memory-backed=true

# 4 KiB that are written alone take 4 KiB: 512 of them, each in its own chunk of
# 128 KiB, take 2 MiB.  In huge pages they would take 64 MiB.
write_each 1024 512 4K
holds 2
stop_server

start_measured 1T memory-backed=true
gives_back :
stop_server
