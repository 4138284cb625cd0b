/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Numbers and sizes: what is taken, what is not, and how sizes are printed.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "common/common.h"
#include "unit.h"

static void
test_sizes (void **state)
{
  static const struct {
    const char *text;
    uint64_t bytes;
  } table[] = {
      {"0", 0},
      {"1", 1},
      {"007", 7},
      {"512b", 512},
      {"3s", 1536},
      {"3S", 1536},
      {"1k", 1024},
      {"64K", 65536},
      {"1M", UINT64_C (1) << 20},
      {"2g", UINT64_C (2) << 30},
      {"1T", UINT64_C (1) << 40},
      {"1P", UINT64_C (1) << 50},
      {"15E", UINT64_C (15) << 60},
      {"18446744073709551615", UINT64_MAX},
      {"18446744073709551615B", UINT64_MAX},
      {"0x0", 0},
      {"0x200", 512},
      {"0X1e", 30},
      {"0xB", 11},
      {"0x10k", 16384},
      {"0x1S", 512},
      {"0xffffFFFFffffffff", UINT64_MAX},
  };
  uint64_t bytes;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof table / sizeof table[0]; i++) {
    bytes = 12345;
    if (size_parse (table[i].text, strlen (table[i].text), &bytes) != 0)
      fail_msg ("%s is refused", table[i].text);
    assert_int_equal (bytes, table[i].bytes);
  }
}

static void
test_wrong (void **state)
{
  static const char *const wrong[] = {
      "",    "K",     "-1",   "+1",   " 1",   "1 ",
      "1x",  "1KiB",  "1.5K", "0x",   "16E",  "18446744073709551616",
      "0xK", "0x1g2", "1a",   "00x1", "-0x1", "0x10000000000000000",
  };
  uint64_t n;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    if (size_parse (wrong[i], strlen (wrong[i]), &n) != -EINVAL)
      fail_msg ("size '%s' is taken", wrong[i]);
    if (number_parse (wrong[i], strlen (wrong[i]), &n) != -EINVAL)
      fail_msg ("number '%s' is taken", wrong[i]);
  }
  assert_int_equal (number_parse ("1K", 2, &n), -EINVAL);
  assert_int_equal (number_parse ("12345", 2, &n), 0);
  assert_int_equal (n, 12);
}

static void
test_format (void **state)
{
  uint64_t random = new_seed ("sizes"), size, again;
  char text[24];
  int i;

  (void) state;
  size_format (UINT64_C (250) << 30, text, sizeof text);
  assert_string_equal (text, "250G");
  size_format (512, text, sizeof text);
  assert_string_equal (text, "512");
  size_format (0, text, sizeof text);
  assert_string_equal (text, "0");
  size_format (UINT64_C (15) << 60, text, sizeof text);
  assert_string_equal (text, "15E");
  for (i = 0; i < 10000; i++) {
    size = next_random (&random) >> random_below (&random, 64);
    size <<= random_below (&random, 64);
    size_format (size, text, sizeof text);
    assert_int_equal (size_parse (text, strlen (text), &again), 0);
    assert_int_equal (again, size);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_sizes),
      cmocka_unit_test (test_wrong),
      cmocka_unit_test (test_format),
  };

  return RUN_TESTS (tests);
}
