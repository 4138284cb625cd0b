/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The devices of a server and the path of a request through one; see
 * device.h.  A request begins, is admitted, meets bad blocks and faults, and is
 * given its price; its data moves, and it ends: it waits for what is left of
 * its time, and is counted.
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "device.h"
#include "size.h"

static void
lock (pthread_mutex_t *mutex)
{
  int r = pthread_mutex_lock (mutex);

  assert (r == 0);
  (void) r;
}

static void
unlock (pthread_mutex_t *mutex)
{
  int r = pthread_mutex_unlock (mutex);

  assert (r == 0);
  (void) r;
}

/*---------------------------------------------------------------------*/
/* Settings */

struct settings_set *
settings_set_new (const struct settings *s)
{
  struct settings_set *set = malloc (sizeof *set);

  if (set != NULL) {
    set->s = *s;
    settings_ref (&set->s);
    set->users = 0;
  }
  return set;
}

void
settings_set_free (struct settings_set *set)
{
  settings_unref (&set->s);
  free (set);
}

/* devices.settings_lock is held, or nobody else is there. */
static void
drop_set (struct settings_set *set)
{
  if (--set->users == 0)
    settings_set_free (set);
}

void
device_install (struct device *d, struct settings_set *set)
{
  struct settings_set *old;

  set->users = 1;
  lock (&d->devices->settings_lock);
  old = atomic_exchange (&d->set, set);
  drop_set (old);
  unlock (&d->devices->settings_lock);
}

void
device_settings (struct device *d, struct settings *s)
{
  lock (&d->devices->settings_lock);
  *s = atomic_load (&d->set)->s;
  settings_ref (s);
  unlock (&d->devices->settings_lock);
}

bool
device_is_read_only (struct device *d)
{
  bool r;

  lock (&d->devices->settings_lock);
  r = atomic_load (&d->set)->s.read_only;
  unlock (&d->devices->settings_lock);
  return r;
}

bool
device_can_discard (struct device *d)
{
  bool r;

  lock (&d->devices->settings_lock);
  r = atomic_load (&d->set)->s.discard;
  unlock (&d->devices->settings_lock);
  return r;
}

static void
look_for_waits (void *opaque, const struct fault_info *info)
{
  *(bool *) opaque |= info->waits;
}

bool
device_waits (struct device *d)
{
  bool r;

  lock (&d->devices->settings_lock);
  r = atomic_load (&d->set)->s.latency.waits;
  unlock (&d->devices->settings_lock);
  faults_each (&d->faults, look_for_waits, &r);
  return r;
}

void
device_seed (struct device *d)
{
  lock (&d->devices->settings_lock);
  random_init (&d->random, atomic_load (&d->set)->s.seed, d->number);
  faults_seed (&d->faults, atomic_load (&d->set)->s.seed);
  unlock (&d->devices->settings_lock);
}

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
  drop_set (c->set);
  c->set = atomic_load (&c->device->set);
  c->set->users++;
  c->set_users = 0;
  unlock (&devices->settings_lock);
}

/*---------------------------------------------------------------------*/
/* The path of a request */

struct request {
  struct connection *connection;
  struct settings_set *set;
  struct fault_request what; /* as faults see it */
  uint64_t deadline;         /* 0: it has no price */
  uint32_t epoch;            /* durability_epoch when it began */
  bool fua;

  uint32_t transfer; /* bytes that move: all, some, or none */

  bool is_judged; /* by fault rules; then verdict is what they say */
  struct fault_verdict verdict;
  bool disconnects; /* the client, instead of an answer */
};

/* A thread serves one connection for as long as it lives, but in tests. */
static _Thread_local uint64_t works_for;

/* c->lock is held. */
static void
count_worker (struct connection *c)
{
  if (works_for != c->number) {
    works_for = c->number;
    if (++c->workers > c->workers_most)
      c->workers_most = c->workers;
  }
  c->saturated += c->depth == c->workers;
}

