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
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/common.h"
#include "stream.h"
#include "unit.h"

#include "batch/batch-socket-internal.h"

#define HOUR (3600 * NSEC_PER_SEC)

/* Past, however young the machine is: the clock counts from its start. */
#define LONG_AGO 1

/* Spin for all of a wait that is too short to nap in. */
#define LONG_SPIN (10 * NSEC_PER_MSEC)

/* What the waiter takes a sleep to be late by, at most: without spin a wait may
 * end that much too soon.
 */
#define LATENESS (250 * NSEC_PER_USEC)

/*---------------------------------------------------------------------*/
/* Bytes */

/* COUNT is that of a write, whose payload follows. */
static void
add_request (struct stream *s, uint32_t cookie, uint32_t count)
{
  unsigned char *p = grow (s, HEADER + count);

  put32 (p, MAGIC);
  p[7] = count > 0;
  put32 (p + 8, ~cookie);
  put32 (p + 12, cookie);
  put32 (p + 24, count);
}

static void
add_data (struct stream *s, uint32_t cookie, size_t n)
{
  unsigned char *p = grow (s, n);
  size_t i;

  for (i = 0; i < n; i++)
    p[i] = cookie * 5 + i + (i >> 8);
}

static unsigned char *
add_chunk (struct stream *s, uint32_t cookie, uint32_t flags_and_type,
           uint32_t len)
{
  unsigned char *p = grow (s, 20);

  put32 (p, 0x668e33ef);
  put32 (p + 4, flags_and_type);
  put32 (p + 8, ~cookie);
  put32 (p + 12, cookie);
  put32 (p + 16, len);
  return p;
}

static void
add_simple (struct stream *s, uint32_t cookie, uint32_t error)
{
  unsigned char *p = grow (s, 16);

  put32 (p, 0x67446698);
  put32 (p + 4, error);
  put32 (p + 8, ~cookie);
  put32 (p + 12, cookie);
}

/* With SIZE bytes of data in so many chunks, or, where these are 0, a simple
 * one.
 */
static void
add_reply (struct stream *s, uint32_t cookie, unsigned chunks, size_t size)
{
  unsigned i;

  if (chunks == 0) {
    add_simple (s, cookie, 0);
    add_data (s, cookie, size);
  }
  for (i = 0; i < chunks; i++) {
    add_chunk (s, cookie, (i + 1 == chunks ? 1 << 16 : 0) | 1, 8 + size);
    put32 (grow (s, 8) + 4, i * size);
    add_data (s, cookie + i, size);
  }
}

static void
add_error (struct stream *s, uint32_t cookie, unsigned chunks)
{
  if (chunks == 0)
    add_simple (s, cookie, 108);
  else {
    add_chunk (s, cookie, 1 << 16 | 32769, 6);
    put32 (grow (s, 6), 108);
  }
}

/*---------------------------------------------------------------------*/
/* The system's calls, and what the peer does before the server waits in them */

enum place { AT_READ, AT_NAP, AT_SLEEP, AT_LOOK, NR_PLACES };

static int server, peer;
static int quit[2]; /* written to when the server stops */

static struct {
  void (*turn[NR_PLACES]) (void); /* taken once; NULL: none */
  atomic_uint waits[NR_PLACES];
  bool short_naps;
  bool naps_elsewhere; /* by a function that the library has not */
  unsigned lies; /* of sleeps and looks: that there is something to read */
  unsigned interruptions; /* of sleeps, that are to come */
  unsigned trouble;       /* of sends, in percent */
  uint64_t seed;
} calls;

static void
take_turn (enum place place)
{
  void (*turn) (void) = calls.turn[place];

  calls.waits[place]++;
  calls.turn[place] = NULL;
  if (turn != NULL)
    turn ();
}

static bool
has_input (int fd)
{
  struct pollfd p = {.fd = fd, .events = POLLIN};

  return poll (&p, 1, 0) == 1;
}

