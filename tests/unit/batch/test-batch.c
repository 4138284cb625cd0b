/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * plugin/batch/batch-socket-internal.h between a server that does as nbdkit
 * does and a peer that follows a script.  Most cases have one thread: where the
 * server is about to wait for its client, the peer has its turn, and first
 * looks whether it has all replies that are due.  The system's calls are ours
 * to watch, to cut short and to interrupt.
 */

#include <config.h>

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nbdkit.h"

#define THREADS 8

/*---------------------------------------------------------------------*/
/* The peer's script: send up to each cut; look at the replies; at last, end. */

/* Every way to cut the stream once and twice. */
static void
play_all_cuts (void)
{
  struct stream s = few_requests ();
  size_t i, j;

  for (i = 1; i < s.len; i++) {
    for (j = i; j < s.len; j++) {
      script.nr_cuts = 0;
      add_cut (i);
      if (j > i)
        add_cut (j);
      add_cut (s.len);
      play (&s, connect_unix);
    }
  }
  free (s.bytes);
}

static void
test_every_split (void **state)
{
  (void) state;
  play_all_cuts ();
}

static void
test_every_split_joined_only (void **state)
{
  (void) state;
  batch_set_serial (false);
  play_all_cuts ();
}

static void
test_byte_by_byte (void **state)
{
  struct stream s = few_requests ();
  size_t i;

  (void) state;
  script.nr_cuts = 0;
  for (i = 1; i <= s.len; i++)
    add_cut (i);
  play (&s, connect_unix);
  play (&s, connect_tcp);
  free (s.bytes);
}

/*---------------------------------------------------------------------*/
/* A peer that sends and receives as it can, while a server has a thread */

static void
test_random (void **state)
{
  uint64_t seed = new_seed ("random");
  unsigned i;

  (void) state;
  for (i = 0; i < 60; i++) {
    batch_set_serial (random_below (&seed, 4) != 0);
    random_conversation (&seed);
  }
}

/* Calls that are interrupted, refused for now, or do a part only. */
static void
test_random_with_trouble (void **state)
{
  uint64_t seed = new_seed ("random with trouble");
  unsigned i;

  (void) state;
  calls.seed = seed;
  for (i = 0; i < 60; i++) {
    batch_set_serial (random_below (&seed, 4) != 0);
    batch_set_poll (random_below (&seed, 2) * 1000000);
    calls.trouble = 1 + random_below (&seed, 60);
    random_conversation (&seed);
  }
}

static void *
converse_thread (void *arg)
{
  uint64_t *seed = arg;
  unsigned i;

  for (i = 0; i < 8; i++)
    random_conversation (seed);
  return NULL;
}

/* Many connections, whose numbers are used over and over. */
static void
test_many_connections (void **state)
{
  uint64_t seed = new_seed ("many connections"), seeds[THREADS];
  pthread_t threads[THREADS];
  unsigned i;

  (void) state;
  for (i = 0; i < THREADS; i++) {
    seeds[i] = next_random (&seed);
    assert_int_equal (
        pthread_create (&threads[i], NULL, converse_thread, &seeds[i]), 0);
  }
  for (i = 0; i < THREADS; i++)
    pthread_join (threads[i], NULL);
}

/*---------------------------------------------------------------------*/
/* Several threads serve one connection, and reply in any order */

struct shared {
  int fd;
  pthread_mutex_t read_lock, write_lock;
};

static void *
worker_thread (void *arg)
{
  struct shared *s = arg;

  while (serve_one (s->fd, &s->read_lock, &s->write_lock) == 1)
    ;
  return NULL;
}

/* One of the replies in DUE begins at P.  Returns its size, and makes it
 * unusable.
 */
static size_t
find_reply (const struct stream *requests, const unsigned char *p, bool *used)
{
  const unsigned char *q = requests->bytes;
  struct reply r;
  size_t size;

  for (; q[15] != p[11] || q[14] != p[10];
       q += HEADER + (q[7] == CMD_WRITE ? get32 (q + 24) : 0))
    assert_true (q < requests->bytes + requests->len);
  assert_false (used[get32 (q + 12)]);
  used[get32 (q + 12)] = true;
  make_reply (&r, q, q + HEADER);
  assert_memory_equal (p, r.head, r.head_len);
  assert_memory_equal (p + r.head_len, r.more, r.more_len);
  if (r.data_len > 0)
    assert_memory_equal (p + r.head_len + r.more_len, r.data, r.data_len);
  size = r.head_len + r.more_len + r.data_len;
  free (r.data);
  return size;
}

