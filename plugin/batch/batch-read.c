/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The reading side of batched socket I/O: reading ahead; see batch-socket.c.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "batch-internal.h"
#include "common/common.h"

/* What read_by_lock returns where a plain request may be ahead now, and this
 * thread keeps the locks to answer it.
 */
#define PLAIN_IS_AHEAD (-2)

/* Shorter payloads are copied: no device has smaller blocks. */
#define MIN_LEFT 512

/* Copy up to N bytes of a write that is given back: of its header, then zeroes.
 */
static size_t
take_back (struct batch_socket *c, char *buf, size_t n)
{
  size_t i;

  n = min (n, c->given_back - c->taken_back);
  for (i = 0; i < n && c->taken_back + i < HEADER; i++)
    buf[i] = c->dropped[c->taken_back + i];
  memset (buf + i, 0, n - i);
  c->taken_back += n;
  return n;
}

/* Copy from what is ahead; in_lock is held. */
static size_t
take (struct batch_socket *c, void *buf, size_t n)
{
  if (has_given_back (c))
    return take_back (c, buf, n);
  if (n > c->rx_end - c->rx_start)
    n = c->rx_end - c->rx_start;
  memcpy (buf, c->rx_buf + c->rx_start, n);
  c->rx_start += n;
  return n;
}

static ssize_t
take_iov (struct batch_socket *c, const struct iovec *iov, size_t iovcnt,
          bool peek)
{
  const size_t from = c->rx_start, taken_back = c->taken_back;
  size_t i, r = 0;

  for (i = 0; i < iovcnt; i++)
    r += take (c, iov[i].iov_base, iov[i].iov_len);
  if (peek) {
    c->rx_start = from;
    c->taken_back = taken_back;
  }
  return r;
}

/* The kernel is about to be asked for more, and may wait for the client: send
 * what is held.  If another thread has held a part of a reply, that thread is
 * about to complete the reply, and sends it.  in_lock is held.
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

/* Move what is ahead, the beginning of a request, to the beginning of rx_buf.
 * Returns how much it is.
 */
static size_t
move_to_front (struct batch_socket *c)
{
  const size_t n = c->rx_end - c->rx_start;

  if (n > 0)
    memmove (c->rx_buf, c->rx_buf + c->rx_start, n);
  c->rx_start = 0;
  c->rx_end = n;
  return n;
}

/* Read into BUF and, beyond its N bytes, ahead.  If anything is ahead, it is
 * the beginning of a request, and N is 0; then the rest of the request is read,
 * even if it is longer than the window, and a window behind it.  in_lock is
 * held.
 *
 * bytes_by_then (batch-aside.c) comes from FIONREAD, which also counts bytes
 * that no read gets, as those sent with MSG_OOB.  So bytes_by_then is corrected
 * when the kernel has nothing more to give.
 */
static ssize_t
read_ahead (struct batch_socket *c, int fd, void *buf, size_t n)
{
  const size_t here = move_to_front (c);
  const size_t rest =
      here >= HEADER ? HEADER + get32 (c->rx_buf + 24) - here : 0;
  const struct iovec iov[2] = {
      {buf, n}, {c->rx_buf + here, min (rest + c->window, MAX_AHEAD - here)}};
  ssize_t r;

  r = batch_read_paced (c, fd, iov);
  c->read_at = clock_now ();
  if (r > 0)
    c->received += r;
  else if (r == -1 && errno == EAGAIN)
    c->bytes_by_then = c->received;
  if (r > (ssize_t) n)
    c->rx_end += r - n;
  return r;
}

/* A payload is what is asked for after a header. */
void
batch_set_window (struct batch_socket *c, size_t n)
{
  if (n > HEADER && c->last_read_size <= HEADER) {
    c->is_large = n >= MIN_LARGE;
    c->window = n < (batch_thread.leaves_payloads ? MIN_LARGE_LEFT : MIN_LARGE)
                    ? MAX_AHEAD
                    : MAX_AHEAD_AFTER_LARGE;
  }
  c->last_read_size = n;
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

  return n == HEADER && t->header_len == 0 && t->payload_missing == 0;
}

/* R bytes at P are a header, or what was missing of one. */
static inline void
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
  else
    memcpy (t->header, p, HEADER);
  if (get32 (p) == REQUEST_MAGIC && p[6] == 0 && p[7] == CMD_WRITE)
    t->payload_expected = t->payload_missing = get32 (p + 24);
}

