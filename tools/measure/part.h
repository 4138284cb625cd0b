/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What has been measured, kept beside the model (as its name with .part) until
 * the model is written, so that an interrupted measurement can go on.
 */

#ifndef NULLBLK_PART_H
#define NULLBLK_PART_H

#include <limits.h>
#include <stdio.h>

#include "cell.h"
#include "target.h"

struct part {
  char path[PATH_MAX]; /* "" where there is none */
  FILE *fp;
  struct figures_list list;
  char version[32]; /* of fio */
};

/* Begin, or go on with what is there; without --output, in memory alone.  Dies
 * where the file is of another measurement, or cannot be read or written.
 */
void part_open (struct part *part, const struct target *t);

/* Add what was measured in a cell.  Dies where it cannot be written. */
void part_add (struct part *part, const struct figures *f);

/* Remove the file: the model is written. */
void part_close (struct part *part);

#endif /* NULLBLK_PART_H */
