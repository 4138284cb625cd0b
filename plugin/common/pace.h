/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Whether a thread sleeps or polls for the next request of its client: that is
 * measured while requests are served.  No system call is made here, and no lock
 * taken: the caller of all these functions has one, or is the only thread.
 *
 * Polling is for a client with one request at a time.  It saves the time in
 * which a CPU falls asleep and wakes up, and costs CPU while the client does
 * not send; how much either is depends on the client, the machine and its other
 * work.  So the thread tries sleeping and polling in turns, and goes on with
 * the better one, until both are compared again, twice as many requests later
 * each time that the same one is better:
 *
 *   sleep x WINDOW, poll x WINDOW │ the better one x interval │ both │ ...
 *
 * The better one has the smaller product of time and CPU a request: twice the
 * rate may cost twice the CPU of a request, and the same rate may cost no more
 * CPU.  Where time counts twice (pace_init), twice the rate may cost four times
 * the CPU of a request.  Polling is the better one only if its product is
 * smaller by a fifth.  The longest request of a window is left out, as any
 * machine has a hiccup now and then.  If requests take longer than when polling
 * was better, both are compared at once.
 *
 * The thread does not poll
 * - where the window of sleeps shows that polling cannot pay: a thread that
 *   polls uses the CPU all of the time, and saves no more time than a wake-up
 *   takes;
 * - where the client has, or has lately had, more than one request in flight;
 * - for long after two polls have lost their CPU in a short time, which a jump
 *   in time shows: other threads want the CPU.  A thread that sleeps gets a
 *   busy CPU at once, and one that polls has to give it up in the end.  One
 *   lost CPU alone is a hiccup.
 */

#ifndef NULLBLK_PACE_H
#define NULLBLK_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pace {
  unsigned weight; /* how often time is a factor of the product */
  bool polls;      /* does polling go on, or sleeping? */
  uint8_t phase;   /* 0: it goes on; 1, 2: the first and the second window */
  uint8_t in_vain; /* polls in a row */
  uint8_t slower;  /* windows in a row */
  uint8_t singles_to_come;   /* one at a time, before there is a poll again */
  uint16_t polls_since_lost; /* since a poll lost its CPU */
  uint32_t left_of_phase;    /* requests */
  uint32_t left_of_window;   /* requests */
  uint32_t interval[2]; /* requests until both are compared again, if sleeping
                         * [0] or polling [1] goes on */
  uint64_t last;        /* when the last request came */
  uint64_t cpu;         /* what the thread had used as the window began, ns */
  uint64_t time;        /* of all requests of the window so far, ns */
  uint64_t longest;     /* of its longest request, ns */
  uint64_t cost;        /* of the first window */
  uint64_t polled;      /* what a request took where polling was better */
};

/* For how many nanoseconds at most to poll: NULLBLK_BATCH_POLL microseconds of
 * the environment; without it USUAL, or 0, never, where the process may use one
 * CPU only.
 */
uint64_t pace_longest (uint64_t usual);

/* WEIGHT says how often a request's time counts in the product: 1 or 2. */
void pace_init (struct pace *p, unsigned weight);

/* Is the next request of a client with one at a time to be polled for? */
bool pace_polls (const struct pace *p);

/* How a poll ended; POLL_CAME also where a request was not polled for. */
enum poll_end { POLL_CAME, POLL_IN_VAIN, POLL_LOST_CPU };

/* A request came, at NOW (ns), at the end of the poll or later.  CPU tells what
 * this thread has used until now, in ns.  It is asked a few times a window
 * while both ways are compared, and otherwise not.
 */
void pace_count (struct pace *p, uint64_t now, enum poll_end end,
                 uint64_t (*cpu) (void));

/* Other connections have requests: what was measured of this window is of no
 * use.
 */
void pace_interrupt (struct pace *p);

/* The client has more than one request in flight: what was measured of this
 * window is of no use, and no request is polled for until some have come one at
 * a time.
 */
void pace_together (struct pace *p);

#endif /* NULLBLK_PACE_H */
