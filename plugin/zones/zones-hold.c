/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Which request has a zone, and which requests wait for it.  A request that
 * changes a zone takes it, and so does a long read, which shares the zone with
 * other long reads.  The zone's stripe is locked while the request looks at the
 * zone and changes its state.  A request whose data takes long unlocks the
 * stripe meanwhile: it has a place in the stripe's list then, and all that take
 * the zone after it wait behind it, each on a semaphore of its own:
 *
 *     stripe 7   holds -> zone 7, -> zone 1031, -> zone 7, -> zone 7,
 *                         write      long read     reset      long read
 *                                                  (waits)    (waits)
 *
 * A request that gives a zone back wakes the next one, or the next few that
 * share the zone.  So requests have the zone in the order in which they asked
 * for it, and requests to other zones of the stripe do not wait.
 */

#include <config.h>

#include <semaphore.h>

#include "zones-internal.h"

static struct zone_hold **
end_of_list (struct zone_stripe *stripe)
{
  struct zone_hold **link = &stripe->holds;

  while (*link != NULL)
    link = &(*link)->next;
  return link;
}

/* Has H, which is not in the list, to wait for a request that is? */
static bool
is_in_the_way (const struct zone_hold *h)
{
  const struct zone_hold *o;

  for (o = h->stripe->holds; o != NULL; o = o->next) {
    if (o->zone == h->zone && !(o->is_shared && h->is_shared))
      return true;
  }
  return false;
}

/* Put H at the end of the list, and wait until it has the zone.  The stripe is
 * locked when this is called and when it returns.
 */
static void
await_zone (struct zone_hold *h)
{
  sem_t wake;

  sem_init (&wake, 0, 0);
  h->wake = &wake;
  h->next = NULL;
  h->is_listed = true;
  *end_of_list (h->stripe) = h;
  stripe_unlock (h->stripe);
  while (sem_wait (&wake) == -1)
    ;
  stripe_lock (h->stripe);
  sem_destroy (&wake);
}

static void
take (struct zones *z, struct zone_hold *h, uint64_t zone, bool is_shared)
{
  h->stripe = zone_stripe (z, zone);
  h->zone = zone;
  h->wake = NULL;
  h->is_shared = is_shared;
  h->is_listed = false;
  h->is_locked = true;
  stripe_lock (h->stripe);
  if (__builtin_expect (h->stripe->holds != NULL, 0) && is_in_the_way (h))
    await_zone (h);
}

void
zone_take (struct zones *z, struct zone_hold *h, uint64_t zone)
{
  take (z, h, zone, false);
}

void
zone_take_shared (struct zones *z, struct zone_hold *h, uint64_t zone)
{
  take (z, h, zone, true);
}

/* H has the zone: its place in the list is before all that wait for the zone.
 */
void
zone_let_go (struct zone_hold *h)
{
  if (!h->is_locked)
    return;
  if (!h->is_listed) {
    h->next = h->stripe->holds;
    h->stripe->holds = h;
    h->is_listed = true;
  }
  h->is_locked = false;
  stripe_unlock (h->stripe);
}

void
zone_lock_again (struct zone_hold *h)
{
  if (h->is_locked)
    return;
  stripe_lock (h->stripe);
  h->is_locked = true;
}

/* Wake those that have the zone now that another request has left the list. */
static void
wake_next (struct zone_stripe *stripe, uint64_t zone)
{
  struct zone_hold *h;
  bool is_first = true;

  for (h = stripe->holds; h != NULL; h = h->next) {
    if (h->zone != zone)
      continue;
    if (h->wake != NULL && (is_first || h->is_shared)) {
      sem_post (h->wake);
      h->wake = NULL;
    }
    if (!h->is_shared)
      return;
    is_first = false;
  }
}

void
zone_give_back (struct zone_hold *h)
{
  struct zone_hold **link;

  zone_lock_again (h);
  if (h->is_listed) {
    link = &h->stripe->holds;
    while (*link != h)
      link = &(*link)->next;
    *link = h->next;
    wake_next (h->stripe, h->zone);
  }
  stripe_unlock (h->stripe);
}
