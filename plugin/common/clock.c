/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Waiting; see clock.h.
 */

#include <config.h>

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "clock.h"

/* Naps end so much before the moment, or when a longer spin that was asked
 * for begins.
 */
#define NAP_UNTIL (4 * NSEC_PER_MSEC)

/* A thread that finds so many others waiting, for each that may spin, does not
 * spin.
 */
#define MIN_CROWD 8

/* The longest spin of SPIN_AUTO. */
#define MAX_AUTO_SPIN (200 * NSEC_PER_USEC)

/* In the last 2 us before the moment a spin does not call wait_ops.check. */
#define LOOK_UNTIL (2 * NSEC_PER_USEC)

/* With SPIN_AUTO, a thread spins rather than sleep for less than this; but it
 * never spins for more than MAX_AUTO_SPIN, and other threads may have all the
 * spins.
 */
#define MIN_SLEEP (10 * NSEC_PER_USEC)

/* The lateness that is assumed before anything is known, and the most that an
 * estimate becomes: a thread that woke later than that was kept waiting for a
 * CPU, and it makes no difference how long.
 */
#define LATE_AT_FIRST (5 * NSEC_PER_USEC)
#define P995_AT_FIRST (60 * NSEC_PER_USEC)
#define MAX_LATE (250 * NSEC_PER_USEC)

/* The estimate of the usual lateness changes in larger steps at the first
 * sleeps.
 */
#define FIRST_SLEEPS 64
#define FIRST_STEP 2000
#define STEP 200

/*---------------------------------------------------------------------*/
/* The clock */

