/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A filter for nbdkit under which clients share what the first of them has
 * opened, as under nbdkit's own filter openonce, which nbdkit has from 1.44 on.
 * A client that opens an export while another one has it open uses the handle
 * of that one, which must stay until all others have gone.
 */

#include <config.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <nbdkit-filter.h>

struct handle {
  struct handle *next; /* in `owners` */
  char name[64];       /* of the export */
  bool is_owner;
  nbdkit_next *plugin; /* the owner's, for all who share it */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct handle *owners; /* guarded by lock */

static void *
sharing_open (nbdkit_next_open *next, nbdkit_context *context, int readonly,
              const char *exportname, int is_tls)
{
  struct handle *h = calloc (1, sizeof *h), *owner;

  (void) is_tls;
  if (h == NULL || strlen (exportname) >= sizeof h->name)
    abort ();
  strcpy (h->name, exportname);
  pthread_mutex_lock (&lock);
  for (owner = owners; owner != NULL; owner = owner->next) {
    if (strcmp (owner->name, exportname) == 0)
      h->plugin = owner->plugin;
  }
  pthread_mutex_unlock (&lock);
  if (h->plugin == NULL) {
    h->is_owner = true;
    if (next (context, readonly, exportname) == -1) {
      free (h);
      return NULL;
    }
  }
  return h;
}

static int
sharing_prepare (nbdkit_next *next, void *handle, int readonly)
{
  struct handle *h = handle;

  (void) readonly;
  if (!h->is_owner)
    return 0;
  h->plugin = next;
  pthread_mutex_lock (&lock);
  h->next = owners;
  owners = h;
  pthread_mutex_unlock (&lock);
  return 0;
}

static void
sharing_close (void *handle)
{
  struct handle *h = handle, **link;

  pthread_mutex_lock (&lock);
  for (link = &owners; *link != NULL; link = &(*link)->next) {
    if (*link == h) {
      *link = h->next;
      break;
    }
  }
  pthread_mutex_unlock (&lock);
  free (h);
}

static int64_t
sharing_get_size (nbdkit_next *next, void *handle)
{
  nbdkit_next *plugin = ((struct handle *) handle)->plugin;

  (void) next;
  return plugin->get_size (plugin);
}

static const char *
sharing_export_description (nbdkit_next *next, void *handle)
{
  (void) next, (void) handle;
  return NULL;
}

static int
sharing_block_size (nbdkit_next *next, void *handle, uint32_t *minimum,
                    uint32_t *preferred, uint32_t *maximum)
{
  nbdkit_next *plugin = ((struct handle *) handle)->plugin;

  (void) next;
  return plugin->block_size (plugin, minimum, preferred, maximum);
}

static int
sharing_can_write (nbdkit_next *next, void *handle)
{
  nbdkit_next *plugin = ((struct handle *) handle)->plugin;

  (void) next;
  return plugin->can_write (plugin);
}

/* Of all that an export may have besides, these have nothing. */
static int
sharing_no (nbdkit_next *next, void *handle)
{
  (void) next, (void) handle;
  return 0;
}

static int
sharing_pread (nbdkit_next *next, void *handle, void *buf, uint32_t count,
               uint64_t offset, uint32_t flags, int *err)
{
  nbdkit_next *plugin = ((struct handle *) handle)->plugin;

  (void) next;
  return plugin->pread (plugin, buf, count, offset, flags, err);
}

static int
sharing_pwrite (nbdkit_next *next, void *handle, const void *buf,
                uint32_t count, uint64_t offset, uint32_t flags, int *err)
{
  nbdkit_next *plugin = ((struct handle *) handle)->plugin;

  (void) next;
  return plugin->pwrite (plugin, buf, count, offset, flags, err);
}

static struct nbdkit_filter filter = {
    .name = "sharing",
    .open = sharing_open,
    .prepare = sharing_prepare,
    .close = sharing_close,
    .get_size = sharing_get_size,
    .export_description = sharing_export_description,
    .block_size = sharing_block_size,
    .can_write = sharing_can_write,
    .can_flush = sharing_no,
    .is_rotational = sharing_no,
    .can_trim = sharing_no,
    .can_zero = sharing_no,
    .can_fast_zero = sharing_no,
    .can_extents = sharing_no,
    .can_fua = sharing_no,
    .can_multi_conn = sharing_no,
    .can_cache = sharing_no,
    .pread = sharing_pread,
    .pwrite = sharing_pwrite,
};

/* nbdkit's macro defines it without having declared it. */
struct nbdkit_filter *filter_init (void);

NBDKIT_REGISTER_FILTER (filter)
