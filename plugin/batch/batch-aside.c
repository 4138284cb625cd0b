/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Requests that are set aside (batch_set_aside), and tried again when they are
 * hastened or their time is over; batch-defer.c has the drawing.
 */

#include <config.h>

/* batch_libc has the C library's calls by their names, see batch-libc.c. */
#undef _FILE_OFFSET_BITS
#undef _TIME_BITS

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

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
             batch_turn *turn, const void *payload, size_t n)
{
  d->deadline = until;
  d->turn = turn;
  d->connection = c;
  if (n > 0)
    memcpy (d->reply + HEADERS, payload, n);
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
  struct deferred **heap = c->waiting, *d, *next;
  unsigned i;

  if (atomic_load_explicit (&c->hastened, memory_order_relaxed) == NULL)
    return;
  for (d = atomic_exchange (&c->hastened, NULL); d != NULL; d = next) {
    next = d->next_hastened;
    atomic_store (&d->is_hastened, false);
    if (d->turn == NULL)
      continue;
    d->deadline = 0;
    for (i = 0; i < c->nr_waiting && heap[i] != d; i++)
      ;
    if (i == c->nr_waiting)
      continue;
    for (; i > 0 && heap[(i - 1) / 2]->deadline > 0; i = (i - 1) / 2)
      heap[i] = heap[(i - 1) / 2];
    heap[i] = d;
  }
}

bool
aside_take_turn (struct batch_socket *c, struct deferred *d)
{
  uint64_t moment;
  bool is_over;

  is_over = d->turn (d->request, d->reply + HEADERS, &moment);
  if (is_over) {
    d->turn = NULL;
    deferred_shrink (c, d);
    if (moment <= clock_now ())
      return true;
  }
  d->deadline = moment;
  deferred_put_in (c, d);
  return false;
}

void
aside_clear_wake (const struct batch_socket *c)
{
  uint64_t n;

  if (batch_libc.read (c->wake_fd, &n, sizeof n) == -1)
    assert (errno == EAGAIN);
}
