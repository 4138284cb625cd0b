/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Deferred replies: what is over, and what ends a wait.
 */

#include <config.h>

#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "deferring.h"

/*---------------------------------------------------------------------*/
/* What is over */

/* Three wait, and the reply to a fourth is not whole. */
static void
three_and_a_part (void)
{
  struct stream s = {0};

  defer_for_long (1, 3);
  ask (4, 4);
  assert_int_equal (next_request (), 4);
  assert_true (defer (4, clock_now () + HOUR, 0));
  add_reply (&s, 4, 1, 100);
  assert_int_equal (batch_send (server, s.bytes, 20, MSG_MORE), 20);
  free (s.bytes);
}

static void
expect_four_over (void)
{
  uint32_t i;

  assert_int_equal (seen.dues, 4);
  assert_int_equal (seen.nr_gone, 4);
  for (i = 1; i <= 4; i++)
    assert_int_equal (dues_of (i), 1);
}

static void
test_cancel (void **state)
{
  (void) state;
  batch_defer_cancel (); /* there is nothing */
  three_and_a_part ();
  batch_defer_cancel ();
  expect_four_over ();
  batch_defer_cancel ();
  expect_four_over ();
  expect_nothing ();

  /* The connection is of use as before. */
  answer (4);
  expect_reply (4);
  defer_for_long (5, 6);
  batch_defer_cancel ();
  assert_int_equal (seen.nr_gone, 6);
  expect_nothing ();
}

static void
expect_end (void)
{
  char c;

  close (server);
  server = -1;
  assert_int_equal (recv (peer, &c, 1, 0), 0);
}

static void
test_end (void **state)
{
  struct stream wanted = {0};
  uint32_t i;

  (void) state;
  three_and_a_part ();
  batch_end (server);
  expect_four_over ();
  batch_end (server);
  batch_defer_cancel ();
  expect_four_over ();
  for (i = 1; i <= 3; i++)
    add_error (&wanted, i, 1);
  expect (&wanted);
  free (wanted.bytes);
  expect_end ();
}

/* What is due within some ms still has its time. */
static void
test_end_waits_for_short_ones (void **state)
{
  struct stream wanted = {0};

  (void) state;
  ask (1, 2);
  assert_int_equal (next_request (), 1);
  assert_true (defer (1, clock_now () + HOUR, 0));
  answer (1);
  assert_int_equal (next_request (), 2);
  assert_true (defer (2, clock_now () + 5 * NSEC_PER_MSEC, 0));
  answer (2);
  batch_end (server);
  assert_int_equal (seen.dues, 2);
  assert_int_equal (seen.nr_gone, 1);
  assert_int_equal (seen.early, 0);
  add_reply (&wanted, 2, 1, 100);
  add_error (&wanted, 1, 1);
  expect (&wanted);
  free (wanted.bytes);
  expect_end ();
}

/* The number is another connection's now, and nobody had told of the end. */
static void
take_number_over (void)
{
  int others[2];
  char c;

  assert_int_equal (socketpair (AF_UNIX, SOCK_STREAM, 0, others), 0);
  assert_int_equal (dup2 (others[0], server), server);
  close (others[0]);
  batch_begin (server);
  assert_int_equal (recv (peer, &c, 1, 0), 0);
  close (peer);
  peer = others[1];
}

/* A whole reply that is held goes before those that are waited for. */
static void
test_end_sends_held_first (void **state)
{
  static const uint32_t order[] = {2, 1};

  (void) state;
  do {
    connect_again (8);
    ask (1, 3);
    assert_int_equal (next_request (), 1);
    assert_true (defer (1, clock_now () + NAP_FROM / 2, 0));
    answer (1);
    assert_int_equal (next_request (), 2);
    answer (2);
  } while (seen.dues > 0); /* it was due before the end */
  expect_nothing ();
  batch_end (server);
  expect_replies (order, 2);
}

static void
test_number_again (void **state)
{
  (void) state;
  three_and_a_part ();
  take_number_over ();
  expect_four_over ();
  batch_defer_cancel ();
  expect_four_over ();
  ask (5, 5);
  assert_int_equal (next_request (), 5);
  answer (5);
  expect_reply (5);
}

static pthread_barrier_t barrier;

