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
  unsigned count;    /* of looks; 0: until the user has had enough */
};

/* On a terminal a screen, elsewhere a line a look.  Returns false and the
 * reason in *why where it could not begin.
 */
bool top (struct server_address *s, const struct top_options *options,
          struct message *why);

#endif /* NULLBLK_TOP_H */
