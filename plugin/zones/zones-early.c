/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Early writes: those that arrive before a write that belongs in front of them.
 * If zone-reorder-wait is set, such a write is put among the early writes of
 * its zone's stripe (zones-order.c), and its thread unlocks the stripe.  Then
 * the thread waits; or the caller has set the write aside, and the thread
 * serves other requests meanwhile.  The request that moves the write pointer
 * wakes the early writes whose offset the pointer reaches (one, unless two want
 * the same offset), and those that it passes, which fail then.  So each write
 * of a queue wakes only the next one, and a write that waits holds no lock.
 *
 * Progress in a zone (zones_early_until) wakes no write: each looks at the
 * moment of the last progress when its own time is up.  A client that keeps
 * making progress can keep a write waiting for ever.  A write that waits on its
 * thread takes that and its buffer, and a connection has no more threads than
 * nbdkit gives it.  A write that is set aside takes one of the `--depth` places
 * that its connection has for requests that wait, and memory.  Each other
 * connection has a share of memory of its own (batch-waiting.c).
 */

#include <config.h>

#include <errno.h>

#include "zones-internal.h"

/* Take an early write out of its stripe's list, and have it tried again. */
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

/* Writes that are woken check their zones again, and find power off. */
void
zones_wake_all (struct zones *z)
{
  uint64_t i;

  for (i = 0; i < z->nr_stripes; i++) {
    zone_stripe_lock (&z->stripes[i]);
    while (z->stripes[i].early.root != NULL)
      wake (&z->stripes[i], z->stripes[i].early.root);
    zone_stripe_unlock (&z->stripes[i]);
  }
}

void
early_insert (struct zones *z, struct zone_early *e)
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

  zone_stripe_lock (stripe);
  unlist (stripe, e);
  zone_stripe_unlock (stripe);
}

/*---------------------------------------------------------------------*/
/* Early writes that wait on their threads */

/* The function `reached` of a write whose thread waits. */
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
  early_insert (z, &e->early);
}

/* The stripe is locked.  A thread that has woken E did so with the stripe
 * locked, and so does not use E any more.
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
await_wake (struct waiting_write *e, uint64_t moment)
{
  const struct timespec ts = {.tv_sec = (time_t) (moment / NSEC_PER_SEC),
                              .tv_nsec = (long) (moment % NSEC_PER_SEC)};
  bool is_woken;

  pthread_mutex_lock (&e->lock);
  while (!e->is_woken &&
         pthread_cond_timedwait (&e->woken, &e->lock, &ts) != ETIMEDOUT)
    ;
  is_woken = e->is_woken;
  pthread_mutex_unlock (&e->lock);
  return is_woken;
}

int
zone_wait_early (struct zones *z, struct zone_claim *c, uint64_t wp,
                 struct zone_wait *wait)
{
  struct zone_stripe *stripe = c->stripe;
  struct waiting_write e = {.early = {.reached = wake_thread,
                                      .zone = c->zone,
                                      .wp = wp,
                                      .since = wait->since}};
  const uint64_t began = clock_now ();
  uint64_t now = began, until, slice = UINT64_MAX;
  int r = 0;

  if (e.early.since != 0 && now >= zones_early_until (z, &e.early)) {
    zone_give_back (c);
    return -EIO;
  }
  begin_wait (z, &e);
  wait->since = e.early.since;
  zone_give_back (c);
  while (now < (until = zones_early_until (z, &e.early))) {
    if (wait->ops != NULL) {
      r = wait->ops->sleep_for (wait->ops->opaque, 0);
      slice = wait_slice (wait->ops, now - began);
    }
    if (r < 0 || await_wake (&e, min (until, moment_after (now, slice))))
      break;
    now = clock_now ();
  }
  zone_stripe_lock (stripe);
  if (r == 0 && e.early.is_listed)
    r = -EIO;
  end_wait (stripe, &e);
  zone_stripe_unlock (stripe);
  return r;
}
