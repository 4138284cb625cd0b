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

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/common.h"
#include "stream.h"
#include "unit.h"

#include "batch/batch-socket-internal.h"

enum { CMD_READ, CMD_WRITE, CMD_DISC, CMD_FLUSH };

/*---------------------------------------------------------------------*/
/* Requests and replies */

static void
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

/* The reply to a request, in the pieces in which nbdkit sends it: up to two
 * small ones, and the data of a read.  A write's tells what was received.
 */
struct reply {
  unsigned char head[20], more[8];
  size_t head_len, more_len, data_len;
  unsigned char *data;
};

static void
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
      r->data[i] = cookie * 5 + i;
  }
}

/* The replies to the first N bytes of a stream of requests, in order. */
static struct stream
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
send_reply (int fd, const struct reply *r)
{
  if (transmit (fd, r->head, r->head_len, r->more_len > 0 ? MSG_MORE : 0) < 0 ||
      transmit (fd, r->more, r->more_len, MSG_MORE) < 0)
    return -1;
  return transmit (fd, r->data, r->data_len, 0);
}

/* Returns 1, 0 when the client has ended, -1 when it is lost. */
static int
serve_one (int fd, pthread_mutex_t *read_lock, pthread_mutex_t *write_lock)
{
  unsigned char header[HEADER], *payload = NULL;
  struct reply reply;
  int r;

  if (read_lock != NULL)
    pthread_mutex_lock (read_lock);
  r = receive (fd, header, HEADER);
  if (r == 1) {
    assert_int_equal (get32 (header), MAGIC);
    if (header[7] == CMD_DISC)
      r = 0;
    else if (header[7] == CMD_WRITE) {
      payload = malloc (get32 (header + 24));
      assert_non_null (payload);
      if (receive (fd, payload, get32 (header + 24)) != 1)
        r = -1;
    }
  }
  if (read_lock != NULL)
    pthread_mutex_unlock (read_lock);
  if (r == 1) {
    make_reply (&reply, header, payload);
    if (write_lock != NULL)
      pthread_mutex_lock (write_lock);
    r = send_reply (fd, &reply) == 0 ? 1 : -1;
    if (write_lock != NULL)
      pthread_mutex_unlock (write_lock);
    free (reply.data);
  }
  free (payload);
  return r;
}

static int
serve (int fd)
{
  int r;

  while ((r = serve_one (fd, NULL, NULL)) == 1)
    ;
  return r;
}

/*---------------------------------------------------------------------*/
/* The system's calls */

static struct {
  atomic_uint readvs, sends;
  atomic_uint polls; /* recvmsg, and those that found nothing */
  atomic_uint polls_in_vain;

  /* What the peer does before the server waits for it.  NULL: nothing. */
  void (*turn) (int fd);

  /* Naps, and what the peer does in one; has it replies to take? */
  atomic_uint naps;
  void (*turn_in_nap) (int fd);
  atomic_bool unread;

  /* From 0 to 100: how often a call is interrupted, or cut short.  */
  unsigned trouble;
  uint64_t seed;

  /* How many are in a send that may wait. */
  atomic_int sending;
} calls;