static void *
serve_another (void *arg)
{
  defer_for_long (5, 5);
  pthread_barrier_wait (&barrier); /* the first thread cancels */
  pthread_barrier_wait (&barrier);
  *(unsigned *) arg = dues_of (5);
  batch_defer_cancel ();
  return NULL;
}

static pthread_t other;
static unsigned dues_of_other;

static void
number_again (void)
{
  take_number_over ();
  expect_four_over ();
  assert_int_equal (
      pthread_create (&other, NULL, serve_another, &dues_of_other), 0);
  pthread_barrier_wait (&barrier);
}

/* Called once, before a thread takes a lock; or NULL. */
static void (*before_lock) (void);

int __real_pthread_mutex_lock (pthread_mutex_t *lock);
int __wrap_pthread_mutex_lock (pthread_mutex_t *lock);

int
__wrap_pthread_mutex_lock (pthread_mutex_t *lock)
{
  void (*const f) (void) = before_lock;

  if (f != NULL) {
    before_lock = NULL;
    f ();
  }
  return __real_pthread_mutex_lock (lock);
}

/* Before a thread cancels, or only while it waits for the lock. */
static void
test_cancel_after_number_again (void **state)
{
  unsigned i;

  (void) state;
  for (i = 0; i < 2; i++) {
    connect_again (8);
    dues_of_other = 99;
    three_and_a_part ();
    pthread_barrier_init (&barrier, NULL, 2);
    if (i == 0)
      number_again ();
    else
      before_lock = number_again;
    batch_defer_cancel ();
    pthread_barrier_wait (&barrier);
    pthread_join (other, NULL);
    pthread_barrier_destroy (&barrier);
    assert_int_equal (dues_of_other, 0);
    assert_int_equal (dues_of (5), 1);
    assert_int_equal (seen.nr_gone, 5);
    expect_nothing ();
  }
}

/*---------------------------------------------------------------------*/
/* What ends a wait */

static void
asks_second (void)
{
  expect_nothing ();
  ask (2, 2);
}

static void
asks_late (void)
{
  ask (2, 2);
}

/* The peer asks while the server waits in PLACE.  False: it came to no wait. */
static bool
is_heard (enum place place, uint64_t nsec, uint64_t spin)
{
  connect_again (8);
  ask (1, 1);
  assert_int_equal (next_request (), 1);
  assert_true (defer (1, clock_now () + nsec, spin));
  answer (1);
  calls.turn[place] = asks_second;
  calls.turn[AT_READ] = asks_late;
  assert_int_equal (next_request (), 2);
  if (calls.turn[AT_READ] == NULL)
    return false;
  assert_null (calls.turn[place]);
  assert_int_equal (seen.dues, 0);
  answer (2);
  expect_reply (2);
  batch_defer_cancel ();
  assert_int_equal (seen.nr_gone, 1);
  return true;
}

static void
test_request_ends_wait (void **state)
{
  (void) state;
  assert_true (is_heard (AT_NAP, HOUR, 0));
  assert_true (is_heard (AT_NAP, HOUR, SPIN_AUTO));
  while (!is_heard (AT_SLEEP, 8 * NSEC_PER_MSEC, 0))
    ;
  while (!is_heard (AT_SLEEP, 8 * NSEC_PER_MSEC, SPIN_AUTO))
    ;
  while (clock_cpus () > 1 && !is_heard (AT_LOOK, 8 * NSEC_PER_MSEC, LONG_SPIN))
    ;
}

/* A signal does not end it. */
static void
test_interrupted (void **state)
{
  (void) state;
  do {
    connect_again (8);
    ask (1, 1);
    assert_int_equal (next_request (), 1);
    assert_true (defer (1, clock_now () + 8 * NSEC_PER_MSEC, 0));
    answer (1);
    calls.interruptions = 1;
    calls.turn[AT_READ] = ends;
    assert_int_equal (next_request (), 0);
    assert_int_equal (seen.dues, 1);
    assert_int_equal (seen.early, 0);
    expect_reply (1);
  } while (calls.interruptions > 0);
}

static void
has_first_and_ends (void)
{
  assert_int_equal (seen.dues, 1);
  expect_reply (1);
  ends ();
}

/* Nor does it end, and nothing is read that is not there, if something seems to
 * be.
 */
