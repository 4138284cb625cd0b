/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Which cells are measured, in which order, and how far the measurement is.
 */

#ifndef NULLBLK_PLAN_H
#define NULLBLK_PLAN_H

#include "cell.h"
#include "options.h"

struct plan {
  struct cell c[MAX_LIST * MAX_LIST * 2 + 64];
  size_t n;
};

/* Choose the cells by the options: random requests of all sizes and depths, and
 * some in sequence; of writes, with --write, too, and flushes.
 */
void plan_choose (struct plan *cells);

/* Write a number of seconds on stderr, in minutes if it is large. */
void progress_print_seconds (unsigned n);

/* Write a line on stderr: the cell DONE of ALL has the figures F.  LEFT seconds
 * are left; 0 says nothing of that.
 */
void progress_say (size_t done, size_t all, const struct figures *f,
                   unsigned left);

#endif /* NULLBLK_PLAN_H */
