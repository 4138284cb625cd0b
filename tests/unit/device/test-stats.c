/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Histograms: where a value falls, how far a bucket's middle is from it, and
 * percentiles against those of the sorted values.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "device/device.h"
#include "unit.h"

static struct stats stats, sum;
static struct counts counts;
static struct op_stats *const o = &stats.op[OP_READ];

static int
setup (void **state)
{
  (void) state;
  memset (&stats, 0, sizeof stats);
  memset (&counts, 0, sizeof counts);
  memset (&sum, 0, sizeof sum);
  return 0;
}

static void
count (uint64_t ns)
{
  stats_count (&counts, OP_READ, 512, ns, 0);
  stats_take (&stats, &counts);
}

/* Buckets are in a row, without a gap, and each begins where it should. */
static void
test_buckets (void **state)
{
  unsigned i;

  (void) state;
  assert_int_equal (stats_bucket_from (0), 0);
  for (i = 0; i < NR_BUCKETS; i++) {
    assert_int_equal (stats_bucket (stats_bucket_from (i)), i);
    assert_int_equal (stats_bucket (stats_bucket_from (i + 1) - 1), i);
  }
  assert_int_equal (stats_bucket_from (NR_BUCKETS), UINT64_C (1) << 37);
  assert_int_equal (stats_bucket (UINT64_C (1) << 37), NR_BUCKETS - 1);
  assert_int_equal (stats_bucket (UINT64_MAX), NR_BUCKETS - 1);
}

/* From 100 ns to 100 s the middle is within 1.6 % of everything. */
static void
test_error (void **state)
{
  uint64_t random = new_seed ("error"), ns, from, to, middle, off;
  unsigned i;

  (void) state;
  for (i = 0; i < 1000000; i++) {
    ns = 100 + next_random (&random) %
                   (UINT64_C (100000000000) >> random_below (&random, 30));
    from = stats_bucket_from (stats_bucket (ns));
    to = stats_bucket_from (stats_bucket (ns) + 1);
    assert_in_range (ns, from, to - 1);
    middle = (from + to - 1) / 2;
    off = middle > ns ? middle - ns : ns - middle;
    assert_true (off * 1000 <= ns * 16);
  }
}

static int
compare (const void *a, const void *b)
{
  const uint64_t *x = a, *y = b;

  return *x < *y ? -1 : *x > *y;
}

static void
test_percentiles (void **state)
{
  static const unsigned parts[] = {1, 5000, 9000, 9900, 9990, 9999, 10000};
  static uint64_t values[12345];
  const size_t n = sizeof values / sizeof values[0];
  uint64_t random = new_seed ("percentiles"), exact, got;
  size_t i;

  (void) state;
  for (i = 0; i < n; i++) {
    values[i] = 200 + random_below (&random, UINT64_C (1)
                                                 << random_below (&random, 36));
    count (values[i]);
  }
  qsort (values, n, sizeof values[0], compare);
  assert_int_equal (histogram_total (&o->served), n);
  assert_int_equal (o->served.longest, values[n - 1]);
  for (i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    exact = values[(n * parts[i] + 9999) / 10000 - 1];
    got = histogram_percentile (&o->served, parts[i]);
    assert_int_equal (stats_bucket (got), stats_bucket (exact));
    assert_true (got <= o->served.longest);
  }
}

static void
test_few (void **state)
{
  (void) state;
  assert_int_equal (histogram_percentile (&o->served, 5000), 0);
  count (10);
  assert_int_equal (histogram_percentile (&o->served, 1), 10);
  assert_int_equal (histogram_percentile (&o->served, 9999), 10);
  count (30);
  assert_int_equal (histogram_percentile (&o->served, 5000), 10);
  assert_int_equal (histogram_percentile (&o->served, 5001), 30);
  /* Never more than the longest: 1000 is in 992 to 1007. */
  count (993);
  assert_int_equal (histogram_percentile (&o->served, 10000), 993);
}

static void
test_errors (void **state)
{
  static const struct {
    int r;
    enum nbd_error error;
  } errors[] = {{-EPERM, ERROR_EPERM},
                {-EROFS, ERROR_EPERM},
                {-EIO, ERROR_EIO},
                {-ENOMEM, ERROR_ENOMEM},
                {-EINVAL, ERROR_EINVAL},
                {-ENOSPC, ERROR_ENOSPC},
                {-ESHUTDOWN, ERROR_ESHUTDOWN},
                {-EBUSY, ERROR_EINVAL}};
  size_t i;

  (void) state;
  for (i = 0; i < sizeof errors / sizeof errors[0]; i++) {
    setup (state);
    stats_count (&counts, OP_TRIM, 4096, 5, errors[i].r);
    stats_take (&stats, &counts);
    assert_int_equal (stats.op[OP_TRIM].errors[errors[i].error], 1);
    assert_int_equal (stats.op[OP_TRIM].bytes, 0);
    assert_int_equal (histogram_total (&stats.op[OP_TRIM].served), 1);
  }
}

