/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Changes of a range of at most a step: all its stripes are locked, its memory
 * is taken as a whole or not at all, and its data is written; see store.c.
 */

#include <config.h>

#include <errno.h>

#include "store-internal.h"

/* The kernel is called for this many pages or more.  For fewer the call costs
 * more than it saves.
 */
#define MIN_TO_POPULATE 4

/* The stripes that a change has locked: one, or a set of them. */
struct locked {
  bool one;
  unsigned stripe;
  uint64_t set[NR_STRIPES / 64];
};

/*---------------------------------------------------------------------*/
/* Locks */

static void
for_each_stripe (struct store *s, const struct locked *locked,
                 void (*action) (struct store *, unsigned))
{
  uint64_t bits;
  unsigned w;

  for (w = 0; w < NR_STRIPES / 64; w++) {
    for (bits = locked->set[w]; bits != 0; bits &= bits - 1)
      action (s, w * 64 + __builtin_ctzll (bits));
  }
}

/* Lock all stripes of a range that lies in several chunks for a change, in
 * ascending order.
 */
static __attribute__ ((noinline)) void
lock_several (struct store *s, uint32_t volume, uint64_t offset, uint64_t end,
              struct locked *locked)
{
  const uint64_t count = end - offset;
  struct piece p;
  unsigned stripe;

  memset (locked->set, 0, sizeof locked->set);
  for_each_piece (s, volume, p, offset, end) {
    stripe = stripe_of (s, p.key);
    locked->set[stripe / 64] |= UINT64_C (1) << stripe % 64;
  }
  for_each_stripe (s, locked, lock_exclusive);
  if (count > atomic_load_explicit (&s->most_locked, memory_order_relaxed))
    atomic_store_explicit (&s->most_locked, count, memory_order_relaxed);
}

/* Lock all stripes of a range for a change.  Most ranges lie in one chunk.
 * Returns the part of the range in its first chunk.
 */
static inline struct piece
lock_range (struct store *s, uint32_t volume, uint64_t offset, uint64_t end,
            struct locked *locked)
{
  const struct piece p = piece_at (s, volume, offset, end);

  locked->one = p.len == end - offset;
  if (locked->one) {
    locked->stripe = stripe_of (s, p.key);
    lock_exclusive (s, locked->stripe);
  }
  else
    lock_several (s, volume, offset, end, locked);
  return p;
}

static inline void
unlock_range (struct store *s, const struct locked *locked)
{
  if (locked->one)
    unlock_stripe (s, locked->stripe);
  else
    for_each_stripe (s, locked, unlock_stripe);
}

/*---------------------------------------------------------------------*/
/* Memory for a write or zero.  All stripes of the range are locked. */

/* The charge for a range. */
static struct store_cost
count_cost (struct store *s, uint32_t volume, uint64_t offset, uint64_t end)
{
  struct store_cost cost = {0, 0};
  struct piece p;

  for_each_piece (s, volume, p, offset, end)
    store_add_cost (s, &p, &cost);
  return cost;
}

/* Put the chunks that the range misses into the table, or none of them. */
static int
add_chunks (struct store *s, uint32_t volume, uint64_t offset, uint64_t end)
{
  const uint64_t start = offset;
  const struct chunk *c;
  uint64_t reached;
  struct piece p;
  uint32_t nr;

  for_each_piece (s, volume, p, offset, end) {
    if (table_find (&s->table, p.key) == 0 && table_add (&s->table, p.key) == 0)
      break;
  }
  if (offset == end)
    return 0;

  /* Chunks without a page are on the backlog, or else just added. */
  reached = offset;
  offset = start;
  for_each_piece (s, volume, p, offset, reached) {
    nr = table_find (&s->table, p.key);
    c = arena_chunk (&s->arena, nr);
    if (map_count (c->written, 0, pages_in_chunk (s)) == 0 && !c->listed) {
      table_remove (&s->table, p.key, nr);
      arena_give (&s->arena, nr);
    }
  }
  return -ENOSPC;
}

/* Have the kernel put in the memory of many pages by one call, where it can,
 * instead of by a fault each.
 */
static void
populate (struct store *s, uint32_t nr, const struct piece *p)
{
  const unsigned first = first_page (p), stop = stop_page (p);

  if (stop - first >= MIN_TO_POPULATE && !s->arena.whole &&
      map_count (arena_chunk (&s->arena, nr)->written, first, stop) == 0)
    arena_populate (&s->arena, nr, (uint64_t) first << PAGE_SHIFT,
                    (uint64_t) (stop - first) << PAGE_SHIFT);
}

/* The budget is asked first: it has room for no more chunks than the arena has,
 * so that a chunk is refused only where the system gives less than it should.
 * *CHARGED bytes have been charged already; CHARGED may be NULL.
 */
