/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Whole numbers of 128 bits, without a sign, for products of two of 64 bits.
 * Compilers have such a type on 64-bit machines only.  Pure functions.
 */

#ifndef NULLBLK_WIDE_H
#define NULLBLK_WIDE_H

#include <stdbool.h>
#include <stdint.h>

struct wide {
  uint64_t high, low;
};

static inline struct wide
wide_product (uint64_t a, uint64_t b)
{
  const uint64_t low = (a & UINT32_MAX) * (b & UINT32_MAX);
  const uint64_t left = (a >> 32) * (b & UINT32_MAX) + (low >> 32);
  const uint64_t right = (a & UINT32_MAX) * (b >> 32) + (left & UINT32_MAX);

  return (struct wide){.high =
                           (a >> 32) * (b >> 32) + (left >> 32) + (right >> 32),
                       .low = right << 32 | (low & UINT32_MAX)};
}

/* What does not fit into 128 bits is lost. */
static inline struct wide
wide_sum (struct wide a, struct wide b)
{
  const uint64_t low = a.low + b.low;

  return (struct wide){.high = a.high + b.high + (low < a.low), .low = low};
}

/* B is no more than A. */
static inline struct wide
wide_difference (struct wide a, struct wide b)
{
  return (struct wide){.high = a.high - b.high - (a.low < b.low),
                       .low = a.low - b.low};
}

static inline bool
wide_is_less (struct wide a, struct wide b)
{
  return a.high < b.high || (a.high == b.high && a.low < b.low);
}

static inline struct wide
wide_min (struct wide a, struct wide b)
{
  return wide_is_less (a, b) ? a : b;
}

/* Returns A / B, B not 0, rounded down; UINT64_MAX where it is more. */
static inline uint64_t
wide_quotient (struct wide a, uint64_t b)
{
  uint64_t left = a.high, r = 0;
  bool carry;
  int bit;

  if (a.high == 0)
    return a.low / b;
  if (a.high >= b)
    return UINT64_MAX;
  for (bit = 63; bit >= 0; bit--) {
    carry = left >> 63;
    left = left << 1 | (a.low >> bit & 1);
    if (carry || left >= b) {
      left -= b;
      r |= UINT64_C (1) << bit;
    }
  }
  return r;
}

/* Returns A / B, rounded up. */
static inline uint64_t
wide_quotient_up (struct wide a, uint64_t b)
{
  return wide_quotient (wide_sum (a, (struct wide){0, b - 1}), b);
}

#endif /* NULLBLK_WIDE_H */
