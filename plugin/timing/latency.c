/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The moment at which a request completes; see latency.h.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "common/common.h"
#include "latency.h"

void
latency_settings_complete (struct latency_settings *s)
{
  bool limits = false, seeks = false;
  unsigned i;

  s->waits = false;
  for (i = 0; i < NR_OPERATIONS; i++) {
    if (s->durations[i] != NULL) {
      s->waits |= !distribution_is_zero (s->durations[i]);
      seeks |= distribution_seeks (s->durations[i]);
    }
  }
  for (i = 0; i < NR_THROTTLE_CLASSES; i++) {
    limits |= s->limits.bytes_per_sec[i] != 0;
    limits |= s->limits.operations_per_sec[i] != 0;
  }
  drive_settings_complete (&s->drive);
  s->has_load = s->read_load_latency.n != 0 || s->write_load_latency.n != 0;
  s->waits |= limits || s->stall.length != 0 || s->drive.has_any ||
              s->has_load || s->read_size_latency.n != 0 ||
              s->write_size_latency.n != 0;
  s->remembers = limits || seeks || s->drive.has_any || s->has_load ||
                 (s->lanes != 0 && s->waits);
}

void
latency_settings_ref (const struct latency_settings *s)
{
  unsigned i;

  for (i = 0; i < NR_OPERATIONS; i++)
    distribution_ref (s->durations[i]);
  distribution_ref (s->drive.drain);
  distribution_ref (s->drive.pause);
}

void
latency_settings_unref (struct latency_settings *s)
{
  unsigned i;

  for (i = 0; i < NR_OPERATIONS; i++) {
    distribution_unref (s->durations[i]);
    s->durations[i] = NULL;
  }
  distribution_unref (s->drive.drain);
  distribution_unref (s->drive.pause);
  s->drive.drain = s->drive.pause = NULL;
}

int
latency_init (struct latency_state *l, uint64_t now)
{
  memset (l, 0, sizeof *l);
  l->origin = l->drive.clock.origin = now;
  return -pthread_mutex_init (&l->lock, NULL);
}

void
latency_destroy (struct latency_state *l)
{
  drive_destroy (&l->drive);
  load_destroy (&l->load);
  free (l->waiting);
  lanes_destroy (&l->lanes);
  throttle_destroy (&l->throttle);
  pthread_mutex_destroy (&l->lock);
}

static uint64_t
draw (const struct latency_settings *s, enum operation op,
      struct random *random, const struct seek_place *place)
{
  const struct distribution *d = s->durations[op];

  return d != NULL ? distribution_draw (d, random_next (random), place) : 0;
}

/* Returns the time that a request of its kind takes by the settings, and in
 * *FLUSH_NSEC the part of it that a flush takes.
 */
static uint64_t
service_time (const struct latency_settings *s, struct random *random,
              const struct latency_request *r, const struct seek_place *place,
              uint64_t *flush_nsec)
{
  uint64_t nsec = draw (s, r->op, random, place);

  if (r->op == OP_READ)
    nsec += size_latency_nsec (&s->read_size_latency, r->count);
  else if (r->op == OP_WRITE || r->op == OP_ZERO)
    nsec += size_latency_nsec (&s->write_size_latency, r->count);
  *flush_nsec = r->op == OP_FLUSH ? nsec : 0;
  if (r->fua)
    *flush_nsec = draw (s, OP_FLUSH, random, NULL);
  return r->op == OP_FLUSH ? nsec : nsec + *flush_nsec;
}

/* Move the head to a request, and from there to its end.  What neither moves
 * data nor seeks leaves it where it is.
 */
static struct seek_place
move (struct latency_state *l, const struct latency_settings *s,
      const struct latency_request *r)
{
  const struct distribution *d = s->durations[r->op];
  const uint64_t from = l->position;
  struct seek_place place = {.size = s->size, .count = r->count};

  if (r->op == OP_READ || r->op == OP_WRITE || r->op == OP_ZERO ||
      (d != NULL && distribution_seeks (d))) {
    place.distance = r->offset > from ? r->offset - from : from - r->offset;
    l->position = r->offset + r->count;
  }
  return place;
}

/* The head has decided when a request is complete whose booking waits in place
 * AT: tell the load.
 */
