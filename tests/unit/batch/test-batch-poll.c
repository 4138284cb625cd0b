/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Batched socket I/O (batch-socket-internal.h): when a client is polled for,
 * and naps for one that is busy.
 */

#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

#include "nbdkit.h"

static bool
our_has_unread (int fd)
{
  (void) fd;
  return calls.unread;
}

/*---------------------------------------------------------------------*/
/* Polling */

#define LONG 3600000000000 /* ns */
#define WINDOW 32          /* requests that are compared, of pace.c */

/* Requests of a client that has so many in flight at a time. */
static void
play_in_turns (unsigned n, unsigned at_a_time)
{
  struct stream s = {0};
  unsigned i;

  script.nr_cuts = 0;
  for (i = 1; i <= n; i++) {
    add_request (&s, i, i % 3 == 0 ? CMD_WRITE : CMD_READ, 100);
    if (i % at_a_time == 0)
      add_cut (s.len);
  }
  play (&s, connect_unix);
  free (s.bytes);
}

/* Where polls are better, there are no sleeps after the first ones, which show
 * that.
 */
static void
test_polled_for (void **state)
{
  (void) state;
  batch_set_poll (LONG);
  play_in_turns (120, 1);
  assert_in_range (calls.readvs, WINDOW, WINDOW + 3);
  assert_int_equal (calls.polls, 3 * (120 + 1 - calls.readvs));
}

/* Nor does a payload that comes by itself need one. */
static void
test_polled_for_payload (void **state)
{
  struct stream s = {0};
  unsigned i;

  (void) state;
  batch_set_poll (LONG);
  script.nr_cuts = 0;
  for (i = 1; i <= 120; i++) {
    add_cut (s.len + HEADER);
    add_request (&s, i, CMD_WRITE, 100);
    add_cut (s.len);
  }
  play (&s, connect_unix);
  free (s.bytes);
  assert_in_range (calls.readvs, 2 * WINDOW, 2 * WINDOW + 5);
  assert_int_equal (calls.polls, 3 * (2 * 120 + 1 - calls.readvs));
}

/* Not one that has more at a time, nor where a reply may have to wait, nor when
 * it is not wanted.
 */
static void
test_not_polled_for (void **state)
{
  (void) state;
  batch_set_poll (LONG);
  play_in_turns (120, 2);
  batch_set_serial (false);
  play_in_turns (120, 1);
  batch_set_serial (true);
  batch_set_poll (0);
  play_in_turns (120, 1);
  assert_int_equal (calls.polls, 0);
}

static ssize_t
recvmsg_in_vain (int fd, struct msghdr *msg, int flags)
{
  (void) fd;
  (void) msg;
  (void) flags;
  calls.polls++;
  errno = EAGAIN;
  return -1;
}

/* One that is slower than the time, here any, is soon left alone. */
static void
test_slow_client (void **state)
{
  (void) state;
  batch_libc.recvmsg = recvmsg_in_vain;
  batch_set_poll (1);
  play_in_turns (200, 1);
  assert_int_equal (calls.polls, 4);
}

static int other[2];

/* While one connection is polled for, another has a request; and only when that
 * poll has ended, there is one for the first.
 */
static ssize_t
recvmsg_beside_other (int fd, struct msghdr *msg, int flags)
{
  struct stream s = {0};

  (void) msg;
  (void) flags;
  calls.polls++;
  add_request (&s, 1, CMD_READ, 10);
  write_all (other[1], s.bytes, s.len);
  assert_int_equal (serve_one (other[0], NULL, NULL), 1);
  free (s.bytes);
  assert_false (has_input (fd));
  errno = EAGAIN;
  return -1;
}

/* A poll gives way to another connection, and so do all, as long as both have
 * requests.
 */
static void
test_poll_gives_way (void **state)
{
  (void) state;
  batch_set_poll (LONG);
  connect_unix (other);
  batch_libc.recvmsg = recvmsg_beside_other;
  play_in_turns (120, 1);
  /* It takes as many sleeps again until another may be polled for. */
  assert_in_range (calls.polls, 2, 120 / WINDOW);
  end_both (other);
}

/*---------------------------------------------------------------------*/
/* A client that is busy */

/* As long as it has replies to take, requests are read after a nap, and several
 * at once; before that all replies are sent.
 */
static void
test_naps_for_busy (void **state)
{
  (void) state;
  batch_libc.has_unread = our_has_unread;
  play_in_turns (120, 1);
  assert_int_equal (calls.naps, 0);
  assert_int_equal (calls.readvs, 121);

  calls.unread = true;
  calls.turn_in_nap = take_turn;
  calls.readvs = calls.polls = 0;
  play_in_turns (120, 1);
  assert_true (calls.naps > 100);
  assert_int_equal (calls.naps + calls.readvs, 121);
  assert_int_equal (calls.polls, calls.naps);
}

/* Who has nothing to send then is waited for, and once. */
static void
test_naps_in_vain (void **state)
{
  (void) state;
  batch_libc.has_unread = our_has_unread;
  batch_libc.recvmsg = recvmsg_in_vain;
  calls.unread = true;
  play_in_turns (120, 1);
  assert_true (calls.naps > 100);
  assert_int_equal (calls.polls, calls.naps);
  assert_int_equal (calls.readvs, 121);
}

static ssize_t
recvmsg_reset (int fd, struct msghdr *msg, int flags)
{
  (void) fd;
  (void) msg;
  (void) flags;
  errno = ECONNRESET;
  return -1;
}

/* An error that comes up then is not lost: the kernel tells of it once. */
static void
test_error_after_nap (void **state)
{
  int ends[2];
  char c;

  (void) state;
  batch_libc.has_unread = our_has_unread;
  batch_libc.recvmsg = recvmsg_reset;
  calls.unread = true;
  connect_unix (ends);
  do {
    write_all (ends[1], "x", 1);
    errno = 0;
  } while (batch_read (ends[0], &c, 1) == 1);
  assert_int_equal (errno, ECONNRESET);
  assert_int_equal (calls.naps, 1);
  end_both (ends);
}

/* Not over TCP, where it cannot be known, where requests have their time, or
 * may wait.
 */
static void
test_no_naps (void **state)
{
  struct stream s = few_requests ();
  size_t i;

  (void) state;
  batch_libc.has_unread = our_has_unread;
  calls.unread = true;
  batch_set_waits (true);
  play_in_turns (120, 1);
  batch_set_waits (false);
  batch_set_serial (false);
  play_in_turns (120, 1);
  batch_set_serial (true);
  script.nr_cuts = 0;
  for (i = 1; i <= s.len; i++)
    add_cut (i);
  play (&s, connect_tcp);
  free (s.bytes);
  assert_int_equal (calls.naps, 0);
}

int
main (void)
{
#define CASE(f) cmocka_unit_test_setup (f, set_up)
  const struct CMUnitTest tests[] = {
      CASE (test_polled_for),     CASE (test_polled_for_payload),
      CASE (test_not_polled_for), CASE (test_slow_client),
      CASE (test_poll_gives_way), CASE (test_naps_for_busy),
      CASE (test_naps_in_vain),   CASE (test_error_after_nap),
      CASE (test_no_naps),
  };

  alarm (240);
  return RUN_TESTS (tests);
}
