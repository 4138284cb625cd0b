/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The reading side of batched socket I/O: reading ahead, and polling for the
 * next request of a client that has one at a time; see batch-socket.c.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "batch-internal.h"
#include "common/common.h"

/* Is a client busy?  Asked of one read in so many, where it was not. */
#define LOOK_EVERY 8

/* A look at the socket takes no longer, in ns, but where the CPU is somebody
 * else's meanwhile.
 */
#define MAX_JUMP 200000

/* Shorter payloads are copied: no device has smaller blocks. */
#define LEAST_LEFT 512

/* The descriptors that nbdkit_nanosleep has, and some. */
#define MAX_LISTENING 8

static _Atomic uint64_t poll_ns; /* 0: never */

/* The connection that asked the kernel last.  It is written only where it
 * changes, while requests are served one at a time, and has a cache line of its
 * own.
 */
static struct {
  _Alignas(64) _Atomic (struct batch_socket *) connection;
} last_reader;

void
batch_set_poll (uint64_t ns)
{
  atomic_store (&poll_ns, ns);
}

/* Copy from what was read ahead; in_lock is held. */
static size_t
take (struct batch_socket *c, void *buf, size_t n, bool peek)
{
  if (n > c->rx_end - c->rx_start)
    n = c->rx_end - c->rx_start;
  memcpy (buf, c->rx_buf + c->rx_start, n);
  if (!peek)
    c->rx_start += n;
  return n;
}

static ssize_t
take_iov (struct batch_socket *c, const struct iovec *iov, size_t iovcnt,
          bool peek)
{
  const size_t from = c->rx_start;
  size_t i, r = 0;

  for (i = 0; i < iovcnt; i++)
    r += take (c, iov[i].iov_base, iov[i].iov_len, false);
  if (peek)
    c->rx_start = from;
  return r;
}

/* The kernel is about to be asked for more, and may wait for the client.  What
 * another thread has held of a reply it is about to complete itself.  in_lock
 * is held.
 */
static bool
before_read (struct batch_socket *c, int fd)
{
  bool r = true;

  if (!try_lock (&c->out_lock))
    return true;
  if (c->replies > 0 || batch_thread.holding == fd)
    r = batch_flush (c, fd, 0);
  if (c->error != 0) {
    errno = c->error;
    r = false;
  }
  pthread_mutex_unlock (&c->out_lock);
  return r;
}

static bool
is_last_reader (const struct batch_socket *c)
{
  return atomic_load_explicit (&last_reader.connection, memory_order_relaxed) ==
         c;
}

/* The same as readv of two, without a sleep: -1 and EAGAIN if nothing is here.
 */
static ssize_t
read_at_once (int fd, const struct iovec *iov)
{
  struct iovec copy[2] = {iov[0], iov[1]};
  struct msghdr msg = {.msg_iov = copy, .msg_iovlen = 2};

  return batch_libc.recvmsg (fd, &msg, MSG_DONTWAIT);
}

/* The same for as long as LONGEST, and no other connection has anything to do.
 */
static ssize_t
poll_for_request (struct batch_socket *c, int fd, const struct iovec *iov,
                  uint64_t longest, enum poll_end *end)
{
  const uint64_t start = batch_libc.now ();
  uint64_t now = start, last;
  ssize_t r;

  do {
    last = now;
    r = read_at_once (fd, iov);
    now = batch_libc.now ();
    if (now - last > MAX_JUMP) {
      *end = POLL_LOST_CPU;
      return r;
    }
  } while (r == -1 && errno == EAGAIN && is_last_reader (c) &&
           now - start < longest);
  if (r == -1 && errno == EAGAIN)
    *end = POLL_IN_VAIN;
  return r;
}

/* The client has one request in flight at a time, if as much has come of each,
 * or this is about the rest of one, and nobody else has any.  Then the CPU may
 * as well stay awake, if that pays.
 */