static bool
is_trouble (void)
{
  return calls.trouble > 0 && random_below (&calls.seed, 100) < calls.trouble;
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

/* Who polls looks twice in vain. */
static ssize_t
our_recvmsg (int fd, struct msghdr *msg, int flags)
{
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
  struct iovec iov[2] = {msg->msg_iov[0], msg->msg_iov[1]};
  struct msghdr shorter = {.msg_iov = iov, .msg_iovlen = msg->msg_iovlen};
  ssize_t r;

  calls.sends++;
  if (is_trouble ()) {
    errno = is_trouble () ? EAGAIN : EINTR;
    return -1;
  }
  if (is_trouble () && iov[0].iov_len > 0) {
    iov[0].iov_len = 1 + random_below (&calls.seed, iov[0].iov_len);
    shorter.msg_iovlen = 1;
  }
  calls.sending++;
  r = sendmsg (fd, &shorter, flags);
  calls.sending--;
  return r;
}

static ssize_t
our_send (int fd, const void *buf, size_t n, int flags)
{
  ssize_t r;

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

/* A sleep takes 30 us, and 20 of a CPU; a poll takes next to nothing. */
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
  if (nfds == 0) {
    calls.naps++;
    if (calls.turn_in_nap != NULL)
      calls.turn_in_nap (-1);
  }
  return ppoll (fds, nfds, timeout, sigmask);
}

static bool
our_has_unread (int fd)
{
  (void) fd;
  return calls.unread;
}

static int
set_up (void **state)
{
  (void) state;
  batch_system = (struct batch_calls){.read = our_read,
                                      .readv = our_readv,
                                      .recvfrom = recvfrom,
                                      .recvmsg = our_recvmsg,
                                      .send = our_send,
                                      .sendmsg = our_sendmsg,
                                      .write = write,
                                      .shutdown = shutdown,
                                      .ppoll = our_ppoll,
                                      .now = our_now,
                                      .cpu = our_cpu};
  memset (&calls, 0, sizeof calls);
  batch_set_serial (true);
  batch_set_poll (0);
  return 0;
}

/*---------------------------------------------------------------------*/
/* Sockets */

/* ends[0] is the server's. */
static void
connect_unix (int ends[2])
{
  assert_int_equal (socketpair (AF_UNIX, SOCK_STREAM, 0, ends), 0);
  batch_begin (ends[0]);
}

static void
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

static void
end (int fd)
{
  batch_end (fd);
  close (fd);
}

static void
end_both (const int ends[2])
{
  end (ends[0]);
  close (ends[1]);
}

static void
shrink_buffers (const int ends[2])
{
  const int least = 1;

  setsockopt (ends[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
  setsockopt (ends[1], SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
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

/* Exactly these bytes come from FD. */
static void
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

/* ... and they are there now, and no others. */
static void
expect_now (int fd, const void *bytes, size_t n)
{
  unsigned char buf[4096];
  const unsigned char *p = bytes;
  ssize_t r;

  while ((r = recv (fd, buf, sizeof buf, MSG_DONTWAIT)) > 0) {
    assert_true ((size_t) r <= n);
    assert_memory_equal (buf, p, r);
    p += r;
    n -= r;
  }
  assert_int_equal (n, 0);
}

static void
expect_end (int fd)
{
  char c;

  assert_int_equal (recv (fd, &c, 1, 0), 0);
}

/*---------------------------------------------------------------------*/
/* The peer's script: send up to each cut; look at the replies; at last, end. */

static struct {
  int fd;
  const struct stream *requests;
  size_t cuts[4096];
  size_t nr_cuts, next, sent, replied;
  bool has_ended;
} script;

static void
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

/* The script's cuts are set, in ascending order; the last is the whole. */
static void
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

static void
add_cut (size_t at)
{
  assert_true (script.nr_cuts < sizeof script.cuts / sizeof script.cuts[0]);
  script.cuts[script.nr_cuts++] = at;
}

static struct stream
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

static void *
serve_thread (void *arg)
{
  const int fd = *(const int *) arg;
  const int r = serve (fd);

  end (fd);
  return r == 0 ? NULL : arg;
}

/* Sizes around all limits. */
static struct stream
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

/* Send all of REQUESTS, in pieces of any size, and receive N bytes. */
static void
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
    if (p.revents & POLLOUT) {
      piece = 1 + random_below (seed, random_below (seed, 2) ? 100 : 100000);
      if (piece > requests->len - sent)
        piece = requests->len - sent;
      r = send (fd, requests->bytes + sent, piece, MSG_DONTWAIT);
      assert_true (r > 0 || (r == -1 && errno == EAGAIN));
      sent += r > 0 ? r : 0;
    }
  }
}

/* A whole conversation, from a connection's begin to its end. */
static void
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

/*---------------------------------------------------------------------*/
/* Polling */

#define LONG 3600000000000 /* ns */
#define WINDOW 32          /* requests that are compared, of batch-pace.c */

/* Requests of a client that has so many on its way at a time. */
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
  batch_system.recvmsg = recvmsg_in_vain;
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
  batch_system.recvmsg = recvmsg_beside_other;
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
  batch_system.has_unread = our_has_unread;
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
  batch_system.has_unread = our_has_unread;
  batch_system.recvmsg = recvmsg_in_vain;
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
  batch_system.has_unread = our_has_unread;
  batch_system.recvmsg = recvmsg_reset;
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
  batch_system.has_unread = our_has_unread;
  calls.unread = true;
  batch_set_timed (true);
  play_in_turns (120, 1);
  batch_set_timed (false);
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

#define THREADS 8

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

  connect_unix (ends);
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

/* Large payloads go to where they are wanted, without another copy. */
static void
test_large_payloads (void **state)
{
  struct stream s = {0};
  int ends[2];

  (void) state;
  add_request (&s, 1, CMD_WRITE, 40000);
  add_request (&s, 2, CMD_WRITE, 40000);
  add_request (&s, 3, CMD_WRITE, 40000);
  connect_unix (ends);
  write_all (ends[1], s.bytes, s.len);
  assert_int_equal (serve_one (ends[0], NULL, NULL), 1);
  assert_int_equal (serve_one (ends[0], NULL, NULL), 1);
  assert_true (has_input (ends[0]));
  assert_int_equal (serve_one (ends[0], NULL, NULL), 1);
  assert_false (has_input (ends[0]));
  end_both (ends);
  free (s.bytes);
}

/* What does not fit is sent with all before it: 64 KiB and a little. */
static void
test_held_is_full (void **state)
{
  struct stream s = {0};
  unsigned i;

  (void) state;
  for (i = 0; i < 32; i++)
    add_request (&s, i, CMD_READ, 4096);
  assert_int_equal (sends_of (&s, connect_unix), 2);
  free (s.bytes);
}

/* The reply to the first of these waits for the second. */
static void
hold_one (int ends[2], const struct stream *s)
{
  char c;

  connect_unix (ends);
  write_all (ends[1], s->bytes, s->len);
  assert_int_equal (serve_one (ends[0], NULL, NULL), 1);
  assert_int_equal (recv (ends[1], &c, 1, MSG_DONTWAIT), -1);
  assert_int_equal (errno, EAGAIN);
}

static struct stream
two_reads (void)
{
  struct stream s = {0};

  add_request (&s, 1, CMD_READ, 100);
  add_request (&s, 2, CMD_READ, 200);
  return s;
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
      batch_settle (ends[0]);
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

/*---------------------------------------------------------------------*/
/* What was read ahead */

static void
test_ahead_goes_to_any_call (void **state)
{
  char a[3], b[3];
  struct iovec iov[2] = {{a, 2}, {b, 3}};
  struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
  struct pollfd p;
  int ends[2];

  (void) state;
  connect_unix (ends);
  write_all (ends[1], "0123456789abcdefgh", 18);
  assert_int_equal (batch_read (ends[0], a, 1), 1);
  assert_false (has_input (ends[0]));
  p = (struct pollfd){.fd = ends[0], .events = POLLIN};
  assert_int_equal (batch_ppoll (&p, 1, NULL, NULL), 1);
  assert_int_equal (p.revents, POLLIN);

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

/*---------------------------------------------------------------------*/
/* When a request came */

static void
test_arrival (void **state)
{
  uint64_t before, after, first;
  int ends[2];
  char buf[3];

  (void) state;
  batch_set_timed (true);
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
  batch_set_timed (true);
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

  /* Where nothing waits, and what is still here of that time. */
  batch_set_timed (false);
  connect_unix (ends);
  write_all (ends[1], "012", 3);
  assert_int_equal (batch_read (ends[0], buf, 1), 1);
  assert_int_equal (batch_arrival (), 0);
  batch_set_timed (true);
  assert_int_equal (batch_read (ends[0], buf, 1), 1);
  assert_int_equal (batch_arrival (), 0);
  end_both (ends);
  batch_set_timed (false);
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
    end (ends[0]);
    _exit (0);
  }
  assert_int_equal (waitpid (pid, &status, 0), pid);
  assert_int_equal (status, 0);
  assert_int_equal (recv (ends[1], &c, 1, MSG_DONTWAIT), -1);
  end (ends[0]);
  expect (ends[1], due.bytes, due.len);
  expect_end (ends[1]);
  close (ends[1]);
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
  end (ends[0]);
  expect (ends[1], due.bytes, due.len);
  expect_end (ends[1]);
  close (ends[1]);
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
      CASE (test_every_split),
      CASE (test_every_split_joined_only),
      CASE (test_byte_by_byte),
      CASE (test_random),
      CASE (test_random_with_trouble),
      CASE (test_polled_for),
      CASE (test_polled_for_payload),
      CASE (test_not_polled_for),
      CASE (test_slow_client),
      CASE (test_poll_gives_way),
      CASE (test_naps_for_busy),
      CASE (test_naps_in_vain),
      CASE (test_error_after_nap),
      CASE (test_no_naps),
      CASE (test_many_connections),
      CASE (test_parallel),
      CASE (test_parallel_called_serial),
      CASE (test_all_in_one),
      CASE (test_serial_only_if_told),
      CASE (test_depth_1),
      CASE (test_next_is_large),
      CASE (test_next_is_not_whole),
      CASE (test_large_payloads),
      CASE (test_held_is_full),
      CASE (test_sent_before),
      CASE (test_order),
      CASE (test_ahead_goes_to_any_call),
      CASE (test_arrival),
      CASE (test_arrival_not_known),
      CASE (test_still_zero),
      CASE (test_still_zero_no_more),
      CASE (test_still_zero_by_thread),
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
