/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The table of chunks; see table.h.
 *
 * `populated` lets trims and extent queries step over emptiness: it counts the
 * chunks in the table by the hash of the span (2048 keys: 256 MiB, or 4 GiB
 * with huge pages) that they lie in.  A zero means that no chunk of any span
 * with that hash is there.  It is raised before a chunk is first written and
 * lowered after its last page is gone, so a reader that sees zero is right
 * about everything that was finished before it looked.
 */

#include <config.h>

#include <errno.h>
#include <sys/mman.h>

#include "table.h"

#define SPAN_SHIFT 11
#define MAX_SPANS 32768

static uint64_t
min (uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

static uint64_t
power_of_two_from (uint64_t n)
{
  uint64_t r = 1;

  while (r < n)
    r *= 2;
  return r;
}

/* One bucket for each chunk that can ever be held when chunks are full; one
 * count for each span that there is, up to a point.
 */
int
table_create (struct table *t, struct arena *arena,
              const struct arena_options *o, uint32_t least)
{
  const uint64_t all = arena_all_chunks (o);
  const uint64_t chunks = min (arena_most (o) >> arena->chunk_shift, all);
  const uint64_t spans = (all >> SPAN_SHIFT) + o->volumes;
  uint64_t nr_buckets, nr_spans, bucket_bytes;

  nr_buckets = power_of_two_from (chunks < least ? least : chunks);
  nr_spans = power_of_two_from (min (spans, MAX_SPANS));
  bucket_bytes = nr_buckets * sizeof *t->buckets;
  t->arena = arena;
  t->map_size = bucket_bytes + nr_spans * sizeof *t->populated;
  t->map = mmap (NULL, t->map_size, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (t->map == MAP_FAILED)
    return -errno;
  madvise (t->map, t->map_size, MADV_NOHUGEPAGE);
  t->buckets = t->map;
  t->bucket_mask = nr_buckets - 1;
  t->populated = (_Atomic uint32_t *) ((char *) t->map + bucket_bytes);
  t->span_mask = nr_spans - 1;
  return 0;
}

void
table_destroy (struct table *t)
{
  munmap (t->map, t->map_size);
}

static _Atomic uint32_t *
population_of (const struct table *t, uint64_t key)
{
  return &t->populated[table_mix (key >> SPAN_SHIFT) & t->span_mask];
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
  uint32_t nr = t->buckets[table_bucket (t, key)];

  while (nr != 0 && arena_chunk (t->arena, nr)->key != key)
    nr = next_of (t, nr);
  return nr;
}

uint32_t
table_add (struct table *t, uint64_t key)
{
  uint32_t *bucket = &t->buckets[table_bucket (t, key)];
  uint32_t nr;

  nr = arena_take (t->arena);
  if (nr == 0)
    return 0;
  atomic_fetch_add (population_of (t, key), 1);
  arena_chunk (t->arena, nr)->key = key;
  set_next (t, nr, *bucket);
  *bucket = nr;
  return nr;
}

void
table_remove (struct table *t, uint64_t key, uint32_t nr)
{
  uint32_t *bucket = &t->buckets[table_bucket (t, key)];
  uint32_t before;

  if (*bucket == nr)
    *bucket = next_of (t, nr);
  else {
    before = *bucket;
    while (next_of (t, before) != nr)
      before = next_of (t, before);
    set_next (t, before, next_of (t, nr));
  }
  atomic_fetch_sub (population_of (t, key), 1);
}

uint64_t
table_empty_from (const struct table *t, uint64_t key)
{
  const uint64_t span = UINT64_C (1) << SPAN_SHIFT;

  if (atomic_load (population_of (t, key)) != 0)
    return 0;
  return span - (key & (span - 1));
}
