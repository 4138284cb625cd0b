/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nullblkctl top: a live view of a device.
 */

#ifndef NULLBLK_TOP_H
#define NULLBLK_TOP_H

#include <stdbool.h>

#include "server.h"

struct top_options {
  unsigned interval; /* seconds between two looks */
  unsigned count;    /* intervals to show; 0: until the user ends it */
};

/* Show a screen on a terminal, and elsewhere a line for each interval.  Returns
 * false and the reason in *why if the server could not be reached at the start
 * or, without a terminal, later.
 */
bool top (struct server_address *s, const struct top_options *options,
          struct message *why);

#endif /* NULLBLK_TOP_H */
