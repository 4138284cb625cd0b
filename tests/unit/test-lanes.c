/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Lanes and stalls, to the nanosecond: by hand, and against models that do the
 * same step by step.
 */

#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "duration.h"
#include "lanes.h"
#include "unit.h"

static const struct stall no_stall = {0, 0};

/*---------------------------------------------------------------------*/
/* Stalls */

static void
test_stall_by_hand (void **state)
{
  /* Serves [0,10), [13,20), [23,30), ... */
  const struct stall s = {10, 3};

  (void) state;
  assert_int_equal (stall_serve (&s, 0, 0, 0), 0);
  assert_int_equal (stall_serve (&s, 0, 0, 5), 5);
  assert_int_equal (stall_serve (&s, 0, 0, 10), 10);
  assert_int_equal (stall_serve (&s, 0, 0, 11), 14);
  assert_int_equal (stall_serve (&s, 0, 8, 2), 10);
  assert_int_equal (stall_serve (&s, 0, 8, 3), 14);
  assert_int_equal (stall_serve (&s, 0, 10, 0), 13);
  assert_int_equal (stall_serve (&s, 0, 10, 1), 14);
  assert_int_equal (stall_serve (&s, 0, 12, 1), 14);
  assert_int_equal (stall_serve (&s, 0, 13, 0), 13);
  assert_int_equal (stall_serve (&s, 0, 13, 7), 20);
  assert_int_equal (stall_serve (&s, 0, 13, 8), 24);
  assert_int_equal (stall_serve (&s, 0, 0, 10 + 7 * 100), 10 + 10 * 100);
  assert_int_equal (stall_serve (&s, 0, 0, 10 + 7 * 100 + 1),
                    10 + 10 * 100 + 4);

  /* From the device's start on; what comes before it comes with it. */
  assert_int_equal (stall_serve (&s, 1000, 1010, 1), 1014);
  assert_int_equal (stall_serve (&s, 1000, 999, 1), 1001);
  /* No stalls. */
  assert_int_equal (stall_serve (&no_stall, 1000, 5, 1), 6);
}

/* The same, a nanosecond after the other. */
static uint64_t
naive_stall (const struct stall *s, uint64_t start, uint64_t nsec)
{
  uint64_t t;

  for (t = start;; t++) {
    const bool stalls = t >= s->every && t % s->every < s->length;

    if (nsec == 0 && (!stalls || t > start))
      return t;
    if (!stalls && --nsec == 0)
      return t + 1;
    if (nsec == 0 && stalls) /* zero service, in a stall: to its end */
      return t - t % s->every + s->length;
  }
}

static void
test_stall_model (void **state)
{
  uint64_t random = new_seed ("stalls"), start, nsec;
  struct stall s;
  int i;

  (void) state;
  for (i = 0; i < 20000; i++) {
    s.every = 2 + random_below (&random, 20);
    s.length = 1 + random_below (&random, s.every - 1);
    start = random_below (&random, 100);
    nsec = 1 + random_below (&random, 60);
    assert_int_equal (stall_serve (&s, 777, 777 + start, nsec),
                      777 + naive_stall (&s, start, nsec));
  }
}

/* No moment beyond the last is made up. */
static void
test_stall_limits (void **state)
{
  const struct stall s = {100 * NSEC_PER_SEC, 100 * NSEC_PER_SEC - 1};
  uint64_t done;

  (void) state;
  done = stall_serve (&s, 0, 0, UINT64_MAX);
  assert_true (done == UINT64_MAX);
  done = stall_serve (&s, UINT64_MAX - 5, UINT64_MAX - 5, 10);
  assert_true (done == UINT64_MAX);
  done = stall_serve (&s, 0, 0, MAX_DURATION + 10);
  assert_true (done == MAX_DURATION * 11);
}

static void
test_stall_parse (void **state)
{
  static const char *const same[] = {"none", "every:2s,for:200ms",
                                     "every:2ns,for:1ns", "every:100s,for:0"};
  static const char *const wrong[][2] = {
      {"", "allowed is none or every:DURATION,for:DURATION"},
      {"2s", "allowed is none or every:DURATION,for:DURATION"},
      {"every:2s", "allowed is none or every:DURATION,for:DURATION"},
      {"for:1s,every:2s", "allowed is none or every:DURATION,for:DURATION"},
      {"every:2,for:1s", "'2': allowed after every: is a duration from 0 to "
                         "100s (units: ns, us, ms, s), more than 0"},
      {"every:0,for:0", "'0': allowed after every: is a duration from 0 to "
                        "100s (units: ns, us, ms, s), more than 0"},
      {"every:2s,for:2s", "'2s': allowed after for: is a duration below that "
                          "after every: (units: ns, us, ms, s)"},
      {"every:2s,for:1s,", "'1s,': allowed after for: is a duration below that "
                           "after every: (units: ns, us, ms, s)"},
  };
  struct stall s = {5, 5};
  struct message why;
  char buf[64];
  size_t i;

  (void) state;
  for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    assert_int_equal (stall_parse (wrong[i][0], &s, &why), -EINVAL);
    assert_string_equal (why.text, wrong[i][1]);
    assert_int_equal (s.every, 5);
  }
  for (i = 0; i < sizeof same / sizeof same[0]; i++) {
    assert_int_equal (stall_parse (same[i], &s, &why), 0);
    stall_format (&s, buf, sizeof buf);
    assert_string_equal (buf, same[i]);
  }
  assert_int_equal (stall_parse ("every:1.5s,for:0.5ms", &s, &why), 0);
  assert_int_equal (s.every, 1500 * NSEC_PER_MSEC);
  assert_int_equal (s.length, 500 * NSEC_PER_USEC);
}

