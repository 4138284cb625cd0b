#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# ext4, and sqlite3 with journal_mode=delete, lose nothing durable when the
# power is cut, with FUA and without.  If flushes lie, they do lose something,
# which shows that this test would see it.

fs=ext4 journal=delete
# shellcheck source=crash.sh source-path=SCRIPTDIR
source "${0%/*}/crash.sh"
crash_test 12 6
