/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Requests that are set aside (plugin/batch/batch-aside.c): when they are tried
 * again, by whom they may be hastened, and how they end.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "deferring.h"

/* The device's request.  Its retries are these, in order. */
enum { DONE, AGAIN, LATER };

struct aside {
  uint32_t cookie;
  unsigned retries; /* two bits for each, the first in the lowest */
  int verdict;
  uint32_t n; /* bytes of payload */
};

/* What the device has: where the copy of each request is, and how often
 * it was retried.
 */
static struct {
  struct aside *copy;
  unsigned retries;
} asides[64];

static uint8_t payload[1 << 20];
static atomic_uint retries_of_1; /* for another thread */
static bool has_reply_at_3;      /* the peer, when request 3 was retried */
static atomic_bool is_sent;

/* Where a retry is to hasten somebody else. */
static uint32_t hastens_next;

static bool
retry (void *arg, const void *bytes, uint64_t *moment)
{
  struct aside *a = arg;
  const unsigned what = a->retries & 3;
  uint32_t next = hastens_next;

  assert_ptr_equal (a, asides[a->cookie].copy);
  assert_memory_equal (bytes, payload + a->cookie, a->n);
  asides[a->cookie].retries++;
  if (a->cookie == 1)
    atomic_fetch_add (&retries_of_1, 1);
  if (a->cookie == 3)
    has_reply_at_3 = has_input (peer);
  a->retries >>= 2;
  hastens_next = 0;
  if (next != 0)
    batch_hasten (asides[next].copy);
  *moment = what == DONE ? 0 : clock_now () + HOUR;
  return what != AGAIN;
}

static unsigned ended;

static int
end (void *arg, uint64_t *moment, bool gone)
{
  const struct aside *a = arg;

  (void) moment;
  ended++;
  note (a->cookie, true, gone);
  return gone ? -ESHUTDOWN : a->verdict;
}

static void *
set_aside (uint32_t cookie, uint64_t until, unsigned retries, int verdict,
           uint32_t n)
{
  const struct aside a = {
      .cookie = cookie, .retries = retries, .verdict = verdict, .n = n};

  asides[cookie].retries = 0;
  asides[cookie].copy =
      batch_set_aside (until, 0, retry, end, &a, sizeof a, payload + cookie, n);
  return asides[cookie].copy;
}

/* A write has no data in its reply. */
static void
answer_write (uint32_t cookie)
{
  answer_with (cookie, 0, 0);
}

static void
expect_write (uint32_t cookie)
{
  struct stream s = {0};

  add_reply (&s, cookie, 0, 0);
  expect (&s);
  free (s.bytes);
}

/* Requests FIRST to LAST come at once and are set aside for an hour. */
static void
aside_for_long (uint32_t first, uint32_t last)
{
  ask (first, last);
  for (; first <= last; first++) {
    assert_int_equal (next_request (), first);
    assert_non_null (set_aside (first, clock_now () + HOUR, DONE, 0, 100));
    answer_write (first);
  }
}

static void *
hasten_one (void *copy)
{
  batch_hasten (copy);
  return NULL;
}

/* By another thread, that of another connection. */
static void
hasten_elsewhere (uint32_t cookie)
{
  pthread_t thread;

  assert_int_equal (
      pthread_create (&thread, NULL, hasten_one, asides[cookie].copy), 0);
  pthread_join (thread, NULL);
}

/* The request that comes next is what it waits for. */
static void
test_by_its_own_connection (void **state)
{
  (void) state;
  aside_for_long (1, 1);
  ask (2, 3);
  assert_int_equal (next_request (), 2);
  batch_hasten (asides[1].copy);
  assert_int_equal (asides[1].retries, 0);
  answer_write (2);
  assert_int_equal (next_request (), 3);
  assert_int_equal (asides[1].retries, 1);
  assert_int_equal (dues_of (1), 1);
  answer_write (3);
  calls.turn[AT_READ] = ends;
  assert_int_equal (next_request (), 0);
}

