/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The aide: a process beside the one that serves a device.  It does what may
 * wait for the device: finding out who uses it, flushing, starting, stopping
 * and deleting it.
 *
 * A process that waits for a device cannot be killed before the device's
 * requests have ended, and the kernel ends the requests of a killed server only
 * when the server's rings and its /dev/ublkcN are closed.  So a process that
 * has any of these open must not wait for the device.  The aide is made before
 * there are any, as a fork would keep their mappings.
 *
 * The aide ends when the process that made it ends, in whatever way.
 */

#ifndef NULLBLK_UBLKDRV_AIDE_H
#define NULLBLK_UBLKDRV_AIDE_H

#include <stdbool.h>

#include "common/common.h"

struct aide;

enum aide_task {
  AIDE_START,    /* make it a block device, that our process serves */
  AIDE_FLUSH,    /* flush it, and leave it open with O_EXCL until it is told to
                  * stop it; -EBUSY: it is in use */
  AIDE_TRY_STOP, /* -EBUSY: it is in use.  It need not have been flushed; if it
                  * was, what was written since is flushed, too */
  AIDE_STOP,     /* also while it is in use */
  AIDE_DELETE
};

/* Called by a process of one thread.  Returns NULL and the reason in *why. */
struct aide *aide_create (struct message *why);

/* Have the aide end, which first finishes its task, and wait until it has. */
void aide_destroy (struct aide *a);

/* Begin a task for DEVICE, one at a time.  When it has ended, the descriptor
 * aide_fd is readable.
 */
void aide_begin (struct aide *a, enum aide_task task, unsigned device);
int aide_fd (const struct aide *a);

/* Wait for the task and return its result: 0 or a negative errno, -ESRCH where
 * the aide has been killed.  *LOST_DATA becomes true where AIDE_FLUSH or
 * AIDE_TRY_STOP could not write all that there was, for which the result need
 * not be an error, and false otherwise.  With -ESRCH it stays as it is.
 */
int aide_result (struct aide *a, bool *lost_data);

#endif /* NULLBLK_UBLKDRV_AIDE_H */
