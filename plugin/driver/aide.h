/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A process beside the one that serves a device, which does what may wait for
 * the device: looking who uses it, flushing it, starting and stopping it.
 *
 * Whoever waits so cannot be killed before the device's requests have ended,
 * and the kernel ends those of a killed server only when its rings and its
 * /dev/ublkcN are closed.  So nobody who has any of them open may do it, and
 * the aide is made before there are any: a fork keeps their mappings, too.
 *
 * It ends when the process that made it ends, however that comes about.
 */

#ifndef NULLBLK_DRIVER_AIDE_H
#define NULLBLK_DRIVER_AIDE_H

#include <signal.h>
#include <stdbool.h>

#include "common/common.h"

struct aide;

enum task {
  TASK_START,    /* make it a block device, that our process serves */
  TASK_FLUSH,    /* -EBUSY: it is in use; else nobody else can hold it now */
  TASK_TRY_STOP, /* -EBUSY: it is in use */
  TASK_STOP,     /* whoever uses it; both let go what TASK_FLUSH has held */
  TASK_DELETE
};

/* Called by a process of one thread.  Returns NULL and the reason in *why. */
struct aide *aide_create (struct message *why);

/* Wait for it to end; it does when it has ended what it does. */
void aide_destroy (struct aide *a);

/* Begin a task of DEVICE, and be told of its end by aide_fd, which can be read
 * then.  One at a time.
 */
void aide_begin (struct aide *a, enum task task, unsigned device);
int aide_fd (const struct aide *a);

/* Returns 0 or a negative errno: -ESRCH where the aide has been killed.  *LOST
 * says whether TASK_FLUSH could not write all that there was, which is no
 * failure of the task.
 */
int aide_result (struct aide *a, bool *lost);

/* Block the signals that end a program: the aide hears none of them, and its
 * maker reads them.  *SET is what is blocked.  Writing to who is gone is an
 * error from then on, and no signal.
 */
void aide_block_signals (sigset_t *set);

#endif /* NULLBLK_DRIVER_AIDE_H */