static void
tell_decided (struct latency_state *l, size_t at, uint64_t done)
{
  const struct latency_booking *booking = &l->waiting[at];

  load_end_at (&l->load, booking->load, max (done, booking->through));
  l->waiting[at] = l->waiting[--l->nr_waiting];
}

/* Tell the load of all requests on which the head has decided before NOW,
 * whether or not they have asked: a fault rule may let them ask much later.
 */
static void
tell_all_decided (struct latency_state *l, const struct latency_settings *s,
                  uint64_t now)
{
  uint64_t done;
  size_t i;

  drive_decide_before (&l->drive, &s->drive, now);
  for (i = l->nr_waiting; i > 0; i--) {
    done = drive_decided (&l->drive, &l->waiting[i - 1].drive);
    if (done != 0)
      tell_decided (l, i - 1, done);
  }
}

/* Returns the place in which the booking with that ticket waits, or
 * l->nr_waiting.
 */
static size_t
find_waiting (const struct latency_state *l, uint64_t ticket)
{
  size_t i = 0;

  while (i < l->nr_waiting && l->waiting[i].drive.ticket.number != ticket)
    i++;
  return i;
}

/* A request arrives.  Returns how much longer it takes because of those in
 * flight.  From now on it is one of them.
 */
static uint64_t
meet_load (struct latency_state *l, const struct latency_settings *s,
           const struct latency_request *r, struct latency_booking *booking)
{
  uint64_t nsec;

  if (r->op != OP_READ && r->op != OP_WRITE && r->op != OP_ZERO)
    return 0;
  if (l->nr_waiting > 0)
    tell_all_decided (l, s, r->arrival);
  nsec = load_at (&l->load, r->arrival);
  booking->load = size_latency_nsec (r->op == OP_READ ? &s->read_load_latency
                                                      : &s->write_load_latency,
                                     r->count);
  booking->load_generation = l->load.generation;
  load_begin (&l->load, booking->load);
  return nsec;
}

/* Tell the load when a request is complete, or remember to do so once the head
 * has decided.  Where there is no memory for that, the request adds nothing.
 */
static void
tell_load (struct latency_state *l, struct latency_booking *booking)
{
  const size_t room = 2 * l->room_waiting + 32;
  struct latency_booking *more;

  if (!latency_asks (booking)) {
    load_end_at (&l->load, booking->load, booking->told);
    return;
  }
  if (l->nr_waiting == l->room_waiting) {
    more = realloc (l->waiting, room * sizeof *more);
    if (more == NULL) {
      load_cancel (&l->load, booking->load, 0);
      booking->load = 0;
      return;
    }
    l->waiting = more;
    l->room_waiting = room;
  }
  l->waiting[l->nr_waiting++] = *booking;
}

/* A request that adds to the load is cancelled. */
static void
cancel_load (struct latency_state *l, const struct latency_booking *booking)
{
  const size_t at = latency_asks (booking)
                        ? find_waiting (l, booking->drive.ticket.number)
                        : l->nr_waiting;
  uint64_t done = booking->told;

  if (at < l->nr_waiting) {
    load_cancel (&l->load, booking->load, 0);
    l->waiting[at] = l->waiting[--l->nr_waiting];
    return;
  }
  if (latency_asks (booking))
    done = max (drive_decided (&l->drive, &booking->drive), booking->through);
  load_cancel (&l->load, booking->load, done);
}

uint64_t
latency_completion (struct latency_state *l, const struct latency_settings *s,
                    struct random *random, const struct latency_request *r,
                    struct latency_booking *booking)
{
  uint64_t done, nsec, flush_nsec, factor;
  struct seek_place place;
  uint32_t operations;

  if (!s->waits)
    return r->arrival;
  if (!s->remembers)
    return stall_serve (&s->stall, l->origin, r->arrival,
                        service_time (s, random, r, NULL, &flush_nsec));

