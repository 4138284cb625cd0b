/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What nullblkctl makes of statistics: documents good and bad, percentiles,
 * and the difference of two.
 */

#include <config.h>

#include <stdbool.h>
#include <string.h>

#include "ctl/snapshot.h"
#include "unit.h"

/* What every document has. */
#define OBJECTS "\"device\": \"nullb0\", \"server\": {}"
#define OTHERS                                                                 \
  "\"flush\": {}, \"trim\": {}, \"zero\": {}, \"zone\": {}, \"later\": 1"

static const char good[] =
    "{\"version\": 1, \"device\": \"nullb0\","
    " \"server\": {\"nullblk\": \"0.1.0\", \"uptime_ns\": 5000000000,"
    " \"parallel\": true, \"batch\": true, \"holds_replies\": true}, "
    "\"since_reset_ns\": 4, "
    "\"connections\": 2,"
    " \"queue_depth\": {\"now\": 3, \"largest\": 64},"
    " \"memory\": {\"held\": 4096, \"limit\": 8192}, \"written_blocks\": 1,"
    " \"zones\": {\"number\": 9, \"conventional\": 2, \"read_only\": 7},"
    " \"operations\": {\"read\": {\"requests\": 10, \"bytes\": 40960,"
    " \"errors\": {\"EIO\": 1, \"EPERM\": 2}, \"latency_ns\": {\"max\": 990},"
    " \"histogram\": [[100, 200, 4], [960, 992, 6]]}, \"write\": {}, " OTHERS
    "}}\n\n\n";

static struct snapshot *
parse (const char *text)
{
  struct message why = {"?"};
  struct snapshot *s = snapshot_parse (text, &why);

  if (s == NULL)
    fail_msg ("%s: %s", text, why.text);
  return s;
}

static void
test_good (void **state)
{
  struct snapshot *s = parse (good);

  (void) state;
  assert_string_equal (s->device, "nullb0");
  assert_string_equal (s->server_version, "0.1.0");
  assert_true (s->parallel);
  assert_true (s->batch);
  assert_true (s->holds_replies);
  assert_int_equal (s->uptime_ns, 5000000000);
  assert_int_equal (s->connections, 2);
  assert_int_equal (s->depth, 3);
  assert_int_equal (s->depth_largest, 64);
  assert_true (s->has_memory);
  assert_int_equal (s->memory_held, 4096);
  assert_int_equal (s->memory_limit, 8192);
  assert_int_equal (s->written_blocks, 1);
  assert_true (s->has_zones);
  assert_int_equal (s->nr_zones, 9);
  assert_int_equal (s->zones[0], 2);
  assert_int_equal (s->zones[1], 0);
  assert_int_equal (s->zones[6], 7);
  assert_int_equal (s->op[0].requests, 10);
  assert_int_equal (s->op[0].bytes, 40960);
  assert_int_equal (snapshot_errors (&s->op[0]), 3);
  assert_string_equal (s->op[0].errors[0].name, "EIO");
  assert_int_equal (s->op[0].nr_buckets, 2);
  assert_int_equal (s->op[1].requests, 0);
  assert_int_equal (snapshot_percentile (&s->op[0], 4000), 149);
  assert_int_equal (snapshot_percentile (&s->op[0], 4001), 975);
  assert_int_equal (snapshot_percentile (&s->op[0], 10000), 975);
  assert_int_equal (snapshot_percentile (&s->op[1], 5000), 0);
  snapshot_free (s);

  /* A later version adds what this does not know. */
  s = parse ("{\"version\": 2, \"new\": [{}], " OBJECTS
             ", \"operations\": {\"copy\": 1, " OTHERS
             ", \"write\": {}, \"read\": {\"requests\": 5, \"new\": "
             "null}}}");
  assert_int_equal (s->op[0].requests, 5);
  snapshot_free (s);
}

