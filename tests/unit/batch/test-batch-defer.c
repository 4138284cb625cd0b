/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Deferred replies (plugin/batch/batch-defer.c), between a server that does as
 * nbdkit and the plugin do and a peer.  Most cases have one thread: where the
 * server is about to wait, in one of the ways that it has, the peer has its
 * turn.
 *
 * Deadlines are an hour ahead, or past, where only the order counts.  Others
 * are some ms ahead; a case that comes too late for them, as under a sanitizer
 * or on a machine that is busy, begins again, with twice as much.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "deferring.h"
#include "device/device.h"

/* Past, however young the machine is: the clock counts from its start. */
#define LONG_AGO 1

/*---------------------------------------------------------------------*/
/* When replies are sent */

static void
has_first_asks_second (void)
{
  expect_reply (1);
  ask (2, 2);
}

static void
one_waits (uint64_t nsec, uint64_t spin)
{
  connect_again (8);
  ask (1, 1);
  assert_int_equal (next_request (), 1);
  assert_true (defer (1, clock_now () + nsec, spin));
  answer (1);
  expect_nothing ();
  assert_int_equal (seen.dues, 0);
  calls.turn[AT_READ] = has_first_asks_second;
  assert_int_equal (next_request (), 2);
  assert_int_equal (seen.dues, 1);
  assert_int_equal (seen.nr_gone, 0);
  assert_int_equal (seen.early, 0);
  answer (2);
  expect_reply (2);
}

static void
test_one (void **state)
{
  (void) state;
  one_waits (5 * NSEC_PER_MSEC, LONG_SPIN);
  one_waits (5 * NSEC_PER_MSEC, NSEC_PER_MSEC);
  one_waits (5 * NSEC_PER_MSEC, SPIN_AUTO);
  one_waits (5 * NSEC_PER_MSEC, 0);
}

/* What is far enough ahead is napped for first. */
static void
test_one_naps (void **state)
{
  uint64_t ahead = 10 * NSEC_PER_MSEC;

  (void) state;
  do
    one_waits (ahead *= 2, SPIN_AUTO);
  while (calls.waits[AT_NAP] == 0);
  do
    one_waits (ahead, 0);
  while (calls.waits[AT_NAP] == 0);
}

static void
shuffle (uint32_t *p, unsigned n, uint64_t *seed)
{
  unsigned i, other;
  uint32_t swapped;

  for (i = 0; i < n; i++)
    p[i] = i + 1;
  for (i = n; i > 1; i--) {
    other = random_below (seed, i);
    swapped = p[i - 1];
    p[i - 1] = p[other];
    p[other] = swapped;
  }
}

/* Requests 1 to N, one after the other, are due in this order. */
static void
defer_in_order (const uint32_t *order, unsigned n, uint64_t base, uint64_t step,
                uint64_t spin)
{
  unsigned i, rank;

  ask (1, n);
  for (i = 1; i <= n; i++) {
    assert_int_equal (next_request (), i);
    for (rank = 0; order[rank] != i; rank++)
      ;
    assert_true (defer_with (i, base + rank * step, spin, 0, 0));
    answer (i);
  }
}

/* Every order of a few, and some of many; all at once, as a socket is settled.
 */
static void
test_order (void **state)
{
  uint64_t seed = new_seed ("order");
  uint32_t order[40];
  unsigned i, n;

  (void) state;
  for (i = 0; i < 500; i++) {
    n = i < 400 ? 1 + i % 6 : 1 + random_below (&seed, 40);
    connect_again (n);
    shuffle (order, n, &seed);
    defer_in_order (order, n, clock_now () + HOUR, NSEC_PER_SEC, 0);
    expect_nothing ();
    batch_pass_through (server);
    assert_int_equal (seen.nr_gone, n);
    expect_replies (order, n);
  }
}

static uint32_t their_order[12];

static void
has_all_asks_another (void)
{
  expect_replies (their_order, 12);
  ask (13, 13);
}