void
clock_lose_slack (void)
{
#if defined __linux__ && defined PR_SET_TIMERSLACK
  static _Thread_local bool done;

  if (!done)
    prctl (PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
  done = true;
#endif
}

static void
sleep_until (uint64_t moment)
{
  const struct timespec ts = {.tv_sec = (time_t) (moment / NSEC_PER_SEC),
                              .tv_nsec = (long) (moment % NSEC_PER_SEC)};

  clock_lose_slack ();
  while (clock_nanosleep (CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
    ;
}

static const struct clock_source real_clock = {
    .now = clock_now,
    .sleep = sleep_until,
};

int
clock_cpus (void)
{
  int r = 1;
#ifdef __linux__
  cpu_set_t set;

  if (sched_getaffinity (0, sizeof set, &set) == 0 && CPU_COUNT (&set) > 0)
    r = CPU_COUNT (&set);
#endif
  return r;
}

/*---------------------------------------------------------------------*/
/* Lateness */

static struct lateness *
lateness_of (struct waiter *w, uint64_t nsec)
{
  uint64_t limit = 32 * NSEC_PER_USEC;
  unsigned i;

  for (i = 0; i + 1 < NR_LATENESS && nsec >= limit; i++)
    limit *= 2;
  return &w->lateness[i];
}

/* Move an estimate of a quantile: DOWN for a sleep that was less late than it,
 * UP for one that was later.  It comes to rest where both cancel out, so that
 * 1 : 1 finds the median.  Of two threads at once one may lose its step.
 */
static void
learn (_Atomic uint32_t *estimate, uint64_t late, uint32_t down, uint32_t up)
{
  uint32_t r = atomic_load_explicit (estimate, memory_order_relaxed);

  if (late > r)
    r = r + up < MAX_LATE ? r + up : MAX_LATE;
  else
    r = r > down ? r - down : 0;
  atomic_store_explicit (estimate, r, memory_order_relaxed);
}

static uint64_t
known (const _Atomic uint32_t *estimate)
{
  return atomic_load_explicit (estimate, memory_order_relaxed);
}

/* Sleep until AHEAD nanoseconds before UNTIL, and learn how late the sleep
 * ended.  *now becomes the time.  Returns 0, or the error by which the caller's
 * function has ended the sleep; then nothing is learnt.
 */
static int
sleep_and_learn (struct waiter *w, struct lateness *l,
                 const struct wait_ops *wait, uint64_t until, uint64_t ahead,
                 uint64_t *now)
{
  const uint64_t moment = until - ahead;
  uint32_t seen, step = STEP;
  uint64_t late;
  int r = 0;

  if (wait->sleep_until != NULL)
    r = wait->sleep_until (wait->opaque, moment);
  else
    w->source->sleep (moment);
  *now = w->source->now ();
  if (r < 0)
    return r;
  late = *now > moment ? *now - moment : 0;
  seen = atomic_load_explicit (&l->seen, memory_order_relaxed);
  if (seen < FIRST_SLEEPS) {
    atomic_store_explicit (&l->seen, seen + 1, memory_order_relaxed);
    step = FIRST_STEP;
  }
  learn (&l->usual, late, step, step);
  learn (&l->p995, late, 125, 199 * 125);
  return 0;
}

/*---------------------------------------------------------------------*/
/* Spinning */

static inline void
relax (void)
{
#if defined __x86_64__ || defined __i386__
  __builtin_ia32_pause ();
#elif defined __aarch64__
  __asm__ volatile("yield");
#endif
}

static bool
begin_to_spin (struct waiter *w)
{
  if (atomic_fetch_add (&w->spinners, 1) < w->most_spinners)
    return true;
  atomic_fetch_sub (&w->spinners, 1);
  return false;
}

static int
spin_until (struct waiter *w, const struct wait_ops *wait, uint64_t until,
            uint64_t *now)
{
  int r = 0;

  while (r == 0 && (*now = w->source->now ()) < until) {
    relax ();
    if (wait->check != NULL && until - *now > LOOK_UNTIL)
      r = wait->check (wait->opaque);
  }
  atomic_fetch_sub (&w->spinners, 1);
  return r;
}

/*---------------------------------------------------------------------*/

void
waiter_init (struct waiter *w, int cpus)
{
  unsigned i;

  w->source = &real_clock;
  w->most_spinners = cpus - 1;
  atomic_init (&w->spinners, 0);
  atomic_init (&w->waiting, 0);
  for (i = 0; i < NR_LATENESS; i++) {
    atomic_init (&w->lateness[i].usual, LATE_AT_FIRST);
    atomic_init (&w->lateness[i].p995, P995_AT_FIRST);
    atomic_init (&w->lateness[i].seen, 0);
  }
}

/* Is there time for a sleep before the spin?  Then the sleep ends *ahead before
 * the moment: as much as it may be late, or as was asked for.
 */
static bool
sleeps_first (const struct lateness *l, uint64_t left, uint64_t spin,
              uint64_t *ahead)
{
  const uint64_t p995 = known (&l->p995);

  if (spin != SPIN_AUTO) {
    *ahead = spin;
    return spin != 0 && left > spin;
  }
  *ahead = p995 < MAX_AUTO_SPIN ? p995 : MAX_AUTO_SPIN;
  return left > *ahead + MIN_SLEEP || left > MAX_AUTO_SPIN;
}

static int
wait_until (struct waiter *w, uint64_t until, uint64_t spin,
            const struct wait_ops *wait, uint64_t *woke)
{
  const uint64_t asked_for = spin != SPIN_AUTO ? spin : 0;
  uint64_t now, left, ahead;
  struct lateness *l;
  int r = 0;

  for (now = w->source->now (); now < until;) {
    left = until - now;
    if (left > NAP_FROM && left > asked_for) {
      ahead = asked_for > NAP_UNTIL ? asked_for : NAP_UNTIL;
      r = wait->sleep_for (wait->opaque, left - ahead);
      now = w->source->now ();
      if (r < 0)
        break;
      continue;
    }

    l = lateness_of (w, left);
    if (sleeps_first (l, left, spin, &ahead)) {
      r = sleep_and_learn (w, l, wait, until, ahead, &now);
      if (r < 0)
        break;
      continue;
    }

    if (spin >= left && begin_to_spin (w)) {
      r = spin_until (w, wait, until, &now);
      break;
    }

    /* The last sleep, even if nothing is left: it takes the kernel some time.
     */
    ahead = known (&l->usual);
    r = sleep_and_learn (w, l, wait, until, ahead < left ? ahead : left - 1,
                         &now);
    break;
  }
  *woke = now;
  return r;
}

int
waiter_wait (struct waiter *w, uint64_t until, uint64_t spin,
             const struct wait_ops *wait, uint64_t *woke)
{
  int r;

  if (atomic_fetch_add (&w->waiting, 1) >= w->most_spinners * MIN_CROWD)
    spin = 0;
  r = wait_until (w, until, spin, wait, woke);
  atomic_fetch_sub (&w->waiting, 1);
  return r;
}

uint64_t
waiter_usual (const struct waiter *w)
{
  return known (&w->lateness[0].usual);
}
