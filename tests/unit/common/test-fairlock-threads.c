/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The lock that keeps nobody out: what it guards is never seen half changed,
 * and who comes after whom is as fairlock.h says.  In the latter tests the main
 * thread has the lock until those that are to wait do so, which it sees in the
 * lock's word and queue.
 */

#include <config.h>

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "common/common.h"
#include "unit.h"

static struct fairlock the_lock;

static int
set_up (void **state)
{
  (void) state;
  fairlock_init (&the_lock);
  return 0;
}

/* Nobody has it, and nothing is left of who had. */
static int
tear_down (void **state)
{
  (void) state;
  assert_int_equal (atomic_load (&the_lock.state), 0);
  assert_null (the_lock.first);
  fairlock_destroy (&the_lock);
  return 0;
}

static pthread_t
start (void *(*f) (void *), void *arg)
{
  pthread_t r;

  assert_int_equal (pthread_create (&r, NULL, f, arg), 0);
  return r;
}

/*---------------------------------------------------------------------*/
/* Exclusion */

#define THREADS 8
#define TIMES 20000

static uint64_t guarded[16], writes;
static atomic_uint torn;

static void
look (void)
{
  unsigned i;

  fairlock_shared (&the_lock);
  for (i = 1; i < 16; i++) {
    if (guarded[i] != guarded[0])
      atomic_fetch_add (&torn, 1);
  }
  fairlock_release (&the_lock);
}

static void
write_once (void)
{
  unsigned i;

  fairlock_exclusive (&the_lock);
  for (i = 0; i < 16; i++)
    guarded[i]++;
  writes++;
  fairlock_release (&the_lock);
}

/* Reads and writes in turns, of a kind for each thread. */
static void *
use (void *arg)
{
  uint64_t random = 1 + (uintptr_t) arg;
  const unsigned of_eight = (uintptr_t) arg % 2 == 0 ? 7 : 1;
  uint64_t n = 0;
  unsigned i;

  for (i = 0; i < TIMES; i++) {
    if (random_below (&random, 8) < of_eight) {
      write_once ();
      n++;
    }
    else
      look ();
    if (i % 64 == 0)
      sched_yield ();
  }
  return (void *) (uintptr_t) n;
}

static void
test_exclusion (void **state)
{
  pthread_t threads[THREADS];
  uint64_t expected = 0;
  void *n;
  unsigned i;

  (void) state;
  for (i = 0; i < THREADS; i++)
    threads[i] = start (use, (void *) (uintptr_t) i);
  for (i = 0; i < THREADS; i++) {
    pthread_join (threads[i], &n);
    expected += (uintptr_t) n;
  }
  assert_int_equal (torn, 0);
  assert_int_equal (writes, expected);
  assert_int_equal (guarded[15], expected);
}

/*---------------------------------------------------------------------*/
/* Turns */

static char order[16]; /* who had it: R or W, guarded by this: */
static pthread_mutex_t order_lock = PTHREAD_MUTEX_INITIALIZER;

static void
note (char who)
{
  const char text[] = {who, '\0'};

  pthread_mutex_lock (&order_lock);
  strcat (order, text);
  pthread_mutex_unlock (&order_lock);
}

static void *
read_and_note (void *arg)
{
  (void) arg;
  fairlock_shared (&the_lock);
  note ('R');
  fairlock_release (&the_lock);
  return NULL;
}

static void *
write_and_note (void *arg)
{
  (void) arg;
  fairlock_exclusive (&the_lock);
  note ('W');
  fairlock_release (&the_lock);
  return NULL;
}

/* Start a thread for each letter, the next one when the last one waits. */
static void
line_up (const char *who, pthread_t *threads)
{
  unsigned i;

  order[0] = '\0';
  for (i = 0; who[i] != '\0'; i++) {
    threads[i] = start (who[i] == 'R' ? read_and_note : write_and_note, NULL);
    while (fairlock_queued (&the_lock) != i + 1)
      sched_yield ();
  }
}

static void
join_all (const char *who, pthread_t *threads)
{
  unsigned i;

  for (i = 0; who[i] != '\0'; i++)
    pthread_join (threads[i], NULL);
  assert_int_equal (strlen (order), strlen (who));
}

/* Readers come next, all of them, however many writers were there before. */
static void
test_readers_after_writer (void **state)
{
  static const char who[] = "WWWRWRW";
  pthread_t threads[sizeof who];

  (void) state;
  fairlock_exclusive (&the_lock);
  line_up (who, threads);
  fairlock_release (&the_lock);
  join_all (who, threads);
  assert_string_equal (order, "RRWWWWW");
}

/* A writer comes next, however many readers came after it. */
static void
test_writer_after_readers (void **state)
{
  static const char who[] = "WRRRR";
  pthread_t threads[sizeof who];

  (void) state;
  fairlock_shared (&the_lock);
  fairlock_shared (&the_lock);
  line_up (who, threads);
  fairlock_release (&the_lock);
  fairlock_release (&the_lock);
  join_all (who, threads);
  assert_string_equal (order, "WRRRR");
}

/* One who lets go and takes it again keeps no writer out that has woken. */
static void
test_writer_after_greedy_writer (void **state)
{
  pthread_t thread;
  unsigned i;

  (void) state;
  for (i = 0; i < 100; i++) {
    fairlock_exclusive (&the_lock);
    line_up ("W", &thread);
    fairlock_release (&the_lock);
    fairlock_exclusive (&the_lock);
    /* It got it between the two, or finds it taken now. */
    while ((atomic_load (&the_lock.state) & FAIRLOCK_FAIR) == 0 &&
           fairlock_queued (&the_lock) != 0)
      sched_yield ();
    fairlock_release (&the_lock);
    fairlock_exclusive (&the_lock);
    pthread_mutex_lock (&order_lock);
    assert_string_equal (order, "W");
    pthread_mutex_unlock (&order_lock);
    fairlock_release (&the_lock);
    join_all ("W", &thread);
  }
}

/* Nor does one with readers between. */
static void
test_insisting_writer_after_readers (void **state)
{
  pthread_t threads[2];

  (void) state;
  fairlock_exclusive (&the_lock);
  line_up ("W", threads);
  fairlock_release (&the_lock);
  fairlock_exclusive (&the_lock);
  while ((atomic_load (&the_lock.state) & FAIRLOCK_FAIR) == 0 &&
         fairlock_queued (&the_lock) != 0)
    sched_yield ();
  if (fairlock_queued (&the_lock) != 0) {
    threads[1] = start (read_and_note, NULL);
    while (fairlock_queued (&the_lock) != 2)
      sched_yield ();
    fairlock_release (&the_lock);
    fairlock_exclusive (&the_lock);
    pthread_mutex_lock (&order_lock);
    assert_string_equal (order, "RW");
    pthread_mutex_unlock (&order_lock);
    fairlock_release (&the_lock);
    join_all ("RW", threads);
  }
  else {
    fairlock_release (&the_lock);
    join_all ("W", threads);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown (test_exclusion, set_up, tear_down),
      cmocka_unit_test_setup_teardown (test_readers_after_writer, set_up,
                                       tear_down),
      cmocka_unit_test_setup_teardown (test_writer_after_readers, set_up,
                                       tear_down),
      cmocka_unit_test_setup_teardown (test_writer_after_greedy_writer, set_up,
                                       tear_down),
      cmocka_unit_test_setup_teardown (test_insisting_writer_after_readers,
                                       set_up, tear_down),
  };

  return RUN_TESTS (tests);
}
