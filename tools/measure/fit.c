/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * How settings are found; see fit.h.
 *
 * The times of single requests (the smallest size at depth 1) become a latency.
 * How much longer larger requests take at the median becomes a latency by size.
 * A rate that no longer grows with the depth becomes a limit.  Flushes after
 * several numbers of writes lie on a line: what each write adds to a flush is
 * the time in which a write drains, and the rest is the flush itself.  Settings
 * that cannot be read off the figures (dies, the queue of a disk) are found by
 * trying some values; simulate.h tells which come closest.
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>

#include "fit-internal.h"

void
fit (FILE *fp, const struct figures_list *list, const struct drive_facts *drive)
{
  const struct figures *base = fit_find_base (list, LOAD_RANDREAD);
  static struct text t;
  bool is_disk = base != NULL && fit_is_disk (drive, base);
  char size[32];

  t.len = 0;
  t.s[0] = '\0';
  if (drive->size > 0) {
    size_format (drive->size, size, sizeof size);
    text_add (&t, "size=%s\n", size);
  }
  if (drive->block_size > 0)
    text_add (&t, "block-size=%" PRIu64 "\n", drive->block_size);
  if (drive->physical_block_size > 0)
    text_add (&t, "physical-block-size=%" PRIu64 "\n",
              drive->physical_block_size);
  is_disk = is_disk && fit_disk (&t, list, base);
  if (drive->rotational || is_disk)
    text_add (&t, "rotational=true\n");
  if (!is_disk)
    fit_reads (&t, list);
  fit_credits (&t, list, drive);
  fit_writes (&t, list, drive, is_disk);
  fputs (t.s, fp);
}
