/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Reading time, and waiting until a moment of it, to the microsecond.
 *
 *     |---- nap ----|-------- sleep --------|- spin -|
 *                   4 ms before             |        moment
 *                                           lateness before
 *
 * nap    is the caller's (wait_ops.sleep_for): it ends early when the
 *        connection or the server goes away.  It is only for waits of more than
 *        9 ms, or of more than the spin that was asked for if that is longer.
 *        The rest of a wait cannot be ended, unless the caller has functions
 *        for that, too (wait_ops).
 * sleep  is the kernel's, or the caller's, with 1 ns of timer slack.  A
 *        thread still wakes late, by the time that the CPU (and the hypervisor
 *        below it) needs to wake: 5 us on a bare machine, 100 us in a virtual
 *        one after 10 ms asleep, as CPUs sleep deeper when they sleep longer.
 *        So the lateness of every sleep is measured, for each range of lengths.
 *        A sleep with a spin behind it ends so much before the moment as a
 *        sleep of its length may be late, or as was asked for.
 * spin   reads the clock until the moment is there.  At most one thread less
 *        than there are CPUs does so at any time.  A thread that finds many
 *        others waiting does not: the CPU is needed for the next requests.
 *
 * Without a spin, or when no more threads may spin, a sleep is set to end
 * before the moment by the median lateness of such sleeps: so a wait is over
 * a few microseconds before the moment or after it.
 *
 * All threads that serve requests share a struct waiter; the batch library has
 * another one, for deferred replies.  Nothing in it locks.  The
 * counts and the lateness are on cache lines of their own, as threads change
 * them when they wait, spin or have slept.
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
  _Atomic uint32_t p995;               /* 1 of 200 is later */
  _Atomic uint32_t seen;               /* how many sleeps; not above 64 */
};

/* Lengths of sleeps: below 32 us, 64 us, ... 8 ms, and longer ones. */
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
  int (*check) (void *opaque);   /* called now and then in a spin, or NULL */
  bool (*may_nap_seldom) (void); /* see wait_slice; or NULL */
  void *opaque;
};

/* What a function says that is called when the reply to a deferred request is
 * due, instead of 0, with which the request succeeds, or a negative errno, with
 * which it fails.
 */
enum due_result {
  DUE_NO_ANSWER = 1, /* the client was dropped */
  DUE_AGAIN,         /* it is not due yet: ask again, at the new moment */
};

/* A request that waits on a condition of its own naps 0 ns now and then, to
 * learn whether its client is still there.  wait_slice returns how long to wait
 * before the next such nap, LASTED nanoseconds after the wait began: 10 ms; or,
 * if wait->may_nap_seldom returns true, as long as the request has waited
 * already, from 10 ms up to a second.
 */
#define FIRST_SLICE (10 * NSEC_PER_MSEC)
#define LAST_SLICE NSEC_PER_SEC

static inline uint64_t
wait_slice (const struct wait_ops *wait, uint64_t lasted)
{
  if (lasted <= FIRST_SLICE || wait->may_nap_seldom == NULL ||
      !wait->may_nap_seldom ())
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

/* Set this thread's timer slack to 1 ns: by default the kernel may let a sleep
 * end 50 us late.
 */
void clock_lose_slack (void);

/* Make a waiter for a process that may use CPUS CPUs (clock_cpus). */
void waiter_init (struct waiter *w, int cpus);

/* How many CPUs this process may use, at least 1. */
int clock_cpus (void);

/* How late the shortest sleeps usually are, in nanoseconds. */
uint64_t waiter_usual (const struct waiter *w);

/* Wait until the moment UNTIL, spinning for the last SPIN nanoseconds, 10 ms at
 * most, or SPIN_AUTO.  Call it with no lock held.  Returns 0, or the error by
 * which a function of WAIT has ended the wait; *woke is the moment at which the
 * wait was over.
 */
int waiter_wait (struct waiter *w, uint64_t until, uint64_t spin,
                 const struct wait_ops *wait, uint64_t *woke);

#endif /* NULLBLK_CLOCK_H */