/* Each hastens the next, in whatever order they came. */
static void
test_chain (void **state)
{
  (void) state;
  aside_for_long (1, 3);
  ask (4, 5);
  assert_int_equal (next_request (), 4);
  batch_hasten (asides[2].copy);
  hastens_next = 3;
  answer_write (4);
  assert_int_equal (next_request (), 5);
  assert_int_equal (asides[1].retries, 0);
  assert_int_equal (asides[2].retries, 1);
  assert_int_equal (asides[3].retries, 1);
  assert_int_equal (seen.events[seen.nr - 3].cookie, 2);
  assert_int_equal (seen.events[seen.nr - 2].cookie, 3);
}

/* Replies do not wait until all of a chain of long ones has been done. */
static void
test_chain_of_long_ones (void **state)
{
  uint32_t i;

  (void) state;
  ask (1, 4);
  for (i = 1; i <= 3; i++) {
    assert_int_equal (next_request (), i);
    assert_non_null (set_aside (i, clock_now () + HOUR, DONE, 0, 100000));
    answer_write (i);
  }
  for (i = 1; i <= 3; i++)
    batch_hasten (asides[i].copy);
  has_reply_at_3 = false;
  assert_int_equal (next_request (), 4);
  assert_int_equal (asides[3].retries, 1);
  assert_true (has_reply_at_3);
}

static void
others_turn (void)
{
  hasten_elsewhere (1);
}

/* In a nap, and in a sleep, which its wait of some milliseconds is. */
static void
test_by_another_while_it_waits (void **state)
{
  static const uint64_t ahead[] = {HOUR, 8 * NSEC_PER_MSEC};
  unsigned i;

  (void) state;
  for (i = 0; i < 2; i++) {
    connect_again (8);
    ask (1, 1);
    assert_int_equal (next_request (), 1);
    assert_non_null (set_aside (1, clock_now () + ahead[i], DONE, 0, 100));
    answer_write (1);
    calls.turn[AT_NAP] = calls.turn[AT_SLEEP] = others_turn;
    calls.turn[AT_READ] = ends;
    assert_int_equal (next_request (), 0);
    assert_int_equal (asides[1].retries, 1);
    assert_int_equal (dues_of (1), 1);
    assert_int_equal (seen.nr_gone, 0);
    expect_write (1);
  }
}

/* While the thread waits for something else, as where there is no room for the
 * request that it serves: what is hastened goes on, and nothing is given up.
 */
static void
test_while_its_thread_waits (void **state)
{
  const uint64_t until = clock_now () + NSEC_PER_MSEC;

  (void) state;
  ask (1, 3);
  assert_int_equal (next_request (), 1);
  assert_non_null (set_aside (1, clock_now () + HOUR, DONE, 0, 100));
  answer_write (1);
  assert_int_equal (next_request (), 2);
  assert_non_null (set_aside (2, until, DONE, 0, 100));
  answer_write (2);
  assert_int_equal (next_request (), 3);
  while (clock_now () <= until)
    ;
  hasten_elsewhere (1);
  batch_before_wait ();
  assert_int_equal (asides[1].retries, 1);
  assert_int_equal (asides[2].retries, 0);
  expect_write (1);
}

/* While as many wait as may, no request is read. */
static void
test_by_another_when_none_is_read (void **state)
{
  (void) state;
  connect_again (2);
  aside_for_long (1, 2);
  ask (3, 3);
  calls.turn[AT_NAP] = others_turn;
  assert_int_equal (next_request (), 3);
  assert_int_equal (asides[1].retries, 1);
  assert_int_equal (asides[2].retries, 0);
  expect_write (1);
}

/* Just before the connection ends: it is tried, and answered. */
static void
test_before_the_end (void **state)
{
  (void) state;
  aside_for_long (1, 2);
  hasten_elsewhere (1);
  batch_end (server);
  assert_int_equal (asides[1].retries, 1);
  assert_int_equal (asides[2].retries, 0);
  assert_int_equal (dues_of (1), 1);
  assert_int_equal (dues_of (2), 1);
  assert_int_equal (seen.nr_gone, 1);
}

