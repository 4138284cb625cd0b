/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The ring by which a program gives commands to the ublk driver, one at a time,
 * for tests that are the driver themselves; and the driver's files, which
 * wrapped-open.h opens.  To be linked with --wrap=open, --wrap=access and
 * --wrap=posix_spawnp.
 */

#ifndef NULLBLK_TESTS_COMMAND_RING_H
#define NULLBLK_TESTS_COMMAND_RING_H

#include <stdbool.h>

#include "ublkdrv/ublkdrv.h"

extern int command_ring_errno; /* of ring_create; 0: there are rings */
extern unsigned modules_asked; /* how often modprobe was to load the driver */

/* A function of the test: do the command of this number, and return its result.
 */
int do_command (unsigned command, const struct ublksrv_ctrl_cmd *c);

#endif /* NULLBLK_TESTS_COMMAND_RING_H */
