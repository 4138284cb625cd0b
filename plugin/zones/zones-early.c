/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Writes that come early: before the one that is to be written in front of
 * them.  If zone-reorder-wait is set, such a write puts itself among those of
 * the zone's stripe (zones-order.c) and lets go of the lock.  Its thread waits
 * then, or the caller has set it aside and serves other requests meanwhile.
 * The request that moves the write pointer wakes the early writes whose place
 * the pointer reaches (one, unless two want the same place), and those that it
 * passes, which fail then.  So each write of a queue wakes only the next one,
 * and a write that waits holds no lock.
 *
 * Progress in a zone (zones_early_until) wakes nobody: each of its writes looks
 * at the moment of the last progress when its own time is up.  A client that
 * keeps making progress can keep a write waiting for ever.  Such a write holds
 * a thread and its buffer, and a connection has as many threads as nbdkit gives
 * it.  Or the write holds one of the `--depth` places that its connection has
 * for requests that are set aside, and memory, of which other connections keep
 * a share of their own (batch-waiting.c).
 */

#include <config.h>

#include <errno.h>

#include "zones-internal.h"

/* Take an early write out of its list, and have it tried again. */
static void
wake (struct zone_stripe *stripe, struct zone_early *e)
{
  zone_order_remove (&stripe->early, e);
  e->is_listed = false;
  e->reached (e);
}

static void
note_progress (struct zones *z, uint64_t zone, uint64_t now)
{
  atomic_store_explicit (&z->progress[zone_index (z, zone)], now,
                         memory_order_relaxed);
}

void
zone_tell_early (struct zones *z, uint64_t zone, uint64_t wp)
{
  struct zone_stripe *stripe = zone_stripe (z, zone);
  struct zone_early *e;

  note_progress (z, zone, clock_now ());
  while ((e = zone_order_first (&stripe->early, zone)) != NULL && e->wp <= wp)
    wake (stripe, e);
}

uint64_t
zones_early_until (const struct zones *z, const struct zone_early *e)
{
  const uint64_t progress = atomic_load_explicit (
      &z->progress[zone_index (z, e->zone)], memory_order_relaxed);

  return moment_after (progress > e->since ? progress : e->since,
                       z->reorder_wait);
}

/* The writes that are woken check their zones again. */
void
zones_wake_all (struct zones *z)
{
  uint64_t i;

  for (i = 0; i < z->nr_stripes; i++) {
    stripe_lock (&z->stripes[i]);
    while (z->stripes[i].early.root != NULL)
      wake (&z->stripes[i], z->stripes[i].early.root);
    stripe_unlock (&z->stripes[i]);
  }
}

void
zone_list_early (struct zones *z, struct zone_early *e)
{
  if (e->since == 0) {
    e->since = clock_now ();
    note_progress (z, e->zone, e->since);
  }
  e->is_listed = true;
  zone_order_add (&zone_stripe (z, e->zone)->early, e);
}

static void
unlist (struct zone_stripe *stripe, struct zone_early *e)
{
  if (e->is_listed)
    zone_order_remove (&stripe->early, e);
  e->is_listed = false;
}

void
zones_unlist_early (struct zones *z, struct zone_early *e)
{
  struct zone_stripe *stripe = zone_stripe (z, e->zone);

  stripe_lock (stripe);
  unlist (stripe, e);
  stripe_unlock (stripe);
}

/*---------------------------------------------------------------------*/
/* On a thread */

/* What struct zone_early calls REACHED, where a thread waits for the write. */
static void
wake_thread (struct zone_early *early)
{
  struct waiting_write *e = (struct waiting_write *) early;

  pthread_mutex_lock (&e->lock);
  e->is_woken = true;
  pthread_cond_signal (&e->woken);
  pthread_mutex_unlock (&e->lock);
}

static void
begin_wait (struct zones *z, struct waiting_write *e)
{
  pthread_condattr_t attr;

  pthread_mutex_init (&e->lock, NULL);
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  pthread_cond_init (&e->woken, &attr);
  pthread_condattr_destroy (&attr);
  e->is_woken = false;
  zone_list_early (z, &e->early);
}

/* The stripe is locked.  A request that woke E did so with the stripe locked,
 * and so has no use of E any more.
 */
static void
end_wait (struct zone_stripe *stripe, struct waiting_write *e)
{
  unlist (stripe, &e->early);
  pthread_cond_destroy (&e->woken);
  pthread_mutex_destroy (&e->lock);
}

/* Wait until E is woken, or until MOMENT; say whether E was woken. */
static bool
await_turn (struct waiting_write *e, uint64_t moment)
{
  const struct timespec ts = {.tv_sec = (time_t) (moment / NSEC_PER_SEC),
                              .tv_nsec = (long) (moment % NSEC_PER_SEC)};
  bool come;

  pthread_mutex_lock (&e->lock);
  while (!e->is_woken &&
         pthread_cond_timedwait (&e->woken, &e->lock, &ts) != ETIMEDOUT)
    ;
  come = e->is_woken;
  pthread_mutex_unlock (&e->lock);
  return come;
}

int
zone_wait_early (struct zones *z, struct zone_hold *h, uint64_t wp,
                 struct zone_wait *wait)
{
  struct zone_stripe *stripe = h->stripe;
  struct waiting_write e = {.early = {.reached = wake_thread,
                                      .zone = h->zone,
                                      .wp = wp,
                                      .since = wait->since}};
  const uint64_t began = clock_now ();
  uint64_t now = began, until, slice = UINT64_MAX;
  int r = 0;

  if (e.early.since != 0 && now >= zones_early_until (z, &e.early)) {
    zone_give_back (h);
    return -EIO;
  }
  begin_wait (z, &e);
  wait->since = e.early.since;
  zone_give_back (h);
  while (now < (until = zones_early_until (z, &e.early))) {
    if (wait->nap != NULL) {
      r = wait->nap->sleep_for (wait->nap->opaque, 0);
      slice = wait_slice (wait->nap, now - began);
    }
    if (r < 0 || await_turn (&e, min (until, moment_after (now, slice))))
      break;
    now = clock_now ();
  }
  stripe_lock (stripe);
  if (r == 0 && e.early.is_listed)
    r = -EIO;
  end_wait (stripe, &e);
  stripe_unlock (stripe);
  return r;
}