/* Before nbdkit has given the reply. */
static void
test_before_the_reply (void **state)
{
  (void) state;
  ask (1, 3);
  assert_int_equal (next_request (), 1);
  assert_non_null (set_aside (1, clock_now () + HOUR, DONE, 0, 100));
  batch_hasten (asides[1].copy);
  answer_write (1);
  assert_int_equal (next_request (), 2);
  assert_int_equal (asides[1].retries, 1);
  assert_non_null (set_aside (2, clock_now () + HOUR, DONE, 0, 100));
  hasten_elsewhere (2);
  hasten_elsewhere (2);
  answer_write (2);
  assert_int_equal (next_request (), 3);
  assert_int_equal (asides[2].retries, 1);
}

/* The first request is a write that is set aside, as set_aside has it. */
static void
set_first_aside (uint64_t until, int r, uint64_t nsec)
{
  ask (1, 1);
  assert_int_equal (next_request (), 1);
  assert_non_null (set_aside (1, until, DONE, r, nsec));
  answer_write (1);
}

static void
ends_after_one_retry (void)
{
  calls.turn[AT_READ] = ends;
  assert_int_equal (next_request (), 0);
  assert_int_equal (asides[1].retries, 1);
  assert_int_equal (dues_of (1), 1);
  assert_int_equal (seen.nr_gone, 0);
}

/* It is tried at the end of its time, too. */
static void
test_its_time (void **state)
{
  (void) state;
  set_first_aside (clock_now () + NSEC_PER_MSEC, -EIO, 0);
  ends_after_one_retry ();
}

/* Its time is up, but what it waits for has come: that is read first. */
static void
test_what_has_come (void **state)
{
  const uint64_t until = clock_now () + NSEC_PER_MSEC;

  (void) state;
  set_first_aside (until, 0, 100);
  ask (2, 4);
  while (clock_now () <= until)
    ;
  /* Whatever else is done meanwhile. */
  batch_before_wait ();
  assert_int_equal (next_request (), 2);
  answer_write (2);
  assert_int_equal (next_request (), 3);
  assert_int_equal (asides[1].retries, 0);
  answer_write (3);
  /* Now that the last is read, more may come. */
  assert_int_equal (next_request (), 4);
  assert_int_equal (asides[1].retries, 0);
  answer_write (4);
  ask (5, 9);
  assert_int_equal (next_request (), 5);
  assert_int_equal (asides[1].retries, 1);
  assert_int_equal (dues_of (1), 1);
}

/* The first request is set aside, and its time is up. */
static void
set_first_overdue (void)
{
  const uint64_t until = clock_now () + NSEC_PER_MSEC;

  set_first_aside (until, 0, 100);
  while (clock_now () <= until)
    ;
}

/* The same within a request, whose end the client still has. */
static void
test_what_has_come_in_part (void **state)
{
  struct stream s = {0};
  char buf[300];

  (void) state;
  set_first_overdue ();
  add_request (&s, 2, 300);
  write_all (peer, s.bytes, HEADER + 100);
  assert_int_equal (next_request (), 2);
  assert_int_equal (batch_read (server, buf, 300), 100);
  assert_int_equal (asides[1].retries, 0);
  write_all (peer, s.bytes + HEADER + 100, 200);
  assert_int_equal (batch_read (server, buf, 200), 200);
  free (s.bytes);
  assert_int_equal (asides[1].retries, 0);
  answer_write (2);
  calls.turn[AT_READ] = ends;
  assert_int_equal (next_request (), 0);
  assert_int_equal (asides[1].retries, 1);
}

/* The same where the header came in two pieces, and the rest of the payload is
 * as long as a header.
 */
static void
sends_rest (void)
{
  write_all (peer, payload, HEADER);
}

