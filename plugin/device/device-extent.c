/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Extents: questions about where data is, which change nothing and are not
 * counted; see device.h.
 */

#include <config.h>

#include <errno.h>

#include "device-internal.h"

/* A question for extents, or NBD's CACHE, is no request, and is not counted.
 * The settings that it needs, except for power-off-reply, are fixed at the
 * start.
 */
static int
admit_question (const struct connection *c, uint32_t count, uint64_t offset)
{
  struct device *d = c->device;

  if ((durability_epoch (d->durability) & 1) != 0) {
    if (device_drops_clients (d))
      drop_client (c->front_end);
    return -ESHUTDOWN;
  }
  return check_alignment (&d->devices->settings, count, offset);
}

int
device_cache (struct connection *c, uint32_t count, uint64_t offset)
{
  return admit_question (c, count, offset);
}

static enum extent
extent_of_data (struct device *d, uint64_t offset, uint64_t end,
                uint64_t *end_of_run)
{
  bool is_written;

  *end_of_run = end;
  if (d->store == NULL)
    return EXTENT_ZERO;
  *end_of_run = store_extent (d->store, d->number, offset, end, &is_written);
  return is_written ? EXTENT_DATA : EXTENT_ZERO;
}

int
device_extent (struct connection *c, uint32_t count, uint64_t offset,
               enum extent *extent, uint64_t *end_of_run)
{
  struct device *d = c->device;
  uint64_t end = offset + count;
  int r;

  r = admit_question (c, count, offset);
  if (r < 0)
    return r;
  if (d->zones != NULL) {
    switch (zones_extent (d->zones, offset, end, end_of_run)) {
    case ZONE_EXTENT_DATA:
      *extent = EXTENT_DATA;
      return 0;
    case ZONE_EXTENT_ZERO:
      *extent = EXTENT_ZERO;
      return 0;
    case ZONE_EXTENT_HOLE:
      *extent = EXTENT_HOLE;
      return 0;
    case ZONE_EXTENT_CONVENTIONAL:
      end = *end_of_run;
    }
  }
  *extent = extent_of_data (d, offset, end, end_of_run);
  return 0;
}
