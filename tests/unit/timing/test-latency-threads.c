/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Latencies and waits of many threads at once: no request is served twice or
 * not at all, each random number goes to one of them, and all who spun have
 * stopped.  Also run under ThreadSanitizer.
 */

#include <config.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/common.h"
#include "timing/timing.h"
#include "unit.h"

#define NR_THREADS 6
#define EACH 20000

static struct latency_state latency;
static struct latency_settings settings;
static struct random random_numbers;
static struct waiter waiter;
static uint64_t results[NR_THREADS * EACH];

static void
run_threads (void *(*body) (void *) )
{
  pthread_t ids[NR_THREADS];
  int i;

  for (i = 0; i < NR_THREADS; i++)
    assert_int_equal (pthread_create (&ids[i], NULL, body, &results[i * EACH]),
                      0);
  for (i = 0; i < NR_THREADS; i++)
    assert_int_equal (pthread_join (ids[i], NULL), 0);
}

static int
compare (const void *a, const void *b)
{
  const uint64_t *p = a, *q = b;

  return (*p > *q) - (*p < *q);
}

static void *
completion_body (void *result)
{
  const struct latency_request r = {.op = OP_WRITE, .count = 1 << 20};
  struct latency_booking booking;
  uint64_t *moments = result;
  int i;

  for (i = 0; i < EACH; i++)
    moments[i] =
        latency_completion (&latency, &settings, &random_numbers, &r, &booking);
  return NULL;
}

/* All arrive at once: one is done every microsecond. */
static void
check_completions (void)
{
  size_t i;

  latency_settings_complete (&settings);
  assert_int_equal (latency_init (&latency, 0), 0);
  run_threads (completion_body);
  qsort (results, NR_THREADS * EACH, sizeof results[0], compare);
  for (i = 0; i < NR_THREADS * EACH; i++)
    assert_int_equal (results[i], (i + 1) * NSEC_PER_USEC);
  latency_destroy (&latency);
  latency_settings_unref (&settings);
  memset (&settings, 0, sizeof settings);
}

static void
test_lane (void **state)
{
  struct message why;

  (void) state;
  settings.lanes = 1;
  assert_int_equal (
      distribution_parse ("1us", OP_WRITE, &settings.durations[OP_WRITE], &why),
      0);
  check_completions ();
}

static void
test_limit (void **state)
{
  (void) state;
  settings.limits.operations_per_sec[THROTTLE_WRITES] = 1000000;
  check_completions ();
}

static void *
disk_body (void *result)
{
  struct latency_request r = {.op = OP_READ, .count = 4096};
  struct latency_booking booking;
  uint64_t *moments = result, moment = 1;
  int i;

  for (i = 0; i < EACH / 10; i++) {
    r.arrival = moment;
    r.offset = random_next (&random_numbers) % settings.size;
    moment =
        latency_completion (&latency, &settings, &random_numbers, &r, &booking);
    while (latency_asks (&booking))
      moment = latency_ask (&latency, &settings, &booking, moment);
    must (moment > r.arrival, "a read takes some time");
    moments[i] = moment;
  }
  return NULL;
}

/* Nobody waits for ever, and of no two reads the head is at the end at once. */
static void
test_disk (void **state)
{
  const int n = NR_THREADS * EACH / 10;
  struct message why;
  int i;

  (void) state;
  settings.size = settings.drive.size = UINT64_C (1) << 40;
  assert_int_equal (parts_parse (&disk_parts,
                                 "track:1ms,full:9ms,rpm:6000,queue:4",
                                 &settings.drive.disk, &why),
                    0);
  latency_settings_complete (&settings);
  assert_int_equal (latency_init (&latency, 0), 0);
  random_init (&random_numbers, 5, 6);
  run_threads (disk_body);
  assert_int_equal (latency.drive.disk.n, 0);
  assert_int_equal (latency.drive.disk.nr_waiting, 0);
  for (i = 1; i < NR_THREADS; i++)
    memmove (&results[i * (EACH / 10)], &results[i * EACH],
             EACH / 10 * sizeof results[0]);
  qsort (results, (size_t) n, sizeof results[0], compare);
  for (i = 1; i < n; i++)
    assert_true (results[i] > results[i - 1]);
  latency_destroy (&latency);
  memset (&settings, 0, sizeof settings);
}

static void *
draw_body (void *result)
{
  uint64_t *number = result;
  int i;

  for (i = 0; i < EACH; i++)
    number[i] = random_next (&random_numbers);
  return NULL;
}

/* Together they draw what one would have drawn. */
static void
test_draws (void **state)
{
  static uint64_t alone[NR_THREADS * EACH];
  size_t i;

  (void) state;
  random_init (&random_numbers, 3, 4);
  for (i = 0; i < NR_THREADS * EACH; i++)
    alone[i] = random_next (&random_numbers);
  random_init (&random_numbers, 3, 4);
  run_threads (draw_body);
  qsort (alone, NR_THREADS * EACH, sizeof alone[0], compare);
  qsort (results, NR_THREADS * EACH, sizeof results[0], compare);
  assert_memory_equal (alone, results, sizeof results);
}

static int
no_nap (void *opaque, uint64_t nsec)
{
  (void) opaque;
  (void) nsec;
  must (false, "nobody naps");
  return 0;
}

static void *
wait_body (void *result)
{
  const struct wait_ops nap = {.sleep_for = no_nap};
  uint64_t until, woke;
  int i;

  (void) result;
  for (i = 0; i < 200; i++) {
    until = clock_now () + (i % 4) * 20 * NSEC_PER_USEC;
    must (waiter_wait (&waiter, until, i % 3 ? SPIN_AUTO : 0, &nap, &woke) == 0,
          "a wait succeeds");
    must (woke + 250 * NSEC_PER_USEC >= until, "a wait is not too short");
  }
  return NULL;
}

static void
test_waits (void **state)
{
  (void) state;
  waiter_init (&waiter, 3);
  run_threads (wait_body);
  assert_int_equal (atomic_load (&waiter.spinners), 0);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_lane),  cmocka_unit_test (test_limit),
      cmocka_unit_test (test_disk),  cmocka_unit_test (test_draws),
      cmocka_unit_test (test_waits),
  };

  return RUN_TESTS (tests);
}
