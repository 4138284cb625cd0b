/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The moment at which a request completes, to the nanosecond, on moments made
 * up here.
 */

#include <config.h>

#include <string.h>

#define SIZE (UINT64_C (1) << 30)
#include "one-latency.h"

#define GIB (UINT64_C (1) << 30)

static struct latency_booking booking; /* of the last */

static void
set (enum operation op, const char *text)
{
  struct message why;

  distribution_unref (s.durations[op]);
  if (distribution_parse (text, op, &s.durations[op], &why) != 0)
    fail_msg ("%s", why.text);
  latency_settings_complete (&s);
}

/* After START and from then on. */
static uint64_t
completion_at (enum operation op, uint64_t offset, uint32_t count,
               uint64_t when)
{
  const struct latency_request r = {
      .op = op, .offset = offset, .count = count, .arrival = START + when};

  return latency_completion (&l, &s, &random_numbers, &r, &booking) - START;
}

static uint64_t
completion (enum operation op, uint64_t when)
{
  return completion_at (op, 0, 4096, when);
}

static void
test_nothing (void **state)
{
  (void) state;
  latency_settings_complete (&s);
  assert_false (s.waits);
  assert_int_equal (completion (OP_READ, 7), 7);
  set (OP_READ, "0");
  s.lanes = 1;
  latency_settings_complete (&s);
  assert_false (s.waits);
  assert_false (s.remembers);
  assert_int_equal (completion (OP_READ, 7), 7);
}

/* Each operation has its own, and no other. */
static void
test_operations (void **state)
{
  unsigned i, j;

  (void) state;
  for (i = 0; i < NR_OPERATIONS; i++) {
    latency_settings_unref (&s);
    set ((enum operation) i, "100us");
    assert_true (s.waits);
    assert_false (s.remembers);
    for (j = 0; j < NR_OPERATIONS; j++)
      assert_int_equal (completion ((enum operation) j, 1),
                        1 + (i == j) * 100000);
  }
}

/* A write, and the flush after it. */
static void
test_fua (void **state)
{
  const struct latency_request r = {
      .op = OP_WRITE, .fua = true, .count = 4096, .arrival = START};

  (void) state;
  set (OP_FLUSH, "1ms");
  assert_int_equal (latency_completion (&l, &s, &random_numbers, &r, &booking),
                    START + MSEC);
  set (OP_WRITE, "100us");
  assert_int_equal (latency_completion (&l, &s, &random_numbers, &r, &booking),
                    START + MSEC + 100 * USEC);
  set (OP_FLUSH, "0");
  assert_int_equal (latency_completion (&l, &s, &random_numbers, &r, &booking),
                    START + 100 * USEC);
}

static void
test_lanes (void **state)
{
  (void) state;
  s.lanes = 2;
  set (OP_READ, "100us");
  set (OP_WRITE, "1ms");
  assert_true (s.remembers);
  assert_int_equal (completion (OP_WRITE, 0), MSEC);
  assert_int_equal (completion (OP_READ, 0), 100 * USEC);
  assert_int_equal (completion (OP_READ, 0), 200 * USEC);
  assert_int_equal (completion (OP_READ, 50 * USEC), 300 * USEC);
  /* A flush takes no time, and still its turn. */
  assert_int_equal (completion (OP_FLUSH, 50 * USEC), 300 * USEC);

  s.lanes = 0;
  latency_settings_complete (&s);
  assert_int_equal (completion (OP_READ, 50 * USEC), 150 * USEC);
}

/* From when the device started; with durations and without, with lanes and
 * without.
 */
static void
test_stall (void **state)
{
  (void) state;
  s.stall.every = 2 * NSEC_PER_SEC;
  s.stall.length = 200 * MSEC;
  latency_settings_complete (&s);
  assert_true (s.waits);
  assert_false (s.remembers);
  assert_int_equal (completion (OP_READ, 5), 5);
  assert_int_equal (completion (OP_READ, 2010 * MSEC), 2200 * MSEC);
  assert_int_equal (completion (OP_FLUSH, 2010 * MSEC), 2200 * MSEC);
  set (OP_READ, "100ms");
  assert_int_equal (completion (OP_READ, 1950 * MSEC), 2250 * MSEC);
  s.lanes = 1;
  latency_settings_complete (&s);
  assert_int_equal (completion (OP_READ, 1950 * MSEC), 2250 * MSEC);
  assert_int_equal (completion (OP_READ, 1950 * MSEC), 2350 * MSEC);
}

