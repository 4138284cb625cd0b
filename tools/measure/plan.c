/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * See plan.h.
 */

#include <config.h>

#include <stdio.h>

#include "plan.h"

static void
add_cell (struct plan *cells, enum load_kind kind, uint64_t size,
          unsigned depth, unsigned n)
{
  cells->c[cells->n++] = (struct cell){kind, size, depth, n};
}

/* Random requests of all sizes and depths, and some in sequence. */
static void
add_loads (struct plan *cells, enum load_kind random,
           enum load_kind in_sequence)
{
  const unsigned deepest = options.depths[options.nr_depths - 1];
  size_t i, j;

  for (i = 0; i < options.nr_sizes; i++) {
    for (j = 0; j < options.nr_depths; j++)
      add_cell (cells, random, options.sizes[i], options.depths[j], 0);
  }
  for (i = 0; i < options.nr_sizes; i += options.nr_sizes - 1) {
    add_cell (cells, in_sequence, options.sizes[i], 1, 0);
    if (deepest > 1)
      add_cell (cells, in_sequence, options.sizes[i], deepest, 0);
    if (options.nr_sizes == 1)
      break;
  }
}

void
plan_choose (struct plan *cells)
{
  static const unsigned writes[] = {1, 8, 64};
  size_t i;

  cells->n = 0;
  add_loads (cells, LOAD_RANDREAD, LOAD_READ);
  if (!options.write)
    return;
  add_loads (cells, LOAD_RANDWRITE, LOAD_WRITE);
  for (i = 0; i < sizeof writes / sizeof writes[0]; i++)
    add_cell (cells, LOAD_FLUSH, options.sizes[0], 1, writes[i]);
}

/*---------------------------------------------------------------------*/
/* Progress, on stderr */

void
progress_print_seconds (unsigned n)
{
  if (n >= 120)
    fprintf (stderr, "%u min", (n + 30) / 60);
  else
    fprintf (stderr, "%u s", n);
}

void
progress_say (size_t done, size_t all, const struct figures *f, unsigned left)
{
  char cell[64];

  cell_format (&f->cell, cell, sizeof cell);
  fprintf (stderr, "nullblk-measure: %zu/%zu %s: p50 %.1f us, p99 %.1f us",
           done, all, cell, figures_percentile (f, 50) / 1e3,
           figures_percentile (f, 99) / 1e3);
  if (f->iops > 0)
    fprintf (stderr, ", %.0f/s", f->iops);
  if (left > 0) {
    fputs ("; left: ", stderr);
    progress_print_seconds (left);
  }
  putc ('\n', stderr);
}
