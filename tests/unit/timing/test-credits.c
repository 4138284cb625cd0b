/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Burst credits and what requests count, on moments made up here: by hand, by
 * what providers say of their volumes, and beside a simulator that counts
 * credits up and down in small steps.
 */

#include <config.h>

#include <math.h>
#include <string.h>

#define SIZE (UINT64_C (1) << 40)
#include "one-latency.h"

#define SEC NSEC_PER_SEC
#define KIB 1024
#define MIB (UINT64_C (1) << 20)

static struct latency_booking booking; /* of the last request */

static void
set_credits (uint64_t base, uint64_t burst, uint64_t bucket)
{
  s.drive.io_credits =
      (struct credit_settings){.base = base, .burst = burst, .bucket = bucket};
  latency_settings_complete (&s);
}

/* After START and from then on. */
static uint64_t
ask_at (enum operation op, uint32_t count, uint64_t offset, uint64_t when)
{
  const struct latency_request r = {
      .op = op, .count = count, .offset = offset, .arrival = START + when};

  return latency_completion (&l, &s, &random_numbers, &r, &booking) - START;
}

static uint64_t
ask (uint64_t when)
{
  return ask_at (OP_READ, 4096, 0, when);
}

static void
test_off (void **state)
{
  (void) state;
  s.drive.io_count.unit = 4096;
  latency_settings_complete (&s);
  assert_false (s.waits);
  set_credits (1, 1, 1);
  assert_true (s.waits);
  assert_true (s.remembers);
}

/* 100 a second, 10 s of 1000: 9000 credits.  The grace of 5 ms lets the first 5
 * pass at once.
 */
static void
test_by_hand (void **state)
{
  unsigned i;

  (void) state;
  set_credits (100, 1000, 9000);
  for (i = 1; i <= 5; i++)
    assert_int_equal (ask (0), 0);
  for (; i < 10000; i++)
    assert_int_equal (ask (0), (i - 5) * MSEC);
  /* 1000 have come in. */
  assert_int_equal (ask (0), 10000 * MSEC);
  assert_int_equal (ask (0), 10010 * MSEC);
  assert_int_equal (ask (0), 10020 * MSEC);
  /* 50 s on there are credits again, and the 5 of the grace. */
  for (i = 0; i < 5; i++)
    assert_int_equal (ask (60 * SEC), 60 * SEC);
  assert_int_equal (ask (60 * SEC), 60 * SEC + MSEC);
}

/* One a second is the least. */
static void
test_least (void **state)
{
  (void) state;
  set_credits (1, 1, 1);
  assert_int_equal (ask (0), 995 * MSEC);
  assert_int_equal (ask (0), 1995 * MSEC);
}

/* A request that is cancelled gives its credit back. */
static void
test_cancel (void **state)
{
  struct latency_booking first;

  (void) state;
  set_credits (10, 1000, 1);
  assert_int_equal (ask (0), 0);
  assert_int_equal (ask (0), 100 * MSEC);
  first = booking;
  assert_int_equal (ask (0), 200 * MSEC);
  latency_cancel (&l, &first, START + 50 * MSEC);
  assert_int_equal (ask (50 * MSEC), 200 * MSEC);
  latency_cancel (&l, &first, START + 100 * MSEC); /* has been served */
  assert_int_equal (ask (100 * MSEC), 300 * MSEC);
}

/* And its time at the full rate, where there are credits for all. */
static void
test_cancel_in_burst (void **state)
{
  struct latency_booking second;

  (void) state;
  set_credits (10, 10, 1000);
  assert_int_equal (ask (0), 95 * MSEC);
  assert_int_equal (ask (0), 195 * MSEC);
  second = booking;
  assert_int_equal (ask (0), 295 * MSEC);
  latency_cancel (&l, &second, START + 100 * MSEC);
  assert_int_equal (ask (100 * MSEC), 295 * MSEC);
}

/* A power cut ends those that wait, and no credit comes back. */
static void
test_reset (void **state)
{
  unsigned i;

  (void) state;
  set_credits (10, 1000, 20);
  for (i = 0; i < 100; i++)
    ask (0);
  latency_reset (&l);
  assert_int_equal (ask (0), 100 * MSEC);
}

