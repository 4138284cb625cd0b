/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * For the two files of distributions: distribution-parse.c, which parses a
 * text, and distribution.c, which makes the distribution.
 */

#ifndef NULLBLK_DISTRIBUTION_INTERNAL_H
#define NULLBLK_DISTRIBUTION_INTERNAL_H

#include "distribution.h"
#include "percentiles.h"

/* Each returns one reference, or NULL if there is no memory.  Numbers are in
 * nanoseconds, and in the ranges of distribution.h; TEXT, which is copied, is
 * the text of the distribution.
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

/* RPM is rotations a minute, MBPS is MiB a second; 0: that part takes no time.
 */
struct distribution *distribution_make_seek (uint64_t track, uint64_t full,
                                             uint64_t rpm, uint64_t mbps,
                                             const char *text);

#endif /* NULLBLK_DISTRIBUTION_INTERNAL_H */
