/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Reservations, for long writes and zeroes, which go step by step; see store.h.
 */

#include <config.h>

#include "store-internal.h"

/* The bytes of the budget that a range lacks, looked at chunk by chunk. */
static uint64_t
count_cost (struct store *s, uint32_t volume, uint64_t offset, uint64_t end)
{
  struct store_cost cost = {0, 0};
  struct piece piece;
  unsigned stripe;

  for_each_piece (s, volume, piece, offset, end) {
    stripe = stripe_of (s, piece.key);
    lock_shared (s, stripe);
    store_add_cost (s, &piece, &cost);
    unlock_stripe (s, stripe);
  }
  return cost.bytes;
}

/* Most calls need not count, as there is room even if all of the range, and
 * what is around it in its first and last unit, has no memory yet.
 */
bool
store_could_hold (struct store *s, uint32_t volume, uint64_t count,
                  uint64_t offset)
{
  const uint64_t unit = s->arena.whole ? arena_chunk_size (&s->arena) : PAGE;

  return arena_could_charge (&s->arena, count + 2 * unit) ||
         arena_could_charge (&s->arena,
                             count_cost (s, volume, offset, offset + count));
}

/* What is written there from now on keeps its memory (is_reserved), and in a
 * whole arena its chunk.  So one chunk at a time can be looked at.
 */
void
store_begin_reservation (struct store *s, struct store_reservation *p,
                         uint32_t volume, uint64_t count, uint64_t offset)
{
  struct reservations *all = &s->reservations;

  *p = (struct store_reservation){
      .volume = volume, .offset = offset, .end = offset + count};
  lock (&all->lock);
  p->next = all->first;
  all->first = p;
  atomic_fetch_add (&all->nr, 1);
  unlock (&all->lock);
  p->cost = count_cost (s, volume, offset, p->end);
}

int
store_charge_reservation (struct store *s, struct store_reservation *p)
{
  const int r = p->cost > 0 ? arena_charge_data (&s->arena, p->cost) : 0;

  if (r == 0)
    p->charged = p->cost;
  return r;
}

bool
store_could_charge_reservation (struct store *s,
                                const struct store_reservation *p)
{
  return arena_could_charge (&s->arena, p->cost);
}

/* A chunk is in one step only. */
uint64_t
store_reserved_step_limit (const struct store *s,
                           const struct store_reservation *p)
{
  return min (p->end, (p->offset + STORE_STEP) & -arena_chunk_size (&s->arena));
}

int
store_write_reserved_step (struct store *s, struct store_reservation *p,
                           const void *buf)
{
  const uint64_t to = store_reserved_step_limit (s, p);
  int r;

  if (buf != NULL)
    r = store_write_range (s, p->volume, buf, to - p->offset, p->offset,
                           &p->charged);
  else
    r = store_zero_range (s, p->volume, to - p->offset, p->offset, &p->charged);
  if (r == 0) {
    lock (&s->reservations.lock);
    p->offset = to;
    unlock (&s->reservations.lock);
  }
  return r;
}

void
store_end_reservation (struct store *s, struct store_reservation *p)
{
  struct reservations *all = &s->reservations;
  struct store_reservation **link;

  lock (&all->lock);
  for (link = &all->first; *link != p; link = &(*link)->next)
    ;
  *link = p->next;
  atomic_fetch_sub (&all->nr, 1);
  unlock (&all->lock);
  if (p->charged > 0)
    arena_uncharge_data (&s->arena, p->charged);
}

int
store_write_long (struct store *s, uint32_t volume, const void *buf,
                  uint64_t count, uint64_t offset)
{
  const char *from = buf;
  struct store_reservation p;
  int r;

  store_begin_reservation (s, &p, volume, count, offset);
  r = store_charge_reservation (s, &p);
  while (r == 0 && p.offset < p.end)
    r = store_write_reserved_step (
        s, &p, from != NULL ? from + (p.offset - offset) : NULL);
  store_end_reservation (s, &p);
  return r;
}
