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
 * data: shared to look or to copy out, exclusive to change anything.  There is
 * no other lock here.  The arena's budget and free chunks and a volume's count
 * of written pages are atomics, touched only when a page or chunk is written
 * for the first time or given back.
 *
 * A read, a trim and an extent query take one stripe at a time.  A write takes
 * those of all its chunks, in ascending order, before it changes anything: so
 * it can first see what memory it needs, and refuse without a trace.  Most
 * writes lie in one chunk and take one lock.  A zero that keeps memory does
 * the same, but lets go before it zeroes.
 *
 * `written` has a bit for each 4 KiB page.  A page without its bit reads as
 * zeroes and its memory *is* zero, and as a rule not there at all; so writing
 * part of a page needs no preparation, and reading one touches nothing.  A
 * chunk without any bit leaves the table at once.
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "store.h"
#include "table.h"

#define NR_STRIPES 1024

struct stripe {
  _Alignas(64) pthread_rwlock_t lock;
};

struct store {
  struct arena arena;
  struct table table; /* each bucket guarded by its stripe */
  struct volume *volumes;
  struct stripe stripes[NR_STRIPES];
};

/* What the store knows of a volume: touched only as pages come and go. */
struct volume {
  _Alignas(64) _Atomic uint64_t written; /* pages */
};

/* What a range needs that it does not have yet. */
struct cost {
  uint64_t bytes; /* of the budget */
  uint64_t pages;
};

/* The stripes that a change has locked: one, or a set of them. */
struct locked {
  bool one;
  unsigned stripe;
  uint64_t set[NR_STRIPES / 64];
};

/* The part of a request that lies in one chunk. */
struct piece {
  uint64_t key;
  uint64_t offset; /* in the chunk, bytes */
  uint64_t len;    /* 0 past the end of the request */
};

static uint64_t
min (uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

static struct piece
piece_at (const struct store *s, uint32_t volume, uint64_t offset, uint64_t end)
{
  const uint64_t size = arena_chunk_size (&s->arena);
  struct piece p;

  p.key = (uint64_t) volume << VOLUME_SHIFT | (offset >> s->arena.chunk_shift);
  p.offset = offset & (size - 1);
  p.len = min (end - offset, size - p.offset);
  return p;
}

/* Every chunk from OFFSET up to END; OFFSET moves along. */
#define for_each_piece(s, volume, p, offset, end)                              \
  for (p = piece_at (s, volume, offset, end); p.len > 0;                       \
       offset += p.len, p = piece_at (s, volume, offset, end))

/*---------------------------------------------------------------------*/
/* Locks */

static unsigned
stripe_of (const struct store *s, uint64_t key)
{
  return table_bucket (&s->table, key) % NR_STRIPES;
}

static void
lock_shared (struct store *s, unsigned stripe)
{
  int r = pthread_rwlock_rdlock (&s->stripes[stripe].lock);

  assert (r == 0);
  (void) r;
}

static void
lock_exclusive (struct store *s, unsigned stripe)
{
  int r = pthread_rwlock_wrlock (&s->stripes[stripe].lock);

  assert (r == 0);
  (void) r;
}

static void
unlock (struct store *s, unsigned stripe)
{
  int r = pthread_rwlock_unlock (&s->stripes[stripe].lock);

  assert (r == 0);
  (void) r;
}

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
  struct piece p = piece_at (s, volume, offset, end);
  unsigned stripe;

  locked->one = p.len == end - offset;
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
}

static void
unlock_range (struct store *s, const struct locked *locked)
{
  if (locked->one)
    unlock (s, locked->stripe);
  else
    for_each_stripe (s, locked, unlock);
}

/*---------------------------------------------------------------------*/
/* Within one chunk.  Its stripe is locked in all of these. */

static unsigned
first_page (const struct piece *p)
{
  return p->offset >> PAGE_SHIFT;
}

static unsigned
last_page (const struct piece *p)
{
  return (p->offset + p->len + PAGE - 1) >> PAGE_SHIFT;
}

static unsigned
pages_in_chunk (const struct store *s)
{
  return arena_chunk_size (&s->arena) >> PAGE_SHIFT;
}

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
    next = chunk_end_of_run (c, page, last);
    run_end = min ((uint64_t) next << PAGE_SHIFT, p->offset + p->len);
    len = run_end - at;
    if (chunk_is_written (c, page))
      memcpy (buf, arena_data (&s->arena, nr) + at, len);
    else
      memset (buf, 0, len);
    buf += len;
    at = run_end;
  }
}

/* Make pages zero.  Unless memory comes in whole chunks, it goes back to the
 * system.
 */
