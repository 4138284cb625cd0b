/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Distributions, for their two files: distribution-parse.c takes a text apart,
 * distribution.c makes what it says.  Nobody else includes this.
 */

#ifndef NULLBLK_DISTRIBUTION_INTERNAL_H
#define NULLBLK_DISTRIBUTION_INTERNAL_H

#include "distribution.h"
#include "percentiles.h"

/* One reference, or NULL if there is no memory.  Numbers are in nanoseconds and
 * as distribution.h wants them; TEXT, which is copied, says the same.
 */
struct distribution *distribution_make_fixed (uint64_t nsec, const char *text);
struct distribution *distribution_make_uniform (uint64_t least, uint64_t most,
                                                const char *text);
struct distribution *
distribution_make_normal (uint64_t mean, uint64_t deviation, const char *text);
struct distribution *distribution_make_lognormal (uint64_t p50, uint64_t p99,
                                                  const char *text);
struct distribution *distribution_make_percentiles (const struct percentile *p,
                                                    size_t n, const char *text);

/* RPM is turns a minute, MBPS MiB a second; 0 is none. */
struct distribution *distribution_make_seek (uint64_t track, uint64_t full,
                                             uint64_t rpm, uint64_t mbps,
                                             const char *text);

#endif /* NULLBLK_DISTRIBUTION_INTERNAL_H */
