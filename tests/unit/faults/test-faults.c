/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The fault rules of a device: each condition, each action, what several rules
 * do together, what is counted, and that a seed repeats all of it.
 */

#include <config.h>

#include <errno.h>

#include "judged.h"

/*---------------------------------------------------------------------*/
/* Conditions */

static void
test_no_rules (void **state)
{
  struct fault_verdict v;

  (void) state;
  assert_false (faults_any (&faults));
  v = judge (OP_WRITE, 0, 4096);
  assert_int_equal (v.error, 0);
  assert_int_equal (v.delay, 0);
  assert_false (v.is_skipped || v.disconnects || v.corrupts || v.hangs);
  assert_int_equal (v.nr_kept, 0);
  add ("error=EIO");
  assert_true (faults_any (&faults));
  del ("1");
  assert_false (faults_any (&faults));
}

static void
test_op (void **state)
{
  static const char *const names[] = {"read", "write", "flush",
                                      "trim", "zero",  "zone"};
  char text[64];
  unsigned i, op;

  (void) state;
  for (i = 0; i < NR_OPERATIONS; i++) {
    snprintf (text, sizeof text, "error=EIO op=%s", names[i]);
    add (text);
    for (op = 0; op < NR_OPERATIONS; op++)
      assert_int_equal (judge ((enum operation) op, 0, 512).error,
                        op == i ? -EIO : 0);
    check_counters (i + 1, 1, 1);
    del ("all");
  }
  add ("error=EIO op=trim,read");
  for (op = 0; op < NR_OPERATIONS; op++)
    assert_int_equal (judge ((enum operation) op, 0, 512).error,
                      op == OP_TRIM || op == OP_READ ? -EIO : 0);
  del ("all");
  add ("error=EIO");
  for (op = 0; op < NR_OPERATIONS; op++)
    assert_int_equal (judge ((enum operation) op, 0, 512).error, -EIO);
}

static void
test_range (void **state)
{
  (void) state;
  add ("error=EIO range=1M+64K");
  assert_false (is_hit_at (0));
  assert_false (is_hit_at ((1 << 20) - 4096));
  assert_true (is_hit_at ((1 << 20) - 512));
  assert_true (is_hit_at (1 << 20));
  assert_true (is_hit_at ((1 << 20) + 65536 - 512));
  assert_false (is_hit_at ((1 << 20) + 65536));
  assert_int_equal (judge (OP_FLUSH, 0, 0).error, 0);
  check_counters (1, 3, 3);
}

static void
test_zones (void **state)
{
  (void) state;
  add ("error=EIO zones=3,7-9");
  assert_false (is_hit_at (3 << 20)); /* there are no zones */
  zone_size = 1 << 20;
  assert_false (is_hit_at ((3 << 20) - 4096));
  assert_true (is_hit_at (3 << 20));
  assert_false (is_hit_at (4 << 20));
  assert_true (is_hit_at (8 << 20));
  assert_false (is_hit_at (10 << 20));
  assert_int_equal (judge (OP_ZONE, 7 << 20, 1 << 20).error, -EIO);
  assert_int_equal (judge (OP_ZONE, 6 << 20, 1 << 20).error, 0);
  check_counters (1, 3, 3);
}

static void
test_for (void **state)
{
  const uint64_t added = now;

  (void) state;
  add ("error=EIO for=10s");
  now = added - 1; /* arrived before, asked after */
  assert_true (is_hit ());
  now = added;
  assert_true (is_hit ());
  now = added + 10 * NSEC_PER_SEC - 1;
  assert_true (is_hit ());
  now = added + 10 * NSEC_PER_SEC;
  assert_false (is_hit ());
  now = UINT64_MAX;
  assert_false (is_hit ());
  check_counters (1, 5, 3);
}

static void
test_from (void **state)
{
  const uint64_t added = now;

  (void) state;
  add ("error=EIO from=2s");
  assert_false (is_hit ());
  now = added + 2 * NSEC_PER_SEC - 1;
  assert_false (is_hit ());
  now++;
  assert_true (is_hit ());
  now = UINT64_MAX;
  assert_true (is_hit ());
  check_counters (1, 4, 2);
}

