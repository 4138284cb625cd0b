/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Distributions: what is drawn follows what was asked for (Kolmogorov-Smirnov
 * over 100,000 draws of a kind), the same for the same seed everywhere; what is
 * taken, refused and printed.
 */

#include <config.h>

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/common.h"
#include "timing/timing.h"
#include "unit.h"

#define DRAWS 100000

static struct message why;

static struct distribution *
parse_for (enum operation op, const char *text)
{
  struct distribution *d;

  if (distribution_parse (text, op, &d, &why) != 0)
    fail_msg ("%s: %s", text, why.text);
  return d;
}

static struct distribution *
parse (const char *text)
{
  return parse_for (OP_READ, text);
}

/*---------------------------------------------------------------------*/
/* What is drawn */

static int
compare (const void *a, const void *b)
{
  const uint64_t *p = a, *q = b;

  return (*p > *q) - (*p < *q);
}

static uint64_t draws[DRAWS];

/* Draw, and sort. */
static void
draw (const char *text)
{
  struct distribution *d = parse (text);
  struct random random;
  size_t i;

  random_init (&random, 42, 0);
  for (i = 0; i < DRAWS; i++)
    draws[i] = distribution_draw (d, random_next (&random), NULL);
  distribution_unref (d);
  qsort (draws, DRAWS, sizeof draws[0], compare);
}

/* The largest difference between the share of draws up to some duration and
 * CDF of it.  A draw is a whole number, rounded down: those of at most N are
 * those below N + 1.  Of 100 sets of as many numbers that do follow the CDF, 99
 * differ by less than 1.63 / sqrt (DRAWS) = 0.0052.  The seed is always the
 * same, and with it the result.
 */
static void
check (const char *text, double (*cdf) (double nsec))
{
  double largest = 0, difference;
  size_t i;

  draw (text);
  for (i = 0; i < DRAWS; i++) {
    if (i + 1 < DRAWS && draws[i] == draws[i + 1])
      continue;
    difference = fabs ((i + 1.0) / DRAWS - cdf ((double) draws[i] + 1));
    if (difference > largest)
      largest = difference;
  }
  printf ("# %s: D = %.4f\n", text, largest);
  assert_true (largest < 0.0052);
}

static double
uniform_cdf (double x)
{
  return x < 50e3 ? 0 : x > 150e3 ? 1 : (x - 50e3) / 100e3;
}

static double
phi (double z)
{
  return erfc (-z / sqrt (2)) / 2;
}

static double
normal_cdf (double x)
{
  return phi ((x - 100e3) / 20e3);
}

/* Half of it is below 0, and left out. */
static double
truncated_cdf (double x)
{
  return x < 0 ? 0 : 2 * phi (x / 20e3) - 1;
}

static double
lognormal_cdf (double x)
{
  return x <= 0 ? 0 : phi (log (x / 80e3) / log (25) * 2.3263478740408408);
}

/* p50=80us, p99=900us, p99.9=5ms: the share above falls from 0.5 by powers.  A
 * half of all is 80 us.
 */
static double
percentiles_cdf (double x)
{
  if (x <= 80e3)
    return 0;
  if (x <= 900e3)
    return 1 - 0.5 * pow (0.02, log (x / 80e3) / log (900e3 / 80e3));
  if (x <= 5e6)
    return 1 - 0.01 * pow (0.1, log (x / 900e3) / log (5e6 / 900e3));
  return 1;
}

/* From the shortest to the longest. */
static double
ends_cdf (double x)
{
  if (x <= 10e3)
    return 0;
  if (x <= 100e3)
    return 1 - pow (0.1, log10 (x / 10e3));
  if (x <= 1e6)
    return 1 - 0.1 * (1 - log10 (x / 100e3));
  return 1;
}

static void
test_fixed (void **state)
{
  (void) state;
  draw ("100us");
  assert_int_equal (draws[0], 100000);
  assert_int_equal (draws[DRAWS - 1], 100000);
  draw ("0");
  assert_int_equal (draws[DRAWS - 1], 0);
}

static void
test_uniform (void **state)
{
  (void) state;
  check ("uniform:50us-150us", uniform_cdf);
  assert_true (draws[0] >= 50000);
  assert_true (draws[DRAWS - 1] <= 150000);
}

static void
test_normal (void **state)
{
  (void) state;
  check ("normal:100us,20us", normal_cdf);
}