static void
test_rest_like_a_header (void **state)
{
  struct stream s = {0};
  char buf[300];

  (void) state;
  set_first_overdue ();
  add_request (&s, 2, 300);
  write_all (peer, s.bytes, 10);
  assert_int_equal (batch_read (server, buf, HEADER), 10);
  write_all (peer, s.bytes + 10, HEADER - 10 + 300 - HEADER);
  assert_int_equal (batch_read (server, buf, HEADER - 10), HEADER - 10);
  assert_int_equal (batch_read (server, buf, 300), 300 - HEADER);
  calls.turn[AT_NAP] = sends_rest;
  assert_int_equal (batch_read (server, buf, HEADER), HEADER);
  assert_int_equal (asides[1].retries, 0);
  free (s.bytes);
}

/* The kernel may count bytes that no read gets: nothing more has come then. */
static void
test_what_cannot_come (void **state)
{
  const uint64_t until = clock_now () + NSEC_PER_MSEC;

  (void) state;
  set_first_aside (until, 0, 100);
  /* A kernel without MSG_OOB for Unix sockets refuses it. */
  send (peer, "", 1, MSG_OOB);
  while (clock_now () <= until)
    ;
  ends_after_one_retry ();
}

/* Where as many wait as may, the first of them makes room, and only that. */
static void
test_what_cannot_be_read (void **state)
{
  const uint64_t until = clock_now () + NSEC_PER_MSEC;

  (void) state;
  connect_again (2);
  ask (1, 4);
  assert_int_equal (next_request (), 1);
  assert_non_null (set_aside (1, until, DONE, 0, 100));
  answer_write (1);
  assert_int_equal (next_request (), 2);
  assert_non_null (set_aside (2, until + 1, DONE, 0, 100));
  answer_write (2);
  while (clock_now () <= until + 1)
    ;
  assert_int_equal (next_request (), 3);
  assert_int_equal (asides[1].retries, 1);
  assert_int_equal (asides[2].retries, 0);
}

/* The client takes no replies: what is hastened is done all the same, and what
 * follows from it on other connections.
 */
static void *
hasten_then_read (void *arg)
{
  static char replies[1 << 16];

  (void) arg;
  batch_hasten (asides[1].copy);
  while (atomic_load (&retries_of_1) == 0)
    sched_yield ();
  while (!atomic_load (&is_sent))
    if (recv (peer, replies, sizeof replies, MSG_DONTWAIT) <= 0)
      sched_yield ();
  return NULL;
}

static void
test_blocked_in_a_send (void **state)
{
  static char data[1 << 16];
  struct stream s = {0};
  pthread_t thread;

  (void) state;
  atomic_store (&retries_of_1, 0);
  atomic_store (&is_sent, false);
  ask (1, 2);
  assert_int_equal (next_request (), 1);
  assert_non_null (set_aside (1, clock_now () + HOUR, DONE, 0, 100));
  answer_write (1);
  assert_int_equal (next_request (), 2);
  while (send (server, data, sizeof data, MSG_DONTWAIT) > 0)
    ;
  assert_int_equal (pthread_create (&thread, NULL, hasten_then_read, NULL), 0);
  add_reply (&s, 2, 1, 1 << 18);
  assert_true (send_pieces (&s, s.len));
  free (s.bytes);
  assert_int_equal (asides[1].retries, 1);
  assert_int_equal (seen.dues, 0);
  atomic_store (&is_sent, true);
  pthread_join (thread, NULL);
  calls.turn[AT_READ] = ends;
  assert_int_equal (next_request (), 0);
  assert_int_equal (dues_of (1), 1);
}

/* One that is tried in vain waits again; one whose time is not over after its
 * last retry is answered in its time.
 */
