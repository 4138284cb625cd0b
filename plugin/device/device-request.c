/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The path of a request through a device; see device.h.  A request begins, is
 * admitted, meets fault rules, and is given its deadline.  The rules of its
 * zone and bad blocks may stop it.  Then its data moves, and the request ends:
 * it waits for its deadline, and is counted.
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

/* Count a request, which makes its thread wait, for threads_seen and
 * began_saturated (struct connection).  c->lock is held.
 */
static void
count_thread (struct connection *c)
{
  const uint32_t depth = c->front_end->max_deferred;

  if (depth != 0)
    c->threads_seen = c->threads_seen_most = depth;
  else if (thread_connection != c->number) {
    thread_connection = c->number;
    if (++c->threads_seen > c->threads_seen_most)
      c->threads_seen_most = c->threads_seen;
  }
  c->began_saturated += c->in_flight == c->threads_seen;
}

static uint64_t
arrival (const struct front_end *front_end)
{
  uint64_t r = 0;

  if (front_end->arrival != NULL &&
      atomic_load_explicit (&front_end->is_timed, memory_order_relaxed))
    r = front_end->arrival ();
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
  r->io.arrival = arrival (c->front_end);
  r->transfer = 0;
  r->nr_slots = 0;
  r->done = 0;
  r->from = 0;
  r->more = false;
  r->fua = false;
  r->is_judged = false;
  r->disconnects = false;
  r->is_out = false;
  r->was_set_aside = false;
  r->is_listed_early = false;
  r->deadline = 0;
  lock (&c->lock);
  /* A request that begins while power is off is out from the beginning. */
  r->epoch = durability_epoch (c->device->durability);
  if (__builtin_expect (r->epoch & 1, 0)) {
    r->epoch--;
    r->is_out = true;
    c->out++;
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
    count_thread (c);
  unlock (&c->lock);
  return &r->version->s;
}

static bool
has_cache (const struct device *d)
{
  return d->store != NULL && d->devices->settings.cache_size > 0;
}

/* Returns the slot that latency_completion is to fill.  A request of several
 * parts, as of zone commands, has several slots.  Without memory for one more,
 * returns FORGOTTEN, whose time is not given back if the request is given up.
 */
static struct latency_slot *
next_slot (struct request *r, struct latency_slot *forgotten)
{
  struct latency_slot *more = r->nr_slots > 1 ? r->more_slots : NULL;
  const uint32_t n = r->nr_slots > 0 ? r->nr_slots - 1 : 0;

  if (r->nr_slots == 0) {
    r->nr_slots = 1;
    return &r->slot;
  }
  if ((n & (n - 1)) == 0) {
    more = realloc (more, (n == 0 ? 1 : 2 * (size_t) n) * sizeof *more);
    if (more == NULL)
      return forgotten;
    r->more_slots = more;
  }
  r->nr_slots++;
  return &more[n];
}

/* Say when a request that was admitted is to complete, by the latency of OP.  A
 * request that has several parts completes when the last of them does.
 */
static void
set_deadline (struct request *r, enum operation op)
{
  const struct latency_settings *latency = &r->version->s.latency;
  struct device *d = r->connection->device;
  struct latency_slot forgotten, *slot = NULL;
  struct latency_request request;
  uint64_t moment;

  if (!latency->waits)
    return;
  if (latency->remembers)
    slot = next_slot (r, &forgotten);
  request = (struct latency_request){.op = op,
                                     .fua = r->fua && has_cache (d),
                                     .count = r->io.count,
                                     .offset = r->io.offset,
                                     .arrival = r->io.arrival};
  moment =
      latency_completion (&d->latency, latency, &d->random, &request, slot);
  r->deadline = moment > r->deadline ? moment : r->deadline;
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

/* The wait of a request is over: count the request.  Returns its result. */
static int
complete (struct request *r, uint64_t now)
{
  struct connection *c = r->connection;
  struct devices *devices = c->device->devices;
  const uint64_t started = r->io.arrival;
  int result = r->result;

  lock (&c->lock);
  if (__builtin_expect (request_met_cut (r), 0))
    result = refuse_without_power (r);
  if (__builtin_expect (stats_are_full (&c->counts), 0))
    connection_add_counts (c);
  stats_count (&c->counts, r->io.op, r->io.count, now - started, result);
  if (r->deadline > started && result == 0)
    stats_count_asked (&c->counts, r->io.op, r->deadline - started,
                       now - started);
  c->in_flight--;
  if (__builtin_expect (r->is_out, 0))
    c->out--;
  if (r->version == c->version)
    c->version_users--;
  else {
    lock (&devices->settings_lock);
    settings_version_drop (r->version);
    unlock (&devices->settings_lock);
  }
  unlock (&c->lock);
  if (__builtin_expect (result < 0, 0)) {
    if (result == -ESHUTDOWN)
      device_tell_out (c->device);
    if (r->disconnects)
      drop_client (c->front_end);
  }
  return result;
}

/* The client or the server has gone at NOW.  Give back the slots of lanes and
 * limits that the request would have used later: others need not wait for them.
 */
static void
give_up (struct request *r, uint64_t now)
{
  struct latency_state *latency = &r->connection->device->latency;
  uint32_t i;

  if (r->nr_slots > 0)
    latency_leave (latency, &r->slot, now);
  for (i = 1; i < r->nr_slots; i++)
    latency_leave (latency, &r->more_slots[i - 1], now);
  if (r->result == 0)
    r->result = -ESHUTDOWN;
}

/* The moment of a deferred request has come; see front_end.defer.  For a
 * write that was set aside the caller has reported success, so that any other
 * result has to be returned here.
 */
static int
on_deadline (void *request, uint64_t now, bool over)
{
  struct request *r = request;
  const int promised = r->was_set_aside ? 0 : r->result;
  int result;

  if (__builtin_expect (r->is_listed_early, 0))
    device_forget_early (r);
  if (over)
    give_up (r, now);
  result = complete (r, now);
  if (result < 0 && r->was_set_aside &&
      r->connection->front_end->report != NULL)
    r->connection->front_end->report (r->connection->device, result);
  if (r->disconnects)
    return 1;
  return result != promised ? result : 0;
}

_Static_assert(offsetof (struct request, verdict) <= 256,
               "what front_end.defer takes");

/* Have the front end answer the request at its deadline.  Returns false where
 * the thread has to wait, as for a request to a control export, which may be
 * several of the device's.
 */
static bool
defer (struct request *r)
{
  const struct front_end *front_end = r->connection->front_end;

  return front_end->defer != NULL && r->connection->control == NULL &&
         front_end->defer (r->deadline, r->version->s.spin, on_deadline, r,
                           offsetof (struct request, early),
                           r->io.op == OP_READ ? r->io.count : 0);
}

int
request_end (struct request *r, int result)
{
  struct devices *devices = r->connection->device->devices;
  uint64_t now;

  request_forget_verdict (r);
  r->result = result;
  if (r->deadline == 0)
    return complete (r, clock_now ());
  if (!r->is_out)
    request_go_out (r);
  if (defer (r))
    return result;
  if (waiter_wait (&devices->waiter, r->deadline, r->version->s.spin,
                   &r->connection->front_end->wait, &now) < 0)
    give_up (r, now);
  return complete (r, now);
}

/* May the request, which CHANGES something or reads, be done at all?  Returns 0
 * or the error.
 */
static int
admit_request (const struct request *r, bool changes)
{
  if (request_admit_power (r) < 0)
    return -ESHUTDOWN;
  if (changes && r->version->s.read_only)
    return -EROFS;
  return check_alignment (&r->version->s, r->io.count, r->io.offset);
}

/* Do as prepare, for a device with fault rules. */
static int
prepare_with_faults (struct request *r, enum operation op)
{
  int result;

  request_ask_faults (r);
  set_deadline (r, op);
  result = request_obey_verdict (r);
  if (result == 0 && !request_is_lost (r))
    r->transfer = r->io.count;
  return result;
}

/* A request that was admitted meets fault rules and gets its deadline, as OP
 * has it. Returns 0, or the error that it is to end with.  r->transfer is what
 * is to be moved: all of it, or nothing.
 */
static inline int
prepare (struct request *r, enum operation op)
{
  const struct device *d = r->connection->device;

  if (__builtin_expect (faults_any (&d->faults), 0))
    return prepare_with_faults (r, op);
  set_deadline (r, op);
  r->transfer = r->io.count;
  return 0;
}

int
request_prepare (struct request *r, enum operation op)
{
  return prepare (r, op);
}

/*---------------------------------------------------------------------*/
/* Data */

/* The result of a write that was set aside: on_deadline ends it. */
#define ASIDE 3

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
      r->version->s.spin, try_again, on_deadline, r,
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
  request_go_out (r);
  device_list_early (r);
  return ASIDE;
}

/* A write is ahead of the write pointer.  It is set aside, so that its thread
 * can serve the writes that it waits for.  While there is no room for that, it
 * waits on its thread; the writes that are set aside already go on meanwhile,
 * and make room.  If the write that it waits for is behind it on its
 * connection, it fails when its time is up, and the others go on.
 */
static int
meet_early (struct request *r, const void *buf, bool may_trim)
{
  struct request *copy;
  int result;

  if (!r->version->s.latency.waits) {
    lock (&r->connection->lock);
    count_thread (r->connection);
    unlock (&r->connection->lock);
  }
  r->early.since = 0;
  do {
    request_go_out (r);
    r->was_set_aside = true;
    copy = set_aside (r, buf, may_trim);
    if (copy != NULL) {
      device_list_early (copy);
      return ASIDE;
    }
    r->was_set_aside = false;
    result = request_come_back (r);
    if (result == 0)
      result = device_write_zone (r, buf, may_trim, true);
  } while (result == REQUEST_EARLY);
  return result;
}

static int
write_data (struct request *r, const void *buf, bool may_trim)
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
  return bad < 0 ? bad : result;
}