static ssize_t
wait_for_request (struct batch_socket *c, int fd, const struct iovec *iov)
{
  const uint64_t longest =
      batch_may_wait () ? atomic_load_explicit (&poll_ns, memory_order_relaxed)
                        : 0;
  const bool was_last = longest != 0 && is_last_reader (c);
  const bool is_rest = c->requests == 0;
  const bool together = c->requests > 1 || c->pace.nap > 0;
  enum poll_end end = POLL_CAME;
  ssize_t r = -1;

  c->requests = 0;
  /* Replies that are due must not wait for the client, even if the kernel has
   * said that there is something to read.
   */
  if (c->nr_waiting > 0)
    return read_at_once (fd, iov);
  if (!was_last || together) {
    if (longest != 0 && !was_last)
      atomic_store_explicit (&last_reader.connection, c, memory_order_relaxed);
    if (together)
      pace_together (&c->pace);
    else
      pace_interrupt (&c->pace);
    return batch_libc.readv (fd, iov, 2);
  }
  errno = EAGAIN;
  if (pace_polls (&c->pace))
    r = poll_for_request (c, fd, iov, longest, &end);
  if (r == -1 && errno == EAGAIN)
    r = batch_libc.readv (fd, iov, 2);
  if (!is_rest && r > 0)
    pace_count (&c->pace, batch_libc.now (), end, batch_libc.cpu);
  return r;
}

/* Of a client that has replies of ours still to take, what it has sent is read
 * after a nap.  But if its payloads are large, it may take none until it has
 * sent the next, for which there is no room before we read.
 */
static ssize_t
read_unhurried (struct batch_socket *c, int fd, const struct iovec *iov)
{
  const bool may_nap =
      c->first_piece_wakes && !c->is_large && batch_libc.has_unread != NULL &&
      c->nr_waiting == 0 && batch_may_wait () &&
      !atomic_load_explicit (&batch_is_timed, memory_order_relaxed);
  struct timespec ts = {0};
  bool napped = false;
  ssize_t r = -1;

  if (may_nap)
    ts.tv_nsec = pace_nap (&c->pace);
  if (ts.tv_nsec > 0) {
    clock_lose_slack ();
    batch_libc.ppoll (NULL, 0, &ts, NULL);
    r = read_at_once (fd, iov);
    napped = r != -1 || (errno != EAGAIN && errno != EINTR);
  }
  if (!napped)
    r = wait_for_request (c, fd, iov);
  else
    c->requests = 0;
  if (may_nap && r > 0 &&
      (napped || c->pace.nap > 0 || ++c->looks % LOOK_EVERY == 0))
    pace_look (&c->pace, napped, batch_libc.has_unread (fd));
  return r;
}

/* Read into BUF and, beyond its N bytes, ahead, which is empty; in_lock is
 * held.  Where the kernel has nothing to give, all that had come has been read:
 * FIONREAD also counts bytes that no read gets, as those sent with MSG_OOB.
 */
static ssize_t
read_ahead (struct batch_socket *c, int fd, void *buf, size_t n)
{
  const struct iovec iov[2] = {{buf, n}, {c->rx_buf, c->window}};
  ssize_t r;

  r = read_unhurried (c, fd, iov);
  c->read_at = atomic_load_explicit (&batch_is_timed, memory_order_relaxed)
                   ? clock_now ()
                   : 0;
  if (r > 0)
    c->received += r;
  else if (r == -1 && errno == EAGAIN)
    c->bytes_by_then = c->received;
  if (r <= (ssize_t) n)
    return r;
  c->rx_start = 0;
  c->rx_end = r - n;
  return n;
}

/* A payload is what is asked for after a header. */
static void
set_window (struct batch_socket *c, size_t n)
{
  if (n > HEADER && c->asked <= HEADER) {
    c->is_large = n >= LARGE;
    c->window = n < (batch_thread.leaves_payloads ? LARGE_LEFT : LARGE)
                    ? AHEAD
                    : AHEAD_AFTER_LARGE;
  }
  c->asked = n;
}

