/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The data of a write: the rules of its zone and bad blocks may stop it; then
 * it moves.  A write that is early, ahead of the write pointer of its zone, is
 * set aside, or waits on its thread, until those before it are done; see
 * front_end.set_aside and zones_list_early.
 */

#include <config.h>

#include <errno.h>
#include <stddef.h>

#include "device-internal.h"

static bool try_again (void *request, const void *payload, uint64_t *moment);

/* Have front_end->set_aside keep a write, to be tried again later; BUF is NULL
 * for zeroes.  Returns its copy of the request, or NULL if the thread has to
 * wait.
 */
static struct request *
set_aside (struct request *r, const void *buf, bool may_trim)
{
  const struct front_end *front_end = r->connection->front_end;

  if (front_end->set_aside == NULL || r->connection->control != NULL)
    return NULL;
  request_forget_verdict (r);
  r->result = 0;
  r->is_zero = buf == NULL;
  r->may_trim = may_trim;
  return front_end->set_aside (
      moment_after (clock_now (), r->version->s.zones.reorder_wait),
      r->version->s.spin, try_again, request_when_due, r,
      offsetof (struct request, verdict), buf, buf != NULL ? r->io.count : 0);
}

/* Returns the moment at which a write that was set aside fails, unless its zone
 * makes progress until then.
 */
static uint64_t
early_until (const struct request *r)
{
  return zones_early_until (r->connection->device->zones, &r->early);
}

/* A write that was set aside is early again: it is listed again, or fails if
 * its time is up.
 */
static int
stay_early (struct request *r)
{
  if (r->early.since != 0 && clock_now () >= early_until (r))
    return -EIO;
  request_quiesce (r);
  device_list_early (r);
  return REQUEST_ASIDE;
}

/* A write is ahead of the write pointer.  It is set aside, so that its thread
 * can serve the writes that it waits for.  While there is no room for that, it
 * waits on its thread; the writes that are set aside already go on meanwhile,
 * and make room.  If the write that it waits for comes behind it on the same
 * connection, the waiting write fails when its time is up, and the connection
 * goes on.
 */
static int
meet_early (struct request *r, const void *buf, bool may_trim)
{
  struct request *copy;
  int result;

  if (!r->version->s.latency.waits) {
    owned_lock (&r->connection->lock);
    request_count_place (r->connection);
    owned_unlock (&r->connection->lock);
  }
  r->early.since = 0;
  do {
    request_quiesce (r);
    r->was_set_aside = true;
    copy = set_aside (r, buf, may_trim);
    if (copy != NULL) {
      device_list_early (copy);
      return REQUEST_ASIDE;
    }
    r->was_set_aside = false;
    result = request_reactivate (r);
    if (result == 0)
      result = device_write_zone (r, buf, may_trim, true);
  } while (result == REQUEST_EARLY);
  return result;
}

int
request_write_data (struct request *r, const void *buf, bool may_trim)
{
  struct device *d = r->connection->device;
  int result, bad = 0;

  if (d->zones != NULL) {
    result = device_write_zone (r, buf, may_trim, false);
    if (__builtin_expect (result == REQUEST_EARLY, 0))
      result =
          r->was_set_aside ? stay_early (r) : meet_early (r, buf, may_trim);
  }
  else
    result = change_good_data (r, buf, may_trim, &bad);
  if (result == DURABILITY_CUT)
    return request_finish_cut (r);
  return bad < 0 ? bad : end_change_of_data (r, result);
}

/* A write that was set aside is tried again; see front_end.set_aside.  Its
 * thread may have to wait for room in the socket before request_when_due is
 * called.  Or another write, which it tries again next, may cut the power, and
 * wait until all requests are quiesced.  So when the last retry is over the
 * write is quiesced, whether it has a time to wait for or not.
 */
static bool
try_again (void *request, const void *payload, uint64_t *moment)
{
  struct request *r = request;
  int result;

  device_forget_early (r);
  result = request_reactivate (r);
  if (result == 0) {
    r->nr_to_move = r->io.count;
    result = request_write_data (r, r->is_zero ? NULL : payload, r->may_trim);
  }
  if (result == REQUEST_ASIDE) {
    *moment = early_until (r);
    return false;
  }
  r->result = result;
  *moment = r->due_at;
  if (!r->is_quiesced)
    request_quiesce (r);
  return true;
}