/* One after the other, as time passes: more than are spun for, and fewer. */
static void
test_order_in_time (void **state)
{
  uint64_t seed = new_seed ("order in time"), base, spin;
  uint64_t ahead = 16 * NSEC_PER_MSEC;
  bool in_time;
  unsigned i;

  (void) state;
  for (i = 0; i < 4; i++) {
    spin = i % 2 != 0 ? SPIN_AUTO : 0;
    ahead /= 2;
    do {
      connect_again (12);
      shuffle (their_order, 12, &seed);
      base = clock_now () + (ahead *= 2);
      defer_in_order (their_order, 12, base, 300 * NSEC_PER_USEC, spin);
      in_time = clock_now () < base - LATENESS;
    } while (!in_time);
    calls.turn[AT_READ] = has_all_asks_another;
    assert_int_equal (next_request (), 13);
    assert_int_equal (seen.dues, 12);
    assert_int_equal (seen.nr_gone, 0);
  }
}

/*---------------------------------------------------------------------*/
/* Large replies, received by a thread */

static void *
receive_all (void *arg)
{
  struct stream *s = arg, request = {0};
  size_t done = 0;
  ssize_t r;

  while (done < s->len) {
    r = recv (peer, s->bytes + done, s->len - done, 0);
    if (r <= 0)
      break;
    done += r;
  }
  s->len = done;
  add_request (&request, 7, 0);
  write_all (peer, request.bytes, request.len);
  free (request.bytes);
  return NULL;
}

static void
test_large (void **state)
{
  static const size_t sizes[] = {1 << 20, 10, 16384, 1 << 20, 70000, 300};
  static const uint32_t order[] = {4, 2, 6, 1, 5, 3};
  struct stream wanted = {0}, got = {0}, replies[6] = {{0}};
  uint64_t base, ahead = 15 * NSEC_PER_MSEC;
  pthread_t thread;
  uint32_t i, rank;
  bool in_time;

  (void) state;
  for (i = 0; i < 6; i++)
    add_reply (&replies[i], i + 1, i % 3, sizes[i]);
  for (i = 0; i < 6; i++)
    add_reply (&wanted, order[i], (order[i] - 1) % 3, sizes[order[i] - 1]);
  do {
    connect_again (8);
    got.len = 0;
    grow (&got, wanted.len);
    assert_int_equal (pthread_create (&thread, NULL, receive_all, &got), 0);
    ask (1, 6);
    base = clock_now () + (ahead *= 2);
    for (i = 1; i <= 6; i++) {
      assert_int_equal (next_request (), i);
      for (rank = 0; order[rank] != i; rank++)
        ;
      assert_true (defer (i, base + rank * NSEC_PER_USEC, 0));
      assert_true (send_pieces (&replies[i - 1], 100000));
    }
    in_time = clock_now () < base - LATENESS;
    assert_int_equal (next_request (), 7);
    pthread_join (thread, NULL);
    assert_int_equal (seen.dues, 6);
    assert_int_equal (got.len, wanted.len);
  } while (!in_time);
  assert_memory_equal (got.bytes, wanted.bytes, wanted.len);
  for (i = 0; i < 6; i++)
    free (replies[i].bytes);
  free (wanted.bytes);
  free (got.bytes);
}

/*---------------------------------------------------------------------*/
/* Depth */

static void
finds_it_unread (void)
{
  int n;

  assert_int_equal (ioctl (server, FIONREAD, &n), 0);
  assert_int_equal (n, HEADER);
  expect_nothing ();
  stop_server ();
}

static void
asks_fourth (void)
{
  ask (4, 4);
  calls.turn[AT_NAP] = finds_it_unread;
}

/* With as many as there may be, another request is not even listened for. */
static void
test_full (void **state)
{
  (void) state;
  connect_again (3);
  defer_for_long (1, 3);
  calls.short_naps = true;
  calls.turn[AT_NAP] = asks_fourth;
  assert_int_equal (next_request (), 0);
  assert_int_equal (calls.waits[AT_NAP], 2);
  assert_int_equal (calls.waits[AT_LOOK] + calls.waits[AT_SLEEP], 0);
}

static bool
refuse_read (void *arg, void *buf, uint32_t count, uint64_t offset)
{
  (void) arg, (void) buf, (void) count, (void) offset;
  return false;
}

static bool
refuse_write (void *arg, const void *buf, uint32_t count, uint64_t offset)
{
  (void) arg, (void) buf, (void) count, (void) offset;
  return false;
}

/* The server answers a read in a way that the library knows, so that from here
 * on reads may be plain.
 */
