/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A chunk's header, and maps of its pages: a bit for each page of 4 KiB.  The
 * caller has locked the chunk's stripe (store-internal.h) or, for a chunk of
 * copies, store_copies.lock.  FIRST and STOP are numbers of pages in the chunk;
 * STOP is the one behind the last page meant.
 */

#ifndef NULLBLK_CHUNK_H
#define NULLBLK_CHUNK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The store keeps track of data by pages of this size.  The kernel's own pages
 * may be larger.
 */
#define PAGE_SHIFT 12
#define PAGE (UINT64_C (1) << PAGE_SHIFT)

/* A link in a tree of chunks; see tree.c. */
struct tree_link {
  uint32_t nr : 31;     /* a chunk, or 0 */
  uint32_t is_node : 1; /* its node is meant, or else the chunk */
};

/* Whenever a chunk is handed out or given back, both maps are all zero and the
 * chunk is not listed.
 */
struct chunk {
  uint64_t key;              /* the table's */
  _Atomic uint32_t next;     /* the table's, or the arena's while it is free */
  struct tree_link child[2]; /* of a tree's node, guarded by the tree's lock */
  uint8_t bit;               /* of the same node, guarded by the same lock */
  bool listed;               /* is the chunk on the backlog?  (store-trim.c) */
  uint32_t written[];        /* a map; behind it is that of arena_stale */
};

/* Returns the bits of WORD that stand for pages from FIRST up to STOP. */
static inline uint32_t
map_mask (unsigned word, unsigned first, unsigned stop)
{
  const unsigned from = word * 32;
  uint32_t mask = UINT32_MAX;

  if (first > from)
    mask &= UINT32_MAX << (first - from);
  if (stop < from + 32)
    mask &= UINT32_MAX >> (from + 32 - stop);
  return mask;
}

static inline void
map_set (uint32_t *map, unsigned first, unsigned stop)
{
  unsigned w;

  for (w = first / 32; w * 32 < stop; w++)
    map[w] |= map_mask (w, first, stop);
}

static inline void
map_clear (uint32_t *map, unsigned first, unsigned stop)
{
  unsigned w;

  for (w = first / 32; w * 32 < stop; w++)
    map[w] &= ~map_mask (w, first, stop);
}

static inline unsigned
map_count (const uint32_t *map, unsigned first, unsigned stop)
{
  unsigned w, n = 0;

  for (w = first / 32; w * 32 < stop; w++)
    n += __builtin_popcount (map[w] & map_mask (w, first, stop));
  return n;
}

static inline bool
map_has (const uint32_t *map, unsigned page)
{
  return map[page / 32] >> (page % 32) & 1;
}

/* The first page after FIRST that is not as FIRST is, or STOP. */
static inline unsigned
map_end_of_run (const uint32_t *map, unsigned first, unsigned stop)
{
  const uint32_t flip = map_has (map, first) ? UINT32_MAX : 0;
  uint32_t other;
  unsigned w;

  for (w = first / 32; w * 32 < stop; w++) {
    other = (map[w] ^ flip) & map_mask (w, first, stop);
    if (other != 0)
      return w * 32 + __builtin_ctz (other);
  }
  return stop;
}

#endif /* NULLBLK_CHUNK_H */
