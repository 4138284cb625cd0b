/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Where the data of requests is, by plugin/batch/batch-socket-internal.h: a
 * payload that stays where it was read ahead, an answer that is put where it is
 * sent from, and what any other call gets of what was read ahead.
 */

#include <config.h>

#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nbdkit.h"

/*---------------------------------------------------------------------*/
/* Payloads of writes */

/* Receive a write's payload of N bytes; returns where it is. */
static const unsigned char *
receive_payload (int fd, unsigned char *buf, size_t n)
{
  unsigned char header[HEADER];

  assert_int_equal (batch_read (fd, header, HEADER), HEADER);
  assert_int_equal (header[7], CMD_WRITE);
  memset (buf, 0xee, n);
  assert_int_equal (batch_read (fd, buf, n), n);
  return batch_payload (buf, n);
}

/* Payloads that are ahead stay there, once somebody has asked for one. */
static void *
test_payloads_are_left_thread (void *arg)
{
  struct stream s = {0};
  unsigned char buf[512], other[512];
  const unsigned char *p;
  const int *ends = arg;
  uint32_t i;
  size_t each;

  for (i = 0; i < 6; i++)
    add_request (&s, i, CMD_WRITE, 512);
  each = s.len / 6;
  write_all (ends[1], s.bytes, s.len - 1);
  assert_int_equal (batch_read (ends[0], other, HEADER), HEADER);
  assert_int_equal (batch_read (ends[0], buf, 512), 512);
  assert_memory_equal (buf, s.bytes + HEADER, 512);
  for (i = 1; i < 5; i++) {
    p = receive_payload (ends[0], buf, 512);
    assert_memory_equal (p, s.bytes + i * each + HEADER, 512);
    assert_true (i == 1 ? p == buf : p != buf && buf[0] == 0xee);
    /* What nbdkit made itself is not the payload, nor is an older one. */
    assert_ptr_equal (batch_payload (other, 511), other);
  }
  /* One that is not all here is received. */
  assert_int_equal (batch_read (ends[0], other, HEADER), HEADER);
  assert_ptr_equal (batch_payload (buf, 512), buf);
  assert_int_equal (batch_read (ends[0], buf, 512), 511);
  write_all (ends[1], s.bytes + s.len - 1, 1);
  assert_int_equal (batch_read (ends[0], buf + 511, 1), 1);
  assert_memory_equal (buf, s.bytes + 5 * each + HEADER, 512);
  assert_ptr_equal (batch_payload (buf, 512), buf);
  free (s.bytes);
  return NULL;
}

static void
test_payloads_are_left (void **state)
{
  pthread_t thread;
  int ends[2];

  (void) state;
  connect_unix (ends);
  /* Nobody has asked on a new thread. */
  assert_int_equal (
      pthread_create (&thread, NULL, test_payloads_are_left_thread, ends), 0);
  pthread_join (thread, NULL);
  end_both (ends);
}

/* The rest of a payload may look like a header of a write whose payload is as
 * long as a header; what comes after it is a header.  CUT bytes of the header
 * before that payload come by themselves.
 */
static void
take_no_header (const int *ends, size_t cut)
{
  struct stream s = {0};
  unsigned char buf[512];
  size_t each, at;

  add_request (&s, 1, CMD_WRITE, 512);
  add_request (&s, 2, CMD_WRITE, 512);
  add_request (&s, 3, CMD_WRITE, 512);
  add_request (&s, 4, CMD_WRITE, 512);
  each = HEADER + 512;
  /* The last bytes of the third one's payload. */
  at = 3 * each - HEADER;
  memcpy (s.bytes + at, s.bytes, HEADER);
  put32 (s.bytes + at + 24, HEADER);
  write_all (ends[1], s.bytes, 2 * each + cut);
  receive_payload (ends[0], buf, 512);
  receive_payload (ends[0], buf, 512);
  if (cut > 0)
    assert_int_equal (batch_read (ends[0], buf, HEADER), cut);
  write_all (ends[1], s.bytes + 2 * each + cut, s.len - 2 * each - cut);
  assert_int_equal (batch_read (ends[0], buf, HEADER - cut), HEADER - cut);
  assert_int_equal (batch_read (ends[0], buf, 512 - HEADER), 512 - HEADER);
  assert_int_equal (batch_read (ends[0], buf, HEADER), HEADER);
  assert_memory_equal (buf, s.bytes + at, HEADER);
  assert_true (receive_payload (ends[0], buf, 512) != buf);
  shutdown (ends[1], SHUT_WR); /* so that it keeps no locks */
  assert_int_equal (batch_read (ends[0], buf, HEADER), 0);
  free (s.bytes);
}

