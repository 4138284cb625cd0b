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

/* Make the device of options->argument.  Returns when it can be used; all that
 * the kernel could refuse has been looked at before.  Signals that end a
 * program are blocked from here on.  Returns NULL and the reason in *why;
 * nothing is left then.
 */
struct bridge *bridge_open (const struct options *options, struct message *why);

/* Its device's name: "ublkbN". */
const char *bridge_name (const struct bridge *b);

/* Stop and delete the device, and free *b; or return false and the reason in
 * *why where it is in use, with nothing changed.
 */
bool bridge_close (struct bridge *b, struct message *why);

#endif /* NULLBLK_UBLK_BRIDGE_H */
