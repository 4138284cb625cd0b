/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The arena: where the store's memory comes from.  It reserves address space
 * once, cuts it into chunks and hands them out by number; it also keeps the
 * budget, the count of bytes charged against memory-limit.
 *
 *   one mapping, reserved whole, usable (PROT_WRITE) up to `usable` chunks
 *
 *     headers  | 1 | 2 | 3 | 4 | ...     what the store knows of a chunk
 *     data     |  1  |  2  |  3  |  4  | ...
 *                             ^ next: never handed out from here on
 *
 *   chunks given back stand in a stack through header.next; its top is one
 *   word (a count against ABA, and the chunk's number) changed by
 *   compare-and-swap
 *
 * The kernel fills data page by page as it is first touched.  There is no chunk
 * 0, so that 0 can mean none.  More of the mapping becomes usable in steps: so
 * it is six mappings for the kernel at most (far below vm.max_map_count), and
 * a system that does not overcommit is asked only for chunks that are used.
 *
 * There are two kinds of arenas.  As a rule a chunk is 128 KiB, and its memory
 * is taken and given back by 4 KiB pages.  A *whole* arena (huge pages, or a
 * kernel whose own pages are larger than 4 KiB) takes and gives back a chunk
 * at a time; with huge pages a chunk is 2 MiB.
 *
 * Any thread may call any of this; the budget, its limit and the stack are
 * atomics, and only making more chunks usable takes a lock (64 MiB at a time).
 * The thread that took a chunk owns its content and its header.
 */

#ifndef NULLBLK_ARENA_H
#define NULLBLK_ARENA_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunk.h"

#define CHUNK_SHIFT 17
#define HUGE_CHUNK_SHIFT 21

/* An arena has SPARE_CHUNKS chunks more than the budget has room for: the store
 * may keep as many for a while after their memory was uncharged.
 */
#define SPARE_CHUNKS 264

struct arena {
  /* Set by arena_create and only read after. */
  char *map;
  size_t map_size;
  char *headers; /* where the header of chunk 0 would be */
  size_t header_size;
  char *data; /* where the data of chunk 0 would be */
  unsigned chunk_shift;
  bool whole;
  uint32_t last_chunk; /* its number */
  uint64_t all_chunks; /* arena_all_chunks */

  /* Written as chunks come and go, and so on a cache line of their own. */
  _Alignas(64) _Atomic uint64_t charged; /* bytes */
  _Atomic uint64_t of_data;  /* bytes of these, by arena_charge_data */
  _Atomic uint64_t limit;    /* the most bytes that may be charged */
  _Atomic uint64_t returned; /* count << 32 | top of the stack */
  _Atomic uint32_t next;     /* the first chunk never handed out */
  _Atomic uint32_t usable;   /* chunks below this are PROT_WRITE */
  pthread_mutex_t grow_lock; /* held to raise `usable` */
};

struct arena_options {
  uint64_t limit;       /* bytes; the first limit */
  uint64_t max_limit;   /* bytes; the largest limit ever; 0: as `limit` */
  uint64_t volumes;     /* devices that share the arena */
  uint64_t volume_size; /* bytes of each device */
  bool copies;          /* are there copies (store-copies.c), too? */
  bool hugepages;
  size_t kernel_page; /* sysconf (_SC_PAGESIZE), except in tests */
};

/* How many chunks all devices have, written or not. */
uint64_t arena_all_chunks (const struct arena_options *o);

/* The most that the limit may become. */
uint64_t arena_max_limit_of (const struct arena_options *o);

/* The least that an arena takes at a time, in bytes; a smaller limit would
 * hold nothing.
 */
uint64_t arena_unit (bool hugepages, size_t kernel_page);

/* The largest limit, in bytes, that the address space which this process may
 * have (RLIMIT_AS, 32 bits) has room for, however large the devices are; 0
 * where there is none for any arena.
 */
uint64_t arena_max_limit_here (bool hugepages);

/* Reserve address space.  Returns 0, or -ENOMEM when the system does not give
 * enough of it (RLIMIT_AS) for the limit, or -EINVAL when it has no huge pages
 * and they were asked for.
 */
int arena_create (struct arena *a, const struct arena_options *o);
void arena_destroy (struct arena *a);

static inline uint64_t
arena_chunk_size (const struct arena *a)
{
  return UINT64_C (1) << a->chunk_shift;
}

static inline struct chunk *
arena_chunk (const struct arena *a, uint32_t nr)
{
  return (struct chunk *) (a->headers + nr * a->header_size);
}

static inline char *
arena_data (const struct arena *a, uint32_t nr)
{
  return a->data + ((uint64_t) nr << a->chunk_shift);
}

/* Returns the map of a chunk's stale pages (store-trim.c), which keep memory
 * although they are not written.
 */
static inline uint32_t *
arena_stale (const struct arena *a, uint32_t nr)
{
  return arena_chunk (a, nr)->written +
         (arena_chunk_size (a) >> PAGE_SHIFT) / 32;
}

/* Take a chunk: its data reads as zeroes and holds no memory yet.  Returns its
 * number, or 0 when the system gives no more or all chunks are taken.
 */
uint32_t arena_take (struct arena *a);

/* Give a chunk back, blank and with nothing written. */
void arena_give (struct arena *a, uint32_t nr);

/* Charge BYTES to the budget.  Returns 0, or -ENOSPC when that would pass the
 * limit; then nothing is charged.
 */
int arena_charge (struct arena *a, uint64_t bytes);

void arena_uncharge (struct arena *a, uint64_t bytes);

/* As arena_charge and arena_uncharge, for memory that holds data and that
 * nobody gives back for the sake of another request.
 */
int arena_charge_data (struct arena *a, uint64_t bytes);
void arena_uncharge_data (struct arena *a, uint64_t bytes);

/* BYTES that arena_charge has charged hold data from now on. */
void arena_count_as_data (struct arena *a, uint64_t bytes);

/* Would BYTES fit if nothing were charged but what holds data?  0 bytes always
 * fit, even where the limit has been lowered below what data takes.  While the
 * limit stays, the answer no is right at one moment of this call, whatever
 * other threads do meanwhile.
 */
bool arena_could_charge (struct arena *a, uint64_t bytes);

/* Change the limit.  If more is charged than the new limit, that stays charged.
 * Returns 0, or -ENOMEM where the address space that was reserved at the start
 * has room neither for all chunks of the devices nor for LIMIT bytes of data in
 * full chunks.  So a limit above `max_limit` may be taken, too, but then
 * scattered data can use up the chunks before the limit is reached.
 */
int arena_set_limit (struct arena *a, uint64_t limit);

/* Give the memory of LEN bytes at OFFSET of a chunk, or of some in a row, back
 * to the system, so that they read as zeroes.  Both are multiples of the
 * arena's unit.  Memory that is locked (mlockall) cannot be given back and is
 * only made zero.
 */
void arena_blank (struct arena *a, uint32_t nr, uint64_t offset, uint64_t len);

/* Take the memory of LEN bytes at OFFSET of a chunk from the system now, and
 * not page by page as they are touched.  This is only for speed, and may do
 * nothing.
 */
void arena_populate (struct arena *a, uint32_t nr, uint64_t offset,
                     uint64_t len);

#endif /* NULLBLK_ARENA_H */
