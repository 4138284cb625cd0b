/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A queue's time, in seconds that its ring counts while the queue waits for a
 * server, or for what the kernel repeats after a process was killed: so a
 * request only has to note a number.  While the process is stopped, or the
 * machine sleeps, at most one second is counted.
 */

#include <config.h>

#include <liburing.h>

#include "queue-internal.h"

void
queue_count_second (struct queue *q)
{
  static struct __kernel_timespec second = {.tv_sec = 1};
  struct io_uring_sqe *sqe;

  if (q->is_counting)
    return;
  q->is_counting = true;
  sqe = ring_get_sqe (q->ring, &q->second);
  io_uring_prep_timeout (sqe, &second, 0, 0);
  io_uring_sqe_set_data (sqe, &q->second);
}

/* Returns whether any requests are with the server.  If one has been there for
 * too long, breaks the connections.
 */
static bool
look_at_requests (struct queue *q)
{
  bool some = false, late = false;
  struct queue_request *r;
  unsigned i;

  for (i = 0; i < q->plan->depth; i++) {
    r = &q->requests[i];
    if (!r->awaits_answer)
      continue;
    some = true;
    r->is_late = q->now - r->sent_at > q->device->timeout;
    late = late || r->is_late;
  }
  if (late)
    queue_break_connections (q);
  return some;
}

void
queue_second (struct ring_event *event, int result)
{
  struct queue *q = CONTAINER_OF (struct queue, second, event);
  bool waits;

  (void) result;
  q->is_counting = false;
  q->now++;
  waits = look_at_requests (q) || q->is_disconnected;
  if (!waits)
    q->died_at = 0; /* nobody has waited for an answer in vain */
  if (queue_await_orphans (q) || waits)
    queue_count_second (q);
}