static void
note_reader (struct batch_socket *c)
{
  const struct batch_thread *reader =
      atomic_load_explicit (&c->reader, memory_order_relaxed);

  if (reader == &batch_thread || reader == &batch_several)
    return;
  if (reader != NULL ||
      !atomic_compare_exchange_strong (&c->reader, &reader, &batch_thread))
    atomic_store (&c->reader, &batch_several);
}

static void
begin_service (struct batch_socket *c)
{
  if (batch_thread.serving != c) {
    atomic_fetch_add_explicit (&c->in_service, 1, memory_order_relaxed);
    batch_thread.serving = c;
  }
}

/* Are the N bytes that this thread asks for a header, from its first byte on?
 * The rest of a payload may be as long as one, and look like one.
 */
static bool
is_header (size_t n)
{
  const struct batch_thread *t = &batch_thread;

  return n == HEADER && t->header_len == 0 && t->to_come == 0;
}

/* R bytes at P are a header, or what was missing of one. */
static void
note_header (const char *p, size_t r)
{
  struct batch_thread *t = &batch_thread;

  if (r < HEADER) {
    memcpy (t->header + t->header_len, p, r);
    t->header_len += r;
    if (t->header_len < HEADER)
      return;
    t->header_len = 0;
    p = t->header;
  }
  if (get32 (p) == REQUEST_MAGIC && p[6] == 0 && p[7] == CMD_WRITE)
    t->expects = t->to_come = get32 (p + 24);
}

/* This thread is about to receive a header, or into a buffer. */
static void
note_read (bool begins)
{
  batch_settle_answer ();
  if (!begins || batch_thread.has_header)
    batch_thread.zeroes_len = 0;
  batch_thread.has_header = begins;
  batch_thread.answer = NULL;
  batch_thread.payload = batch_thread.payload_to = NULL;
}

/* The N bytes at BUF were asked for, a header if BEGINS, and R of them have
 * come.
 */
static void
note_bytes (const void *buf, size_t n, bool begins, ssize_t r)
{
  struct batch_thread *t = &batch_thread;

  if (t->expects > 0 && n == t->expects && r == (ssize_t) n) {
    t->payload_to = buf;
    t->payload_len = n;
  }
  t->expects = 0;
  if (r <= 0)
    return;
  if (begins || (t->header_len > 0 && n == HEADER - t->header_len))
    note_header (buf, r);
  else {
    t->header_len = 0;
    t->to_come -= min (t->to_come, (size_t) r);
  }
}

/* Leave a payload of N bytes, which nbdkit wants at BUF, where it is ahead.
 * As the thread keeps in_lock, it stays there until it reads again.
 */
static bool
leave_payload (struct batch_socket *c, const void *buf, size_t n)
{
  struct batch_thread *t = &batch_thread;

  if (!t->leaves_payloads || n < LEAST_LEFT || n != t->expects ||
      n > c->rx_end - c->rx_start)
    return false;
  t->has_header = false;
  t->answer = NULL;
  batch_end_request ();
  t->payload_to = buf;
  t->payload_len = n;
  t->payload = c->rx_buf + c->rx_start;
  c->rx_start += n;
  return true;
}

const void *
batch_payload (const void *buf, size_t n)
{
  struct batch_thread *t = &batch_thread;

  if (t->payload != NULL && n == t->payload_len)
    return t->payload;
  if (t->payload_to == buf && n == t->payload_len)
    t->leaves_payloads = true;
  return buf;
}

bool
batch_still_zero (const void *buf, size_t n)
{
  struct batch_thread *t = &batch_thread;
  const bool r = t->has_header && buf == t->zeroes && n <= t->zeroes_len;

  t->answer = t->has_header ? buf : NULL;
  t->answer_len = n;
  if (!r) {
    t->zeroes = buf;
    t->zeroes_len = t->has_header ? n : 0;
  }
  t->has_header = false;
  return r;
}

