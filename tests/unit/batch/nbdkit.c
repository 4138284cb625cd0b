/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A server that does as nbdkit does, and a peer that follows a script; see
 * nbdkit.h.
 */

#include <config.h>

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nbdkit.h"

/*---------------------------------------------------------------------*/
/* Requests and replies */

void
add_request (struct stream *s, uint32_t cookie, int cmd, uint32_t count)
{
  unsigned char *p = grow (s, HEADER + (cmd == CMD_WRITE ? count : 0));
  uint32_t i;

  put32 (p, MAGIC);
  p[7] = cmd;
  put32 (p + 12, cookie);
  put32 (p + 20, cookie * 7);
  put32 (p + 24, count);
  if (cmd == CMD_WRITE) {
    for (i = 0; i < count; i++)
      p[HEADER + i] = cookie + i * 3;
  }
}

static uint32_t
sum (const unsigned char *p, size_t n)
{
  uint32_t r = 1;

  while (n-- > 0)
    r = r * 31 + *p++;
  return r;
}

/* Some reads are answered with zeroes. */
static bool
reads_zeroes (const unsigned char *request)
{
  return request[7] == CMD_READ && get32 (request + 12) % 4 == 3;
}

void
make_reply (struct reply *r, const unsigned char *request,
            const unsigned char *payload)
{
  const uint32_t cookie = get32 (request + 12), count = get32 (request + 24);
  uint32_t i;

  memset (r, 0, sizeof *r);
  put32 (r->head, 0x668e33ef);
  put32 (r->head + 8, cookie);
  r->head_len = 16;
  if (request[7] == CMD_WRITE)
    put32 (r->head + 4, sum (payload, count));
  else if (request[7] == CMD_READ) {
    r->head_len = 20;
    r->more_len = 8;
    r->data_len = count;
    r->data = malloc (count + 1);
    assert_non_null (r->data);
    for (i = 0; i < count; i++)
      r->data[i] = reads_zeroes (request) ? 0 : cookie * 5 + i;
  }
}

struct stream
replies_to (const struct stream *requests, size_t n)
{
  struct stream s = {0};
  const unsigned char *p = requests->bytes, *end = p + n;
  struct reply r;
  size_t size;

  for (; end - p >= HEADER && p[7] != CMD_DISC; p += size) {
    size = HEADER + (p[7] == CMD_WRITE ? get32 (p + 24) : 0);
    if ((size_t) (end - p) < size)
      break;
    make_reply (&r, p, p + HEADER);
    memcpy (grow (&s, r.head_len), r.head, r.head_len);
    memcpy (grow (&s, r.more_len), r.more, r.more_len);
    if (r.data_len > 0)
      memcpy (grow (&s, r.data_len), r.data, r.data_len);
    free (r.data);
  }
  return s;
}

/*---------------------------------------------------------------------*/
/* The server: nbdkit's loop */

/* 1, 0 at the end, or -1 with errno. */
static int
receive (int fd, unsigned char *buf, size_t n)
{
  const bool whole = n > 0;
  bool first = true;
  ssize_t r;

  while (n > 0) {
    r = batch_read (fd, buf, n);
    if (r == -1 && (errno == EINTR || errno == EAGAIN))
      continue;
    if (r <= 0)
      return r == 0 && first ? 0 : -1;
    first = false;
    buf += r;
    n -= r;
  }
  return whole;
}

static int
transmit (int fd, const unsigned char *buf, size_t n, int flags)
{
  ssize_t r;

  while (n > 0) {
    r = batch_send (fd, buf, n, flags | MSG_NOSIGNAL);
    if (r == -1 && (errno == EINTR || errno == EAGAIN))
      continue;
    if (r == -1)
      return -1;
    assert_true (r > 0);
    buf += r;
    n -= r;
  }
  return 0;
}

static int
send_reply (int fd, const struct reply *r, const unsigned char *data)
{
  if (transmit (fd, r->head, r->head_len, r->more_len > 0 ? MSG_MORE : 0) < 0 ||
      transmit (fd, r->more, r->more_len, MSG_MORE) < 0)
    return -1;
  return transmit (fd, data, r->data_len, 0);
}

/* nbdkit's buffer, for payloads and for the data of reads. */
static _Thread_local unsigned char buffer[300000];

void
answer (unsigned char *buf, const unsigned char *data, size_t n)
{
  unsigned char *p = batch_answer_buffer (buf, n);

  if (p != buf)
    memset (buf, 0xee, n);
  memcpy (p, data, n);
}

