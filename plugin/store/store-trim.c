/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Trims, and how memory goes back to the system.
 *
 * To take memory from a process that runs on several CPUs, the kernel has to
 * interrupt them all, which takes longer than to free some pages.  So a page
 * that is trimmed only becomes *stale*: it counts as gone, but keeps its memory
 * with whatever is in it.  If it is written again soon, it needs no new memory.
 *
 *                 trim                         reclaim
 *     written  ---------->  stale, listed  --------------->  no memory
 *        ^                        |          8 chunks at a       |
 *        |    write (of a part:   |          time, neighbours    |
 *        |    made zero before)   |          by one call         |
 *        +------------------------+------------------------------+
 *
 * The backlog lists the chunks with stale pages.  Beyond MAX_STALE pages
 * (1 MiB), and when the list is full, whoever has trimmed gives the oldest
 * back, with no stripe of its own locked.  A chunk is listed once at most: its
 * header says whether it is listed, and it stays listed when its stale pages
 * are written again. So what was trimmed and written before never fills the
 * list.  A chunk without any written page stays in the table until it is given
 * back.
 *
 * In a whole arena stale pages are not listed: their memory is held as long as
 * their chunk has a written page, and goes back with it.
 */

#include <config.h>

#include <stdlib.h>

#include "store-internal.h"

static uint32_t
nr_stale (const struct store *s, uint32_t nr)
{
  return map_count (arena_stale (&s->arena, nr), 0, pages_in_chunk (s));
}

/* Put a chunk on the backlog, if it is not there.  Returns false where that is
 * full: others have trimmed, too, and are about to give back.
 */
static bool
enlist (struct store *s, uint64_t key, uint32_t nr)
{
  struct chunk *c = arena_chunk (&s->arena, nr);
  struct backlog *b = &s->backlog;

  if (c->listed)
    return true;
  pthread_mutex_lock (&b->lock);
  if (b->nr < MAX_STALE) {
    b->keys[(b->first + b->nr) % MAX_STALE] = key;
    b->nr++;
    c->listed = true;
  }
  pthread_mutex_unlock (&b->lock);
  return c->listed;
}

/* Written pages are of no use any more: make them stale, or give them back. */
static void
retire (struct store *s, uint64_t key, uint32_t nr, unsigned first,
        unsigned stop)
{
  if (!s->arena.whole) {
    if (!enlist (s, key, nr)) {
      arena_blank (&s->arena, nr, (uint64_t) first << PAGE_SHIFT,
                   (uint64_t) (stop - first) << PAGE_SHIFT);
      return;
    }
    atomic_fetch_add (&s->backlog.pages, stop - first);
  }
  map_set (arena_stale (&s->arena, nr), first, stop);
}

void
store_refresh (struct store *s, uint32_t nr, const struct piece *p,
               bool fully_written)
{
  uint32_t *stale = arena_stale (&s->arena, nr);
  const unsigned pages = map_count (stale, first_page (p), stop_page (p));
  const uint64_t end = p->offset + p->len;
  uint64_t from;
  unsigned page;

  if (pages == 0)
    return;
  for (page = first_page (p); page < stop_page (p); page++) {
    from = (uint64_t) page << PAGE_SHIFT;
    if (map_has (stale, page) &&
        !(fully_written && from >= p->offset && from + PAGE <= end))
      memset (arena_data (&s->arena, nr) + from, 0, PAGE);
  }
  map_clear (stale, first_page (p), stop_page (p));
  if (!s->arena.whole)
    atomic_fetch_sub (&s->backlog.pages, pages);
}

/*---------------------------------------------------------------------*/
/* Zeroing */

/* Pages that are zero already are not touched: many have just been taken, and
 * hold no memory yet.
 */
void
store_zero_piece (struct store *s, const struct piece *p)
{
  const uint32_t nr = table_find (&s->table, p->key);
  const uint64_t end = p->offset + p->len;
  uint64_t from, to;
  unsigned page;
  char *data;

  if (nr == 0)
    return;
  data = arena_data (&s->arena, nr);
  for (page = first_page (p); page < stop_page (p); page++) {
    from = (uint64_t) page << PAGE_SHIFT;
    to = min (end, from + PAGE);
    if (map_has (arena_chunk (&s->arena, nr)->written, page) &&
        !is_zero (data + from)) {
      from = from > p->offset ? from : p->offset;
      memset (data + from, 0, to - from);
    }
  }
}

