/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Requests that are set aside (batch_set_aside), and tried again when they are
 * hastened or their time is up; batch-defer.c has the diagram.
 *
 * The bytes that a request waits for may be in the socket already: the thread
 * may have been busy, or have waited for a client that takes no replies.
 * So a request whose time is up gets its last try only between two requests,
 * and only when all bytes have been read that had come when its time was found
 * to be up.  Bytes that come later do not put that off.  Where as many requests
 * wait as are allowed to, nothing can be read: then one gets its last try at
 * once, and makes room for the next.
 */

#include <config.h>

/* batch_libc has the C library's calls by their names, see batch-libc.c. */
#undef _FILE_OFFSET_BITS
#undef _TIME_BITS

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include "batch-defer-internal.h"
#include "common/common.h"

bool
aside_can_be_woken (struct batch_socket *c)
{
  if (c != NULL && c->wake_fd < 0)
    c->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  return c != NULL && c->wake_fd >= 0;
}

void
aside_begin (struct batch_socket *c, struct deferred *d, uint64_t until,
             batch_retry *retry, const void *payload, size_t n)
{
  d->due_at = until;
  d->retry = retry;
  d->is_ready = false;
  d->connection = c;
  if (n > 0)
    memcpy (d->reply + MAX_REPLY_HEADERS, payload, n);
}

/* Nothing of D is looked at after the push: its thread may have taken it.  But
 * the connection does not end before the caller lets go of the lock of its own
 * that keeps the request from being answered.
 */
void
batch_hasten (void *request)
{
  struct deferred *d =
      (struct deferred *) ((char *) request -
                           offsetof (struct deferred, request));
  struct batch_socket *c = d->connection;
  const uint64_t one = 1;
  const int saved = errno;
  struct deferred *first;

  if (atomic_exchange (&d->is_hastened, true))
    return;
  first = atomic_load (&c->hastened);
  do {
    d->next_hastened = first;
  } while (!atomic_compare_exchange_weak (&c->hastened, &first, d));
  if (first == NULL && c->deferrer != &batch_thread &&
      batch_libc.write (c->wake_fd, &one, sizeof one) == -1)
    assert (errno == EAGAIN); /* it is readable all the same */
  errno = saved;
}

void
aside_take_hastened (struct batch_socket *c)
{
  struct deferred *d, *next, *in_order = NULL;

  if (atomic_load_explicit (&c->hastened, memory_order_relaxed) == NULL)
    return;
  /* The list begins with the last one that was hastened: turn it round. */
  for (d = atomic_exchange (&c->hastened, NULL); d != NULL; d = next) {
    next = d->next_hastened;
    d->next_hastened = in_order;
    in_order = d;
  }
  for (d = in_order; d != NULL; d = next) {
    next = d->next_hastened;
    atomic_store (&d->is_hastened, false);
    if (d->retry != NULL)
      deferred_make_ready (c, d);
  }
}

size_t
aside_retry (struct batch_socket *c)
{
  struct deferred *d = deferred_take_ready (c);
  const size_t n = d->room;

  if (d->retry (d->request, d->reply + MAX_REPLY_HEADERS, &d->due_at)) {
    d->retry = NULL;
    deferred_shrink (c, d);
  }
  deferred_put_in (c, d);
  return n;
}

/* How many bytes the kernel has of the client. */
static size_t
bytes_here (const struct batch_socket *c)
{
  int n = 0;

  return ioctl (c->fd, FIONREAD, &n) == 0 && n > 0 ? (size_t) n : 0;
}

bool
aside_last_try (struct batch_socket *c, bool is_full)
{
  const uint64_t now = c->aside.n > 0 ? clock_now () : 0;

  if (heap_first_moment (&c->aside) > now) {
    c->is_overdue = false;
    return false;
  }
  if (is_full) {
    deferred_make_ready (c, c->aside.element[0]);
    return false;
  }
  if (!c->is_overdue) {
    c->is_overdue = true;
    c->overdue_at = now;
    c->bytes_by_then = c->received + bytes_here (c);
  }
  if (c->received - (c->rx_end - c->rx_start) < c->bytes_by_then)
    return true;
  c->is_overdue = false;
  while (heap_first_moment (&c->aside) <= c->overdue_at)
    deferred_make_ready (c, c->aside.element[0]);
  return false;
}

void
batch_aside_await_room (struct batch_socket *c, int fd)
{
  struct pollfd fds[2] = {{.fd = fd, .events = POLLOUT},
                          {.fd = c->wake_fd, .events = POLLIN}};

  aside_take_hastened (c);
  while (c->ready != NULL) {
    aside_retry (c);
    aside_take_hastened (c);
  }
  if (batch_libc.ppoll (fds, 2, NULL, NULL) > 0 && fds[1].revents != 0)
    aside_clear_wake (c);
}

void
aside_clear_wake (const struct batch_socket *c)
{
  uint64_t n;

  if (batch_libc.read (c->wake_fd, &n, sizeof n) == -1)
    assert (errno == EAGAIN);
}
