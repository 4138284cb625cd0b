/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Declarations that the files of fit.h share.  Each file calls only those that
 * stand below it:
 *
 *     fit.c           what the drive is, and all of its settings
 *     fit-disk.c      disks
 *     fit-writes.c    writes and flushes
 *     fit-reads.c     reads
 *     fit-settings.c  settings that can be read off the figures, as text
 */

#ifndef NULLBLK_FIT_INTERNAL_H
#define NULLBLK_FIT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fit.h"

#define BIT(kind) (1u << (kind))

/* Requests of a cell in a simulation: p99 of so many is good to some percent.
 */
#define REQUESTS 2000

#define MIB 1048576.0

#define ALL 1000000000 /* parts of a billion: struct percentile */

/* Settings as text, which is what a simulation takes. */
struct text {
  char s[16384];
  size_t len;
};

/* Add to a text as printf does.  What does not fit is left out as a whole: it
 * would be half a line.
 */
void text_add (struct text *t, const char *fs, ...)
    __attribute__ ((format (printf, 2, 3)));

/* Returns N rounded to a whole number, 0 for what is not above 0, and 2^63 for
 * what is above that.
 */
uint64_t rounded (double n);

/* Returns the figures of this kind with the smallest size at depth 1, or NULL.
 */
const struct figures *fit_find_base (const struct figures_list *list,
                                     enum kind kind);

/* Returns the most requests of SIZE bytes that pass in a second, or 0 where no
 * limit is seen; see its code for when one is.
 */
double fit_find_limit (const struct figures_list *list, enum kind kind,
                       uint64_t size);

/* Add NAME=percentiles:..., the times of a cell, each LESS nanoseconds shorter.
 */
void fit_add_latency (struct text *t, const char *name, const struct figures *f,
                      double less);

/* Add NAME=SIZE:DURATION,..., how much longer than BASE larger requests take.
 */
void fit_add_sizes (struct text *t, const char *name,
                    const struct figures_list *list,
                    const struct figures *base);

/* Add NAME-iops and NAME-mbps, if requests of BASE's kind meet a limit. */
void fit_add_limits (struct text *t, const char *name,
                     const struct figures_list *list,
                     const struct figures *base);

/* Add the settings of reads; those of credits, if sustained reads show any; and
 * those of writes and flushes.
 */
void fit_reads (struct text *t, const struct figures_list *list);
void fit_credits (struct text *t, const struct figures_list *list,
                  const struct drive_facts *drive);
void fit_writes (struct text *t, const struct figures_list *list,
                 const struct drive_facts *drive, bool is_disk);

/* Are reads as those of a disk? */
bool fit_is_disk (const struct drive_facts *drive, const struct figures *base);

/* Add the settings of a disk.  Returns false, and adds nothing, if there is no
 * disk with these figures.
 */
bool fit_disk (struct text *t, const struct figures_list *list,
               const struct figures *base);

#endif /* NULLBLK_FIT_INTERNAL_H */