/*---------------------------------------------------------------------*/
/* Giving memory back */

/* Take up to RECLAIM_CHUNKS from the backlog. */
static unsigned
oldest (struct backlog *b, uint64_t *keys)
{
  unsigned n;

  pthread_mutex_lock (&b->lock);
  for (n = 0; n < RECLAIM_CHUNKS && b->nr > 0; n++) {
    keys[n] = b->keys[b->first];
    b->first = (b->first + 1) % MAX_STALE;
    b->nr--;
  }
  pthread_mutex_unlock (&b->lock);
  return n;
}

/* Give back the stale pages of a chunk that has written ones, too. */
static void
blank_stale (struct store *s, uint32_t nr)
{
  uint32_t *stale = arena_stale (&s->arena, nr);
  const unsigned pages = pages_in_chunk (s);
  unsigned page, next;

  for (page = 0; page < pages; page = next) {
    next = map_end_of_run (stale, page, pages);
    if (map_has (stale, page))
      arena_blank (&s->arena, nr, (uint64_t) page << PAGE_SHIFT,
                   (uint64_t) (next - page) << PAGE_SHIFT);
  }
}

/* Give back the stale pages, if there are any, of the chunk at KEY, which was
 * on the backlog.  If the chunk has no other pages, it is taken out of the
 * table, and its number returned.
 */
static uint32_t
clear_out (struct store *s, uint64_t key)
{
  const unsigned stripe = stripe_of (s, key);
  struct chunk *c;
  uint32_t nr, r = 0;

  lock_exclusive (s, stripe);
  nr = table_find (&s->table, key);
  assert (nr != 0); /* nobody else takes it out while it is listed */
  c = arena_chunk (&s->arena, nr);
  c->listed = false;
  atomic_fetch_sub (&s->backlog.pages, nr_stale (s, nr));
  if (map_count (c->written, 0, pages_in_chunk (s)) == 0) {
    table_remove (&s->table, key, nr);
    r = nr;
  }
  else
    blank_stale (s, nr);
  map_clear (arena_stale (&s->arena, nr), 0, pages_in_chunk (s));
  unlock_stripe (s, stripe);
  return r;
}

static int
by_number (const void *a, const void *b)
{
  const uint32_t *x = a, *y = b;

  return (*x > *y) - (*x < *y);
}

static void
reclaim (struct store *s)
{
  const uint64_t size = arena_chunk_size (&s->arena);
  unsigned n, i, from, empty = 0;
  uint64_t keys[RECLAIM_CHUNKS];
  uint32_t nrs[RECLAIM_CHUNKS];

  pthread_mutex_lock (&s->backlog.reclaiming);
  n = oldest (&s->backlog, keys);
  for (i = 0; i < n; i++) {
    nrs[empty] = clear_out (s, keys[i]);
    empty += nrs[empty] != 0;
  }
  qsort (nrs, empty, sizeof nrs[0], by_number);
  for (from = 0; from < empty; from = i) {
    for (i = from + 1; i < empty && nrs[i] == nrs[i - 1] + 1; i++)
      ;
    arena_blank (&s->arena, nrs[from], 0, (i - from) * size);
  }
  for (i = 0; i < empty; i++)
    arena_give (&s->arena, nrs[i]);
  pthread_mutex_unlock (&s->backlog.reclaiming);
}

/*---------------------------------------------------------------------*/
/* Trimming */

static bool
is_backlog_full (const struct store *s)
{
  return atomic_load (&s->backlog.pages) > MAX_STALE ||
         atomic_load (&s->backlog.nr) == MAX_STALE;
}

/* Pages are of no use any more: those that are written are retired, and the
 * memory that they had is uncharged.  A chunk of a whole arena goes back with
 * its last page, and before it is uncharged: a request that was charged for a
 * chunk must find one.
 */
