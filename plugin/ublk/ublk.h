/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The devices of a server as block devices of Linux's ublk driver, without a
 * socket in between (ublk=true).  The kernel's requests are answered by threads
 * of the server, each of which is a connection to its device like any other:
 *
 *     kernel: /dev/ublkbN ─ ─ ─ ─ ─ ─ ─ ┐ made, started, stopped and deleted
 *       │ queue  │ queue                │
 *     thread   thread                 keeper: a process that stays root
 *       └────────┴─> struct device      │
 *     the server <── socketpair ────────┘ ends the devices when the server ends
 *
 * What needs root is done by the keeper, which is made before nbdkit changes
 * its user; all that can be refused is refused then.
 */

#ifndef NULLBLK_UBLK_H
#define NULLBLK_UBLK_H

#include <stdbool.h>

#include "common/common.h"
#include "device/device.h"

struct ublk;

/* Was the plugin built with what this needs? */
bool ublk_is_built (void);

/* For each of DEVICES have the kernel make a ublk device, and put its name
 * (/dev/ublkbN) into device->block_device.  Called by a process of one thread,
 * which is root, before there are connections.  REPORT is front_end.report.
 * Returns NULL on failure, with the reason in *why; otherwise *why is "", or
 * what the user is to be warned of.
 */
struct ublk *ublk_prepare (struct devices *devices,
                           void (*report) (struct device *d, int r),
                           struct message *why);

/* Begin to serve the devices, so that they become block devices.  Called by the
 * process that goes on to serve, after nbdkit has forked and has changed its
 * user.  Every now and then IS_ENDING is asked whether the server is to end:
 * once it returns true, the kernel's first requests, which may hang, fail, and
 * this returns 0, although some devices may not be block devices yet.  On
 * failure returns -1, with the reason in *why; ublk_end is still to be called
 * then.
 */
int ublk_serve (struct ublk *u, bool (*is_ending) (void), struct message *why);

/* Have all that waits fail, take the block devices away, also while they are in
 * use, and free *u, which may be NULL.  Also for a process that has not served.
 */
void ublk_end (struct ublk *u);

#endif /* NULLBLK_UBLK_H */
