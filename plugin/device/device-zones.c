/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Reads, writes and trims of a device with zones.  Data moves while the request
 * has its zone, or has locked its stripe; see device.h.
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
  struct zone_stripe *locked;
  struct zone_read part;
  int r;

  if (zones_read_is_conventional (d->zones, count, offset)) {
    r = meet_badblocks (request);
    if (r == 0)
      answer_with_data (request, buf);
    return r;
  }
  locked = zones_lock_data (d->zones, count, offset);
  if (locked != NULL) {
    r = meet_badblocks (request);
    if (r == 0)
      answer_with_data (request, buf);
    zones_unlock_data (locked);
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

/* Resets are durable at once.  With FUA, a flush makes the trim of conventional
 * zones durable, too.
 */
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

struct zone_data_ops
device_zone_data (struct device *d)
{
  return (struct zone_data_ops){
      .has_data = d->store != NULL,
      .write_may_wait = d->devices->settings.write_log[0] != '\0',
      .step = STORE_STEP,
      .trim = trim,
      .reset = reset,
      .discard = discard,
      .epoch = &durability_fastpath (d->durability)->epoch,
      .opaque = d};
}

/* The wait of an early write on its thread. */
struct waiting {
  struct request *request;
  bool has_napped;
};

/* The nap of an early write.  It may last as long as the client does not read
 * its replies; so the request is quiesced meanwhile, and no power cut waits for
 * it.  If the write waits on its thread because there was no room to set it
 * aside, its second nap ends the wait (-EAGAIN), as there may be room by then.
 */
static int
nap_quiesced (void *waiting, uint64_t nsec)
{
  struct waiting *w = waiting;
  struct request *r = w->request;
  const struct front_end *front_end = r->connection->front_end;
  int result;

  request_quiesce (r);
  result = front_end->wait.sleep_for (front_end->wait.opaque, nsec);
  if (result == 0)
    result = request_reactivate (r);
  if (result == 0 && w->has_napped && front_end->set_aside != NULL)
    result = -EAGAIN;
  w->has_napped = true;
  return result;
}

/* The write pointer has come to a write that is set aside. */
static void
reached (struct zone_early *e)
{
  struct request *r =
      (struct request *) ((char *) e - offsetof (struct request, early));

  r->connection->front_end->hasten (r);
}

void
device_list_early (struct request *r)
{
  r->early.reached = reached;
  r->is_listed_early = true;
  zones_list_early (r->connection->device->zones, &r->early, r->nr_to_move,
                    request_place (r));
}

void
device_forget_early (struct request *r)
{
  zones_unlist_early (r->connection->device->zones, &r->early);
  r->is_listed_early = false;
}

/* Begin a write that waits on its thread. */
static int
begin_on_thread (struct request *r, struct zone_write *zone)
{
  struct waiting waiting = {.request = r};
  const struct wait_ops ops = {
      .sleep_for = nap_quiesced,
      .may_nap_seldom = r->connection->front_end->wait.may_nap_seldom,
      .opaque = &waiting};
  struct zone_wait wait = {.ops = &ops, .since = r->early.since};
  const int result =
      zones_begin_write (r->connection->device->zones, zone, r->nr_to_move,
                         request_place (r), &wait);

  r->early.since = wait.since;
  return result;
}

/* Move the data of a write that has its zone, and end that. */
static inline int
write_taken (struct request *r, struct zone_write *zone, const void *buf,
             bool may_trim)
{
  int bad;
  const int result = change_good_data (r, buf, may_trim, &bad);

  zones_end_write (zone, result >= 0 ? r->nr_to_move : r->nr_done);
  return result != 0 ? result : bad;
}

int
device_append_zone (struct request *r, const void *buf, void *copy)
{
  struct zone_write zone;
  const int result = zones_begin_append (r->connection->device->zones, &zone,
                                         r->nr_to_move, r->io.offset);

  if (result != 0)
    return result;
  r->io.offset = zone.offset;
  if (copy == NULL)
    return write_taken (r, &zone, buf, false);
  faults_corrupt (&r->verdict, &r->io, copy, r->version->s.block_size);
  return write_taken (r, &zone, copy, false);
}

/* Write r->nr_to_move bytes of BUF to request_place, in one zone, which is of
 * the kind PLACE.  The zone is asked for all of them, even if bad blocks let
 * fewer be written.  No data is ever left above the write pointer, not even
 * where power was cut between two steps.
 */
static int
write_in_zone (struct request *r, const void *buf, bool may_trim, bool waits,
               enum zone_place place)
{
  struct device *d = r->connection->device;
  struct zone_write zone;
  int result, bad;

  if (place == ZONE_PLACE_CONVENTIONAL) {
    result = change_good_data (r, buf, may_trim, &bad);
    return result != 0 ? result : bad;
  }
  if (__builtin_expect (waits, 0))
    result = begin_on_thread (r, &zone);
  else
    result =
        zones_try_write (d->zones, &zone, r->nr_to_move, request_place (r));
  if (result != 0)
    return result == ZONE_WRITE_EARLY ? REQUEST_EARLY : result;
  return write_taken (r, &zone, buf, may_trim);
}

/* Write across zones, zone by zone, up to the first part that fails: then the
 * request fails, and the parts before it stay written.  No lock is held between
 * two parts.
 */
static int
write_across (struct request *r, const char *buf, bool may_trim, bool waits)
{
  const struct zones *zones = r->connection->device->zones;
  const uint64_t end = r->io.offset + r->io.count;
  uint64_t offset, part_end;
  int result;

  for (;;) {
    offset = request_place (r);
    part_end = zones_end_of_zone (zones, offset);
    r->has_more_parts = part_end < end;
    r->nr_to_move = (r->has_more_parts ? part_end : end) - offset;
    r->nr_done = 0;
    result =
        write_in_zone (r, buf != NULL ? buf + r->part_offset : NULL, may_trim,
                       waits, zones_place (zones, r->nr_to_move, offset));
    if (result != 0 || !r->has_more_parts)
      return result;
    r->part_offset = part_end - r->io.offset;
  }
}

int
device_write_zone (struct request *r, const void *buf, bool may_trim,
                   bool waits)
{
  const enum zone_place place =
      zones_place (r->connection->device->zones, r->io.count, r->io.offset);

  if (place != ZONE_PLACE_ACROSS)
    return write_in_zone (r, buf, may_trim, waits, place);
  return r->version->s.zones.cross == ZONE_CROSS_SPLIT
             ? write_across (r, buf, may_trim, waits)
             : -EIO;
}
