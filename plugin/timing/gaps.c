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
  free (g->gap);
  memset (g, 0, sizeof *g);
}

static void
take_out (struct gaps *g, size_t i)
{
  g->count--;
  memmove (&g->gap[i], &g->gap[i + 1], (g->count - i) * sizeof *g->gap);
}

void
gaps_pass (struct gaps *g, uint64_t now)
{
  size_t i;

  for (i = g->count; i-- > 0;) {
    if (g->gap[i].to <= now)
      take_out (g, i);
  }
}

/* Put BOOKING where it belongs; there is room. */
static void
put_in (struct gaps *g, struct booking booking)
{
  size_t i;

  for (i = g->count++; i > 0 && g->gap[i - 1].from > booking.from; i--)
    g->gap[i] = g->gap[i - 1];
  g->gap[i] = booking;
}

void
gaps_take (struct gaps *g, size_t i, uint64_t moment)
{
  const struct booking rest = {moment, g->gap[i].to};

  take_out (g, i);
  if (rest.from < rest.to)
    put_in (g, rest);
}

/* The gap that ends at MOMENT, or the number of gaps. */
static size_t
find_before (const struct gaps *g, uint64_t moment)
{
  size_t i;

  for (i = 0; i < g->count && g->gap[i].to != moment; i++)
    ;
  return i;
}

void
gaps_add (struct gaps *g, struct booking booking)
{
  struct booking *more;
  size_t i;

  if (booking.from >= booking.to)
    return;
  i = find_before (g, booking.from);
  if (i < g->count) {
    booking.from = g->gap[i].from;
    take_out (g, i);
  }
  for (i = 0; i < g->count && g->gap[i].from != booking.to; i++)
    ;
  if (i < g->count) {
    booking.to = g->gap[i].to;
    take_out (g, i);
  }
  if (g->count == g->room) {
    more = realloc (g->gap, (2 * g->room + 16) * sizeof *more);
    if (more == NULL)
      return;
    g->gap = more;
    g->room = 2 * g->room + 16;
  }
  put_in (g, booking);
}

uint64_t
gaps_retreat (struct gaps *g, struct booking booking)
{
  uint64_t end = booking.from;
  size_t i;

  while ((i = find_before (g, end)) < g->count) {
    end = g->gap[i].from;
    take_out (g, i);
  }
  return end;
}
