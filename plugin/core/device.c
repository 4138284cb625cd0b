/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The devices of a server and the path of a request through one; see
 * device.h.  A request is admitted, and then its data moves.
 */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device.h"

/*---------------------------------------------------------------------*/
/* The path of a request */

static int
admit (const struct device *d, uint32_t count, uint64_t offset)
{
  if (((offset | count) & (d->settings->block_size - 1)) != 0)
    return -EINVAL;
  return 0;
}

static int
admit_change (const struct device *d, uint32_t count, uint64_t offset)
{
  if (d->settings->read_only)
    return -EROFS;
  return admit (d, count, offset);
}

int
device_read (struct device *d, void *buf, uint32_t count, uint64_t offset)
{
  int r;

  r = admit (d, count, offset);
  if (r < 0)
    return r;
  /* Every byte must be set: the buffer holds what an earlier request left. */
  if (d->store != NULL)
    store_read (d->store, d->number, buf, count, offset);
  else
    memset (buf, 0, count);
  return 0;
}

int
device_write (struct device *d, const void *buf, uint32_t count,
              uint64_t offset)
{
  int r;

  r = admit_change (d, count, offset);
  if (r == 0 && d->store != NULL)
    r = store_write (d->store, d->number, buf, count, offset);
  return r;
}

int
device_zero (struct device *d, uint32_t count, uint64_t offset, bool may_trim)
{
  int r;

  r = admit_change (d, count, offset);
  if (r < 0 || d->store == NULL)
    return r;
  if (!may_trim || !d->settings->discard)
    return store_zero (d->store, d->number, count, offset);
  store_trim (d->store, d->number, count, offset);
  return 0;
}

int
device_trim (struct device *d, uint32_t count, uint64_t offset)
{
  int r;

  r = admit_change (d, count, offset);
  if (r == 0 && d->store != NULL && d->settings->discard)
    store_trim (d->store, d->number, count, offset);
  return r;
}

int
device_flush (struct device *d)
{
  (void) d;
  return 0;
}

int
device_cache (struct device *d, uint32_t count, uint64_t offset)
{
  return admit (d, count, offset);
}

int
device_extent (struct device *d, uint32_t count, uint64_t offset, bool *data,
               uint64_t *end_of_run)
{
  int r;

  r = admit (d, count, offset);
  if (r < 0)
    return r;
  if (d->store != NULL)
    *end_of_run =
        store_extent (d->store, d->number, offset, offset + count, data);
  else {
    *data = false;
    *end_of_run = offset + count;
  }
  return 0;
}

/*---------------------------------------------------------------------*/
/* The devices of a server */

static int
create_store (struct devices *devices)
{
  const struct settings *s = &devices->settings;
  const struct arena_options options = {
      .limit = s->memory_limit,
      .volumes = s->devices,
      .volume_size = s->size,
      .hugepages = s->hugepages,
      .kernel_page = sysconf (_SC_PAGESIZE),
  };

  return store_create (&devices->store, &options);
}

int
devices_create (struct devices **r_devices, const struct settings *settings)
{
  struct devices *devices;
  struct device *d;
  int r = -ENOMEM;

  devices = calloc (1, sizeof *devices);
  if (devices == NULL)
    return r;
  devices->settings = *settings;
  devices->device = calloc (settings->devices, sizeof *devices->device);
  if (devices->device == NULL)
    goto fail;
  if (settings->memory_backed) {
    r = create_store (devices);
    if (r < 0)
      goto fail;
  }

  while (devices->count < settings->devices) {
    d = &devices->device[devices->count];
    d->number = devices->count++;
    d->settings = &devices->settings;
    d->store = devices->store;
    snprintf (d->name, sizeof d->name, "nullb%u", d->number);
  }
  *r_devices = devices;
  return 0;

fail:
  free (devices->device);
  free (devices);
  return r;
}

void
devices_destroy (struct devices *devices)
{
  if (devices->store != NULL)
    store_destroy (devices->store);
  free (devices->device);
  free (devices);
}

struct device *
devices_find (struct devices *devices, const char *name)
{
  uint32_t i;

  if (name[0] == '\0')
    return &devices->device[0];
  for (i = 0; i < devices->count; i++) {
    if (strcmp (name, devices->device[i].name) == 0)
      return &devices->device[i];
  }
  return NULL;
}

void
device_describe (const struct device *d, char *buf, size_t len)
{
  char size[32];

  format_size (d->settings->size, size, sizeof size);
  snprintf (buf, len, "%s block device, %s%s",
            d->store != NULL ? "memory-backed" : "null", size,
            d->settings->read_only ? ", read-only" : "");
}
