/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The arena; see arena.h.
 */

#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "common/common.h"
#include "arena.h"

/* How much more data becomes usable at a time, in bytes. */
#define STEP (UINT64_C (64) << 20)

/* More address space than this is not asked for (user space has 2^47). */
#define MAX_DATA (UINT64_C (1) << 45)
_Static_assert(MAX_DATA >> CHUNK_SHIFT < UINT64_C (1) << 31,
               "what a link of a tree takes");

#define HUGEPAGE (UINT64_C (1) << HUGE_CHUNK_SHIFT)

static uint64_t
round_up (uint64_t n, uint64_t unit)
{
  return (n + unit - 1) / unit * unit;
}

static unsigned
chunk_shift (bool hugepages)
{
  return hugepages ? HUGE_CHUNK_SHIFT : CHUNK_SHIFT;
}

static bool
is_whole (bool hugepages, size_t kernel_page)
{
  return hugepages || kernel_page > PAGE;
}

uint64_t
arena_unit (bool hugepages, size_t kernel_page)
{
  return is_whole (hugepages, kernel_page)
             ? UINT64_C (1) << chunk_shift (hugepages)
             : PAGE;
}

/* Returns the size of the header of a chunk that has 1 << SHIFT bytes of data:
 * it has two maps of the pages.
 */
static size_t
header_size (unsigned shift)
{
  return round_up (offsetof (struct chunk, written) +
                       2 * ((UINT64_C (1) << shift >> PAGE_SHIFT) / 8),
                   _Alignof(struct chunk));
}

uint64_t
arena_all_chunks (const struct arena_options *o)
{
  const unsigned shift = chunk_shift (o->hugepages);
  uint64_t chunks = o->volume_size >> shift;

  /* Each device ends in a chunk of its own. */
  chunks += (o->volume_size & ((UINT64_C (1) << shift) - 1)) != 0;
  return __builtin_mul_overflow (chunks, o->volumes, &chunks) ? UINT64_MAX
                                                              : chunks;
}

/* Reserve room for MAX chunks, the first of which is number 1. */
static int
reserve (struct arena *a, uint64_t max)
{
  const uint64_t headers = round_up ((max + 1) * a->header_size, HUGEPAGE);
  const uint64_t data = max << a->chunk_shift;
  void *map;

  /* Room to align the data to huge pages. */
  if (HUGEPAGE + headers + data > SIZE_MAX)
    return -ENOMEM;
  a->map_size = HUGEPAGE + headers + data;
  map = mmap (NULL, a->map_size, PROT_NONE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED)
    return -errno;
  a->map = map;
  a->headers = (char *) (uintptr_t) round_up ((uintptr_t) map, HUGEPAGE);
  a->data = a->headers + headers - (UINT64_C (1) << a->chunk_shift);
  a->last_chunk = max;
  return 0;
}

/* Half of the address space that this process may have; the other half is for
 * threads, their buffers, and whatever else the server does.
 */
