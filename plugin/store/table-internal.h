/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The table finds a chunk by its key: a volume and a place in it; and, by a
 * tree for each volume, the next chunk after a place.  It is drawn at the top
 * of store.c, which also has the locks: a caller of table_find holds the lock
 * for the key's bucket, and a caller of table_add or table_remove holds it
 * exclusively.  The other functions need no lock.
 */

#ifndef NULLBLK_TABLE_INTERNAL_H
#define NULLBLK_TABLE_INTERNAL_H

#include <stdint.h>

#include "tree-internal.h"

#define VOLUME_SHIFT 47 /* 2^63 bytes in chunks of 2^17 are 2^46 keys */

struct table {
  struct arena *arena;

  /* One anonymous mapping, so that buckets that are not used cost nothing. */
  void *map;
  size_t map_size;
  _Atomic uint32_t *buckets; /* the first chunk of each list, or 0 */
  uint64_t bucket_mask;
  uint64_t secret;       /* odd */
  unsigned secret_shift; /* so that its product is as many bits as the mask */

  struct tree *trees; /* of each volume */
  uint32_t volumes;
};

/* Returns 0 or -ENOMEM.  There are at least LEAST buckets, a power of two. */
int table_create (struct table *t, struct arena *arena,
                  const struct arena_options *o, uint32_t least);
void table_destroy (struct table *t);

/* Keys in a row, 1024 of them from a multiple of 1024 on, have buckets in a
 * row: so a large request meets no bucket (and no lock) twice within a row, and
 * a little data touches little of the table.  Where a row begins is hashed by a
 * secret number, so that no client can choose places that all have the same
 * bucket.
 */
static inline uint64_t
table_bucket (const struct table *t, uint64_t key)
{
  return (key + ((key >> 10) * t->secret >> t->secret_shift)) & t->bucket_mask;
}

/* The first chunk of a bucket, which is nearly always its only one, or 0.
 * Without a lock it may be another by the time that this returns.
 */
static inline uint32_t
table_guess (const struct table *t, uint64_t bucket)
{
  return atomic_load_explicit (&t->buckets[bucket], memory_order_relaxed);
}

/* The number of the chunk with this key, or 0. */
uint32_t table_find (const struct table *t, uint64_t key);

/* Take a chunk from the arena for a key that is not in the table.  Returns its
 * number, or 0 when the arena has none.
 */
uint32_t table_add (struct table *t, uint64_t key);

/* Take a chunk without written pages out of the table; the caller owns it then.
 */
void table_remove (struct table *t, uint64_t key, uint32_t nr);

/* Returns the least key from KEY on, of the same volume, that has a chunk in
 * the table, or UINT64_MAX.  It sees all chunks that were added before the
 * call; others come and go meanwhile.
 */
uint64_t table_next (const struct table *t, uint64_t key);

#endif /* NULLBLK_TABLE_INTERNAL_H */