static void
show_plain_reply (void)
{
  static const struct batch_device device = {.read = refuse_read,
                                             .write = refuse_write};
  char header[HEADER];

  batch_set_plain (true);
  ask (100, 100);
  assert_int_equal (batch_read (server, header, HEADER), HEADER);
  batch_offer (&device, NULL, false, 0, 0);
  answer_with (100, 0, 0);
  batch_set_plain (false);
}

/* Of many that are here, no more are taken, be it that they may be plain: with
 * an even depth.
 */
static void
test_depth (void **state)
{
  uint64_t ahead = 2 * NSEC_PER_MSEC;
  unsigned depth, most;
  uint32_t i;

  (void) state;
  for (depth = 1; depth <= 9; depth += depth % 2 != 0 ? 1 : 3) {
    ahead /= 2;
    do {
      connect_again (depth);
      if (depth % 2 == 0)
        show_plain_reply ();
      assert_int_equal (batch_depth (), depth);
      ask (1, 30);
      ahead *= 2;
      most = 0;
      for (i = 1; i <= 30; i++) {
        assert_int_equal (next_request (), i);
        most = seen.reads - seen.dues > most ? seen.reads - seen.dues : most;
        assert_true (defer (i, clock_now () + ahead, LONG_SPIN));
        answer (i);
      }
      calls.turn[AT_READ] = ends;
      assert_int_equal (next_request (), 0);
      assert_int_equal (seen.dues, 30);
      assert_int_equal (seen.nr_gone, 0);
      assert_int_equal (seen.early, 0);
      assert_true (most <= depth);
    } while (most < depth);
  }
}

/* So many are due at one moment.  Is it spun for, and the next request looked
 * for meanwhile?
 */
static bool
spins_for (unsigned n, uint64_t ahead, uint64_t spin)
{
  uint64_t due_at;
  unsigned looks;
  uint32_t i;

  do {
    connect_again (64);
    ask (1, n);
    ahead *= 2;
    due_at = clock_now () + ahead;
    for (i = 1; i <= n; i++) {
      assert_int_equal (next_request (), i);
      assert_true (defer (i, due_at, spin));
      answer (i);
    }
    looks = calls.waits[AT_LOOK];
    calls.turn[AT_READ] = ends;
    i = seen.dues;
    assert_int_equal (next_request (), 0);
    assert_int_equal (seen.dues, n);
  } while (i > 0); /* some were due before they were waited for */
  return calls.waits[AT_LOOK] > looks;
}

/* Where many wait nobody spins, unless that was asked for. */
static void
test_crowd (void **state)
{
  uint64_t ahead = NSEC_PER_MSEC;
  unsigned i;

  (void) state;
  for (i = 0; i < 50; i++) /* a sleep may well take the time of a spin */
    assert_false (spins_for (9, ahead, SPIN_AUTO));
  if (clock_cpus () == 1)
    return;
  while (!spins_for (9, ahead, LONG_SPIN))
    ahead *= 2; /* it was too late to wait */
  assert_int_equal (seen.early, 0);
}

/*---------------------------------------------------------------------*/
/* What due says */

/* Replies of all kinds, of which every second fails; for the 14th the client is
 * dropped, and nothing comes after that.
 */
static void
verdicts (bool gone)
{
  const uint32_t n = gone ? 15 : 14;
  struct stream wanted = {0};
  uint32_t i;
  char c;
  int verdict;

  connect_again (20);
  ask (1, 15);
  for (i = 1; i <= n; i++) {
    verdict = i == 14 ? DUE_NO_ANSWER : i % 2 == 1 ? -ESHUTDOWN : 0;
    assert_int_equal (next_request (), i);
    assert_true (defer_with (i, gone ? clock_now () + HOUR + i : LONG_AGO, 0,
                             gone ? 99 : verdict, gone ? verdict : 99));
    answer_with (i, i % 4, i % 2 * 5000);
    if (i < 14 && verdict == 0)
      add_reply (&wanted, i, i % 4, i % 2 * 5000);
    else if (i < 14)
      add_error (&wanted, i, i % 4);
  }
  if (gone)
    batch_pass_through (server);
  else
    assert_int_equal (next_request (), 0);
  expect (&wanted);
  batch_end (server);
  assert_int_equal (seen.dues, n);
  assert_int_equal (seen.nr_gone, gone ? n : 0);
  close (server);
  server = -1;
  assert_int_equal (recv (peer, &c, 1, 0), 0);
  free (wanted.bytes);
}