static void
test_truncated_normal (void **state)
{
  (void) state;
  check ("normal:0,20us", truncated_cdf);
}

static void
test_lognormal (void **state)
{
  (void) state;
  check ("lognormal:p50=80us,p99=2ms", lognormal_cdf);
}

static void
test_percentiles (void **state)
{
  (void) state;
  check ("percentiles:p50=80us,p99=900us,p99.9=5ms", percentiles_cdf);
  assert_int_equal (draws[0], 80000);
  assert_int_equal (draws[DRAWS / 2 - 1000], 80000);
  assert_int_equal (draws[DRAWS - 1], 5000000);
}

static void
test_ends (void **state)
{
  (void) state;
  check ("percentiles:p0=10us,p90=100us,p100=1ms", ends_cdf);
}

/* Exactly at the given points, the given durations. */
static void
test_points (void **state)
{
  static const struct {
    double percent;
    uint64_t nsec;
  } points[] = {{1, 10000},  {10, 20000},     {50, 80000},
                {99, 81000}, {99.9, 5000000}, {99.999, 90000000}};
  const double whole = 18446744073709551616.0;
  struct distribution *d;
  uint64_t at;
  size_t i;

  (void) state;
  d = parse ("percentiles:p1=10us,p10=20us,p50=80us,p99=81us,p99.9=5ms,"
             "p99.999=90ms");
  for (i = 0; i < sizeof points / sizeof points[0]; i++) {
    at = (uint64_t) (points[i].percent / 100 * whole);
    assert_in_range (distribution_draw (d, at, NULL), points[i].nsec - 2,
                     points[i].nsec + 2);
  }
  assert_int_equal (distribution_draw (d, 0, NULL), 10000);
  assert_int_equal (distribution_draw (d, UINT64_MAX, NULL), 90000000);
  distribution_unref (d);
}

/* More of the random number is never less of the duration, and no duration is
 * out of its range: at random places, and one apart, for which the knots of the
 * table are looked at from both sides.
 */
static void
test_monotone (void **state)
{
  static const char *const texts[] = {"uniform:0-100s",
                                      "normal:50s,50s",
                                      "normal:1ns,100s",
                                      "lognormal:p50=1ns,p99=100s",
                                      "percentiles:p0=0,p100=100s",
                                      "percentiles:p50=1ns,p50.0000001=100s",
                                      "percentiles:p99.9999999=1us,p100=1s",
                                      "percentiles:p100=5us",
                                      "percentiles:p0=5us"};
  uint64_t random = new_seed ("monotone"), a, b, at, least, most;
  struct distribution *d;
  size_t i;
  int j;

  (void) state;
  for (i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    d = parse (texts[i]);
    least = distribution_draw (d, 0, NULL);
    most = distribution_draw (d, UINT64_MAX, NULL);
    assert_true (least <= most);
    assert_true (most <= MAX_DURATION);
    for (j = 0; j < 200000; j++) {
      at = next_random (&random) >> random_below (&random, 64);
      if (j % 2)
        at = ~at;
      a = distribution_draw (d, at, NULL);
      b = distribution_draw (d, at < UINT64_MAX ? at + 1 : at, NULL);
      assert_true (least <= a && a <= b && b <= most);
      b = distribution_draw (d, at | 0xffffffffff, NULL);
      assert_true (a <= b && b <= most);
    }
    distribution_unref (d);
  }
}

/* Lists of percentiles, many of them 0: a draw lies between those around it,
 * and is 0 where both are.
 */