static int
provide (struct store *s, uint32_t volume, uint64_t offset, uint64_t end,
         uint64_t *charged, bool fully_written)
{
  const struct store_cost cost = count_cost (s, volume, offset, end);
  uint64_t used;
  struct piece p;
  uint32_t nr;
  int r;

  if (cost.pages == 0)
    return 0;
  if (cost.bytes > 0) {
    used = charged != NULL ? min (*charged, cost.bytes) : 0;
    r = cost.bytes > used ? arena_charge_data (&s->arena, cost.bytes - used)
                          : 0;
    if (r < 0)
      return r;
    r = add_chunks (s, volume, offset, end);
    if (r < 0) {
      arena_uncharge_data (&s->arena, cost.bytes - used);
      return r;
    }
    if (charged != NULL)
      *charged -= used;
  }
  for_each_piece (s, volume, p, offset, end) {
    nr = table_find (&s->table, p.key);
    store_refresh (s, nr, &p, fully_written);
    if (fully_written)
      populate (s, nr, &p);
  }
  atomic_fetch_add (&s->volumes[volume].written, cost.pages);
  return 0;
}

/*---------------------------------------------------------------------*/
/* Changes */

/* Where the data of a piece is, if all its pages are written; or NULL.  The
 * chunk's stripe is locked.
 */
static inline char *
find_written (struct store *s, const struct piece *p)
{
  const uint32_t nr = table_find (&s->table, p->key);
  const unsigned first = first_page (p), stop = stop_page (p);

  return nr != 0 && map_count (arena_chunk (&s->arena, nr)->written, first,
                               stop) == stop - first
             ? arena_data (&s->arena, nr) + p->offset
             : NULL;
}

/* Write a range that needs memory, or lies in several chunks.  All stripes of
 * it are locked.
 */
static __attribute__ ((noinline)) int
write_any (struct store *s, uint32_t volume, const char *from, uint64_t offset,
           uint64_t end, uint64_t *charged)
{
  const int r = provide (s, volume, offset, end, charged, true);
  struct piece p;
  uint32_t nr;

  if (r < 0)
    return r;
  for_each_piece (s, volume, p, offset, end) {
    nr = table_find (&s->table, p.key);
    memcpy (arena_data (&s->arena, nr) + p.offset, from, p.len);
    map_set (arena_chunk (&s->arena, nr)->written, first_page (&p),
             stop_page (&p));
    from += p.len;
  }
  return 0;
}

/* Most writes go over what was written before: no memory is needed then, and no
 * chunk's header is changed, which other CPUs would have to read again.
 */
int
store_write_range (struct store *s, uint32_t volume, const void *buf,
                   uint64_t count, uint64_t offset, uint64_t *charged)
{
  const uint64_t end = offset + count;
  struct locked locked;
  const struct piece p = lock_range (s, volume, offset, end, &locked);
  char *const data = locked.one ? find_written (s, &p) : NULL;
  int r = 0;

  if (data != NULL)
    memcpy (data, buf, count);
  else
    r = write_any (s, volume, buf, offset, end, charged);
  unlock_range (s, &locked);
  return r;
}

int
store_write_from (struct store *s, uint32_t volume, struct store_mover *m,
                  uint64_t count, uint64_t offset)
{
  const uint64_t start = offset, end = offset + count;
  struct locked locked;
  struct piece p;
  uint32_t nr;
  int r, err = 0;
  char *data;

  lock_range (s, volume, offset, end, &locked);
  r = provide (s, volume, offset, end, NULL, true);
  if (r == 0) {
    for_each_piece (s, volume, p, offset, end) {
      nr = table_find (&s->table, p.key);
      data = arena_data (&s->arena, nr) + p.offset;
      if (err == 0)
        err = m->move (m, data, p.len, offset - start);
      if (err < 0)
        memset (data, 0, p.len); /* it may be what was trimmed before */
      map_set (arena_chunk (&s->arena, nr)->written, first_page (&p),
               stop_page (&p));
    }
  }
  unlock_range (s, &locked);
  return r < 0 ? r : err;
}

/* All stripes are held only while memory is taken, which changes no data: what
 * was not written is zero.  The rest is made zero chunk by chunk; where a trim
 * comes between, it is as if it had come after.
 */
int
store_zero_range (struct store *s, uint32_t volume, uint64_t count,
                  uint64_t offset, uint64_t *charged)
{
  const uint64_t start = offset, end = offset + count;
  struct locked locked;
  struct piece p;
  unsigned stripe;
  uint32_t nr;
  int r;

  lock_range (s, volume, offset, end, &locked);
  r = provide (s, volume, offset, end, charged, false);
  if (r == 0) {
    for_each_piece (s, volume, p, offset, end) {
      nr = table_find (&s->table, p.key);
      map_set (arena_chunk (&s->arena, nr)->written, first_page (&p),
               stop_page (&p));
    }
  }
  unlock_range (s, &locked);
  if (r < 0)
    return r;

  offset = start;
  for_each_piece (s, volume, p, offset, end) {
    stripe = stripe_of (s, p.key);
    lock_exclusive (s, stripe);
    store_zero_piece (s, &p);
    unlock_stripe (s, stripe);
  }
  return 0;
}