/* A request that was there before the rule is as old as the rule. */
static void
test_from_1ns (void **state)
{
  const uint64_t added = now;

  (void) state;
  add ("error=EIO from=1ns");
  now = added - 1;
  assert_false (is_hit ());
  now = added;
  assert_false (is_hit ());
  now++;
  assert_true (is_hit ());
}

/* for= counts from from= on. */
static void
test_from_for (void **state)
{
  const uint64_t added = now;

  (void) state;
  add ("error=EIO from=2s for=3s");
  now = added + 2 * NSEC_PER_SEC - 1;
  assert_false (is_hit ());
  now++;
  assert_true (is_hit ());
  now = added + 5 * NSEC_PER_SEC - 1;
  assert_true (is_hit ());
  now++;
  assert_false (is_hit ());
}

static void
test_after (void **state)
{
  int i;

  (void) state;
  add ("error=EIO after=100 op=write");
  for (i = 0; i < 200; i++) {
    assert_int_equal (judge (OP_READ, 0, 512).error, 0); /* does not count */
    assert_int_equal (is_hit (), i >= 100);
  }
  check_counters (1, 200, 100);
}

static void
test_every (void **state)
{
  int i;

  (void) state;
  add ("error=EIO every=10");
  for (i = 1; i <= 100; i++)
    assert_int_equal (is_hit (), i % 10 == 0);
  check_counters (1, 100, 10);
}

static void
test_count (void **state)
{
  struct wanted w = {.id = 1};
  int i;

  (void) state;
  add ("error=EIO count=5");
  for (i = 0; i < 20; i++) {
    faults_each (&faults, pick, &w);
    assert_int_equal (w.info.spent, i >= 5);
    assert_int_equal (is_hit (), i < 5);
  }
  check_counters (1, 20, 5);
}

static void
test_rate_none_and_all (void **state)
{
  int i;

  (void) state;
  add ("error=EIO rate=0%");
  for (i = 0; i < 10000; i++)
    assert_false (is_hit ());
  check_counters (1, 10000, 0);
  del ("all");
  add ("error=EIO rate=100%");
  for (i = 0; i < 10000; i++)
    assert_true (is_hit ());
}

/* Of n = 10^6 requests a share p is hit n p times, with a standard deviation of
 * sqrt (n p (1 - p)), which is at most 500; a normal distribution leaves its
 * mean by six of them twice in a billion.  Whole ones, rounded up, here.
 */
static void
test_rate_share (void **state)
{
  static const struct {
    const char *rate;
    int mean, six_deviations;
  } table[] = {
      {"1%", 10000, 597},    {"50%", 500000, 3000},  {"0.001", 1000, 190},
      {"2:3", 666667, 2829}, {"99.9%", 999000, 190},
  };
  const uint64_t seed = new_seed ("shares");
  char text[64];
  int i, hits;
  size_t t;

  (void) state;
  for (t = 0; t < NR (table); t++) {
    begin_again (seed, 0);
    snprintf (text, sizeof text, "error=EIO rate=%s", table[t].rate);
    add (text);
    for (i = hits = 0; i < 1000000; i++)
      hits += is_hit ();
    assert_in_range (hits, table[t].mean - table[t].six_deviations,
                     table[t].mean + table[t].six_deviations);
    check_counters (1, 1000000, hits);
  }
}

/*---------------------------------------------------------------------*/
/* Conditions together: the order that faults.h promises */

static void
test_after_then_every (void **state)
{
  int i;

  (void) state;
  add ("error=EIO after=7 every=10");
  for (i = 1; i <= 100; i++)
    assert_int_equal (is_hit (), i > 7 && (i - 7) % 10 == 0);
}

/* What is outside of the window is not counted by after and every. */
static void
test_window_then_after (void **state)
{
  const uint64_t added = now;
  int i;

  (void) state;
  add ("error=EIO from=1s after=2 every=2");
  for (i = 0; i < 5; i++)
    assert_false (is_hit ());
  now = added + NSEC_PER_SEC;
  for (i = 1; i <= 10; i++)
    assert_int_equal (is_hit (), i > 2 && i % 2 == 0);
  check_counters (1, 15, 4);
}