  memset (booking, 0, sizeof *booking);
  booking->op = r->op;
  pthread_mutex_lock (&l->lock);
  place = move (l, s, r);
  nsec = service_time (s, random, r, &place, &flush_nsec);
  factor = drive_factor (&l->drive, &s->drive, r);
  /* Only writes cost more, and not the flush that one with FUA has. */
  if (factor != 1000 && !drive_has_medium (&s->drive))
    nsec = (nsec - flush_nsec) * factor / 1000 + flush_nsec;
  if (__builtin_expect (s->has_load, 0))
    nsec += meet_load (l, s, r, booking);
  if (s->lanes != 0)
    done = lanes_serve (&l->lanes, s->lanes, &s->stall, l->origin, r->arrival,
                        nsec, &booking->lane);
  else
    done = stall_serve (&s->stall, l->origin, r->arrival, nsec);
  operations = drive_operations (&l->drive, &s->drive, r);
  if (__builtin_expect (s->drive.has_any, 0))
    done = drive_serve (&l->drive, &s->drive, &s->stall, random, r,
                        (struct drive_input){.done = done,
                                             .flush_nsec = flush_nsec,
                                             .operations = operations,
                                             .factor = factor},
                        &booking->drive);
  booking->through = throttle_pass (&l->throttle, &s->limits, r->op, r->count,
                                    operations, r->arrival, &booking->limit);
  booking->told = max (done, booking->through);
  if (booking->load != 0)
    tell_load (l, booking);
  booking->lanes_generation = l->lanes.generation;
  booking->limits_generation = l->throttle.generation;
  pthread_mutex_unlock (&l->lock);
  return booking->told;
}

/* Not inline: its registers would be saved for those who ask in vain, too. */
static uint64_t __attribute__ ((noinline))
ask_locked (struct latency_state *l, const struct latency_settings *s,
            struct latency_booking *booking, uint64_t now)
{
  const uint64_t ticket = booking->drive.ticket.number;
  uint64_t done;
  size_t at;

  pthread_mutex_lock (&l->lock);
  done = drive_ask (&l->drive, &s->drive, now, &booking->drive);
  booking->told = max (done, booking->through);
  if (booking->load != 0 && !latency_asks (booking)) {
    at = find_waiting (l, ticket);
    if (at < l->nr_waiting)
      tell_decided (l, at, done);
  }
  pthread_mutex_unlock (&l->lock);
  return booking->told;
}

uint64_t
latency_ask (struct latency_state *l, const struct latency_settings *s,
             struct latency_booking *booking, uint64_t now)
{
  uint64_t done;

  now = max (now, booking->told);
  done = drive_ask_in_vain (&l->drive, now, &booking->drive);
  if (done == 0)
    return ask_locked (l, s, booking, now);
  booking->told = max (done, booking->through);
  return booking->told;
}

void
latency_cancel (struct latency_state *l, const struct latency_booking *booking,
                uint64_t now)
{
  pthread_mutex_lock (&l->lock);
  lanes_cancel (&l->lanes, booking->lanes_generation, booking->lane, now);
  throttle_cancel (&l->throttle, booking->limits_generation, booking->op,
                   booking->limit, now);
  if (booking->load != 0 && booking->load_generation == l->load.generation)
    cancel_load (l, booking);
  drive_cancel (&l->drive, &booking->drive, now);
  pthread_mutex_unlock (&l->lock);
}

void
latency_install (struct latency_state *l, const struct latency_settings *s)
{
  pthread_mutex_lock (&l->lock);
  l->is_buffered = s->drive.buffer.size != 0;
  l->is_protected = s->drive.buffer.plp;
  pthread_mutex_unlock (&l->lock);
}

uint64_t
latency_dirty (struct latency_state *l, uint64_t now)
{
  uint64_t r = UINT64_MAX;

  pthread_mutex_lock (&l->lock);
  if (l->is_protected)
    r = 0;
  else if (l->is_buffered)
    r = drive_dirty (&l->drive, now);
  pthread_mutex_unlock (&l->lock);
  return r;
}

void
latency_reset_lanes (struct latency_state *l)
{
  pthread_mutex_lock (&l->lock);
  lanes_reset (&l->lanes);
  pthread_mutex_unlock (&l->lock);
}

void
latency_reset (struct latency_state *l)
{
  pthread_mutex_lock (&l->lock);
  lanes_reset (&l->lanes);
  throttle_reset (&l->throttle);
  load_reset (&l->load);
  l->nr_waiting = 0;
  drive_reset (&l->drive);
  pthread_mutex_unlock (&l->lock);
}
