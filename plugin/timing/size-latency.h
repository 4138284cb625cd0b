/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Nanoseconds by the size of a request, such as how much longer larger ones
 * take: points "4K:0,64K:90us,1M:900us".
 *
 *     nsec |              ,-'     between two points on a line, and beyond the
 *          |          _,-'        last on the line of the last two; what is
 *          |  ____,--'            smaller than the first takes what that takes
 *          +------------------
 *                        size
 *
 * A single duration, "7us", is the same for all sizes.
 *
 * Pure functions, without locks.
 */

#ifndef NULLBLK_SIZE_LATENCY_H
#define NULLBLK_SIZE_LATENCY_H

#include <stddef.h>
#include <stdint.h>

#include "common/common.h"

#define MAX_SIZE_POINTS 8

struct size_latency {
  uint32_t n; /* 0: no time; 1: the same for all sizes */
  struct {
    uint64_t size, nsec; /* both ascend, sizes strictly */
  } points[MAX_SIZE_POINTS];
};

/* Parse two points or more, a duration, or "none", which is 0.  Returns 0; or
 * -EINVAL with what is allowed in *why, and *s is as it was.
 */
int size_latency_parse (const char *text, struct size_latency *s,
                        struct message *why);

/* Write S as size_latency_parse takes it; 400 bytes are enough. */
void size_latency_format (const struct size_latency *s, char *buf, size_t len);

/* Returns nanoseconds, at most MAX_DURATION, for a request of COUNT bytes. */
uint64_t size_latency_nsec (const struct size_latency *s, uint32_t count);

#endif /* NULLBLK_SIZE_LATENCY_H */
