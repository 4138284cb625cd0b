/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The plugin's side of batched socket I/O; see batch.h.
 */

#include <config.h>

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "batch-functions-internal.h"
#include "batch.h"

/* NULL: the library is not there, or another than this is for. */
static const struct batch_functions *library;

/* Does nbdkit have any?  Their locks and files are not known here. */
static bool filters;

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

/* Files are written while requests are served. */
static bool
writes_files (const struct settings *s)
{
  return s->write_log[0] != '\0';
}

uint32_t
batch_plugin_depth (const struct settings *s)
{
  return find_library () && !has_filters () && !writes_files (s)
             ? library->depth ()
             : 0;
}

void
batch_plugin_find (struct devices *d)
{
  d->front_end.batch = find_library ();
  if (!d->front_end.batch)
    return;
  filters = has_filters ();
  d->front_end.arrival = library->arrival;
  if (!filters) {
    d->front_end.before_reply = library->before_reply;
    d->front_end.still_zero = library->still_zero;
    d->front_end.answer_buffer = library->answer_buffer;
  }
  if (!d->front_end.may_be_parallel && d->settings.parallel == PARALLEL_AUTO)
    d->front_end.max_deferred = batch_plugin_depth (&d->settings);
  if (d->front_end.max_deferred != 0) {
    d->front_end.defer = library->defer;
    d->front_end.set_aside = library->set_aside;
    d->front_end.hasten = library->hasten;
  }
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
batch_plugin_tell (struct devices *d)
{
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  bool waits, holds;

  if (library == NULL)
    return;
  /* The last to tell has seen all changes. */
  pthread_mutex_lock (&lock);
  waits = anything_waits (d);
  holds = !d->front_end.may_be_parallel && !filters &&
          !writes_files (&d->settings) &&
          (!waits || d->front_end.defer != NULL);
  library->set_serial (holds);
  library->set_waits (waits);
  atomic_store (&d->front_end.holds_replies, holds);
  pthread_mutex_unlock (&lock);
}

/* A filter may want to see payloads, too. */
const void *
batch_plugin_payload (const void *buf, uint32_t n)
{
  return library != NULL && !filters ? library->payload (buf, n) : buf;
}

static bool
read_plain (void *arg, void *buf, uint32_t count, uint64_t offset)
{
  return device_read_at_once (arg, buf, count, offset);
}

static bool
write_plain (void *arg, const void *buf, uint32_t count, uint64_t offset)
{
  return device_write_at_once (arg, buf, count, offset);
}

static void
expect_plain (void *arg, bool is_write, uint64_t offset)
{
  device_expect (arg, is_write, offset);
}

void
batch_plugin_offer (struct connection *c, bool is_write, uint32_t count,
                    uint64_t offset)
{
  static const struct batch_device data = {.read = read_plain,
                                           .write = write_plain,
                                           .expect = expect_plain},
                                   zeroes = {.read = read_plain,
                                             .write = write_plain,
                                             .is_zero = true};

  if (library != NULL && !filters)
    library->offer (device_reads_zeroes (c->device) ? &zeroes : &data, c,
                    is_write, count, offset);
}

void
batch_plugin_before_wait (void)
{
  if (library != NULL)
    library->before_wait ();
}

bool
batch_plugin_has_deferred (void)
{
  return library != NULL && library->has_deferred ();
}

void
batch_plugin_close (void)
{
  if (library != NULL)
    library->defer_cancel ();
}