/* Requests of this thread that are to end before it sends or waits. */
static _Thread_local unsigned open_requests;

static void
end_requests (void *arg)
{
  must (arg == &open_requests, "the same argument");
  must (open_requests > 0, "requests end once");
  open_requests = 0;
}

/* What the plugin does with a request. */
static void
act (struct reply *r, const unsigned char *header, unsigned char *buf)
{
  make_reply (r, header,
              header[7] == CMD_WRITE ? batch_payload (buf, get32 (header + 24))
                                     : NULL);
  if (!reads_zeroes (header)) {
    if (r->data_len > 0)
      answer (buf, r->data, r->data_len);
  }
  else if (!batch_still_zero (buf, r->data_len))
    memset (buf, 0, r->data_len);
  if (batch_before_reply (end_requests, &open_requests))
    open_requests++;
}

int
serve_one (int fd, pthread_mutex_t *read_lock, pthread_mutex_t *write_lock)
{
  unsigned char header[HEADER];
  struct reply reply;
  int r;

  if (read_lock != NULL)
    pthread_mutex_lock (read_lock);
  r = receive (fd, header, HEADER);
  if (r == 1) {
    assert_int_equal (get32 (header), MAGIC);
    if (header[7] == CMD_DISC)
      r = 0;
    else {
      assert_true (get32 (header + 24) <= sizeof buffer);
      if (header[7] == CMD_WRITE &&
          receive (fd, buffer, get32 (header + 24)) != 1)
        r = -1;
    }
  }
  if (read_lock != NULL)
    pthread_mutex_unlock (read_lock);
  if (r == 1) {
    act (&reply, header, buffer);
    if (write_lock != NULL)
      pthread_mutex_lock (write_lock);
    r = send_reply (fd, &reply, buffer) == 0 ? 1 : -1;
    if (write_lock != NULL)
      pthread_mutex_unlock (write_lock);
    free (reply.data);
  }
  return r;
}

int
serve (int fd)
{
  int r;

  while ((r = serve_one (fd, NULL, NULL)) == 1)
    ;
  return r;
}

/*---------------------------------------------------------------------*/
/* The system's calls */

struct calls calls;

static bool
is_trouble (void)
{
  return calls.trouble > 0 && random_below (&calls.seed, 100) < calls.trouble;
}

static ssize_t
our_readv (int fd, const struct iovec *iov, int iovcnt)
{
  must (open_requests == 0, "requests have ended before the kernel is asked");
  calls.readvs++;
  if (is_trouble ()) {
    errno = EINTR;
    return -1;
  }
  if (calls.turn != NULL && !has_input (fd))
    calls.turn (fd);
  if (is_trouble ())
    return read (fd, iov[0].iov_base,
                 1 + random_below (&calls.seed, iov[0].iov_len));
  return readv (fd, iov, iovcnt);
}

/* Two of three polls find nothing; then the peer has its turn. */
static ssize_t
our_recvmsg (int fd, struct msghdr *msg, int flags)
{
  must (open_requests == 0, "requests have ended before a poll");
  calls.polls++;
  if (is_trouble ()) {
    errno = EINTR;
    return -1;
  }
  if (calls.turn != NULL && !has_input (fd)) {
    if (calls.polls_in_vain++ % 3 < 2) {
      errno = EAGAIN;
      return -1;
    }
    calls.turn (fd);
  }
  return recvmsg (fd, msg, flags);
}

static ssize_t
our_read (int fd, void *buf, size_t n)
{
  if (calls.turn != NULL && !has_input (fd))
    calls.turn (fd);
  return read (fd, buf, n);
}

static ssize_t
our_sendmsg (int fd, const struct msghdr *msg, int flags)
{
  size_t n = bytes_of (msg);
  ssize_t r;

  must (open_requests == 0, "requests have ended before replies are sent");
  calls.sends++;
  if (is_trouble ()) {
    errno = is_trouble () ? EAGAIN : EINTR;
    return -1;
  }
  if (is_trouble () && n > 0)
    n = 1 + random_below (&calls.seed, n);
  calls.sending++;
  r = send_first (fd, msg, n, flags);
  calls.sending--;
  return r;
}

