/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * How a queue waits for the kernel while no request waits in it: it sleeps in
 * the ring, or looks into the ring again and again, where that pays.
 *
 * A program that has one request at a time sends it by the queue of the CPU on
 * which it runs, which changes.  So what pays is measured for all queues of a
 * server together; and a queue that polls stops as soon as another one has
 * had a request.
 */

#include <config.h>

#include "ublk-queue-internal.h"

/* Polls are no longer than a wake-up of a CPU, which is what they can save. */
#define MAX_POLL (100 * NSEC_PER_USEC)

/* A longer look means that another thread had the CPU: its slice of time is
 * longer than this on Linux, where there are several processors.  What makes
 * looks of 0.2 to 0.5 ms is something else: polls in an emulated guest see one
 * every few milliseconds, while the machine is quiet.
 */
#define MAX_JUMP NSEC_PER_MSEC

/* Time counts twice, as the CPU that is measured is not all that a sleep costs:
 * the program's thread wakes the queue, and a CPU leaves its idle loop for it.
 * In a guest of two emulated processors requests that are polled for take 40 %
 * less time and 40 % more of our CPU, but less of all processors together.
 */
#define WEIGHT 2

/* Returns the CPU time of all threads, in ns, as several of them may serve the
 * requests of one program.
 */
static uint64_t
cpu_of_process (void)
{
  struct timespec used;

  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &used);
  return (uint64_t) used.tv_sec * NSEC_PER_SEC + (uint64_t) used.tv_nsec;
}

void
ublk_poll_init (struct ublk_poll *p)
{
  p->longest = pace_longest (MAX_POLL);
  p->now = clock_now;
  p->cpu = cpu_of_process;
  pthread_mutex_init (&p->lock, NULL);
  pace_init (&p->pace, WEIGHT);
  atomic_init (&p->is_together, false);
  atomic_init (&p->last, NULL);
}

static bool
is_last (const struct ublk_poll *p, const struct ublk_queue *q)
{
  return atomic_load_explicit (&p->last, memory_order_relaxed) == q;
}

/* REQUESTS have come since the queue waited last.  Is the next one to be polled
 * for?  Where another queue asks at the same moment, it is not.
 *
 * Where requests come together, many queues may ask, and no queue polls: so
 * nothing that they share is written then.
 */
static bool
polls_after (struct ublk_queue *q, unsigned requests)
{
  struct ublk_poll *p = q->poll;
  bool r = false;

  if (requests > 1 &&
      atomic_load_explicit (&p->is_together, memory_order_relaxed))
    return false;
  if (!is_last (p, q))
    atomic_store_explicit (&p->last, q, memory_order_relaxed);
  if (pthread_mutex_trylock (&p->lock) != 0)
    return false;
  atomic_store_explicit (&p->is_together, requests > 1, memory_order_relaxed);
  if (requests > 1)
    pace_together (&p->pace);
  else {
    pace_count (&p->pace, p->now (), q->poll_end, p->cpu);
    r = pace_polls (&p->pace);
  }
  pthread_mutex_unlock (&p->lock);
  return r;
}

static int
poll_ring (struct ublk_queue *q)
{
  const struct ublk_poll *p = q->poll;
  const uint64_t start = p->now ();
  uint64_t now = start, last;
  int r;

  do {
    last = now;
    r = ring_wait (q->ring, 0);
    now = p->now ();
    if (now - last > MAX_JUMP) {
      q->poll_end = POLL_LOST_CPU;
      return r;
    }
  } while (r == 0 && is_last (p, q) && now - start < p->longest);
  if (r == 0 && is_last (p, q))
    q->poll_end = POLL_IN_VAIN;
  return r;
}

int
ublk_queue_wait (struct ublk_queue *q)
{
  const unsigned requests = q->requests;
  bool polls;
  int r = 0;

  q->requests = 0;
  if (q->poll->longest != 0 && requests > 0) {
    polls = polls_after (q, requests);
    q->poll_end = POLL_CAME;
    if (polls)
      r = poll_ring (q);
  }
  return r != 0 ? r : ring_wait (q->ring, UINT64_MAX);
}