static void
parallel_conversation (uint64_t *seed)
{
  struct shared shared = {.read_lock = PTHREAD_MUTEX_INITIALIZER,
                          .write_lock = PTHREAD_MUTEX_INITIALIZER};
  struct stream s = random_requests (seed, 200), due;
  bool used[200] = {false};
  unsigned char *replies;
  pthread_t threads[4];
  int ends[2];
  unsigned i;
  size_t at;
  char c;

  connect_unix (ends);
  /* As nbdkit reads the handshake before it has these threads. */
  write_all (ends[1], "0", 1);
  assert_int_equal (batch_read (ends[0], &c, 1), 1);
  if (random_below (seed, 2))
    shrink_buffers (ends);
  shared.fd = ends[0];
  due = replies_to (&s, s.len);
  replies = malloc (due.len);
  assert_non_null (replies);
  for (i = 0; i < 4; i++)
    assert_int_equal (
        pthread_create (&threads[i], NULL, worker_thread, &shared), 0);
  converse (ends[1], &s, replies, due.len, seed);
  shutdown (ends[1], SHUT_WR);
  for (i = 0; i < 4; i++)
    pthread_join (threads[i], NULL);
  for (at = 0; at < due.len;)
    at += find_reply (&s, replies + at, used);
  assert_int_equal (at, due.len);
  end (ends[0]);
  expect_end (ends[1]);
  close (ends[1]);
  free (s.bytes);
  free (due.bytes);
  free (replies);
}

static void
test_parallel (void **state)
{
  uint64_t seed = new_seed ("parallel");
  unsigned i;

  (void) state;
  batch_set_serial (false);
  for (i = 0; i < 12; i++)
    parallel_conversation (&seed);
}

/* Who is told the wrong thing is slower, and still right. */
static void
test_parallel_called_serial (void **state)
{
  uint64_t seed = new_seed ("parallel called serial");
  unsigned i;

  (void) state;
  for (i = 0; i < 12; i++)
    parallel_conversation (&seed);
}

/*---------------------------------------------------------------------*/
/* What is joined, and what waits */

/* How many sends the replies to these requests take, when all are there at
 * once.
 */
static unsigned
sends_of (const struct stream *requests, void (*connect) (int ends[2]))
{
  calls.sends = 0;
  script.nr_cuts = 0;
  add_cut (requests->len);
  play (requests, connect);
  return calls.sends;
}

/* The same where the replies are more than a socket's buffer takes.  Nobody
 * reads them before all requests are there.
 */
static unsigned
sends_while_received (const struct stream *requests,
                      void (*connect) (int ends[2]))
{
  struct stream due = replies_to (requests, requests->len);
  pthread_t thread;
  int ends[2];
  void *lost;

  connect (ends);
  calls.sends = 0;
  write_all (ends[1], requests->bytes, requests->len);
  shutdown (ends[1], SHUT_WR);
  assert_int_equal (pthread_create (&thread, NULL, serve_thread, &ends[0]), 0);
  expect (ends[1], due.bytes, due.len);
  expect_end (ends[1]);
  pthread_join (thread, &lost);
  assert_null (lost);
  close (ends[1]);
  free (due.bytes);
  return calls.sends;
}

static void
test_all_in_one (void **state)
{
  struct stream s = few_requests ();

  (void) state;
  calls.readvs = 0;
  /* A flush may take its time: what is before it does not wait. */
  assert_int_equal (sends_of (&s, connect_unix), 2);
  assert_int_equal (calls.readvs, 2); /* and one finds the end */
  free (s.bytes);
}

static void
test_serial_only_if_told (void **state)
{
  struct stream s = few_requests ();

  (void) state;
  batch_set_serial (false);
  /* The pieces of the last are sent as they come: nothing else is there. */
  assert_int_equal (sends_of (&s, connect_unix), 5 + 3);
  assert_int_equal (sends_of (&s, connect_tcp), 6);
  free (s.bytes);
}

/* A client that waits for each reply is woken by its first piece, but not over
 * TCP, where the kernel holds it.
 */
