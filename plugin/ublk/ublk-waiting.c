/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Requests that wait: for their moment, or, where they were set aside, for
 * their retry; ublk-queue-internal.h has the diagram.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ublk-queue-internal.h"

/* Where more than this wait, SPIN_AUTO means not to spin: the CPU is needed for
 * what comes next.
 */
#define MAX_WAITING_FOR_SPIN 8

/*---------------------------------------------------------------------*/
/* A heap by moment */

static void
place (struct ublk_queue *q, unsigned i, struct ublk_request *t)
{
  q->heap[i] = t;
  t->place = i;
}

/* Put T at I, or further up, where it belongs. */
static void
rise (struct ublk_queue *q, unsigned i, struct ublk_request *t)
{
  unsigned up;

  for (; i > 0 && q->heap[up = (i - 1) / 2]->moment > t->moment; i = up)
    place (q, i, q->heap[up]);
  place (q, i, t);
}

static struct ublk_request *
take (struct ublk_queue *q, unsigned i)
{
  struct ublk_request *t = q->heap[i], *last = q->heap[--q->nr_in_heap];
  unsigned down;

  if (t == last)
    return t;
  for (; (down = 2 * i + 1) < q->nr_in_heap; i = down) {
    if (down + 1 < q->nr_in_heap &&
        q->heap[down + 1]->moment < q->heap[down]->moment)
      down++;
    if (q->heap[down]->moment >= last->moment)
      break;
    place (q, i, q->heap[down]);
  }
  rise (q, i, last);
  return t;
}

/*---------------------------------------------------------------------*/
/* Requests that are set aside, or parked */

static void
append_ready (struct ublk_request *t)
{
  struct ublk_queue *q = t->queue;

  if (q->ready == NULL)
    q->last_ready = &q->ready;
  t->next_ready = NULL;
  *q->last_ready = t;
  q->last_ready = &t->next_ready;
}

static struct ublk_request *
take_ready (struct ublk_queue *q)
{
  struct ublk_request *t = q->ready;

  q->ready = t->next_ready;
  t->is_ready = t->is_put_in = false;
  return t;
}

static void
make_ready (struct ublk_request *t)
{
  if (t->is_ready)
    return;
  t->is_ready = true;
  if (t->is_put_in)
    append_ready (take (t->queue, t->place));
}

/* Nothing of T is looked at after the push: its thread may have taken it.  But
 * the queue does not end before the caller lets go of the lock of its own that
 * keeps the request from being answered.
 */
void
ublk_request_hasten (void *request)
{
  struct ublk_request *t = CONTAINER_OF (struct ublk_request, request, request);
  struct ublk_queue *q = t->queue;
  struct ublk_request *first;

  if (atomic_exchange (&t->is_hastened, true))
    return;
  first = atomic_load (&q->hastened);
  do {
    t->next_hastened = first;
  } while (!atomic_compare_exchange_weak (&q->hastened, &first, t));
  if (first == NULL && ublk_queue_of_thread () != q)
    ublk_queue_wake (q);
}

/* Requests that were hastened are ready, except those whose last retry is over.
 */
static void
take_hastened (struct ublk_queue *q)
{
  struct ublk_request *t, *next, *in_order = NULL;

  if (atomic_load_explicit (&q->hastened, memory_order_relaxed) == NULL)
    return;
  /* The list begins with the last one that was hastened: turn it round. */
  for (t = atomic_exchange (&q->hastened, NULL); t != NULL; t = next) {
    next = t->next_hastened;
    t->next_hastened = in_order;
    in_order = t;
  }
  for (t = in_order; t != NULL; t = next) {
    next = t->next_hastened;
    atomic_store (&t->is_hastened, false);
    if (t->retry != NULL || t->is_parked)
      make_ready (t);
  }
}

/*---------------------------------------------------------------------*/

static void
begin_to_wait (struct ublk_request *t, uint64_t moment, uint64_t spin,
               int (*due) (void *request, uint64_t *moment, bool gone),
               const void *request, size_t size)
{
  t->moment = moment;
  t->spin = spin;
  t->due = due;
  t->retry = NULL;
  t->is_put_in = t->is_ready = t->is_parked = false;
  memcpy (t->request, request, size);
}

bool
ublk_request_defer (struct ublk_request *t, uint64_t due_at, uint64_t spin,
                    int (*due) (void *request, uint64_t *moment, bool gone),
                    const void *request, size_t size)
{
  begin_to_wait (t, due_at, spin, due, request, size);
  return true;
}