/* No statistics at all, and the reason. */
static void
test_bad (void **state)
{
  static const char *const bad[] = {
      "",
      "\n\n",
      "nothing",
      "{",
      "[]",
      "1",
      "{}",
      "{\"version\": \"1\"}",
      "{\"version\": -1}",
      "{\"version\": 1",
      "{\"version\": 1}}",
      "{\"version\": 99999999999999999999999999}",
      "{\"version\": 1}",
      "{\"version\": 1, " OBJECTS "}",
      "{\"version\": 1, " OBJECTS ", \"operations\": {}}",
      "{\"version\": 1, " OBJECTS ", \"operations\": {" OTHERS
      ", \"read\": {}, \"write\": []}}",
      "{\"version\": 1, \"device\": 7, \"server\": {}, \"operations\": "
      "{" OTHERS ", \"read\": {}, \"write\": {}}}",
  };
  struct message why;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    why.text[0] = '\0';
    if (snapshot_parse (bad[i], &why) != NULL)
      fail_msg ("taken: %s", bad[i]);
    assert_int_not_equal (why.text[0], '\0');
    assert_null (strchr (why.text, '\n'));
  }
}

/* Odd, but no reason to stop: what cannot be is 0. */
static void
test_odd (void **state)
{
  struct snapshot *s;

  (void) state;
  s = parse ("{\"version\": 1, \"device\": \"\", \"memory\": null,"
             " \"zones\": [3],"
             " \"server\": {}, \"connections\": -5, \"queue_depth\": 3,"
             " \"operations\": {" OTHERS
             ", \"read\": {}, \"write\": {\"requests\": \"x\","
             " \"bytes\": 1e30, \"errors\": [1], \"histogram\": [1, [], [1],"
             " [5, 4, 3], [10, 20, -1], [10, 20, 2], [15, 30, 1],"
             " [\"a\", 1, 1], [30, 40, 1e30]]}}}");
  assert_string_equal (s->device, "");
  assert_false (s->has_memory);
  assert_false (s->has_zones);
  assert_int_equal (s->connections, 0);
  assert_int_equal (s->op[1].requests, 0);
  assert_true (s->op[1].bytes == UINT64_MAX);
  assert_int_equal (s->op[1].nr_errors, 0);
  assert_int_equal (s->op[1].nr_buckets, 2);
  assert_int_equal (s->op[1].buckets[0].count, 2);
  snapshot_percentile (&s->op[1], 9999);
  snapshot_free (s);
  s = parse ("{\"version\": 1, \"device\": \"a\\u001b[2Jb\\nc\", "
             "\"server\": {}, \"operations\": {" OTHERS
             ", \"read\": {}, \"write\": {}}}");
  assert_string_equal (s->device, "a?[2Jb?c");
  snapshot_free (s);
}

/* A good document with bytes changed: taken or not, it does no harm. */
static void
test_random_damage (void **state)
{
  uint64_t random = new_seed ("random damage");
  struct snapshot *s, *whole = parse (good), *d;
  struct message why;
  char text[sizeof good];
  unsigned i, j;

  (void) state;
  for (i = 0; i < 20000; i++) {
    memcpy (text, good, sizeof good);
    for (j = random_below (&random, 4) + 1; j > 0; j--)
      text[random_below (&random, sizeof good - 1)] =
          1 + random_below (&random, 255);
    s = snapshot_parse (text, &why);
    if (s != NULL) {
      d = snapshot_since (whole, s);
      assert_non_null (d);
      snapshot_percentile (&d->op[0], 5000);
      snapshot_free (d);
    }
    snapshot_free (s);
  }
  snapshot_free (whole);
}

/* A hundred times, 1 us apart: which of them a percentile is, to the rank. */
static void
test_percentiles (void **state)
{
  struct bucket buckets[100];
  struct snapshot_op op = {.nr_buckets = 100, .buckets = buckets};
  unsigned i;

  (void) state;
  for (i = 0; i < 100; i++)
    buckets[i] = (struct bucket){1000 * i, 1000 * i + 1, 100};
  assert_int_equal (snapshot_percentile (&op, 1), 0);
  assert_int_equal (snapshot_percentile (&op, 100), 0);
  assert_int_equal (snapshot_percentile (&op, 101), 1000);
  assert_int_equal (snapshot_percentile (&op, 5000), 49000);
  assert_int_equal (snapshot_percentile (&op, 5001), 50000);
  assert_int_equal (snapshot_percentile (&op, 9900), 98000);
  assert_int_equal (snapshot_percentile (&op, 9999), 99000);
  assert_int_equal (snapshot_percentile (&op, 10000), 99000);

  /* One in 10,000 of 10,001 is more than one. */
  op.nr_buckets = 2;
  buckets[0].count = 1;
  buckets[1].count = 10000;
  assert_int_equal (snapshot_percentile (&op, 1), 1000);
  op.nr_buckets = 100;

  /* Counts that are too large to be multiplied by 10,000. */
  for (i = 0; i < 100; i++)
    buckets[i].count = UINT64_MAX / 100;
  assert_int_equal (snapshot_percentile (&op, 5000), 49000);
  assert_int_equal (snapshot_percentile (&op, 9999), 99000);
}

