#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# All tests of units and of servers that are programs, on the machines of
# test-machines.

most_seconds=10800
export most_seconds NULLBLK_ALL_PROGRAMS=yes
exec "${0%/*}/test-machines.sh"
