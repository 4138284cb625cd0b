/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Requests in flight that slow down others; see load.h.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "load.h"

/* Put E where the heap has place AT, or in one of the places above that. */
static void
put_up (struct load *l, size_t at, struct load_entry e)
{
  for (; at > 0 && l->known[(at - 1) / 2].until > e.until; at = (at - 1) / 2)
    l->known[at] = l->known[(at - 1) / 2];
  l->known[at] = e;
}

/* Take out what is in place AT. */
static void
take_out (struct load *l, size_t at)
{
  const struct load_entry last = l->known[--l->n];
  size_t child;

  for (child = 2 * at + 1; child < l->n; child = 2 * at + 1) {
    if (child + 1 < l->n && l->known[child + 1].until < l->known[child].until)
      child++;
    if (l->known[child].until >= last.until)
      break;
    l->known[at] = l->known[child];
    at = child;
  }
  if (at < l->n)
    put_up (l, at, last);
}

uint64_t
load_at (struct load *l, uint64_t now)
{
  while (l->n > 0 && l->known[0].until <= now) {
    l->nsec -= l->known[0].nsec;
    take_out (l, 0);
  }
  return l->nsec;
}

void
load_begin (struct load *l, uint64_t nsec)
{
  l->nsec += nsec;
}

void
load_end_at (struct load *l, uint64_t nsec, uint64_t until)
{
  struct load_entry *more;

  if (l->n == l->room) {
    more = realloc (l->known, (2 * l->room + 32) * sizeof *more);
    if (more == NULL) {
      l->nsec -= nsec;
      return;
    }
    l->known = more;
    l->room = 2 * l->room + 32;
  }
  put_up (l, l->n++, (struct load_entry){until, nsec});
}

void
load_cancel (struct load *l, uint64_t nsec, uint64_t until)
{
  size_t i;

  if (until == 0) {
    l->nsec -= nsec;
    return;
  }
  for (i = 0; i < l->n; i++) {
    if (l->known[i].until == until && l->known[i].nsec == nsec) {
      l->nsec -= nsec;
      take_out (l, i);
      return;
    }
  }
}

void
load_reset (struct load *l)
{
  l->generation++;
  l->nsec = 0;
  l->n = 0;
}

void
load_destroy (struct load *l)
{
  free (l->known);
  memset (l, 0, sizeof *l);
}
