/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The store; store.h says what it promises.
 *
 * The space of all volumes is cut into chunks (128 KiB, see arena.h).  A chunk
 * that has anything written in it stands in a hash table, found by its key:
 *
 *      key = volume << 47 | offset / chunk size
 *       |
 *       v table_bucket: runs of 1024 keys stay side by side
 *
 *     buckets | 0 | 7 | 0 | 0 | 3 | ...            numbers of chunks
 *                   |           |
 *                   v           v                  chunk headers (arena)
 *                 key         key  -> next -> key
 *                 written     written
 *                   |           |
 *                   v           v                  chunk data (arena)
 *                 |w|w| |w|   | |w| | |
 *
 *     stripes | L | L | L | L | ...                reader-writer locks
 *
 * A bucket belongs to the stripe of its number modulo NR_STRIPES, and that
 * stripe's lock guards the bucket's list, the headers of its chunks and their
 * data: shared to look or to copy out, exclusive to change anything.  Beside
 * them there is only the backlog's (store-trim.c).  The arena's budget and free
 * chunks and a volume's count of written pages are atomics, touched only when a
 * page or chunk is written for the first time or given back.
 *
 * A read, a trim and an extent query take one stripe at a time.  A write takes
 * those of all its chunks, in ascending order, before it changes anything: so
 * it can first see what memory it needs, and refuse without a trace.  Most
 * writes lie in one chunk and take one lock.  A zero that keeps memory does
 * the same, but lets go before it zeroes.  What is longer than STORE_STEP goes
 * step by step, so that nobody waits for more than that, and sees to its memory
 * beforehand: it is listed as a promise, which a trim sees under the lock of a
 * stripe, then looks at one chunk after the other for what is missing, and
 * pays.
 *
 * `written` has a bit for each 4 KiB page.  A page without its bit reads as
 * zeroes, and reading one touches nothing.  Its memory is zero and as a rule
 * not there at all, so that writing part of it needs no preparation; but where
 * another bit says that it is stale (store-trim.c), it is memory to be used
 * again.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "store-internal.h"

/* Pages that are worth a call of the kernel's. */
#define MANY 4

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

/* Lock all stripes of a range for a change, in ascending order.  Most ranges
 * lie in one chunk.
 */
static void
lock_range (struct store *s, uint32_t volume, uint64_t offset, uint64_t end,
            struct locked *locked)
{
  const uint64_t count = end - offset;
  struct piece p = piece_at (s, volume, offset, end);
  unsigned stripe;

  locked->one = p.len == count;
  if (locked->one) {
    locked->stripe = stripe_of (s, p.key);
    lock_exclusive (s, locked->stripe);
    return;
  }
  memset (locked->set, 0, sizeof locked->set);
  for_each_piece (s, volume, p, offset, end) {
    stripe = stripe_of (s, p.key);
    locked->set[stripe / 64] |= UINT64_C (1) << stripe % 64;
  }
  for_each_stripe (s, locked, lock_exclusive);
  if (count > atomic_load_explicit (&s->widest, memory_order_relaxed))
    atomic_store_explicit (&s->widest, count, memory_order_relaxed);
}

static void
unlock_range (struct store *s, const struct locked *locked)
{
  if (locked->one)
    unlock_stripe (s, locked->stripe);
  else
    for_each_stripe (s, locked, unlock_stripe);
}

/*---------------------------------------------------------------------*/
/* Functions for a range within one chunk, whose stripe is locked. */

static void
read_piece (struct store *s, const struct piece *p, char *buf)
{
  const uint32_t nr = table_find (&s->table, p->key);
  const unsigned last = last_page (p);
  const struct chunk *c;
  unsigned page, next;
  uint64_t at, len, run_end;

  if (nr == 0) {
    memset (buf, 0, p->len);
    return;
  }
  c = arena_chunk (&s->arena, nr);
  at = p->offset;
  for (page = first_page (p); page < last; page = next) {
    next = map_end_of_run (c->written, page, last);
    run_end = min ((uint64_t) next << PAGE_SHIFT, p->offset + p->len);
    len = run_end - at;
    if (map_has (c->written, page))
      memcpy (buf, arena_data (&s->arena, nr) + at, len);
    else
      memset (buf, 0, len);
    buf += len;
    at = run_end;
  }
}