/* Only where the locks are kept is what is held this thread's alone. */
void *
batch_answer_buffer (void *buf, size_t n)
{
  struct batch_thread *t = &batch_thread;
  char *p = NULL;

  if (t->keeps != NULL && t->has_header && n <= PIECE)
    p = held_place (&t->keeps->held, n);
  t->has_header = false;
  t->zeroes_len = 0;
  if (p == NULL)
    return buf;
  t->placed = p;
  t->placed_len = n;
  t->placed_for = buf;
  return p;
}

/* The same when all that was ahead is used.  Returns 0 where the server stops,
 * too, or the client has gone.
 */
static ssize_t
read_more (struct batch_socket *c, int fd, void *buf, size_t n)
{
  ssize_t r;

  do {
    if (c->nr_waiting > 0 && !batch_defer_wait (c, is_header (n)))
      return 0;
    if (!before_read (c, fd))
      return -1;
    r = read_ahead (c, fd, buf, n);
  } while (r == -1 && (errno == EAGAIN || errno == EINTR) && c->nr_waiting > 0);
  return r;
}

/* Take what is ahead, as batch_read does, where this thread keeps the locks;
 * otherwise, or if nothing is ahead, it keeps none, and this returns -1.
 */
static ssize_t
take_kept (struct batch_socket *c, void *buf, size_t n)
{
  const bool keeps = batch_keeps (c);
  const bool begins = is_header (n);
  ssize_t r;

  if (!keeps || c->rx_start == c->rx_end) {
    batch_release ();
    if (keeps && begins)
      batch_end_service (c);
    return -1;
  }
  set_window (c, n);
  c->requests += begins;
  if (leave_payload (c, buf, n))
    return n;
  note_read (begins);
  r = take (c, buf, n, false);
  note_bytes (buf, n, begins, r);
  return r;
}

ssize_t
batch_read (int fd, void *buf, size_t n)
{
  struct batch_socket *c = batch_thread.keeps;
  const bool begins = is_header (n);
  bool is_ours;
  ssize_t r = -1;

  if (c == NULL || c->fd != fd)
    c = batch_find (fd);
  is_ours = c != NULL;
  if (is_ours && (r = take_kept (c, buf, n)) >= 0)
    return r;
  if (is_ours) {
    note_reader (c);
    pthread_mutex_lock (&c->in_lock);
    set_window (c, n);
    c->requests += begins;
    if (begins && c->nr_waiting > 0 && !batch_defer_make_room (c))
      r = 0;
    else if (c->rx_start < c->rx_end)
      r = take (c, buf, n, false);
    else if (passes_through (c) || c->rx_buf == NULL || n == 0)
      is_ours = false;
    else
      r = read_more (c, fd, buf, n);
    batch_thread.arrival = c->read_at;
    if (!begins || r != HEADER || get32 (buf) != REQUEST_MAGIC ||
        c->rx_start == c->rx_end || !batch_keep (c))
      pthread_mutex_unlock (&c->in_lock);
  }
  note_read (is_ours && begins);
  if (!is_ours) {
    batch_end_request ();
    batch_thread.arrival = 0;
    return batch_libc.read (fd, buf, n);
  }
  note_bytes (buf, n, begins, r);
  if (r > 0)
    begin_service (c);
  return r;
}

uint64_t
batch_arrival (void)
{
  const uint64_t r = batch_thread.arrival;

  batch_thread.arrival = 0;
  return r;
}

/* Another call than read is made for FD.  Give it what was read ahead: returns
 * true, and *r is how much, unless there is none.
 */
static bool
settled_read (int fd, const struct iovec *iov, size_t iovcnt, int flags,
              ssize_t *r)
{
  struct batch_socket *c = batch_find (fd);
  bool is_here = false;

  note_read (false);
  batch_end_request ();
  if (c == NULL)
    return false;
  batch_thread.arrival = 0;
  batch_pass_through (fd);
  pthread_mutex_lock (&c->in_lock);
  if (c->rx_start < c->rx_end) {
    is_here = true;
    *r = take_iov (c, iov, iovcnt, flags & MSG_PEEK);
  }
  pthread_mutex_unlock (&c->in_lock);
  return is_here;
}

