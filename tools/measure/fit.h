/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * From the figures of a drive to settings with which the plugin gives about
 * these figures.
 */

#ifndef NULLBLK_FIT_H
#define NULLBLK_FIT_H

#include "cell.h"

/* What is known of a drive beside its figures. */
struct drive_facts {
  uint64_t size, block_size, physical_block_size; /* bytes; 0: not known */
  bool rotational;
  unsigned part_seconds;  /* how long each part of a sustained load was */
  double rest_seconds;    /* that the drive rested before each part */
  unsigned rounds;        /* each other load was measured so often */
  unsigned round_seconds; /* and so long each time */
  bool is_resumed;        /* some cells were measured before an interruption */
};

/* Write settings, lines NAME=VALUE, with which a device of the plugin gives
 * about these figures.
 */
void fit (FILE *fp, const struct figures_list *list,
          const struct drive_facts *drive);

#endif /* NULLBLK_FIT_H */
