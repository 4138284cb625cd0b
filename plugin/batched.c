/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The plugin's side of batched socket I/O; see batched.h.
 */

#include <config.h>

#include <dlfcn.h>
#include <link.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "batched.h"

/* Tells the library how requests are served; NULL where it is not there. */
static void (*set_serial) (bool serial);

/* A filter may change what was read where it is.  nbdkit does not tell a plugin
 * whether there is any, but what it has loaded can be asked, be its symbols for
 * all to see, as nbdkit loads filters, or not.
 */
static bool
has_filters (void)
{
  void *program = dlopen (NULL, RTLD_LAZY), *loaded;
  struct link_map *map = NULL;
  bool r;

  /* There may be one if it cannot be known. */
  r = dlsym (RTLD_DEFAULT, "filter_init") != NULL || program == NULL ||
      dlinfo (program, RTLD_DI_LINKMAP, &map) == -1;
  for (; map != NULL && !r; map = map->l_next) {
    loaded = dlopen (map->l_name, RTLD_LAZY | RTLD_NOLOAD);
    if (loaded != NULL) {
      r = dlsym (loaded, "filter_init") != NULL;
      dlclose (loaded);
    }
  }
  if (program != NULL)
    dlclose (program);
  return r;
}

/* ISO C has no cast from an object's address to a function's. */
void
batched_find (struct devices *d)
{
  void *serial = dlsym (RTLD_DEFAULT, "nullblk_batch_serial");
  void *arrival = dlsym (RTLD_DEFAULT, "nullblk_batch_arrival");
  void *still_zero = dlsym (RTLD_DEFAULT, "nullblk_batch_still_zero");

  if (serial == NULL || arrival == NULL || still_zero == NULL)
    return;
  memcpy (&set_serial, &serial, sizeof set_serial);
  memcpy (&d->arrival, &arrival, sizeof d->arrival);
  if (!has_filters ())
    memcpy (&d->still_zero, &still_zero, sizeof d->still_zero);
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