static void
blank_pages (struct store *s, uint32_t nr, unsigned first, unsigned last)
{
  const uint64_t offset = (uint64_t) first << PAGE_SHIFT;
  const uint64_t len = (uint64_t) (last - first) << PAGE_SHIFT;

  if (s->arena.whole)
    memset (arena_data (&s->arena, nr) + offset, 0, len);
  else
    arena_blank (&s->arena, nr, offset, len);
}

/* Forget pages that are zero already, and pay back what they held.  A chunk
 * goes back before it is paid back: who has been charged for one must find it.
 */
static void
drop_pages (struct store *s, uint64_t key, uint32_t nr, unsigned first,
            unsigned last)
{
  struct chunk *c = arena_chunk (&s->arena, nr);
  const unsigned pages = chunk_count_written (c, first, last);
  uint64_t bytes = (uint64_t) pages << PAGE_SHIFT;
  bool is_empty;

  chunk_clear_written (c, first, last);
  is_empty = chunk_count_written (c, 0, pages_in_chunk (s)) == 0;
  if (s->arena.whole)
    bytes = is_empty ? arena_chunk_size (&s->arena) : 0;
  if (is_empty) {
    if (s->arena.whole)
      arena_blank (&s->arena, nr, 0, arena_chunk_size (&s->arena));
    table_remove (&s->table, key, nr);
  }
  if (bytes > 0)
    arena_uncharge (&s->arena, bytes);
  if (pages > 0)
    atomic_fetch_sub (&s->volumes[key >> VOLUME_SHIFT].written, pages);
}

static bool
is_zero (const char *page)
{
  return page[0] == 0 && memcmp (page, page + 1, PAGE - 1) == 0;
}

/* Make written pages of a piece zero, and keep them.  Those that are zero
 * already are not touched: many have just been taken, and hold no memory yet.
 */
static void
zero_piece (struct store *s, const struct piece *p)
{
  const uint32_t nr = table_find (&s->table, p->key);
  const uint64_t end = p->offset + p->len;
  uint64_t from, to;
  unsigned page;
  char *data;

  if (nr == 0)
    return;
  data = arena_data (&s->arena, nr);
  for (page = first_page (p); page < last_page (p); page++) {
    from = (uint64_t) page << PAGE_SHIFT;
    to = min (end, from + PAGE);
    if (chunk_is_written (arena_chunk (&s->arena, nr), page) &&
        !is_zero (data + from)) {
      from = from > p->offset ? from : p->offset;
      memset (data + from, 0, to - from);
    }
  }
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

static void
trim_piece (struct store *s, const struct piece *p)
{
  const uint32_t nr = table_find (&s->table, p->key);
  const struct chunk *c = arena_chunk (&s->arena, nr);
  const uint64_t end = p->offset + p->len;
  unsigned first = first_page (p);
  unsigned last = last_page (p);
  unsigned page, next;

  if (nr == 0)
    return;

  /* A page at either end of which only a part is meant. */
  if (p->offset % PAGE != 0 || (first + 1 == last && end % PAGE != 0)) {
    if (chunk_is_written (c, first) &&
        !trim_part (s, nr, p->offset,
                    min (end, (uint64_t) (first + 1) << PAGE_SHIFT)))
      first++;
  }
  if (first < last && end % PAGE != 0 && last - 1 > first_page (p)) {
    if (chunk_is_written (c, last - 1) && !trim_part (s, nr, end & -PAGE, end))
      last--;
  }

  for (page = first; page < last; page = next) {
    next = chunk_end_of_run (c, page, last);
    if (chunk_is_written (c, page))
      blank_pages (s, nr, page, next);
  }
  if (first < last)
    drop_pages (s, p->key, nr, first, last);
}

/*---------------------------------------------------------------------*/
/* Memory for a write or zero.  All stripes of the range are locked. */

/* What the range is to be charged. */
static struct cost
price (struct store *s, uint32_t volume, uint64_t offset, uint64_t end)
{
  struct cost cost = {0, 0};
  const struct chunk *c;
  unsigned missing;
  struct piece p;
  uint32_t nr;

  for_each_piece (s, volume, p, offset, end) {
    nr = table_find (&s->table, p.key);
    missing = last_page (&p) - first_page (&p);
    if (nr != 0) {
      c = arena_chunk (&s->arena, nr);
      missing -= chunk_count_written (c, first_page (&p), last_page (&p));
    }
    cost.pages += missing;
    if (s->arena.whole)
      cost.bytes += nr == 0 ? arena_chunk_size (&s->arena) : 0;
    else
      cost.bytes += (uint64_t) missing << PAGE_SHIFT;
  }
  return cost;
}

/* Put the chunks that the range misses into the table, or none of them. */
static int
add_chunks (struct store *s, uint32_t volume, uint64_t offset, uint64_t end)
{
  const uint64_t start = offset;
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
    if (chunk_count_written (arena_chunk (&s->arena, nr), 0,
                             pages_in_chunk (s)) == 0)
      table_remove (&s->table, p.key, nr);
  }
  return -ENOSPC;
}

