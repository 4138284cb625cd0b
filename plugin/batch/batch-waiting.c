/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A connection's deferred replies, and its requests that were set aside: two
 * heaps of those that wait, by their moments, a list of requests that are
 * ready, a list of structs that can be used again, and the room for all of
 * them; see batch-defer-internal.h.
 */

#include <config.h>

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "batch-defer-internal.h"
#include "common/common.h"

/* Each connection has a SHARE of the room, which nobody else can take.  What it
 * needs beyond that is of the COMMON room of all.  So what is held has a bound
 * for each number of connections, and clients that hold as much as they can,
 * for as long as they can, leave its share to every other.  The share has room
 * for what qemu sends out of order, of 16 requests of 2 MiB.
 */
#define SHARE ((size_t) 32 << 20)
#define COMMON ((size_t) 256 << 20)

/* A buffer larger than MAX_KEPT_BUFFER is given back when its reply has been
 * sent, and so is any buffer while more than MAX_TO_KEEP bytes are in use: so
 * connections that ask for nothing more never keep all of the room.
 */
#define MAX_KEPT_BUFFER (16 * 1024)
#define MAX_TO_KEEP ((size_t) 128 << 20)

static atomic_size_t bytes_of_all;
static atomic_size_t bytes_of_common;

/*---------------------------------------------------------------------*/
/* Heaps by due time */

static void
put_at (struct heap *h, unsigned i, struct deferred *d)
{
  h->element[i] = d;
  d->place = i;
}

/* Put D at I, or further up, where it belongs. */
static void
sift_up (struct heap *h, unsigned i, struct deferred *d)
{
  unsigned up;

  for (; i > 0 && h->element[up = (i - 1) / 2]->due_at > d->due_at; i = up)
    put_at (h, i, h->element[up]);
  put_at (h, i, d);
}

static void
heap_put_in (struct heap *h, struct deferred *d)
{
  sift_up (h, h->n++, d);
}

static struct deferred *
heap_take (struct heap *h, unsigned i)
{
  struct deferred *d = h->element[i], *last = h->element[--h->n];
  unsigned down;

  if (d == last)
    return d;
  for (; (down = 2 * i + 1) < h->n; i = down) {
    if (down + 1 < h->n &&
        h->element[down + 1]->due_at < h->element[down]->due_at)
      down++;
    if (h->element[down]->due_at >= last->due_at)
      break;
    put_at (h, i, h->element[down]);
  }
  sift_up (h, i, last);
  return d;
}

/*---------------------------------------------------------------------*/
/* Requests that wait */

static void
count (struct batch_socket *c, int n)
{
  atomic_store_explicit (&c->nr_waiting, c->nr_waiting + n,
                         memory_order_relaxed);
}

static void
append_ready (struct batch_socket *c, struct deferred *d)
{
  if (c->ready == NULL)
    c->end_of_ready = &c->ready;
  d->next = NULL;
  *c->end_of_ready = d;
  c->end_of_ready = &d->next;
}

void
deferred_put_in (struct batch_socket *c, struct deferred *d)
{
  if (d->retry == NULL)
    heap_put_in (&c->waiting, d);
  else if (d->is_ready)
    append_ready (c, d);
  else
    heap_put_in (&c->aside, d);
  count (c, 1);
}

void
deferred_make_ready (struct batch_socket *c, struct deferred *d)
{
  if (d->is_ready)
    return;
  d->is_ready = true;
  if (d != c->partial_reply)
    append_ready (c, heap_take (&c->aside, d->place));
}

struct deferred *
deferred_take_first (struct batch_socket *c)
{
  count (c, -1);
  return heap_take (&c->waiting, 0);
}

struct deferred *
deferred_take_ready (struct batch_socket *c)
{
  struct deferred *d = c->ready;

  count (c, -1);
  c->ready = d->next;
  d->is_ready = false;
  return d;
}

struct deferred *
deferred_take_any (struct batch_socket *c)
{
  if (c->ready != NULL)
    return deferred_take_ready (c);
  count (c, -1);
  return heap_take (c->waiting.n > 0 ? &c->waiting : &c->aside, 0);
}

uint64_t
heap_first_moment (const struct heap *h)
{
  return h->n > 0 ? h->element[0]->due_at : UINT64_MAX;
}

/*---------------------------------------------------------------------*/
/* Room */

/* How much of the common room a connection takes that holds BYTES in all. */
static size_t
of_common (size_t bytes)
{
  return bytes > SHARE ? bytes - SHARE : 0;
}

static bool
charge (struct batch_socket *c, size_t n)
{
  size_t more;

  if (n > SHARE + COMMON)
    return false;
  more = of_common (c->bytes + n) - of_common (c->bytes);
  if (more > 0 && atomic_fetch_add (&bytes_of_common, more) + more > COMMON) {
    atomic_fetch_sub (&bytes_of_common, more);
    return false;
  }
  atomic_fetch_add (&bytes_of_all, n);
  c->bytes += n;
  return true;
}

static void
discharge (struct batch_socket *c, size_t n)
{
  const size_t less = of_common (c->bytes) - of_common (c->bytes - n);

  if (less > 0)
    atomic_fetch_sub (&bytes_of_common, less);
  atomic_fetch_sub (&bytes_of_all, n);
  c->bytes -= n;
}

static void
free_reply (struct batch_socket *c, struct deferred *d)
{
  free (d->reply);
  discharge (c, d->room);
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
    discharge (c, n - d->room);
    return false;
  }
  d->reply = p;
  d->room = n;
  return true;
}

void
deferred_shrink (struct batch_socket *c, struct deferred *d)
{
  char *p =
      d->room > MAX_KEPT_BUFFER ? realloc (d->reply, MAX_REPLY_HEADERS) : NULL;

  if (p == NULL)
    return;
  discharge (c, d->room - MAX_REPLY_HEADERS);
  d->reply = p;
  d->room = MAX_REPLY_HEADERS;
}

void
deferred_make_idle (struct batch_socket *c, struct deferred *d)
{
  if (d->room > MAX_KEPT_BUFFER ||
      atomic_load_explicit (&bytes_of_all, memory_order_relaxed) > MAX_TO_KEEP)
    free_reply (c, d);
  d->len = 0;
  d->next = c->idle;
  c->idle = d;
}

struct deferred *
deferred_take_idle (struct batch_socket *c, unsigned depth)
{
  struct deferred *d = c->idle;

  if (c->waiting.element == NULL)
    c->waiting.element = calloc (depth, sizeof (struct deferred *));
  if (c->aside.element == NULL)
    c->aside.element = calloc (depth, sizeof (struct deferred *));
  if (c->waiting.element == NULL || c->aside.element == NULL)
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
  free (c->waiting.element);
  free (c->aside.element);
  c->waiting.element = c->aside.element = NULL;
  if (c->wake_fd >= 0)
    close (c->wake_fd);
  c->wake_fd = -1;
}
