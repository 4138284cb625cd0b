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
 * these, trees, the backlog, reservations and copies have small locks of their
 * own, and the arena has one to grow.  The arena's budget and free chunks and a
 * volume's count of written pages are atomics, touched only when a page or
 * chunk is written for the first time or given back.
 *
 * A read, a trim and an extent query take one stripe at a time.  A write takes
 * those of all its chunks, in ascending order, before it changes anything: so
 * it can first see what memory it needs, and refuse without a trace.  Most
 * writes lie in one chunk and take one lock.  A zero that keeps memory does
 * the same, but lets go before it zeroes.  What is longer than STORE_STEP goes
 * step by step, so that nobody waits for more than that, and sees to its memory
 * beforehand.  First it is listed as a reservation; a trim looks at that list
 * under the lock of a stripe.  Then the long request looks at one chunk after
 * the other for pages that are missing, and is charged for these.
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

/*---------------------------------------------------------------------*/
/* Functions for a range within one chunk, whose stripe is locked. */

static void
read_piece (struct store *s, const struct piece *p, char *buf)
{
  const uint32_t nr = table_find (&s->table, p->key);
  const unsigned stop = stop_page (p);
  const struct chunk *c;
  unsigned page, next;
  uint64_t at, len, run_end;

  if (nr == 0) {
    memset (buf, 0, p->len);
    return;
  }
  c = arena_chunk (&s->arena, nr);
  at = p->offset;
  for (page = first_page (p); page < stop; page = next) {
    next = map_end_of_run (c->written, page, stop);
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

/* Runs of pages that are worth a move each. */
#define MAX_RUNS 4

static unsigned
count_runs (const struct chunk *c, const struct piece *p)
{
  const unsigned stop = stop_page (p);
  unsigned page = first_page (p), n = 0;

  for (; page < stop; page = map_end_of_run (c->written, page, stop))
    n++;
  return n;
}

/* Have M move a piece, which begins AT bytes behind the beginning of what it
 * moves.  Returns 0 or the error of M; or 1, and nothing is moved, where the
 * piece is in too many parts.
 */
static int
move_piece (struct store *s, const struct piece *p, struct store_mover *m,
            uint64_t at)
{
  const uint32_t nr = table_find (&s->table, p->key);
  const unsigned stop = stop_page (p);
  uint64_t from = p->offset, run_end;
  const struct chunk *c;
  unsigned page, next;
  char *data;
  int r = 0;

  if (nr == 0)
    return m->move (m, NULL, p->len, at);
  c = arena_chunk (&s->arena, nr);
  data = arena_data (&s->arena, nr);
  if (count_runs (c, p) > MAX_RUNS)
    return 1;
  for (page = first_page (p); page < stop && r == 0; page = next) {
    next = map_end_of_run (c->written, page, stop);
    run_end = min ((uint64_t) next << PAGE_SHIFT, p->offset + p->len);
    r = m->move (m, map_has (c->written, page) ? data + from : NULL,
                 run_end - from, at);
    at += run_end - from;
    from = run_end;
  }
  return r;
}

/*---------------------------------------------------------------------*/

/* The page's entry in the CPU's table of addresses (TLB) is what takes longest:
 * the lines behind the first are fetched by the copy itself, many at a time.
 */
void
store_expect (struct store *s, uint32_t volume, bool is_write, uint64_t offset)
{
  const struct piece p = piece_at (s, volume, offset, offset + 1);
  const uint64_t bucket = table_bucket (&s->table, p.key);
  const uint32_t nr = table_guess (&s->table, bucket);

  __builtin_prefetch (&s->stripes[bucket % NR_STRIPES], 1);
  if (nr != 0) {
    __builtin_prefetch (arena_chunk (&s->arena, nr), 0);
    if (is_write)
      __builtin_prefetch (arena_data (&s->arena, nr) + p.offset, 1);
    else
      __builtin_prefetch (arena_data (&s->arena, nr) + p.offset, 0);
  }
}

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
store_read_to (struct store *s, uint32_t volume, struct store_mover *m,
               void *buf, uint64_t count, uint64_t offset)
{
  const uint64_t start = offset, end = offset + count;
  struct piece p;
  unsigned stripe;
  int r = 0;

  for_each_piece (s, volume, p, offset, end) {
    stripe = stripe_of (s, p.key);
    lock_shared (s, stripe);
    r = move_piece (s, &p, m, offset - start);
    unlock_stripe (s, stripe);
    if (r == 1) {
      store_read (s, volume, buf, p.len, offset);
      r = m->move (m, buf, p.len, offset - start);
    }
    if (r < 0)
      break;
  }
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
               uint64_t count, uint64_t offset, uint64_t *charged)
{
  const uint64_t before = *charged;
  const int r = store_write_range (s, volume, buf, count, offset, charged);

  if (*charged < before)
    arena_count_as_data (&s->arena, before - *charged);
  return r;
}

int
store_zero (struct store *s, uint32_t volume, uint64_t count, uint64_t offset)
{
  return count > STORE_STEP ? store_write_long (s, volume, NULL, count, offset)
                            : store_zero_range (s, volume, count, offset, NULL);
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
    page = map_end_of_run (c->written, page, stop_page (p));
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
store_charged (struct store *s)
{
  return atomic_load (&s->arena.charged);
}

uint64_t
store_written_pages (struct store *s, uint32_t volume)
{
  return atomic_load (&s->volumes[volume].written);
}

uint64_t
store_count_lookups (struct store *s, uint32_t volume)
{
  return tree_count_lookups (&s->table.trees[volume]);
}

uint64_t
store_most_locked (struct store *s)
{
  return atomic_load (&s->most_locked);
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
  atomic_init (&s->reservations.nr, 0);
  s->reservations.first = NULL;
  pthread_mutex_init (&s->reservations.lock, NULL);
  atomic_init (&s->most_locked, 0);
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
  pthread_mutex_destroy (&s->reservations.lock);
  pthread_mutex_destroy (&s->backlog.lock);
  pthread_mutex_destroy (&s->backlog.reclaiming);
  table_destroy (&s->table);
  arena_destroy (&s->arena);
  free (s->volumes);
  free (s);
}