static void
test_zeroes (void **state)
{
  enum { MOST = 8 };
  uint64_t random = new_seed ("zeroes"), nsec[MOST], at, drawn, share;
  unsigned per_mille[MOST], n, i, round, used;
  struct distribution *d;
  char text[512];
  int j;

  (void) state;
  for (round = 0; round < 3000; round++) {
    n = 1 + random_below (&random, MOST);
    used = snprintf (text, sizeof text, "percentiles:");
    for (i = 0; i < n; i++) {
      per_mille[i] = (i > 0 ? per_mille[i - 1] + 1 : 0) +
                     (unsigned) random_below (&random, 1000 / MOST - 1);
      nsec[i] = i > 0 ? nsec[i - 1] : 0;
      if (random_below (&random, 3) == 0)
        nsec[i] += random_below (&random, round % 2 ? 3 : 1000000);
      used += snprintf (text + used, sizeof text - used, "%sp%u.%u=%lluns",
                        i > 0 ? "," : "", per_mille[i] / 10, per_mille[i] % 10,
                        (unsigned long long) nsec[i]);
    }
    d = parse (text);
    for (j = 0; j < 300; j++) {
      at = next_random (&random);
      share = (at >> 32) * 1000 >> 32;
      drawn = distribution_draw (d, at, NULL);
      for (i = 0; i < n && per_mille[i] <= share; i++)
        ;
      if (drawn < nsec[i > 0 ? i - 1 : 0] || drawn > nsec[i < n ? i : n - 1])
        fail_msg ("%s: %llu ns at %llu of 1000", text,
                  (unsigned long long) drawn, (unsigned long long) share);
    }
    distribution_unref (d);
  }
}

/* The same on every machine, with every compiler. */
static void
test_seed (void **state)
{
  static const struct {
    const char *text;
    uint64_t draws[5];
  } cases[] = {
      {"uniform:50us-150us", {109885, 111894, 149231, 97459, 81698}},
      {"normal:100us,20us", {105007, 106055, 148473, 98725, 90476}},
      {"lognormal:p50=80us,p99=2ms", {113123, 121648, 2288788, 73249, 41401}},
      {"percentiles:p50=80us,p99=900us,p99.9=5ms",
       {91710, 94665, 1095164, 80000, 80000}},
  };
  struct distribution *d;
  struct random random;
  uint64_t drawn[5];
  size_t i, j;

  (void) state;
  for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    d = parse (cases[i].text);
    random_init (&random, 1, 7);
    for (j = 0; j < 5; j++)
      drawn[j] = distribution_draw (d, random_next (&random), NULL);
    assert_memory_equal (drawn, cases[i].draws, sizeof drawn);
    distribution_unref (d);
  }
}

/* Streams of one seed, and seeds, have nothing in common. */
static void
test_streams (void **state)
{
  struct random a, b, c, again;
  uint64_t n;
  int i, same = 0;

  (void) state;
  random_init (&a, 1, 0);
  random_init (&b, 1, 1);
  random_init (&c, 2, 0);
  random_init (&again, 1, 0);
  for (i = 0; i < 10000; i++) {
    n = random_next (&a);
    assert_true (n == random_next (&again));
    same += n == random_next (&b);
    same += n == random_next (&c);
  }
  assert_int_equal (same, 0);
}

/*---------------------------------------------------------------------*/
/* Seeks */

#define TIB (UINT64_C (1) << 40)

static uint64_t
seek (const struct distribution *d, uint64_t random, uint64_t distance,
      uint64_t size, uint32_t count)
{
  const struct seek_place place = {distance, size, count};

  return distribution_draw (d, random, &place);
}

static void
test_seek (void **state)
{
  struct distribution *d = parse ("seek:track=1ms,full=17ms,rpm=6000");

  (void) state;
  assert_true (distribution_seeks (d));
  /* No way, no time; a quarter of the way, half of what is above 1 ms. */
  assert_int_equal (seek (d, UINT64_MAX, 0, TIB, 4096), 0);
  assert_in_range (seek (d, 0, 512, TIB, 4096), 1000000, 1001000);
  assert_in_range (seek (d, 0, TIB / 4, TIB, 4096), 8999990, 9000000);
  assert_in_range (seek (d, 0, TIB / 16, TIB, 4096), 4999990, 5000000);
  assert_in_range (seek (d, 0, TIB - 512, TIB, 4096), 16999900, 17000000);
  assert_int_equal (seek (d, 0, TIB, TIB, 4096), 17000000);
  /* A rotation is 10 ms, and any part of one may have to be waited for. */
  assert_in_range (seek (d, UINT64_MAX, TIB / 4, TIB, 4096), 18999980,
                   19000000);
  assert_in_range (seek (d, UINT64_MAX / 2, TIB / 4, TIB, 4096), 13999980,
                   14000000);
  /* Of any size. */
  assert_in_range (seek (d, 0, 256, 1024, 1), 8999990, 9000000);
  assert_in_range (seek (d, 0, INT64_MAX / 4, INT64_MAX, 1), 8999990, 9000000);
  assert_in_range (seek (d, 0, 1, INT64_MAX, 1), 1000000, 1000010);
  distribution_unref (d);

  d = parse ("seek:track=0,full=0,rpm=0,mbps=100");
  assert_int_equal (seek (d, 5, 0, TIB, 1 << 20), 10000000);
  assert_int_equal (seek (d, 5, 1 << 30, TIB, 1 << 20), 10000000);
  assert_int_equal (seek (d, 5, 0, TIB, UINT32_MAX), 40959999990);
  distribution_unref (d);
  d = parse ("seek:track=0,full=100s,rpm=60,mbps=1");
  assert_true (seek (d, UINT64_MAX, TIB, TIB, UINT32_MAX) == MAX_DURATION);
  distribution_unref (d);
}

