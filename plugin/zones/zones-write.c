/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Writes to zones, and what moves a write pointer by writing.
 *
 * Where requests of a client are served side by side, a write may come before
 * the one whose end it begins at.  If zone-reorder-wait is set, such an early
 * write puts itself into the list of the zone's stripe and lets go of the lock;
 * whoever moves the write pointer wakes those whose place it reaches (one,
 * unless two want the same place) and those that it passes, who fail then.  So
 * each write of a queue wakes the next one only, and nobody who waits keeps
 * anybody else.
 */

#include <config.h>

#include <assert.h>
#include <errno.h>

#include "zones-internal.h"

/* What check_write returns for a write that may yet come to be right. */
#define EARLY 1

static uint64_t
min (uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

/*---------------------------------------------------------------------*/
/* Early writes */

/* Take one out of its list, and tell it that its turn has come. */
static void
wake (struct early_write **link)
{
  struct early_write *e = *link;

  *link = e->next;
  e->listed = false;
  pthread_mutex_lock (&e->lock);
  e->come = true;
  pthread_cond_signal (&e->turn);
  pthread_mutex_unlock (&e->lock);
}

void
zone_wake_early (struct zone_stripe *stripe, uint64_t zone, uint64_t wp)
{
  struct early_write **link = &stripe->early, *e;

  while ((e = *link) != NULL) {
    if (e->zone != zone || e->wp > wp)
      link = &e->next;
    else
      wake (link);
  }
}

/* Who is woken looks again. */
void
zones_wake_all (struct zones *z)
{
  uint64_t i;

  for (i = 0; i < z->nr_stripes; i++) {
    stripe_lock (&z->stripes[i]);
    while (z->stripes[i].early != NULL)
      wake (&z->stripes[i].early);
    stripe_unlock (&z->stripes[i]);
  }
}

static void
list_early (struct zone_stripe *stripe, struct early_write *e)
{
  pthread_condattr_t attr;

  pthread_mutex_init (&e->lock, NULL);
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  pthread_cond_init (&e->turn, &attr);
  pthread_condattr_destroy (&attr);
  e->come = false;
  e->listed = true;
  e->next = stripe->early;
  stripe->early = e;
}

/* The stripe is locked, and whoever woke it has locked that, too: nobody is in
 * there any more.
 */
static void
unlist_early (struct zone_stripe *stripe, struct early_write *e)
{
  struct early_write **link;

  if (e->listed) {
    for (link = &stripe->early; *link != e; link = &(*link)->next)
      ;
    *link = e->next;
  }
  pthread_cond_destroy (&e->turn);
  pthread_mutex_destroy (&e->lock);
}

/* Wait for the turn until MOMENT at most, and say whether it has come. */
static bool
await_turn (struct early_write *e, uint64_t moment)
{
  const struct timespec ts = {.tv_sec = (time_t) (moment / NSEC_PER_SEC),
                              .tv_nsec = (long) (moment % NSEC_PER_SEC)};
  bool come;

  pthread_mutex_lock (&e->lock);
  while (!e->come &&
         pthread_cond_timedwait (&e->turn, &e->lock, &ts) != ETIMEDOUT)
    ;
  come = e->come;
  pthread_mutex_unlock (&e->lock);
  return come;
}

/* Wait until the write pointer is at WP, or DEADLINE.  The stripe is locked,
 * but not meanwhile.  The first nap is before the wait: with it, replies that
 * the thread has held are sent (batch-libc.c), which the write that is waited
 * for may be waiting for.  Returns 0 when it is worth another look, -EIO when
 * the time is up, or what the nap failed with.
 */
static int
wait_early (struct zone_stripe *stripe, uint64_t zone, uint64_t wp,
            uint64_t deadline, const struct nap *nap)
{
  struct early_write e = {.zone = zone, .wp = wp};
  const uint64_t began = clock_now ();
  uint64_t now = began, slice = deadline;
  int r = 0;

  if (now >= deadline)
    return -EIO;
  list_early (stripe, &e);
  stripe_unlock (stripe);
  while (now < deadline) {
    if (nap != NULL) {
      r = nap->nap (nap->opaque, 0);
      slice = nap_slice (nap, now - began);
    }
    if (r < 0 || await_turn (&e, min (deadline, moment_after (now, slice))))
      break;
    now = clock_now ();
  }
  stripe_lock (stripe);
  if (r == 0 && e.listed)
    r = -EIO;
  unlist_early (stripe, &e);
  return r;
}

/*---------------------------------------------------------------------*/
/* Writes */

/* The rules, null_blk's, for a write at WP from the zone's start. */
static int
check_write (const struct zones *z, uint64_t zone, uint64_t count, uint64_t wp)
{
  const uint64_t state = zone_state (z, zone);

  if (!zones_have_power (z))
    return -ESHUTDOWN;
  if (state_cond (state) == ZONE_COND_READONLY)
    return -EROFS;
  if (state_cond (state) == ZONE_COND_OFFLINE)
    return -EIO;
  if (wp < state_wp (state) || wp + count > zone_capacity (z, zone))
    return -EIO;
  return wp == state_wp (state) ? 0 : EARLY;
}

/* A write opens its zone, if there is room for one more. */
static int
open_implicitly (struct zones *z, uint64_t zone)
{
  uint64_t state;
  int r = 0;

  limits_enter (z, true);
  state = zone_state (z, zone);
  if (state_cond (state) == ZONE_COND_EMPTY ||
      state_cond (state) == ZONE_COND_CLOSED) {
    r = limits_make_room (z, state_cond (state));
    if (r == 0)
      zone_set_state (z, zone, ZONE_COND_IMP_OPEN, state_wp (state));
  }
  if (r == 0)
    limits_keep_open (z, zone);
  limits_leave (z, true);
  return r;
}

bool
zones_take_any_write (const struct zones *z, uint64_t count, uint64_t offset)
{
  const uint64_t zone = offset >> z->shift;

  return zone < z->nr_conv && zone == (offset + count - 1) >> z->shift;
}

int
zones_begin_write (struct zones *z, struct zone_write *w, uint64_t count,
                   uint64_t offset, const struct nap *nap)
{
  const uint64_t zone = offset >> z->shift;
  const uint64_t wp = offset - zone_start (z, zone);
  struct zone_stripe *stripe;
  uint64_t deadline;
  int r;

  if (zone >= z->nr_zones || count > zone_len (z, zone) - wp)
    return -EIO;
  *w = (struct zone_write){.zones = z,
                           .zone = zone,
                           .count = count,
                           .offset = offset,
                           .is_sequential = zone >= z->nr_conv};
  if (!w->is_sequential)
    return 0;

  stripe = zone_lock (z, zone);
  r = check_write (z, zone, count, wp);
  if (r == EARLY) {
    deadline =
        z->reorder_wait != 0 ? moment_after (clock_now (), z->reorder_wait) : 0;
    do {
      r = wait_early (stripe, zone, wp, deadline, nap);
      if (r == 0) {
        zone_finish_discard (z, stripe, zone);
        r = check_write (z, zone, count, wp);
      }
    } while (r == EARLY);
  }
  if (r == 0)
    r = open_implicitly (z, zone);
  if (r < 0)
    stripe_unlock (stripe);
  return r;
}

void
zones_end_write (struct zone_write *w, uint64_t written)
{
  struct zones *z = w->zones;
  struct zone_stripe *stripe;
  enum zone_cond cond;
  uint64_t wp;

  assert (written <= w->count);
  if (!w->is_sequential)
    return;
  wp = w->offset - zone_start (z, w->zone) + written;
  limits_enter (z, false);
  cond = wp == zone_capacity (z, w->zone)
             ? ZONE_COND_FULL
             : state_cond (zone_state (z, w->zone));
  zone_set_state (z, w->zone, cond, wp);
  limits_leave (z, false);
  stripe = zone_stripe (z, w->zone);
  zone_wake_early (stripe, w->zone, wp);
  stripe_unlock (stripe);
}
