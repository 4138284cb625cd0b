/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The connections of batched socket I/O by their descriptors, and how what is
 * held for one is sent; batch-socket.c has the diagram, and the argument for
 * its locks.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "batch-internal.h"

/* Descriptors from here on are left alone. */
#define MAX_FD 65536

struct batch_calls batch_libc;
atomic_bool batch_any_waits;
atomic_bool batch_is_serial;
atomic_int batch_sleeps = SLEEPS_UNKNOWN;
_Thread_local struct batch_thread batch_thread = BATCH_THREAD_INIT;
const struct batch_thread batch_several = BATCH_THREAD_INIT;

static _Atomic (struct batch_socket *) connections[MAX_FD];
static atomic_int end_of_connections; /* all are below */

/*---------------------------------------------------------------------*/
/* Connections */

struct batch_socket *
batch_find (int fd)
{
  struct batch_socket *c;

  if (fd < 0 || fd >= MAX_FD)
    return NULL;
  c = atomic_load_explicit (&connections[fd], memory_order_acquire);
  if (c == NULL || !atomic_load_explicit (&c->open, memory_order_acquire))
    return NULL;
  return c;
}

void
batch_each (void (*action) (int fd))
{
  const int end = atomic_load (&end_of_connections);
  int fd;

  for (fd = 0; fd < end; fd++) {
    if (batch_find (fd) != NULL)
      action (fd);
  }
}

struct batch_socket *
batch_connection_of (int fd)
{
  struct batch_socket *c;
  int end;

  if (fd < 0 || fd >= MAX_FD)
    return NULL;
  c = atomic_load_explicit (&connections[fd], memory_order_acquire);
  if (c != NULL)
    return c;
  c = aligned_alloc (_Alignof(struct batch_socket), sizeof *c);
  if (c == NULL)
    return NULL;
  memset (c, 0, sizeof *c);
  c->wake_fd = -1;
  pthread_mutex_init (&c->in_lock, NULL);
  pthread_mutex_init (&c->out_lock, NULL);
  atomic_store_explicit (&connections[fd], c, memory_order_release);
  end = atomic_load (&end_of_connections);
  while (end <= fd &&
         !atomic_compare_exchange_weak (&end_of_connections, &end, fd + 1))
    ;
  return c;
}

void
batch_forget_connections (void)
{
  const int end = atomic_load (&end_of_connections);
  int fd;

  for (fd = 0; fd < end; fd++)
    atomic_store (&connections[fd], NULL);
}

void
batch_set_serial (bool serial)
{
  atomic_store (&batch_is_serial, serial);
}

void
batch_set_waits (bool waits)
{
  atomic_store (&batch_any_waits, waits);
}

/* nbdkit may have been compiled to call another function of the C library for
 * its sleeps, as with 64-bit time on a 32-bit machine.  A sleep of no time
 * shows it, and if it comes here, it makes no system call.
 */
int
batch_find_sleeps (void)
{
  int r = SLEEPS_SEEN;

  if (batch_libc.nap != NULL) {
    batch_thread.is_probing = true;
    batch_libc.nap (0);
    r = batch_thread.is_probing ? SLEEPS_UNSEEN : SLEEPS_SEEN;
    batch_thread.is_probing = false;
  }
  atomic_store_explicit (&batch_sleeps, r, memory_order_relaxed);
  return r;
}

/*---------------------------------------------------------------------*/
/* Locks that are kept */

bool
batch_keep_locks (struct batch_socket *c)
{
  if (atomic_load_explicit (&c->reader, memory_order_relaxed) !=
          &batch_thread ||
      c->nr_waiting > 0 || passes_through (c) ||
      atomic_load_explicit (&batch_any_waits, memory_order_relaxed) ||
      !batch_may_wait () || !try_lock (&c->out_lock))
    return false;
  batch_thread.keeps = c;
  return true;
}

void
batch_copy_answer_back (void)
{
  struct batch_thread *t = &batch_thread;

  memcpy (t->placed_for, t->placed, t->placed_len);
  t->placed = NULL;
  held_place_end (&t->keeps->held);
}

void
batch_release (void)
{
  struct batch_socket *c = batch_thread.keeps;

  if (c == NULL)
    return;
  batch_end_requests ();
  batch_settle_answer ();
  batch_thread.keeps = NULL;
  pthread_mutex_unlock (&c->out_lock);
  pthread_mutex_unlock (&c->in_lock);
}

/*---------------------------------------------------------------------*/
/* Sending what is held */

/* N bytes of a message have been sent. */
static void
advance (struct msghdr *msg, size_t n)
{
  while (msg->msg_iovlen > 0 && n >= msg->msg_iov->iov_len) {
    n -= msg->msg_iov->iov_len;
    msg->msg_iov->iov_len = 0;
    msg->msg_iov++;
    msg->msg_iovlen--;
  }
  if (n > 0) {
    msg->msg_iov->iov_base = (char *) msg->msg_iov->iov_base + n;
    msg->msg_iov->iov_len -= n;
  }
}

static void
forget_held (struct batch_socket *c)
{
  held_clear (&c->held);
  c->replies = 0;
}

ssize_t
batch_send_held (struct batch_socket *c, int fd, const void *data, size_t n,
                 int flags, bool whole)
{
  struct pollfd writable = {.fd = fd, .events = POLLOUT};
  size_t pieces;
  struct iovec *const iov = held_with (&c->held, data, n, &pieces);
  struct iovec *const last = &iov[pieces - 1];
  struct msghdr msg = {.msg_iov = iov, .msg_iovlen = pieces};
  ssize_t r;

  while (msg.msg_iov < last || (whole && last->iov_len > 0)) {
    r = batch_libc.sendmsg (fd, &msg,
                            batch_has_aside (c) ? flags | MSG_DONTWAIT : flags);
    if (r == -1 && errno == EINTR)
      continue;
    if (r == -1 && errno == EAGAIN && !(flags & MSG_DONTWAIT)) {
      if (batch_has_aside (c))
        batch_aside_await_room (c, fd);
      else
        batch_libc.ppoll (&writable, 1, NULL, NULL);
      continue;
    }
    if (r == -1) {
      /* nbdkit would try the next send for ever at EAGAIN. */
      c->error = errno == EAGAIN ? EPIPE : errno;
      forget_held (c);
      return -1;
    }
    advance (&msg, r);
  }
  forget_held (c);
  return n - last->iov_len;
}

/* MSG_NOSIGNAL: the caller itself does not send anything, and expects no
 * SIGPIPE.
 */
bool
batch_flush (struct batch_socket *c, int fd, int flags)
{
  return c->held.len == 0 ||
         batch_send_held (c, fd, NULL, 0, flags | MSG_NOSIGNAL, false) != -1;
}

bool
batch_send_whole (struct batch_socket *c, const char *buf, size_t n)
{
  if (c->error != 0)
    return false;
  return (n <= MAX_COPIED_PIECE && held_add (&c->held, buf, n)) ||
         batch_send_held (c, c->fd, buf, n, MSG_NOSIGNAL, true) != -1;
}