/* The budget is asked first: it has room for no more chunks than the arena has,
 * so that a chunk is refused only where the system gives less than it should.
 */
static int
provide (struct store *s, uint32_t volume, uint64_t offset, uint64_t end,
         bool limited)
{
  const struct cost cost = price (s, volume, offset, end);
  int r;

  if (cost.bytes > 0) {
    if (!limited)
      arena_charge_beyond (&s->arena, cost.bytes);
    else {
      r = arena_charge (&s->arena, cost.bytes);
      if (r < 0)
        return r;
    }
    r = add_chunks (s, volume, offset, end);
    if (r < 0) {
      arena_uncharge (&s->arena, cost.bytes);
      return r;
    }
  }
  if (cost.pages > 0)
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
    unlock (s, stripe);
    to += p.len;
  }
}

static int
write_range (struct store *s, uint32_t volume, const void *buf, uint64_t count,
             uint64_t offset, bool limited)
{
  const uint64_t end = offset + count;
  struct locked locked;
  const char *from = buf;
  struct piece p;
  uint32_t nr;
  int r;

  lock_range (s, volume, offset, end, &locked);
  r = provide (s, volume, offset, end, limited);
  if (r == 0) {
    for_each_piece (s, volume, p, offset, end) {
      nr = table_find (&s->table, p.key);
      memcpy (arena_data (&s->arena, nr) + p.offset, from, p.len);
      chunk_set_written (arena_chunk (&s->arena, nr), first_page (&p),
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
  return write_range (s, volume, buf, count, offset, true);
}

int
store_restore (struct store *s, uint32_t volume, const void *buf,
               uint64_t count, uint64_t offset)
{
  return write_range (s, volume, buf, count, offset, false);
}

/* All stripes are held only while memory is taken, which changes no data: what
 * was not written is zero.  The rest is made zero chunk by chunk; where a trim
 * comes between, it is as if it had come after.
 */
int
store_zero (struct store *s, uint32_t volume, uint64_t count, uint64_t offset)
{
  const uint64_t start = offset, end = offset + count;
  struct locked locked;
  struct piece p;
  unsigned stripe;
  uint32_t nr;
  int r;

  lock_range (s, volume, offset, end, &locked);
  r = provide (s, volume, offset, end, true);
  if (r == 0) {
    for_each_piece (s, volume, p, offset, end) {
      nr = table_find (&s->table, p.key);
      chunk_set_written (arena_chunk (&s->arena, nr), first_page (&p),
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
    zero_piece (s, &p);
    unlock (s, stripe);
  }
  return 0;
}

/* Where the emptiness that begins at OFFSET is known to end without a look
 * into the table: OFFSET itself when it may not be empty.
 */
static uint64_t
skip_emptiness (struct store *s, uint32_t volume, uint64_t offset, uint64_t end)
{
  struct piece p;
  uint64_t keys;

  for_each_piece (s, volume, p, offset, end) {
    keys = table_empty_from (&s->table, p.key);
    if (keys == 0)
      break;
    /* This piece, and whole chunks after it. */
    p.len = min (end - offset, (keys << s->arena.chunk_shift) - p.offset);
  }
  return offset;
}

void
store_trim (struct store *s, uint32_t volume, uint64_t count, uint64_t offset)
{
  const uint64_t end = offset + count;
  struct piece p;
  unsigned stripe;

  while ((offset = skip_emptiness (s, volume, offset, end)) < end) {
    p = piece_at (s, volume, offset, end);
    stripe = stripe_of (s, p.key);
    lock_exclusive (s, stripe);
    trim_piece (s, &p);
    unlock (s, stripe);
    offset += p.len;
  }
}

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
    *written = chunk_is_written (c, page);
    page = chunk_end_of_run (c, page, last_page (p));
    run_end = min (run_end, (uint64_t) page << PAGE_SHIFT);
  }
  unlock (s, stripe);
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
      offset = skip_emptiness (s, volume, offset, end);
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

/* A stream of readers must not keep a writer out for ever. */
static void
create_stripes (struct store *s)
{
  pthread_rwlockattr_t attr;
  unsigned i;

  pthread_rwlockattr_init (&attr);
#ifdef HAVE_PTHREAD_RWLOCKATTR_SETKIND_NP
  pthread_rwlockattr_setkind_np (&attr,
                                 PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
#endif
  for (i = 0; i < NR_STRIPES; i++)
    pthread_rwlock_init (&s->stripes[i].lock, &attr);
  pthread_rwlockattr_destroy (&attr);
}

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
  create_stripes (s);
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
    pthread_rwlock_destroy (&s->stripes[i].lock);
  table_destroy (&s->table);
  arena_destroy (&s->arena);
  free (s->volumes);
  free (s);
}