static void
test_depth_1 (void **state)
{
  struct stream s = {0};

  (void) state;
  add_request (&s, 1, CMD_READ, 512);
  assert_int_equal (sends_of (&s, connect_unix), 3);
  assert_int_equal (sends_of (&s, connect_tcp), 1);
  free (s.bytes);
}

static void
test_next_is_large (void **state)
{
  struct stream s = {0};

  (void) state;
  add_request (&s, 1, CMD_WRITE, 1);
  add_request (&s, 2, CMD_READ, 32769);
  assert_int_equal (sends_of (&s, connect_tcp), 2);
  free (s.bytes);

  s = (struct stream){0};
  add_request (&s, 1, CMD_WRITE, 1);
  add_request (&s, 2, CMD_READ, 32768);
  assert_int_equal (sends_of (&s, connect_tcp), 1);
  free (s.bytes);
}

/* A write of which the last byte is missing may be long in coming. */
static void
test_next_is_not_whole (void **state)
{
  struct stream s = {0}, due;
  int ends[2];

  (void) state;
  add_request (&s, 1, CMD_READ, 10);
  add_request (&s, 2, CMD_WRITE, 10);
  due = replies_to (&s, HEADER);
  connect_unix (ends);
  write_all (ends[1], s.bytes, s.len - 1);
  assert_int_equal (serve_one (ends[0], NULL, NULL), 1);
  expect_now (ends[1], due.bytes, due.len);
  end_both (ends);
  free (s.bytes);
  free (due.bytes);
}

/* What does not fit is sent with all before it: 256 KiB and a little, or 256
 * pieces of zeroes.
 */
static void
test_held_is_full (void **state)
{
  struct stream s;
  unsigned i, zeroes, n;

  (void) state;
  for (zeroes = 0; zeroes <= 3; zeroes += 3) {
    n = zeroes ? 256 : 63;
    s = (struct stream){0};
    for (i = 0; i < n; i++)
      add_request (&s, 4 * i + zeroes, CMD_READ, 4096);
    assert_int_equal (sends_while_received (&s, connect_unix), 1);
    add_request (&s, 4 * i + zeroes, CMD_READ, 4096);
    add_request (&s, 4 * i + 4 + zeroes, CMD_READ, 4096);
    assert_int_equal (sends_while_received (&s, connect_tcp), 2);
    free (s.bytes);

    /* Nor do short pieces, but for one behind zeroes that grows. */
    s = (struct stream){0};
    for (i = 0; i < n; i++)
      add_request (&s, 4 * i + zeroes, CMD_READ, 4096);
    for (; i < n + 300; i++)
      add_request (&s, 4 * i + zeroes, CMD_WRITE, 1);
    assert_int_equal (sends_while_received (&s, connect_unix), zeroes ? 1 : 2);
    free (s.bytes);
  }
}

/* Zeroes wait for a read that is larger, and other data does not. */
static void
test_large_zeroes (void **state)
{
  struct stream s = {0};
  unsigned i;

  (void) state;
  for (i = 0; i < 33; i++)
    add_request (&s, 4 * i + 3, CMD_READ, 131072);
  assert_int_equal (sends_while_received (&s, connect_unix), 1);
  for (; i < 36; i++)
    add_request (&s, 4 * i + 3, CMD_READ, 131072);
  assert_int_equal (sends_while_received (&s, connect_tcp), 2);
  free (s.bytes);

  s = (struct stream){0};
  add_request (&s, 3, CMD_READ, 512);
  add_request (&s, 7, CMD_READ, 262144);
  assert_int_equal (sends_while_received (&s, connect_unix), 1);
  add_request (&s, 11, CMD_READ, 262145);
  assert_int_equal (sends_while_received (&s, connect_tcp), 2);
  free (s.bytes);

  s = (struct stream){0};
  add_request (&s, 1, CMD_READ, 512);
  add_request (&s, 3, CMD_READ, 131072);
  assert_int_equal (sends_while_received (&s, connect_tcp), 2);
  free (s.bytes);
}

/* Of the last reply of a queue, too, the first piece wakes the client, if the
 * replies before it have been sent.
 */
static void
test_last_piece_of_queue (void **state)
{
  struct stream s = {0};

  (void) state;
  add_request (&s, 1, CMD_READ, 512);
  add_request (&s, 2, CMD_READ, 40000);
  assert_int_equal (sends_while_received (&s, connect_unix), 1 + 3);
  assert_int_equal (sends_while_received (&s, connect_tcp), 2);
  free (s.bytes);
}