ssize_t
batch_readv (int fd, const struct iovec *iov, int iovcnt)
{
  ssize_t r;

  if (iovcnt > 0 && settled_read (fd, iov, iovcnt, 0, &r))
    return r;
  return batch_libc.readv (fd, iov, iovcnt);
}

ssize_t
batch_recvfrom (int fd, void *buf, size_t n, int flags, struct sockaddr *from,
                socklen_t *fromlen)
{
  const struct iovec iov = {buf, n};
  ssize_t r;

  if (settled_read (fd, &iov, 1, flags, &r)) {
    if (from != NULL)
      *fromlen = 0;
    return r;
  }
  return batch_libc.recvfrom (fd, buf, n, flags, from, fromlen);
}

ssize_t
batch_recvmsg (int fd, struct msghdr *msg, int flags)
{
  ssize_t r;

  if (settled_read (fd, msg->msg_iov, msg->msg_iovlen, flags, &r)) {
    msg->msg_namelen = msg->msg_controllen = 0;
    msg->msg_flags = 0;
    return r;
  }
  return batch_libc.recvmsg (fd, msg, flags);
}

/*---------------------------------------------------------------------*/
/* Polling by the caller */

static bool
has_ahead (int fd)
{
  struct batch_socket *c = batch_find (fd);
  bool r = false;

  /* Where somebody reads there is nothing. */
  if (c != NULL && try_lock (&c->in_lock)) {
    r = c->rx_start < c->rx_end;
    pthread_mutex_unlock (&c->in_lock);
  }
  return r;
}

/* nbdkit_nanosleep's, which a request of the client ends, too, and a request
 * that is hastened.  poll leaves descriptors of -1 alone.
 */
static int
listening_ppoll (struct pollfd *fds, nfds_t nfds,
                 const struct timespec *timeout, const sigset_t *sigmask)
{
  struct batch_thread *t = &batch_thread;
  struct pollfd more[MAX_LISTENING + 2];
  nfds_t i;
  int r;

  if (nfds > MAX_LISTENING) {
    errno = EINVAL;
    return -1;
  }
  memcpy (more, fds, nfds * sizeof fds[0]);
  for (i = 0; i < 2; i++)
    more[nfds + i] = (struct pollfd){.fd = t->listening[i], .events = POLLIN};
  r = batch_libc.ppoll (more, nfds + 2, timeout, sigmask);
  for (i = 0; i < nfds; i++)
    fds[i].revents = more[i].revents;
  for (i = 0; r > 0 && i < 2; i++)
    t->heard[i] = more[nfds + i].revents != 0;
  return t->heard[0] || t->heard[1] ? 0 : r;
}

int
batch_ppoll (struct pollfd *fds, nfds_t nfds, const struct timespec *timeout,
             const sigset_t *sigmask)
{
  static const struct timespec at_once;
  bool any = false;
  nfds_t i;
  int r;

  if (batch_thread.is_probing) {
    batch_thread.is_probing = false;
    return 0;
  }
  batch_before_wait ();
  if (batch_thread.listening[0] >= 0 || batch_thread.listening[1] >= 0)
    return listening_ppoll (fds, nfds, timeout, sigmask);
  for (i = 0; i < nfds && !any; i++)
    any = (fds[i].events & POLLIN) && has_ahead (fds[i].fd);
  r = batch_libc.ppoll (fds, nfds, any ? &at_once : timeout, sigmask);
  for (i = 0; any && r != -1 && i < nfds; i++) {
    if ((fds[i].events & POLLIN) && has_ahead (fds[i].fd)) {
      r += fds[i].revents == 0;
      fds[i].revents |= POLLIN;
    }
  }
  return r;
}
