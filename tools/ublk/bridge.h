/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The bridge of this process: a ublk device, with the connections to the export
 * behind it, its record, and its queues, from its beginning to its end.
 */

#ifndef NULLBLK_UBLK_BRIDGE_H
#define NULLBLK_UBLK_BRIDGE_H

#include <stdbool.h>

#include "common/common.h"
#include "options.h"

struct bridge;

/* Make the device of options->argument; or, if there is one with the cookie
 * options->cookie whose process has died, take that over.  Returns when the
 * device can be used; what the kernel could refuse is checked before it is
 * made.  Signals that end a program are blocked from here on.
 *
 * On failure returns NULL, and the reason in *why and *failure.  Nothing is
 * left then, with three exceptions: the kernel may not let the device go, and
 * this process has to end; without options->recovers, a device of that cookie
 * which another process serves stays; and so does the device with
 * BRIDGE_FAILED_FOR_NOW.
 */
enum bridge_failure {
  BRIDGE_FAILED,
  BRIDGE_IMPOSSIBLE, /* this kernel can make no such device at all: its driver is
                  * missing, or the export is not what it takes */
  BRIDGE_FAILED_FOR_NOW /* with options->recovers: for want of memory, descriptors or
                  * processes; the device can still be taken over */
};
struct bridge *bridge_open (const struct bridge_options *options,
                            enum bridge_failure *failure, struct message *why);

/* The name of the device: "ublkbN". */
const char *bridge_name (const struct bridge *b);

/* Wait until a signal wants the device to end, and return true; or until it has
 * ended by itself, and return false: somebody else has stopped the device, or a
 * queue has failed.
 */
bool bridge_wait (struct bridge *b);

enum bridge_end {
  BRIDGE_CLOSED,       /* the device is gone, and so is *b */
  BRIDGE_CLOSED_BADLY, /* the same as far as possible; *why says what is wrong */
  BRIDGE_NOT_CLOSED    /* it is in use, and nothing has changed */
};

/* Flush, stop and delete the device, and free *b.  If the server is silent, a
 * signal, or two minutes, have all requests fail instead.
 */
enum bridge_end bridge_close (struct bridge *b, struct message *why);

#endif /* NULLBLK_UBLK_BRIDGE_H */