/* After the header of a read that comes in two parts, a write is seen. */
static void
take_parts_of_header (const int *ends, size_t cut)
{
  struct stream s = {0};
  unsigned char buf[512];

  add_request (&s, 1, CMD_READ, 512);
  add_request (&s, 2, CMD_WRITE, 512);
  write_all (ends[1], s.bytes, cut);
  assert_int_equal (batch_read (ends[0], buf, HEADER), cut);
  write_all (ends[1], s.bytes + cut, s.len - cut);
  assert_int_equal (batch_read (ends[0], buf, HEADER - cut), HEADER - cut);
  assert_true (receive_payload (ends[0], buf, 512) != buf);
  shutdown (ends[1], SHUT_WR); /* so that it keeps no locks */
  assert_int_equal (batch_read (ends[0], buf, HEADER), 0);
  free (s.bytes);
}

static void *
test_no_header_thread (void *arg)
{
  size_t cut;
  int ends[2];

  (void) arg;
  for (cut = 0; cut < HEADER; cut++) {
    connect_unix (ends);
    take_no_header (ends, cut);
    end_both (ends);
  }
  for (cut = 1; cut < HEADER; cut++) {
    connect_unix (ends);
    take_parts_of_header (ends, cut);
    end_both (ends);
  }
  return NULL;
}

static void
test_no_header (void **state)
{
  pthread_t thread;

  (void) state;
  assert_int_equal (pthread_create (&thread, NULL, test_no_header_thread, NULL),
                    0);
  pthread_join (thread, NULL);
}

/* Large payloads go to where they are wanted, without another copy. */
static void
test_large_payloads (void **state)
{
  struct stream s = {0};
  int ends[2];

  (void) state;
  add_request (&s, 1, CMD_WRITE, 100000);
  add_request (&s, 2, CMD_WRITE, 100000);
  add_request (&s, 3, CMD_WRITE, 100000);
  connect_unix (ends);
  write_all (ends[1], s.bytes, s.len / 3);
  assert_int_equal (serve_one (ends[0], NULL, NULL), 1);
  write_all (ends[1], s.bytes + s.len / 3, s.len / 3 + 6000);
  assert_int_equal (serve_one (ends[0], NULL, NULL), 1);
  assert_true (has_input (ends[0]));
  write_all (ends[1], s.bytes + s.len / 3 * 2 + 6000, s.len / 3 - 6000);
  assert_int_equal (serve_one (ends[0], NULL, NULL), 1);
  assert_false (has_input (ends[0]));
  end_both (ends);
  free (s.bytes);
}

/* Of 300 headers that have come, does a read take all? */
static bool
reads_all (const int *ends)
{
  struct stream s = {0};
  char header[HEADER];
  size_t got = 0;
  bool r = false;
  ssize_t n;
  int i;

  for (i = 0; i < 300; i++)
    add_request (&s, i, CMD_READ, 512);
  write_all (ends[1], s.bytes, s.len);
  for (; got < s.len; got += n) {
    n = batch_read (ends[0], header, HEADER - got % HEADER);
    assert_true (n > 0);
    r = got == 0 ? !has_input (ends[0]) : r;
    if (got == 0)
      assert_int_equal (batch_read (ends[0], header, 0), 0);
  }
  free (s.bytes);
  return r;
}

