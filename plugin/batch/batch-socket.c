/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Batched socket I/O; see batch-socket-internal.h.
 *
 * nbdkit reads a request's header and its payload by a call each, and sends a
 * reply in up to three pieces.  Here a read takes along what else has arrived,
 * the pieces of a reply are joined, and a whole reply waits while the next
 * request is here already:
 *
 *             recvd by one readv                 sent by one sendmsg
 *   socket ──────┬──────────────> caller   caller ──────┬────────────> socket
 *                │                   ^        │         ^
 *                v                   │        v         │
 *       ahead ┌─────────────────────┐│      ┌────────────────────┐ held
 *             │ used  │ here │      │┘      │ reply, reply, piece│
 *             └───────┴──────┴──────┘       └────────────────────┘
 *                 rx_start rx_end               replies = 2
 *
 * The bytes ahead are in rx_buf, and those held in `held`.
 *
 * This is why it is right:
 *
 * - What was read ahead is what the next read gets, whichever call makes it.
 * - A piece is held only if the caller has said that more follows (MSG_MORE).
 *   A whole reply is held only if the connection is served by one thread, and
 *   the next request, a small read or write, is in ahead to its last byte:
 *   so that this thread is sure to come back, without waiting for the client.
 * - Before a thread asks the kernel for more, or waits for anything else that
 *   batch-libc.c knows of, it sends what is held; so do shutdown and close.
 * - Held bytes go before those of any later call.  If they cannot be sent, the
 *   call that tried fails, and all after it.
 *
 * A client that waits after each request is best woken by the first piece: over
 * Unix sockets the pieces of a reply are joined only where there is a queue.
 * Such a client sends its next request within the time that a CPU takes to fall
 * asleep and to wake up again: so the thread polls for that request for a while
 * where polling pays, unless other connections have requests.  A client with
 * many requests at a time is not hurried (batch-nap-internal.h).
 *
 * Each connection has two locks.  A thread that waits in the kernel for a
 * client must not hold up a thread that would not wait there.  So readers hold
 * in_lock, senders hold out_lock, and each only tries to get the other lock.  A
 * thread that does not get it knows what that means:
 *
 * - in_lock taken: somebody reads, and may soon wait: a sender then holds no
 *   whole reply;
 * - out_lock taken: somebody sends.  As that thread cannot have in_lock while
 *   the reader does, it holds no whole reply, and sends all that is held.
 *
 * To lock and unlock for each piece costs more than all else here.  So a thread
 * that alone serves its connection keeps both locks from one read to the next
 * (batch_keep_locks): others take them only to find that the connection is
 * busy.  The thread that serves alone is the one that has read the handshake.
 * Where nbdkit has threads for a connection's requests, these read after
 * another one has, so that none of them keeps locks.
 *
 * A struct batch_socket belongs to a descriptor's number and is never freed, so
 * that whoever has found it may look at it; its buffers go with the socket.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "batch-internal.h"

/*---------------------------------------------------------------------*/
/* Beginning and end */

