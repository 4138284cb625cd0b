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
gives_back :
stop_server