static ssize_t
our_send (int fd, const void *buf, size_t n, int flags)
{
  ssize_t r;

  must (open_requests == 0, "requests have ended before a piece is sent");
  calls.sends++;
  if (is_trouble ()) {
    errno = EINTR;
    return -1;
  }
  if (is_trouble () && n > 0)
    n = 1 + random_below (&calls.seed, n);
  calls.sending++;
  r = send (fd, buf, n, flags);
  calls.sending--;
  return r;
}

/* Each readv counts as 30 us, of which the CPU works 20, and each poll as 1 ns.
 */
static uint64_t
our_now (void)
{
  return 1 + calls.readvs * UINT64_C (30000) + calls.polls;
}

static uint64_t
our_cpu (void)
{
  return 1 + calls.readvs * UINT64_C (20000) + calls.polls;
}

/* A nap is the peer's turn, too. */
static int
our_ppoll (struct pollfd *fds, nfds_t nfds, const struct timespec *timeout,
           const sigset_t *sigmask)
{
  must (open_requests == 0, "requests have ended before a wait");
  if (nfds == 0) {
    calls.naps++;
    if (calls.turn_in_nap != NULL)
      calls.turn_in_nap (-1);
  }
  return ppoll (fds, nfds, timeout, sigmask);
}

int
set_up (void **state)
{
  (void) state;
  batch_libc = systems_own;
  batch_libc.read = our_read;
  batch_libc.readv = our_readv;
  batch_libc.recvmsg = our_recvmsg;
  batch_libc.send = our_send;
  batch_libc.sendmsg = our_sendmsg;
  batch_libc.ppoll = our_ppoll;
  batch_libc.now = our_now;
  batch_libc.cpu = our_cpu;
  memset (&calls, 0, sizeof calls);
  batch_set_serial (true);
  batch_set_poll (0);
  return 0;
}

/*---------------------------------------------------------------------*/
/* Sockets */

void
connect_unix (int ends[2])
{
  assert_int_equal (socketpair (AF_UNIX, SOCK_STREAM, 0, ends), 0);
  batch_begin (ends[0]);
}

void
connect_tcp (int ends[2])
{
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl (INADDR_LOOPBACK)};
  socklen_t len = sizeof address;
  int listener;

  listener = socket (AF_INET, SOCK_STREAM, 0);
  assert_int_equal (bind (listener, (struct sockaddr *) &address, len), 0);
  assert_int_equal (listen (listener, 1), 0);
  getsockname (listener, (struct sockaddr *) &address, &len);
  ends[1] = socket (AF_INET, SOCK_STREAM, 0);
  assert_int_equal (connect (ends[1], (struct sockaddr *) &address, len), 0);
  ends[0] = accept (listener, NULL, NULL);
  assert_int_not_equal (ends[0], -1);
  close (listener);
  batch_begin (ends[0]);
}

void
end (int fd)
{
  batch_end (fd);
  must (open_requests == 0, "requests have ended with their connection");
  close (fd);
}

void
end_both (const int ends[2])
{
  end (ends[0]);
  close (ends[1]);
}