/* Over random distances the average is what profile.c counts on: 8/15 of the
 * way from track to full.
 */
static void
test_average_seek (void **state)
{
  struct distribution *d = parse ("seek:track=230us,full=13674us,rpm=0");
  uint64_t random = 42, a, b, sum = 0;
  int i;

  (void) state;
  for (i = 0; i < 100000; i++) {
    a = random_below (&random, TIB);
    b = random_below (&random, TIB);
    sum += seek (d, 0, a > b ? a - b : b - a, TIB, 4096);
  }
  assert_in_range (sum / 100000, 7380000, 7420000);
  distribution_unref (d);
}

/*---------------------------------------------------------------------*/
/* What is taken */

static void
test_text (void **state)
{
  static const char *const texts[][2] = {
      {"100us", "100us"},
      {"0", "0"},
      {"0ms", "0"},
      {"1500us", "1500us"},
      {"1.5ms", "1500us"},
      {"100s", "100s"},
      {"uniform:50us-150us", "uniform:50us-150us"},
      {"uniform:0-0", "uniform:0-0"},
      {"uniform:0.5ms-1000us", "uniform:500us-1ms"},
      {"normal:100us,20us", "normal:100us,20us"},
      {"normal:0,0", "normal:0,0"},
      {"lognormal:p50=80us,p99=2ms", "lognormal:p50=80us,p99=2ms"},
      {"lognormal:p50=1ns,p99=1ns", "lognormal:p50=1ns,p99=1ns"},
      {"percentiles:p50=80us,p99=900us,p99.9=5ms",
       "percentiles:p50=80us,p99=900us,p99.9=5ms"},
      {"percentiles:p0=0,p00.5=1us,p99.990=1us,p99.99999999=2us,p100=3us",
       "percentiles:p0=0,p0.5=1us,p99.99=1us,p99.9999999=2us,p100=3us"},
      {"percentiles:p50=80us", "percentiles:p50=80us"},
      {"seek:track=1ms,full=16ms,rpm=7200",
       "seek:track=1ms,full=16ms,rpm=7200"},
      {"seek:track=0,full=100s,rpm=0,mbps=0", "seek:track=0,full=100s,rpm=0"},
      {"seek:track=1.5ms,full=16ms,rpm=60,mbps=250",
       "seek:track=1500us,full=16ms,rpm=60,mbps=250"},
      {"seek:track=1ms,full=1ms,rpm=100000,mbps=40960",
       "seek:track=1ms,full=1ms,rpm=100000,mbps=40960"},
  };
  struct distribution *d, *again;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    d = parse (texts[i][0]);
    assert_string_equal (distribution_text (d), texts[i][1]);
    again = parse (distribution_text (d));
    assert_string_equal (distribution_text (again), texts[i][1]);
    distribution_unref (d);
    distribution_unref (again);
  }
}

#define DURATION "a duration from 0 to 100s (units: ns, us, ms, s)"
#define ALLOWED                                                                \
  "allowed is " DURATION ", uniform:A-B, normal:MEAN,DEVIATION, "              \
  "lognormal:p50=A,p99=B, percentiles:pN=A,..., "                              \
  "seek:track=A,full=B,rpm=N,mbps=N or file:PATH"

