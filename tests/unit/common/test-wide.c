/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Numbers of 128 bits: as the compiler's own, where it has them, and by what is
 * known of a product and its factors.
 */

#include <config.h>

#include "common/common.h"
#include "unit.h"

#ifdef __SIZEOF_INT128__
__extension__ typedef unsigned __int128 compilers_wide;
#endif

#define FACTORS 5
static const uint64_t factors[FACTORS] = {1, 3, UINT32_MAX, UINT64_C (1) << 32,
                                          UINT64_MAX};

static bool
is_equal (struct wide a, struct wide b)
{
  return a.high == b.high && a.low == b.low;
}

/* Of any A, B and C less than B: (A * B + C) / B. */
static void
check (uint64_t a, uint64_t b, uint64_t c)
{
  const struct wide product = wide_product (a, b);
  const struct wide sum = wide_sum (product, (struct wide){0, c});

  assert_true (is_equal (product, wide_product (b, a)));
  assert_true (is_equal (wide_difference (sum, product), (struct wide){0, c}));
  assert_int_equal (wide_is_less (product, sum), c != 0);
  assert_false (wide_is_less (sum, product));
  assert_true (is_equal (wide_min (sum, product), product));
  assert_int_equal (wide_quotient (sum, b), a);
  assert_int_equal (wide_quotient_up (sum, b), a + (c != 0 && a < UINT64_MAX));
#ifdef __SIZEOF_INT128__
  {
    const compilers_wide real = (compilers_wide) a * b + c;

    assert_true (is_equal (
        sum, (struct wide){(uint64_t) (real >> 64), (uint64_t) real}));
  }
#endif
}

static void
test_edges (void **state)
{
  unsigned i, j;

  (void) state;
  for (i = 0; i < FACTORS; i++) {
    for (j = 0; j < FACTORS; j++) {
      check (factors[i], factors[j], 0);
      check (factors[i], factors[j], factors[j] - 1);
      check (0, factors[j], factors[j] - 1);
    }
  }
}

static void
test_random (void **state)
{
  uint64_t random = new_seed ("wide"), a, b;
  unsigned i;

  (void) state;
  for (i = 0; i < 10000; i++) {
    a = next_random (&random) >> random_below (&random, 64);
    b = (next_random (&random) >> random_below (&random, 64)) | 1;
    check (a, b, next_random (&random) % b);
  }
}

/* A quotient that does not fit. */
static void
test_too_much (void **state)
{
  (void) state;
  assert_int_equal (wide_quotient ((struct wide){7, 0}, 7), UINT64_MAX);
  assert_int_equal (wide_quotient ((struct wide){UINT64_MAX, 0}, 1),
                    UINT64_MAX);
  assert_int_equal (wide_quotient ((struct wide){6, UINT64_MAX}, 7),
                    UINT64_MAX);
  assert_int_equal (wide_quotient_up ((struct wide){6, UINT64_MAX}, 7),
                    UINT64_MAX);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_edges),
      cmocka_unit_test (test_random),
      cmocka_unit_test (test_too_much),
  };

  return RUN_TESTS (tests);
}
