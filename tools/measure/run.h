/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Runs fio on a target, a cell at a time.
 */

#ifndef NULLBLK_RUN_H
#define NULLBLK_RUN_H

#include "cell.h"
#include "target.h"

/* Run fio on one cell for SECONDS.  *F becomes the figures, and VERSION that of
 * fio.  If fio fails, dies with fio's message.
 */
void run_cell (const struct target *t, const struct cell *cell,
               unsigned seconds, struct figures *f, char version[32]);

/* Returns how much longer the median of single reads seems to a client than it
 * is, in nanoseconds: nullblk-serve serves a device over a socket whose reads
 * take as long as those of F, but all so much more or less that their median is
 * NSEC, and fio reads from it for SECONDS.  Returns a negative number if that
 * fails.
 */
double run_client_overhead (const struct figures *f, uint64_t nsec,
                            unsigned seconds);

#endif /* NULLBLK_RUN_H */