/* Many small ones are pieces of a message, of which there is a most. */
static void
test_held_pieces (void **state)
{
  struct stream s = {0};
  unsigned i;

  (void) state;
  for (i = 0; i < 256; i++)
    add_request (&s, 4 * i + 3, CMD_READ, 1024);
  assert_int_equal (sends_while_received (&s, connect_unix), 1);
  add_request (&s, 4 * i + 3, CMD_READ, 1024);
  add_request (&s, 4 * i + 7, CMD_READ, 1024);
  assert_int_equal (sends_while_received (&s, connect_tcp), 2);
  free (s.bytes);
}

/* What its thread has read is served before, and with its locks kept: they are
 * free again when nothing is left, or for another thread.
 */
static void
test_locks_are_free (void **state)
{
  struct stream s = two_reads (), due = replies_to (&s, s.len);
  int ends[2], other[2], i;
  pthread_t thread;
  void *lost;

  (void) state;
  for (i = 0; i < 3; i++) {
    hold_one (ends, &s);
    if (i == 0) {
      /* The same thread, for another connection. */
      hold_one (other, &s);
      assert_int_equal (serve_one (ends[0], NULL, NULL), 1);
      assert_int_equal (serve_one (other[0], NULL, NULL), 1);
      expect_now (ends[1], due.bytes, due.len);
      expect_now (other[1], due.bytes, due.len);
      end_both (other);
    }
    else if (i == 1)
      batch_before_wait ();
    else
      assert_int_equal (serve_one (ends[0], NULL, NULL), 1);
    if (i > 0) {
      /* Another thread has the rest. */
      batch_before_wait ();
      shutdown (ends[1], SHUT_WR);
      assert_int_equal (pthread_create (&thread, NULL, serve_thread, &ends[0]),
                        0);
      pthread_join (thread, &lost);
      assert_null (lost);
      expect (ends[1], due.bytes, due.len);
      close (ends[1]);
    }
    else
      end_both (ends);
  }
  free (s.bytes);
  free (due.bytes);
}

/* It waits no longer when this thread does. */
static void
test_sent_before (void **state)
{
  struct stream s = two_reads (), due = replies_to (&s, HEADER);
  struct pollfd none = {.fd = -1};
  const struct timespec at_once = {0};
  struct iovec iov = {(char[]){0}, 1};
  struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
  unsigned char buf[HEADER];
  int ends[2], i;

  (void) state;
  for (i = 0; i < 8; i++) {
    hold_one (ends, &s);
    switch (i) {
    case 0:
      batch_before_wait ();
      break;
    case 1:
      batch_ppoll (&none, 1, &at_once, NULL);
      break;
    case 2:
      batch_pass_through (ends[0]);
      break;
    case 3:
      assert_int_equal (batch_shutdown (ends[0], SHUT_WR), 0);
      break;
    case 4:
      batch_end (ends[0]);
      break;
    case 5:
      assert_int_equal (batch_recvfrom (ends[0], buf, 1, 0, NULL, NULL), 1);
      break;
    case 6:
      assert_int_equal (batch_recvmsg (ends[0], &msg, 0), 1);
      break;
    case 7:
      assert_int_equal (batch_readv (ends[0], &iov, 1), 1);
      break;
    }
    expect_now (ends[1], due.bytes, due.len);
    end_both (ends);
  }
  free (s.bytes);
  free (due.bytes);
}

/* Pieces are sent before anything that is not known to follow them. */
static void
test_order (void **state)
{
  const char *const want[] = {"abcd", "abcd", "ab", "abcd"};
  int ends[2], i;

  (void) state;
  for (i = 0; i < 4; i++) {
    connect_tcp (ends);
    assert_int_equal (batch_send (ends[0], "ab", 2, MSG_MORE), 2);
    switch (i) {
    case 0:
      assert_int_equal (batch_send (ends[0], "cd", 2, MSG_DONTWAIT), 2);
      break;
    case 1:
      assert_int_equal (batch_write (ends[0], "cd", 2), 2);
      break;
    case 3: /* with a flag that is the kernel's business */
      calls.sends = 0;
      assert_int_equal (batch_send (ends[0], "cd", 2, MSG_MORE | MSG_DONTWAIT),
                        2);
      assert_int_equal (calls.sends, 2);
      batch_shutdown (ends[0], SHUT_WR);
      break;
    case 2: /* the caller reads instead */
      write_all (ends[1], "x", 1);
      assert_int_equal (batch_read (ends[0], (char[]){0}, 1), 1);
      break;
    }
    expect (ends[1], want[i], strlen (want[i]));
    end_both (ends);
  }
}