/* What is elsewhere is not counted by every. */
static void
test_range_then_every (void **state)
{
  int i;

  (void) state;
  add ("error=EIO range=0+4K every=3");
  for (i = 1; i <= 30; i++) {
    assert_false (is_hit_at (1 << 20));
    assert_int_equal (is_hit_at (0), i % 3 == 0);
  }
  check_counters (1, 30, 10);
}

/* The k-th number is drawn for the k-th that every lets through. */
static void
test_every_then_rate (void **state)
{
  bool drawn[200];
  int i;

  (void) state;
  add ("error=EIO rate=30%");
  for (i = 0; i < 200; i++)
    drawn[i] = is_hit ();
  begin_again (1, 0);
  add ("error=EIO rate=30% every=5 after=3");
  for (i = 1; i <= 1003; i++)
    assert_int_equal (is_hit (),
                      i > 3 && (i - 3) % 5 == 0 && drawn[(i - 3) / 5 - 1]);
}

/* What is not drawn does not use count up. */
static void
test_rate_then_count (void **state)
{
  bool drawn[200];
  int i, hits = 0;

  (void) state;
  add ("error=EIO rate=30%");
  for (i = 0; i < 200; i++)
    drawn[i] = is_hit ();
  begin_again (1, 0);
  add ("error=EIO rate=30% count=20");
  for (i = 0; i < 200; i++) {
    assert_int_equal (is_hit (), drawn[i] && hits < 20);
    hits += drawn[i];
  }
  assert_true (hits > 20);
  check_counters (1, 200, 20);
}

static void
test_all_conditions (void **state)
{
  const uint64_t added = now;
  int i, hits = 0;

  (void) state;
  add ("op=write range=1M+64K rate=100% every=10 after=100 count=5 for=10s "
       "error=EIO");
  for (i = 1; i <= 200; i++) {
    judge (OP_READ, 1 << 20, 512);
    is_hit_at (0);
    hits += is_hit_at (1 << 20);
    assert_int_equal (hits, i <= 100             ? 0
                            : (i - 100) / 10 < 5 ? (i - 100) / 10
                                                 : 5);
  }
  check_counters (1, 200, 5);
  now = added + 10 * NSEC_PER_SEC;
  assert_false (is_hit_at (1 << 20));
}

/*---------------------------------------------------------------------*/
/* Several rules */

static void
test_first_error (void **state)
{
  (void) state;
  add ("error=ENOSPC every=2");
  add ("error=EIO");
  add ("error=EPERM");
  assert_int_equal (judge (OP_WRITE, 0, 512).error, -EIO);
  assert_int_equal (judge (OP_WRITE, 0, 512).error, -ENOSPC);
  assert_int_equal (judge (OP_WRITE, 0, 512).error, -EIO);
  /* All count, whoever wins. */
  check_counters (1, 3, 1);
  check_counters (2, 3, 3);
  check_counters (3, 3, 3);
}

static void
test_delays_add (void **state)
{
  (void) state;
  add ("delay=1ms");
  add ("delay=20us op=write");
  add ("delay=300ns op=read");
  assert_int_equal (judge (OP_WRITE, 0, 512).delay, 1020000);
  assert_int_equal (judge (OP_READ, 0, 512).delay, 1000300);
  assert_int_equal (judge (OP_TRIM, 0, 512).delay, 1000000);
}

static void
test_everything_at_once (void **state)
{
  const struct io_info r = request (OP_WRITE, 0, 512);
  struct fault_verdict v;
  uint32_t id;

  (void) state;
  add ("delay=1ms");
  add ("corrupt=flip");
  add ("hang");
  add ("corrupt=stale");
  add ("disconnect");
  add ("error=EIO");
  faults_judge (&faults, &r, &v);
  assert_int_equal (v.error, -EIO);
  assert_int_equal (v.delay, 1000000);
  assert_true (v.is_skipped && v.disconnects && v.corrupts && v.hangs);
  assert_int_equal (v.nr_kept, 2);
  faults_done (&v);
  for (id = 1; id <= 6; id++)
    check_counters (id, 1, 1);
}