/*---------------------------------------------------------------------*/
/* Lanes */

static struct lanes lanes;

static int
setup (void **state)
{
  (void) state;
  memset (&lanes, 0, sizeof lanes);
  return 0;
}

static uint64_t
serve (uint32_t count, uint64_t arrival, uint64_t nsec)
{
  return lanes_serve (&lanes, count, &no_stall, 0, arrival, nsec);
}

static void
test_one_lane (void **state)
{
  (void) state;
  assert_int_equal (serve (1, 100, 10), 110);
  assert_int_equal (serve (1, 100, 10), 120);
  assert_int_equal (serve (1, 105, 0), 120);
  assert_int_equal (serve (1, 119, 10), 130);
  assert_int_equal (serve (1, 200, 10), 210);
}

static void
test_two_lanes (void **state)
{
  (void) state;
  assert_int_equal (serve (2, 0, 100), 100);
  assert_int_equal (serve (2, 0, 10), 10);
  assert_int_equal (serve (2, 0, 10), 20);
  assert_int_equal (serve (2, 0, 200), 220);
  assert_int_equal (serve (2, 0, 1), 101);
}

/* A service that meets a stall keeps its lane through it. */
static void
test_lane_and_stall (void **state)
{
  const struct stall s = {1000, 100};

  (void) state;
  assert_int_equal (lanes_serve (&lanes, 1, &s, 0, 950, 100), 1150);
  assert_int_equal (lanes_serve (&lanes, 1, &s, 0, 960, 10), 1160);
  assert_int_equal (lanes_serve (&lanes, 1, &s, 0, 1980, 20), 2000);
  assert_int_equal (lanes_serve (&lanes, 1, &s, 0, 1980, 10), 2110);
}

/* Fewer lanes: those that are busy the longest stay. */
static void
test_fewer_and_more (void **state)
{
  (void) state;
  assert_int_equal (serve (3, 0, 10), 10);
  assert_int_equal (serve (3, 0, 20), 20);
  assert_int_equal (serve (3, 0, 30), 30);
  assert_int_equal (serve (2, 0, 5), 25);
  assert_int_equal (serve (1, 0, 1), 31);
  assert_int_equal (serve (2, 1, 1), 2);
  assert_int_equal (serve (MAX_LANES, 1, 7), 8);
  assert_int_equal (serve (MAX_LANES, 1, 7), 8);
}

/* Against lanes that are searched one by one, while their number changes. */
static void
test_model (void **state)
{
  uint64_t random = new_seed ("lanes"), arrival = 0, nsec, start;
  uint64_t model[64];
  uint32_t count = 0, wanted, i, best;
  int round;

  (void) state;
  for (round = 0; round < 200000; round++) {
    wanted = count;
    if (count == 0 || random_below (&random, 200) == 0)
      wanted = 1 + random_below (&random, 64);
    while (count < wanted)
      model[count++] = 0;
    while (count > wanted) {
      for (best = i = 0; i < count; i++) {
        if (model[i] < model[best])
          best = i;
      }
      model[best] = model[--count];
    }
    arrival += random_below (&random, 40);
    nsec = random_below (&random, 1000);
    for (best = i = 0; i < count; i++) {
      if (model[i] < model[best])
        best = i;
    }
    start = model[best] > arrival ? model[best] : arrival;
    model[best] = start + nsec;
    assert_int_equal (serve (count, arrival, nsec), model[best]);
  }
}

#define TEST(f) cmocka_unit_test_setup (f, setup)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_stall_by_hand),  TEST (test_stall_model),
      TEST (test_stall_limits),   TEST (test_stall_parse),
      TEST (test_one_lane),       TEST (test_two_lanes),
      TEST (test_lane_and_stall), TEST (test_fewer_and_more),
      TEST (test_model),
  };

  return RUN_TESTS (tests);
}