void
shrink_buffers (const int ends[2])
{
  const int least = 1;

  setsockopt (ends[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
  setsockopt (ends[1], SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
}

void
expect (int fd, const void *bytes, size_t n)
{
  unsigned char buf[4096];
  const unsigned char *p = bytes;
  ssize_t r;

  while (n > 0) {
    r = recv (fd, buf, n < sizeof buf ? n : sizeof buf, 0);
    assert_true (r > 0);
    assert_memory_equal (buf, p, r);
    p += r;
    n -= r;
  }
}

void
expect_end (int fd)
{
  char c;

  assert_int_equal (recv (fd, &c, 1, 0), 0);
}

void
end_with (const int ends[2], const struct stream *due)
{
  end (ends[0]);
  expect (ends[1], due->bytes, due->len);
  expect_end (ends[1]);
  close (ends[1]);
}

struct script script;

void
take_turn (int server)
{
  struct stream due = replies_to (script.requests, script.sent);
  size_t cut;

  (void) server;
  assert_false (script.has_ended);
  expect_now (script.fd, due.bytes + script.replied, due.len - script.replied);
  script.replied = due.len;
  free (due.bytes);
  if (script.next == script.nr_cuts) {
    shutdown (script.fd, SHUT_WR);
    script.has_ended = true;
    return;
  }
  cut = script.cuts[script.next++];
  write_all (script.fd, script.requests->bytes + script.sent,
             cut - script.sent);
  script.sent = cut;
}

void
play (const struct stream *requests, void (*connect) (int ends[2]))
{
  int ends[2];

  connect (ends);
  script.fd = ends[1];
  script.requests = requests;
  script.next = script.sent = script.replied = 0;
  script.has_ended = false;
  calls.turn = take_turn;
  assert_int_equal (serve (ends[0]), 0);
  calls.turn = NULL;
  assert_true (script.has_ended);
  end (ends[0]);
  expect_end (ends[1]);
  close (ends[1]);
}

void
add_cut (size_t at)
{
  assert_true (script.nr_cuts < sizeof script.cuts / sizeof script.cuts[0]);
  script.cuts[script.nr_cuts++] = at;
}

struct stream
few_requests (void)
{
  struct stream s = {0};

  add_request (&s, 1, CMD_READ, 5);
  add_request (&s, 2, CMD_WRITE, 9);
  add_request (&s, 3, CMD_FLUSH, 0);
  add_request (&s, 4, CMD_READ, 1);
  add_request (&s, 5, CMD_WRITE, 1);
  add_request (&s, 6, CMD_READ, 300);
  return s;
}

void *
serve_thread (void *arg)
{
  const int fd = *(const int *) arg;
  const int r = serve (fd);

  end (fd);
  return r == 0 ? NULL : arg;
}

struct stream
random_requests (uint64_t *seed, unsigned most)
{
  static const uint32_t sizes[] = {1,     512,   4096,  16383, 16384, 16385,
                                   32768, 32769, 65508, 65536, 70000, 140000};
  const unsigned n = 1 + random_below (seed, most);
  struct stream s = {0};
  uint32_t size;
  unsigned i;

  for (i = 0; i < n; i++) {
    size = random_below (seed, 4) != 0 ? random_below (seed, 5000) + 1
                                       : sizes[random_below (seed, 12)];
    if (random_below (seed, 6) == 0)
      add_request (&s, i, CMD_FLUSH, 0);
    else
      add_request (&s, i, random_below (seed, 2) ? CMD_READ : CMD_WRITE, size);
  }
  return s;
}

void
converse (int fd, const struct stream *requests, unsigned char *replies,
          size_t n, uint64_t *seed)
{
  struct pollfd p = {.fd = fd};
  size_t sent = 0, received = 0, piece;
  ssize_t r;

  while (sent < requests->len || received < n) {
    p.events = (sent < requests->len ? POLLOUT : 0) | POLLIN;
    assert_int_equal (poll (&p, 1, 60000), 1);
    if (p.revents & POLLIN) {
      piece = 1 + random_below (seed, 100000);
      if (piece > n - received)
        piece = n - received;
      r = recv (fd, replies + received, piece, MSG_DONTWAIT);
      assert_true (r > 0 || (r == -1 && errno == EAGAIN));
      received += r > 0 ? r : 0;
    }
    if (p.revents & POLLOUT)
      sent += send_random_piece (fd, requests, sent, 100000, seed);
  }
}

void
random_conversation (uint64_t *seed)
{
  struct stream s = random_requests (seed, 40), due;
  unsigned char *replies;
  pthread_t thread;
  int ends[2];
  void *lost;

  if (random_below (seed, 2))
    connect_unix (ends);
  else
    connect_tcp (ends);
  if (random_below (seed, 2))
    shrink_buffers (ends);
  due = replies_to (&s, s.len);
  replies = malloc (due.len);
  assert_non_null (replies);
  assert_int_equal (pthread_create (&thread, NULL, serve_thread, &ends[0]), 0);
  converse (ends[1], &s, replies, due.len, seed);
  shutdown (ends[1], SHUT_WR);
  expect_end (ends[1]);
  pthread_join (thread, &lost);
  assert_null (lost);
  assert_memory_equal (replies, due.bytes, due.len);
  close (ends[1]);
  free (s.bytes);
  free (due.bytes);
  free (replies);
}

void
hold_one (int ends[2], const struct stream *s)
{
  char c;

  connect_unix (ends);
  write_all (ends[1], s->bytes, s->len);
  assert_int_equal (serve_one (ends[0], NULL, NULL), 1);
  assert_int_equal (recv (ends[1], &c, 1, MSG_DONTWAIT), -1);
  assert_int_equal (errno, EAGAIN);
}

struct stream
two_reads (void)
{
  struct stream s = {0};

  add_request (&s, 1, CMD_READ, 100);
  add_request (&s, 2, CMD_READ, 200);
  return s;
}