/* A write that was set aside is tried again; see front_end.set_aside.  Its
 * thread may have to wait for room in the socket before on_deadline is called,
 * or may have a power cut done by another write's turn meanwhile: so when the
 * turn is over the write is out, whether it has a time to wait for or not.
 */
static bool
try_again (void *request, const void *payload, uint64_t *moment)
{
  struct request *r = request;
  int result;

  device_forget_early (r);
  result = request_come_back (r);
  if (result == 0) {
    r->transfer = r->io.count;
    result = write_data (r, r->is_zero ? NULL : payload, r->may_trim);
  }
  if (result == ASIDE) {
    *moment = early_until (r);
    return false;
  }
  r->result = result;
  *moment = r->deadline;
  if (!r->is_out)
    request_go_out (r);
  return true;
}

/* A copy to corrupt: the client's own buffer stays as it is. */
static void *
copy_data (const struct request *r, const void *buf)
{
  void *copy = malloc (r->io.count);

  return copy != NULL ? memcpy (copy, buf, r->io.count) : NULL;
}

static int
write_corrupted (struct request *r, const void *buf)
{
  void *copy = copy_data (r, buf);
  int result;

  if (copy == NULL)
    return -ENOMEM;
  faults_corrupt (&r->verdict, &r->io, copy, r->version->s.block_size);
  result = write_data (r, copy, false);
  free (copy);
  return result;
}