/* A payload that is ahead decides how much is read ahead after it, too.  After
 * the first round this thread leaves payloads where they are.
 */
static void *
test_payloads_ahead_thread (void *arg)
{
  static const uint32_t sizes[] = {100000, 512};
  static unsigned char buf[100000];
  struct stream s;
  const int *ends = arg;
  unsigned i;

  for (i = 0; i < 4; i++) {
    s = (struct stream){0};
    add_request (&s, i, CMD_WRITE, sizes[i % 2]);
    write_all (ends[1], s.bytes, s.len);
    assert_int_equal (batch_read (ends[0], buf, HEADER), HEADER);
    assert_false (has_input (ends[0]));
    assert_int_equal (batch_read (ends[0], buf, sizes[i % 2]), sizes[i % 2]);
    if (i == 1)
      batch_payload (buf, 512);
    assert_true (reads_all (ends) == (i % 2 == 1));
    free (s.bytes);
  }
  shutdown (ends[1], SHUT_WR); /* so that it keeps no locks */
  assert_int_equal (batch_read (ends[0], buf, HEADER), 0);
  return NULL;
}

static void
test_payloads_ahead (void **state)
{
  pthread_t thread;
  int ends[2];

  (void) state;
  connect_unix (ends);
  assert_int_equal (
      pthread_create (&thread, NULL, test_payloads_ahead_thread, ends), 0);
  pthread_join (thread, NULL);
  end_both (ends);
}

/*---------------------------------------------------------------------*/
/* Answers to reads */

/* Read a header of a client that has sent more, and say where the N bytes of
 * the answer go.
 */
static unsigned char *
begin_answer (int fd, unsigned char *buf, size_t n)
{
  unsigned char header[HEADER];

  assert_int_equal (batch_read (fd, header, HEADER), HEADER);
  memset (buf, 0xee, n);
  return batch_answer_buffer (buf, n);
}

/* Send N bytes of an answer that nbdkit believes at BUF. */
static void
send_answer (int fd, const unsigned char *buf, size_t n)
{
  assert_int_equal (batch_send (fd, buf, n, MSG_MORE), n);
}

static void *
test_answers_are_placed_thread (void *arg)
{
  enum { N = 4096 };
  static unsigned char buf[20000], data[N];
  const int *ends = arg;
  struct stream s = {0};
  struct pollfd none = {.fd = -1};
  const struct timespec at_once = {0};
  unsigned char *p;
  int plain[2], i;

  for (i = 0; i < 12; i++)
    add_request (&s, i, CMD_READ, N);
  write_all (ends[1], s.bytes, s.len);
  for (i = 0; i < N; i++)
    data[i] = i * 7 + i / 256;

  /* In two parts, beside what nbdkit itself has elsewhere. */
  p = begin_answer (ends[0], buf, N);
  assert_true (p != buf);
  memcpy (p, data, N);
  send_answer (ends[0], (const unsigned char *) "head", 4);
  send_answer (ends[0], buf, 1500);
  send_answer (ends[0], (const unsigned char *) "more", 4);
  send_answer (ends[0], buf + 1500, N - 1500);
  assert_int_equal (buf[0], 0xee);
  batch_before_wait ();
  expect (ends[1], "head", 4);
  expect (ends[1], data, 1500);
  expect (ends[1], "more", 4);
  expect (ends[1], data + 1500, N - 1500);
  assert_int_equal (buf[0], 0xee);                      /* all of it was sent */
  assert_ptr_equal (batch_answer_buffer (buf, N), buf); /* of no request */

  /* A wait; another read; the rest sent by a call that is not known. */
  p = begin_answer (ends[0], buf, N);
  memcpy (p, data, N);
  send_answer (ends[0], buf, 1500);
  batch_ppoll (&none, 1, &at_once, NULL);
  assert_true (p != buf && memcmp (buf, data, N) == 0);
  expect (ends[1], data, 1500);
  memset (p, 0xdd, N);
  send_answer (ends[0], buf + 1500, N - 1500);
  batch_before_wait ();
  expect (ends[1], data + 1500, N - 1500);

  assert_int_equal (socketpair (AF_UNIX, SOCK_STREAM, 0, plain), 0);
  write_all (plain[1], "x", 1);
  p = begin_answer (ends[0], buf, N);
  memcpy (p, data, N);
  assert_int_equal (batch_read (plain[0], buf + N, 1), 1);
  assert_true (p != buf && memcmp (buf, data, N) == 0);
  p = begin_answer (ends[0], buf, N);
  memcpy (p, data, N);
  batch_pass_through (plain[0]);
  assert_true (p != buf && memcmp (buf, data, N) == 0);
  end_both (plain);

  /* A reply without them, and the next ones. */
  p = begin_answer (ends[0], buf, N);
  assert_true (p != buf);
  send_answer (ends[0], (const unsigned char *) "error", 5);
  for (i = 0; i < 2; i++) {
    p = begin_answer (ends[0], buf, N);
    memcpy (p, data, N);
    send_answer (ends[0], (const unsigned char *) "head", 4);
    send_answer (ends[0], buf, N);
  }
  batch_before_wait ();
  expect (ends[1], "errorhead", 9);
  expect (ends[1], data, N);
  expect (ends[1], "head", 4);
  expect (ends[1], data, N);

  /* Few bytes, and many. */
  assert_ptr_equal (begin_answer (ends[0], buf, 1023), buf);
  assert_ptr_equal (begin_answer (ends[0], buf, 16385), buf);
  shutdown (ends[1], SHUT_WR); /* so that it keeps no locks */
  while (batch_read (ends[0], buf, HEADER) > 0)
    ;
  free (s.bytes);
  return NULL;
}