static void *
shut_down (void *arg)
{
  batch_shutdown (*(const int *) arg, SHUT_WR);
  return NULL;
}

/* Another thread has shut the connection down between two pieces of a reply,
 * and there was no room for the first: the second fails for good, and not with
 * what has nbdkit try again.
 */
static void
test_shut_down_between_pieces (void **state)
{
  char zeroes[4096] = {0};
  pthread_t thread;
  int ends[2];

  (void) state;
  connect_tcp (ends);
  assert_int_equal (batch_send (ends[0], "ab", 2, MSG_MORE), 2);
  while (send (ends[0], zeroes, sizeof zeroes, MSG_DONTWAIT) > 0)
    ;
  assert_int_equal (errno, EAGAIN);
  assert_int_equal (pthread_create (&thread, NULL, shut_down, &ends[0]), 0);
  pthread_join (thread, NULL);
  assert_int_equal (batch_send (ends[0], "cd", 2, 0), -1);
  assert_int_equal (errno, EPIPE);
  end_both (ends);
}

static void *
serve_first (void *arg)
{
  assert_int_equal (serve_one (*(const int *) arg, NULL, NULL), 1);
  return NULL;
}

/* A thread that shuts the connection down waits until there is room for a whole
 * reply that another thread has held.  That thread keeps no locks, as it has
 * not read all.
 */
static void
test_shut_down_with_a_reply (void **state)
{
  static const char zeroes[4096];
  struct stream s = two_reads (), due = replies_to (&s, HEADER);
  unsigned char *all = NULL;
  size_t n = 0;
  pthread_t thread;
  int ends[2];
  ssize_t r;
  char c;

  (void) state;
  batch_before_wait (); /* so that this thread has nothing held */
  connect_unix (ends);
  write_all (ends[1], "0", 1);
  assert_int_equal (batch_read (ends[0], &c, 1), 1);
  write_all (ends[1], s.bytes, s.len);
  assert_int_equal (pthread_create (&thread, NULL, serve_first, &ends[0]), 0);
  pthread_join (thread, NULL);
  assert_false (has_input (ends[1]));
  while (send (ends[0], zeroes, sizeof zeroes, MSG_DONTWAIT) > 0)
    ;
  assert_int_equal (pthread_create (&thread, NULL, shut_down, &ends[0]), 0);
  do {
    all = realloc (all, n + sizeof zeroes);
    assert_non_null (all);
    r = recv (ends[1], all + n, sizeof zeroes, 0);
    assert_true (r >= 0);
    n += r;
  } while (r > 0);
  pthread_join (thread, NULL);
  assert_true (n > due.len);
  assert_memory_equal (all + n - due.len, due.bytes, due.len);
  end_both (ends);
  free (all);
  free (s.bytes);
  free (due.bytes);
}

int
main (void)
{
#define CASE(f) cmocka_unit_test_setup (f, set_up)
  const struct CMUnitTest tests[] = {
      CASE (test_every_split),
      CASE (test_every_split_joined_only),
      CASE (test_byte_by_byte),
      CASE (test_random),
      CASE (test_random_with_trouble),
      CASE (test_many_connections),
      CASE (test_parallel),
      CASE (test_parallel_called_serial),
      CASE (test_all_in_one),
      CASE (test_serial_only_if_told),
      CASE (test_depth_1),
      CASE (test_next_is_large),
      CASE (test_next_is_not_whole),
      CASE (test_held_is_full),
      CASE (test_large_zeroes),
      CASE (test_last_piece_of_queue),
      CASE (test_held_pieces),
      CASE (test_locks_are_free),
      CASE (test_sent_before),
      CASE (test_order),
      CASE (test_shut_down_between_pieces),
      CASE (test_shut_down_with_a_reply),
  };

  alarm (240);
  return RUN_TESTS (tests);
}
