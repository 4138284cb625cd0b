#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# xfs, and sqlite3 with journal_mode=wal, lose nothing durable when the power is
# cut, with FUA and without.  If flushes lie, they do lose something, which
# shows that this test would see it.

fs=xfs journal=wal
# shellcheck source=crash.sh source-path=SCRIPTDIR
source "${0%/*}/crash.sh"
crash_test 8 4
