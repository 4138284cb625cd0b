/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The path of a request through a device; see device.h.  A request begins, is
 * admitted, meets fault rules, and is given its price; the rules of its zone
 * and bad blocks may stop it; its data moves, and it ends: it waits for what is
 * left of its time, and is counted.
 */

#include <config.h>

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "device-internal.h"

/* The settings have changed.  A connection counts its requests of the set that
 * it has by itself, and as one user of the set; those that are still in service
 * become users by themselves.  c->lock is held.
 */
static void
renew_set (struct connection *c)
{
  struct devices *devices = c->device->devices;

  lock (&devices->settings_lock);
  c->set->users += c->set_users;
  settings_set_drop (c->set);
  c->set = atomic_load (&c->device->set);
  c->set->users++;
  c->set_users = 0;
  unlock (&devices->settings_lock);
}

/* A thread serves one connection for as long as it lives, but in tests. */
static _Thread_local uint64_t works_for;

/* c->lock is held. */
static void
count_worker (struct connection *c)
{
  const uint32_t depth = c->ops->depth;

  if (depth != 0)
    c->workers = c->workers_most = depth;
  else if (works_for != c->number) {
    works_for = c->number;
    if (++c->workers > c->workers_most)
      c->workers_most = c->workers;
  }
  c->saturated += c->depth == c->workers;
}

static uint64_t
arrival (const struct connection_ops *ops)
{
  uint64_t r = 0;

  if (ops->arrival != NULL &&
      atomic_load_explicit (&ops->is_timed, memory_order_relaxed))
    r = ops->arrival ();
  return r != 0 ? r : clock_now ();
}

const struct settings *
request_begin (struct request *r, struct connection *c, enum operation op,
               uint32_t count, uint64_t offset)
{
  r->connection = c;
  r->what.op = op;
  r->what.count = count;
  r->what.offset = offset;
  r->what.arrival = arrival (c->ops);
  r->transfer = 0;
  r->nr_slots = 0;
  r->fua = false;
  r->is_judged = false;
  r->disconnects = false;
  r->is_out = false;
  r->deadline = 0;
  lock (&c->lock);
  /* Nobody gets in while power is off. */
  r->epoch = durability_epoch (c->device->durability);
  if (__builtin_expect (r->epoch & 1, 0)) {
    r->epoch--;
    r->is_out = true;
    c->out++;
  }
  /* Only whose turn it is to be freed matters, and settings_lock sees to it. */
  if (atomic_load_explicit (&c->device->set, memory_order_relaxed) != c->set)
    renew_set (c);
  r->set = c->set;
  c->set_users++;
  c->depth++;
  if (c->depth > c->depth_most)
    c->depth_most = c->depth;
  if (r->set->s.latency.waits)
    count_worker (c);
  unlock (&c->lock);
  return &r->set->s;
}

static bool
has_cache (const struct device *d)
{
  return d->store != NULL && d->devices->settings.cache_size > 0;
}

/* Where a price puts what it takes of lanes and limits.  What several parts
 * take is forgotten where there is no memory, and stays taken.
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

/* When is it to complete?  Only what was admitted has a price, that of OP.
 * What has several parts completes when the last of them does.
 */
static void
price (struct request *r, enum operation op)
{
  const struct latency_settings *latency = &r->set->s.latency;
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
                                     .count = r->what.count,
                                     .offset = r->what.offset,
                                     .arrival = r->what.arrival};
  moment = latency_price (&d->latency, latency, &d->random, &request, slot);
  r->deadline = moment > r->deadline ? moment : r->deadline;
}

/* Who controls the device goes on. */
static int
refuse_without_power (struct request *r)
{
  if (r->connection->user == NULL)
    r->disconnects |= r->set->s.power_cut == POWER_CUT_DISCONNECT;
  return -ESHUTDOWN;
}

/* The wait is over: count it.  Returns what it ends with. */
static int
finish (struct request *r, uint64_t now)
{
  struct connection *c = r->connection;
  struct devices *devices = c->device->devices;
  const uint64_t started = r->what.arrival;
  int result = r->result;

  lock (&c->lock);
  if (__builtin_expect (request_met_cut (r), 0))
    result = refuse_without_power (r);
  if (__builtin_expect (stats_are_full (&c->counts), 0))
    connection_add_counts (c);
  stats_count (&c->counts, r->what.op, r->what.count, now - started, result);
  if (r->deadline > started && result == 0)
    stats_count_asked (&c->counts, r->what.op, r->deadline - started,
                       now - started);
  c->depth--;
  if (__builtin_expect (r->is_out, 0))
    c->out--;
  if (r->set == c->set)
    c->set_users--;
  else {
    lock (&devices->settings_lock);
    settings_set_drop (r->set);
    unlock (&devices->settings_lock);
  }
  unlock (&c->lock);
  if (__builtin_expect (result < 0, 0)) {
    if (result == -ESHUTDOWN)
      device_tell_out (c->device);
    if (r->disconnects)
      drop_client (c->ops);
  }
  return result;
}

/* There is nobody left to wait for at NOW.  What others would still have to
 * wait for, since lanes and limits have served it on paper, is given back.
 */