enum { ANSWER = 4096, SENT_AT_ONCE = 80, HELD_TOGETHER = 64 };
static unsigned char answer_data[ANSWER], answer_more[2000];

/* At first the next request is a flush, so that each reply is sent at its end,
 * or in the middle where the end of a chunk looks like one.  After that there
 * is as much room as ever.
 */
static void *
test_answers_are_sent_thread (void *arg)
{
  static unsigned char buf[ANSWER];
  const int *ends = arg;
  struct stream s = {0};
  unsigned char *p;
  int i;

  add_request (&s, 1, CMD_READ, ANSWER);
  add_request (&s, 2, CMD_FLUSH, 0);
  for (i = 0; i < SENT_AT_ONCE; i++) {
    write_all (ends[1], s.bytes, s.len);
    p = begin_answer (ends[0], buf, ANSWER);
    assert_true (p != buf);
    memcpy (p, answer_data, ANSWER);
    send_answer (ends[0], answer_more, 4);
    assert_int_equal (batch_send (ends[0], buf, 1500, 0), 1500);
    send_answer (ends[0], answer_more, sizeof answer_more);
    assert_int_equal (batch_send (ends[0], buf + 1500, ANSWER - 1500, 0),
                      ANSWER - 1500);
    assert_int_equal (batch_read (ends[0], buf, HEADER), HEADER);
  }
  s.len = 0;
  for (i = 0; i < HELD_TOGETHER; i++)
    add_request (&s, i, CMD_READ, ANSWER);
  write_all (ends[1], s.bytes, s.len);
  shutdown (ends[1], SHUT_WR);
  calls.sends = 0;
  for (i = 0; i < HELD_TOGETHER; i++) {
    p = begin_answer (ends[0], buf, ANSWER);
    memcpy (p, answer_data, ANSWER);
    send_answer (ends[0], answer_more, HEADER);
    assert_int_equal (batch_send (ends[0], buf, ANSWER, 0), ANSWER);
  }
  assert_int_equal (calls.sends, 1);
  assert_int_equal (batch_read (ends[0], buf, HEADER), 0);
  free (s.bytes);
  return NULL;
}

