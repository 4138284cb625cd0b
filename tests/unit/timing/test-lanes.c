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

#include "common/common.h"
#include "timing/timing.h"
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

/* The clock of work, there and back. */
static void
test_work_clock (void **state)
{
  const struct stall s = {10, 3};
  uint64_t t, worked = 1000;

  (void) state;
  for (t = 1000; t < 1200; t++) {
    assert_int_equal (stall_worked (&s, 1000, t), worked);
    assert_in_range (stall_moment (&s, 1000, worked), t > 1003 ? t - 3 : 0, t);
    assert_int_equal (stall_worked (&s, 1000, stall_moment (&s, 1000, worked)),
                      worked);
    worked += stall_serve (&s, 1000, t, 0) == t;
    assert_int_equal (stall_worked (&no_stall, 1000, t), t);
    assert_int_equal (stall_moment (&no_stall, 1000, t), t);
  }
  assert_int_equal (stall_worked (&s, 1000, 7), 7);
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

static int
teardown (void **state)
{
  (void) state;
  lanes_destroy (&lanes);
  return 0;
}

static struct booking booking; /* of the last */

static uint64_t
serve (uint32_t count, uint64_t arrival, uint64_t nsec)
{
  return lanes_serve (&lanes, count, &no_stall, 0, arrival, nsec, &booking);
}

static void
cancel (struct booking which, uint64_t now)
{
  lanes_cancel (&lanes, lanes.generation, which, now);
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
  assert_int_equal (lanes_serve (&lanes, 1, &s, 0, 950, 100, &booking), 1150);
  assert_int_equal (lanes_serve (&lanes, 1, &s, 0, 960, 10, &booking), 1160);
  assert_int_equal (lanes_serve (&lanes, 1, &s, 0, 1980, 20, &booking), 2000);
  assert_int_equal (lanes_serve (&lanes, 1, &s, 0, 1980, 10, &booking), 2110);
}

/* Another number of lanes, and all are free. */
static void
test_fewer_and_more (void **state)
{
  (void) state;
  assert_int_equal (serve (3, 0, 10), 10);
  assert_int_equal (serve (3, 0, 20), 20);
  assert_int_equal (serve (3, 0, 30), 30);
  assert_int_equal (serve (2, 0, 5), 5);
  assert_int_equal (serve (2, 0, 5), 5);
  assert_int_equal (serve (2, 0, 5), 10);
  assert_int_equal (serve (1, 0, 1), 1);
  assert_int_equal (serve (MAX_LANES, 1, 7), 8);
  assert_int_equal (serve (MAX_LANES, 1, 7), 8);
}

/* A booking of lanes that are gone says nothing of those that there are. */
static void
test_reset (void **state)
{
  const uint32_t before = lanes.generation;
  struct booking first;

  (void) state;
  assert_int_equal (serve (1, 0, 1000), 1000);
  assert_int_equal (serve (1, 0, 1000), 2000);
  first = booking;
  lanes_reset (&lanes);
  assert_int_equal (serve (1, 0, 1000), 1000);
  assert_int_equal (serve (1, 0, 1000), 2000);
  lanes_cancel (&lanes, before + 1, first, 0);
  assert_int_equal (serve (1, 0, 1000), 3000);
}

/* Nor does one of before a power cut leave a gap. */
static void
test_cancel_after_cut (void **state)
{
  uint32_t before;
  struct booking b;

  (void) state;
  serve (1, 0, 100);
  before = lanes.generation;
  serve (1, 0, 100);
  b = booking;
  serve (1, 0, 100);
  lanes_reset (&lanes);
  assert_int_equal (serve (1, 50, 10), 60);
  lanes_cancel (&lanes, before, b, 60);
  assert_int_equal (serve (1, 120, 50), 170);
  assert_int_equal (serve (1, 120, 50), 220);
}

/* a is in service when all of its client go: b, c and d were not. */
static void
test_cancel (void **state)
{
  static const int orders[][3] = {{1, 2, 3}, {3, 2, 1}, {2, 1, 3}, {2, 3, 1}};
  struct booking bookings[4];
  size_t i;
  int j;

  (void) state;
  for (i = 0; i < sizeof orders / sizeof orders[0]; i++) {
    lanes_reset (&lanes);
    for (j = 0; j < 4; j++) {
      serve (1, 0, 100);
      bookings[j] = booking;
    }
    cancel (bookings[0], 50);
    for (j = 0; j < 3; j++)
      cancel (bookings[orders[i][j]], 50);
    assert_int_equal (serve (1, 60, 100), 200);
    assert_int_equal (lanes.gaps.count, 0);
  }
}

/* Another client's request, c, stays where it is: what comes later goes before
 * it where it fits, and else behind.
 */
static void
test_gap (void **state)
{
  struct booking b;

  (void) state;
  serve (1, 0, 100); /* a */
  serve (1, 0, 100);
  b = booking;
  serve (1, 0, 100); /* c */
  cancel (b, 10);
  assert_int_equal (serve (1, 20, 101), 401);
  assert_int_equal (serve (1, 20, 60), 160);
  assert_int_equal (serve (1, 20, 50), 451);
  assert_int_equal (serve (1, 20, 0), 160); /* its turn comes early */
  assert_int_equal (serve (1, 170, 30), 200);
  assert_int_equal (serve (1, 170, 10), 461);
}

/* Of two gaps that begin together, one is taken that was there first. */
static void
test_two_gaps (void **state)
{
  struct booking a, b;

  (void) state;
  serve (2, 0, 100);
  serve (2, 0, 100);
  serve (2, 0, 50);
  a = booking;
  serve (2, 0, 90);
  b = booking;
  serve (2, 0, 50);
  serve (2, 0, 10);
  cancel (a, 10);
  cancel (b, 10);
  assert_int_equal (lanes.gaps.count, 2);
  assert_int_equal (serve (2, 20, 30), 130);
  assert_int_equal (serve (2, 20, 90), 190);
}

/* A stall in a gap takes its time. */
static void
test_gap_and_stall (void **state)
{
  const struct stall s = {1000, 100};
  struct booking b;

  (void) state;
  lanes_serve (&lanes, 1, &s, 0, 900, 50, &booking);
  assert_int_equal (lanes_serve (&lanes, 1, &s, 0, 900, 100, &b), 1150);
  assert_int_equal (lanes_serve (&lanes, 1, &s, 0, 900, 10, &booking), 1160);
  cancel (b, 910);
  assert_int_equal (lanes_serve (&lanes, 1, &s, 0, 920, 80, &booking), 1130);
  assert_int_equal (lanes_serve (&lanes, 1, &s, 0, 920, 30, &booking), 1190);
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
    if (count != wanted) {
      count = wanted;
      memset (model, 0, sizeof model);
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

#define MOST 512

/* So many are in service at MOMENT. */
static uint32_t
in_service (const struct booking *bookings, size_t n, uint64_t moment)
{
  uint32_t r = 0;
  size_t i;

  for (i = 0; i < n; i++)
    r += bookings[i].from <= moment && bookings[i].to > moment;
  return r;
}

/* Some are cancelled, before their service or in it, and others stay: no lane
 * ever serves two, nobody waits while a lane has nothing to do but for gaps
 * that are too short, and when all are cancelled nobody has to.
 */
static void
test_cancel_model (void **state)
{
  uint64_t random = new_seed ("cancelling"), now, nsec;
  static struct booking bookings[MOST];
  uint32_t count;
  size_t n, i, busy;
  int round, step;

  (void) state;
  for (round = 0; round < 300; round++) {
    lanes_reset (&lanes);
    count = 1 + random_below (&random, 8);
    now = 0;
    n = 0;
    for (step = 0; step < 400; step++) {
      now += random_below (&random, 20);
      for (i = n; i-- > 0;) {
        if (bookings[i].to <= now)
          bookings[i] = bookings[--n];
      }
      if (n == MOST || (n > 0 && random_below (&random, 3) == 0)) {
        i = random_below (&random, n);
        cancel (bookings[i], now);
        if (bookings[i].from >= now)
          bookings[i] = bookings[--n];
        continue;
      }
      nsec = 1 + random_below (&random, round % 2 ? 20 : 200);
      serve (count, now, nsec);
      assert_true (booking.from >= now);
      assert_int_equal (booking.to - booking.from, nsec);
      bookings[n++] = booking;
      for (i = 0; i < n; i++)
        assert_true (in_service (bookings, n, bookings[i].from) <= count);
      if (booking.from > now && lanes.gaps.count == 0)
        assert_int_equal (in_service (bookings, n, booking.from - 1), count);
    }
    for (busy = n; n > 0; bookings[i] = bookings[--n]) {
      i = random_below (&random, n);
      cancel (bookings[i], now);
      busy -= bookings[i].from >= now || bookings[i].to <= now;
    }
    if (busy < count)
      assert_int_equal (serve (count, now, 5), now + 5);
  }
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, setup, teardown)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_stall_by_hand),  TEST (test_stall_model),
      TEST (test_work_clock),     TEST (test_stall_limits),
      TEST (test_stall_parse),    TEST (test_one_lane),
      TEST (test_two_lanes),      TEST (test_lane_and_stall),
      TEST (test_fewer_and_more), TEST (test_reset),
      TEST (test_cancel),         TEST (test_cancel_after_cut),
      TEST (test_two_gaps),       TEST (test_gap),
      TEST (test_gap_and_stall),  TEST (test_model),
      TEST (test_cancel_model),
  };

  return RUN_TESTS (tests);
}
