/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Reading time, and waiting until a moment of it, to the microsecond.
 *
 *     |---- nap ----|-------- sleep --------|- spin -|
 *                   4 ms before             |        deadline
 *                                           lateness before
 *
 * nap    is the caller's: it ends early when the connection or the server goes
 *        away.  It is only for waits of more than 9 ms, or 10 where those are
 *        spun: the rest of a wait cannot be ended, if the caller has no more
 *        than this.
 * sleep  is the kernel's, or the caller's, with 1 ns of timer slack.  A
 *        thread wakes late nevertheless, by the time that the CPU (and the
 *        hypervisor below it) needs to wake: 5 us on a bare machine, 100 us in
 *        a virtual one after 10 ms asleep, as CPUs sleep deeper when they sleep
 *        longer.  So that is measured at every sleep, by its length; a sleep
 *        that a spin follows ends as much before the deadline as one of its
 *        length may be late, or as was asked for.
 * spin   reads the clock until the deadline is there.  At most CPUs less one
 *        threads do so at any time.  Where many wait, none does: the CPU is
 *        needed for what comes next.
 *
 * Without spin, or where all CPUs that may are spinning, a sleep ends as much
 * before the deadline as one of two is late at least; so a wait is over a few
 * microseconds after the deadline, or before it.
 *
 * struct waiter is shared by all threads of a server, and static: it has cache
 * lines of its own.  Nothing in it locks: the
 * counts are touched by those that wait and spin, what is known of lateness by
 * those that have slept.
 */

#ifndef NULLBLK_CLOCK_H
#define NULLBLK_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "duration.h"

/* The SPIN that means: as long as a sleep may be late, but 200 us at most. */
#define SPIN_AUTO UINT64_MAX

/* A wait naps only while its moment is further ahead than this. */
#define NAP_FROM (9 * NSEC_PER_MSEC)

/* A clock that a test puts in the place of the machine's. */
struct clock_source {
  uint64_t (*now) (void);
  void (*sleep) (uint64_t moment);
};

/* How late sleeps of about the same length end, in nanoseconds. */
struct lateness {
  _Alignas(64) _Atomic uint32_t usual; /* 1 of 2 is less late */
  _Atomic uint32_t worst;              /* 1 of 200 is later */
  _Atomic uint32_t seen;               /* sleeps, until there are enough */
};

/* Below 32 us, 64 us, ... 16 ms. */
#define NR_LATENESS 10

struct waiter {
  const struct clock_source *source;
  int most_spinners;
  _Alignas(64) _Atomic int spinners;
  _Atomic int waiting; /* threads that wait */
  struct lateness lateness[NR_LATENESS];
};

/* The functions by which a wait may be ended.  Each of the first three returns
 * 0, or a negative errno that ends the wait, as when its client has gone.
 */
struct wait_ops {
  int (*sleep_for) (void *opaque, uint64_t nsec); /* nap so long */
  int (*sleep_until) (void *opaque,
                      uint64_t moment); /* NULL: the waiter's own */
  int (*check) (void *opaque); /* between looks at the clock, or NULL */
  bool (*seldom) (void);       /* see wait_slice; or NULL */
  void *opaque;
};

/* A request that waits on a condition of its own naps 0 ns now and then, to
 * learn whether its client is still there.  wait_slice returns how long to wait
 * between two such naps, LASTED nanoseconds after the first: 10 ms; or, where
 * wait->seldom says that nothing else is done in these naps, as long as the
 * request has waited already, up to a second.
 */
#define FIRST_SLICE (10 * NSEC_PER_MSEC)
#define LAST_SLICE NSEC_PER_SEC

static inline uint64_t
wait_slice (const struct wait_ops *wait, uint64_t lasted)
{
  if (lasted <= FIRST_SLICE || wait->seldom == NULL || !wait->seldom ())
    return FIRST_SLICE;
  return lasted < LAST_SLICE ? lasted : LAST_SLICE;
}

/* Nanoseconds of the monotonic clock. */
static inline uint64_t
clock_now (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (uint64_t) now.tv_sec * NSEC_PER_SEC + (uint64_t) now.tv_nsec;
}

/* Have this thread's sleeps end when they should, and not 50 us later, from now
 * on.
 */
void clock_lose_slack (void);

/* Make a waiter for a process that may use CPUS CPUs (clock_cpus). */
void waiter_init (struct waiter *w, int cpus);

/* How many CPUs this process may use, at least 1. */
int clock_cpus (void);

/* How late the shortest sleeps usually are, in nanoseconds. */
uint64_t waiter_usual (const struct waiter *w);

/* Wait until DEADLINE, spinning for the last SPIN nanoseconds, 10 ms at most,
 * or SPIN_AUTO.  Takes no lock; threads that need a lock of the caller's wait
 * as long.  Returns 0, or what WAIT ended the wait with; *woke is the moment at
 * which the wait was over.
 */
int waiter_wait (struct waiter *w, uint64_t deadline, uint64_t spin,
                 const struct wait_ops *wait, uint64_t *woke);

#endif /* NULLBLK_CLOCK_H */