static void
drop_pages (struct store *s, uint64_t key, uint32_t nr, unsigned first,
            unsigned stop)
{
  struct chunk *c = arena_chunk (&s->arena, nr);
  const unsigned pages = map_count (c->written, first, stop);
  uint64_t bytes = (uint64_t) pages << PAGE_SHIFT;
  unsigned page, next;
  bool is_empty;

  if (pages == 0)
    return;
  for (page = first; page < stop; page = next) {
    next = map_end_of_run (c->written, page, stop);
    if (map_has (c->written, page))
      retire (s, key, nr, page, next);
  }
  map_clear (c->written, first, stop);
  is_empty = map_count (c->written, 0, pages_in_chunk (s)) == 0;
  if (s->arena.whole) {
    bytes = is_empty ? arena_chunk_size (&s->arena) : 0;
    if (is_empty) {
      map_clear (arena_stale (&s->arena, nr), 0, pages_in_chunk (s));
      arena_blank (&s->arena, nr, 0, arena_chunk_size (&s->arena));
    }
  }
  if (is_empty && !c->listed) {
    table_remove (&s->table, key, nr);
    arena_give (&s->arena, nr);
  }
  if (bytes > 0)
    arena_uncharge_data (&s->arena, bytes);
  atomic_fetch_sub (&s->volumes[key >> VOLUME_SHIFT].written, pages);
}

/* Make part of a page zero, from FROM to TO in the chunk.  Says whether all of
 * the page is zero then.
 */
static bool
trim_part (struct store *s, uint32_t nr, uint64_t from, uint64_t to)
{
  char *data = arena_data (&s->arena, nr);

  memset (data + from, 0, to - from);
  return is_zero (data + (from & -PAGE));
}

/* Is a range here reserved, so that its pages must keep their memory?  A
 * request that has looked here for missing pages has had the stripe's lock, so
 * its reservation is seen.  In a whole arena it is the chunk that has to stay.
 */
static bool
is_reserved (struct store *s, uint64_t key, unsigned first, unsigned stop)
{
  const uint64_t volume = key >> VOLUME_SHIFT;
  const uint64_t chunk = (key - (volume << VOLUME_SHIFT))
                         << s->arena.chunk_shift;
  const struct store_reservation *p;
  uint64_t from = chunk, to = chunk + arena_chunk_size (&s->arena);
  bool r = false;

  if (atomic_load_explicit (&s->reservations.nr, memory_order_relaxed) == 0)
    return false;
  if (!s->arena.whole) {
    from = chunk + ((uint64_t) first << PAGE_SHIFT);
    to = chunk + ((uint64_t) stop << PAGE_SHIFT);
  }
  lock (&s->reservations.lock);
  for (p = s->reservations.first; p != NULL && !r; p = p->next)
    r = p->volume == volume && (p->offset & -PAGE) < to && from < p->end;
  unlock (&s->reservations.lock);
  return r;
}

static void
trim_piece (struct store *s, const struct piece *p)
{
  const uint32_t nr = table_find (&s->table, p->key);
  const struct chunk *c = arena_chunk (&s->arena, nr);
  const uint64_t end = p->offset + p->len;
  unsigned first = first_page (p);
  unsigned stop = stop_page (p);

  if (nr == 0)
    return;

  /* The page at either end may be meant only in part. */
  if (p->offset % PAGE != 0 || (first + 1 == stop && end % PAGE != 0)) {
    if (map_has (c->written, first) &&
        !trim_part (s, nr, p->offset,
                    min (end, (uint64_t) (first + 1) << PAGE_SHIFT)))
      first++;
  }
  if (first < stop && end % PAGE != 0 && stop - 1 > first_page (p)) {
    if (map_has (c->written, stop - 1) && !trim_part (s, nr, end & -PAGE, end))
      stop--;
  }
  if (first == stop)
    return;
  if (is_reserved (s, p->key, first, stop))
    store_zero_piece (s, p);
  else
    drop_pages (s, p->key, nr, first, stop);
}

uint64_t
store_trim_step (struct store *s, uint32_t volume, uint64_t offset,
                 uint64_t end)
{
  uint64_t left = STORE_STEP;
  struct piece p;
  unsigned stripe;

  while ((offset = store_skip_emptiness (s, volume, offset, end)) < end &&
         left >= arena_chunk_size (&s->arena)) {
    p = piece_at (s, volume, offset, end);
    stripe = stripe_of (s, p.key);
    lock_exclusive (s, stripe);
    trim_piece (s, &p);
    unlock_stripe (s, stripe);
    if (is_backlog_full (s))
      reclaim (s);
    offset += p.len;
    left -= arena_chunk_size (&s->arena);
    if (offset == end)
      break;
  }
  return offset;
}

void
store_trim (struct store *s, uint32_t volume, uint64_t count, uint64_t offset)
{
  const uint64_t end = offset + count;

  while (offset < end)
    offset = store_trim_step (s, volume, offset, end);
}
