/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What has been measured, kept beside the model (as its name with .part) until
 * the model is written, so that an interrupted measurement can go on.
 */

#ifndef NULLBLK_RESULTS_H
#define NULLBLK_RESULTS_H

#include <limits.h>
#include <stdio.h>

#include "cell.h"
#include "target.h"

struct results {
  char path[PATH_MAX]; /* of the file; "": without --output there is none */
  FILE *fp;
  struct figures_list list;
  char version[32]; /* of fio */
};

/* Begin a measurement, or go on with what the file has; without --output,
 * results are in memory alone.  Dies if the file is of another measurement, or
 * cannot be read or written.
 */
void results_open (struct results *results, const struct target *t);

/* Add what was measured in a cell.  Dies if it cannot be written. */
void results_add (struct results *results, const struct figures *f);

/* Remove the file, once the model is written, and free the results. */
void results_close (struct results *results);

#endif /* NULLBLK_RESULTS_H */
