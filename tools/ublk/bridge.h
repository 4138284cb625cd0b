/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A block device that is served by this process, from its beginning to its end.
 */

#ifndef NULLBLK_UBLK_BRIDGE_H
#define NULLBLK_UBLK_BRIDGE_H

#include <stdbool.h>

#include "common/common.h"
#include "options.h"

struct bridge;

/* Make the device of options->argument; or where there is one that is to last,
 * of options->cookie, and its process has died, take that over.  Returns when
 * it can be used; all that the kernel could refuse has been looked at before.
 * Signals that end a program are blocked from here on.  Returns NULL and the
 * reason in *why; nothing is left then, unless the kernel does not let it go:
 * the process has to end then; or unless the device is another one's, and
 * options->recovers is not set.  *IMPOSSIBLE says then whether this kernel can
 * make no such device at all: its driver is missing, or the export is not what
 * it takes.
 */
struct bridge *bridge_open (const struct options *options, bool *impossible,
                            struct message *why);

/* Its device's name: "ublkbN". */
const char *bridge_name (const struct bridge *b);

/* Wait until a signal wants it to end, and return true; or false where it has
 * ended by itself: somebody else has stopped the device, or a queue has failed.
 */
bool bridge_wait (struct bridge *b);

enum closed {
  CLOSED,       /* the device is gone, and so is *b */
  CLOSED_BADLY, /* so it is as far as possible, but *why is to be told */
  NOT_CLOSED    /* it is in use, and nothing has changed */
};

/* Flush, stop and delete the device, and free *b.  A signal that comes while
 * the server is silent has the requests fail instead, as does time.
 */
enum closed bridge_close (struct bridge *b, struct message *why);

#endif /* NULLBLK_UBLK_BRIDGE_H */
