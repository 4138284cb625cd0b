/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * When the kernel is asked for a client's bytes: at once, after a nap, or again
 * and again, for the next request of a client that has one at a time; and the
 * polling of nbdkit's own (ppoll) beside what was read ahead.  See
 * batch-socket.c.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "batch-internal.h"
#include "common/common.h"

/* If a client was not busy, this is checked again after so many reads. */
#define CHECK_BUSY_EVERY 8

/* In ns.  A look at the socket takes longer than this only if another thread
 * has had the CPU meanwhile.
 */
#define MAX_JUMP 200000

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

/* Repeat read_at_once until something comes, for LONGEST nanoseconds at most,
 * and only while no other connection has requests.
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

/* Wait for the next request of a client, or for the rest of one.  If the client
 * has had no more than one request in flight, and no other connection has any,
 * this polls where that pays; otherwise it sleeps in the kernel.
 */
static ssize_t
wait_for_request (struct batch_socket *c, int fd, const struct iovec *iov)
{
  const uint64_t longest =
      batch_may_wait () ? atomic_load_explicit (&poll_ns, memory_order_relaxed)
                        : 0;
  const bool was_last = longest != 0 && is_last_reader (c);
  const bool is_rest = c->drops || is_ahead (c) || c->last_read_size != HEADER;
  const bool together = c->requests > 1 || c->naps.nap > 0;
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

/* Whoever has not taken all replies has more than one request in flight. */
static void
note_arrival (struct batch_socket *c, bool napped, bool busy)
{
  naps_note_arrival (&c->naps, napped, busy);
  if (busy)
    pace_together (&c->pace);
}

/* A nap lets a client that has yet to take replies of ours send more requests.
 * A nap is of no use where payloads or replies are large.  A client with large
 * payloads may take no reply until it has sent its next request, and for that
 * there is no room before we read.  And a client takes large replies within
 * less than a nap, as only few of them fit into the socket.
 */
ssize_t
batch_read_paced (struct batch_socket *c, int fd, const struct iovec *iov)
{
  const bool may_nap =
      c->is_unix && !c->is_large && batch_libc.has_unread != NULL &&
      c->nr_waiting == 0 && batch_may_wait () &&
      !atomic_load_explicit (&batch_any_waits, memory_order_relaxed);
  struct timespec ts = {0};
  bool napped = false;
  ssize_t r = -1;

  if (may_nap)
    ts.tv_nsec = naps_next (&c->naps);
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
      (napped || c->naps.nap > 0 || ++c->reads % CHECK_BUSY_EVERY == 0))
    note_arrival (c, napped, batch_libc.has_unread (fd));
  return r;
}

/*---------------------------------------------------------------------*/
/* Polling by the caller */

static bool
has_ahead (int fd)
{
  struct batch_socket *c = batch_find (fd);
  bool r = false;

  /* If another thread reads, nothing is ahead. */
  if (c != NULL && try_lock (&c->in_lock)) {
    r = is_ahead (c);
    pthread_mutex_unlock (&c->in_lock);
  }
  return r;
}

/* The ppoll of nbdkit_nanosleep.  It also ends when a request comes from the
 * client, or when one is hastened.  poll leaves descriptors of -1 alone.
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
