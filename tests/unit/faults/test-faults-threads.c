/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Bad blocks and fault rules, asked by many threads while they change: nothing
 * is counted twice or not at all, who hangs goes on when the rule is deleted,
 * and a bad range fails one access where it heals.  Also run under
 * ThreadSanitizer.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "faults/faults.h"
#include "unit.h"

#define NR_THREADS 6
#define EACH 20000

static struct faults faults;
static struct badblocks bad;
static _Atomic uint64_t total;
static atomic_bool stop;

static void
start (pthread_t *ids, void *(*body) (void *) )
{
  int i;

  for (i = 0; i < NR_THREADS; i++)
    assert_int_equal (pthread_create (&ids[i], NULL, body, NULL), 0);
}

static void
join (pthread_t *ids)
{
  int i;

  for (i = 0; i < NR_THREADS; i++)
    assert_int_equal (pthread_join (ids[i], NULL), 0);
}

static void
add (const char *text)
{
  struct fault_rule *rule;
  struct message why;

  must (fault_rule_new (text, &rule, &why) == 0, why.text);
  must (faults_change (&faults, NULL, rule, 0, &why) == 0, why.text);
}

static void
del (const char *which)
{
  struct message why;

  must (faults_change (&faults, which, NULL, 0, &why) == 0, why.text);
}

static void
get_hits (void *opaque, const struct fault_info *info)
{
  *(uint64_t *) opaque += info->hits;
}

struct wanted {
  const char *name;
  bool found;
};

static void
look_for (void *opaque, const struct fault_info *info)
{
  struct wanted *wanted = opaque;

  wanted->found |= strcmp (info->name, wanted->name) == 0;
}

static bool
has (const char *name)
{
  struct wanted wanted = {.name = name};

  faults_each (&faults, look_for, &wanted);
  return wanted.found;
}

static uint64_t
count_hits (void)
{
  uint64_t r = 0;

  faults_each (&faults, get_hits, &r);
  return r;
}

/*---------------------------------------------------------------------*/

static void *
judge_body (void *arg)
{
  const struct io_info r = {.op = OP_WRITE, .count = 4096};
  struct fault_verdict v;
  int i;

  (void) arg;
  for (i = 0; i < EACH; i++) {
    faults_judge (&faults, &r, &v);
    total += v.error != 0;
    faults_done (&v);
  }
  return NULL;
}

static uint64_t
judge_all (const char *text)
{
  pthread_t ids[NR_THREADS];

  total = 0;
  assert_int_equal (faults_init (&faults, 1, 0), 0);
  add (text);
  start (ids, judge_body);
  join (ids);
  assert_int_equal (count_hits (), total);
  faults_destroy (&faults);
  return total;
}

static void
test_count (void **state)
{
  (void) state;
  assert_int_equal (judge_all ("error=EIO count=12345"), 12345);
}

static void
test_every (void **state)
{
  (void) state;
  assert_int_equal (judge_all ("error=EIO every=7"), NR_THREADS * EACH / 7);
  assert_int_equal (judge_all ("error=EIO every=7 after=1000"),
                    (NR_THREADS * EACH - 1000) / 7);
}

/* Whoever asks, the numbers are the same, so their sum is. */
static void
test_rate (void **state)
{
  uint64_t first;

  (void) state;
  first = judge_all ("error=EIO rate=3%");
  assert_true (first > 0);
  assert_int_equal (judge_all ("error=EIO rate=3%"), first);
}

/*---------------------------------------------------------------------*/

static int
short_nap (void *opaque, uint64_t nsec)
{
  const struct timespec ts = {.tv_nsec = 20000};

  (void) opaque;
  (void) nsec;
  nanosleep (&ts, NULL);
  return 0;
}

static bool
never (const void *opaque)
{
  (void) opaque;
  return false;
}

static void *
use_body (void *arg)
{
  const struct wait_ops nap = {.sleep_for = short_nap};
  struct io_info r = {.op = OP_WRITE, .count = 2048};
  uint8_t data[2048];
  struct fault_verdict v;

  (void) arg;
  memset (data, 0, sizeof data);
  while (!stop) {
    if (!faults_any (&faults)) {
      sched_yield ();
      continue;
    }
    r.op = r.op == OP_WRITE ? OP_READ : OP_WRITE;
    r.offset = (r.offset + 2048) % (1 << 20);
    faults_judge (&faults, &r, &v);
    if (v.hangs)
      must (faults_hang (&faults, &v, &nap, never, NULL) == 0,
            "no more hanging");
    if (v.corrupts)
      faults_corrupt (&v, &r, data, 512);
    faults_done (&v);
    total++;
  }
  return NULL;
}

/* Rules come and go while requests are asked, corrupted and hang. */
static void
test_add_and_del (void **state)
{
  static const char *const texts[] = {
      "hang name=x",          "corrupt=flip name=x",
      "error=EIO rate=50%",   "corrupt=zero range=4K+512K",
      "delay=uniform:0-10us", "hang rate=1% name=y",
      "corrupt=stale",        "disconnect every=3",
  };
  uint64_t random = new_seed ("add and del"), before;
  pthread_t ids[NR_THREADS];
  int i, j;

  (void) state;
  total = 0;
  stop = false;
  assert_int_equal (faults_init (&faults, 1, 0), 0);
  start (ids, use_body);
  for (i = 0; i < 500; i++) {
    /* All of it is met: some requests go by while these rules are there. */
    before = total + count_hits ();
    for (j = 0; j < 4; j++) {
      const char *text = texts[random_below (&random, 8)];

      if (strstr (text, "name=x") == NULL || !has ("x"))
        if (strstr (text, "name=y") == NULL || !has ("y"))
          add (text);
    }
    while (total + count_hits () == before)
      sched_yield ();
    if (random_below (&random, 2) == 0 && has ("x"))
      del ("x");
    if (random_below (&random, 2) == 0)
      faults_reset_counters (&faults);
    del ("all"); /* or all would hang */
  }
  stop = true;
  join (ids);
  assert_false (faults_any (&faults));
  faults_destroy (&faults);
}

