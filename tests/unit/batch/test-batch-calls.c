/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Batched socket I/O: what else is asked of it (when a request came, what of a
 * buffer is still zero), calls of other kinds, and clients that go away or
 * stall.
 */

#include <config.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nbdkit.h"

/*---------------------------------------------------------------------*/
/* When a request came */

static void
test_arrival (void **state)
{
  uint64_t before, after, first;
  int ends[2];
  char buf[3];

  (void) state;
  connect_unix (ends);
  write_all (ends[1], "0123456", 7);
  before = clock_now ();
  assert_int_equal (batch_read (ends[0], buf, 3), 3);
  after = clock_now ();
  first = batch_arrival ();
  assert_in_range (first, before, after);

  /* What is here since then. */
  assert_int_equal (batch_read (ends[0], buf, 3), 3);
  assert_int_equal (batch_arrival (), first);

  /* The rest of a request came later. */
  assert_int_equal (batch_read (ends[0], buf, 3), 1);
  write_all (ends[1], "78", 2);
  assert_int_equal (batch_read (ends[0], buf, 2), 2);
  assert_in_range (batch_arrival (), after, clock_now ());
  end_both (ends);
}

static void
test_arrival_not_known (void **state)
{
  int ends[2], second[2];
  char buf[3];

  (void) state;
  connect_unix (ends);
  write_all (ends[1], "0123456789abcdefgh", 18);
  assert_int_equal (batch_read (ends[0], buf, 1), 1);
  assert_int_not_equal (batch_arrival (), 0);
  assert_int_equal (batch_arrival (), 0); /* a second request for one */

  assert_int_equal (batch_read (ends[0], buf, 1), 1);
  batch_before_wait ();
  assert_int_equal (batch_arrival (), 0);

  /* Another descriptor. */
  assert_int_equal (socketpair (AF_UNIX, SOCK_STREAM, 0, second), 0);
  write_all (second[1], "01", 2);
  assert_int_equal (batch_read (ends[0], buf, 1), 1);
  assert_int_equal (batch_read (second[0], buf, 1), 1);
  assert_int_equal (batch_arrival (), 0);
  end_both (second);

  /* What TLS has deciphered may be a part of it. */
  assert_int_equal (batch_read (ends[0], buf, 1), 1);
  assert_int_equal (batch_recvfrom (ends[0], buf, 1, 0, NULL, NULL), 1);
  assert_int_equal (batch_arrival (), 0);
  end_both (ends);
}

/* Requests whose locks are kept arrive together, and end before the thread
 * waits, or is told that its connection is about to be closed.
 */
static void
add_one (void *n)
{
  ++*(unsigned *) n;
}

static void
test_end_together (void **state)
{
  struct stream s = {0};
  unsigned ended = 0, i;
  char header[HEADER];
  uint64_t arrival;
  int ends[2];

  (void) state;
  for (i = 0; i < 5; i++)
    add_request (&s, i, CMD_READ, 512);
  connect_unix (ends);
  assert_false (batch_before_reply (add_one, &ended)); /* none was read */
  write_all (ends[1], s.bytes, s.len);
  assert_int_equal (batch_read (ends[0], header, HEADER), HEADER);
  arrival = batch_arrival ();
  assert_int_not_equal (arrival, 0);
  for (i = 1; i < 4; i++) {
    assert_true (batch_before_reply (add_one, &ended));
    if (i == 3)
      batch_before_wait ();
    assert_int_equal (batch_read (ends[0], header, HEADER), HEADER);
    if (i < 3)
      assert_int_equal (batch_arrival (), arrival);
    assert_int_equal (ended, i == 3);
  }
  assert_true (batch_before_reply (add_one, &ended));
  batch_defer_cancel ();
  assert_int_equal (ended, 2);
  end_both (ends);
  assert_int_equal (ended, 2);
  free (s.bytes);
}

/*---------------------------------------------------------------------*/
/* What of a buffer is still zero */

static char zeroes[64];

/* The peer sends N bytes, and the server reads them at once. */
static void
pass (const int ends[2], char *to, size_t n)
{
  static const char bytes[64];

  write_all (ends[1], bytes, n);
  assert_int_equal (batch_read (ends[0], to, n), n);
}

static void
test_still_zero (void **state)
{
  char header[HEADER];
  int ends[2];

  (void) state;
  connect_unix (ends);
  pass (ends, header, HEADER);
  assert_false (batch_still_zero (zeroes, 32)); /* nothing is known of it */
  pass (ends, header, HEADER);
  assert_true (batch_still_zero (zeroes, 32));
  pass (ends, header, HEADER);
  assert_true (batch_still_zero (zeroes, 16));
  pass (ends, header, HEADER);
  assert_false (batch_still_zero (zeroes, 33)); /* more than before */
  pass (ends, header, HEADER);
  assert_true (batch_still_zero (zeroes, 33));
  pass (ends, header, HEADER);
  assert_false (batch_still_zero (zeroes + 1, 8)); /* another buffer */
  pass (ends, header, HEADER);
  assert_false (batch_still_zero (zeroes, 8)); /* of which alone is known now */
  end_both (ends);
}

