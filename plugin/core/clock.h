/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Time: nanoseconds of a clock that only goes forward.
 */

#ifndef NULLBLK_CLOCK_H
#define NULLBLK_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t
clock_now (void)
{
  struct timespec t;

  clock_gettime (CLOCK_MONOTONIC, &t);
  return (uint64_t) t.tv_sec * 1000000000 + t.tv_nsec;
}

#endif /* NULLBLK_CLOCK_H */
