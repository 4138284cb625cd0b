/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What our own server and fio add to the time of a request.
 */

#ifndef NULLBLK_OVERHEAD_H
#define NULLBLK_OVERHEAD_H

#include "cell.h"

#define OVERHEAD_RUNS 6

/* Returns how many nanoseconds are added to a read of those of F, single reads,
 * if a client is to see a median of NSEC.  Up to OVERHEAD_RUNS runs of SECONDS
 * each measure it.  Returns -1 if the first of them fails, as where nothing can
 * be measured.
 */
double overhead_find (const struct figures *f, double nsec, unsigned seconds);

#endif /* NULLBLK_OVERHEAD_H */
