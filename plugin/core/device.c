/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The devices of a server and the path of a request through one; see
 * device.h.  A request begins, is admitted and given its price, its data moves,
 * and it ends: it waits for what is left of its time, and is counted.
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
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

void
device_seed (struct device *d)
{
  lock (&d->devices->settings_lock);
  random_init (&d->random, atomic_load (&d->set)->s.seed, d->number);
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
  uint64_t started;
  uint64_t deadline; /* 0: it has no price */
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
begin (struct request *r, struct connection *c)
{
  r->connection = c;
  r->deadline = 0;
  r->started = clock_now ();
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

/* When is it to complete?  Only what was admitted has a price.  What has
 * several parts completes when the last of them does.
 */
static void
price (struct request *r, enum operation op, uint32_t count, uint64_t offset)
{
  const struct latency_settings *latency = &r->set->s.latency;
  struct device *d = r->connection->device;
  const struct latency_request request = {
      .op = op, .count = count, .offset = offset, .arrival = r->started};
  uint64_t moment;

  if (latency->waits) {
    moment = latency_price (&d->latency, latency, &d->random, &request);
    r->deadline = moment > r->deadline ? moment : r->deadline;
  }
}

/* Returns 0, or -ESHUTDOWN when there is nobody left to wait for. */
static int
wait_for_deadline (const struct request *r, uint64_t *now)
{
  struct devices *devices = r->connection->device->devices;
  const uint64_t spin = r->set->s.spin;

  return waiter_wait (&devices->waiter, r->deadline,
                      spin == SPIN_IS_AUTO ? SPIN_AUTO : spin, &devices->nap,
                      now);
}

static int
end (struct request *r, enum operation op, uint32_t bytes, int result)
{
  struct connection *c = r->connection;
  struct devices *devices = c->device->devices;
  uint64_t now;
  int aborted = 0;

  if (r->deadline == 0)
    now = clock_now ();
  else
    aborted = wait_for_deadline (r, &now);
  if (result == 0)
    result = aborted;

  lock (&c->lock);
  stats_count (&c->stats, op, bytes, now - r->started, result);
  if (r->deadline != 0 && aborted == 0)
    stats_count_asked (&c->stats, op, r->deadline - r->started,
                       now - r->started);
  c->depth--;
  if (r->set == c->set)
    c->set_users--;
  else {
    lock (&devices->settings_lock);
    drop_set (r->set);
    unlock (&devices->settings_lock);
  }
  unlock (&c->lock);
  return result;
}

static int
admit (const struct settings *s, uint32_t count, uint64_t offset)
{
  if (((offset | count) & (s->block_size - 1)) != 0)
    return -EINVAL;
  return 0;
}

static int
admit_change (const struct settings *s, uint32_t count, uint64_t offset)
{
  if (s->read_only)
    return -EROFS;
  return admit (s, count, offset);
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

static int
zero_data (struct device *d, const struct settings *s, uint32_t count,
           uint64_t offset, bool may_trim)
{
  if (d->store == NULL)
    return 0;
  if (!may_trim || !s->discard)
    return store_zero (d->store, d->number, count, offset);
  store_trim (d->store, d->number, count, offset);
  return 0;
}

/* BUF is NULL where zeroes are to be written. */
static int
write_data (struct device *d, const struct settings *s, const void *buf,
            uint32_t count, uint64_t offset, bool may_trim)
{
  struct zone_write zone;
  int r = 0;

  if (d->zones != NULL)
    r = zones_begin_write (d->zones, &zone, count, offset, &d->devices->nap);
  if (r < 0)
    return r;
  if (buf == NULL)
    r = zero_data (d, s, count, offset, may_trim);
  else if (d->store != NULL)
    r = store_write (d->store, d->number, buf, count, offset);
  if (d->zones != NULL)
    zones_end_write (&zone, r == 0 ? count : 0);
  return r;
}

static int
trim_data (struct device *d, uint32_t count, uint64_t offset)
{
  if (d->zones != NULL)
    return zones_trim (d->zones, count, offset);
  if (d->store != NULL)
    store_trim (d->store, d->number, count, offset);
  return 0;
}

/*---------------------------------------------------------------------*/
/* Requests */

int
device_read (struct connection *c, void *buf, uint32_t count, uint64_t offset)
{
  struct device *d = c->device;
  const struct settings *s;
  struct request request;
  int r;

  s = begin (&request, c);
  r = admit (s, count, offset);
  if (r == 0) {
    price (&request, OP_READ, count, offset);
    if (d->zones != NULL)
      r = read_zones (d, buf, count, offset);
    else
      read_data (d, buf, count, offset);
  }
  return end (&request, OP_READ, count, r);
}

int
device_write (struct connection *c, const void *buf, uint32_t count,
              uint64_t offset)
{
  const struct settings *s;
  struct request request;
  int r;

  s = begin (&request, c);
  r = admit_change (s, count, offset);
  if (r == 0) {
    price (&request, OP_WRITE, count, offset);
    r = write_data (c->device, s, buf, count, offset, false);
  }
  return end (&request, OP_WRITE, count, r);
}

int
device_zero (struct connection *c, uint32_t count, uint64_t offset,
             bool may_trim)
{
  const struct settings *s;
  struct request request;
  int r;

  s = begin (&request, c);
  r = admit_change (s, count, offset);
  if (r == 0) {
    price (&request, OP_ZERO, count, offset);
    r = write_data (c->device, s, NULL, count, offset, may_trim);
  }
  return end (&request, OP_ZERO, count, r);
}

/* A trim that resets zones takes as long as a reset does. */
int
device_trim (struct connection *c, uint32_t count, uint64_t offset)
{
  struct device *d = c->device;
  const struct settings *s;
  struct request request;
  bool resets;
  int r;

  s = begin (&request, c);
  r = admit_change (s, count, offset);
  if (r == 0) {
    resets = d->zones != NULL && s->discard &&
             zones_resets (d->zones, count, offset);
    price (&request, resets ? OP_ZONE : OP_TRIM, count, offset);
    if (s->discard)
      r = trim_data (d, count, offset);
  }
  return end (&request, OP_TRIM, count, r);
}

int
device_zone_commands (struct connection *c, uint64_t first,
                      const struct zone_descriptor *descriptors, uint64_t n,
                      uint64_t *done)
{
  const struct settings *s;
  struct request request;
  uint64_t i;
  int r;

  *done = 0;
  s = begin (&request, c);
  r = s->read_only ? -EROFS : 0;
  if (r == 0) {
    for (i = 0; s->latency.waits && i < n; i++)
      price (&request, OP_ZONE, 0, 0);
    r = zones_write_table (c->device->zones, first, descriptors, n, done);
  }
  return end (&request, OP_ZONE, 0, r);
}

int
device_reset_zones (struct connection *c)
{
  const struct settings *s;
  struct request request;
  int r;

  s = begin (&request, c);
  r = s->read_only ? -EROFS : 0;
  if (r == 0) {
    price (&request, OP_ZONE, 0, 0);
    zones_reset_all (c->device->zones);
  }
  return end (&request, OP_ZONE, 0, r);
}

int
device_flush (struct connection *c)
{
  struct request request;

  begin (&request, c);
  price (&request, OP_FLUSH, 0, 0);
  return end (&request, OP_FLUSH, 0, 0);
}

int
device_cache (struct connection *c, uint32_t count, uint64_t offset)
{
  return admit (&c->device->devices->settings, count, offset);
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

  r = admit (&d->devices->settings, count, offset);
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

static void
discard (void *opaque, uint64_t count, uint64_t offset)
{
  const struct device *d = opaque;

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
create_device (struct devices *devices)
{
  struct device *d = &devices->device[devices->count];
  struct settings_set *set;

  if (latency_init (&d->latency, devices->started) < 0)
    return -ENOMEM;
  set = settings_set_new (&devices->settings);
  if (set == NULL) {
    latency_destroy (&d->latency);
    return -ENOMEM;
  }
  set->users = 1;
  atomic_init (&d->set, set);
  d->number = devices->count++;
  d->devices = devices;
  d->store = devices->store;
  d->counting_since = devices->started;
  random_init (&d->random, devices->settings.seed, d->number);
  snprintf (d->name, sizeof d->name, "nullb%u", d->number);
  return create_zones (d);
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
    latency_destroy (&devices->device[i].latency);
    if (devices->device[i].zones != NULL)
      zones_destroy (devices->device[i].zones);
  }
  settings_unref (&devices->settings);
  if (devices->store != NULL)
    store_destroy (devices->store);
  pthread_mutex_destroy (&devices->settings_lock);
  pthread_mutex_destroy (&devices->lock);
  free (devices->device);
  free (devices);
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
