/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The beginning and the end of each request; see device.h.  A request begins,
 * is admitted, meets fault rules, and is given its due time.  Then it does what
 * its operation is (device-operation.c, device-command.c), and ends: it waits
 * until it is due, and is counted.
 */

#include <config.h>

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "device-internal.h"

/* Give a connection the version of the settings that is in force.  The
 * connection was one user of the old version, for all of its requests; now each
 * of its requests that is still in service becomes a user of the old version.
 * c->lock is held.
 */
static void
renew_version (struct connection *c)
{
  struct devices *devices = c->device->devices;

  lock (&devices->settings_lock);
  c->version->users += c->version_users;
  settings_version_drop (c->version);
  c->version = atomic_load (&c->device->version);
  c->version->users++;
  c->version_users = 0;
  unlock (&devices->settings_lock);
}

/* The number of the connection that this thread serves.  Except in tests, that
 * is one connection for as long as the thread lives.
 */
static _Thread_local uint64_t thread_connection;

void
request_count_place (struct connection *c)
{
  const uint32_t depth = c->front_end->max_deferred;

  if (depth != 0)
    c->places = c->places_most = depth;
  else if (thread_connection != c->number) {
    thread_connection = c->number;
    if (++c->places > c->places_most)
      c->places_most = c->places;
  }
  c->began_saturated += c->in_flight == c->places;
}

uint64_t
request_arrival (const struct front_end *front_end)
{
  const uint64_t r = front_end->arrival != NULL ? front_end->arrival () : 0;

  return r != 0 ? r : clock_now ();
}

const struct settings *
request_begin (struct request *r, struct connection *c, enum operation op,
               uint32_t count, uint64_t offset)
{
  r->connection = c;
  r->io.op = op;
  r->io.count = count;
  r->io.offset = offset;
  r->io.arrival = request_arrival (c->front_end);
  r->nr_to_move = 0;
  r->nr_bookings = 0;
  r->nr_done = 0;
  r->part_offset = 0;
  r->has_more_parts = false;
  r->fua = false;
  r->frees = false;
  r->is_judged = false;
  r->mends = false;
  r->disconnects = false;
  r->is_quiesced = false;
  r->was_set_aside = false;
  r->is_listed_early = false;
  r->due_at = 0;
  owned_lock (&c->lock);
  /* A request that begins while power is off is quiesced from then on. */
  r->epoch = durability_epoch (c->device->durability);
  if (__builtin_expect (r->epoch & 1, 0)) {
    r->epoch--;
    r->is_quiesced = true;
    c->nr_quiesced++;
  }
  /* Relaxed: this only asks whether the version is another one.  renew_version
   * reads it once more, with settings_lock held.
   */
  if (atomic_load_explicit (&c->device->version, memory_order_relaxed) !=
      c->version)
    renew_version (c);
  r->version = c->version;
  c->version_users++;
  c->in_flight++;
  if (c->in_flight > c->in_flight_most)
    c->in_flight_most = c->in_flight;
  if (r->version->s.latency.waits)
    request_count_place (c);
  owned_unlock (&c->lock);
  return &r->version->s;
}

/* Is there a cache, so that a write with FUA takes the time of a flush on top
 * of its own?
 */
static bool
flushes_cost (const struct device *d, const struct latency_settings *latency)
{
  return latency->drive.buffer_size > 0 ||
         (d->store != NULL && d->devices->settings.cache_size > 0);
}

/* Returns the booking that latency_completion is to fill.  A request of several
 * parts, as of zone commands, has several bookings.  Without memory for more,
 * returns FORGOTTEN, whose time is not given back if the request is cancelled.
 */
static struct latency_booking *
next_booking (struct request *r, struct latency_booking *forgotten)
{
  struct latency_booking *more = r->nr_bookings > 1 ? r->more_bookings : NULL;
  const uint32_t n = r->nr_bookings > 0 ? r->nr_bookings - 1 : 0;

  if (r->nr_bookings == 0) {
    r->nr_bookings = 1;
    return &r->booking;
  }
  if ((n & (n - 1)) == 0) {
    more = realloc (more, (n == 0 ? 1 : 2 * (size_t) n) * sizeof *more);
    if (more == NULL)
      return forgotten;
    r->more_bookings = more;
  }
  r->nr_bookings++;
  return &more[n];
}