static void
test_again (void **state)
{
  uint32_t i;

  (void) state;
  ask (1, 5);
  assert_int_equal (next_request (), 1);
  assert_non_null (set_aside (1, clock_now () + HOUR,
                              AGAIN | AGAIN << 2 | LATER << 4, 0, 1 << 19));
  answer_write (1);
  for (i = 1; i <= 3; i++) {
    assert_int_equal (next_request (), 1 + i);
    assert_int_equal (asides[1].retries, i - 1);
    batch_hasten (asides[1].copy);
    batch_hasten (asides[1].copy);
    answer_write (1 + i);
  }
  assert_int_equal (next_request (), 5);
  assert_int_equal (asides[1].retries, 3);
  assert_int_equal (seen.dues, 0);
  batch_pass_through (server);
  assert_int_equal (asides[1].retries, 3);
  assert_int_equal (seen.nr_gone, 1);
}

/* What became of it is what its client is told. */
static void
test_errors (void **state)
{
  static const struct {
    int r;
    uint32_t number;
  } errors[] = {{-EIO, 5},     {-ENOSPC, 28},     {-EROFS, 1}, {-EPERM, 1},
                {-ENOMEM, 12}, {-ESHUTDOWN, 108}, {-EXDEV, 22}};
  unsigned char reply[26];
  unsigned i, chunks;

  (void) state;
  for (i = 0; i < sizeof errors / sizeof errors[0]; i++) {
    for (chunks = 0; chunks < 2; chunks++) {
      connect_again (8);
      ask (1, 1);
      assert_int_equal (next_request (), 1);
      assert_non_null (
          set_aside (1, clock_now () + HOUR, DONE, errors[i].r, 5000));
      batch_hasten (asides[1].copy);
      answer_with (1, chunks, 0);
      calls.turn[AT_READ] = ends;
      assert_int_equal (next_request (), 0);
      if (chunks == 0) {
        assert_int_equal (recv (peer, reply, 26, 0), 16);
        assert_int_equal (get32 (reply + 4), errors[i].number);
      }
      else {
        assert_int_equal (recv (peer, reply, 26, 0), 26);
        assert_int_equal (get32 (reply + 20), errors[i].number);
      }
    }
  }
}

/* The server stops, or the client goes: it is never retried. */
static void
test_over (void **state)
{
  (void) state;
  aside_for_long (1, 3);
  hasten_elsewhere (2);
  stop_server ();
  calls.turn[AT_NAP] = NULL;
  assert_int_equal (next_request (), 0);
  /* One was hastened in time. */
  assert_int_equal (asides[2].retries, 1);
  assert_int_equal (asides[1].retries + asides[3].retries, 0);
  assert_int_equal (seen.nr_gone, 2);
  assert_int_equal (seen.dues, 3);

  connect_again (8);
  aside_for_long (1, 2);
  hasten_elsewhere (1);
  batch_defer_cancel ();
  assert_int_equal (asides[1].retries + asides[2].retries, 0);
  assert_int_equal (seen.nr_gone, 2);

  /* Before the reply. */
  connect_again (8);
  ask (1, 1);
  assert_int_equal (next_request (), 1);
  assert_non_null (set_aside (1, clock_now () + HOUR, DONE, 0, 100));
  batch_hasten (asides[1].copy);
  batch_end (server);
  assert_int_equal (asides[1].retries, 0);
  assert_int_equal (seen.nr_gone, 1);
}

/* Where there is no room, or no place, the caller has to wait. */
static void
test_no_room (void **state)
{
  const size_t too_large = (288 << 20) + 1; /* none of it is looked at */
  const struct aside a = {.cookie = 1};

  (void) state;
  connect_again (1);
  ask (1, 2);
  assert_int_equal (next_request (), 1);
  assert_null (batch_set_aside (clock_now () + HOUR, 0, retry, end, &a,
                                sizeof a, payload, too_large));
  assert_non_null (set_aside (1, clock_now () + HOUR, DONE, 0, 100));
  assert_null (set_aside (2, clock_now () + HOUR, DONE, 0, 100));
}