static void
abort_wait (struct request *r, uint64_t now)
{
  struct latency *latency = &r->connection->device->latency;
  uint32_t i;

  if (r->nr_slots > 0)
    latency_leave (latency, &r->slot, now);
  for (i = 1; i < r->nr_slots; i++)
    latency_leave (latency, &r->more_slots[i - 1], now);
  if (r->result == 0)
    r->result = -ESHUTDOWN;
}

/* Of a request that was deferred, for connection_ops.defer. */
static int
due (void *request, uint64_t now, bool over)
{
  struct request *r = request;
  const int promised = r->result;
  int result;

  if (over)
    abort_wait (r, now);
  result = finish (r, now);
  if (r->disconnects)
    return 1;
  return result != promised ? result : 0;
}

_Static_assert(offsetof (struct request, verdict) <= 256,
               "what connection_ops.defer takes");

/* A control export's request may be several of the device's: its thread waits.
 */
static bool
defer (struct request *r)
{
  const struct connection_ops *ops = r->connection->ops;

  return ops->defer != NULL && r->connection->user == NULL &&
         ops->defer (r->deadline, r->set->s.spin, due, r,
                     offsetof (struct request, verdict),
                     r->what.op == OP_READ ? r->what.count : 0);
}

int
request_end (struct request *r, int result)
{
  struct devices *devices = r->connection->device->devices;
  uint64_t now;

  request_forget_verdict (r);
  r->result = result;
  if (r->deadline == 0)
    return finish (r, clock_now ());
  if (!r->is_out)
    request_leave (r);
  if (defer (r))
    return result;
  if (waiter_wait (&devices->waiter, r->deadline, r->set->s.spin,
                   &r->connection->ops->nap, &now) < 0)
    abort_wait (r, now);
  return finish (r, now);
}

/* A change, or else a read. */
static int
admit_request (const struct request *r, bool changes)
{
  if (request_admit_power (r) < 0)
    return -ESHUTDOWN;
  if (changes && r->set->s.read_only)
    return -EROFS;
  return check_alignment (&r->set->s, r->what.count, r->what.offset);
}

/* The same as prepare where there are any. */
static int
prepare_with_faults (struct request *r, enum operation op)
{
  int result;

  request_ask_faults (r);
  price (r, op);
  result = request_obey_verdict (r);
  if (result == 0 && !request_is_lost (r))
    r->transfer = r->what.count;
  return result;
}

/* A request that was admitted meets fault rules and gets its price, that of OP.
 * Returns 0, or the error that it is to end with.  r->transfer is what is to be
 * moved: all of it, or nothing.
 */
static inline int
prepare (struct request *r, enum operation op)
{
  const struct device *d = r->connection->device;

  if (__builtin_expect (faults_any (&d->faults), 0))
    return prepare_with_faults (r, op);
  price (r, op);
  r->transfer = r->what.count;
  return 0;
}

int
request_prepare (struct request *r, enum operation op)
{
  return prepare (r, op);
}

/*---------------------------------------------------------------------*/
/* Data */

static int
write_data (struct request *r, const void *buf, bool may_trim)
{
  struct device *d = r->connection->device;
  int result, bad = 0;

  result = d->zones != NULL ? device_write_zone (r, buf, may_trim)
                            : change_good_data (r, buf, may_trim, &bad);
  if (result == 1) {
    request_finish_cut (r);
    return -ESHUTDOWN;
  }
  return bad < 0 ? bad : result;
}

/* The client's own buffer stays as it is. */
static int
write_corrupted (struct request *r, const void *buf)
{
  void *copy = malloc (r->what.count);
  int result;

  if (copy == NULL)
    return -ENOMEM;
  memcpy (copy, buf, r->what.count);
  faults_corrupt (&r->verdict, &r->what, copy, r->set->s.block_size);
  result = write_data (r, copy, false);
  free (copy);
  return result;
}

/* Without discard=true it stops at bad blocks, too. */
static int
do_trim (struct request *r)
{
  struct device *d = r->connection->device;
  const bool discard = r->set->s.discard;
  int result = 0, bad;

  if (d->zones != NULL && discard)
    result = zones_check_trim (d->zones, r->what.count, r->what.offset);
  if (result < 0)
    return result;
  bad = meet_badblocks (r);
  if (r->transfer > 0 && discard)
    result = d->zones != NULL
                 ? device_trim_zones (d, r->transfer, r->what.offset, r->fua)
                 : trim_data (d, r->transfer, r->what.offset, r->fua);
  return bad < 0 ? bad : result;
}

/*---------------------------------------------------------------------*/
/* Requests */

/* Need the buffer of a read not be filled?  Asking is a promise to answer with
 * zeroes.
 */
static bool
is_filled (const struct request *r, const void *buf)
{
  const struct device *d = r->connection->device;
  const struct connection_ops *ops = r->connection->ops;

  return ops->still_zero != NULL && d->store == NULL && d->zones == NULL &&
         !request_is_corrupted (r) && ops->still_zero (buf, r->what.count);
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
    if (r == 0 && !is_filled (&request, buf))
      read_data (d, buf, count, offset);
  }
  if (r == 0 && request_is_corrupted (&request))
    faults_corrupt (&request.verdict, &request.what, buf,
                    request.set->s.block_size);
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
  return request_end (&request, r);
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
             zones_resets (d->zones, count, offset);
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
