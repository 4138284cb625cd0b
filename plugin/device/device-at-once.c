/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Reads and writes that are done at once; see device.h.  Such a request is in
 * no list: it lasts while its connection is locked.  A thread that cuts power
 * first changes the epoch, and then waits for the connection's lock, so until
 * the request is over.  Before the request unlocks, it looks whether the epoch
 * has changed.
 */

#include <config.h>

#include "device-internal.h"

/* Can a request be done that CHANGES something or reads, in the EPOCH that
 * power is in?  c->lock is held.
 */
static inline bool
is_plain (const struct connection *c, uint32_t epoch, bool changes,
          uint32_t count, uint64_t offset)
{
  const struct device *d = c->device;
  const struct settings *s = &c->version->s;
  const uint64_t size = d->devices->settings.size;

  return (epoch & 1) == 0 &&
         atomic_load_explicit (&d->version, memory_order_relaxed) ==
             c->version &&
         offset < size && count <= size - offset &&
         check_alignment (s, count, offset) == 0 && !s->latency.waits &&
         d->zones == NULL && !faults_any (&d->faults) &&
         !badblocks_any (&d->badblocks) &&
         !(changes && (s->read_only || d->log != NULL ||
                       durability_needs_lock (d->durability)));
}

/* Count a request that was done. */
static inline void
count_done (struct connection *c, enum operation op, uint32_t count,
            uint64_t arrival)
{
  if (c->in_flight_most <= c->in_flight)
    c->in_flight_most = c->in_flight + 1;
  if (__builtin_expect (stats_are_full (&c->counts), 0))
    connection_add_counts (c);
  stats_count_open (&c->counts, op, count, arrival, 0);
}

/* Read COUNT bytes into TO, or write those at FROM, which OP says. */
static inline bool
do_at_once (struct connection *c, enum operation op, void *to, const void *from,
            uint32_t count, uint64_t offset)
{
  struct device *d = c->device;
  const bool changes = op == OP_WRITE;
  const uint64_t arrival = request_arrival (c->front_end);
  uint32_t epoch;
  bool done;

  if (!request_ends_with_others (c))
    return false;
  owned_lock (&c->lock);
  epoch = durability_epoch (d->durability);
  done = is_plain (c, epoch, changes, count, offset);
  if (done && d->store != NULL) {
    if (changes)
      done = store_write (d->store, d->number, from, count, offset) == 0;
    else
      store_read (d->store, d->number, to, count, offset);
  }
  done = done && durability_epoch (d->durability) == epoch;
  if (done)
    count_done (c, op, count, arrival);
  owned_unlock (&c->lock);
  return done;
}

bool
device_read_at_once (struct connection *c, void *buf, uint32_t count,
                     uint64_t offset)
{
  return do_at_once (c, OP_READ, buf, NULL, count, offset);
}

bool
device_write_at_once (struct connection *c, const void *buf, uint32_t count,
                      uint64_t offset)
{
  return do_at_once (c, OP_WRITE, NULL, buf, count, offset);
}

void
device_expect (const struct connection *c, bool is_write, uint64_t offset)
{
  const struct device *d = c->device;

  if (d->store != NULL && offset < d->devices->settings.size)
    store_expect (d->store, d->number, is_write, offset);
}

bool
device_reads_zeroes (const struct device *d)
{
  return d->store == NULL && d->zones == NULL;
}
