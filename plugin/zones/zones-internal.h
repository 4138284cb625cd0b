/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Declarations that the files of this room share.  Each file calls only those
 * that stand below it, except that all use the locks of zones.c
 * (zone_stripe_lock):
 *
 *     zones.c           makes zones; reads, extents and the table (with the
 *                       diagram)
 *     zones-write.c     writes move write pointers
 *     zones-command.c   commands and trims
 *     zones-early.c     early writes, which wait for those before them
 *     zones-order.c     early writes, sorted by zone and offset
 *     zones-limits.c    states, and how many zones are open and active
 *     zones-claim.c     which request has a zone, and which wait for it
 *     zones-settings.c  the parameters of zones
 */

#ifndef NULLBLK_ZONES_INTERNAL_H
#define NULLBLK_ZONES_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/common.h"
#include "zones.h"

/*---------------------------------------------------------------------*/
/* The state of a zone is one word, so that it can be looked at without a lock:
 * the sectors below the write pointer, and the condition in the low 4 bits.
 * The word of an empty zone is 0, as in fresh memory.  A read-only or offline
 * zone, which has no write pointer, has its length in the place of that: so all
 * of a read-only zone can be read.
 */

#define ZONE_COND_BITS 4

static inline uint64_t
state_make (enum zone_cond cond, uint64_t wp)
{
  return wp >> ZONE_SECTOR_SHIFT << ZONE_COND_BITS | (cond ^ ZONE_COND_EMPTY);
}

static inline enum zone_cond
state_cond (uint64_t state)
{
  return (state & ((1 << ZONE_COND_BITS) - 1)) ^ ZONE_COND_EMPTY;
}

/* Bytes from the zone's start. */
static inline uint64_t
state_wp (uint64_t state)
{
  return state >> ZONE_COND_BITS << ZONE_SECTOR_SHIFT;
}

/*---------------------------------------------------------------------*/

#define MAX_ZONE_STRIPES 1024

/* A write whose thread waits for those before it: on that thread's stack, and
 * among the early writes of its stripe.
 */
struct waiting_write {
  struct zone_early early;
  pthread_mutex_t lock; /* guards `is_woken` */
  pthread_cond_t woken;
  bool is_woken; /* the thread is to look at the zone again */
};

/* Early writes; see zones-order.c. */
struct zone_order {
  struct zone_early *root; /* NULL: there are none */
  uint64_t added;          /* how many were ever added */
  uint64_t steps;          /* of all searches together, for tests */
};

struct zone_stripe {
  _Alignas(64) struct fairlock lock;
  /* These two change with the lock held exclusively. */
  struct zone_order early;
  struct zone_claim *claims; /* see zones-claim.c */
};

/* Open and active zones, counted where there is a limit. */
struct zone_limits {
  bool has_any;
  uint64_t max_open, max_active; /* 0: no limit */

  pthread_mutex_t open_lock; /* see zones-limits.c */
  pthread_mutex_t lock;      /* guards all that follows */
  pthread_cond_t changed;
  bool awaited; /* somebody waits for `changed` */
  uint64_t imp_open, exp_open, closed;
  uint64_t cursor; /* where to look for the next zone to close */
  uint64_t *idle;  /* a bit a zone: it is implicitly open, nobody writes it */
};

struct zones {
  uint64_t size;
  unsigned shift; /* zones have 1 << shift bytes */
  uint64_t nr_zones, nr_conv;
  uint64_t capacity;
  enum zone_past_wp past_wp;
  enum zone_trim trim;
  uint64_t reorder_wait;
  struct zone_data_ops data;

  uint64_t nr_stripes; /* a power of two */
  unsigned stripe_bits;
  struct zone_stripe *stripes;
  uint64_t row; /* how many words of `states` each stripe has */
  _Atomic uint64_t *states;

  /* For each zone, in the same order, the moment of the last progress that its
   * early writes saw (zones_early_until).  What never had any is 0, and takes
   * no memory.
   */
  _Atomic uint64_t *progress;
  size_t map_size; /* of `states` and `progress` together */

  struct zone_limits limits;
};

static inline uint64_t
zone_start (const struct zones *z, uint64_t zone)
{
  return zone << z->shift;
}

/* Of all zones only the last may be shorter. */
static inline uint64_t
zone_len (const struct zones *z, uint64_t zone)
{
  const uint64_t left = z->size - zone_start (z, zone);
  const uint64_t whole = UINT64_C (1) << z->shift;

  return min (left, whole);
}

static inline uint64_t
zone_capacity (const struct zones *z, uint64_t zone)
{
  const uint64_t len = zone_len (z, zone);

  return zone >= z->nr_conv ? min (z->capacity, len) : len;
}

static inline struct zone_stripe *
zone_stripe (const struct zones *z, uint64_t zone)
{
  return &z->stripes[zone & (z->nr_stripes - 1)];
}

/* Returns the index of a zone in `states` and in `progress`. */
static inline uint64_t
zone_index (const struct zones *z, uint64_t zone)
{
  return (zone & (z->nr_stripes - 1)) * z->row + (zone >> z->stripe_bits);
}