static uint64_t
address_space (void)
{
  uint64_t space = SIZE_MAX / 2;
  struct rlimit limit;

  if (getrlimit (RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
    space = min (space, limit.rlim_cur);
  return space / 2;
}

/* Returns how many chunks with 1 << SHIFT bytes of data fit into
 * address_space.
 */
static uint64_t
room_for_chunks (unsigned shift)
{
  return address_space () / ((UINT64_C (1) << shift) + header_size (shift));
}

/* Address space for data to the limit, in chunks that are full. */
static uint64_t
enough_chunks (const struct arena *a, uint64_t limit)
{
  return min (limit >> a->chunk_shift, (MAX_DATA >> a->chunk_shift) - 1) + 1 +
         SPARE_CHUNKS;
}

uint64_t
arena_max_limit_here (bool hugepages)
{
  const unsigned shift = chunk_shift (hugepages);
  const uint64_t room = room_for_chunks (shift);

  return room > 1 + SPARE_CHUNKS ? (room - 1 - SPARE_CHUNKS) << shift : 0;
}

uint64_t
arena_max_limit_of (const struct arena_options *o)
{
  return max (o->max_limit, o->limit);
}

int
arena_create (struct arena *a, const struct arena_options *o)
{
  uint64_t max, enough;
  int r;

  memset (a, 0, sizeof *a);
  atomic_init (&a->limit, o->limit);
  a->chunk_shift = chunk_shift (o->hugepages);
  a->whole = is_whole (o->hugepages, o->kernel_page);
  a->header_size = header_size (a->chunk_shift);

  /* At worst every unit of memory stands alone in a chunk of its own.  Address
   * space for that costs nothing as a rule; where it is rationed, be content
   * with less, down to the limit in chunks that are full.
   */
  max = arena_max_limit_of (o) / arena_unit (o->hugepages, o->kernel_page) + 1;
  a->all_chunks = arena_all_chunks (o);
  if (!o->copies)
    max = min (max, a->all_chunks);
  max = min (max, MAX_DATA >> a->chunk_shift) + SPARE_CHUNKS;
  enough = min (max, enough_chunks (a, o->limit));
  max = min (max, room_for_chunks (a->chunk_shift));
  if (max < enough)
    return -ENOMEM;
  while ((r = reserve (a, max)) < 0) {
    if (max == enough)
      return r;
    max = max / 2 > enough ? max / 2 : enough;
  }

  /* Without huge pages asked for, none may be had: one 4 KiB write would hold
   * 2 MiB.  A kernel that has none refuses MADV_NOHUGEPAGE, and may.
   */
  madvise (a->map, a->map_size, MADV_NOHUGEPAGE);
  if (o->hugepages &&
      madvise (arena_data (a, 1), max << a->chunk_shift, MADV_HUGEPAGE) == -1) {
    r = -errno;
    munmap (a->map, a->map_size);
    return r;
  }

  atomic_init (&a->charged, 0);
  atomic_init (&a->of_data, 0);
  atomic_init (&a->returned, 0);
  atomic_init (&a->next, 1);
  atomic_init (&a->usable, 1);
  pthread_mutex_init (&a->grow_lock, NULL);
  return 0;
}

void
arena_destroy (struct arena *a)
{
  pthread_mutex_destroy (&a->grow_lock);
  munmap (a->map, a->map_size);
}

/* Make chunk NR and some after it usable. */
static bool
grow (struct arena *a, uint32_t nr)
{
  uint32_t usable, want;
  char *from, *to;
  bool ok = true;

  pthread_mutex_lock (&a->grow_lock);
  usable = atomic_load (&a->usable);
  if (nr >= usable) {
    want =
        min ((uint64_t) a->last_chunk + 1, usable + (STEP >> a->chunk_shift));
    from = arena_data (a, usable);
    to = arena_data (a, want);
    ok = mprotect (from, to - from, PROT_READ | PROT_WRITE) == 0;
    from = a->headers;
    to = a->headers + round_up (want * a->header_size, HUGEPAGE);
    ok = ok && mprotect (from, to - from, PROT_READ | PROT_WRITE) == 0;
    if (ok)
      atomic_store (&a->usable, want);
  }
  pthread_mutex_unlock (&a->grow_lock);
  return ok;
}

uint32_t
arena_take (struct arena *a)
{
  uint64_t top, below;
  uint32_t nr;

  /* A chunk's header stays mapped for ever, so that reading next of one that
   * another thread has just taken is harmless: the count has moved on, and the
   * exchange fails.
   */
  top = atomic_load (&a->returned);
  while ((nr = (uint32_t) top) != 0) {
    below =
        atomic_load_explicit (&arena_chunk (a, nr)->next, memory_order_relaxed);
    below |= ((top >> 32) + 1) << 32;
    if (atomic_compare_exchange_weak (&a->returned, &top, below))
      return nr;
  }

  nr = atomic_load (&a->next);
  do {
    if (nr > a->last_chunk)
      return 0;
    if (nr >= atomic_load (&a->usable) && !grow (a, nr))
      return 0;
  } while (!atomic_compare_exchange_weak (&a->next, &nr, nr + 1));
  return nr;
}

void
arena_give (struct arena *a, uint32_t nr)
{
  uint64_t top, above;

  top = atomic_load (&a->returned);
  do {
    atomic_store_explicit (&arena_chunk (a, nr)->next, (uint32_t) top,
                           memory_order_relaxed);
    above = ((top >> 32) + 1) << 32 | nr;
  } while (!atomic_compare_exchange_weak (&a->returned, &top, above));
}

int
arena_charge (struct arena *a, uint64_t bytes)
{
  const uint64_t limit = atomic_load (&a->limit);
  uint64_t charged = atomic_load (&a->charged);

  /* The bytes are not added first and taken back if they are too many:
   * meanwhile another thread could be refused what there is room for.
   */
  do {
    if (bytes > limit || charged > limit - bytes)
      return -ENOSPC;
  } while (
      !atomic_compare_exchange_weak (&a->charged, &charged, charged + bytes));
  return 0;
}

void
arena_uncharge (struct arena *a, uint64_t bytes)
{
  atomic_fetch_sub (&a->charged, bytes);
}

int
arena_charge_data (struct arena *a, uint64_t bytes)
{
  const int r = arena_charge (a, bytes);

  if (r == 0)
    arena_count_as_data (a, bytes);
  return r;
}

/* In this order: `of_data` is never more than is charged for data. */
void
arena_uncharge_data (struct arena *a, uint64_t bytes)
{
  atomic_fetch_sub (&a->of_data, bytes);
  arena_uncharge (a, bytes);
}

void
arena_count_as_data (struct arena *a, uint64_t bytes)
{
  atomic_fetch_add (&a->of_data, bytes);
}

bool
arena_could_charge (struct arena *a, uint64_t bytes)
{
  const uint64_t limit = atomic_load (&a->limit);

  return bytes == 0 ||
         (bytes <= limit && atomic_load (&a->of_data) <= limit - bytes);
}

int
arena_set_limit (struct arena *a, uint64_t limit)
{
  if (a->last_chunk < a->all_chunks && a->last_chunk < enough_chunks (a, limit))
    return -ENOMEM;
  atomic_store (&a->limit, limit);
  return 0;
}

void
arena_blank (struct arena *a, uint32_t nr, uint64_t offset, uint64_t len)
{
  char *from = arena_data (a, nr) + offset;

  /* Locked pages make this fail; nothing else can. */
  if (madvise (from, len, MADV_DONTNEED) == -1)
    memset (from, 0, len);
}

void
arena_populate (struct arena *a, uint32_t nr, uint64_t offset, uint64_t len)
{
#ifdef MADV_POPULATE_WRITE
  madvise (arena_data (a, nr) + offset, len, MADV_POPULATE_WRITE);
#else
  (void) a;
  (void) nr;
  (void) offset;
  (void) len;
#endif
}
