/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The lock that one thread owns: what it guards is never seen half changed, by
 * whichever way threads take it, and whoever waits gets it.
 */

#include <config.h>

#include <pthread.h>
#include <string.h>

#include "common/common.h"
#include "unit.h"

#define VISITORS 3
#define VISITS 2000

static struct owned_lock the_lock;
static uint64_t guarded[16];
static atomic_uint visitors_left;

static int
set_up (void **state)
{
  (void) state;
  owned_lock_init (&the_lock);
  memset (guarded, 0, sizeof guarded);
  return 0;
}

static int
tear_down (void **state)
{
  (void) state;
  assert_int_equal (the_lock.inside, 0);
  assert_false (the_lock.has_mutex);
  owned_lock_destroy (&the_lock);
  return 0;
}

/* Is anything half changed?  If not, change it once more. */
static void
change (void)
{
  const uint64_t n = guarded[0];
  unsigned i;

  for (i = 0; i < 16; i++) {
    must (guarded[i] == n, "all of it is changed, or nothing");
    guarded[i] = n + 1;
  }
}

static void *
visit_often (void *arg)
{
  unsigned i;

  for (i = 0; i < VISITS; i++) {
    owned_lock_visit (&the_lock);
    change ();
    owned_unlock (&the_lock);
  }
  visitors_left--;
  return arg;
}

/* Take it until all visitors have been there.  *arg counts. */
static void *
take_often (void *arg)
{
  uint64_t *times = arg;

  do {
    owned_lock (&the_lock);
    change ();
    owned_unlock (&the_lock);
    ++*times;
  } while (visitors_left > 0);
  return NULL;
}

static pthread_t
start (void *(*f) (void *), void *arg)
{
  pthread_t r;

  assert_int_equal (pthread_create (&r, NULL, f, arg), 0);
  return r;
}

/* OWNERS threads take it as one that owns it does, while others visit. */
static void
take_and_visit (unsigned owners)
{
  pthread_t owner[2], visitor[VISITORS];
  uint64_t times[2] = {0};
  unsigned i;

  visitors_left = VISITORS;
  for (i = 0; i < owners; i++)
    owner[i] = start (take_often, &times[i]);
  for (i = 0; i < VISITORS; i++)
    visitor[i] = start (visit_often, NULL);
  for (i = 0; i < VISITORS; i++)
    pthread_join (visitor[i], NULL);
  for (i = 0; i < owners; i++)
    pthread_join (owner[i], NULL);
  assert_int_equal (guarded[0], times[0] + times[1] + VISITORS * VISITS);
}

static void
test_one_owner (void **state)
{
  (void) state;
  take_and_visit (1);
  assert_false (the_lock.shared);
}

static void
test_two_owners (void **state)
{
  (void) state;
  take_and_visit (2);
}

static bool
is_mine (void)
{
  return the_lock.owner == (uintptr_t) pthread_self ();
}

/* Nobody else owns it: an owner takes no mutex, until somebody has visited it,
 * and not after that either.
 */
static void
test_owner (void **state)
{
  uint64_t times = 0;

  (void) state;
  owned_lock (&the_lock);
  owned_unlock (&the_lock);
  if (!is_mine ()) {
    assert_true (the_lock.shared);
    print_message ("# this kernel has no membarrier\n");
    skip ();
  }
  owned_lock (&the_lock);
  assert_false (the_lock.has_mutex);
  owned_unlock (&the_lock);

  visitors_left = 1;
  pthread_join (start (visit_often, NULL), NULL);
  owned_lock (&the_lock);
  assert_false (the_lock.has_mutex);
  owned_unlock (&the_lock);

  /* Its owner may visit it, too. */
  owned_lock_visit (&the_lock);
  assert_true (the_lock.has_mutex);
  owned_unlock (&the_lock);
  owned_lock (&the_lock);
  assert_false (the_lock.has_mutex);
  owned_unlock (&the_lock);

  /* Another thread takes it as an owner: it is shared from there on. */
  pthread_join (start (take_often, &times), NULL);
  assert_int_equal (times, 1);
  assert_true (the_lock.shared);
  assert_false (is_mine ());
  owned_lock (&the_lock);
  assert_true (the_lock.has_mutex);
  owned_unlock (&the_lock);
}

/* An owner that is inside is waited for, by a thread that sleeps. */
static void
test_waits_for_owner (void **state)
{
  pthread_t visitor;
  unsigned i;

  (void) state;
  for (i = 0; i < 2; i++) {
    owned_lock (&the_lock);
    owned_unlock (&the_lock);
  }
  owned_lock (&the_lock);
  visitors_left = 1;
  visitor = start (visit_often, NULL);
  while (is_mine () && !the_lock.wanted)
    ;
  change ();
  assert_int_equal (guarded[0], 1);
  owned_unlock (&the_lock);
  pthread_join (visitor, NULL);
  assert_int_equal (guarded[0], 1 + VISITS);
}

int
main (void)
{
#define CASE(f) cmocka_unit_test_setup_teardown (f, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      CASE (test_owner),
      CASE (test_one_owner),
      CASE (test_two_owners),
      CASE (test_waits_for_owner),
  };

  return RUN_TESTS (tests);
}
