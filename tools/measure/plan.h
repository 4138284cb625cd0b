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

/* Choose the cells by the options: random reads of all sizes and depths, and
 * some reads in sequence; with --write the same of writes, and flushes.
 */
void plan_choose (struct plan *cells);

/* Write a number of seconds on stderr, in minutes if it is large. */
void progress_print_seconds (unsigned n);

/* Write a line on stderr: cell number DONE of ALL has the figures F, and the
 * rest takes up to LEFT more seconds, unless that is 0.
 */
void progress_say (size_t done, size_t all, const struct figures *f,
                   unsigned left);

#endif /* NULLBLK_PLAN_H */