static int
socket_option (int fd, int name)
{
  socklen_t len = sizeof (int);
  int value;

  return getsockopt (fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

/* See batch-held.c. */
_Static_assert(MAX_AHEAD <= 256 * 1024, "521 KiB for a connection");

/* Both locks are held.  Where the last socket of this number was closed in a
 * way that nobody saw, its buffers are still there.
 */
static bool
make_buffers (struct batch_socket *c)
{
  if (c->rx_buf == NULL)
    c->rx_buf = malloc (MAX_AHEAD);
  return held_begin (&c->held) && c->rx_buf != NULL;
}

static void
free_buffers (struct batch_socket *c)
{
  batch_defer_end (c, false);
  batch_defer_free (c);
  held_end (&c->held);
  free (c->rx_buf);
  c->rx_buf = NULL;
  c->rx_start = c->rx_end = 0;
}

void
batch_begin (int fd)
{
  const int saved = errno;
  struct batch_socket *c;

  if (socket_option (fd, SO_TYPE) == SOCK_STREAM &&
      (c = batch_connection_of (fd)) != NULL) {
    atomic_store (&c->open, false);
    if (batch_thread.keeps == c)
      batch_release ();
    /* A thread that has a lock still uses the last socket of this number. */
    if (try_lock (&c->in_lock)) {
      if (try_lock (&c->out_lock)) {
        batch_defer_end (c, false);
        if (make_buffers (c)) {
          c->fd = fd;
          c->deferrer = NULL;
          c->device = NULL;
          c->drops = false;
          c->given_back = c->taken_back = 0;
          c->reader = NULL;
          c->rx_start = c->rx_end = 0;
          c->window = MAX_AHEAD;
          c->is_large = false;
          c->last_read_size = 0;
          c->requests = 0;
          c->reads = 0;
          pace_init (&c->pace, 1);
          naps_init (&c->naps);
          c->read_at = 0;
          c->received = 0;
          c->is_overdue = false;
          c->replies = 0;
          c->error = 0;
          c->is_unix = socket_option (fd, SO_DOMAIN) == AF_UNIX;
          atomic_store (&c->in_service, 0);
          atomic_store (&c->passthrough, false);
          atomic_store_explicit (&c->open, true, memory_order_release);
        }
        else
          free_buffers (c);
        pthread_mutex_unlock (&c->out_lock);
      }
      pthread_mutex_unlock (&c->in_lock);
    }
  }
  errno = saved;
}

void
batch_after_fork (void)
{
  batch_forget_connections ();
  batch_thread = (struct batch_thread) BATCH_THREAD_INIT;
}

/*---------------------------------------------------------------------*/
/* Sending */

/* May bytes wait, which are zeroes of an answer or others?  out_lock is held,
 * and in_lock where READER_IS_AWAY.
 */
static bool
may_hold (struct batch_socket *c, bool zeroes, bool more, bool reader_is_away)
{
  if (more)
    return c->held.len > 0 || !c->is_unix ||
           (reader_is_away && c->rx_start < c->rx_end) ||
           atomic_load_explicit (&c->in_service, memory_order_relaxed) > 1;
  return batch_may_wait () && reader_is_away && next_is_here (c, zeroes);
}

/* BUF is NULL for zeroes.  KEEPS: this thread keeps the locks. */
static bool
hold (struct batch_socket *c, const void *buf, size_t n, bool more, bool keeps)
{
  const bool reader_is_away = keeps || try_lock (&c->in_lock);
  const bool r = (n <= MAX_COPIED_PIECE || buf == NULL) &&
                 may_hold (c, buf == NULL, more, reader_is_away) &&
                 held_add (&c->held, buf, n);

  if (r)
    c->replies += !more;
  if (reader_is_away && !keeps)
    pthread_mutex_unlock (&c->in_lock);
  return r;
}

void
batch_end_service (struct batch_socket *c)
{
  if (batch_thread.serving == c) {
    atomic_fetch_sub_explicit (&c->in_service, 1, memory_order_relaxed);
    batch_thread.serving = NULL;
  }
}

/* Are the N bytes at BUF the zeroes with which this thread answers? */
static inline bool
are_zeroes (const void *buf, size_t n)
{
  return buf == batch_thread.answer && n <= batch_thread.answer_len;
}

/* Is what nbdkit has at BUF a part of what this thread has placed? */
static inline bool
is_placed (const char *buf)
{
  const struct batch_thread *t = &batch_thread;

  return t->placed != NULL &&
         (uintptr_t) buf - (uintptr_t) t->placed_for < t->placed_len;
}

/* Where are the N bytes that nbdkit has at BUF? */
static const void *
answer_place (const char *buf, size_t n)
{
  const struct batch_thread *t = &batch_thread;
  const size_t at = (uintptr_t) buf - (uintptr_t) t->placed_for;

  return is_placed (buf) && n <= t->placed_len - at ? t->placed + at : buf;
}

/* N of the bytes at FROM have been sent, or are held. */
static void
note_sent (const char *from, size_t n)
{
  struct batch_thread *t = &batch_thread;

  if (t->placed != NULL && from + n == t->placed + t->placed_len) {
    t->placed = NULL;
    held_place_end (&t->keeps->held);
  }
}

/* Send the N bytes at FROM, which cannot be held. */
static ssize_t
send_now (struct batch_socket *c, int fd, const void *from, size_t n, int flags)
{
  ssize_t r;

  batch_end_requests ();
  if (are_zeroes (from, n) && held_add (&c->held, NULL, n))
    return batch_send_held (c, fd, NULL, 0, flags, false) != -1 ? (ssize_t) n
                                                                : -1;
  if (c->held.len > 0) {
    r = batch_send_held (c, fd, from, n, flags, false);
    if (r != 0)
      return r;
  }
  if (batch_has_aside (c))
    return batch_send_held (c, fd, from, n, flags, true);
  return batch_libc.send (fd, from, n, flags);
}

/* out_lock is held.  KEEPS: as for hold. */
static __attribute__ ((noinline)) ssize_t
send_or_hold (struct batch_socket *c, int fd, const void *buf, size_t n,
              int flags, bool keeps)
{
  const void *const from = answer_place (buf, n);
  ssize_t r = n;

  batch_expect_header (); /* it has read all of what it answers */
  if (c->error != 0) {
    errno = c->error;
    return -1;
  }
  if (c->partial_reply != NULL) {
    if (batch_defer_piece (c, from, n, flags & MSG_MORE))
      return n;
    errno = ENOMEM;
    return -1;
  }
  if (hold (c, are_zeroes (from, n) ? NULL : from, n, flags & MSG_MORE, keeps))
    batch_thread.holding = fd;
  else
    r = send_now (c, fd, from, n, flags);
  if (r > 0)
    note_sent (from, r);
  return r;
}

bool
batch_before_reply (void (*end) (void *arg), void *arg)
{
  struct batch_thread *t = &batch_thread;

  if (t->keeps == NULL)
    return false;
  t->end = end;
  t->end_arg = arg;
  return true;
}

/* What batch_send does with few bytes, or with the zeroes of an answer, where
 * this thread keeps the locks of C, and can hold them.  Nearly all sends are
 * so: this does no more than they need, and calls nothing.  False: nothing has
 * been done.
 */
static inline __attribute__ ((always_inline)) bool
hold_kept (struct batch_socket *c, const char *buf, size_t n, bool more)
{
  struct batch_thread *const t = &batch_thread;
  struct held *const h = &c->held;

  if (c->error != 0 || (more ? h->len == 0 && c->rx_start == c->rx_end
                             : !batch_may_wait_here () ||
                                   !next_is_here (c, are_zeroes (buf, n))))
    return false;
  if (n <= MAX_HELD_SHORT && !is_placed (buf)) {
    if (!held_add_short (h, buf, n))
      return false;
  }
  else if (n < MIN_BY_REFERENCE || n > HELD_ZEROES || !are_zeroes (buf, n) ||
           !held_add_zeroes (h, n))
    return false;
  batch_expect_header ();
  c->replies += !more;
  t->holding = c->fd;
  return true;
}

static __attribute__ ((noinline)) ssize_t
send_by_lock (int fd, const void *buf, size_t n, int flags)
{
  struct batch_socket *c = batch_find (fd);
  ssize_t r;

  if (c != NULL && (n == 0 || (flags & ~(MSG_MORE | MSG_NOSIGNAL)) != 0))
    batch_pass_through (fd);
  if (c == NULL || passes_through (c)) {
    batch_release ();
    return batch_libc.send (fd, buf, n, flags);
  }
  pthread_mutex_lock (&c->out_lock);
  r = c->held.piece != NULL ? send_or_hold (c, fd, buf, n, flags, false)
                            : batch_libc.send (fd, buf, n, flags);
  pthread_mutex_unlock (&c->out_lock);
  if (!(flags & MSG_MORE))
    batch_end_service (c);
  return r;
}

ssize_t
batch_send (int fd, const void *buf, size_t n, int flags)
{
  struct batch_socket *c = batch_thread.keeps;
  ssize_t r;

  if (c == NULL || c->fd != fd || n == 0 ||
      (flags & ~(MSG_MORE | MSG_NOSIGNAL)) != 0)
    r = send_by_lock (fd, buf, n, flags);
  else if (hold_kept (c, buf, n, flags & MSG_MORE))
    r = n;
  else
    r = send_or_hold (c, fd, buf, n, flags, true);
  if (__builtin_expect (batch_thread.learns_of != NULL, 0))
    batch_learn (fd, buf, r, flags & MSG_MORE);
  return r;
}

ssize_t
batch_write (int fd, const void *buf, size_t n)
{
  return batch_find (fd) != NULL ? batch_send (fd, buf, n, 0)
                                 : batch_libc.write (fd, buf, n);
}

void
batch_pass_through (int fd)
{
  struct batch_socket *c = batch_find (fd);
  const int saved = errno;

  batch_release ();
  if (c != NULL && !passes_through (c)) {
    pthread_mutex_lock (&c->out_lock);
    batch_defer_end (c, true);
    batch_flush (c, fd, 0);
    atomic_store (&c->passthrough, true);
    pthread_mutex_unlock (&c->out_lock);
  }
  errno = saved;
}

void
batch_before_wait (void)
{
  struct batch_socket *c = batch_find (batch_thread.holding);
  struct batch_socket *serving = batch_thread.serving;
  const int saved = errno;

  batch_release ();
  if (c != NULL && try_lock (&c->out_lock)) {
    batch_flush (c, batch_thread.holding, 0);
    pthread_mutex_unlock (&c->out_lock);
  }
  if (serving != NULL && serving->nr_waiting > 0 &&
      try_lock (&serving->out_lock)) {
    batch_defer_answer (serving);
    pthread_mutex_unlock (&serving->out_lock);
  }
  batch_thread.holding = -1;
  batch_thread.arrival = 0;
  errno = saved;
}

/*---------------------------------------------------------------------*/
/* Before a socket is shut down, or closed */

/* The shutdown is to stop a thread that sends meanwhile; that thread sends what
 * is held by itself.  Where another thread has given only a part of a reply,
 * the rest of that reply is not waited for.
 */
int
batch_shutdown (int fd, int how)
{
  struct batch_socket *c = batch_find (fd);

  batch_release ();
  if (c != NULL && batch_thread.answering == c)
    batch_flush (c, fd, 0);
  else if (c != NULL && try_lock (&c->out_lock)) {
    batch_flush (
        c, fd, c->replies > 0 || batch_thread.holding == fd ? 0 : MSG_DONTWAIT);
    pthread_mutex_unlock (&c->out_lock);
  }
  return batch_libc.shutdown (fd, how);
}

/* A thread that is in a call for FD keeps the buffers, until batch_begin finds
 * that it has left.
 */
void
batch_end (int fd)
{
  struct batch_socket *c = batch_find (fd);
  const int saved = errno;

  if (c == NULL)
    return;
  batch_release ();
  batch_end_service (c);
  batch_expect_header (); /* the next thing it reads is of another */
  if (try_lock (&c->out_lock)) {
    batch_defer_finish (c);
    batch_flush (c, fd, 0);
    atomic_store (&c->open, false);
    if (try_lock (&c->in_lock)) {
      free_buffers (c);
      pthread_mutex_unlock (&c->in_lock);
    }
    pthread_mutex_unlock (&c->out_lock);
  }
  atomic_store (&c->open, false);
  errno = saved;
}