static ssize_t
our_readv (int fd, const struct iovec *iov, int iovcnt)
{
  if (!has_input (fd))
    take_turn (AT_READ);
  return readv (fd, iov, iovcnt);
}

static ssize_t
our_recvfrom (int fd, void *buf, size_t n, int flags, struct sockaddr *from,
              socklen_t *fromlen)
{
  take_turn (AT_LOOK);
  if (calls.lies > 0) {
    calls.lies--;
    errno = EINTR;
    return -1;
  }
  return recvfrom (fd, buf, n, flags, from, fromlen);
}

static int
our_ppoll (struct pollfd *fds, nfds_t nfds, const struct timespec *timeout,
           const sigset_t *sigmask)
{
  if (nfds == 1 && fds[0].fd == server && fds[0].events == POLLIN) {
    take_turn (AT_SLEEP);
    if (calls.interruptions > 0) {
      calls.interruptions--;
      errno = EINTR;
      return -1;
    }
    if (calls.lies > 0) {
      calls.lies--;
      fds[0].revents = POLLIN;
      return 1;
    }
  }
  return ppoll (fds, nfds, timeout, sigmask);
}

static int
our_nap (uint64_t nsec)
{
  static const struct timespec at_once;
  struct pollfd stops = {.fd = quit[0], .events = POLLIN};
  const struct timespec ts = {.tv_sec = nsec / NSEC_PER_SEC,
                              .tv_nsec = nsec % NSEC_PER_SEC};

  if (nsec > 0)
    take_turn (AT_NAP);
  if (calls.naps_elsewhere)
    return ppoll (&stops, 1, &ts, NULL) > 0 ? -ESHUTDOWN : 0;
  return batch_ppoll (&stops, 1, calls.short_naps ? &at_once : &ts, NULL) > 0
             ? -ESHUTDOWN
             : 0;
}

/* As a call that is interrupted, and one that fills the socket's buffer. */
static bool
is_trouble (void)
{
  if (calls.trouble == 0 || random_below (&calls.seed, 100) >= calls.trouble)
    return false;
  errno = random_below (&calls.seed, 2) ? EINTR : EAGAIN;
  return true;
}

static size_t
shorter (size_t n)
{
  return calls.trouble == 0 || n == 0 ? n : 1 + random_below (&calls.seed, n);
}

static ssize_t
our_send (int fd, const void *buf, size_t n, int flags)
{
  return is_trouble () ? -1 : send (fd, buf, shorter (n), flags);
}

static ssize_t
our_sendmsg (int fd, const struct msghdr *msg, int flags)
{
  struct iovec iov[2] = {msg->msg_iov[0], msg->msg_iov[1]};
  struct msghdr less = {.msg_iov = iov, .msg_iovlen = msg->msg_iovlen};

  if (is_trouble ())
    return -1;
  if (calls.trouble > 0 && random_below (&calls.seed, 2)) {
    iov[0].iov_len = shorter (iov[0].iov_len);
    less.msg_iovlen = 1;
  }
  return sendmsg (fd, &less, flags);
}

/*---------------------------------------------------------------------*/
/* What happened, in order: requests that were read, and those that due was
 * called for.
 */

static struct {
  struct {
    uint32_t cookie;
    bool is_due, over;
  } events[4096];
  unsigned nr, reads, dues, overs, early;
} seen;

static void
note (uint32_t cookie, bool is_due, bool over)
{
  const unsigned i = seen.nr++;

  if (i >= sizeof seen.events / sizeof seen.events[0])
    abort ();
  seen.events[i].cookie = cookie;
  seen.events[i].is_due = is_due;
  seen.events[i].over = over;
  seen.reads += !is_due;
  seen.dues += is_due;
  seen.overs += over;
}

struct request {
  uint32_t cookie;
  int verdict, verdict_over;
  uint64_t earliest;
};

static int
due (void *arg, uint64_t now, bool over)
{
  const struct request *r = arg;

  note (r->cookie, true, over);
  seen.early += !over && now < r->earliest;
  return over ? r->verdict_over : r->verdict;
}