/* A client sees its overhead on top of a latency.  So the drive is told an
 * arrival that is earlier by the overhead, and the request completes earlier by
 * as much.  A request whose latency is shorter than the overhead completes at
 * once.  What moves no data has the overhead of the smallest size.
 */
static uint64_t
arrival_before_overhead (const struct request *r, enum operation op)
{
  const uint64_t origin = r->connection->device->latency.origin;
  const uint64_t arrival = r->io.arrival;
  const struct size_latency *overheads = &r->version->s.client_overhead;
  uint64_t overhead;

  if (overheads->n == 0)
    return arrival;
  overhead = size_latency_nsec (
      overheads, op == OP_READ || op == OP_WRITE ? r->io.count : 0);
  return arrival > origin && arrival - origin > overhead ? arrival - overhead
                                                         : origin;
}

void
request_set_due (struct request *r, enum operation op)
{
  const struct latency_settings *latency = &r->version->s.latency;
  struct device *d = r->connection->device;
  struct latency_booking forgotten, *booking = NULL;
  struct latency_request request;
  uint64_t moment;

  if (latency->remembers)
    booking = next_booking (r, &forgotten);
  request =
      (struct latency_request){.op = op,
                               .fua = r->fua && flushes_cost (d, latency),
                               .count = r->io.count,
                               .offset = r->io.offset,
                               .freed = r->frees ? r->io.count : 0,
                               .arrival = arrival_before_overhead (r, op)};
  moment =
      latency_completion (&d->latency, latency, &d->random, &request, booking);
  r->due_at = moment > r->due_at ? moment : r->due_at;
}

/* With power-off-reply=disconnect the client is dropped, unless the connection
 * is to a control export.
 */
static int
refuse_without_power (struct request *r)
{
  if (r->connection->control == NULL)
    r->disconnects |=
        r->version->s.power_off_reply == POWER_OFF_REPLY_DISCONNECT;
  return -ESHUTDOWN;
}

/* The requests of a connection that are open end now: their replies are about
 * to be sent.
 */
static void
end_open (void *connection)
{
  struct connection *c = connection;

  owned_lock (&c->lock);
  stats_end_open (&c->counts, clock_now ());
  owned_unlock (&c->lock);
}

bool
request_ends_with_others (struct connection *c)
{
  const struct front_end *front_end = c->front_end;

  return front_end->before_reply != NULL && c->control == NULL &&
         front_end->before_reply (end_open, c);
}

/* The wait of a request is over: count the request.  NOW is 0 if it ends with
 * others.  Returns its result.
 */
static int
complete (struct request *r, uint64_t now)
{
  struct connection *c = r->connection;
  struct devices *devices = c->device->devices;
  const uint64_t started = r->io.arrival;
  int result = r->result;

  owned_lock (&c->lock);
  if (__builtin_expect (request_met_cut (r), 0))
    result = refuse_without_power (r);
  if (__builtin_expect (stats_are_full (&c->counts), 0))
    connection_add_counts (c);
  if (now == 0)
    stats_count_open (&c->counts, r->io.op, r->io.count, started, result);
  else {
    stats_end_open (&c->counts, now);
    stats_count (&c->counts, r->io.op, r->io.count, now - started, result);
  }
  if (r->due_at > started && result == 0)
    stats_count_asked (&c->counts, r->io.op, r->due_at - started,
                       now - started);
  c->in_flight--;
  if (__builtin_expect (r->is_quiesced, 0))
    c->nr_quiesced--;
  if (r->version == c->version)
    c->version_users--;
  else {
    lock (&devices->settings_lock);
    settings_version_drop (r->version);
    unlock (&devices->settings_lock);
  }
  owned_unlock (&c->lock);
  if (__builtin_expect (result < 0, 0)) {
    if (result == -ESHUTDOWN)
      device_tell_quiesced (c->device);
    if (r->disconnects)
      drop_client (c->front_end);
  }
  return result;
}

