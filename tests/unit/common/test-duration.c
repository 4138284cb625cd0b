/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Durations: what is taken, what is not, and how they are printed.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "common/common.h"
#include "unit.h"

static uint64_t
parse (const char *text)
{
  uint64_t nsec = 12345;

  if (duration_parse (text, strlen (text), &nsec) != 0)
    fail_msg ("%s is refused", text);
  return nsec;
}

static void
test_units (void **state)
{
  (void) state;
  assert_int_equal (parse ("0"), 0);
  assert_int_equal (parse ("00"), 0);
  assert_int_equal (parse ("0ns"), 0);
  assert_int_equal (parse ("0s"), 0);
  assert_int_equal (parse ("1ns"), 1);
  assert_int_equal (parse ("100us"), 100000);
  assert_int_equal (parse ("10ms"), 10000000);
  assert_int_equal (parse ("100s"), MAX_DURATION);
  assert_int_equal (parse ("100000000000ns"), MAX_DURATION);
}

static void
test_fractions (void **state)
{
  (void) state;
  assert_int_equal (parse ("1.5ms"), 1500000);
  assert_int_equal (parse ("0.001us"), 1);
  assert_int_equal (parse ("1.000000001s"), 1000000001);
  assert_int_equal (parse ("99.999999999s"), MAX_DURATION - 1);
  assert_int_equal (parse ("1.9ns"), 1);
  assert_int_equal (parse ("0.00000000000000000000000000009s"), 0);
  assert_int_equal (parse ("2.50us"), 2500);
}

/* With another limit. */
static void
test_up_to (void **state)
{
  const uint64_t day = 86400 * NSEC_PER_SEC;
  uint64_t nsec;

  (void) state;
  assert_int_equal (duration_parse_up_to ("86400s", 6, day, &nsec), 0);
  assert_int_equal (nsec, day);
  assert_int_equal (duration_parse_up_to ("86400000ms", 10, day, &nsec), 0);
  assert_int_equal (nsec, day);
  assert_int_equal (duration_parse_up_to ("86401s", 6, day, &nsec), -EINVAL);
  assert_int_equal (duration_parse_up_to ("86400.1s", 8, day, &nsec), -EINVAL);
  assert_int_equal (duration_parse_up_to ("5ns", 3, 4, &nsec), -EINVAL);
  assert_int_equal (duration_parse_up_to ("1us", 3, 4, &nsec), -EINVAL);
  assert_int_equal (duration_parse_up_to ("4ns", 3, 4, &nsec), 0);
  assert_int_equal (nsec, 4);
}

static void
test_wrong (void **state)
{
  static const char *const wrong[] = {
      "",
      "10",
      "1",
      "us",
      ".5us",
      "1.us",
      "1.5",
      "-1us",
      "+1us",
      " 1us",
      "1us ",
      "1 us",
      "1US",
      "1m",
      "1min",
      "100.s",
      "0.0",
      "1,5ms",
      "1e3ns",
      "0x1us",
      "1uss",
      "100.1s",
      "100.000000001s",
      "101s",
      "100001ms",
      "99999999999999999999s",
      "18446744073709551617ns",
      "100000000000.0us",
  };
  uint64_t nsec = 12345;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    if (duration_parse (wrong[i], strlen (wrong[i]), &nsec) != -EINVAL)
      fail_msg ("%s is taken", wrong[i]);
  }
  assert_int_equal (nsec, 12345);
}

/* Only LEN bytes are looked at. */
static void
test_part_of_a_text (void **state)
{
  uint64_t nsec;

  (void) state;
  assert_int_equal (duration_parse ("10us,20us", 4, &nsec), 0);
  assert_int_equal (nsec, 10000);
  assert_int_equal (duration_parse ("10us,20us", 9, &nsec), -EINVAL);
  assert_int_equal (duration_parse ("10us", 3, &nsec), -EINVAL);
}

static void
test_format (void **state)
{
  static const uint64_t some[] = {0,       1,           999,
                                  1000,    1500,        80000,
                                  2000000, 1000000000,  MAX_DURATION - 1,
                                  60000,   MAX_DURATION};
  static const char *const texts[] = {
      "0",   "1ns", "999ns",         "1us",  "1500ns", "80us",
      "2ms", "1s",  "99999999999ns", "60us", "100s"};
  char buf[24];
  size_t i;

  (void) state;
  for (i = 0; i < sizeof some / sizeof some[0]; i++) {
    duration_format (some[i], buf, sizeof buf);
    assert_string_equal (buf, texts[i]);
    assert_int_equal (parse (buf), some[i]);
  }
}

static void
test_round_trip (void **state)
{
  uint64_t random = new_seed ("durations"), nsec;
  char buf[24];
  int i;

  (void) state;
  for (i = 0; i < 100000; i++) {
    nsec = random_below (&random, MAX_DURATION + 1);
    if (i % 2)
      nsec -= nsec % 1000000;
    duration_format (nsec, buf, sizeof buf);
    assert_int_equal (parse (buf), nsec);
  }
}

static void
test_moments (void **state)
{
  (void) state;
  assert_int_equal (moment_after (5, 6), 11);
  assert_true (moment_after (UINT64_MAX - 5, 4) == UINT64_MAX - 1);
  assert_true (moment_after (UINT64_MAX - 5, 6) == UINT64_MAX);
  assert_true (moment_after (UINT64_MAX, UINT64_MAX) == UINT64_MAX);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_units),          cmocka_unit_test (test_fractions),
      cmocka_unit_test (test_up_to),          cmocka_unit_test (test_wrong),
      cmocka_unit_test (test_part_of_a_text), cmocka_unit_test (test_format),
      cmocka_unit_test (test_round_trip),     cmocka_unit_test (test_moments),
  };

  return RUN_TESTS (tests);
}