/* How often was it called for COOKIE? */
static unsigned
dues_of (uint32_t cookie)
{
  unsigned i, r = 0;

  for (i = 0; i < seen.nr; i++)
    r += seen.events[i].is_due && seen.events[i].cookie == cookie;
  return r;
}

/*---------------------------------------------------------------------*/
/* The connection */

static void
connect_again (unsigned depth)
{
  int ends[2];

  batch_end (server);
  close (server);
  close (peer);
  assert_int_equal (socketpair (AF_UNIX, SOCK_STREAM, 0, ends), 0);
  server = ends[0];
  peer = ends[1];
  batch_set_depth (depth);
  batch_begin (server);
  memset (&calls, 0, sizeof calls);
  memset (&seen, 0, sizeof seen);
}

static int
set_up (void **state)
{
  (void) state;
  batch_system = (struct batch_calls){.read = read,
                                      .readv = our_readv,
                                      .recvfrom = our_recvfrom,
                                      .recvmsg = recvmsg,
                                      .send = our_send,
                                      .sendmsg = our_sendmsg,
                                      .write = write,
                                      .shutdown = shutdown,
                                      .ppoll = our_ppoll,
                                      .nap = our_nap,
                                      .now = clock_now,
                                      .cpu = clock_now};
  batch_set_serial (true);
  batch_set_poll (0);
  assert_int_equal (pipe (quit), 0);
  server = peer = -1;
  connect_again (8);
  return 0;
}

static int
tear_down (void **state)
{
  (void) state;
  batch_end (server);
  close (server);
  close (peer);
  close (quit[0]);
  close (quit[1]);
  return 0;
}

static void
write_all (int fd, const void *buf, size_t n)
{
  const unsigned char *p = buf;
  ssize_t r;

  while (n > 0) {
    r = send (fd, p, n, MSG_NOSIGNAL);
    assert_true (r > 0);
    p += r;
    n -= r;
  }
}

/* The peer sends requests FIRST to LAST at once. */
static void
ask (uint32_t first, uint32_t last)
{
  struct stream s = {0};

  for (; first <= last; first++)
    add_request (&s, first, 0);
  write_all (peer, s.bytes, s.len);
  free (s.bytes);
}

/* These bytes are here for the peer, and no others. */
static void
expect (const struct stream *s)
{
  unsigned char buf[4096];
  const unsigned char *p = s->bytes;
  size_t left = s->len;
  ssize_t r;

  while ((r = recv (peer, buf, sizeof buf, MSG_DONTWAIT)) > 0) {
    assert_true ((size_t) r <= left);
    assert_memory_equal (buf, p, r);
    p += r;
    left -= r;
  }
  assert_int_equal (left, 0);
}

static void
expect_nothing (void)
{
  const struct stream none = {0};

  expect (&none);
}

/* The replies to requests in such an order, as answer makes them. */
static void
expect_replies (const uint32_t *cookies, unsigned n)
{
  struct stream s = {0};
  unsigned i;

  for (i = 0; i < n; i++)
    add_reply (&s, cookies[i], 1, 100);
  expect (&s);
  free (s.bytes);
}

static void
expect_reply (uint32_t cookie)
{
  expect_replies (&cookie, 1);
}

/* The server reads a request: its number, or 0 at the end. */
static uint32_t
next_request (void)
{
  unsigned char header[HEADER];
  const ssize_t r = batch_read (server, header, HEADER);
  uint32_t cookie;

  if (r == 0)
    return 0;
  assert_int_equal (r, HEADER);
  assert_int_equal (get32 (header), MAGIC);
  cookie = get32 (header + 12);
  note (cookie, false, false);
  return cookie;
}

/* A reply has this much data, if nothing else is said: more than most here. */
#define DATA 6000

static bool
defer_data (uint32_t cookie, uint64_t deadline, uint64_t spin, int verdict,
            int verdict_over, size_t data)
{
  const struct request r = {
      .cookie = cookie,
      .verdict = verdict,
      .verdict_over = verdict_over,
      .earliest = deadline - (spin != 0 && clock_cpus () > 1 ? 0 : LATENESS)};

  return batch_defer (deadline, spin, due, &r, sizeof r, data);
}