static const struct settings *
begin (struct request *r, struct connection *c, enum operation op,
       uint32_t count, uint64_t offset)
{
  r->connection = c;
  r->what.op = op;
  r->what.count = count;
  r->what.offset = offset;
  r->what.arrival = clock_now ();
  r->deadline = 0;
  r->epoch = durability_epoch (c->device->durability);
  r->fua = false;
  r->transfer = 0;
  r->is_judged = false;
  r->disconnects = false;
  lock (&c->lock);
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

/* When is it to complete?  Only what was admitted has a price, that of OP.
 * What has several parts completes when the last of them does.
 */
static void
price (struct request *r, enum operation op)
{
  const struct latency_settings *latency = &r->set->s.latency;
  struct device *d = r->connection->device;
  const struct latency_request request = {.op = op,
                                          .fua = r->fua && has_cache (d),
                                          .count = r->what.count,
                                          .offset = r->what.offset,
                                          .arrival = r->what.arrival};
  uint64_t moment;

  if (latency->waits) {
    moment = latency_price (&d->latency, latency, &d->random, &request);
    r->deadline = moment > r->deadline ? moment : r->deadline;
  }
}

/* Returns 0, or -ESHUTDOWN when there is nobody left to wait for.  What others
 * would still have to wait for then, since limits have let it through on paper,
 * is given back.
 */
static int
wait_for_deadline (const struct request *r, uint64_t *now)
{
  struct device *d = r->connection->device;
  const uint64_t spin = r->set->s.spin;
  int err;

  err = waiter_wait (&d->devices->waiter, r->deadline,
                     spin == SPIN_IS_AUTO ? SPIN_AUTO : spin, &d->devices->nap,
                     now);
  if (err < 0)
    latency_give_back (&d->latency, &r->set->s.latency, r->what.op,
                       r->what.count);
  return err;
}

static void
forget_verdict (struct request *r)
{
  if (__builtin_expect (r->is_judged, 0))
    faults_done (&r->verdict);
  r->is_judged = false;
}

static int
end (struct request *r, int result)
{
  struct connection *c = r->connection;
  struct devices *devices = c->device->devices;
  const uint64_t started = r->what.arrival;
  uint64_t now;
  int aborted = 0;

  forget_verdict (r);

  if (r->deadline == 0)
    now = clock_now ();
  else
    aborted = wait_for_deadline (r, &now);
  if (result == 0)
    result = aborted;
  if (durability_epoch (c->device->durability) != r->epoch)
    result = -ESHUTDOWN;

  lock (&c->lock);
  stats_count (&c->stats, r->what.op, r->what.count, now - started, result);
  if (r->deadline > started && result == 0)
    stats_count_asked (&c->stats, r->what.op, r->deadline - started,
                       now - started);
  c->depth--;
  if (r->set == c->set)
    c->set_users--;
  else {
    lock (&devices->settings_lock);
    drop_set (r->set);
    unlock (&devices->settings_lock);
  }
  unlock (&c->lock);
  if (__builtin_expect (r->disconnects, 0) && devices->disconnect != NULL)
    devices->disconnect ();
  return result;
}

/* Is the power on? */
static int
admit_power (const struct request *r)
{
  return (r->epoch & 1) != 0 ? -ESHUTDOWN : 0;
}

static int
admit (const struct settings *s, uint32_t count, uint64_t offset)
{
  if (((offset | count) & (s->block_size - 1)) != 0)
    return -EINVAL;
  return 0;
}

/* A change, or else a read. */
static int
admit_request (const struct request *r, bool changes)
{
  if (admit_power (r) < 0)
    return -ESHUTDOWN;
  if (changes && r->set->s.read_only)
    return -EROFS;
  return admit (&r->set->s, r->what.count, r->what.offset);
}

/*---------------------------------------------------------------------*/
/* Bad blocks and fault rules */

/* What lies before the first bad block may still be transferred. */
static int
check_badblocks (struct request *r)
{
  struct device *d = r->connection->device;
  const struct settings *s = &r->set->s;
  uint64_t bad;

  if (!badblocks_concern (r->what.op) ||
      badblocks_check (&d->badblocks, r->what.offset, r->what.count,
                       s->badblocks_once, &bad) == 0)
    return 0;
  if (s->badblocks_partial_io)
    r->transfer = badblocks_transfer (r->what.offset, bad, s->block_size);
  return -EIO;
}

static void
ask_faults (struct request *r)
{
  struct device *d = r->connection->device;

  r->what.zone_size = d->zones != NULL ? r->set->s.zones.zone_size : 0;
  faults_judge (&d->faults, &r->what, &r->verdict);
  r->is_judged = true;
  r->disconnects |= r->verdict.disconnect;
}

/* Returns 0, or the error that the request is to end with. */
static int
obey_verdict (struct request *r)
{
  const struct fault_verdict *v = &r->verdict;
  int result = 0;

  if (v->delay > 0)
    r->deadline = (r->deadline != 0 ? r->deadline : r->what.arrival) + v->delay;
  if (v->hangs)
    result = faults_hang (v, &r->connection->device->devices->nap);
  return result < 0 ? result : v->error;
}

/* Is it to be acknowledged, and not done? */
static bool
is_lost (const struct request *r)
{
  return r->is_judged && r->verdict.lose;
}

static bool
is_corrupted (const struct request *r)
{
  return r->is_judged && r->verdict.corrupts;
}

/* A request that was admitted meets bad blocks and faults and gets its price,
 * that of OP.  Returns 0, or the error that it is to end with; r->transfer
 * bytes are to be moved in either case.
 */
static int
prepare (struct request *r, enum operation op)
{
  struct device *d = r->connection->device;
  int result = 0;

  if (__builtin_expect (badblocks_any (&d->badblocks), 0))
    result = check_badblocks (r);
  if (__builtin_expect (faults_any (&d->faults), 0) && result == 0)
    ask_faults (r);
  price (r, op);
  if (__builtin_expect (r->is_judged, 0))
    result = obey_verdict (r);
  if (result == 0 && !is_lost (r))
    r->transfer = r->what.count;
  return result;
}

/*---------------------------------------------------------------------*/
/* Data, with its zone locked where there are zones */

/* Every byte must be set: the buffer holds what an earlier request left. */
static void
read_data (struct device *d, void *buf, uint64_t count, uint64_t offset)
{
  if (d->store != NULL)
    store_read (d->store, d->number, buf, count, offset);
  else
    memset (buf, 0, count);
}

static int
read_zones (struct device *d, char *buf, uint32_t count, uint64_t offset)
{
  struct zone_read part;
  int r;

  r = zones_begin_read (d->zones, &part, count, offset);
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

/* Write r->transfer bytes of BUF, or zeroes where it is NULL.  The zone is
 * asked for all of the request.  What power has been cut at may be there.
 */
static int
write_data (struct request *request, const void *buf, bool may_trim)
{
  struct device *d = request->connection->device;
  const uint32_t count = request->transfer;
  const uint64_t offset = request->what.offset;
  struct zone_write zone;
  int r = 0;

  if (d->zones != NULL)
    r = zones_begin_write (d->zones, &zone, request->what.count, offset,
                           &d->devices->nap);
  if (r < 0)
    return r;
  if (buf != NULL)
    r = durability_write (d->durability, buf, count, offset, request->fua);
  else
    r = durability_zero (d->durability, count, offset, request->fua,
                         may_trim && request->set->s.discard);
  if (r == -ENOSPC)
    atomic_store_explicit (&d->is_short, true, memory_order_relaxed);
  if (d->zones != NULL)
    zones_end_write (&zone, r >= 0 ? count : 0);
  return r == 1 ? -ESHUTDOWN : r;
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

/* Resets are durable at once.  With FUA, so is what is conventional. */
static int
trim_zones (struct device *d, uint32_t count, uint64_t offset, bool fua)
{
  int r = zones_trim (d->zones, count, offset);

  if (r == 0 && fua)
    r = durability_flush (d->durability);
  return r;
}

static int
trim_data (struct request *r)
{
  struct device *d = r->connection->device;

  if (d->zones != NULL)
    return trim_zones (d, r->transfer, r->what.offset, r->fua);
  return durability_trim (d->durability, r->transfer, r->what.offset, r->fua);
}

/*---------------------------------------------------------------------*/
/* Requests */

int
device_read (struct connection *c, void *buf, uint32_t count, uint64_t offset)
{
  struct device *d = c->device;
  struct request request;
  int r;

  begin (&request, c, OP_READ, count, offset);
  r = admit_request (&request, false);
  if (r == 0)
    r = prepare (&request, OP_READ);
  if (r == 0) {
    if (d->zones != NULL)
      r = read_zones (d, buf, count, offset);
    else
      read_data (d, buf, count, offset);
    if (r == 0 && is_corrupted (&request))
      faults_corrupt (&request.verdict, &request.what, buf,
                      request.set->s.block_size);
  }
  return end (&request, r);
}

/* Of two results, the first that is an error. */
static int
first_error (int a, int b)
{
  return a < 0 ? a : b;
}

int
device_write (struct connection *c, const void *buf, uint32_t count,
              uint64_t offset, bool fua)
{
  struct request request;
  int r;

  begin (&request, c, OP_WRITE, count, offset);
  request.fua = fua;
  r = admit_request (&request, true);
  if (r == 0)
    r = prepare (&request, OP_WRITE);
  if (request.transfer > 0)
    r = first_error (r, is_corrupted (&request)
                            ? write_corrupted (&request, buf)
                            : write_data (&request, buf, false));
  return end (&request, r);
}

int
device_zero (struct connection *c, uint32_t count, uint64_t offset,
             bool may_trim, bool fua)
{
  struct request request;
  int r;

  begin (&request, c, OP_ZERO, count, offset);
  request.fua = fua;
  r = admit_request (&request, true);
  if (r == 0)
    r = prepare (&request, OP_ZERO);
  if (request.transfer > 0)
    r = first_error (r, write_data (&request, NULL, may_trim));
  return end (&request, r);
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

  s = begin (&request, c, OP_TRIM, count, offset);
  request.fua = fua;
  r = admit_request (&request, true);
  if (r == 0) {
    resets = d->zones != NULL && s->discard &&
             zones_resets (d->zones, count, offset);
    r = prepare (&request, resets ? OP_ZONE : OP_TRIM);
  }
  if (request.transfer > 0 && s->discard)
    r = first_error (r, trim_data (&request));
  return end (&request, r);
}

/* One of the commands of a request.  For faults its place is its zone. */
static int
command_zone (struct request *request, uint64_t zone, enum zone_cond cond)
{
  struct device *d = request->connection->device;
  const struct settings *s = &request->set->s;
  int r;

  request->what.offset = zone * s->zones.zone_size;
  request->what.count = s->size - request->what.offset;
  if (request->what.count > s->zones.zone_size)
    request->what.count = s->zones.zone_size;
  r = prepare (request, OP_ZONE);
  if (r == 0 && !is_lost (request))
    r = zones_command (d->zones, zone, cond);
  forget_verdict (request);
  request->what.count = 0;
  return r;
}

int
device_zone_commands (struct connection *c, uint64_t first,
                      const struct zone_descriptor *descriptors, uint64_t n,
                      uint64_t *done)
{
  const struct settings *s;
  struct request request;
  int r;

  *done = 0;
  s = begin (&request, c, OP_ZONE, 0, 0);
  r = admit_power (&request);
  if (r == 0 && s->read_only)
    r = -EROFS;
  while (r == 0 && *done < n) {
    r = command_zone (&request, first + *done, descriptors[*done].cond);
    *done += r == 0;
  }
  return end (&request, r);
}

/* For faults it touches all of the device. */
int
device_reset_zones (struct connection *c)
{
  const struct settings *s;
  struct request request;
  int r;

  s = begin (&request, c, OP_ZONE, 0, 0);
  r = admit_power (&request);
  if (r == 0 && s->read_only)
    r = -EROFS;
  if (r == 0) {
    request.what.count = s->size;
    r = prepare (&request, OP_ZONE);
    if (r == 0 && !is_lost (&request))
      zones_reset_all (c->device->zones);
    request.what.count = 0;
  }
  return end (&request, r);
}

int
device_flush (struct connection *c)
{
  struct request request;
  int r;

  begin (&request, c, OP_FLUSH, 0, 0);
  r = admit_power (&request);
  if (r == 0)
    r = prepare (&request, OP_FLUSH);
  if (r == 0 && !is_lost (&request))
    r = durability_flush (c->device->durability);
  return end (&request, r);
}

/* Not counted, and as the settings were at the start. */
static int
admit_question (struct device *d, uint32_t count, uint64_t offset)
{
  if ((durability_epoch (d->durability) & 1) != 0)
    return -ESHUTDOWN;
  return admit (&d->devices->settings, count, offset);
}

int
device_cache (struct connection *c, uint32_t count, uint64_t offset)
{
  return admit_question (c->device, count, offset);
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

  r = admit_question (d, count, offset);
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

/*---------------------------------------------------------------------*/
/* Connections */

/* NR of them, all zero, each at the beginning of a cache line. */
static void *
new_aligned (size_t nr, size_t size)
{
  void *r = aligned_alloc (64, nr * size);

  if (r != NULL)
    memset (r, 0, nr * size);
  return r;
}

static struct connection *
new_connection (struct device *d)
{
  struct connection *c;

  c = new_aligned (1, sizeof *c);
  if (c == NULL)
    return NULL;
  pthread_mutex_init (&c->lock, NULL);
  c->device = d;
  lock (&d->devices->settings_lock);
  c->set = atomic_load (&d->set);
  c->set->users++;
  unlock (&d->devices->settings_lock);
  c->next = d->connections;
  d->connections = c;
  return c;
}

struct connection *
device_connect (struct device *d, struct control *control)
{
  struct connection *c;

  lock (&d->devices->lock);
  for (c = d->connections; c != NULL && c->open; c = c->next)
    ;
  if (c == NULL)
    c = new_connection (d);
  if (c != NULL) {
    c->open = true;
    c->control = control;
    lock (&c->lock);
    c->number = ++d->devices->connected;
    c->workers = 0;
    unlock (&c->lock);
  }
  unlock (&d->devices->lock);
  return c;
}

void
device_disconnect (struct connection *c)
{
  struct devices *devices = c->device->devices;

  lock (&devices->lock);
  if (c->control != NULL)
    control_destroy (c->control);
  c->control = NULL;
  c->open = false;
  unlock (&devices->lock);
}

static void
destroy_connections (struct device *d)
{
  struct connection *c;

  while ((c = d->connections) != NULL) {
    d->connections = c->next;
    if (c->control != NULL)
      control_destroy (c->control);
    drop_set (c->set);
    pthread_mutex_destroy (&c->lock);
    free (c);
  }
}

void
device_stats (struct device *d, struct device_stats *sum)
{
  struct connection *c;

  memset (sum, 0, sizeof *sum);
  for (c = d->connections; c != NULL; c = c->next) {
    sum->connections += c->open && c->control == NULL;
    lock (&c->lock);
    stats_add (&sum->stats, &c->stats);
    sum->depth += c->depth;
    if (c->depth_most > sum->depth_most)
      sum->depth_most = c->depth_most;
    if (c->workers_most > sum->workers)
      sum->workers = c->workers_most;
    sum->saturated += c->saturated;
    unlock (&c->lock);
  }
}

void
device_reset_stats (struct device *d)
{
  struct connection *c;

  d->counting_since = clock_now ();
  faults_reset_counters (&d->faults);
  for (c = d->connections; c != NULL; c = c->next) {
    lock (&c->lock);
    memset (&c->stats, 0, sizeof c->stats);
    c->depth_most = c->depth;
    c->workers_most = c->workers;
    c->saturated = 0;
    unlock (&c->lock);
  }
}

/*---------------------------------------------------------------------*/
/* Power */

/* The same for the same settings, and another one for each cut. */
static struct power_cut
how_to_cut (struct device *d, enum lose lose, uint64_t seed)
{
  struct power_cut cut = {.lose = lose, .seed = seed};
  struct durability_status status;
  struct settings s;

  if (seed == 0) {
    durability_status (d->durability, &status);
    device_settings (d, &s);
    cut.seed = random_mix (s.seed + random_mix (d->number)) + status.cuts;
    settings_unref (&s);
  }
  return cut;
}

void
device_cut_power (struct device *d, enum lose lose, uint64_t seed)
{
  const struct power_cut cut = how_to_cut (d, lose, seed);

  durability_cut (d->durability, &cut);
}

void
device_cut_power_after (struct device *d, uint64_t n, enum lose lose,
                        uint64_t seed)
{
  const struct power_cut cut = how_to_cut (d, lose, seed);

  durability_cut_after (d->durability, n, &cut);
}

/* Write pointers go back before anybody can see that they have not. */
void
device_power_on (struct device *d)
{
  const struct zone_settings *zones = &d->devices->settings.zones;
  const uint64_t n = d->zones != NULL ? zones_number (d->zones) : 0;
  uint64_t zone, lost;

  if ((durability_epoch (d->durability) & 1) == 0)
    return;
  for (zone = zones->nr_conv; zone < n; zone++) {
    lost = durability_zone_lost (d->durability, zone * zones->zone_size);
    if (lost != UINT64_MAX)
      zones_fall_back (d->zones, lost);
  }
  durability_on (d->durability);
}

/*---------------------------------------------------------------------*/
/* The devices of a server */

static int
create_store (struct devices *devices)
{
  const struct settings *s = &devices->settings;
  const struct arena_options options = {
      .limit = s->memory_limit,
      .most = devices->memory,
      .volumes = s->devices,
      .volume_size = s->size,
      .hugepages = s->hugepages,
      .kernel_page = sysconf (_SC_PAGESIZE),
  };

  return store_create (&devices->store, &options);
}

/* What is sequential is a zone that is reset.  One that comes when the power is
 * gone already is done all the same: its zone is empty.
 */
static void
discard (void *opaque, uint64_t count, uint64_t offset)
{
  const struct device *d = opaque;
  const struct zone_settings *zones = &d->devices->settings.zones;

  if (offset < zones->nr_conv * zones->zone_size)
    durability_trim (d->durability, count, offset, false);
  else if (durability_reset_zone (d->durability, offset) < 0)
    store_trim (d->store, d->number, count, offset);
}

static int
create_zones (struct device *d)
{
  const struct settings *s = &d->devices->settings;
  const struct zone_data data = {
      .discard = d->store != NULL ? discard : NULL,
      .opaque = d,
  };

  if (!s->zones.zoned)
    return 0;
  return zones_create (&d->zones, &s->zones, s->size, &data);
}

static int
create_durability (struct device *d)
{
  const struct settings *s = &d->devices->settings;
  struct durability_options o = {
      .store = d->store,
      .volume = d->number,
      .block_size = s->block_size,
      .cache_size = s->cache_size,
  };

  if (d->zones != NULL) {
    o.zones_start = s->zones.nr_conv * s->zones.zone_size;
    o.zone_size = s->zones.zone_size;
    o.nr_zones = zones_number (d->zones) - s->zones.nr_conv;
  }
  return durability_create (&d->durability, &o);
}

/* What owns locks or memory, but for zones. */
static int
create_parts (struct device *d, struct devices *devices)
{
  struct settings_set *set;

  if (latency_init (&d->latency, devices->started) < 0)
    return -ENOMEM;
  if (badblocks_init (&d->badblocks) < 0)
    goto no_badblocks;
  if (faults_init (&d->faults, devices->settings.seed, d->number) < 0)
    goto no_faults;
  set = settings_set_new (&devices->settings);
  if (set == NULL)
    goto no_set;
  set->users = 1;
  atomic_init (&d->set, set);
  return 0;

no_set:
  faults_destroy (&d->faults);
no_faults:
  badblocks_destroy (&d->badblocks);
no_badblocks:
  latency_destroy (&d->latency);
  return -ENOMEM;
}

static int
create_device (struct devices *devices)
{
  struct device *d = &devices->device[devices->count];
  int r;

  d->number = devices->count;
  d->devices = devices;
  d->store = devices->store;
  d->counting_since = devices->started;
  random_init (&d->random, devices->settings.seed, d->number);
  snprintf (d->name, sizeof d->name, "nullb%u", d->number);
  if (create_parts (d, devices) < 0)
    return -ENOMEM;
  devices->count++;
  r = create_zones (d);
  return r == 0 ? create_durability (d) : r;
}

int
devices_create (struct devices **r_devices, const struct settings *settings,
                uint64_t memory, uint64_t unit, const struct nap *nap)
{
  struct devices *devices;
  int r = 0;

  devices = new_aligned (1, sizeof *devices);
  if (devices == NULL)
    return -ENOMEM;
  waiter_init (&devices->waiter, clock_cpus ());
  devices->nap = *nap;
  pthread_mutex_init (&devices->change_lock, NULL);
  pthread_mutex_init (&devices->lock, NULL);
  pthread_mutex_init (&devices->settings_lock, NULL);
  devices->settings = *settings;
  settings_ref (&devices->settings);
  devices->memory = memory;
  devices->unit = unit;
  devices->started = clock_now ();
  devices->device = new_aligned (settings->devices, sizeof *devices->device);
  if (devices->device == NULL)
    r = -ENOMEM;
  if (r == 0 && settings->memory_backed)
    r = create_store (devices);
  while (r == 0 && devices->count < settings->devices)
    r = create_device (devices);
  if (r < 0)
    devices_destroy (devices);
  else
    *r_devices = devices;
  return r;
}

void
devices_destroy (struct devices *devices)
{
  uint32_t i;

  for (i = 0; i < devices->count; i++) {
    destroy_connections (&devices->device[i]);
    drop_set (atomic_load (&devices->device[i].set));
    faults_destroy (&devices->device[i].faults);
    badblocks_destroy (&devices->device[i].badblocks);
    latency_destroy (&devices->device[i].latency);
    if (devices->device[i].durability != NULL)
      durability_destroy (devices->device[i].durability);
    if (devices->device[i].zones != NULL)
      zones_destroy (devices->device[i].zones);
  }
  settings_unref (&devices->settings);
  if (devices->store != NULL)
    store_destroy (devices->store);
  pthread_mutex_destroy (&devices->settings_lock);
  pthread_mutex_destroy (&devices->lock);
  pthread_mutex_destroy (&devices->change_lock);
  free (devices->device);
  free (devices);
}

int
devices_check_faults (const struct devices *devices, const struct fault *chain,
                      struct message *why)
{
  const struct fault *fault;
  uint32_t i;

  for (fault = chain; fault != NULL; fault = fault_next (fault)) {
    for (i = 0; i < devices->count && !fault_is_for (fault, i); i++)
      ;
    if (i == devices->count) {
      message_set (why, "fault=%.80s: there are nullb0 to nullb%" PRIu32,
                   fault_text (fault), devices->count - 1);
      return -EINVAL;
    }
    if (fault_disconnects (fault) && devices->disconnect == NULL) {
      message_set (why,
                   "fault=%.80s: this nbdkit cannot disconnect clients; 1.34 "
                   "and later can",
                   fault_text (fault));
      return -EINVAL;
    }
  }
  return 0;
}

int
devices_add_faults (struct devices *devices,
                    const struct badblocks_change *badblocks,
                    const struct fault *chain, struct message *why)
{
  struct message wrong;
  struct fault *copy;
  struct device *d;
  int r;

  r = devices_check_faults (devices, chain, why);
  for (d = devices->device; r == 0 && d < devices->device + devices->count;
       d++) {
    if (badblocks != NULL) {
      r = badblocks_reserve (&d->badblocks, badblocks);
      if (r < 0)
        break;
      badblocks_apply (&d->badblocks, badblocks);
    }
    r = fault_copy (chain, d->number, &copy);
    if (r < 0)
      break;
    r = faults_change (&d->faults, NULL, copy, clock_now (), &wrong);
    if (r < 0) {
      fault_free (copy);
      message_set (why, "fault: %s", wrong.text);
    }
  }
  return r;
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
device_describe (struct device *d, char *buf, size_t len)
{
  char size[32];

  size_format (d->devices->settings.size, size, sizeof size);
  snprintf (buf, len, "%s%s block device, %s%s",
            d->store != NULL ? "memory-backed" : "null",
            d->zones != NULL ? " zoned" : "", size,
            device_is_read_only (d) ? ", read-only" : "");
}