/* The later of both; and a request that a limit holds keeps no lane busy. */
static void
test_limit_and_lane (void **state)
{
  (void) state;
  s.lanes = 1;
  s.limits.operations_per_sec[THROTTLE_WRITES] = 10;
  set (OP_READ, "1ms");
  set (OP_WRITE, "2ms");
  assert_int_equal (completion (OP_WRITE, 0), 100 * MSEC);
  assert_int_equal (completion (OP_WRITE, 0), 200 * MSEC);
  assert_int_equal (completion (OP_READ, 0), 5 * MSEC);
  set (OP_WRITE, "500ms");
  assert_int_equal (completion (OP_WRITE, 0), 505 * MSEC);
}

static void
test_limit_alone (void **state)
{
  (void) state;
  s.limits.bytes_per_sec[THROTTLE_ALL] = 4096000;
  latency_settings_complete (&s);
  assert_true (s.waits);
  assert_true (s.remembers);
  assert_int_equal (completion (OP_READ, 0), MSEC);
  assert_int_equal (completion (OP_ZERO, 0), 2 * MSEC);
  assert_int_equal (completion (OP_TRIM, 0), 0);
}

/* The head stays where the last request ended, whichever it was. */
static void
test_seek (void **state)
{
  (void) state;
  set (OP_READ, "seek:track=1ms,full=5ms,rpm=0");
  set (OP_WRITE, "seek:track=2ms,full=10ms,rpm=0");
  assert_true (s.remembers);
  assert_int_equal (completion_at (OP_READ, 0, 4096, 0), 0);
  assert_int_equal (completion_at (OP_READ, 4096, 4096, 0), 0);
  assert_in_range (completion_at (OP_READ, GIB / 4 + 8192, 4096, 0), 2999000,
                   3000000);
  assert_int_equal (completion_at (OP_WRITE, GIB / 4 + 12288, 4096, 0), 0);
  /* Back, a flush and a trim do not matter, a zero does. */
  assert_in_range (completion_at (OP_WRITE, 16384, 4096, 0), 5999000, 6000000);
  assert_int_equal (completion_at (OP_FLUSH, 0, 0, 0), 0);
  assert_int_equal (completion_at (OP_TRIM, GIB / 2, 4096, 0), 0);
  assert_int_equal (completion_at (OP_READ, 20480, 4096, 0), 0);
  assert_int_equal (completion_at (OP_ZERO, GIB / 2, 4096, 0), 0);
  assert_int_equal (completion_at (OP_READ, GIB / 2 + 4096, 4096, 0), 0);
  set (OP_TRIM, "seek:track=1ms,full=5ms,rpm=0");
  assert_int_equal (completion_at (OP_TRIM, GIB / 2 + 8192, 4096, 0), 0);
  assert_int_equal (completion_at (OP_READ, GIB / 2 + 12288, 4096, 0), 0);
}

/* The same seed, the same moments; and settings may come and go between. */
static void
test_repeatable (void **state)
{
  uint64_t first[100];
  int i;

  (void) state;
  s.lanes = 3;
  set (OP_READ, "lognormal:p50=80us,p99=2ms");
  set (OP_WRITE, "uniform:10us-50us");
  for (i = 0; i < 100; i++)
    first[i] = completion (i % 3 ? OP_READ : OP_WRITE, i * 10 * USEC);
  latency_destroy (&l);
  assert_int_equal (latency_init (&l, START), 0);
  random_init (&random_numbers, 1, 0);
  for (i = 0; i < 100; i++)
    assert_int_equal (completion (i % 3 ? OP_READ : OP_WRITE, i * 10 * USEC),
                      first[i]);
}

/* A change holds for those that arrive after it, in the same device. */
static void
test_change (void **state)
{
  struct latency_settings before;

  (void) state;
  s.lanes = 1;
  set (OP_READ, "10ms");
  before = s;
  latency_settings_ref (&before);
  set (OP_READ, "1ms");
  assert_int_equal (latency_completion (&l, &before, &random_numbers,
                                        &(struct latency_request){
                                            .op = OP_READ, .arrival = START},
                                        &booking) -
                        START,
                    10 * MSEC);
  assert_int_equal (completion (OP_READ, 0), 11 * MSEC);
  assert_int_equal (completion (OP_READ, 0), 12 * MSEC);
  latency_settings_unref (&before);
  assert_string_equal (distribution_text (s.durations[OP_READ]), "1ms");
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, setup, teardown)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_nothing),     TEST (test_operations),
      TEST (test_fua),         TEST (test_lanes),
      TEST (test_stall),       TEST (test_seek),
      TEST (test_limit_alone), TEST (test_limit_and_lane),
      TEST (test_repeatable),  TEST (test_change),
  };

  return RUN_TESTS (tests);
}
