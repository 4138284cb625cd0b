/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What waits on a connection: deferred replies and requests that were set
 * aside, in the order of their moments, those that can be used again, and the
 * room for all of them; see batch-defer-internal.h.
 */

#include <config.h>

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "batch-defer-internal.h"

/* The most bytes of replies that wait: of one connection, and of all together.
 */
#define MOST_OF_CONNECTION ((size_t) 64 << 20)
#define MOST_OF_ALL ((size_t) 256 << 20)

/* A buffer larger than KEPT is given back when its reply has been sent, and so
 * is any buffer while more than MOST_TO_KEEP bytes are in use: so connections
 * that ask for nothing more never keep all of the room.
 */
#define KEPT (16 * 1024)
#define MOST_TO_KEEP (MOST_OF_ALL / 2)

static atomic_size_t bytes_of_all;

/*---------------------------------------------------------------------*/
/* A heap by deadline */

void
deferred_put_in (struct batch_socket *c, struct deferred *d)
{
  struct deferred **heap = c->waiting;
  unsigned i = c->nr_waiting, up;

  for (; i > 0 && heap[up = (i - 1) / 2]->deadline > d->deadline; i = up)
    heap[i] = heap[up];
  heap[i] = d;
  atomic_store_explicit (&c->nr_waiting, c->nr_waiting + 1,
                         memory_order_relaxed);
}

struct deferred *
deferred_take_first (struct batch_socket *c)
{
  struct deferred **heap = c->waiting, *first = heap[0], *last;
  const unsigned n = c->nr_waiting - 1;
  unsigned i = 0, down;

  last = heap[n];
  for (; (down = 2 * i + 1) < n; i = down) {
    if (down + 1 < n && heap[down + 1]->deadline < heap[down]->deadline)
      down++;
    if (heap[down]->deadline >= last->deadline)
      break;
    heap[i] = heap[down];
  }
  heap[i] = last;
  atomic_store_explicit (&c->nr_waiting, n, memory_order_relaxed);
  return first;
}

/*---------------------------------------------------------------------*/
/* Room */

static bool
charge (struct batch_socket *c, size_t n)
{
  if (n > MOST_OF_CONNECTION || c->bytes > MOST_OF_CONNECTION - n)
    return false;
  if (atomic_fetch_add (&bytes_of_all, n) + n > MOST_OF_ALL) {
    atomic_fetch_sub (&bytes_of_all, n);
    return false;
  }
  c->bytes += n;
  return true;
}

static void
free_reply (struct batch_socket *c, struct deferred *d)
{
  free (d->reply);
  c->bytes -= d->room;
  atomic_fetch_sub (&bytes_of_all, d->room);
  d->reply = NULL;
  d->room = 0;
}

bool
deferred_grow (struct batch_socket *c, struct deferred *d, size_t n)
{
  struct deferred *i;
  char *p;

  if (n <= d->room)
    return true;
  if (!charge (c, n - d->room)) {
    for (i = c->idle; i != NULL; i = i->next)
      free_reply (c, i);
    if (!charge (c, n - d->room))
      return false;
  }
  p = realloc (d->reply, n);
  if (p == NULL) {
    c->bytes -= n - d->room;
    atomic_fetch_sub (&bytes_of_all, n - d->room);
    return false;
  }
  d->reply = p;
  d->room = n;
  return true;
}

void
deferred_shrink (struct batch_socket *c, struct deferred *d)
{
  char *p = d->room > KEPT ? realloc (d->reply, HEADERS) : NULL;

  if (p == NULL)
    return;
  c->bytes -= d->room - HEADERS;
  atomic_fetch_sub (&bytes_of_all, d->room - HEADERS);
  d->reply = p;
  d->room = HEADERS;
}

void
deferred_make_idle (struct batch_socket *c, struct deferred *d)
{
  if (d->room > KEPT ||
      atomic_load_explicit (&bytes_of_all, memory_order_relaxed) > MOST_TO_KEEP)
    free_reply (c, d);
  d->len = 0;
  d->next = c->idle;
  c->idle = d;
}

struct deferred *
deferred_take_idle (struct batch_socket *c, unsigned depth)
{
  struct deferred *d = c->idle;

  if (c->waiting == NULL)
    c->waiting = calloc (depth, sizeof (struct deferred *));
  if (c->waiting == NULL)
    return NULL;
  if (d == NULL)
    return calloc (1, sizeof *d);
  c->idle = d->next;
  return d;
}

void
batch_defer_free (struct batch_socket *c)
{
  struct deferred *d;

  assert (c->partial_reply == NULL && c->nr_waiting == 0);
  while ((d = c->idle) != NULL) {
    c->idle = d->next;
    free_reply (c, d);
    free (d);
  }
  assert (c->bytes == 0);
  free (c->waiting);
  c->waiting = NULL;
  if (c->wake_fd >= 0)
    close (c->wake_fd);
  c->wake_fd = -1;
}
