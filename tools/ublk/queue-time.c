/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A queue's time, in seconds that its ring counts while it waits for a server:
 * so a request only has to note a number.  A process that is stopped for a
 * while, or a machine that sleeps, has missed a second at most.
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
  sqe = ring_request (q->ring, &q->second);
  io_uring_prep_timeout (sqe, &second, 0, 0);
  io_uring_sqe_set_data (sqe, &q->second);
}

/* Are any requests with the server? */
static bool
has_asked (const struct queue *q)
{
  unsigned i;

  for (i = 0; i < q->plan->depth; i++) {
    if (q->requests[i].is_asked)
      return true;
  }
  return false;
}

void
queue_second (struct event *event, int result)
{
  struct queue *q = OF (struct queue, second, event);

  (void) result;
  q->is_counting = false;
  q->now++;
  if (has_asked (q) || q->is_lost)
    queue_count_second (q);
  else
    q->lost_at = 0; /* nobody has waited for an answer in vain */
}