static void
test_wrong (void **state)
{
  static const char *const wrong[][2] = {
      {"", ALLOWED},
      {"10", ALLOWED},
      {"fast", ALLOWED},
      {"101s", ALLOWED},
      {"Uniform:1us-2us", ALLOWED},
      {"pareto:1us,2us", ALLOWED},
      {"uniform:", "'': a '-' is missing after the duration"},
      {"uniform:1us", "'1us': a '-' is missing after the duration"},
      {"uniform:1-2us", "'1': allowed is " DURATION},
      {"uniform:1us-2us-3us", "'2us-3us': allowed is " DURATION},
      {"uniform:2us-1us", "the first duration of uniform: is the shorter one"},
      {"normal:1us", "'1us': a ',' is missing after the duration"},
      {"normal:1us,2", "'2': allowed is " DURATION},
      {"lognormal:1us,2us", "'1us,2us': expected is p50=DURATION"},
      {"lognormal:p50=1us,p90=2us", "'p90=2us': expected is p99=DURATION"},
      {"lognormal:p50=2us,p99=1us",
       "p50 of lognormal: is above 0 and not above p99"},
      {"lognormal:p50=0,p99=1us",
       "p50 of lognormal: is above 0 and not above p99"},
      {"percentiles:", "'': allowed is pN=DURATION, N from 0 to 100"},
      {"percentiles:50=1us", "'50=1us': allowed is pN=DURATION, N from 0 to "
                             "100"},
      {"percentiles:p=1us", "'p=1us': allowed is pN=DURATION, N from 0 to "
                            "100"},
      {"percentiles:p101=1us",
       "'p101=1us': allowed is pN=DURATION, N from 0 to 100"},
      {"percentiles:p100.1=1us",
       "'p100.1=1us': allowed is pN=DURATION, N from 0 to 100"},
      {"percentiles:p-1=1us",
       "'p-1=1us': allowed is pN=DURATION, N from 0 to 100"},
      {"percentiles:p50,p60=1us",
       "'p50': allowed is pN=DURATION, N from 0 to 100"},
      {"percentiles:p50=1us,", "'': allowed is pN=DURATION, N from 0 to 100"},
      {"percentiles:p50=1,p60=2us", "'1': allowed is " DURATION},
      {"percentiles:p50=1us,p50=2us",
       "percentiles: takes them in ascending order, each once, and no duration "
       "below the one before"},
      {"percentiles:p50=2us,p60=1us",
       "percentiles: takes them in ascending order, each once, and no duration "
       "below the one before"},
      {"seek:1ms", "'1ms': expected is track=DURATION"},
      {"seek:track=1ms", "'1ms': a ',' is missing after the duration"},
      {"seek:track=1ms,full=2ms", "'2ms': a ',' is missing after the duration"},
      {"seek:track=1ms,full=2ms,x", "'x': expected is rpm=N"},
      {"seek:track=1ms,full=2ms,rpm=",
       "'rpm=': allowed after rpm= is 0, or from 60 to 100000"},
      {"seek:track=1ms,full=2ms,rpm=59",
       "'rpm=59': allowed after rpm= is 0, or from 60 to 100000"},
      {"seek:track=1ms,full=2ms,rpm=100001",
       "'rpm=100001': allowed after rpm= is 0, or from 60 to 100000"},
      {"seek:track=1ms,full=2ms,rpm=7200,mbps=40961",
       "'mbps=40961': allowed after mbps= is 0, or from 1 to 40960"},
      {"seek:track=1ms,full=2ms,rpm=7200,mbps=5,",
       "',': seek: ends after mbps=N"},
      {"seek:track=2ms,full=1ms,rpm=7200", "track of seek: is not above full"},
      {"file:/nonexistent/fio.json",
       "/nonexistent/fio.json: No such file or directory"},
      {"file:a\nb", "a path may hold no control character, and may not end "
                    "with a blank"},
      {"file:/a ", "a path may hold no control character, and may not end "
                   "with a blank"},
  };
  struct distribution *d = NULL;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    if (distribution_parse (wrong[i][0], OP_READ, &d, &why) != -EINVAL)
      fail_msg ("%s is taken", wrong[i][0]);
    assert_string_equal (why.text, wrong[i][1]);
    assert_null (d);
  }
}

