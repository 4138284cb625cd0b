/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The plugin's side of batched socket I/O; see batched.h.
 */

#include <config.h>

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "batched.h"

/* Tells the library how requests are served; NULL where it is not there. */
static void (*set_serial) (bool serial);

/* ISO C has no cast from an object's address to a function's. */
void
batched_find (struct devices *d)
{
  void *serial = dlsym (RTLD_DEFAULT, "nullblk_batch_serial");
  void *arrival = dlsym (RTLD_DEFAULT, "nullblk_batch_arrival");

  if (serial == NULL || arrival == NULL)
    return;
  memcpy (&set_serial, &serial, sizeof set_serial);
  memcpy (&d->arrival, &arrival, sizeof d->arrival);
  d->batch = true;
}

static bool
anything_waits (struct devices *d)
{
  uint32_t i;

  for (i = 0; i < d->count && !device_waits (&d->device[i]); i++)
    ;
  return i < d->count;
}

void
batched_tell (struct devices *d)
{
  const bool holds = !d->parallel && !anything_waits (d);

  if (set_serial == NULL)
    return;
  set_serial (holds);
  atomic_store (&d->holds_replies, holds);
}