static void
test_since (void **state)
{
  struct snapshot *a = parse (good), *b = parse (good), *d;

  (void) state;
  b->uptime_ns += 1000;
  b->since_reset_ns += 1000;
  b->op[0].requests = 13;
  b->op[0].bytes += 512;
  b->op[0].errors[1].count = 5;
  b->op[0].buckets[1].count = 9;
  d = snapshot_since (a, b);
  assert_int_equal (d->interval_ns, 1000);
  assert_int_equal (d->uptime_ns, b->uptime_ns);
  assert_int_equal (d->op[0].requests, 3);
  assert_int_equal (d->op[0].bytes, 512);
  assert_int_equal (d->op[0].errors[0].count, 0);
  assert_int_equal (d->op[0].errors[1].count, 3);
  assert_int_equal (d->op[0].nr_buckets, 1);
  assert_int_equal (d->op[0].buckets[0].from, 960);
  assert_int_equal (d->op[0].buckets[0].count, 3);
  assert_int_equal (d->op[0].max, 990);
  assert_int_equal (d->op[1].max, 0);
  assert_int_equal (d->depth, 3); /* as it is now */
  snapshot_free (d);

  d = snapshot_since (NULL, b);
  assert_int_equal (d->op[0].requests, 13);
  assert_int_equal (d->interval_ns, b->since_reset_ns);
  snapshot_free (d);
  snapshot_free (a);
  snapshot_free (b);
}

/* The longest time of an interval that was not the longest of all. */
static void
test_since_max (void **state)
{
  struct snapshot *a = parse (good), *b = parse (good), *d;

  (void) state;
  b->uptime_ns += 1000;
  b->since_reset_ns += 1000;
  b->op[0].requests = 11;
  b->op[0].buckets[0].count = 5;
  d = snapshot_since (a, b);
  assert_int_equal (d->op[0].max, 199);
  snapshot_free (d);
  b->op[0].requests = 12;
  b->op[0].buckets[1].count = 7;
  b->op[0].max = 991;
  d = snapshot_since (a, b);
  assert_int_equal (d->op[0].max, 991);
  snapshot_free (d);
  snapshot_free (a);
  snapshot_free (b);
}

/* Set back at 5 s of uptime, and what has been counted since. */
static void
test_since_reset (void **state)
{
  struct snapshot *a = parse (good), *b = parse (good), *d;

  (void) state;
  /* A reset that follows another: by its time, although all numbers grow. */
  b->uptime_ns = a->uptime_ns + 1000;
  b->since_reset_ns = 900;
  b->op[0].requests = 13;
  d = snapshot_since (a, b);
  assert_int_equal (d->op[0].requests, 13);
  assert_int_equal (d->op[0].nr_buckets, 2);
  assert_int_equal (d->interval_ns, 900);
  snapshot_free (d);

  /* While the first was made: its counters are those from before. */
  a->since_reset_ns = 4000;
  b->since_reset_ns = 1000;
  d = snapshot_since (a, b);
  assert_int_equal (d->op[0].requests, 13);
  snapshot_free (d);
  a->since_reset_ns = 4;
  b->op[0].requests = 9;
  d = snapshot_since (a, b);
  assert_int_equal (d->op[0].requests, 9);
  assert_int_equal (d->interval_ns, 1000);
  snapshot_free (d);

  /* Another server. */
  b->uptime_ns = b->since_reset_ns = 700;
  b->op[0].requests = 13;
  d = snapshot_since (a, b);
  assert_int_equal (d->op[0].requests, 13);
  assert_int_equal (d->interval_ns, 700);
  snapshot_free (d);
  snapshot_free (a);
  snapshot_free (b);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_good),
      cmocka_unit_test (test_bad),
      cmocka_unit_test (test_odd),
      cmocka_unit_test (test_random_damage),
      cmocka_unit_test (test_percentiles),
      cmocka_unit_test (test_since),
      cmocka_unit_test (test_since_max),
      cmocka_unit_test (test_since_reset),
  };

  return RUN_TESTS (tests);
}
