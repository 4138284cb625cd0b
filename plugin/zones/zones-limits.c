/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Limits on how many zones are open or active.  Where there are none, nothing
 * here locks or counts.  Where there are, every change of a zone's condition is
 * made with limits.lock held, by the request that has the zone.
 *
 * There is one exception: a request that opens zone A may close zone B to make
 * room.  It has A.  It does not take B, too, as two such requests could wait
 * for each other; and it need not.  B is closed in this way only while B is
 * `idle`: implicitly open, and no request is between zones_begin_write and
 * zones_end_write of B.  Then the data and the write pointer of B do not
 * change, as that would need limits.lock, too.  Whether B is open makes no
 * difference to a reader of B, which has only B's lock.
 *
 * If all implicitly open zones are being written, a request that needs room
 * waits for one of those writes.  It keeps its own zone, but the writes need no
 * other zone to come to their end.  So that other requests do not begin new
 * writes for ever, each request that opens a zone or writes to one takes
 * limits.open_lock first, and the request that waits holds it.  A request
 * unlocks its stripe before it waits for limits.open_lock or for a write: to
 * end, that write has to lock its stripe, which may be the same.
 *
 * After such a wait the request changes its zone with the stripe unlocked: it
 * opens or finishes the zone, or makes it read-only or offline.  A request that
 * closes another zone does not lock the stripe of that, either.  This is safe,
 * as the write pointer stays where it is or moves to the end of the zone:
 *
 *   - Other requests that change the zone wait until they have it; and all
 *     requests hold limits.lock when they ask whether the zone is open.
 *   - A short read, which has only the stripe's lock, looks at the state once.
 *     Below the write pointer that it finds, data stays as it is until a reset,
 *     which waits for the stripe's lock.  Above the former write pointer there
 *     is no data: if the read finds the zone finished, it finds zeroes there.
 *   - A write is listed as early with the stripe locked.  A request that has
 *     moved the write pointer locks the stripe after that, and wakes it.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "zones-internal.h"

int
zone_limits_create (struct zones *z, const struct zone_settings *s)
{
  struct zone_limits *l = &z->limits;

  l->max_open = s->max_open;
  l->max_active = s->max_active;
  l->has_any = s->max_open != 0 || s->max_active != 0;
  if (!l->has_any)
    return 0;
  l->idle = calloc (z->nr_zones / 64 + 1, sizeof *l->idle);
  if (l->idle == NULL)
    return -ENOMEM;
  l->cursor = z->nr_conv;
  pthread_mutex_init (&l->open_lock, NULL);
  pthread_mutex_init (&l->lock, NULL);
  pthread_cond_init (&l->changed, NULL);
  return 0;
}

void
zone_limits_destroy (struct zones *z)
{
  struct zone_limits *l = &z->limits;

  if (!l->has_any)
    return;
  pthread_cond_destroy (&l->changed);
  pthread_mutex_destroy (&l->lock);
  pthread_mutex_destroy (&l->open_lock);
  free (l->idle);
}

void
zone_limits_enter (struct zones *z, struct zone_claim *opening)
{
  if (!z->limits.has_any)
    return;
  if (opening != NULL && pthread_mutex_trylock (&z->limits.open_lock) != 0) {
    claim_unlock_stripe (opening);
    lock (&z->limits.open_lock);
  }
  lock (&z->limits.lock);
}

void
zone_limits_leave (struct zones *z, const struct zone_claim *opening)
{
  if (!z->limits.has_any)
    return;
  if (z->limits.awaited)
    pthread_cond_signal (&z->limits.changed);
  unlock (&z->limits.lock);
  if (opening != NULL)
    unlock (&z->limits.open_lock);
}

static void
set_idle (struct zone_limits *l, uint64_t zone, bool idle)
{
  const uint64_t bit = UINT64_C (1) << zone % 64;

  if (idle)
    l->idle[zone / 64] |= bit;
  else
    l->idle[zone / 64] &= ~bit;
}

void
zone_limits_keep_open (struct zones *z, uint64_t zone)
{
  if (z->limits.has_any)
    set_idle (&z->limits, zone, false);
}

static void
count (struct zone_limits *l, enum zone_cond cond, uint64_t by)
{
  if (cond == ZONE_COND_IMP_OPEN)
    l->imp_open += by;
  else if (cond == ZONE_COND_EXP_OPEN)
    l->exp_open += by;
  else if (cond == ZONE_COND_CLOSED)
    l->closed += by;
}

void
zone_set_state (struct zones *z, uint64_t zone, enum zone_cond cond,
                uint64_t wp)
{
  struct zone_limits *l = &z->limits;

  if (l->has_any) {
    count (l, state_cond (zone_state (z, zone)), -1);
    count (l, cond, 1);
    set_idle (l, zone, cond == ZONE_COND_IMP_OPEN);
  }
  atomic_store_explicit (zone_word (z, zone), state_make (cond, wp),
                         memory_order_relaxed);
}

/* Find the first idle zone from FROM up to END.  Returns false if there is
 * none.
 */
static bool
find_idle (const struct zone_limits *l, uint64_t from, uint64_t end,
           uint64_t *zone)
{
  uint64_t bits;

  for (; from < end; from = (from / 64 + 1) * 64) {
    bits = l->idle[from / 64] >> from % 64;
    if (bits != 0) {
      *zone = from + __builtin_ctzll (bits);
      return *zone < end;
    }
  }
  return false;
}

/* Close the next idle zone, round and round.  False if there is none. */
static bool
close_one (struct zones *z)
{
  struct zone_limits *l = &z->limits;
  uint64_t zone, wp;

  if (!find_idle (l, l->cursor, z->nr_zones, &zone) &&
      !find_idle (l, z->nr_conv, l->cursor, &zone))
    return false;
  wp = state_wp (zone_state (z, zone));
  zone_set_state (z, zone, wp == 0 ? ZONE_COND_EMPTY : ZONE_COND_CLOSED, wp);
  l->cursor = zone + 1 < z->nr_zones ? zone + 1 : z->nr_conv;
  return true;
}

static bool
one_more_active (const struct zone_limits *l)
{
  return l->max_active == 0 ||
         l->imp_open + l->exp_open + l->closed < l->max_active;
}

bool
zone_limits_have_room (const struct zones *z)
{
  return !z->limits.has_any || one_more_active (&z->limits);
}

static bool
one_more_open (const struct zone_limits *l)
{
  return l->max_open == 0 || l->imp_open + l->exp_open < l->max_open;
}

/* null_blk's rule is kept: a closed zone, which is active already, takes the
 * place of another one only where one more zone could be active.
 */
int
zone_limits_make_room (struct zones *z, struct zone_claim *c,
                       enum zone_cond cond)
{
  struct zone_limits *l = &z->limits;

  if (!l->has_any)
    return 0;
  for (;;) {
    if (cond == ZONE_COND_EMPTY && !one_more_active (l))
      return -ENOSPC;
    if (one_more_open (l))
      return 0;
    if (l->imp_open == 0 || !one_more_active (l))
      return -ENOSPC;
    if (close_one (z))
      return 0;
    claim_unlock_stripe (c);
    l->awaited = true;
    pthread_cond_wait (&l->changed, &l->lock);
    l->awaited = false;
  }
}