static bool
defer_with (uint32_t cookie, uint64_t deadline, uint64_t spin, int verdict,
            int verdict_over)
{
  return defer_data (cookie, deadline, spin, verdict, verdict_over, DATA);
}

/* ... and this is what the device does. */
static bool
defer (uint32_t cookie, uint64_t deadline, uint64_t spin)
{
  return defer_with (cookie, deadline, spin, 0, -ESHUTDOWN);
}

/* In pieces of SIZE bytes.  False: the connection is lost. */
static bool
send_pieces (const struct stream *s, size_t size)
{
  size_t done = 0, piece;
  ssize_t r;

  while (done < s->len) {
    piece = size < s->len - done ? size : s->len - done;
    r = batch_send (server, s->bytes + done, piece,
                    done + piece < s->len ? MSG_MORE : 0);
    if (r == -1 && (errno == EINTR || errno == EAGAIN))
      continue;
    if (r <= 0)
      return false;
    done += r;
  }
  return true;
}

static void
answer_with (uint32_t cookie, unsigned chunks, size_t size)
{
  struct stream s = {0};

  add_reply (&s, cookie, chunks, size);
  assert_true (send_pieces (&s, 20));
  free (s.bytes);
}

static void
answer (uint32_t cookie)
{
  answer_with (cookie, 1, 100);
}

/* Requests FIRST to LAST come at once, and wait for what is far ahead. */
static void
defer_for_long (uint32_t first, uint32_t last)
{
  ask (first, last);
  for (; first <= last; first++) {
    assert_int_equal (next_request (), first);
    assert_true (defer (first, clock_now () + HOUR + first, 0));
    answer (first);
  }
}

static void
reads_first (void)
{
  ask (1, 1);
  assert_int_equal (next_request (), 1);
}

static void
stop_server (void)
{
  assert_int_equal (write (quit[1], "", 1), 1);
}

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
  assert_int_equal (seen.overs, 0);
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
    batch_settle (server);
    assert_int_equal (seen.overs, n);
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
    assert_int_equal (seen.overs, 0);
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

static void
ends (void)
{
  shutdown (peer, SHUT_WR);
}

