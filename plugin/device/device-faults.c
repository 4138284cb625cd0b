/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Bad blocks and fault rules meet a request; see device.h.
 */

#include <config.h>

#include <errno.h>
#include <stddef.h>

#include "device-internal.h"

/* Does the request change all of its data?  A trim without discard=true does
 * not, nor does one on a device with zones, where it resets only whole zones.
 */
static bool
changes_data (const struct request *r)
{
  return r->io.op == OP_WRITE || r->io.op == OP_ZERO ||
         (r->io.op == OP_TRIM && r->version->s.discard &&
          r->connection->device->zones == NULL);
}

int
device_check_badblocks (struct request *r)
{
  struct device *d = r->connection->device;
  const uint64_t offset = request_place (r);
  struct badblocks_mode mode;
  uint64_t bad;
  const int result = badblocks_check (&d->badblocks, offset, r->nr_to_move,
                                      changes_data (r), &mode, &bad);

  if (result == BADBLOCKS_MEND)
    r->mends = true;
  if (result >= 0)
    return 0;
  r->nr_to_move =
      mode.partial_io
          ? badblocks_transfer (offset, bad, r->version->s.block_size)
          : 0;
  return -EIO;
}

/* Called when the data has been written: up to then other requests to these
 * blocks fail.
 */
int
device_mend (struct request *r)
{
  return badblocks_clear (&r->connection->device->badblocks, r->io.offset,
                          r->io.count);
}

/* IS_NEEDLESS of faults_hang and faults_park. */
static bool
met_power_cut (const void *request)
{
  return request_met_cut (request);
}

void
request_ask_faults (struct request *r)
{
  struct device *d = r->connection->device;

  r->io.zone_size = d->zones != NULL ? r->version->s.zones.zone_size : 0;
  faults_judge (&d->faults, &r->io, &r->verdict);
  r->is_judged = true;
  r->disconnects |= r->verdict.disconnects;
}

int
request_obey_verdict (struct request *r)
{
  const struct fault_verdict *v = &r->verdict;
  struct device *d = r->connection->device;
  int result = 0;

  if (v->delay > 0)
    r->due_at = (r->due_at != 0 ? r->due_at : r->io.arrival) + v->delay;
  if (v->hangs && r->connection->front_end->park != NULL &&
      r->connection->control == NULL)
    return DEVICE_PARKED;
  if (v->hangs) {
    request_quiesce (r);
    result = faults_hang (&d->faults, v, &r->connection->front_end->wait,
                          met_power_cut, r);
    if (result == 0)
      result = request_reactivate (r);
  }
  return result < 0 ? result : v->error;
}

static void
woken (struct fault_parked *h)
{
  struct request *r =
      (struct request *) ((char *) h - offsetof (struct request, parked));

  r->connection->front_end->hasten (r);
}

_Static_assert(sizeof (struct request) <= MAX_PARKED_COPY,
               "what front_end.park takes");

int
request_park (struct request *r, enum resume_op resume_op)
{
  struct request *copy;

  r->resume_op = resume_op;
  request_quiesce (r);
  copy = r->connection->front_end->park (r, sizeof *r);
  copy->parked = (struct fault_parked){.verdict = &copy->verdict,
                                       .is_needless = met_power_cut,
                                       .opaque = copy,
                                       .woken = woken};
  faults_park (&r->connection->device->faults, &copy->parked);
  return DEVICE_PARKED;
}
