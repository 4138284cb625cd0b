/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * From figures to settings: which model of the plugin has them.
 */

#ifndef NULLBLK_FIT_H
#define NULLBLK_FIT_H

#include "cell.h"

/* What is known of a drive beside its figures. */
struct drive_facts {
  uint64_t size, block_size, physical_block_size; /* bytes; 0: not known */
  bool rotational;
  unsigned part_seconds; /* how long each part of a sustained load was */
};

/* Write settings, lines NAME=VALUE, that a device has these figures by. */
void fit (FILE *fp, const struct figures_list *list,
          const struct drive_facts *drive);

#endif /* NULLBLK_FIT_H */
