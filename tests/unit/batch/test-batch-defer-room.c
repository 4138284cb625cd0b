/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Deferred replies: the room that there is for them.
 */

#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "deferring.h"

/*---------------------------------------------------------------------*/
/* Room for replies */

#define MIB ((size_t) 1 << 20)

static bool
defer_large (uint32_t cookie, uint64_t due_at, size_t data)
{
  return defer_data (cookie, due_at, 0, 0, -ESHUTDOWN, data);
}

/* One that has no room, and is due before the others, waits by itself. */
static void
test_no_room (void **state)
{
  const uint64_t now = clock_now ();
  uint32_t i;

  (void) state;
  ask (1, 6);
  assert_int_equal (next_request (), 1);
  assert_true (defer_large (1, now + 2 * HOUR, 284 * MIB));
  answer (1);
  for (i = 2; i <= 4; i++) {
    assert_int_equal (next_request (), i);
    assert_false (defer_large (i, now + HOUR, 4 * MIB));
    answer (i);
  }
  assert_int_equal (next_request (), 5);
  assert_true (defer_large (5, now + HOUR, 3 * MIB));
  answer (5);
  assert_int_equal (next_request (), 6);
  assert_false (defer_large (6, now, 288 * MIB));
  assert_int_equal (seen.dues, 0);
  batch_defer_cancel ();
  assert_int_equal (seen.nr_gone, 2);

  /* The room is there again. */
  assert_true (defer_large (6, now + HOUR, 287 * MIB));
  batch_end (server);
}

/* One that is due after others waits until these have been answered, each in
 * its time.
 */
static void
test_makes_room (void **state)
{
  const uint64_t soon = clock_now () + 8 * NSEC_PER_MSEC;

  (void) state;
  ask (1, 3);
  assert_int_equal (next_request (), 1);
  assert_true (defer_large (1, soon, 140 * MIB));
  answer (1);
  assert_int_equal (next_request (), 2);
  assert_true (defer_large (2, soon + HOUR, 140 * MIB));
  answer (2);
  assert_int_equal (next_request (), 3);
  assert_true (defer_large (3, soon + HOUR, 140 * MIB));
  answer (3);
  assert_int_equal (seen.dues, 1);
  assert_int_equal (seen.nr_gone, 0);
  assert_int_equal (seen.early, 0);
  expect_reply (1);
}

/* What is beyond the shares of all connections has a limit; each has its share,
 * whatever others have.
 */
static void
test_no_room_of_all (void **state)
{
  const uint64_t later = clock_now () + HOUR;
  int servers[6], peers[6], ends[2];
  unsigned i, deferred = 0;

  (void) state;
  for (i = 0; i < 6; i++) {
    assert_int_equal (socketpair (AF_UNIX, SOCK_STREAM, 0, ends), 0);
    servers[i] = ends[0];
    peers[i] = ends[1];
    batch_begin (ends[0]);
    write_all (ends[1], "x", 1);
    assert_int_equal (batch_read (ends[0], &(char){0}, 1), 1);
    deferred += defer_large (1, later, 95 * MIB);
    assert_int_equal (deferred, i < 4 ? i + 1 : 4);
    if (i == 4)
      assert_true (defer_large (1, later, 31 * MIB));
  }
  batch_end (servers[0]);
  assert_true (defer_large (1, later, 95 * MIB));
  for (i = 0; i < 6; i++) {
    batch_end (servers[i]);
    close (servers[i]);
    close (peers[i]);
  }
  assert_int_equal (seen.nr_gone, 6);
}

static int
count_due (void *request, uint64_t *moment, bool gone)
{
  unsigned **n = request;

  (void) moment;
  **n += !gone;
  return 0;
}

/* Connections that ask for nothing more do not keep all of the room, however
 * much they have asked for before.
 */
static void
test_room_is_left (void **state)
{
  static const char requests[1024], reply[16];
  int servers[16], peers[16], ends[2];
  unsigned i, j, answered = 0, *count = &answered;

  (void) state;
  batch_set_depth (1024);
  for (i = 0; i < 16; i++) {
    assert_int_equal (socketpair (AF_UNIX, SOCK_STREAM, 0, ends), 0);
    servers[i] = ends[0];
    peers[i] = ends[1];
    batch_begin (ends[0]);
    write_all (ends[1], requests, sizeof requests);
    for (j = 0; j < 1024; j++) {
      assert_int_equal (batch_read (ends[0], &(char){0}, 1), 1);
      assert_true (batch_defer (clock_now (), 0, count_due, &count,
                                sizeof count, 16 * 1024 - 64));
      assert_int_equal (batch_send (ends[0], reply, sizeof reply, 0),
                        sizeof reply);
    }
    write_all (ends[1], "x", 1);
    batch_before_wait ();
    assert_int_equal (batch_read (ends[0], &(char){0}, 1), 1);
    batch_before_wait ();
    assert_int_equal (answered, 1024 * (i + 1));
  }
  ask (1, 1);
  assert_int_equal (next_request (), 1);
  assert_true (defer_large (1, clock_now () + HOUR, 60 * MIB));
  for (i = 0; i < 16; i++) {
    batch_end (servers[i]);
    close (servers[i]);
    close (peers[i]);
  }
}

/* More than was said is kept as well, as long as there is room. */
static void
test_larger_than_said (void **state)
{
  struct stream s = {0};
  bool sent;

  (void) state;
  add_reply (&s, 1, 1, 10000);
  reads_first ();
  assert_true (defer_data (1, 0, 0, 0, 0, 10));
  assert_true (send_pieces (&s, 3000));
  calls.turn[AT_READ] = ends;
  assert_int_equal (next_request (), 0);
  expect (&s);
  free (s.bytes);

  connect_again (8);
  s = (struct stream){0};
  add_reply (&s, 1, 1, 9 * MIB);
  ask (1, 2);
  assert_int_equal (next_request (), 1);
  assert_true (defer_large (1, clock_now () + HOUR, 280 * MIB));
  answer (1);
  assert_int_equal (next_request (), 2);
  assert_true (defer_data (2, clock_now () + HOUR, 0, 0, 0, 10));
  sent = send_pieces (&s, MIB);
  assert_false (sent);
  assert_int_equal (errno, ENOMEM);
  free (s.bytes);
}

/* Calls of realloc. */
static unsigned reallocs;
void *__real_realloc (void *p, size_t n);
void *__wrap_realloc (void *p, size_t n);

void *
__wrap_realloc (void *p, size_t n)
{
  reallocs++;
  return __real_realloc (p, n);
}

/* A reply of many pieces is not copied once for each. */
static void
test_many_pieces (void **state)
{
  struct stream s = {0};

  (void) state;
  add_reply (&s, 1, 1, 100000);
  reads_first ();
  assert_true (defer_data (1, 0, 0, 0, 0, 10));
  reallocs = 0;
  assert_true (send_pieces (&s, 16));
  assert_in_range (reallocs, 1, 40);
  calls.turn[AT_READ] = ends;
  assert_int_equal (next_request (), 0);
  expect (&s);
  free (s.bytes);
}

int
main (void)
{
#define CASE(f) cmocka_unit_test_setup_teardown (f, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      CASE (test_no_room),          CASE (test_makes_room),
      CASE (test_no_room_of_all),   CASE (test_room_is_left),
      CASE (test_larger_than_said), CASE (test_many_pieces),
  };

  alarm (240);
  return RUN_TESTS (tests);
}