/* Whatever may have come into the buffer, or gone around the library. */
static void
test_still_zero_no_more (void **state)
{
  static const size_t payloads[] = {1, HEADER - 1, HEADER, HEADER + 1, 64};
  char header[HEADER];
  int ends[2], plain[2];
  size_t i;

  (void) state;
  connect_unix (ends);
  for (i = 0; i < sizeof payloads / sizeof payloads[0]; i++) {
    pass (ends, header, HEADER);
    batch_still_zero (zeroes, 32);
    pass (ends, header, HEADER);
    assert_true (batch_still_zero (zeroes, 32));
    pass (ends, header, HEADER);
    pass (ends, zeroes, payloads[i]);
    pass (ends, header, HEADER);
    assert_false (batch_still_zero (zeroes, 32));
  }

  /* A request that asked for something else. */
  pass (ends, header, HEADER);
  pass (ends, header, HEADER);
  assert_false (batch_still_zero (zeroes, 32));

  /* Without a request. */
  assert_false (batch_still_zero (zeroes, 32));
  pass (ends, header, HEADER);
  assert_false (batch_still_zero (zeroes, 32));

  /* A descriptor that is not batched. */
  assert_int_equal (socketpair (AF_UNIX, SOCK_STREAM, 0, plain), 0);
  pass (ends, header, HEADER);
  assert_true (batch_still_zero (zeroes, 32));
  pass (plain, header, HEADER);
  assert_false (batch_still_zero (zeroes, 32));
  pass (ends, header, HEADER);
  assert_false (batch_still_zero (zeroes, 32));
  end_both (plain);

  /* Another call than read. */
  pass (ends, header, HEADER);
  assert_true (batch_still_zero (zeroes, 32));
  write_all (ends[1], "x", 1);
  assert_int_equal (batch_recvfrom (ends[0], zeroes, 1, 0, NULL, NULL), 1);
  pass (ends, header, HEADER);
  assert_false (batch_still_zero (zeroes, 32));
  end_both (ends);
}

static void *
asks_at_once (void *unused)
{
  (void) unused;
  assert_false (batch_still_zero (zeroes, 32));
  return NULL;
}

static void
test_still_zero_by_thread (void **state)
{
  char header[HEADER];
  pthread_t thread;
  int ends[2];

  (void) state;
  connect_unix (ends);
  pass (ends, header, HEADER);
  batch_still_zero (zeroes, 32);
  pass (ends, header, HEADER);
  assert_int_equal (pthread_create (&thread, NULL, asks_at_once, NULL), 0);
  pthread_join (thread, NULL);
  assert_true (batch_still_zero (zeroes, 32));
  end_both (ends);
}

/* What answers a read with zeroes is sent as such, wherever it is; but without
 * a request it is not known what it answers.
 */
static void
test_zeroes_are_sent (void **state)
{
  static const char none[1500];
  char header[HEADER], buf[1500], got[1500];
  int ends[2];

  (void) state;
  connect_unix (ends);
  memset (buf, 'x', sizeof buf);
  pass (ends, header, HEADER);
  assert_false (batch_still_zero (buf, sizeof buf));
  assert_int_equal (batch_send (ends[0], buf, sizeof buf, 0), sizeof buf);
  batch_before_wait ();
  assert_int_equal (recv (ends[1], got, sizeof got, MSG_WAITALL), sizeof got);
  assert_memory_equal (got, none, sizeof got);

  batch_still_zero (buf, sizeof buf);
  assert_int_equal (batch_send (ends[0], buf, sizeof buf, 0), sizeof buf);
  batch_before_wait ();
  assert_int_equal (recv (ends[1], got, sizeof got, MSG_WAITALL), sizeof got);
  assert_memory_equal (got, buf, sizeof got);
  end_both (ends);
}

/*---------------------------------------------------------------------*/
/* Calls of other kinds */

/* POLLRDHUP is how nbdkit finds out that its client has gone. */
static void
test_poll_sees_hang_up (void **state)
{
  struct stream s = two_reads ();
  struct pollfd p;
  int ends[2];

  (void) state;
  hold_one (ends, &s);
  shutdown (ends[1], SHUT_WR);
  p = (struct pollfd){.fd = ends[0], .events = POLLRDHUP};
  assert_int_equal (batch_ppoll (&p, 1, NULL, NULL), 1);
  assert_int_equal (p.revents, POLLRDHUP);
  end_both (ends);
  free (s.bytes);
}