/* Only with its zone does an append know its place. */
static int
append_data (struct request *r, const void *buf)
{
  void *copy = NULL;
  int result;

  if (request_is_corrupted (r)) {
    copy = copy_data (r, buf);
    if (copy == NULL)
      return -ENOMEM;
  }
  result = device_append_zone (r, buf, copy);
  free (copy);
  return result == DURABILITY_CUT ? request_finish_cut (r) : result;
}

/* Without discard=true a trim does nothing, but it still fails at bad blocks.
 */
static int
do_trim (struct request *r)
{
  struct device *d = r->connection->device;
  const bool discard = r->version->s.discard;
  int result = 0, bad;

  if (d->zones != NULL && discard)
    result = zones_check_trim (d->zones, r->io.count, r->io.offset);
  if (result < 0)
    return result;
  bad = meet_badblocks (r);
  if (r->transfer > 0 && discard)
    result = d->zones != NULL
                 ? device_trim_zones (d, r->transfer, r->io.offset, r->fua)
                 : trim_data (d, r->transfer, r->io.offset, r->fua);
  return bad < 0 ? bad : result;
}

/*---------------------------------------------------------------------*/
/* Requests */

/* Does the buffer of a read hold nothing but zeroes already, so that it need
 * not be filled?  Asking is a promise to answer with zeroes.
 */