static void
one_in_time (uint64_t spin, unsigned lies)
{
  do {
    connect_again (8);
    ask (1, 1);
    assert_int_equal (next_request (), 1);
    assert_true (defer (1, clock_now () + 8 * NSEC_PER_MSEC, spin));
    answer (1);
    calls.lies = lies;
    calls.turn[AT_READ] = has_first_and_ends;
    assert_int_equal (next_request (), 0);
    assert_null (calls.turn[AT_READ]);
    assert_int_equal (seen.early, 0);
  } while (calls.lies > 0);
}

static void
test_nothing_to_read (void **state)
{
  (void) state;
  one_in_time (0, 3);
  if (clock_cpus () > 1)
    one_in_time (LONG_SPIN, 3);
}

static void
has_three_errors (void)
{
  struct stream s = {0};
  uint32_t i;

  for (i = 1; i <= 3; i++)
    add_error (&s, i, 1);
  expect (&s);
  free (s.bytes);
}

/* The server stops while it listens, or has as many as it may. */
static void
test_shutdown (void **state)
{
  unsigned depth;
  char byte;

  (void) state;
  for (depth = 3; depth <= 8; depth += 5) {
    connect_again (depth);
    defer_for_long (1, 3);
    calls.turn[AT_NAP] = stop_server;
    assert_int_equal (next_request (), 0);
    has_three_errors ();
    assert_int_equal (seen.dues, 3);
    assert_int_equal (seen.nr_gone, 3);
    batch_end (server);
    assert_int_equal (seen.dues, 3);
    assert_int_equal (read (quit[0], &byte, 1), 1);
  }
}

static void
leaves (void)
{
  expect_nothing ();
  close (peer);
  peer = -1;
}

/* nbdkit_nanosleep looks for that, too. */
static void
leaves_and_stops (void)
{
  leaves ();
  stop_server ();
}

static void
test_peer_leaves (void **state)
{
  char byte;

  (void) state;
  defer_for_long (1, 3);
  calls.turn[AT_NAP] = leaves;
  assert_int_equal (next_request (), 0);
  assert_int_equal (seen.dues, 0);
  batch_end (server);
  assert_int_equal (seen.nr_gone, 3);

  connect_again (3);
  defer_for_long (1, 3);
  calls.turn[AT_NAP] = leaves_and_stops;
  assert_int_equal (next_request (), 0);
  assert_int_equal (seen.nr_gone, 3);
  batch_end (server);
  assert_int_equal (seen.dues, 3);
  assert_int_equal (read (quit[0], &byte, 1), 1);
}

/* Of those that are due to one who has left, the first finds that out. */
static void
test_peer_has_left (void **state)
{
  uint32_t i;

  (void) state;
  ask (1, 4);
  for (i = 1; i <= 4; i++) {
    assert_int_equal (next_request (), i);
    if (i < 4) {
      assert_true (defer (i, clock_now () + HOUR + i, 0));
      answer_with (i, 1, 100000);
    }
  }
  assert_true (defer (4, 0, 0));
  answer_with (4, 1, 100000);
  leaves ();
  assert_int_equal (batch_read (server, &(char[HEADER]){0}, HEADER), 0);
  assert_int_equal (seen.dues, 1);
  batch_end (server);
  assert_int_equal (seen.dues, 4);
  assert_int_equal (seen.nr_gone, 3);

  /* Known before there is anything to defer. */
  connect_again (8);
  ask (1, 2);
  assert_int_equal (next_request (), 1);
  answer (1); /* held */
  assert_int_equal (next_request (), 2);
  leaves ();
  batch_before_wait ();
  assert_false (defer (2, clock_now () + HOUR, 0));
}

int
main (void)
{
#define CASE(f) cmocka_unit_test_setup_teardown (f, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      CASE (test_cancel),
      CASE (test_end),
      CASE (test_end_waits_for_short_ones),
      CASE (test_end_sends_held_first),
      CASE (test_number_again),
      CASE (test_cancel_after_number_again),
      CASE (test_request_ends_wait),
      CASE (test_interrupted),
      CASE (test_nothing_to_read),
      CASE (test_shutdown),
      CASE (test_peer_leaves),
      CASE (test_peer_has_left),
  };

  alarm (240);
  return RUN_TESTS (tests);
}