void *
ublk_request_set_aside (struct ublk_request *t, uint64_t until, uint64_t spin,
                        bool (*retry) (void *request, const void *payload,
                                       uint64_t *moment),
                        int (*due) (void *request, uint64_t *moment, bool gone),
                        const void *request, size_t size, const void *payload,
                        size_t n)
{
  t->payload = NULL;
  if (n > 0) {
    t->payload = malloc (n);
    if (t->payload == NULL)
      return NULL;
    memcpy (t->payload, payload, n);
  }
  begin_to_wait (t, until, spin, due, request, size);
  t->retry = retry;
  return t->request;
}

/* A parked request needs a function that says when it is due; it is not called.
 */
static int
never_due (void *request, uint64_t *moment, bool gone)
{
  (void) request;
  (void) moment;
  (void) gone;
  return -ESHUTDOWN;
}

void *
ublk_request_park (struct ublk_request *t, const void *request, size_t size)
{
  begin_to_wait (t, UINT64_MAX, 0, never_due, request, size);
  t->is_parked = true;
  return t->request;
}

void
ublk_request_let_go (struct ublk_request *t)
{
  t->due = NULL;
  t->is_parked = false;
}

void
ublk_request_put_in (struct ublk_request *t)
{
  struct ublk_queue *q = t->queue;

  t->is_put_in = true;
  if (t->is_ready)
    append_ready (t);
  else
    rise (q, q->nr_in_heap++, t);
}

/* T does not wait any more, unless the device says so, and nobody hastens it
 * after `due`.
 */
static void
end_wait (struct ublk_request *t, uint64_t now, bool gone)
{
  const int r = t->due (t->request, &now, gone);

  if (r == DUE_AGAIN && !gone) {
    t->moment = now;
    ublk_request_put_in (t);
    return;
  }
  t->due = NULL;
  t->retry = NULL;
  if (__builtin_expect (atomic_load (&t->is_hastened), 0))
    take_hastened (t->queue);
  free (t->payload);
  t->payload = NULL;
  if (r != 0)
    t->result = r < 0 ? ublk_request_error (t, r) : -EIO;
  port_answer (&t->at_port, t->result, t->sector);
}

static void
serve_ready (struct ublk_request *t)
{
  if (t->is_parked) {
    ublk_request_go_on (t, false);
    return;
  }
  if (t->retry (t->request, t->payload, &t->moment))
    t->retry = NULL;
  ublk_request_put_in (t);
}

void
ublk_queue_settle (struct ublk_queue *q, uint64_t now, uint64_t until)
{
  struct ublk_request *t;

  take_hastened (q);
  for (;;) {
    if (q->nr_in_heap > 0 && q->heap[0]->moment <= until) {
      t = q->heap[0];
      if (t->retry != NULL) {
        make_ready (t);
        continue;
      }
      take (q, 0);
      t->is_put_in = false;
      end_wait (t, now, false);
    }
    else if (q->ready != NULL) {
      serve_ready (take_ready (q));
      take_hastened (q); /* as this request has moved a write pointer */
      now = clock_now ();
      until = now > until ? now : until;
    }
    else
      break;
  }
}

void
ublk_queue_cancel_waiting (struct ublk_queue *q)
{
  const uint64_t now = clock_now ();
  struct ublk_request *t;

  take_hastened (q);
  while (q->nr_in_heap > 0 || q->ready != NULL) {
    t = q->ready != NULL ? take_ready (q) : take (q, 0);
    t->is_put_in = false;
    if (!t->is_parked)
      end_wait (t, now, true);
    else {
      ublk_request_go_on (t, true);
      take_hastened (q); /* as it may have been by then, for nothing */
    }
  }
}

uint64_t
ublk_queue_first_moment (struct ublk_queue *q, uint64_t *spin)
{
  *spin = 0;
  take_hastened (q);
  if (q->ready != NULL)
    return 0;
  if (q->nr_in_heap == 0)
    return UINT64_MAX;
  if (q->heap[0]->retry == NULL)
    *spin = q->heap[0]->spin;
  if (*spin == SPIN_AUTO && q->nr_in_heap > MAX_WAITING_FOR_SPIN)
    *spin = 0;
  return q->heap[0]->moment;
}