/* Those that a power cut has ended have nothing to give back. */
static void
test_cancel_after_cut (void **state)
{
  static struct latency_booking bookings[100];
  unsigned i;

  (void) state;
  set_credits (10, 1000, 20);
  for (i = 0; i < 100; i++) {
    ask (0);
    bookings[i] = booking;
  }
  latency_reset (&l);
  for (i = 20; i < 100; i++)
    latency_cancel (&l, &bookings[i], START);
  assert_int_equal (ask (0), 100 * MSEC);
}

static void
test_bytes (void **state)
{
  (void) state;
  s.drive.byte_credits = (struct credit_settings){
      .base = 10 * MIB, .burst = 100 * MIB, .bucket = 90 * MIB};
  latency_settings_complete (&s);
  assert_int_equal (ask_at (OP_FLUSH, 0, 0, 0), 0);
  assert_int_equal (ask_at (OP_TRIM, 1 << 30, 0, 0), 0);
  assert_int_equal (ask_at (OP_WRITE, 100 * MIB, 0, 0), SEC);
  assert_int_equal (ask_at (OP_ZERO, 10 * MIB, 0, 0), 2 * SEC);
}

/* A queue may wait for hours: nothing is cut off on the way. */
static void
test_long_queue (void **state)
{
  const uint64_t all = 100 * MIB;
  uint64_t n;

  (void) state;
  s.drive.byte_credits =
      (struct credit_settings){.base = MIB, .burst = all, .bucket = MIB};
  latency_settings_complete (&s);
  for (n = 1; n <= 1000; n++)
    assert_int_equal (ask_at (OP_WRITE, all, 0, 0), (100 * n - 1) * SEC);
}

/* A provider's: 8 x 32K in sequence count as one, and 8 at random as 8; larger
 * ones are split.
 */
static void
test_charge (void **state)
{
  const struct io_count_settings settings = {.unit = 256 * KIB, .merge = true};
  const struct io_count_settings alone = {.unit = 256 * KIB};
  struct io_count c = {0};
  uint32_t sum = 0;
  unsigned i;

  (void) state;
  for (i = 0; i < 8; i++)
    sum += io_count_operations (&c, &settings, OP_READ, 32 * KIB,
                                MIB + i * 32 * KIB);
  assert_int_equal (sum, 1);
  for (sum = 0, i = 0; i < 8; i++) {
    sum += io_count_operations (&c, &settings, OP_READ, 32 * KIB, i * 2 * MIB);
    io_count_operations (&c, &settings, OP_WRITE, 32 * KIB, i * 32 * KIB);
  }
  assert_int_equal (sum, 8);
  for (sum = 0, i = 0; i < 8; i++)
    sum +=
        io_count_operations (&c, &alone, OP_READ, 32 * KIB, MIB + i * 32 * KIB);
  assert_int_equal (sum, 8);
  assert_int_equal (io_count_operations (&c, &alone, OP_READ, MIB, 0), 4);
  assert_int_equal (io_count_operations (&c, &alone, OP_READ, MIB + 1, 0), 5);
  assert_int_equal (io_count_operations (&c, &alone, OP_READ, 0, 0), 1);
  assert_int_equal (io_count_operations (&c, &alone, OP_TRIM, MIB, 0), 1);
  /* 384K, of which 128K are of a second one, which 160K more begin a third. */
  assert_int_equal (io_count_operations (&c, &settings, OP_READ, 384 * KIB, 0),
                    2);
  assert_int_equal (
      io_count_operations (&c, &settings, OP_READ, 128 * KIB, 384 * KIB), 0);
  assert_int_equal (
      io_count_operations (&c, &settings, OP_READ, 32 * KIB, 512 * KIB), 1);
}

/* Limits count the same. */
static void
test_limits (void **state)
{
  (void) state;
  s.drive.io_count.unit = 256 * KIB;
  s.limits.operations_per_sec[THROTTLE_ALL] = 100;
  latency_settings_complete (&s);
  assert_int_equal (ask_at (OP_READ, MIB, 0, 0), 40 * MSEC);
  s.drive.io_count.merge = true;
  assert_int_equal (ask_at (OP_READ, 4096, 0, SEC), SEC + 5 * MSEC);
  assert_int_equal (ask_at (OP_READ, 4096, 4096, 2 * SEC), 2 * SEC);
}

/* Volumes of a provider, and what it says of each: how long a full bucket lasts
 * at the full rate, and how long an empty one takes to be full again.
 */
