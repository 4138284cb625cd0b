/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The table of chunks; see table-internal.h.
 *
 * A chunk enters its volume's tree before it is first written, and leaves it
 * after its last page is gone.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "common/common.h"
#include "table-internal.h"

static uint64_t
power_of_two_from (uint64_t n)
{
  uint64_t r = 1;

  while (r < n)
    r *= 2;
  return r;
}

static int
create_trees (struct table *t, uint32_t volumes)
{
  t->trees = aligned_alloc (_Alignof(struct tree), volumes * sizeof *t->trees);
  if (t->trees == NULL)
    return -ENOMEM;
  for (t->volumes = 0; t->volumes < volumes; t->volumes++)
    tree_init (&t->trees[t->volumes]);
  return 0;
}

/* Multiplied by an odd number that nobody knows, any two keys have the same
 * highest bits about as seldom as by chance.
 */
static void
take_secret (struct table *t)
{
  uint64_t n;

  if (getrandom (&n, sizeof n, GRND_NONBLOCK) != sizeof n)
    n = random_mix (clock_now ()); /* in a machine's first moments */
  t->secret = n | 1;
  t->secret_shift = __builtin_clzll (t->bucket_mask);
}

/* How many buckets there are for each chunk that the limit can fill.  Where
 * each chunk has only one block, there can be 32 times as many chunks as full
 * ones; buckets for all of these would be much memory for a few blocks far
 * apart.
 */
#define BUCKETS_A_CHUNK 8

int
table_create (struct table *t, struct arena *arena,
              const struct arena_options *o, uint32_t least)
{
  const uint64_t chunks =
      min (BUCKETS_A_CHUNK * (arena_max_limit_of (o) >> arena->chunk_shift),
           arena_all_chunks (o));
  uint64_t nr_buckets;

  nr_buckets = power_of_two_from (max (chunks, least));
  t->arena = arena;
  t->map_size = nr_buckets * sizeof *t->buckets;
  t->map = mmap (NULL, t->map_size, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (t->map == MAP_FAILED)
    return -errno;
  madvise (t->map, t->map_size, MADV_NOHUGEPAGE);
  t->buckets = t->map;
  t->bucket_mask = nr_buckets - 1;
  take_secret (t);
  if (create_trees (t, o->volumes) < 0) {
    munmap (t->map, t->map_size);
    return -ENOMEM;
  }
  return 0;
}

void
table_destroy (struct table *t)
{
  uint32_t i;

  for (i = 0; i < t->volumes; i++)
    tree_destroy (&t->trees[i]);
  free (t->trees);
  munmap (t->map, t->map_size);
}

static struct tree *
tree_of (const struct table *t, uint64_t key)
{
  return &t->trees[key >> VOLUME_SHIFT];
}

static uint32_t
next_of (const struct table *t, uint32_t nr)
{
  return atomic_load_explicit (&arena_chunk (t->arena, nr)->next,
                               memory_order_relaxed);
}

static void
set_next (const struct table *t, uint32_t nr, uint32_t next)
{
  atomic_store_explicit (&arena_chunk (t->arena, nr)->next, next,
                         memory_order_relaxed);
}

uint32_t
table_find (const struct table *t, uint64_t key)
{
  uint32_t nr = table_guess (t, table_bucket (t, key));

  while (nr != 0 && arena_chunk (t->arena, nr)->key != key)
    nr = next_of (t, nr);
  return nr;
}

uint32_t
table_add (struct table *t, uint64_t key)
{
  _Atomic uint32_t *bucket = &t->buckets[table_bucket (t, key)];
  uint32_t nr;

  nr = arena_take (t->arena);
  if (nr == 0)
    return 0;
  arena_chunk (t->arena, nr)->key = key;
  set_next (t, nr, atomic_load_explicit (bucket, memory_order_relaxed));
  atomic_store_explicit (bucket, nr, memory_order_relaxed);
  tree_add (tree_of (t, key), t->arena, nr);
  return nr;
}

void
table_remove (struct table *t, uint64_t key, uint32_t nr)
{
  _Atomic uint32_t *bucket = &t->buckets[table_bucket (t, key)];
  uint32_t before = atomic_load_explicit (bucket, memory_order_relaxed);

  if (before == nr)
    atomic_store_explicit (bucket, next_of (t, nr), memory_order_relaxed);
  else {
    while (next_of (t, before) != nr)
      before = next_of (t, before);
    set_next (t, before, next_of (t, nr));
  }
  tree_remove (tree_of (t, key), t->arena, nr);
}

uint64_t
table_next (const struct table *t, uint64_t key)
{
  return tree_next (tree_of (t, key), t->arena, &key) ? key : UINT64_MAX;
}
