/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Zone commands, as requests; see device.h.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device-internal.h"

/* Do a command that was prepared with RESULT. */
static int
do_command (struct request *request, int result, uint64_t zone,
            enum zone_cond cond)
{
  if (result == 0 && !request_is_skipped (request))
    result = zones_command (request->connection->device->zones, zone, cond);
  request_forget_verdict (request);
  request->io.count = 0;
  return result;
}

/* One of the commands of a request.  For faults its place is its zone.  The
 * delay of a rule that hits it is added to its own time, and not to that of
 * commands before it: the request takes as long as the longest of them.
 */
static int
command_zone (struct request *request, uint64_t zone, enum zone_cond cond)
{
  const struct settings *s = &request->version->s;
  const uint64_t before = request->due_at;
  int r;

  request->io.offset = zone * s->zones.zone_size;
  request->io.count = s->size - request->io.offset;
  if (request->io.count > s->zones.zone_size)
    request->io.count = s->zones.zone_size;
  request->frees = cond == ZONE_COND_EMPTY;
  request->due_at = 0;
  r = request_prepare (request, OP_ZONE);
  request->due_at = max (request->due_at, before);
  if (r == DEVICE_PARKED) {
    request->cond = cond;
    return r;
  }
  return do_command (request, r, zone, cond);
}

/* Does a descriptor say what the zone is like now?  Then it is no command.  No
 * lock is needed: the zone's state is one word, and a zone that changes later
 * is one that changed after this descriptor was written.
 */
static bool
describes_zone (const struct device *d, uint64_t zone,
                const struct zone_descriptor *descriptor)
{
  struct zone_descriptor now;

  return zones_read_table (d->zones, zone, &now, 1) == 1 &&
         memcmp (&now, descriptor, sizeof now) == 0;
}

/* Begin a request of commands.  Returns 0, or why there can be none. */
static int
begin_commands (struct request *request, struct connection *c)
{
  const struct settings *s = request_begin (request, c, OP_ZONE, 0, 0);
  const int r = request_admit_power (request);

  return r == 0 && s->read_only ? -EROFS : r;
}

int
device_zone_commands (struct connection *c, uint64_t first,
                      const struct zone_descriptor *descriptors, uint64_t n,
                      uint64_t *done)
{
  struct request request;
  int r;

  *done = 0;
  r = begin_commands (&request, c);
  while (r == 0 && *done < n) {
    if (!describes_zone (c->device, first + *done, &descriptors[*done]))
      r = command_zone (&request, first + *done, descriptors[*done].cond);
    *done += r == 0;
  }
  if (r == DEVICE_PARKED)
    return request_park (&request, RESUME_COMMAND);
  r = request_end (&request, r);
  if (request.nr_bookings > 1)
    free (request.more_bookings);
  return r;
}

static int
reset_all_and_end (struct request *request, int result)
{
  if (result == 0 && !request_is_skipped (request))
    result = zones_reset_all (request->connection->device->zones);
  request->io.count = 0;
  return request_end (request, result);
}

/* For faults it touches all of the device. */
int
device_reset_zones (struct connection *c)
{
  struct request request;
  int r;

  r = begin_commands (&request, c);
  if (r == 0) {
    request.io.count = request.version->s.size;
    request.frees = true;
    r = request_prepare (&request, OP_ZONE);
    if (r == DEVICE_PARKED)
      return request_park (&request, RESUME_RESET_ALL);
  }
  return reset_all_and_end (&request, r);
}

int
command_resume (struct request *r, int result)
{
  const uint64_t zone = r->io.offset / r->version->s.zones.zone_size;

  if (r->resume_op == RESUME_RESET_ALL)
    return reset_all_and_end (r, result);
  return request_end (r, do_command (r, result, zone, r->cond));
}