static void
test_answers_are_sent (void **state)
{
  pthread_t thread;
  int ends[2], i;

  (void) state;
  memset (answer_data, 5, sizeof answer_data);
  memset (answer_more, 7, sizeof answer_more);
  connect_unix (ends);
  assert_int_equal (
      pthread_create (&thread, NULL, test_answers_are_sent_thread, ends), 0);
  for (i = 0; i < SENT_AT_ONCE; i++) {
    expect (ends[1], answer_more, 4);
    expect (ends[1], answer_data, 1500);
    expect (ends[1], answer_more, sizeof answer_more);
    expect (ends[1], answer_data, ANSWER - 1500);
  }
  for (i = 0; i < HELD_TOGETHER; i++) {
    expect (ends[1], answer_more, HEADER);
    expect (ends[1], answer_data, ANSWER);
  }
  pthread_join (thread, NULL);
  end_both (ends);
}

/* Data is put where it is sent from, for a thread that serves alone; whatever
 * comes between, nbdkit has it or sends it.
 */
static void
test_answers_are_placed (void **state)
{
  pthread_t thread;
  int ends[2];

  (void) state;
  connect_unix (ends);
  assert_int_equal (
      pthread_create (&thread, NULL, test_answers_are_placed_thread, ends), 0);
  pthread_join (thread, NULL);
  end_both (ends);
}

/*---------------------------------------------------------------------*/
/* What was read ahead */

static void
test_ahead_goes_to_any_call (void **state)
{
  char a[3], b[3];
  struct iovec iov[2] = {{a, 2}, {b, 3}};
  struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
  struct pollfd p[2];
  int ends[2];

  (void) state;
  connect_unix (ends);
  write_all (ends[1], "0123456789abcdefgh", 18);
  assert_int_equal (batch_read (ends[0], a, 1), 1);
  assert_false (has_input (ends[0]));
  p[0] = p[1] = (struct pollfd){.fd = ends[0], .events = POLLIN};
  assert_int_equal (batch_ppoll (p, 1, NULL, NULL), 1);
  assert_int_equal (p[0].revents, POLLIN);
  assert_int_equal (p[1].revents, 0); /* it was not asked about */

  assert_int_equal (batch_recvfrom (ends[0], a, 3, MSG_PEEK, NULL, NULL), 3);
  assert_memory_equal (a, "123", 3);
  assert_int_equal (batch_recvfrom (ends[0], a, 3, 0, NULL, NULL), 3);
  assert_memory_equal (a, "123", 3);
  assert_int_equal (batch_readv (ends[0], iov, 2), 5);
  assert_memory_equal (a, "45", 2);
  assert_memory_equal (b, "678", 3);
  assert_int_equal (batch_recvmsg (ends[0], &msg, MSG_PEEK), 5);
  assert_memory_equal (a, "9a", 2);
  assert_int_equal (batch_recvmsg (ends[0], &msg, 0), 5);
  assert_memory_equal (b, "bcd", 3);
  assert_int_equal (batch_read (ends[0], a, 3), 3);
  assert_memory_equal (a, "efg", 3);
  assert_int_equal (batch_read (ends[0], a, 3), 1);
  assert_memory_equal (a, "h", 1);

  /* From then on it is left alone. */
  calls.readvs = 0;
  write_all (ends[1], "xyz", 3);
  assert_int_equal (batch_read (ends[0], a, 1), 1);
  assert_int_equal (calls.readvs, 0);
  assert_true (has_input (ends[0]));
  end_both (ends);
}

int
main (void)
{
#define CASE(f) cmocka_unit_test_setup (f, set_up)
  const struct CMUnitTest tests[] = {
      CASE (test_payloads_are_left),      CASE (test_no_header),
      CASE (test_large_payloads),         CASE (test_payloads_ahead),
      CASE (test_answers_are_sent),       CASE (test_answers_are_placed),
      CASE (test_ahead_goes_to_any_call),
  };

  alarm (240);
  return RUN_TESTS (tests);
}