/* This thread is about to receive: if BEGINS a header, else other bytes. */
static inline void
note_read (bool begins)
{
  batch_settle_answer ();
  if (!begins || batch_thread.has_header)
    batch_thread.zeroes_len = 0;
  batch_thread.has_header = begins;
  batch_thread.answer = NULL;
  batch_thread.payload = batch_thread.payload_to = NULL;
  batch_thread.learns_of = NULL;
}

/* The N bytes at BUF were asked for, a header if BEGINS, and R of them have
 * come.
 */
static void
note_bytes (const void *buf, size_t n, bool begins, ssize_t r)
{
  struct batch_thread *t = &batch_thread;

  if (t->payload_expected > 0 && n == t->payload_expected && r == (ssize_t) n) {
    t->payload_to = buf;
    t->payload_len = n;
  }
  t->payload_expected = 0;
  if (r <= 0)
    return;
  if (begins || (t->header_len > 0 && n == HEADER - t->header_len))
    note_header (buf, r);
  else {
    t->header_len = 0;
    t->payload_missing -= min (t->payload_missing, (size_t) r);
  }
}

/* Leave a payload of N bytes, which nbdkit wants at BUF, where it is ahead.
 * As the thread keeps in_lock, it stays there until it reads again.
 */
static bool
leave_payload (struct batch_socket *c, const void *buf, size_t n)
{
  struct batch_thread *t = &batch_thread;

  if (!t->leaves_payloads || n < MIN_LEFT || n != t->payload_expected ||
      n > c->rx_end - c->rx_start || has_given_back (c))
    return false;
  t->has_header = false;
  t->answer = NULL;
  batch_expect_header ();
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

/* What is held belongs to this thread alone only if it keeps the locks. */
void *
batch_answer_buffer (void *buf, size_t n)
{
  struct batch_thread *t = &batch_thread;
  char *p = NULL;

  if (t->keeps != NULL && t->has_header && n <= MAX_COPIED_PIECE)
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

/* Are the bytes ahead an incomplete plain request, the rest of which has to be
 * read before it can be answered?
 */
static inline bool
is_incomplete (const struct batch_socket *c)
{
  return batch_has_plain (c) && batch_is_incomplete (c);
}

/* Do as batch_read where nothing is ahead, or, with N of 0, only the beginning
 * of a plain request.  Returns 0 also where the server stops, or the client has
 * gone.
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

/* Take a whole header, or a payload that can stay where it is, as batch_read
 * does, where this thread keeps the locks.  Nearly all reads are so, and this
 * does no more than they need.  False: nothing has been done.
 */
static inline bool
take_all_kept (struct batch_socket *c, char *buf, size_t n)
{
  const char *const p = c->rx_buf + c->rx_start;

  if (!is_header (n) || c->rx_end - c->rx_start < HEADER ||
      has_given_back (c) || is_incomplete (c)) {
    if (!leave_payload (c, buf, n))
      return false;
    batch_set_window (c, n);
    return true;
  }
  batch_thread.arrival = c->read_at;
  c->last_read_size = HEADER;
  c->requests++;
  c->rx_start += HEADER;
  note_read (true);
  memcpy (buf, p, HEADER);
  batch_thread.payload_expected = 0;
  note_header (p, HEADER);
  return true;
}

/* May the next request be a plain one, or is the rest of a plain write still to
 * come?  In both cases no reply waits.
 */
static bool
may_be_plain (struct batch_socket *c)
{
  return c->drops ||
         (batch_has_plain (c) && c->nr_waiting == 0 && !passes_through (c));
}

/* Take what is ahead, as batch_read does, where this thread keeps the locks;
 * otherwise, or if there is nothing to take, it keeps none, and this returns
 * -1.
 */
static ssize_t
take_kept (struct batch_socket *c, void *buf, size_t n)
{
  const bool keeps = batch_keeps (c);
  const bool begins = is_header (n);
  ssize_t r;

  if (!keeps || !is_ahead (c) || (begins && is_incomplete (c))) {
    batch_release ();
    if (keeps && begins)
      batch_end_service (c);
    return -1;
  }
  batch_thread.arrival = c->read_at;
  batch_set_window (c, n);
  c->requests += begins;
  note_read (begins);
  r = take (c, buf, n);
  note_bytes (buf, n, begins, r);
  return r;
}

/* A header is wanted, and it may be that of a plain request.  If nothing is
 * ahead, or only the beginning of a plain request, read all that the kernel
 * gives.  Then keep the locks, and return PLAIN_IS_AHEAD.  Where that cannot
 * be, this returns as batch_read does.  in_lock is held.
 */
static ssize_t
read_plain (struct batch_socket *c, int fd, void *buf, size_t n)
{
  const ssize_t r =
      is_ahead (c) && !is_incomplete (c) ? 1 : read_more (c, fd, NULL, 0);

  if (r > 0 && batch_keep_locks (c)) {
    begin_service (c);
    return PLAIN_IS_AHEAD;
  }
  if (c->drops)
    batch_give_back (c);
  if (!is_ahead (c))
    return r;
  c->requests++;
  return take (c, buf, n);
}

/* Do as batch_read where requests are not plain.  in_lock is held. */
static ssize_t
read_others (struct batch_socket *c, int fd, void *buf, size_t n)
{
  const bool begins = is_header (n);
  ssize_t r;

  c->requests += begins;
  if (begins && c->nr_waiting > 0 && !batch_defer_make_room (c))
    return 0;
  if (is_ahead (c))
    return take (c, buf, n);
  r = read_more (c, fd, buf, n);
  return r > (ssize_t) n ? (ssize_t) n : r;
}

static __attribute__ ((noinline)) ssize_t
read_by_lock (int fd, void *buf, size_t n)
{
  struct batch_socket *c = batch_find (fd);
  const bool begins = is_header (n);
  bool is_ours = c != NULL;
  ssize_t r = -1;

  if (is_ours && (r = take_kept (c, buf, n)) >= 0)
    return r;
  if (is_ours) {
    note_reader (c);
    pthread_mutex_lock (&c->in_lock);
    batch_set_window (c, n);
    if (begins && may_be_plain (c)) {
      r = read_plain (c, fd, buf, n);
      if (r == PLAIN_IS_AHEAD)
        return r;
    }
    else if (!is_ahead (c) &&
             (passes_through (c) || c->rx_buf == NULL || n == 0))
      is_ours = false;
    else
      r = read_others (c, fd, buf, n);
    batch_thread.arrival = c->read_at;
    if (!begins || r != HEADER || get32 (buf) != REQUEST_MAGIC ||
        c->rx_start == c->rx_end || !batch_keep_locks (c))
      pthread_mutex_unlock (&c->in_lock);
  }
  note_read (is_ours && begins);
  if (!is_ours) {
    batch_expect_header ();
    batch_thread.arrival = 0;
    return batch_libc.read (fd, buf, n);
  }
  note_bytes (buf, n, begins, r);
  if (r > 0)
    begin_service (c);
  return r;
}

ssize_t
batch_read (int fd, void *buf, size_t n)
{
  unsigned left = MAX_IN_A_ROW;
  struct batch_socket *c;
  ssize_t r;

  do {
    c = batch_thread.keeps;
    if (c != NULL && c->fd == fd) {
      if (c->device != NULL && is_header (n))
        left -= batch_answer_plain (c, left);
      if (take_all_kept (c, buf, n))
        return n;
    }
    r = read_by_lock (fd, buf, n);
  } while (r == PLAIN_IS_AHEAD);
  return r;
}

uint64_t
batch_arrival (void)
{
  const uint64_t r = batch_thread.arrival;

  batch_thread.arrival = 0;
  return r;
}

/* A call other than read is made for FD.  If bytes are ahead, give them to the
 * call, set *r to their number, and return true.
 */
static bool
read_after_passthrough (int fd, const struct iovec *iov, size_t iovcnt,
                        int flags, ssize_t *r)
{
  struct batch_socket *c = batch_find (fd);
  bool is_here = false;

  note_read (false);
  batch_expect_header ();
  if (c == NULL)
    return false;
  batch_thread.arrival = 0;
  batch_pass_through (fd);
  pthread_mutex_lock (&c->in_lock);
  if (is_ahead (c)) {
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

  if (iovcnt > 0 && read_after_passthrough (fd, iov, iovcnt, 0, &r))
    return r;
  return batch_libc.readv (fd, iov, iovcnt);
}

ssize_t
batch_recvfrom (int fd, void *buf, size_t n, int flags, struct sockaddr *from,
                socklen_t *fromlen)
{
  const struct iovec iov = {buf, n};
  ssize_t r;

  if (read_after_passthrough (fd, &iov, 1, flags, &r)) {
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

  if (read_after_passthrough (fd, msg->msg_iov, msg->msg_iovlen, flags, &r)) {
    msg->msg_namelen = msg->msg_controllen = 0;
    msg->msg_flags = 0;
    return r;
  }
  return batch_libc.recvmsg (fd, msg, flags);
}
