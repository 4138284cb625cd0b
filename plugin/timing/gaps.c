/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Gaps; see gaps.h.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "gaps.h"

void
gaps_clear (struct gaps *g)
{
  free (g->slot);
  memset (g, 0, sizeof *g);
}

static void
take_out (struct gaps *g, size_t i)
{
  g->count--;
  memmove (&g->slot[i], &g->slot[i + 1], (g->count - i) * sizeof *g->slot);
}

void
gaps_pass (struct gaps *g, uint64_t now)
{
  size_t i;

  for (i = g->count; i-- > 0;) {
    if (g->slot[i].to <= now)
      take_out (g, i);
  }
}

/* Put SLOT where it belongs; there is room. */
static void
put_in (struct gaps *g, struct slot slot)
{
  size_t i;

  for (i = g->count++; i > 0 && g->slot[i - 1].from > slot.from; i--)
    g->slot[i] = g->slot[i - 1];
  g->slot[i] = slot;
}

void
gaps_take (struct gaps *g, size_t i, uint64_t moment)
{
  const struct slot rest = {moment, g->slot[i].to};

  take_out (g, i);
  if (rest.from < rest.to)
    put_in (g, rest);
}

/* The gap that ends at MOMENT, or the number of gaps. */
static size_t
find_before (const struct gaps *g, uint64_t moment)
{
  size_t i;

  for (i = 0; i < g->count && g->slot[i].to != moment; i++)
    ;
  return i;
}

void
gaps_add (struct gaps *g, struct slot slot)
{
  struct slot *more;
  size_t i;

  if (slot.from >= slot.to)
    return;
  i = find_before (g, slot.from);
  if (i < g->count) {
    slot.from = g->slot[i].from;
    take_out (g, i);
  }
  for (i = 0; i < g->count && g->slot[i].from != slot.to; i++)
    ;
  if (i < g->count) {
    slot.to = g->slot[i].to;
    take_out (g, i);
  }
  if (g->count == g->room) {
    more = realloc (g->slot, (2 * g->room + 16) * sizeof *more);
    if (more == NULL)
      return;
    g->slot = more;
    g->room = 2 * g->room + 16;
  }
  put_in (g, slot);
}

uint64_t
gaps_retreat (struct gaps *g, struct slot slot)
{
  uint64_t end = slot.from;
  size_t i;

  while ((i = find_before (g, end)) < g->count) {
    end = g->slot[i].from;
    take_out (g, i);
  }
  return end;
}
