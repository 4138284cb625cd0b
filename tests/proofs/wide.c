/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Proofs of common/wide.h, by the compiler's own numbers of 128 bits.
 */

#include "prove.h"

#include "common/wide.h"

typedef unsigned __int128 uint128;

static uint128
number (struct wide w)
{
  return (uint128) w.high << 64 | w.low;
}

static struct wide
any_wide (void)
{
  return (struct wide){nondet_uint64 (), nondet_uint64 ()};
}

/* Any two: sums, differences and comparisons. */
PROOF (wide_sums, 1)
{
  const struct wide a = any_wide (), b = any_wide ();

  CHECK (number (wide_sum (a, b)) == number (a) + number (b));
  CHECK (number (wide_difference (a, b)) == number (a) - number (b));
  CHECK (wide_is_less (a, b) == (number (a) < number (b)));
  CHECK (number (wide_min (a, b)) ==
         (number (a) < number (b) ? number (a) : number (b)));
}

static void
check_product (unsigned shift)
{
  const uint64_t a = nondet_uint64 (), b = UINT64_C (1) << shift;

  CHECK (number (wide_product (a, b)) == (uint128) a << shift);
  CHECK (number (wide_product (b, a)) == (uint128) a << shift);
}

/* Any number times a power of two. */
PROOF (wide_product, 65) { FOR_EACH (shift, 0, 63, check_product); }

static void
check_quotient (unsigned which)
{
  static const unsigned shifts[] = {0, 1, 31, 32, 63};
  const unsigned shift = shifts[which];
  const struct wide a = any_wide ();
  const uint64_t b = UINT64_C (1) << shift;

  CHECK (wide_quotient (a, b) ==
         (a.high >= b ? UINT64_MAX : (uint64_t) (number (a) >> shift)));
}

/* Any number of 128 bits by 2^0, 2^1, 2^31, 2^32 and 2^63. */
PROOF (wide_quotient, 65) { FOR_EACH (which, 0, 4, check_quotient); }
