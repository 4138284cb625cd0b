/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The users of a block device, as far as /proc and /sys show them.
 */

#ifndef NULLBLK_UBLKDRV_USERS_H
#define NULLBLK_UBLKDRV_USERS_H

#include <sys/types.h>

/* Is the block device NAME ("ublkbN"), or a partition of it, open or mapped in
 * another process, held by a driver, or the file behind a loop device?
 * Returns -EBUSY if so, 0 if not, or another negative errno where that cannot
 * be told.  A driver that opens it without holding it (NVMe's target) is seen
 * by nobody but the kernel.  AIDE is a process that device_record_aide has
 * returned, which is no user; or 0.
 */
int users_find (const char *name, pid_t aide);

/* The same for a device whose server may be dead.  It also returns -EBUSY if
 * the device is mounted, or held by a driver in another way.  Takes up to 5 s.
 * Where the process ignores SIGCHLD it cannot be told.
 */
int users_find_of_dead (const char *name, pid_t aide);

#endif /* NULLBLK_UBLKDRV_USERS_H */
