/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The smaller and the greater of two numbers.
 */

#ifndef NULLBLK_MINMAX_H
#define NULLBLK_MINMAX_H

#include <stdint.h>

static inline uint64_t
min (uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

static inline uint64_t
max (uint64_t a, uint64_t b)
{
  return a > b ? a : b;
}

#endif /* NULLBLK_MINMAX_H */
