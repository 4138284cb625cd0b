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

/* How many requests of a cell are simulated: enough for p99 to be right within
 * some percent.
 */
#define SIMULATED_REQUESTS 2000

#define MIB 1048576.0

/* Settings as text, which is what a simulation takes. */
struct text {
  char s[16384];
  size_t len;
};

/* Add to a text as printf does.  If it does not fit, nothing is added, as that
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
                                     enum load_kind kind);

/* Returns the limit of requests of SIZE bytes, in requests a second; 0 if none
 * is seen.  One is seen if twice the depth brings less than a quarter more, or
 * if the largest depth brings less than half of what it would if requests did
 * not wait for each other.
 */
double fit_find_limit (const struct figures_list *list, enum load_kind kind,
                       uint64_t size);

/* Add NAME=percentiles:..., the times of a cell, each LESS nanoseconds shorter.
 * If the least or the greatest time would falsify the mean by 5 % or more, as
 * where few percentiles are known, it is left out.
 */
void fit_add_latency (struct text *t, const char *name, const struct figures *f,
                      double less);

/* Add NAME=SIZE:DURATION,..., how much longer than BASE larger requests take.
 * If there are more sizes than the plugin takes, some are left out, but not the
 * largest, from which the plugin goes on.
 */
void fit_add_sizes (struct text *t, const char *name,
                    const struct figures_list *list,
                    const struct figures *base);

/* Try the settings of T, which have no limits, with NAME=DURATION or
 * NAME=SIZE:DURATION,..., how much longer requests of BASE's kind take at the
 * median for each further one at a time, by size.  If these come closer to the
 * figures than *LEAST by more than WORTH, *LEAST and *BEST become their
 * distance (simulate_list) and settings.
 */
void fit_try_load (const struct text *t, const char *name,
                   const struct figures_list *list, const struct figures *base,
                   double worth, struct text *best, double *least);

/* Add NAME-iops and NAME-mbps, if requests of BASE's kind meet a limit.  A
 * limit on bytes is one that large requests meet at fewer requests a second
 * than small ones.
 */
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

/* Does BASE show reads of a disk with an arm and a platter? */
bool fit_is_disk (const struct drive_facts *drive, const struct figures *base);

/* Add the settings of a disk.  Returns false, and adds nothing, if there is no
 * disk with these figures.
 */
bool fit_disk (struct text *t, const struct figures_list *list,
               const struct figures *base);

#endif /* NULLBLK_FIT_INTERNAL_H */