static void
test_left_alone (void **state)
{
  char buf[8];
  int ends[2];

  (void) state;
  /* A pipe, a file number that nobody has, and datagrams. */
  assert_int_equal (pipe (ends), 0);
  batch_begin (ends[0]);
  batch_begin (-1);
  batch_begin (100000000);
  assert_int_equal (write (ends[1], "abc", 3), 3);
  assert_int_equal (batch_read (ends[0], buf, 1), 1);
  assert_true (has_input (ends[0]));
  end_both (ends);

  assert_int_equal (socketpair (AF_UNIX, SOCK_DGRAM, 0, ends), 0);
  batch_begin (ends[0]);
  assert_int_equal (batch_send (ends[0], "a", 1, MSG_MORE), 1);
  assert_int_equal (batch_send (ends[0], "b", 1, 0), 1);
  assert_int_equal (recv (ends[1], buf, sizeof buf, 0), 1);
  assert_int_equal (recv (ends[1], buf, sizeof buf, 0), 1);
  assert_int_equal (calls.readvs, 0);
  end_both (ends);
}

/* A number that is used again remembers nothing, even if its last close was
 * not seen.
 */
static void
test_number_again (void **state)
{
  struct stream s = two_reads ();
  int ends[2], fd, i;
  char buf[8];

  (void) state;
  for (i = 0; i < 2; i++) {
    hold_one (ends, &s);
    fd = ends[0];
    if (i == 0)
      batch_end (fd);
    close (fd);
    close (ends[1]);

    connect_unix (ends);
    assert_int_equal (ends[0], fd);
    write_all (ends[1], "xy", 2);
    assert_int_equal (batch_read (fd, buf, sizeof buf), 2);
    assert_memory_equal (buf, "xy", 2);
    assert_int_equal (batch_send (fd, "z", 1, 0), 1);
    expect (ends[1], "z", 1);
    end_both (ends);
  }
  free (s.bytes);
}

/* A child's close sends nothing of its parent's. */
static void
test_fork (void **state)
{
  struct stream s = two_reads (), due = replies_to (&s, HEADER);
  int ends[2], status;
  pid_t pid;
  char c;

  (void) state;
  hold_one (ends, &s);
  pid = fork ();
  if (pid == 0) {
    batch_after_fork ();
    batch_before_wait ();
    batch_end (ends[0]);
    close (ends[0]);
    _exit (0);
  }
  assert_int_equal (waitpid (pid, &status, 0), pid);
  assert_int_equal (status, 0);
  assert_int_equal (recv (ends[1], &c, 1, MSG_DONTWAIT), -1);
  end_with (ends, &due);
  free (s.bytes);
  free (due.bytes);
}

/*---------------------------------------------------------------------*/
/* Clients that go away, and clients that stall */

/* Who has closed gets no replies, and the server finds out by its next call. */
static void
test_closed_by_client (void **state)
{
  struct stream s = two_reads ();
  char c;
  int ends[2];

  (void) state;
  hold_one (ends, &s);
  close (ends[1]);
  assert_int_equal (serve (ends[0]), -1);
  assert_int_equal (errno, EPIPE);
  assert_int_equal (batch_send (ends[0], "x", 1, 0), -1);
  assert_int_equal (errno, EPIPE);
  assert_int_equal (batch_read (ends[0], &c, 1), -1);
  assert_int_equal (errno, EPIPE);
  end (ends[0]);

  /* So it does while more requests are here. */
  add_request (&s, 1, CMD_READ, 40000);
  add_request (&s, 1, CMD_READ, 512);
  hold_one (ends, &s);
  close (ends[1]);
  assert_int_equal (serve (ends[0]), -1);
  assert_int_equal (batch_send (ends[0], "x", 1, MSG_MORE), -1);
  assert_int_equal (errno, EPIPE);
  end (ends[0]);

  /* With all read, and nothing to send, it is the end, as ever. */
  connect_unix (ends);
  close (ends[1]);
  assert_int_equal (batch_read (ends[0], &c, 1), 0);
  end (ends[0]);
  free (s.bytes);
}