static inline _Atomic uint64_t *
zone_word (const struct zones *z, uint64_t zone)
{
  return &z->states[zone_index (z, zone)];
}

/* Conventional zones have no state. */
static inline uint64_t
zone_state (const struct zones *z, uint64_t zone)
{
  return atomic_load_explicit (zone_word (z, zone), memory_order_relaxed);
}

/* zones.c */
void stripe_lock_shared (struct zone_stripe *stripe);
void zone_stripe_lock (struct zone_stripe *stripe);
void zone_stripe_unlock (struct zone_stripe *stripe);

static inline bool
zones_have_power (const struct zones *z)
{
  return z->data.epoch == NULL || (atomic_load (z->data.epoch) & 1) == 0;
}

/* zones-claim.c.  Take a zone, to change it, or to read it together with
 * others: C has it until zone_give_back.  zone_take waits for all that have the
 * zone or wait for it, and zone_take_shared for those of them that do not share
 * it.  The stripe is locked when these return.
 */
void zone_take (struct zones *z, struct zone_claim *c, uint64_t zone);
void zone_take_shared (struct zones *z, struct zone_claim *c, uint64_t zone);

/* claim_unlock_stripe unlocks the stripe, but keeps the zone; claim_lock_stripe
 * locks the stripe again.  Each does nothing if that has been done already.
 * Between the two, short reads of the zone go on, and writes may be listed as
 * early: so the state may be changed, but not to one that has a lower write
 * pointer.
 */
void claim_unlock_stripe (struct zone_claim *c);
void claim_lock_stripe (struct zone_claim *c);

/* Call this with the stripe locked or not; afterwards it is not locked. */
void zone_give_back (struct zone_claim *c);

/* zones-order.c.  The stripe is locked for these. */
void zone_order_add (struct zone_order *o, struct zone_early *e);
void zone_order_remove (struct zone_order *o, struct zone_early *e);

/* The first write of a zone, or NULL. */
struct zone_early *zone_order_first (struct zone_order *o, uint64_t zone);

/* zones-early.c.  The stripe is locked for these three.  zone_tell_early wakes
 * the early writes of a zone whose write pointer has moved to WP, up to those
 * at WP; zone_wake_early does nothing where none is listed in the stripe.
 */
void zone_tell_early (struct zones *z, uint64_t zone, uint64_t wp);

static inline void
zone_wake_early (struct zones *z, struct zone_stripe *stripe, uint64_t zone,
                 uint64_t wp)
{
  if (__builtin_expect (stripe->early.root != NULL, 0))
    zone_tell_early (z, zone, wp);
}

/* List a write whose zone and write pointer are set.  Its `since` is 0 the
 * first time, and is set here then.
 */
void early_insert (struct zones *z, struct zone_early *e);

/* Give back the zone that C has, and wait until the zone's write pointer is at
 * WP, or until zones_early_until.  The thread naps before it waits: with the
 * batch library that sends the replies that the thread has held (batch_ppoll),
 * without which the client may not send the missing write.  It naps again now
 * and then (wait_slice).  Returns 0 when it is worth another look, -EIO when
 * the time is up, or the error of the nap.
 */
int zone_wait_early (struct zones *z, struct zone_claim *c, uint64_t wp,
                     struct zone_wait *wait);

/* zones-limits.c */
int zone_limits_create (struct zones *z, const struct zone_settings *s);
void zone_limits_destroy (struct zones *z);

/* Call zone_limits_enter before a zone's state is changed, and
 * zone_limits_leave after that; the caller has the zone.  In between
 * limits.lock is held.
 *
 * OPENING is the claim to the zone if zone_limits_make_room is called in
 * between, and NULL otherwise.  With OPENING, limits.open_lock is held as well.
 * If zone_limits_enter has to wait for that, or zone_limits_make_room for a
 * write of another request, it unlocks the zone's stripe first, and leaves it
 * unlocked.  Where there are no limits, none of this locks or unlocks anything.
 */
void zone_limits_enter (struct zones *z, struct zone_claim *opening);
void zone_limits_leave (struct zones *z, const struct zone_claim *opening);

/* Make room for the zone that C has, which is in condition COND (EMPTY or
 * CLOSED), to be open: where there is none, another zone that is implicitly
 * open is closed.  Returns 0 or -ENOSPC.
 */
int zone_limits_make_room (struct zones *z, struct zone_claim *c,
                           enum zone_cond cond);

/* May one more zone be active? */
bool zone_limits_have_room (const struct zones *z);

/* Change a zone's state, and count it. */
void zone_set_state (struct zones *z, uint64_t zone, enum zone_cond cond,
                     uint64_t wp);

/* An open zone is being written: it is not closed to make room for another one
 * before the next zone_set_state.
 */
void zone_limits_keep_open (struct zones *z, uint64_t zone);

#endif /* NULLBLK_ZONES_INTERNAL_H */