/* Of many that are here, no more are taken. */
static void
test_depth (void **state)
{
  uint64_t ahead = 2 * NSEC_PER_MSEC;
  unsigned depth, most;
  uint32_t i;

  (void) state;
  for (depth = 1; depth <= 9; depth += 4) {
    ahead /= 2;
    do {
      connect_again (depth);
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
      assert_int_equal (seen.overs, 0);
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
  uint64_t deadline;
  unsigned looks;
  uint32_t i;

  do {
    connect_again (64);
    ask (1, n);
    ahead *= 2;
    deadline = clock_now () + ahead;
    for (i = 1; i <= n; i++) {
      assert_int_equal (next_request (), i);
      assert_true (defer (i, deadline, spin));
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
verdicts (bool over)
{
  const uint32_t n = over ? 15 : 14;
  struct stream wanted = {0};
  uint32_t i;
  char c;
  int verdict;

  connect_again (20);
  ask (1, 15);
  for (i = 1; i <= n; i++) {
    verdict = i == 14 ? 1 : i % 2 == 1 ? -ESHUTDOWN : 0;
    assert_int_equal (next_request (), i);
    assert_true (defer_with (i, over ? clock_now () + HOUR + i : LONG_AGO, 0,
                             over ? 99 : verdict, over ? verdict : 99));
    answer_with (i, i % 4, i % 2 * 5000);
    if (i < 14 && verdict == 0)
      add_reply (&wanted, i, i % 4, i % 2 * 5000);
    else if (i < 14)
      add_error (&wanted, i, i % 4);
  }
  if (over)
    batch_settle (server);
  else
    assert_int_equal (next_request (), 0);
  expect (&wanted);
  batch_end (server);
  assert_int_equal (seen.dues, n);
  assert_int_equal (seen.overs, over ? n : 0);
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
    batch_settle (server);
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
  const char request[257] = {0};
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
  batch_settle (server);
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
  assert_false (batch_defer (clock_now () + HOUR, 0, due, request, 257, 0));
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
due_for_bytes (void *request, uint64_t now, bool over)
{
  const unsigned char *p = request;
  unsigned i;

  (void) now;
  for (i = 0; i < 256; i++) {
    if (p[i] != i)
      return 99;
  }
  note (1, true, over);
  return 0;
}

/* A request may have so many bytes, and is kept as it was. */
static void
test_request_is_copied (void **state)
{
  unsigned char request[256];
  unsigned i;

  (void) state;
  for (i = 0; i < 256; i++)
    request[i] = i;
  reads_first ();
  assert_true (batch_defer (0, 0, due_for_bytes, request, 256, 100));
  memset (request, 0, 256);
  answer (1);
  calls.turn[AT_READ] = ends;
  assert_int_equal (next_request (), 0);
  expect_reply (1);
  assert_int_equal (dues_of (1), 1);
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

/*---------------------------------------------------------------------*/
/* Room for replies */

#define MIB ((size_t) 1 << 20)

static bool
defer_large (uint32_t cookie, uint64_t deadline, size_t data)
{
  return defer_data (cookie, deadline, 0, 0, -ESHUTDOWN, data);
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
  assert_true (defer_large (1, now + 2 * HOUR, 60 * MIB));
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
  assert_false (defer_large (6, now, 64 * MIB));
  assert_int_equal (seen.dues, 0);
  batch_defer_cancel ();
  assert_int_equal (seen.overs, 2);

  /* The room is there again. */
  assert_true (defer_large (6, now + HOUR, 63 * MIB));
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
  assert_true (defer_large (1, soon, 30 * MIB));
  answer (1);
  assert_int_equal (next_request (), 2);
  assert_true (defer_large (2, soon + HOUR, 30 * MIB));
  answer (2);
  assert_int_equal (next_request (), 3);
  assert_true (defer_large (3, soon + HOUR, 30 * MIB));
  answer (3);
  assert_int_equal (seen.dues, 1);
  assert_int_equal (seen.overs, 0);
  assert_int_equal (seen.early, 0);
  expect_reply (1);
}

/* All connections together have a limit as well. */
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
    deferred += defer_large (1, later, 60 * MIB);
    assert_int_equal (deferred, i < 4 ? i + 1 : 4);
  }
  batch_end (servers[0]);
  assert_true (defer_large (1, later, 60 * MIB));
  for (i = 0; i < 6; i++) {
    batch_end (servers[i]);
    close (servers[i]);
    close (peers[i]);
  }
  assert_int_equal (seen.overs, 5);
}

static int
count_due (void *request, uint64_t now, bool over)
{
  unsigned **n = request;

  (void) now;
  **n += !over;
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
  add_reply (&s, 1, 1, 65 * MIB);
  reads_first ();
  assert_true (defer_data (1, clock_now () + HOUR, 0, 0, 0, 10));
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
  assert_int_equal (seen.overs, 4);
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
  assert_int_equal (seen.overs, 6);
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
  assert_int_equal (seen.overs, 1);
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

static void
test_cancel_after_number_again (void **state)
{
  unsigned dues = 99;
  pthread_t thread;

  (void) state;
  three_and_a_part ();
  take_number_over ();
  expect_four_over ();
  pthread_barrier_init (&barrier, NULL, 2);
  assert_int_equal (pthread_create (&thread, NULL, serve_another, &dues), 0);
  pthread_barrier_wait (&barrier);
  batch_defer_cancel ();
  pthread_barrier_wait (&barrier);
  pthread_join (thread, NULL);
  pthread_barrier_destroy (&barrier);
  assert_int_equal (dues, 0);
  assert_int_equal (dues_of (5), 1);
  assert_int_equal (seen.overs, 5);
  expect_nothing ();
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
  assert_int_equal (seen.overs, 1);
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
    assert_int_equal (seen.overs, 3);
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
  assert_int_equal (seen.overs, 3);

  connect_again (3);
  defer_for_long (1, 3);
  calls.turn[AT_NAP] = leaves_and_stops;
  assert_int_equal (next_request (), 0);
  assert_int_equal (seen.overs, 3);
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
  assert_int_equal (seen.overs, 3);

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

/*---------------------------------------------------------------------*/
/* Beside others */

static void
has_others_and_stops (void)
{
  const uint32_t others[] = {3, 4, 5, 6};

  expect_replies (others, 4);
  stop_server ();
}

/* What is not deferred overtakes, whether or not it is held for a while because
 * the next request is here.
 */
static void
test_overtakes (void **state)
{
  struct stream s = {0};

  (void) state;
  connect_again (2);
  assert_false (batch_has_deferred ());
  defer_for_long (1, 1);
  ask (2, 2);
  assert_int_equal (next_request (), 2);
  assert_true (batch_has_deferred ());
  answer (2);
  expect_reply (2);

  ask (3, 5);
  assert_int_equal (next_request (), 3);
  answer (3);
  assert_int_equal (next_request (), 4);
  expect_nothing (); /* 3 is held */
  answer (4);
  assert_int_equal (next_request (), 5);

  /* With a deferred one after it, which fills the connection up. */
  add_request (&s, 6, 0);
  add_request (&s, 7, 0);
  add_request (&s, 8, 0);
  write_all (peer, s.bytes, s.len);
  answer (5);
  assert_int_equal (next_request (), 6);
  answer (6);
  assert_int_equal (next_request (), 7);
  assert_true (defer (7, clock_now () + HOUR, 0));
  answer (7);
  calls.turn[AT_NAP] = has_others_and_stops;
  assert_int_equal (next_request (), 0);
  s.len = 0;
  add_error (&s, 1, 1);
  add_error (&s, 7, 1);
  expect (&s);
  free (s.bytes);
}

static void
has_first_sends_payload (void)
{
  expect_reply (1);
  write_all (peer, "payload", 7);
}

/* One that waits is answered while a payload is waited for. */
static void
test_payload_is_late (void **state)
{
  uint64_t ahead = 5 * NSEC_PER_MSEC;
  unsigned char payload[7];
  struct stream s = {0};

  (void) state;
  do {
    connect_again (8);
    s.len = 0;
    add_request (&s, 1, 0);
    add_request (&s, 2, 7);
    write_all (peer, s.bytes, s.len - 7);
    assert_int_equal (next_request (), 1);
    assert_true (defer (1, clock_now () + (ahead *= 2), 0));
    answer (1);
    assert_int_equal (next_request (), 2);
  } while (seen.dues > 0);
  calls.turn[AT_READ] = has_first_sends_payload;
  assert_int_equal (batch_read (server, payload, 7), 7);
  assert_memory_equal (payload, "payload", 7);
  assert_int_equal (seen.dues, 1);
  assert_int_equal (seen.early, 0);
  free (s.bytes);
}

/* Request 1 is due while 3 is in service, and 2 for long not. */
static void
due_in_service (void (*wait) (void))
{
  uint64_t ahead = 3 * NSEC_PER_MSEC, deadline;

  do {
    connect_again (8);
    ask (1, 3);
    deadline = clock_now () + (ahead *= 2);
    assert_int_equal (next_request (), 1);
    assert_true (defer (1, deadline, 0));
    answer (1);
    assert_int_equal (next_request (), 2);
    assert_true (defer (2, deadline + HOUR, 0));
    answer (2);
    assert_int_equal (next_request (), 3);
    wait ();
  } while (seen.dues > 0 || clock_now () >= deadline);
  expect_nothing ();
  while (clock_now () < deadline)
    ;
  wait ();
  assert_int_equal (seen.dues, 1);
  assert_int_equal (seen.overs, 0);
  expect_reply (1);
  answer (3);
  expect_reply (3);
}

static void
poll_at_once (void)
{
  static const struct timespec at_once;
  struct pollfd stops = {.fd = quit[0], .events = POLLIN};

  assert_int_equal (batch_ppoll (&stops, 1, &at_once, NULL), 0);
}

static void
test_before_wait (void **state)
{
  (void) state;
  due_in_service (batch_before_wait);
  due_in_service (poll_at_once);
}

/*---------------------------------------------------------------------*/
/* Any requests, any replies */

#define NR_RANDOM 300

static struct {
  struct plan {
    bool deferred;
    int verdict;
    unsigned chunks;
    uint32_t payload;
    uint64_t delay;
    size_t size, piece;
  } plans[NR_RANDOM + 1]; /* by cookie, which begin with 1 */
  uint64_t spin;
} random_case;

static void
plan_all (uint64_t *seed)
{
  static const uint64_t most_us[] = {1, 1000, 5000, 12000};
  static const size_t sizes[] = {16383, 16384, 65536, 200000};
  struct plan *p;
  unsigned i;

  for (i = 1; i <= NR_RANDOM; i++) {
    p = &random_case.plans[i];
    p->deferred = random_below (seed, 8) != 0;
    p->verdict = 0;
    if (p->deferred && random_below (seed, 4) == 0)
      p->verdict = -ESHUTDOWN;
    p->chunks = random_below (seed, 4);
    p->payload =
        random_below (seed, 4) == 0 ? 1 + random_below (seed, 3000) : 0;
    p->delay =
        NSEC_PER_USEC * random_below (seed, most_us[random_below (seed, 4)]);
    p->size = random_below (seed, 10) != 0 ? random_below (seed, 5000)
                                           : sizes[random_below (seed, 4)];
    p->piece = 16 + random_below (seed, random_below (seed, 2) ? 100 : 300000);
  }
}

static bool
receive_payload (size_t n)
{
  unsigned char buf[3000];
  ssize_t r;

  while (n > 0) {
    r = batch_read (server, buf, n);
    if (r <= 0)
      return false;
    n -= r;
  }
  return true;
}

/* Returns what went wrong, or NULL. */
static void *
serve_any (void *arg)
{
  static char failed[] = "failed";
  unsigned char header[HEADER];
  const struct plan *p;
  struct stream s = {0};
  uint32_t cookie;
  size_t n;
  ssize_t r;
  bool ok = true;

  (void) arg;
  while (ok) {
    for (n = 0; n < HEADER; n += r) {
      r = batch_read (server, header + n, HEADER - n);
      if (r <= 0)
        break;
    }
    if (n < HEADER)
      break;
    cookie = get32 (header + 12);
    note (cookie, false, false);
    p = &random_case.plans[cookie];
    ok = receive_payload (p->payload);
    if (ok && p->deferred)
      ok = defer_with (cookie, clock_now () + p->delay, random_case.spin,
                       p->verdict, 1);
    s.len = 0;
    add_reply (&s, cookie, p->chunks, p->size);
    ok = ok && send_pieces (&s, p->piece);
  }
  free (s.bytes);
  return ok && r == 0 ? NULL : failed;
}

/* Is this the whole reply to a request that has one? */
static uint32_t
take_reply (const struct stream *got, size_t *at)
{
  struct stream wanted = {0};
  const struct plan *p;
  uint32_t cookie;

  assert_true (got->len - *at >= 16);
  cookie = get32 (got->bytes + *at + 12);
  assert_in_range (cookie, 1, NR_RANDOM);
  p = &random_case.plans[cookie];
  if (p->verdict < 0)
    add_error (&wanted, cookie, p->chunks);
  else
    add_reply (&wanted, cookie, p->chunks, p->size);
  assert_true (got->len - *at >= wanted.len);
  assert_memory_equal (got->bytes + *at, wanted.bytes, wanted.len);
  *at += wanted.len;
  free (wanted.bytes);
  return cookie;
}

static void
converse (const struct stream *requests, struct stream *got, size_t n,
          uint64_t *seed)
{
  struct pollfd p = {.fd = peer};
  size_t sent = 0, piece;
  ssize_t r;

  while (sent < requests->len || got->len < n) {
    p.events = (sent < requests->len ? POLLOUT : 0) | POLLIN;
    assert_int_equal (poll (&p, 1, 60000), 1);
    if (p.revents & (POLLIN | POLLHUP)) {
      r = recv (peer, grow (got, 65536), 65536, MSG_DONTWAIT);
      assert_true (r > 0);
      got->len -= 65536 - r;
    }
    if (p.revents & POLLOUT) {
      piece = 1 + random_below (seed, random_below (seed, 2) ? 100 : 10000);
      if (piece > requests->len - sent)
        piece = requests->len - sent;
      r = send (peer, requests->bytes + sent, piece, MSG_DONTWAIT);
      assert_true (r > 0 || (r == -1 && errno == EAGAIN));
      sent += r > 0 ? r : 0;
    }
  }
}

static void
play_random (uint64_t *seed, unsigned depth, uint64_t spin)
{
  struct stream requests = {0}, wanted = {0}, got = {0};
  unsigned replies[NR_RANDOM + 1] = {0};
  const struct plan *p;
  pthread_t thread;
  size_t at = 0;
  unsigned i;
  void *failed;

  connect_again (depth);
  random_case.spin = spin;
  calls.trouble = random_below (seed, 2) * random_below (seed, 50);
  calls.seed = next_random (seed);
  plan_all (seed);
  for (i = 1; i <= NR_RANDOM; i++) {
    p = &random_case.plans[i];
    add_request (&requests, i, p->payload);
    if (p->verdict == 0)
      add_reply (&wanted, i, p->chunks, p->size);
    else if (p->verdict < 0)
      add_error (&wanted, i, p->chunks);
  }
  assert_int_equal (pthread_create (&thread, NULL, serve_any, NULL), 0);
  converse (&requests, &got, wanted.len, seed);
  shutdown (peer, SHUT_WR);
  pthread_join (thread, &failed);
  assert_null (failed);
  batch_end (server);
  expect_nothing ();
  assert_int_equal (got.len, wanted.len);
  while (at < got.len)
    replies[take_reply (&got, &at)]++;
  for (i = 1; i <= NR_RANDOM; i++) {
    p = &random_case.plans[i];
    assert_int_equal (replies[i], p->verdict <= 0);
    assert_int_equal (dues_of (i), p->deferred);
  }
  assert_int_equal (seen.early, 0);
  free (requests.bytes);
  free (wanted.bytes);
  free (got.bytes);
}

/* With spin for all of a wait, but not for more than are spun for. */
static void
test_random (void **state)
{
  uint64_t seed = new_seed ("random");

  (void) state;
  play_random (&seed, 1, 0);
  play_random (&seed, 3, LONG_SPIN);
  play_random (&seed, 8, SPIN_AUTO);
  play_random (&seed, 64, 0);
  batch_set_poll (50000);
  play_random (&seed, 400, 0);
  play_random (&seed, 5, 0);
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
      CASE (test_no_room),
      CASE (test_makes_room),
      CASE (test_no_room_of_all),
      CASE (test_room_is_left),
      CASE (test_larger_than_said),
      CASE (test_many_pieces),
      CASE (test_cancel),
      CASE (test_end),
      CASE (test_end_waits_for_short_ones),
      CASE (test_number_again),
      CASE (test_cancel_after_number_again),
      CASE (test_request_ends_wait),
      CASE (test_interrupted),
      CASE (test_nothing_to_read),
      CASE (test_shutdown),
      CASE (test_peer_leaves),
      CASE (test_peer_has_left),
      CASE (test_overtakes),
      CASE (test_payload_is_late),
      CASE (test_before_wait),
      CASE (test_random),
  };

  alarm (240);
  return RUN_TESTS (tests);
}