static void
test_reset (void **state)
{
  const struct linger at_once = {.l_onoff = 1};
  struct stream s = two_reads ();
  struct pollfd p;
  int ends[2];

  (void) state;
  connect_tcp (ends);
  write_all (ends[1], s.bytes, s.len - 1);
  assert_int_equal (serve_one (ends[0], NULL, NULL), 1);
  setsockopt (ends[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close (ends[1]);
  p = (struct pollfd){.fd = ends[0], .events = POLLRDHUP};
  assert_int_equal (poll (&p, 1, 60000), 1);
  assert_int_equal (serve (ends[0]), -1);
  assert_true (errno == ECONNRESET || errno == EPIPE);
  end (ends[0]);
  free (s.bytes);
}

/* A disconnect with more behind it: the replies before it arrive. */
static void
test_disconnect (void **state)
{
  struct stream s = two_reads (), due = replies_to (&s, s.len);
  int ends[2];

  (void) state;
  add_request (&s, 3, CMD_DISC, 0);
  add_request (&s, 4, CMD_READ, 100);
  connect_unix (ends);
  write_all (ends[1], s.bytes, s.len);
  assert_int_equal (serve (ends[0]), 0);
  end_with (ends, &due);
  free (s.bytes);
  free (due.bytes);
}

static void
wait_for_sender (void)
{
  while (calls.sending == 0)
    sched_yield ();
}

/* A client that sends requests and takes no replies is served as far as the
 * socket holds, others meanwhile as ever, and in the end it has all of them.
 */
static void
test_stalled_client (void **state)
{
  uint64_t seed = new_seed ("stalled client");
  struct stream s = {0}, due;
  pthread_t thread;
  void *lost;
  unsigned i;
  int ends[2];

  (void) state;
  for (i = 0; i < 500; i++)
    add_request (&s, i, CMD_READ, 4096);
  due = replies_to (&s, s.len);
  connect_unix (ends);
  write_all (ends[1], s.bytes, s.len);
  assert_int_equal (pthread_create (&thread, NULL, serve_thread, &ends[0]), 0);
  /* 2 MiB do not fit: it waits, or will. */
  wait_for_sender ();
  for (i = 0; i < 20; i++)
    random_conversation (&seed);
  shutdown (ends[1], SHUT_WR);
  expect (ends[1], due.bytes, due.len);
  expect_end (ends[1]);
  pthread_join (thread, &lost);
  assert_null (lost);
  close (ends[1]);
  free (s.bytes);
  free (due.bytes);
}

static void *
send_much (void *arg)
{
  static char buf[4 << 20];

  return batch_send (*(int *) arg, buf, sizeof buf, MSG_NOSIGNAL) == sizeof buf
             ? NULL
             : arg;
}

/* While one thread of a connection waits for the client to take its reply,
 * others read what the client sends, and may shut it down.
 */
static void
test_sender_stops_nobody (void **state)
{
  char buf[2];
  pthread_t thread;
  int ends[2];
  void *failed;

  (void) state;
  batch_set_serial (false);
  connect_unix (ends);
  assert_int_equal (pthread_create (&thread, NULL, send_much, &ends[0]), 0);
  wait_for_sender ();
  write_all (ends[1], "ab", 2);
  assert_int_equal (batch_read (ends[0], buf, 2), 2);
  assert_memory_equal (buf, "ab", 2);
  batch_before_wait ();
  assert_int_equal (batch_shutdown (ends[0], SHUT_WR), 0);
  pthread_join (thread, &failed);
  assert_non_null (failed);
  end_both (ends);
}

static void *
read_one (void *arg)
{
  char c;

  return batch_read (*(int *) arg, &c, 1) == 0 ? NULL : arg;
}

/* While one reads, others send, and nothing is held. */
static void
test_reader_stops_nobody (void **state)
{
  pthread_t thread;
  int ends[2];
  void *failed;

  (void) state;
  connect_unix (ends);
  assert_int_equal (pthread_create (&thread, NULL, read_one, &ends[0]), 0);
  while (calls.readvs == 0)
    sched_yield ();
  assert_int_equal (batch_send (ends[0], "ab", 2, 0), 2);
  expect (ends[1], "ab", 2);
  /* The end of the connection does not wait for him. */
  batch_end (ends[0]);
  shutdown (ends[1], SHUT_WR);
  pthread_join (thread, &failed);
  assert_null (failed);
  close (ends[0]);
  close (ends[1]);
}

int
main (void)
{
#define CASE(f) cmocka_unit_test_setup (f, set_up)
  const struct CMUnitTest tests[] = {
      CASE (test_arrival),
      CASE (test_arrival_not_known),
      CASE (test_end_together),
      CASE (test_still_zero),
      CASE (test_still_zero_no_more),
      CASE (test_still_zero_by_thread),
      CASE (test_zeroes_are_sent),
      CASE (test_poll_sees_hang_up),
      CASE (test_left_alone),
      CASE (test_number_again),
      CASE (test_fork),
      CASE (test_closed_by_client),
      CASE (test_reset),
      CASE (test_disconnect),
      CASE (test_stalled_client),
      CASE (test_sender_stops_nobody),
      CASE (test_reader_stops_nobody),
  };

  alarm (240);
  return RUN_TESTS (tests);
}