/*---------------------------------------------------------------------*/
/* Memory for a write or zero.  All stripes of the range are locked. */

void
store_add_cost (struct store *s, const struct piece *p, struct store_cost *cost)
{
  const uint32_t nr = table_find (&s->table, p->key);
  unsigned missing = last_page (p) - first_page (p);
  const struct chunk *c;

  if (nr != 0) {
    c = arena_chunk (&s->arena, nr);
    missing -= map_count (c->written, first_page (p), last_page (p));
  }
  cost->pages += missing;
  if (s->arena.whole)
    cost->bytes += nr == 0 ? arena_chunk_size (&s->arena) : 0;
  else
    cost->bytes += (uint64_t) missing << PAGE_SHIFT;
}

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

  /* Those without a page are the ones just added. */
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
  const unsigned first = first_page (p), last = last_page (p);

  if (last - first >= MANY && !s->arena.whole &&
      map_count (arena_chunk (&s->arena, nr)->written, first, last) == 0)
    arena_populate (&s->arena, nr, (uint64_t) first << PAGE_SHIFT,
                    (uint64_t) (last - first) << PAGE_SHIFT);
}

/* The budget is asked first: it has room for no more chunks than the arena has,
 * so that a chunk is refused only where the system gives less than it should.
 * *PAID bytes have been charged already; PAID may be NULL.
 */
