/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Whether polling pays; see pace.h.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "pace.h"

/* Requests that are compared, and how many follow. */
#define WINDOW 32

/* Polling is worse if so many of the first requests polled for show it. */
#define SHOWN 8
#define FIRST_INTERVAL 256
#define MAX_INTERVAL 8192

/* After so many polls in vain there is none for a while. */
#define MAX_IN_VAIN 4

/* The most that a poll can save of a request's time, in ns, which is a lot: a
 * CPU that wakes up takes a third of it in a virtual machine.
 */
#define MAX_SAVED 100000

/* So many requests have to come one at a time after some that came together. */
#define SINGLES 64

/* A request is counted as so long at most, in ns: the client may have had
 * nothing to ask, or no CPU.
 */
#define MAX_COUNTED 400000

/* Nor is more CPU counted for one, in ns: other threads may have used it. */
#define MAX_CPU 20000000

/* Where a poll has lost its CPU again after no more than that many, others want
 * it, and so many requests at least follow.
 */
#define OFTEN_LOST 512
#define INTERVAL_OF_LOSER 4096

/* Polling that has gone on for so many is trusted again. */
#define TRUSTED 4096

enum { GOES_ON, FIRST, SECOND };

uint64_t
pace_longest (uint64_t usual)
{
  const char *us = getenv ("NULLBLK_BATCH_POLL");

  if (us != NULL)
    return strtoull (us, NULL, 10) * NSEC_PER_USEC;
  return clock_cpus () > 1 ? usual : 0;
}

static void
begin_window (struct pace *p)
{
  p->left_of_window = WINDOW;
  p->time = p->longest = 0;
}

static void
begin_phase (struct pace *p, int phase, uint32_t n)
{
  p->phase = phase;
  p->left_of_phase = n;
  p->in_vain = p->slower = 0;
  p->last = 0;
  begin_window (p);
}

void
pace_init (struct pace *p, unsigned weight)
{
  memset (p, 0, sizeof *p);
  p->weight = weight;
  p->interval[false] = p->interval[true] = FIRST_INTERVAL;
  p->polls_since_lost = OFTEN_LOST;
  begin_phase (p, FIRST, WINDOW);
}

bool
pace_polls (const struct pace *p)
{
  return p->singles_to_come == 0 && (p->phase == SECOND ? !p->polls : p->polls);
}

void
pace_interrupt (struct pace *p)
{
  if (p->phase != GOES_ON)
    begin_phase (p, FIRST, WINDOW);
  p->in_vain = 0;
}

void
pace_together (struct pace *p)
{
  pace_interrupt (p);
  p->last = 0;
  p->singles_to_come = SINGLES;
}

static void
lengthen (uint32_t *interval)
{
  if (*interval < MAX_INTERVAL)
    *interval *= 2;
}

/* The better of both ways goes on.  Polling that did not stay better is tried
 * again later.
 */
static void
decide (struct pace *p, bool polls)
{
  if (polls && p->polls && p->interval[true] >= TRUSTED)
    p->interval[false] = FIRST_INTERVAL;
  if (polls == p->polls || !polls)
    lengthen (&p->interval[polls]);
  if (polls != p->polls)
    p->interval[true] = FIRST_INTERVAL;
  p->polls = polls;
  begin_phase (p, GOES_ON, p->interval[polls]);
}

/* The time of a request, of N of this window. */
static uint64_t
time_of (const struct pace *p, unsigned n)
{
  return (p->time - p->longest) / (n - 1);
}

/* The mean time of a window says that the client, or the machine, has changed.
 */
static bool
is_slower (struct pace *p)
{
  if (p->phase != GOES_ON || !p->polls)
    return false;
  p->slower =
      time_of (p, WINDOW) > p->polled + p->polled / 4 ? p->slower + 1 : 0;
  return p->slower >= 2;
}

/* The product of a request's TIME, as often as it counts, and CPU.  Neither is
 * above its limit, so the product has no more than 62 bits.
 */
static uint64_t
product (const struct pace *p, uint64_t time, uint64_t cpu)
{
  uint64_t r = cpu;
  unsigned i;

  for (i = 0; i < p->weight; i++)
    r *= time;
  return r;
}

/* The product for N requests of this window. */
static uint64_t
cost_of (const struct pace *p, unsigned n, uint64_t cpu)
{
  const uint64_t used = (cpu - p->cpu) / n;

  return product (p, time_of (p, n) + 1, (used < MAX_CPU ? used : MAX_CPU) + 1);
}

/* May a poll be better, where sleeps have that COST in this window? */
static bool
may_pay (const struct pace *p, uint64_t cost)
{
  const uint64_t time = time_of (p, WINDOW);
  const uint64_t least = time > MAX_SAVED ? time - MAX_SAVED : 0;

  return product (p, least, least) < cost - cost / 5;
}

static void
end_phase (struct pace *p, uint64_t cpu)
{
  const uint64_t cost = cost_of (p, WINDOW, cpu);

  if (pace_polls (p))
    p->polled = time_of (p, WINDOW);
  switch (p->phase) {
  case GOES_ON:
    begin_phase (p, FIRST, WINDOW);
    break;
  case FIRST:
    p->cost = cost;
    if (p->polls || may_pay (p, cost))
      begin_phase (p, SECOND, WINDOW);
    else
      begin_phase (p, GOES_ON, p->interval[false]);
    break;
  default:
    /* A poll has to be better by a fifth. */
    decide (p, p->polls ? p->cost < cost - cost / 5
                        : cost < p->cost - p->cost / 5);
    break;
  }
}

/* Another thread has had the CPU until NOW: that time is not counted. */
static void
lose_cpu (struct pace *p, uint64_t now)
{
  const bool again = p->polls_since_lost < OFTEN_LOST;

  p->polls_since_lost = 0;
  p->last = p->last != 0 ? now : 0;
  if (!again)
    return;
  if (p->interval[false] < INTERVAL_OF_LOSER / 2)
    p->interval[false] = INTERVAL_OF_LOSER / 2; /* decide doubles it */
  decide (p, false);
}

void
pace_count (struct pace *p, uint64_t now, enum poll_end end,
            uint64_t (*cpu) (void))
{
  uint64_t time, used;

  if (p->singles_to_come > 0) {
    p->singles_to_come--;
    return;
  }
  if (end == POLL_LOST_CPU) {
    lose_cpu (p, now);
    return;
  }
  p->polls_since_lost += pace_polls (p) && p->polls_since_lost < OFTEN_LOST;
  p->in_vain = end == POLL_IN_VAIN ? p->in_vain + 1 : 0;
  if (p->in_vain >= MAX_IN_VAIN) {
    decide (p, false);
    return;
  }
  if (p->last == 0) {
    p->cpu = p->phase != GOES_ON ? cpu () : 0;
    p->last = now;
    return;
  }
  time = now - p->last < MAX_COUNTED ? now - p->last : MAX_COUNTED;
  p->time += time;
  p->longest = time > p->longest ? time : p->longest;
  p->last = now;
  p->left_of_phase--;
  p->left_of_window--;
  if (p->left_of_window == WINDOW - SHOWN && p->phase == SECOND && !p->polls &&
      cost_of (p, SHOWN, cpu ()) > p->cost) {
    decide (p, false);
    return;
  }
  if (p->left_of_window > 0)
    return;
  if (p->left_of_phase == 0 || is_slower (p)) {
    used = cpu ();
    end_phase (p, used);
    p->cpu = used;
    p->last = now;
  }
  begin_window (p);
}
