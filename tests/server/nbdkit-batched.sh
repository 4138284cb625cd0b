#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nbdkit with the library of nullblk-serve preloaded: what $NBDKIT is for a test
# that is run with NULLBLK_TEST_BATCH=1.

LD_PRELOAD=${NULLBLK_BATCH:?} exec "${NULLBLK_NBDKIT:?}" "$@"
