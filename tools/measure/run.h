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

/* Returns how many nanoseconds longer requests seem to a client than they take:
 * nullblk-serve serves a device whose reads take NSEC over a socket, and fio
 * reads SIZE bytes each time, for SECONDS.  Returns a negative number if that
 * fails.
 */
double run_client_overhead (uint64_t size, uint64_t nsec, unsigned seconds);

#endif /* NULLBLK_RUN_H */
