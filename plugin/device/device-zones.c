/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The data of a device with zones, which moves with its zone locked; see
 * device.h.
 */

#include <config.h>

#include <string.h>

#include "device-internal.h"

int
device_read_zones (struct request *request, char *buf)
{
  struct device *d = request->connection->device;
  const uint32_t count = request->io.count;
  const uint64_t offset = request->io.offset;
  struct zone_stripe *held;
  struct zone_read part;
  int r;

  if (zones_read_is_conventional (d->zones, count, offset)) {
    r = meet_badblocks (request);
    if (r == 0)
      read_data (d, buf, count, offset);
    return r;
  }
  held = zones_hold_data (d->zones, count, offset);
  if (held != NULL) {
    r = meet_badblocks (request);
    if (r == 0)
      read_data (d, buf, count, offset);
    zones_release (held);
    return r;
  }

  r = zones_begin_read (d->zones, &part, count, offset);
  if (r == 0)
    r = meet_badblocks (request);
  if (r < 0)
    return r;
  while ((r = zones_read_part (&part)) == 1) {
    if (part.is_data)
      read_data (d, buf, part.count, part.offset);
    else
      memset (buf, part.fill, part.count);
    buf += part.count;
  }
  return r;
}

/* Resets are durable at once.  With FUA, so is what is conventional. */
int
device_trim_zones (struct device *d, uint32_t count, uint64_t offset, bool fua)
{
  int r = zones_trim (d->zones, count, offset);

  return r == 0 && fua ? flush_data (d) : r;
}

static int
trim (void *device, uint64_t count, uint64_t offset)
{
  return trim_data (device, count, offset, false);
}

static int
reset (void *device, uint64_t count, uint64_t offset)
{
  struct device *d = device;

  return has_log (d) ? log_reset (d, count, offset)
                     : durability_reset_zone (d->durability, offset);
}

static uint64_t
discard (void *device, uint64_t offset, uint64_t end)
{
  struct device *d = device;

  return d->store != NULL ? store_trim_step (d->store, d->number, offset, end)
                          : end;
}

struct zone_data
device_zone_data (struct device *d)
{
  return (struct zone_data){.is_kept = d->store != NULL,
                            .trim = trim,
                            .reset = reset,
                            .discard = discard,
                            .epoch =
                                &durability_fastpath (d->durability)->epoch,
                            .opaque = d};
}

/* The nap of a write that is early.  It may last as long as a client does not
 * read its replies, for which a power cut does not wait.
 */
static int
nap_out (void *request, uint64_t nsec)
{
  struct request *r = request;
  const struct wait_ops *wait = &r->connection->ops->wait;
  int result;

  request_leave (r);
  result = wait->sleep_for (wait->opaque, nsec);
  return result < 0 ? result : request_come_back (r);
}

/* The zone is asked for all of the request, whatever is written of it.  Nothing
 * is above the write pointer, also where power was cut between two steps.
 */
int
device_write_zone (struct request *r, const void *buf, bool may_trim)
{
  struct device *d = r->connection->device;
  const struct wait_ops wait = {.sleep_for = nap_out,
                                .seldom = r->connection->ops->wait.seldom,
                                .opaque = r};
  struct zone_write zone;
  int result, bad;

  if (zones_write_is_conventional (d->zones, r->io.count, r->io.offset)) {
    result = change_good_data (r, buf, may_trim, &bad);
    return result != 0 ? result : bad;
  }
  result =
      zones_begin_write (d->zones, &zone, r->io.count, r->io.offset, &wait);
  if (result < 0)
    return result;
  result = change_good_data (r, buf, may_trim, &bad);
  zones_end_write (&zone, result >= 0 ? r->transfer : r->done);
  return result != 0 ? result : bad;
}