static bool
buffer_is_still_zero (const struct request *r, const void *buf)
{
  const struct device *d = r->connection->device;
  const struct front_end *front_end = r->connection->front_end;

  return front_end->still_zero != NULL && d->store == NULL &&
         d->zones == NULL && !request_is_corrupted (r) &&
         front_end->still_zero (buf, r->io.count);
}

int
device_read (struct connection *c, void *buf, uint32_t count, uint64_t offset)
{
  struct device *d = c->device;
  struct request request;
  int r;

  request_begin (&request, c, OP_READ, count, offset);
  r = admit_request (&request, false);
  if (r == 0)
    r = prepare (&request, OP_READ);
  if (r == 0 && d->zones != NULL)
    r = device_read_zones (&request, buf);
  else if (r == 0) {
    r = meet_badblocks (&request);
    if (r == 0 && !buffer_is_still_zero (&request, buf))
      read_data (d, buf, count, offset);
  }
  if (r == 0 && request_is_corrupted (&request))
    faults_corrupt (&request.verdict, &request.io, buf,
                    request.version->s.block_size);
  return request_end (&request, r);
}

int
device_write (struct connection *c, const void *buf, uint32_t count,
              uint64_t offset, bool fua)
{
  struct request request;
  int r;

  request_begin (&request, c, OP_WRITE, count, offset);
  request.fua = fua;
  r = admit_request (&request, true);
  if (r == 0)
    r = prepare (&request, OP_WRITE);
  if (request.transfer > 0)
    r = request_is_corrupted (&request) ? write_corrupted (&request, buf)
                                        : write_data (&request, buf, false);
  return r != ASIDE ? request_end (&request, r) : 0;
}

int
device_append (struct connection *c, const void *buf, uint32_t count,
               uint64_t zone_start, bool fua, uint64_t *offset)
{
  struct request request;
  int r;

  request_begin (&request, c, OP_WRITE, count,
                 zones_append_place (c->device->zones, zone_start));
  request.fua = fua;
  r = admit_request (&request, true);
  if (r == 0)
    r = prepare (&request, OP_WRITE);
  if (request.transfer > 0)
    r = append_data (&request, buf);
  *offset = request.io.offset;
  return request_end (&request, r);
}

int
device_zero (struct connection *c, uint32_t count, uint64_t offset,
             bool may_trim, bool fua)
{
  struct request request;
  int r;

  request_begin (&request, c, OP_ZERO, count, offset);
  request.fua = fua;
  r = admit_request (&request, true);
  if (r == 0)
    r = prepare (&request, OP_ZERO);
  if (request.transfer > 0)
    r = write_data (&request, NULL, may_trim);
  return r != ASIDE ? request_end (&request, r) : 0;
}

/* A trim that resets zones takes as long as a reset does. */
int
device_trim (struct connection *c, uint32_t count, uint64_t offset, bool fua)
{
  struct device *d = c->device;
  const struct settings *s;
  struct request request;
  bool resets;
  int r;

  s = request_begin (&request, c, OP_TRIM, count, offset);
  request.fua = fua;
  r = admit_request (&request, true);
  if (r == 0) {
    resets = d->zones != NULL && s->discard &&
             zones_trim_would_reset (d->zones, count, offset);
    r = prepare (&request, resets ? OP_ZONE : OP_TRIM);
  }
  if (request.transfer > 0)
    r = do_trim (&request);
  return request_end (&request, r);
}

int
device_flush (struct connection *c)
{
  struct request request;
  int r;

  request_begin (&request, c, OP_FLUSH, 0, 0);
  r = request_admit_power (&request);
  if (r == 0)
    r = prepare (&request, OP_FLUSH);
  if (r == 0 && !request_is_lost (&request))
    r = flush_data (c->device);
  return request_end (&request, r);
}
