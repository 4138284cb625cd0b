#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-ublk called wrongly, or without root, says so in one line; its options
# and its man page are the same.

name=nullblk-ublk
# shellcheck source=usage.sh source-path=SCRIPTDIR
source "${0%/*}/usage.sh"

says 2 'nullblk-ublk \[-f\]*'
says 2 'nullblk-ublk \[-f\]*' --detach
says 2 'nullblk-ublk \[-f\]*' --list x
says 2 '*unrecognized option*' --nonsense nbd://localhost
says 2 'nullblk-ublk: --queues 0: allowed is *' -q 0 nbd://localhost
says 2 'nullblk-ublk: --cookie x: allowed are *' --cookie=x nbd://localhost
says 2 'nullblk-ublk: 8G: this is no URI*' 8G

become_nobody
says 1 'nullblk-ublk: only root can make a ublk device' nbd://localhost
says 1 'nullblk-ublk: only root can see what is attached' --list
says 1 'nullblk-ublk: only root can see what is attached' --detach --all

same_options 'foreground|queues|depth'