static void
test_take (void **state)
{
  unsigned i;

  (void) state;
  for (i = 0; i < 2; i++) {
    stats_count (&counts, OP_READ, 512, 100, 0);
    stats_count (&counts, OP_WRITE, 4096, 7, -EIO);
    if (i == 1)
      stats_count (&counts, OP_READ, 512, 5000, 0);
    stats_take (&sum, &counts);
  }
  stats_take (&sum, &counts);
  assert_int_equal (histogram_total (&sum.op[OP_READ].served), 3);
  assert_int_equal (sum.op[OP_READ].bytes, 3 * 512);
  assert_int_equal (sum.op[OP_READ].served.longest, 5000);
  assert_int_equal (sum.op[OP_READ].served.bucket[stats_bucket (100)], 2);
  assert_int_equal (sum.op[OP_WRITE].errors[ERROR_EIO], 2);
  assert_int_equal (sum.op[OP_WRITE].bytes, 0);
  stats_clear (&sum);
  assert_memory_equal (&sum, &stats, sizeof sum);
}

/* Requests that arrived together end together. */
static void
test_open (void **state)
{
  unsigned i;

  (void) state;
  for (i = 0; i < 3; i++)
    stats_count_open (&counts, OP_READ, 512, 1000, 0);
  stats_count_open (&counts, OP_WRITE, 4096, 1000, -EIO);
  assert_int_equal (counts.nr, 0);
  stats_end_open (&counts, 1100);
  stats_end_open (&counts, 2000); /* there is none */
  assert_int_equal (counts.nr, 2);
  stats_take (&sum, &counts);
  assert_int_equal (sum.op[OP_READ].served.bucket[stats_bucket (100)], 3);
  assert_int_equal (sum.op[OP_READ].served.longest, 100);
  assert_int_equal (sum.op[OP_READ].bytes, 3 * 512);
  assert_int_equal (sum.op[OP_WRITE].served.bucket[stats_bucket (100)], 1);
  assert_int_equal (sum.op[OP_WRITE].errors[ERROR_EIO], 1);

  /* One of another moment: those before it have ended by then. */
  stats_count_open (&counts, OP_READ, 512, 3000, 0);
  stats_count_open (&counts, OP_READ, 512, 3007, 0);
  assert_int_equal (counts.nr, 1);
  stats_end_open (&counts, 3000); /* a moment before it arrived */
  stats_take (&sum, &counts);
  assert_int_equal (sum.op[OP_READ].served.bucket[7], 1);
  assert_int_equal (sum.op[OP_READ].served.bucket[0], 1);
}

static void
test_asked (void **state)
{
  const struct histogram *asked = &sum.op[OP_WRITE].asked;
  unsigned i;

  (void) state;
  for (i = 0; i < 2; i++) {
    stats_count_asked (&counts, OP_WRITE, 100, 130);
    stats_count_asked (&counts, OP_WRITE, 200, 199);
    stats_count_asked (&counts, OP_FLUSH, 300, 300);
    stats_take (&sum, &counts);
  }
  assert_int_equal (histogram_total (asked), 4);
  assert_int_equal (asked->bucket[stats_bucket (100)], 2);
  assert_int_equal (asked->longest, 200);
  assert_int_equal (histogram_total (&sum.op[OP_FLUSH].asked), 2);
  assert_int_equal (histogram_total (&sum.op[OP_READ].asked), 0);
  assert_int_equal (histogram_total (&sum.late), 6);
  assert_int_equal (sum.late.bucket[30], 2);
  assert_int_equal (sum.late.bucket[0], 4);
  assert_int_equal (sum.late.longest, 30);
  assert_int_equal (histogram_total (&sum.op[OP_WRITE].served), 0);
}

/* Whatever requests come, what is full says so in time, and all are counted. */
static void
test_full (void **state)
{
  uint64_t random = new_seed ("requests"), ns;
  uint64_t served[NR_OPERATIONS] = {0}, asked[NR_OPERATIONS] = {0}, all = 0;
  enum operation op;
  unsigned i;

  (void) state;
  for (i = 0; i < 100000; i++) {
    if (stats_are_full (&counts)) {
      stats_end_open (&counts, i);
      stats_take (&sum, &counts);
    }
    op = (enum operation) random_below (&random, NR_OPERATIONS);
    ns = random_below (&random, UINT64_C (1) << random_below (&random, 40));
    served[op]++;
    if (random_below (&random, 2) == 0) {
      stats_count_open (&counts, op, 512, i - random_below (&random, 8) / 7, 0);
      continue;
    }
    stats_end_open (&counts, i);
    stats_count (&counts, op, 512, ns, 0);
    if (random_below (&random, 2) == 0) {
      stats_count_asked (&counts, op, ns / 2, ns);
      asked[op]++;
      all++;
    }
    assert_in_range (counts.nr, 1, NR_SAMPLES);
  }
  stats_end_open (&counts, i);
  stats_take (&sum, &counts);
  for (op = 0; op < NR_OPERATIONS; op++) {
    assert_int_equal (histogram_total (&sum.op[op].served), served[op]);
    assert_int_equal (histogram_total (&sum.op[op].asked), asked[op]);
    assert_int_equal (sum.op[op].bytes, 512 * served[op]);
  }
  assert_int_equal (histogram_total (&sum.late), all);
}

#define TEST(f) cmocka_unit_test_setup (f, setup)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_asked),       TEST (test_buckets), TEST (test_error),
      TEST (test_percentiles), TEST (test_few),     TEST (test_errors),
      TEST (test_take),        TEST (test_full),    TEST (test_open),
  };

  return RUN_TESTS (tests);
}
