/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Declarations that the files of this room share: the store's structures, and
 * its locks.  Each file calls only those that stand below it:
 *
 *     store.c              reads, writes and extents (with the diagram, and the
 *                          rules for the locks)
 *     store-reservation.c  long writes and zeroes, step by step
 *     store-range.c        writes and zeroes of a step, and their memory
 *     store-trim.c         trims, and how memory goes back
 *     store-copies.c       memory for copies of data
 *     store-step.c         the next place with data, and where a step ends
 *     table.c              finds a chunk by its key
 *     tree.c               finds the chunk with the next key
 *     arena.c              the memory of chunks, and the budget
 *     machine.c            how much memory the machine has
 */

#ifndef NULLBLK_STORE_INTERNAL_H
#define NULLBLK_STORE_INTERNAL_H

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "common/common.h"
#include "store.h"
#include "table-internal.h"

#define NR_STRIPES 1024

/* The lock is held for a look at a chunk, and for a change of at most
 * STORE_STEP, for which the kernel may have to find memory.
 */
struct stripe {
  _Alignas(64) struct fairlock lock;
};

/* The backlog lists the chunks in the table that have stale pages, the oldest
 * first, each once; see store-trim.c.  The stale pages of a listed chunk may
 * have been written again since.
 */
#define MAX_STALE 256    /* pages, and chunks */
#define RECLAIM_CHUNKS 8 /* chunks that are given back at a time */
_Static_assert(MAX_STALE + RECLAIM_CHUNKS <= SPARE_CHUNKS, "too few chunks");

struct backlog {
  _Alignas(64) _Atomic uint32_t pages;
  pthread_mutex_t reclaiming; /* before any stripe's; held to give back,
                               * RECLAIM_CHUNKS at a time */
  pthread_mutex_t lock;       /* after any stripe's; guards what follows, for
                               * RECLAIM_CHUNKS keys at most */
  uint64_t keys[MAX_STALE];
  uint32_t first;
  _Atomic uint32_t nr; /* changed under the lock */
};

/* The reservations of all long requests that are in service. */
struct reservations {
  _Alignas(64) _Atomic uint32_t nr; /* changed under the lock */
  pthread_mutex_t lock; /* after any stripe's; guards what follows, for a look
                         * at all of them */
  struct store_reservation *first;
};

struct store {
  struct arena arena;
  struct table table; /* each bucket guarded by its stripe */
  struct volume *volumes;
  struct backlog backlog;
  struct reservations reservations;
  _Atomic uint64_t most_locked; /* see store_most_locked */
  struct stripe stripes[NR_STRIPES];
};

/* The count of a volume's pages, which changes only as pages come and go. */
struct volume {
  _Alignas(64) _Atomic uint64_t written; /* pages */
};

/* The part of a request that lies in one chunk. */
struct piece {
  uint64_t key;
  uint64_t offset; /* in the chunk, bytes */
  uint64_t len;    /* 0 past the end of the request */
};

static inline struct piece
piece_at (const struct store *s, uint32_t volume, uint64_t offset, uint64_t end)
{
  const uint64_t size = arena_chunk_size (&s->arena);
  struct piece p;

  p.key = (uint64_t) volume << VOLUME_SHIFT | (offset >> s->arena.chunk_shift);
  p.offset = offset & (size - 1);
  p.len = min (end - offset, size - p.offset);
  return p;
}

/* For each chunk from OFFSET up to END, P is the piece in it; OFFSET, a
 * variable, moves along.
 */
#define for_each_piece(s, volume, p, offset, end)                              \
  for (p = piece_at (s, volume, offset, end); p.len > 0;                       \
       offset += p.len, p = piece_at (s, volume, offset, end))

static inline unsigned
stripe_of (const struct store *s, uint64_t key)
{
  return table_bucket (&s->table, key) % NR_STRIPES;
}

static inline void
lock_shared (struct store *s, unsigned stripe)
{
  fairlock_shared (&s->stripes[stripe].lock);
}

static inline void
lock_exclusive (struct store *s, unsigned stripe)
{
  fairlock_exclusive (&s->stripes[stripe].lock);
}

static inline void
unlock_stripe (struct store *s, unsigned stripe)
{
  fairlock_release (&s->stripes[stripe].lock);
}

static inline unsigned
first_page (const struct piece *p)
{
  return p->offset >> PAGE_SHIFT;
}

static inline unsigned
stop_page (const struct piece *p)
{
  return (p->offset + p->len + PAGE - 1) >> PAGE_SHIFT;
}

static inline unsigned
pages_in_chunk (const struct store *s)
{
  return arena_chunk_size (&s->arena) >> PAGE_SHIFT;
}

static inline bool
is_zero (const char *page)
{
  return page[0] == 0 && memcmp (page, page + 1, PAGE - 1) == 0;
}

/* Returns the first place from OFFSET on that lies in a chunk, or END: OFFSET
 * itself, if it does.
 */
uint64_t store_skip_emptiness (struct store *s, uint32_t volume,
                               uint64_t offset, uint64_t end);

/* Make written pages of a piece zero, and keep them.  The chunk's stripe is
 * locked exclusively.
 */
void store_zero_piece (struct store *s, const struct piece *p);

/* The pages of a piece are about to be written.  Make the stale ones among them
 * zero; with FULLY_WRITTEN only those that the piece covers in part.  The
 * chunk's stripe is locked exclusively.
 */
void store_refresh (struct store *s, uint32_t nr, const struct piece *p,
                    bool fully_written);

/* The memory that a range needs and does not have yet. */
struct store_cost {
  uint64_t bytes; /* of the budget */
  uint64_t pages;
};

/* Add the cost of a piece to *cost.  The chunk's stripe is locked. */
static inline void
store_add_cost (struct store *s, const struct piece *p, struct store_cost *cost)
{
  const uint32_t nr = table_find (&s->table, p->key);
  unsigned missing = stop_page (p) - first_page (p);
  const struct chunk *c;

  if (nr != 0) {
    c = arena_chunk (&s->arena, nr);
    missing -= map_count (c->written, first_page (p), stop_page (p));
  }
  cost->pages += missing;
  if (s->arena.whole)
    cost->bytes += nr == 0 ? arena_chunk_size (&s->arena) : 0;
  else
    cost->bytes += (uint64_t) missing << PAGE_SHIFT;
}

/* Write COUNT bytes at OFFSET, or make them zero and keep or take their memory:
 * at most STORE_STEP.  *CHARGED bytes have been charged already for the memory
 * that this needs, and those that it uses are taken from *CHARGED; CHARGED may
 * be NULL.  Returns 0 or -ENOSPC, and then nothing has
 * changed.
 */
int store_write_range (struct store *s, uint32_t volume, const void *buf,
                       uint64_t count, uint64_t offset, uint64_t *charged);
int store_zero_range (struct store *s, uint32_t volume, uint64_t count,
                      uint64_t offset, uint64_t *charged);

/* Write more than STORE_STEP bytes, or zeroes if BUF is NULL, step by step, by
 * a reservation.  Returns as store_write does.
 */
int store_write_long (struct store *s, uint32_t volume, const void *buf,
                      uint64_t count, uint64_t offset);

#endif /* NULLBLK_STORE_INTERNAL_H */
