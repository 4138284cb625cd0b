/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A server that defers replies as the plugin does, and a peer; see deferring.h.
 */

#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "deferring.h"

/*---------------------------------------------------------------------*/
/* Bytes */

void
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

void
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

void
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

int server, peer;
int quit[2];

struct calls calls;

static void
take_turn (enum place place)
{
  void (*turn) (void) = calls.turn[place];

  calls.waits[place]++;
  calls.turn[place] = NULL;
  if (turn != NULL)
    turn ();
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
  if (nfds <= 2 && fds[0].fd == server && fds[0].events == POLLIN) {
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

/* Should a call fail now, as interrupted or as if the buffer were full? */
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
  size_t n = bytes_of (msg);

  if (is_trouble ())
    return -1;
  if (calls.trouble > 0 && random_below (&calls.seed, 2))
    n = shorter (n);
  return send_first (fd, msg, n, flags);
}

/*---------------------------------------------------------------------*/
/* What happened, in order: requests that were read, and calls of due */

struct seen seen;

void
note (uint32_t cookie, bool is_due, bool gone)
{
  const unsigned i = seen.nr++;

  must (i < sizeof seen.events / sizeof seen.events[0],
        "not more events than are noted");
  seen.events[i].cookie = cookie;
  seen.events[i].is_due = is_due;
  seen.events[i].gone = gone;
  seen.reads += !is_due;
  seen.dues += is_due;
  seen.nr_gone += gone;
}

int
due (void *arg, uint64_t *moment, bool gone)
{
  const struct request *r = arg;

  note (r->cookie, true, gone);
  seen.early += !gone && *moment < r->earliest;
  return gone ? r->verdict_gone : r->verdict;
}

unsigned
dues_of (uint32_t cookie)
{
  unsigned i, r = 0;

  for (i = 0; i < seen.nr; i++)
    r += seen.events[i].is_due && seen.events[i].cookie == cookie;
  return r;
}

/*---------------------------------------------------------------------*/
/* The connection */

void
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

int
set_up (void **state)
{
  (void) state;
  batch_libc = systems_own;
  batch_libc.readv = our_readv;
  batch_libc.recvfrom = our_recvfrom;
  batch_libc.send = our_send;
  batch_libc.sendmsg = our_sendmsg;
  batch_libc.ppoll = our_ppoll;
  batch_libc.nap = our_nap;
  batch_set_serial (true);
  batch_set_poll (0);
  assert_int_equal (pipe (quit), 0);
  server = peer = -1;
  connect_again (8);
  return 0;
}

int
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

void
ask (uint32_t first, uint32_t last)
{
  struct stream s = {0};

  for (; first <= last; first++)
    add_request (&s, first, 0);
  write_all (peer, s.bytes, s.len);
  free (s.bytes);
}

void
expect (const struct stream *s)
{
  expect_now (peer, s->bytes, s->len);
}

void
expect_nothing (void)
{
  const struct stream none = {0};

  expect (&none);
}

void
expect_replies (const uint32_t *cookies, unsigned n)
{
  struct stream s = {0};
  unsigned i;

  for (i = 0; i < n; i++)
    add_reply (&s, cookies[i], 1, 100);
  expect (&s);
  free (s.bytes);
}

void
expect_reply (uint32_t cookie)
{
  expect_replies (&cookie, 1);
}

uint32_t
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

bool
defer_data (uint32_t cookie, uint64_t due_at, uint64_t spin, int verdict,
            int verdict_gone, size_t data)
{
  const struct request r = {
      .cookie = cookie,
      .verdict = verdict,
      .verdict_gone = verdict_gone,
      .earliest = due_at - (spin != 0 && clock_cpus () > 1 ? 0 : LATENESS)};

  return batch_defer (due_at, spin, due, &r, sizeof r, data);
}

bool
defer_with (uint32_t cookie, uint64_t due_at, uint64_t spin, int verdict,
            int verdict_gone)
{
  return defer_data (cookie, due_at, spin, verdict, verdict_gone, DATA);
}

bool
defer (uint32_t cookie, uint64_t due_at, uint64_t spin)
{
  return defer_with (cookie, due_at, spin, 0, -ESHUTDOWN);
}

bool
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

void
answer_with (uint32_t cookie, unsigned chunks, size_t size)
{
  struct stream s = {0};

  add_reply (&s, cookie, chunks, size);
  assert_true (send_pieces (&s, 20));
  free (s.bytes);
}

void
answer (uint32_t cookie)
{
  answer_with (cookie, 1, 100);
}

void
defer_for_long (uint32_t first, uint32_t last)
{
  ask (first, last);
  for (; first <= last; first++) {
    assert_int_equal (next_request (), first);
    assert_true (defer (first, clock_now () + HOUR + first, 0));
    answer (first);
  }
}

void
reads_first (void)
{
  ask (1, 1);
  assert_int_equal (next_request (), 1);
}

void
stop_server (void)
{
  assert_int_equal (write (quit[1], "", 1), 1);
}

void
ends (void)
{
  shutdown (peer, SHUT_WR);
}
