#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# A host reads and writes the devices of another one over IPv6: nbdinfo sees
# what is exported, nbdcopy gets back what it has sent, and fio finds every
# block as it wrote it through four connections.  Nothing listens on the machine
# that the hosts are on.

# shellcheck source=plain.sh source-path=SCRIPTDIR
source "${0%/*}/plain.sh"

requires_ipv6
test_plain "nbd://$ipv6"
