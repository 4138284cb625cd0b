/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Which request has a zone, and which requests wait for it.  A request that
 * changes a zone takes it, and so does a long read, which shares the zone with
 * other long reads.  The zone's stripe is locked while the request looks at the
 * zone and changes its state (but see zones-limits.c).  A request whose data
 * takes long unlocks the stripe meanwhile: it has a place in the stripe's list
 * then, and all that take the zone after it wait behind it, each on a semaphore
 * of its own:
 *
 *     stripe 7   claims -> zone 7, -> zone 1031, -> zone 7, -> zone 7,
 *                          write      long read     reset      long read
 *                                                   (waits)    (waits)
 *
 * A request that gives a zone back wakes the next one, or the next few that
 * share the zone.  So requests have the zone in the order in which they asked
 * for it, and requests to other zones of the stripe do not wait.
 */

#include <config.h>

#include <semaphore.h>

#include "zones-internal.h"

static struct zone_claim **
end_of_list (struct zone_stripe *stripe)
{
  struct zone_claim **link = &stripe->claims;

  while (*link != NULL)
    link = &(*link)->next;
  return link;
}

/* Does C, which is not in the list, have to wait for a request that is? */
static bool
is_in_the_way (const struct zone_claim *c)
{
  const struct zone_claim *o;

  for (o = c->stripe->claims; o != NULL; o = o->next) {
    if (o->zone == c->zone && !(o->is_shared && c->is_shared))
      return true;
  }
  return false;
}

/* Put C at the end of the list, and wait until it has the zone.  The stripe is
 * locked when this is called and when it returns.
 */
static void
await_zone (struct zone_claim *c)
{
  sem_t wake;

  sem_init (&wake, 0, 0);
  c->wake = &wake;
  c->next = NULL;
  c->is_listed = true;
  *end_of_list (c->stripe) = c;
  zone_stripe_unlock (c->stripe);
  while (sem_wait (&wake) == -1)
    ;
  zone_stripe_lock (c->stripe);
  sem_destroy (&wake);
}

static void
take (struct zones *z, struct zone_claim *c, uint64_t zone, bool is_shared)
{
  c->stripe = zone_stripe (z, zone);
  c->zone = zone;
  c->wake = NULL;
  c->is_shared = is_shared;
  c->is_listed = false;
  c->is_locked = true;
  zone_stripe_lock (c->stripe);
  if (__builtin_expect (c->stripe->claims != NULL, 0) && is_in_the_way (c))
    await_zone (c);
}

void
zone_take (struct zones *z, struct zone_claim *c, uint64_t zone)
{
  take (z, c, zone, false);
}

void
zone_take_shared (struct zones *z, struct zone_claim *c, uint64_t zone)
{
  take (z, c, zone, true);
}

/* C has the zone: its place in the list is before all that wait for the zone.
 */
void
claim_unlock_stripe (struct zone_claim *c)
{
  if (!c->is_locked)
    return;
  if (!c->is_listed) {
    c->next = c->stripe->claims;
    c->stripe->claims = c;
    c->is_listed = true;
  }
  c->is_locked = false;
  zone_stripe_unlock (c->stripe);
}

void
claim_lock_stripe (struct zone_claim *c)
{
  if (c->is_locked)
    return;
  zone_stripe_lock (c->stripe);
  c->is_locked = true;
}

/* Wake those that have the zone now that another request has left the list. */
static void
wake_next (struct zone_stripe *stripe, uint64_t zone)
{
  struct zone_claim *c;
  bool is_first = true;

  for (c = stripe->claims; c != NULL; c = c->next) {
    if (c->zone != zone)
      continue;
    if (c->wake != NULL && (is_first || c->is_shared)) {
      sem_post (c->wake);
      c->wake = NULL;
    }
    if (!c->is_shared)
      return;
    is_first = false;
  }
}

void
zone_give_back (struct zone_claim *c)
{
  struct zone_claim **link;

  claim_lock_stripe (c);
  if (c->is_listed) {
    link = &c->stripe->claims;
    while (*link != c)
      link = &(*link)->next;
    *link = c->next;
    wake_next (c->stripe, c->zone);
  }
  zone_stripe_unlock (c->stripe);
}
