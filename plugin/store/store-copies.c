/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Memory for copies of data, beside what volumes hold: the C library would keep
 * what it is given back, unless it is the last in a row, and a server would
 * have twice what it is allowed while a power cut brings copies back.
 *
 *     filling | c c c c c . . . |   copies are put one behind the other
 *                       ^ next
 *             | . . c . . . c c |   some are gone, their memory too, or else
 *                                   with the last of the chunk
 *     spare   | . . . . . . . . |   empty, with its memory: filled next
 *
 * The chunks are the arena's, and stand in no table; a copy takes whole pages
 * of one.  The map in a chunk's header says which are taken.  As a rule copies
 * go in the order in which they came, so that whole chunks get empty, and one
 * that has just become so is filled again without a call of the kernel's.
 *
 * struct store_copies has a lock of its own.  Of all others, only those of the
 * arena are taken under it.
 */

#include <config.h>

#include "store-internal.h"

/* The most pages that stay when there is no copy any more. */
#define MAX_IDLE_PAGES 8

void
store_copies_init (struct store_copies *c)
{
  *c = (struct store_copies){.filling = 0};
  pthread_mutex_init (&c->lock, NULL);
}

static void
release (struct store *s, uint32_t *nr)
{
  if (*nr == 0)
    return;
  arena_blank (&s->arena, *nr, 0, arena_chunk_size (&s->arena));
  arena_give (&s->arena, *nr);
  *nr = 0;
}

void
store_copies_destroy (struct store *s, struct store_copies *c)
{
  if (s != NULL) {
    release (s, &c->filling);
    release (s, &c->spare);
  }
  pthread_mutex_destroy (&c->lock);
}

static bool
is_empty (const struct store *s, uint32_t nr)
{
  return map_count (arena_chunk (&s->arena, nr)->written, 0,
                    pages_in_chunk (s)) == 0;
}

/* Chunk NR of copies, which is not the one that is being filled, has become
 * empty.
 */
static void
retire (struct store *s, struct store_copies *c, uint32_t nr)
{
  if (c->spare == 0)
    c->spare = nr;
  else
    release (s, &nr);
}

/* Have a chunk with room for so many pages.  Returns false if there is none. */
static bool
find_room (struct store *s, struct store_copies *c, unsigned pages)
{
  const uint32_t full = c->filling;

  if (full != 0 && c->next + pages <= pages_in_chunk (s))
    return true;
  c->filling = c->spare != 0 ? c->spare : arena_take (&s->arena);
  c->spare = 0;
  c->next = 0;
  if (full != 0 && is_empty (s, full))
    retire (s, c, full);
  return c->filling != 0;
}

char *
store_take_copy (struct store *s, struct store_copies *c, uint64_t bytes)
{
  const unsigned pages = (bytes + PAGE - 1) >> PAGE_SHIFT;
  char *r = NULL;

  if (s->arena.whole || pages > pages_in_chunk (s))
    return NULL;
  lock (&c->lock);
  if (find_room (s, c, pages)) {
    map_set (arena_chunk (&s->arena, c->filling)->written, c->next,
             c->next + pages);
    r = arena_data (&s->arena, c->filling) + ((uint64_t) c->next << PAGE_SHIFT);
    c->next += pages;
    c->pages += pages;
  }
  unlock (&c->lock);
  return r;
}

void
store_give_copy (struct store *s, struct store_copies *c, const char *copy,
                 uint64_t bytes, bool now)
{
  const uint64_t place = copy - s->arena.data;
  const unsigned first =
      (place & (arena_chunk_size (&s->arena) - 1)) >> PAGE_SHIFT;
  const unsigned pages = (bytes + PAGE - 1) >> PAGE_SHIFT;
  uint32_t nr = place >> s->arena.chunk_shift;

  lock (&c->lock);
  map_clear (arena_chunk (&s->arena, nr)->written, first, first + pages);
  c->pages -= pages;
  if (now)
    arena_blank (&s->arena, nr, (uint64_t) first << PAGE_SHIFT,
                 (uint64_t) pages << PAGE_SHIFT);
  if (is_empty (s, nr)) {
    if (nr != c->filling)
      retire (s, c, nr);
    else if (c->next <= MAX_IDLE_PAGES)
      c->next = 0;
    else
      release (s, &c->filling);
  }
  if (c->pages == 0)
    release (s, &c->spare);
  unlock (&c->lock);
}