static void
test_verdicts (void **state)
{
  (void) state;
  verdicts (false);
}

static void
test_verdicts_when_over (void **state)
{
  (void) state;
  verdicts (true);
}

/* A reply that the library does not know cannot be made an error: it must not
 * be taken for success.
 */
static void
test_unknown_reply (void **state)
{
  static const size_t sizes[] = {15, 16, 32, 200};
  unsigned char *p;
  struct stream s;
  unsigned i;
  char c;

  (void) state;
  for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    connect_again (8);
    s = (struct stream){0};
    p = grow (&s, sizes[i]);
    put32 (p, sizes[i] == 15 ? 0x67446698 : 0x6e8a278c);
    ask (1, 2);
    assert_int_equal (next_request (), 1);
    assert_true (defer_with (1, 0, 0, -ESHUTDOWN, 99));
    assert_true (send_pieces (&s, 1000));
    assert_int_equal (next_request (), 0);
    expect_nothing ();
    assert_int_equal (batch_send (server, "x", 1, 0), -1);
    assert_int_equal (errno, EPROTO);
    batch_end (server);
    assert_int_equal (seen.dues, 1);
    close (server);
    server = -1;
    assert_int_equal (recv (peer, &c, 1, 0), 0);
    free (s.bytes);
  }
}

/* Each chunk of a reply by a send that says that nothing follows. */
static void
test_chunks_by_themselves (void **state)
{
  const size_t chunk = 20 + 8 + 100;
  struct stream s = {0}, error = {0};
  unsigned i, failed;

  (void) state;
  add_reply (&s, 1, 3, 100);
  add_error (&error, 1, 3);
  for (failed = 0; failed < 2; failed++) {
    connect_again (8);
    reads_first ();
    assert_true (
        defer_with (1, clock_now () + HOUR, 0, 99, failed ? -ESHUTDOWN : 0));
    for (i = 0; i < 3; i++) {
      assert_int_equal (batch_send (server, s.bytes + i * chunk, 20, MSG_MORE),
                        20);
      assert_int_equal (
          batch_send (server, s.bytes + i * chunk + 20, chunk - 20, 0),
          chunk - 20);
      expect_nothing ();
    }
    batch_pass_through (server);
    expect (failed ? &error : &s);
    assert_int_equal (seen.dues, 1);
  }
  free (s.bytes);
  free (error.bytes);
}

/*---------------------------------------------------------------------*/
/* Not deferred */

/* Nor kept back, nor told of. */
static void
expect_not_deferred (void)
{
  assert_false (defer (1, clock_now () + HOUR, 0));
  answer (1);
  expect_reply (1);
  batch_end (server);
  assert_int_equal (seen.dues, 0);
}

static void *
defer_in_thread (void *arg)
{
  *(bool *) arg = defer (1, clock_now () + HOUR, 0);
  return NULL;
}

static void
test_not_deferred (void **state)
{
  const char request[385] = {0};
  bool deferred = true;
  char half[14];
  pthread_t thread;

  (void) state;
  connect_again (0);
  reads_first ();
  expect_not_deferred ();

  connect_again (8);
  reads_first ();
  batch_set_serial (false);
  expect_not_deferred ();
  batch_set_serial (true);

  connect_again (8);
  reads_first ();
  batch_pass_through (server);
  expect_not_deferred ();

  /* By this thread nothing is served, or not any more. */
  connect_again (8);
  reads_first ();
  assert_int_equal (pthread_create (&thread, NULL, defer_in_thread, &deferred),
                    0);
  pthread_join (thread, NULL);
  assert_false (deferred);
  answer (1);
  expect_reply (1);
  expect_not_deferred ();

  connect_again (8);
  reads_first ();
  assert_false (batch_defer (clock_now () + HOUR, 0, due, request, 385, 0));
  answer (1);
  expect_reply (1);

  /* As many wait as may, and who reads in pieces was not kept from it. */
  connect_again (1);
  ask (1, 2);
  assert_int_equal (next_request (), 1);
  assert_true (defer (1, clock_now () + HOUR, 0));
  answer (1);
  assert_int_equal (batch_read (server, half, 14), 14);
  assert_int_equal (batch_read (server, half, 14), 14);
  assert_false (defer (2, clock_now () + HOUR, 0));
  answer (2);
  expect_reply (2);

  /* It was already. */
  connect_again (8);
  reads_first ();
  assert_true (defer (1, clock_now () + HOUR, 0));
  assert_false (defer (2, clock_now () + HOUR, 0));
  answer (1);
  expect_nothing ();
  batch_end (server);
  assert_int_equal (seen.dues, 1);
  assert_int_equal (dues_of (1), 1);
}

