/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * In the place of all others of this room, where liburing is missing.
 */

#include <config.h>

#include <stddef.h>

#include "ublk.h"

bool
ublk_is_built (void)
{
  return false;
}

struct ublk *
ublk_prepare (struct devices *devices, void (*report) (struct device *d, int r),
              struct message *why)
{
  (void) devices;
  (void) report;
  message_set (why, "this plugin was built without liburing");
  return NULL;
}

int
ublk_serve (struct ublk *u, bool (*is_ending) (void), struct message *why)
{
  (void) u;
  (void) is_ending;
  (void) why;
  return 0;
}

void
ublk_end (struct ublk *u)
{
  (void) u;
}