/* A rule hits what it would hit alone. */
static void
test_rules_are_independent (void **state)
{
  static bool alone[1000];
  static uint64_t delays[1000];
  int i;

  (void) state;
  add ("error=EIO rate=10% every=2");
  add ("delay=uniform:0-1ms rate=50%");
  for (i = 0; i < 1000; i++) {
    struct fault_verdict v = judge (OP_WRITE, 0, 512);

    alone[i] = v.error != 0;
    delays[i] = v.delay;
  }
  begin_again (1, 0);
  add ("error=EIO rate=10% every=2");
  add ("delay=uniform:0-1ms rate=50%");
  add ("disconnect rate=50%");
  add ("error=EPERM rate=0%");
  del ("1");
  for (i = 0; i < 1000; i++)
    assert_int_equal (judge (OP_WRITE, 0, 512).delay, delays[i]);
  begin_again (1, 0);
  add ("error=EIO rate=10% every=2");
  add ("disconnect rate=50%");
  for (i = 0; i < 1000; i++)
    assert_int_equal (judge (OP_WRITE, 0, 512).error == -EIO, alone[i]);
}

/*---------------------------------------------------------------------*/
/* Seeds */

#define SEQUENCE 20000

/* What a connection's requests, all kinds of them, are met with. */
static void
run_sequence (uint64_t seed, uint32_t device, struct fault_verdict *results)
{
  uint64_t random = 99, offset;
  enum operation op;
  int i;

  begin_again (seed, device);
  add ("error=EIO rate=1% op=read,write");
  add ("error=ENOSPC rate=0.1 op=write range=0+512M");
  add ("delay=lognormal:p50=80us,p99=2ms rate=1:3");
  add ("corrupt=stale rate=5% every=3 op=flush,write");
  add ("disconnect rate=0.1% after=50");
  for (i = 0; i < SEQUENCE; i++) {
    op = (enum operation) random_below (&random, NR_OPERATIONS);
    offset = random_below (&random, 1 << 20) * 4096;
    results[i] = judge (op, offset, op == OP_FLUSH ? 0 : 4096);
  }
}

static int
count_differences (const struct fault_verdict *a, const struct fault_verdict *b)
{
  int i, r = 0;

  for (i = 0; i < SEQUENCE; i++)
    r += a[i].error != b[i].error || a[i].delay != b[i].delay ||
         a[i].is_skipped != b[i].is_skipped ||
         a[i].disconnects != b[i].disconnects;
  return r;
}

static void
test_seed (void **state)
{
  static struct fault_verdict first[SEQUENCE], second[SEQUENCE];
  const uint64_t seed = new_seed ("runs");

  (void) state;
  run_sequence (seed, 0, first);
  run_sequence (seed, 0, second);
  assert_int_equal (count_differences (first, second), 0);
  run_sequence (seed + 1, 0, second);
  assert_true (count_differences (first, second) > 1000);
  run_sequence (seed, 1, second);
  assert_true (count_differences (first, second) > 1000);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      CASE (test_no_rules),
      CASE (test_op),
      CASE (test_range),
      CASE (test_zones),
      CASE (test_for),
      CASE (test_from),
      CASE (test_from_1ns),
      CASE (test_from_for),
      CASE (test_after),
      CASE (test_every),
      CASE (test_count),
      CASE (test_rate_none_and_all),
      CASE (test_rate_share),
      CASE (test_after_then_every),
      CASE (test_window_then_after),
      CASE (test_range_then_every),
      CASE (test_every_then_rate),
      CASE (test_rate_then_count),
      CASE (test_all_conditions),
      CASE (test_first_error),
      CASE (test_delays_add),
      CASE (test_everything_at_once),
      CASE (test_rules_are_independent),
      CASE (test_seed),
  };

  return RUN_TESTS (tests);
}
