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

#include "batch-functions.h"
#include "batched.h"

/* NULL: the library is not there, or another than this is for. */
static const struct batch_functions *library;

static bool
find_library (void)
{
  const struct batch_functions *found = dlsym (RTLD_DEFAULT, BATCH_FUNCTIONS);

  library = found != NULL && found->version == BATCH_VERSION ? found : NULL;
  return library != NULL;
}

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

uint32_t
batched_depth (void)
{
  return find_library () && !has_filters () ? library->depth () : 0;
}

void
batched_find (struct devices *d)
{
  d->batch = find_library ();
  if (!d->batch)
    return;
  d->arrival = library->arrival;
  if (!has_filters ())
    d->still_zero = library->still_zero;
  if (!d->parallel && d->settings.parallel == PARALLEL_AUTO)
    d->depth = batched_depth ();
  if (d->depth != 0)
    d->defer = library->defer;
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
  const bool waits = anything_waits (d);
  const bool holds = !d->parallel && (!waits || d->defer != NULL);

  if (library == NULL)
    return;
  library->set_serial (holds);
  library->set_timed (waits);
  atomic_store (&d->holds_replies, holds);
  atomic_store (&d->is_timed, waits);
}

void
batched_close (void)
{
  if (library != NULL)
    library->defer_cancel ();
}