/* As many points as there may be, and one more; and a text that is no line. */
static void
test_long (void **state)
{
  static char text[100000];
  struct distribution *d, *again;
  size_t len;
  int i;

  (void) state;
  len = snprintf (text, sizeof text, "percentiles:p0=1us");
  for (i = 1; i < MAX_PERCENTILES; i++)
    len += snprintf (text + len, sizeof text - len,
                     ",p%d.1234567=%d.123456789s", i, i);
  d = parse (text);
  again = parse (distribution_text (d));
  assert_string_equal (distribution_text (again), distribution_text (d));
  distribution_unref (again);
  distribution_unref (d);
  snprintf (text + len, sizeof text - len, ",p100=100s");
  assert_int_equal (distribution_parse (text, OP_READ, &d, &why), -EINVAL);
  assert_string_equal (why.text, "percentiles: takes at most 64 points");

  memset (text, '9', sizeof text - 1);
  assert_int_equal (distribution_parse (text, OP_READ, &d, &why), -EINVAL);
  memcpy (text, "percentiles:p", 13);
  assert_int_equal (distribution_parse (text, OP_READ, &d, &why), -EINVAL);
  memcpy (text, "uniform:", 8);
  assert_int_equal (distribution_parse (text, OP_READ, &d, &why), -EINVAL);
  memcpy (text, "seek:track=", 11);
  assert_int_equal (distribution_parse (text, OP_READ, &d, &why), -EINVAL);
}

/* A flush goes nowhere. */
static void
test_seek_operations (void **state)
{
  static const char text[] = "seek:track=1ms,full=2ms,rpm=0";
  struct distribution *d;

  (void) state;
  distribution_unref (parse_for (OP_WRITE, text));
  distribution_unref (parse_for (OP_ZERO, text));
  distribution_unref (parse_for (OP_TRIM, text));
  assert_int_equal (distribution_parse (text, OP_FLUSH, &d, &why), -EINVAL);
  assert_string_equal (why.text,
                       "seek: is for operations with an offset: read, write, "
                       "zero and trim, each by its own parameter");
  assert_int_equal (distribution_parse (text, OP_ZONE, &d, &why), -EINVAL);
}

static void
test_is_zero (void **state)
{
  static const struct {
    const char *text;
    bool zero;
  } cases[] = {
      {"0", true},
      {"1ns", false},
      {"uniform:0-0", true},
      {"uniform:0-1ns", false},
      {"normal:0,0", true},
      {"percentiles:p50=0,p99=0", true},
      {"percentiles:p50=0,p99=1us", false},
      {"seek:track=0,full=0,rpm=0", true},
      {"seek:track=0,full=0,rpm=7200", false},
      {"seek:track=0,full=0,rpm=0,mbps=1", false},
  };
  struct distribution *d;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    d = parse (cases[i].text);
    assert_int_equal (distribution_is_zero (d), cases[i].zero);
    distribution_unref (d);
  }
}

static void
test_parse_all (void **state)
{
  struct distribution *all[NR_OPERATIONS];
  size_t i;

  (void) state;
  assert_int_equal (distribution_parse_all ("100us", all, &why), 0);
  for (i = 0; i < NR_OPERATIONS; i++) {
    assert_string_equal (distribution_text (all[i]), "100us");
    distribution_unref (all[i]);
  }
  assert_int_equal (
      distribution_parse_all ("seek:track=1ms,full=2ms,rpm=0", all, &why),
      -EINVAL);
  assert_int_equal (distribution_parse_all ("100", all, &why), -EINVAL);
}

static void
test_references (void **state)
{
  struct distribution *d = parse ("uniform:1us-2us");

  (void) state;
  assert_ptr_equal (distribution_ref (d), d);
  distribution_unref (d);
  assert_string_equal (distribution_text (d), "uniform:1us-2us");
  distribution_unref (d);
  distribution_unref (NULL);
  assert_null (distribution_ref (NULL));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_fixed),
      cmocka_unit_test (test_uniform),
      cmocka_unit_test (test_normal),
      cmocka_unit_test (test_truncated_normal),
      cmocka_unit_test (test_lognormal),
      cmocka_unit_test (test_percentiles),
      cmocka_unit_test (test_ends),
      cmocka_unit_test (test_points),
      cmocka_unit_test (test_monotone),
      cmocka_unit_test (test_zeroes),
      cmocka_unit_test (test_seed),
      cmocka_unit_test (test_streams),
      cmocka_unit_test (test_seek),
      cmocka_unit_test (test_average_seek),
      cmocka_unit_test (test_text),
      cmocka_unit_test (test_wrong),
      cmocka_unit_test (test_long),
      cmocka_unit_test (test_seek_operations),
      cmocka_unit_test (test_is_zero),
      cmocka_unit_test (test_parse_all),
      cmocka_unit_test (test_references),
  };

  return RUN_TESTS (tests);
}