static int
due_for_bytes (void *request, uint64_t *moment, bool gone)
{
  const unsigned char *p = request;
  unsigned i;

  (void) moment;
  for (i = 0; i < MAX_REQUEST_COPY; i++) {
    if (p[i] != i % 256)
      return 99;
  }
  note (1, true, gone);
  return 0;
}

/* A request may have so many bytes, and is kept as it was. */
static void
test_request_is_copied (void **state)
{
  unsigned char request[MAX_REQUEST_COPY];
  unsigned i;

  (void) state;
  for (i = 0; i < MAX_REQUEST_COPY; i++)
    request[i] = (unsigned char) i;
  reads_first ();
  assert_true (
      batch_defer (0, 0, due_for_bytes, request, MAX_REQUEST_COPY, 100));
  memset (request, 0, MAX_REQUEST_COPY);
  answer (1);
  calls.turn[AT_READ] = ends;
  assert_int_equal (next_request (), 0);
  expect_reply (1);
  assert_int_equal (dues_of (1), 1);
}

/* Said how often before it is answered. */
static unsigned asks;

static int
due_again (void *request, uint64_t *moment, bool gone)
{
  (void) request;
  note (1, true, gone);
  if (gone || asks-- == 0)
    return 0;
  *moment = clock_now () + NSEC_PER_MSEC;
  return DUE_AGAIN;
}

/* The device may say at the moment that it is another one. */
static void
test_due_again (void **state)
{
  (void) state;
  reads_first ();
  asks = 2;
  assert_true (batch_defer (0, 0, due_again, "", 1, 100));
  answer (1);
  calls.turn[AT_READ] = ends;
  assert_int_equal (next_request (), 0);
  expect_reply (1);
  assert_int_equal (dues_of (1), 3);
  assert_int_equal (seen.nr_gone, 0);
}

static bool
waits_unheard (void)
{
  struct stream s = {0};
  unsigned char buf[200];

  calls.naps_elsewhere = true;
  ask (1, 2);
  add_reply (&s, 1, 1, 100);
  /* The reply is sent though the next request is here already. */
  return next_request () != 1 || defer (1, clock_now () + HOUR, 0) ||
         !send_pieces (&s, 200) ||
         recv (peer, buf, sizeof buf, MSG_DONTWAIT) != (ssize_t) s.len ||
         next_request () != 2;
}

/* Where nbdkit sleeps by a function that does not come here, a request of the
 * client would not end a sleep, nor would a sleep send what is held.  What is
 * known of that is known for good, so it is asked for in another process, and
 * first of all.
 */
static void
test_naps_elsewhere (void **state)
{
  const pid_t pid = fork ();
  int status;

  (void) state;
  if (pid == 0)
    _exit (waits_unheard ());
  assert_int_equal (waitpid (pid, &status, 0), pid);
  assert_int_equal (status, 0);
}

int
main (void)
{
#define CASE(f) cmocka_unit_test_setup_teardown (f, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      CASE (test_naps_elsewhere),
      CASE (test_one),
      CASE (test_one_naps),
      CASE (test_order),
      CASE (test_order_in_time),
      CASE (test_large),
      CASE (test_full),
      CASE (test_depth),
      CASE (test_crowd),
      CASE (test_verdicts),
      CASE (test_verdicts_when_over),
      CASE (test_unknown_reply),
      CASE (test_chunks_by_themselves),
      CASE (test_not_deferred),
      CASE (test_request_is_copied),
      CASE (test_due_again),
  };

  alarm (240);
  return RUN_TESTS (tests);
}
