/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Measuring: fio is run on a target, a cell at a time.
 */

#ifndef NULLBLK_RUN_H
#define NULLBLK_RUN_H

#include "cell.h"
#include "target.h"

/* Run fio on one cell for SECONDS.  *f becomes what it says.  Dies where fio
 * fails, with what it says.  VERSION becomes fio's.
 */
void run_cell (const struct target *t, const struct cell *cell,
               unsigned seconds, struct figures *f, char version[32]);

/* How much longer a client sees requests take than they do, in nanoseconds:
 * nullblk-serve serves a device whose reads take NSEC over a socket, and fio
 * reads from it.  Returns a negative number where that cannot be.
 */
double run_client_overhead (uint64_t nsec, unsigned seconds);

#endif /* NULLBLK_RUN_H */