static int
provide (struct store *s, uint32_t volume, uint64_t offset, uint64_t end,
         uint64_t *paid, bool fully_written)
{
  const struct store_cost cost = count_cost (s, volume, offset, end);
  uint64_t used;
  struct piece p;
  uint32_t nr;
  int r;

  if (cost.pages == 0)
    return 0;
  if (cost.bytes > 0) {
    used = paid != NULL ? min (*paid, cost.bytes) : 0;
    r = cost.bytes > used ? arena_charge (&s->arena, cost.bytes - used) : 0;
    if (r < 0)
      return r;
    r = add_chunks (s, volume, offset, end);
    if (r < 0) {
      arena_uncharge (&s->arena, cost.bytes - used);
      return r;
    }
    if (paid != NULL)
      *paid -= used;
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

void
store_read (struct store *s, uint32_t volume, void *buf, uint64_t count,
            uint64_t offset)
{
  const uint64_t end = offset + count;
  char *to = buf;
  struct piece p;
  unsigned stripe;

  for_each_piece (s, volume, p, offset, end) {
    stripe = stripe_of (s, p.key);
    lock_shared (s, stripe);
    read_piece (s, &p, to);
    unlock_stripe (s, stripe);
    to += p.len;
  }
}

int
store_write_range (struct store *s, uint32_t volume, const void *buf,
                   uint64_t count, uint64_t offset, uint64_t *paid)
{
  const uint64_t end = offset + count;
  struct locked locked;
  const char *from = buf;
  struct piece p;
  uint32_t nr;
  int r;

  lock_range (s, volume, offset, end, &locked);
  r = provide (s, volume, offset, end, paid, true);
  if (r == 0) {
    for_each_piece (s, volume, p, offset, end) {
      nr = table_find (&s->table, p.key);
      memcpy (arena_data (&s->arena, nr) + p.offset, from, p.len);
      map_set (arena_chunk (&s->arena, nr)->written, first_page (&p),
               last_page (&p));
      from += p.len;
    }
  }
  unlock_range (s, &locked);
  return r;
}

int
store_write (struct store *s, uint32_t volume, const void *buf, uint64_t count,
             uint64_t offset)
{
  if (count > STORE_STEP)
    return store_write_long (s, volume, buf, count, offset);
  return store_write_range (s, volume, buf, count, offset, NULL);
}

int
store_restore (struct store *s, uint32_t volume, const void *buf,
               uint64_t count, uint64_t offset, uint64_t *paid)
{
  return store_write_range (s, volume, buf, count, offset, paid);
}

/* All stripes are held only while memory is taken, which changes no data: what
 * was not written is zero.  The rest is made zero chunk by chunk; where a trim
 * comes between, it is as if it had come after.
 */
int
store_zero_range (struct store *s, uint32_t volume, uint64_t count,
                  uint64_t offset, uint64_t *paid)
{
  const uint64_t start = offset, end = offset + count;
  struct locked locked;
  struct piece p;
  unsigned stripe;
  uint32_t nr;
  int r;

  lock_range (s, volume, offset, end, &locked);
  r = provide (s, volume, offset, end, paid, false);
  if (r == 0) {
    for_each_piece (s, volume, p, offset, end) {
      nr = table_find (&s->table, p.key);
      map_set (arena_chunk (&s->arena, nr)->written, first_page (&p),
               last_page (&p));
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

int
store_zero (struct store *s, uint32_t volume, uint64_t count, uint64_t offset)
{
  return count > STORE_STEP ? store_write_long (s, volume, NULL, count, offset)
                            : store_zero_range (s, volume, count, offset, NULL);
}

/*---------------------------------------------------------------------*/
/* Promises */

/* The chunks that are there from now on stay, so that one at a time can be
 * looked at.
 */
void
store_begin_promise (struct store *s, struct store_promise *p, uint32_t volume,
                     uint64_t count, uint64_t offset)
{
  struct promises *all = &s->promises;
  struct store_cost cost = {0, 0};
  struct piece piece;
  unsigned stripe;

  *p = (struct store_promise){
      .volume = volume, .offset = offset, .end = offset + count};
  lock (&all->lock);
  p->next = all->first;
  all->first = p;
  atomic_fetch_add (&all->nr, 1);
  unlock (&all->lock);

  for_each_piece (s, volume, piece, offset, p->end) {
    stripe = stripe_of (s, piece.key);
    lock_shared (s, stripe);
    store_add_cost (s, &piece, &cost);
    unlock_stripe (s, stripe);
  }
  p->cost = cost.bytes;
}

int
store_pay_promise (struct store *s, struct store_promise *p)
{
  const int r = p->cost > 0 ? arena_charge (&s->arena, p->cost) : 0;

  if (r == 0)
    p->paid = p->cost;
  return r;
}

/* A chunk is in one step only. */
uint64_t
store_reach_promised (const struct store *s, const struct store_promise *p)
{
  return min (p->end, (p->offset + STORE_STEP) & -arena_chunk_size (&s->arena));
}

int
store_step_promised (struct store *s, struct store_promise *p, const void *buf)
{
  const uint64_t to = store_reach_promised (s, p);
  int r;

  if (buf != NULL)
    r = store_write_range (s, p->volume, buf, to - p->offset, p->offset,
                           &p->paid);
  else
    r = store_zero_range (s, p->volume, to - p->offset, p->offset, &p->paid);
  if (r == 0) {
    lock (&s->promises.lock);
    p->offset = to;
    unlock (&s->promises.lock);
  }
  return r;
}

void
store_end_promise (struct store *s, struct store_promise *p)
{
  struct promises *all = &s->promises;
  struct store_promise **link;

  lock (&all->lock);
  for (link = &all->first; *link != p; link = &(*link)->next)
    ;
  *link = p->next;
  atomic_fetch_sub (&all->nr, 1);
  unlock (&all->lock);
  if (p->paid > 0)
    arena_uncharge (&s->arena, p->paid);
}

int
store_write_long (struct store *s, uint32_t volume, const void *buf,
                  uint64_t count, uint64_t offset)
{
  const char *from = buf;
  struct store_promise p;
  int r;

  store_begin_promise (s, &p, volume, count, offset);
  r = store_pay_promise (s, &p);
  while (r == 0 && p.offset < p.end)
    r = store_step_promised (s, &p,
                             from != NULL ? from + (p.offset - offset) : NULL);
  store_end_promise (s, &p);
  return r;
}

/*---------------------------------------------------------------------*/

/* The end of the run of pages at P.offset, in bytes in the chunk, and whether
 * they are written.  Takes the stripe's lock.
 */
static uint64_t
run_in_piece (struct store *s, const struct piece *p, bool *written)
{
  const unsigned stripe = stripe_of (s, p->key);
  uint64_t run_end = p->offset + p->len;
  const struct chunk *c;
  unsigned page;
  uint32_t nr;

  *written = false;
  lock_shared (s, stripe);
  nr = table_find (&s->table, p->key);
  if (nr != 0) {
    c = arena_chunk (&s->arena, nr);
    page = first_page (p);
    *written = map_has (c->written, page);
    page = map_end_of_run (c->written, page, last_page (p));
    run_end = min (run_end, (uint64_t) page << PAGE_SHIFT);
  }
  unlock_stripe (s, stripe);
  return run_end;
}

uint64_t
store_extent (struct store *s, uint32_t volume, uint64_t offset, uint64_t end,
              bool *written)
{
  uint64_t run_end;
  struct piece p;
  bool same;

  p = piece_at (s, volume, offset, end);
  run_end = run_in_piece (s, &p, written);
  while (run_end == p.offset + p.len) {
    offset += run_end - p.offset;
    if (!*written)
      offset = store_skip_emptiness (s, volume, offset, end);
    if (offset == end)
      return end;
    p = piece_at (s, volume, offset, end);
    run_end = run_in_piece (s, &p, &same);
    if (same != *written)
      return offset;
  }
  return offset + (run_end - p.offset);
}

uint64_t
store_held (struct store *s)
{
  return atomic_load (&s->arena.held);
}

uint64_t
store_written (struct store *s, uint32_t volume)
{
  return atomic_load (&s->volumes[volume].written);
}

uint64_t
store_looks (struct store *s, uint32_t volume)
{
  return tree_looks (&s->table.trees[volume]);
}

uint64_t
store_widest (struct store *s)
{
  return atomic_load (&s->widest);
}

int
store_charge (struct store *s, uint64_t bytes)
{
  return arena_charge (&s->arena, bytes);
}

void
store_uncharge (struct store *s, uint64_t bytes)
{
  arena_uncharge (&s->arena, bytes);
}

int
store_set_limit (struct store *s, uint64_t limit)
{
  return arena_set_limit (&s->arena, limit);
}

/*---------------------------------------------------------------------*/

int
store_create (struct store **store, const struct arena_options *o)
{
  struct store *s;
  uint64_t i;
  int r;

  s = aligned_alloc (_Alignof(struct store), sizeof *s);
  if (s == NULL)
    return -ENOMEM;
  s->volumes =
      aligned_alloc (_Alignof(struct volume), o->volumes * sizeof *s->volumes);
  r = -ENOMEM;
  if (s->volumes == NULL)
    goto free_store;
  for (i = 0; i < o->volumes; i++)
    atomic_init (&s->volumes[i].written, 0);
  r = arena_create (&s->arena, o);
  if (r < 0)
    goto free_volumes;
  r = table_create (&s->table, &s->arena, o, NR_STRIPES);
  if (r < 0)
    goto destroy_arena;
  for (i = 0; i < NR_STRIPES; i++)
    fairlock_init (&s->stripes[i].lock);
  atomic_init (&s->backlog.pages, 0);
  atomic_init (&s->backlog.nr, 0);
  s->backlog.first = 0;
  atomic_init (&s->promises.nr, 0);
  s->promises.first = NULL;
  pthread_mutex_init (&s->promises.lock, NULL);
  atomic_init (&s->widest, 0);
  pthread_mutex_init (&s->backlog.reclaiming, NULL);
  pthread_mutex_init (&s->backlog.lock, NULL);
  *store = s;
  return 0;

destroy_arena:
  arena_destroy (&s->arena);
free_volumes:
  free (s->volumes);
free_store:
  free (s);
  return r;
}

void
store_destroy (struct store *s)
{
  unsigned i;

  for (i = 0; i < NR_STRIPES; i++)
    fairlock_destroy (&s->stripes[i].lock);
  pthread_mutex_destroy (&s->promises.lock);
  pthread_mutex_destroy (&s->backlog.lock);
  pthread_mutex_destroy (&s->backlog.reclaiming);
  table_destroy (&s->table);
  arena_destroy (&s->arena);
  free (s->volumes);
  free (s);
}