static void
test_published (void **state)
{
  static const struct {
    unsigned gib, base, lasts, refills; /* seconds */
  } volumes[] = {{33, 100, 1862, 54000},
                 {100, 300, 2000, 18000},
                 {334, 1002, 2703, 5389},
                 {750, 2250, 7200, 2400}};
  struct credits c;
  struct credit_settings settings = {.burst = 3000, .bucket = 5400000};
  uint64_t now, n, done;
  unsigned i;

  (void) state;
  for (i = 0; i < sizeof volumes / sizeof volumes[0]; i++) {
    memset (&c, 0, sizeof c);
    settings.base = volumes[i].base;
    /* At 512 in flight: how many pass until each waits for the base? */
    now = START;
    for (n = 0;; n++) {
      done = credits_take (&c, &settings, 1, now);
      if (done > now + 2 * SEC)
        break;
      now = START + n * SEC / 3000;
    }
    /* That one is 2 s late at the base. */
    n -= 2 * 3000 * settings.base / (3000 - settings.base);
    assert_in_range (n / 3000, volumes[i].lasts - 3, volumes[i].lasts + 3);
    /* Idle for so long: all of it is back, and not a minute earlier. */
    now = done + (uint64_t) volumes[i].refills * SEC;
    credits_take (&c, &settings, 0, now - 60 * SEC);
    assert_false (wide_is_less (c.spent.billionths,
                                wide_product (30 * settings.base, SEC)));
    credits_take (&c, &settings, 0, now);
    assert_false (wide_is_less (wide_product (30 * settings.base, SEC),
                                c.spent.billionths));
  }
}

/* 512 at a time, of which each is asked for again when it is done: half take
 * 167 ms, as was measured on a volume of 3,070 a second (3,000 by its rule).
 */
static void
test_queue (void **state)
{
  static uint64_t done[512];
  uint64_t now = 0;
  unsigned i;

  (void) state;
  set_credits (300, 3000, 5400000);
  for (i = 0; i < 512; i++)
    done[i] = ask (0);
  for (i = 0; i < 30000; i++) {
    now = done[i % 512];
    done[i % 512] = ask (now);
    if (i > 1024)
      assert_in_range (done[i % 512] - now, 170 * MSEC, 171 * MSEC);
  }
  assert_in_range (now, 30000 * SEC / 3000 - 200 * MSEC,
                   30000 * SEC / 3000 + 200 * MSEC);
}

/* By single credits: what a second brings, in steps of a microsecond. */
static void
test_beside_counts (void **state)
{
  uint64_t seed = new_seed ("credits beside a count");
  const struct credit_settings settings = {
      .base = 50 + random_below (&seed, 500),
      .burst = 600 + random_below (&seed, 3000),
      .bucket = 1 + random_below (&seed, 300)};
  const double step = 1e-6;
  double credits = (double) settings.bucket, pace = 5e-3 * settings.burst;
  double now = 0, is;
  struct credits c = {0};
  uint64_t moment = 0, r, last = 0;
  unsigned i, n;

  (void) state;
  for (i = 0; i < 2000; i++) {
    moment += random_below (&seed, 20) == 0 ? random_below (&seed, 300 * MSEC)
                                            : random_below (&seed, MSEC);
    n = 1 + (unsigned) random_below (&seed, 3);
    r = credits_take (&c, &settings, n, START + moment) - START;
    assert_true (r >= moment && r >= last);
    last = r;
    /* A request takes what it needs as soon as it is there, and not before
     * those ahead of it.
     */
    while (now < moment / 1e9 || credits < n || pace < n) {
      credits = fmin (credits + settings.base * step,
                      fmax ((double) settings.bucket, n));
      pace =
          fmin (pace + settings.burst * step, fmax (5e-3 * settings.burst, n));
      now += step;
    }
    credits -= n;
    pace -= n;
    is = (double) r / 1e9;
    if (fabs (is - now) > 0.01 + n / (double) settings.base)
      fail_msg ("request %u: at %.6f s, and not %.6f", i, is, now);
  }
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, setup, teardown)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_off),
      TEST (test_by_hand),
      TEST (test_cancel),
      TEST (test_cancel_after_cut),
      TEST (test_cancel_in_burst),
      TEST (test_least),
      TEST (test_long_queue),
      TEST (test_reset),
      TEST (test_bytes),
      TEST (test_charge),
      TEST (test_limits),
      TEST (test_published),
      TEST (test_queue),
      TEST (test_beside_counts),
  };

  return RUN_TESTS (tests);
}