/* The client or the server has gone at NOW.  Give back the times of lanes and
 * limits that the request would have used later: others need not wait for them.
 */
static void
cancel (struct request *r, uint64_t now)
{
  struct latency_state *latency = &r->connection->device->latency;
  uint32_t i;

  if (r->nr_bookings > 0)
    latency_cancel (latency, &r->booking, now);
  for (i = 1; i < r->nr_bookings; i++)
    latency_cancel (latency, &r->more_bookings[i - 1], now);
  if (r->result == 0)
    r->result = -ESHUTDOWN;
}

/* When it is due, a request may have to ask for another due time, to which the
 * delay of a fault rule is added.  Returns whether it has to wait on.  Requests
 * of several parts never ask.
 */
static bool
ask_again (struct request *r, uint64_t now)
{
  struct latency_state *latency = &r->connection->device->latency;
  bool asks = false;
  uint64_t more;

  while (r->nr_bookings == 1 && latency_asks (&r->booking) &&
         r->due_at <= now) {
    more = r->due_at - r->booking.told;
    r->due_at = moment_after (
        latency_ask (latency, &r->version->s.latency, &r->booking, now), more);
    asks = true;
  }
  return asks && r->due_at > now;
}

int
request_when_due (void *request, uint64_t *moment, bool gone)
{
  struct request *r = request;
  const int promised = r->was_set_aside ? 0 : r->result;
  int result;

  /* A wait may end some microseconds early. */
  if (!gone && ask_again (r, max (*moment, r->due_at))) {
    *moment = r->due_at;
    return DUE_AGAIN;
  }
  if (__builtin_expect (r->is_listed_early, 0))
    device_forget_early (r);
  if (gone)
    cancel (r, *moment);
  result = complete (r, *moment);
  if (result < 0 && r->was_set_aside &&
      r->connection->front_end->report != NULL)
    r->connection->front_end->report (r->connection->device, result);
  if (r->disconnects)
    return DUE_NO_ANSWER;
  return result != promised ? result : 0;
}

_Static_assert(offsetof (struct request, verdict) <= MAX_REQUEST_COPY,
               "what front_end.set_aside takes");

/* Have the front end answer the request when it is due.  Returns false where
 * the thread has to wait.  It has to for a control export: one request to that
 * may be several of the device (zone commands).
 */
static bool
defer (struct request *r)
{
  const struct front_end *front_end = r->connection->front_end;

  return front_end->defer != NULL && r->connection->control == NULL &&
         front_end->defer (r->due_at, r->version->s.spin, request_when_due, r,
                           offsetof (struct request, early),
                           r->io.op == OP_READ ? r->io.count : 0);
}

/* End a request that has a due time. */
static __attribute__ ((noinline)) int
end_when_due (struct request *r)
{
  struct devices *devices = r->connection->device->devices;
  uint64_t now;
  int e;

  if (!r->is_quiesced)
    request_quiesce (r);
  if (defer (r))
    return r->result;
  do
    e = waiter_wait (&devices->waiter, r->due_at, r->version->s.spin,
                     &r->connection->front_end->wait, &now);
  while (e == 0 && ask_again (r, max (now, r->due_at)));
  if (e < 0)
    cancel (r, now);
  return complete (r, now);
}

int
request_end (struct request *r, int result)
{
  request_forget_verdict (r);
  r->result = result;
  if (r->due_at != 0)
    return end_when_due (r);
  return complete (r,
                   request_ends_with_others (r->connection) ? 0 : clock_now ());
}

int
request_prepare_with_faults (struct request *r, enum operation op)
{
  int result;

  request_ask_faults (r);
  if (r->version->s.latency.waits)
    request_set_due (r, op);
  result = request_obey_verdict (r);
  if (result == 0 && !request_is_skipped (r))
    r->nr_to_move = r->io.count;
  return result;
}
