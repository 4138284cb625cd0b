/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Where data is next, and how far a step goes; see store.h.
 */

#include <config.h>

#include "store-internal.h"

uint64_t
store_skip_emptiness (struct store *s, uint32_t volume, uint64_t offset,
                      uint64_t end)
{
  const uint64_t key = (uint64_t) volume << VOLUME_SHIFT;
  const uint64_t here = offset >> s->arena.chunk_shift;
  const uint64_t next = table_next (&s->table, key | here) - key;

  if (next == here)
    return offset;
  return next > (end - 1) >> s->arena.chunk_shift
             ? end
             : next << s->arena.chunk_shift;
}

uint64_t
store_step_end (struct store *s, uint32_t volume, uint64_t offset, uint64_t end)
{
  const uint64_t size = arena_chunk_size (&s->arena);
  uint64_t left;

  for (left = STORE_STEP;; left -= size) {
    if (offset >= end)
      return end;
    offset = store_skip_emptiness (s, volume, offset, end);
    if (left < size)
      return offset;
    offset = (offset & -size) + size;
  }
}
