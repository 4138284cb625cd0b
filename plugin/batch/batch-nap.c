/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Naps; see batch-nap-internal.h.
 */

#include <config.h>

#include <string.h>

#include "batch-nap-internal.h"

/* The first nap, and the longest, in ns. */
#define FIRST_NAP 10000
#define MAX_NAP 20000

/* Chances that are left out after naps that were too long. */
#define MAX_TOO_LONG 8
#define FIRST_SKIP 2
#define MAX_SKIP 1024

void
naps_init (struct naps *n)
{
  memset (n, 0, sizeof *n);
  n->skip_next = FIRST_SKIP;
}

uint32_t
naps_next (struct naps *n)
{
  if (!n->busy)
    return 0;
  n->busy = false;
  if (n->skip_now > 0) {
    n->skip_now--;
    return 0;
  }
  if (n->nap == 0)
    n->nap = FIRST_NAP;
  return n->nap;
}

void
naps_note_arrival (struct naps *n, bool napped, bool busy)
{
  n->busy = busy;
  if (!napped || n->nap == 0)
    return;
  if (busy) {
    n->nap = n->nap + n->nap / 4 < MAX_NAP ? n->nap + n->nap / 4 : MAX_NAP;
    n->nr_too_long = 0;
    if (n->nap > FIRST_NAP + FIRST_NAP / 2)
      n->skip_next = FIRST_SKIP;
  }
  else if (n->nap > FIRST_NAP)
    n->nap = n->nap - n->nap / 8 > FIRST_NAP ? n->nap - n->nap / 8 : FIRST_NAP;
  else if (++n->nr_too_long >= MAX_TOO_LONG) {
    n->nr_too_long = 0;
    n->nap = 0;
    n->skip_now = n->skip_next;
    n->skip_next = n->skip_next < MAX_SKIP ? 2 * n->skip_next : MAX_SKIP;
  }
}