/* The room of a payload is free when its last retry is over. */
static void
test_room_comes_back (void **state)
{
  static uint8_t large[20 << 20];
  struct aside a = {.cookie = 1, .retries = LATER};

  (void) state;
  ask (3, 3);
  assert_int_equal (next_request (), 3);
  assert_true (defer_data (3, clock_now () + HOUR, 0, 0, 0, 250 << 20));
  answer (3);
  ask (1, 2);
  assert_int_equal (next_request (), 1);
  asides[1].copy = batch_set_aside (clock_now () + HOUR, 0, retry, end, &a,
                                    sizeof a, large, sizeof large);
  assert_non_null (asides[1].copy);
  batch_hasten (asides[1].copy);
  answer_write (1);
  assert_int_equal (next_request (), 2);
  a.cookie = 2;
  asides[2].copy = batch_set_aside (clock_now () + HOUR, 0, retry, end, &a,
                                    sizeof a, large, sizeof large);
  assert_non_null (asides[2].copy);
  answer_write (2);
}

/*---------------------------------------------------------------------*/
/* Two threads hasten what a third sets aside. */

#define ROUNDS 500

static _Atomic (void *) to_hasten[2];
static atomic_bool is_over;

static void *
hasten_often (void *arg)
{
  _Atomic (void *) *mine = arg;
  void *copy;

  while (!atomic_load (&is_over)) {
    copy = atomic_load (mine);
    if (copy == NULL) {
      sched_yield ();
      continue;
    }
    batch_hasten (copy);
    atomic_store (mine, NULL);
  }
  return NULL;
}

/* The connection goes on with other requests until both are answered. */
static void
await_ends (unsigned n)
{
  static unsigned char replies[4096];

  do {
    seen.nr = 0;
    ask (4, 4);
    assert_int_equal (next_request (), 4);
    answer_write (4);
    while (recv (peer, replies, sizeof replies, MSG_DONTWAIT) > 0)
      ;
  } while (ended < n || atomic_load (&to_hasten[0]) != NULL ||
           atomic_load (&to_hasten[1]) != NULL);
}

static void
test_threads (void **state)
{
  pthread_t threads[2];
  unsigned i, k;

  (void) state;
  connect_again (2);
  ended = 0;
  atomic_store (&is_over, false);
  for (i = 0; i < 2; i++)
    assert_int_equal (
        pthread_create (&threads[i], NULL, hasten_often, &to_hasten[i]), 0);
  for (k = 1; k <= ROUNDS; k++) {
    ask (1, 3);
    for (i = 0; i < 2; i++) {
      assert_int_equal (next_request (), 1 + i);
      assert_non_null (set_aside (1 + i, clock_now () + HOUR, DONE, 0, 64));
      answer_write (1 + i);
      atomic_store (&to_hasten[i], asides[1 + i].copy);
    }
    /* It is not read before one of them has been answered, if they are still
     * set aside.
     */
    assert_int_equal (next_request (), 3);
    answer_write (3);
    await_ends (2 * k);
  }
  atomic_store (&is_over, true);
  for (i = 0; i < 2; i++)
    pthread_join (threads[i], NULL);
  assert_int_equal (ended, 2 * ROUNDS);
  assert_int_equal (seen.nr_gone, 0);
}

int
main (void)
{
#define CASE(f) cmocka_unit_test_setup_teardown (f, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      CASE (test_by_its_own_connection),
      CASE (test_chain),
      CASE (test_chain_of_long_ones),
      CASE (test_by_another_while_it_waits),
      CASE (test_by_another_when_none_is_read),
      CASE (test_while_its_thread_waits),
      CASE (test_before_the_end),
      CASE (test_before_the_reply),
      CASE (test_its_time),
      CASE (test_what_has_come),
      CASE (test_what_has_come_in_part),
      CASE (test_rest_like_a_header),
      CASE (test_what_cannot_be_read),
      CASE (test_what_cannot_come),
      CASE (test_blocked_in_a_send),
      CASE (test_again),
      CASE (test_errors),
      CASE (test_over),
      CASE (test_no_room),
      CASE (test_room_comes_back),
      CASE (test_threads),
  };

  alarm (240);
  return RUN_TESTS (tests);
}