/*---------------------------------------------------------------------*/

static void *
hang_body (void *arg)
{
  const struct io_info r = {.op = OP_WRITE, .count = 4096};
  const struct wait_ops nap = {.sleep_for = short_nap};
  struct fault_verdict v;

  (void) arg;
  faults_judge (&faults, &r, &v);
  must (v.hangs, "hangs");
  must (faults_hang (&faults, &v, &nap, never, NULL) == 0, "goes on");
  faults_done (&v);
  total++;
  return NULL;
}

static void
test_hang (void **state)
{
  pthread_t ids[NR_THREADS];
  int i;

  (void) state;
  for (i = 0; i < 50; i++) {
    total = 0;
    assert_int_equal (faults_init (&faults, 1, 0), 0);
    add ("hang");
    start (ids, hang_body);
    while (count_hits () < NR_THREADS)
      sched_yield ();
    assert_int_equal (total, 0);
    del ("1");
    join (ids);
    assert_int_equal (total, NR_THREADS);
    faults_destroy (&faults);
  }
}

/*---------------------------------------------------------------------*/

#define RANGES 2000

static void
change (const char *text)
{
  struct badblocks_change *c;
  struct message why;

  must (badblocks_parse (text, &c, &why) == 0, why.text);
  must (badblocks_reserve (&bad, c) == 0, "memory");
  badblocks_apply (&bad, c, &(struct badblocks_mode){.once = true});
  badblocks_change_free (c);
}

/* Reads of the whole device, a block after the other, over and over. */
static void *
heal_body (void *arg)
{
  struct badblocks_mode mode;
  uint64_t offset = 0, byte;

  (void) arg;
  while (!stop || badblocks_any (&bad)) {
    total += badblocks_check (&bad, offset, 4096, false, &mode, &byte) == -EIO;
    offset = (offset + 4096) % (RANGES * 4096);
  }
  return NULL;
}

static void *
check_body (void *arg)
{
  struct badblocks_mode mode;
  uint64_t offset = 0, byte;

  (void) arg;
  while (!stop) {
    if (badblocks_check (&bad, offset, 8192, false, &mode, &byte) == -EIO) {
      must (byte >= offset && byte < offset + 8192, "it is in the request");
      total++;
    }
    offset = (offset + 4096) % (RANGES * 4096);
  }
  return NULL;
}

/* Each range that is marked fails once, whoever meets it. */
static void
test_heal_once (void **state)
{
  pthread_t ids[NR_THREADS], checking[NR_THREADS];
  char text[64];
  int i;

  (void) state;
  total = 0;
  stop = false;
  assert_int_equal (badblocks_init (&bad), 0);
  start (ids, heal_body);
  start (checking, check_body);
  for (i = 0; i < RANGES; i++) {
    snprintf (text, sizeof text, "+%d-%d", i * 8 + 1, i * 8 + 3);
    change (text);
  }
  stop = true;
  join (ids);
  join (checking);
  assert_int_equal (total, RANGES);
  badblocks_destroy (&bad);
}

static atomic_int nr_mending;

/* Make each second block good, half of it after the other, with blocks on both
 * sides that stay bad: so the list is made anew.
 */
static void *
mend_body (void *arg)
{
  const uint64_t first = (uint64_t) (nr_mending++) * 2;
  uint64_t i, at;

  (void) arg;
  for (i = first; i < RANGES; i += 2 * (uint64_t) NR_THREADS) {
    at = (i + 1) * 4096;
    must (badblocks_clear (&bad, at, 2048) == 0, "memory");
    must (badblocks_clear (&bad, at + 2048, 2048) == 0, "memory");
  }
  return NULL;
}

/* Nothing is lost where lists are made at the same time. */
static void
test_mend_and_change (void **state)
{
  struct badblocks_mode mode;
  pthread_t ids[NR_THREADS];
  uint64_t i, byte;
  char text[64];

  (void) state;
  nr_mending = 0;
  assert_int_equal (badblocks_init (&bad), 0);
  snprintf (text, sizeof text, "+0-%d", 8 * RANGES);
  change (text);
  start (ids, mend_body);
  for (i = 1; i <= 200; i++) {
    snprintf (text, sizeof text, "+%d-%d", (int) (8 * (RANGES + 2 * i)),
              (int) (8 * (RANGES + 2 * i)));
    change (text);
  }
  join (ids);
  for (i = 0; i <= 200; i++)
    assert_int_equal (badblocks_check (&bad, 4096 * (RANGES + 2 * i), 4096,
                                       false, &mode, &byte),
                      -EIO);
  for (i = 0; i < RANGES; i++)
    assert_int_equal (
        badblocks_check (&bad, 4096 * i, 4096, true, &mode, &byte),
        i % 2 == 0 ? -EIO : 0);
  badblocks_destroy (&bad);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_count),
      cmocka_unit_test (test_every),
      cmocka_unit_test (test_rate),
      cmocka_unit_test (test_add_and_del),
      cmocka_unit_test (test_hang),
      cmocka_unit_test (test_heal_once),
      cmocka_unit_test (test_mend_and_change),
  };

  return RUN_TESTS (tests);
}
