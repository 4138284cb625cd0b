/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Writes to zones, and how they move write pointers.
 */

#include <config.h>

#include <assert.h>
#include <errno.h>

#include "zones-internal.h"

/* May COUNT bytes be written WP bytes behind the zone's start, by null_blk's
 * rules?  Returns 0, ZONE_WRITE_EARLY if they may once the write pointer is
 * there, or an error.
 */
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
  return wp == state_wp (state) ? 0 : ZONE_WRITE_EARLY;
}

/* Open the zone of a write, if there is room for one more open zone. */
static int
open_implicitly (struct zones *z, struct zone_claim *c)
{
  const uint64_t zone = c->zone;
  uint64_t state;
  int r = 0;

  zone_limits_enter (z, c);
  state = zone_state (z, zone);
  if (state_cond (state) == ZONE_COND_EMPTY ||
      state_cond (state) == ZONE_COND_CLOSED) {
    r = zone_limits_make_room (z, c, state_cond (state));
    if (r == 0)
      zone_set_state (z, zone, ZONE_COND_IMP_OPEN, state_wp (state));
  }
  if (r == 0)
    zone_limits_keep_open (z, zone);
  zone_limits_leave (z, c);
  return r;
}

/* Begin a write of COUNT bytes that has its zone; R says whether it may write
 * there, and is what is returned if it may not.  A write that takes long does
 * not keep the stripe locked.
 */
static int
begin (struct zones *z, struct zone_claim *c, uint64_t count, int r)
{
  if (r == 0)
    r = open_implicitly (z, c);
  if (__builtin_expect (r != 0, 0))
    zone_give_back (c);
  else if (count > z->data.step || z->data.write_may_wait)
    claim_unlock_stripe (c);
  return r;
}

enum zone_place
zones_place (const struct zones *z, uint64_t count, uint64_t offset)
{
  const uint64_t zone = offset >> z->shift;

  if (zone != (offset + count - 1) >> z->shift)
    return ZONE_PLACE_ACROSS;
  return zone < z->nr_conv ? ZONE_PLACE_CONVENTIONAL : ZONE_PLACE_SEQUENTIAL;
}

uint64_t
zones_end_of_zone (const struct zones *z, uint64_t offset)
{
  const uint64_t zone = offset >> z->shift;

  return zone_start (z, zone) + zone_len (z, zone);
}

uint64_t
zones_append_offset (const struct zones *z, uint64_t offset)
{
  const uint64_t zone = offset >> z->shift;
  const uint64_t start = zone_start (z, zone);
  uint64_t wp;

  if (zone < z->nr_conv)
    return start;
  wp = state_wp (zone_state (z, zone));
  return wp < zone_capacity (z, zone) ? start + wp : start;
}

int
zones_begin_append (struct zones *z, struct zone_write *w, uint64_t count,
                    uint64_t offset)
{
  const uint64_t zone = offset >> z->shift;
  uint64_t wp;
  int r;

  if (zone < z->nr_conv)
    return -EIO;
  zone_take (z, &w->claim, zone);
  wp = state_wp (zone_state (z, zone));
  w->zones = z;
  w->zone = zone;
  w->count = count;
  w->offset = zone_start (z, zone) + wp;
  w->is_sequential = true;
  r = check_write (z, zone, count, wp);
  return begin (z, &w->claim, count, r);
}

int
zones_try_write (struct zones *z, struct zone_write *w, uint64_t count,
                 uint64_t offset)
{
  const uint64_t zone = offset >> z->shift;
  const uint64_t wp = offset - zone_start (z, zone);
  int r;

  if (zone >= z->nr_zones || count > zone_len (z, zone) - wp)
    return -EIO;
  w->zones = z;
  w->zone = zone;
  w->count = count;
  w->offset = offset;
  w->is_sequential = zone >= z->nr_conv;
  if (!w->is_sequential)
    return 0;

  zone_take (z, &w->claim, zone);
  r = check_write (z, zone, count, wp);
  if (__builtin_expect (r != 0, 0)) {
    zone_give_back (&w->claim);
    return r == ZONE_WRITE_EARLY && z->reorder_wait == 0 ? -EIO : r;
  }
  return begin (z, &w->claim, count, 0);
}

int
zones_begin_write (struct zones *z, struct zone_write *w, uint64_t count,
                   uint64_t offset, struct zone_wait *wait)
{
  struct zone_wait unknown = {0};
  uint64_t wp;
  int r;

  r = zones_try_write (z, w, count, offset);
  if (r != ZONE_WRITE_EARLY)
    return r;
  wp = offset - zone_start (z, w->zone);
  zone_take (z, &w->claim, w->zone);
  while ((r = check_write (z, w->zone, count, wp)) == ZONE_WRITE_EARLY) {
    r = zone_wait_early (z, &w->claim, wp, wait != NULL ? wait : &unknown);
    if (r < 0)
      return r != -EAGAIN ? r : ZONE_WRITE_EARLY;
    zone_take (z, &w->claim, w->zone);
  }
  return begin (z, &w->claim, count, r);
}

void
zones_list_early (struct zones *z, struct zone_early *e, uint64_t count,
                  uint64_t offset)
{
  struct zone_stripe *stripe;

  e->zone = offset >> z->shift;
  e->wp = offset - zone_start (z, e->zone);
  e->is_listed = false;
  stripe = zone_stripe (z, e->zone);
  zone_stripe_lock (stripe);
  if (check_write (z, e->zone, count, e->wp) == ZONE_WRITE_EARLY)
    early_insert (z, e);
  else
    e->reached (e);
  zone_stripe_unlock (stripe);
}

void
zones_end_write (struct zone_write *w, uint64_t written)
{
  struct zones *z = w->zones;
  enum zone_cond cond;
  uint64_t wp;

  assert (written <= w->count);
  if (!w->is_sequential)
    return;
  wp = w->offset - zone_start (z, w->zone) + written;
  claim_lock_stripe (&w->claim);
  zone_limits_enter (z, NULL);
  cond = wp == zone_capacity (z, w->zone)
             ? ZONE_COND_FULL
             : state_cond (zone_state (z, w->zone));
  zone_set_state (z, w->zone, cond, wp);
  zone_limits_leave (z, NULL);
  if (written > 0)
    zone_wake_early (z, w->claim.stripe, w->zone, wp);
  zone_give_back (&w->claim);
}
