/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * How a thread waits for the next request of its client, where it may choose:
 * each connection measures that while it is served.  No system call is made
 * here, and no lock taken.
 *
 * Polling is for a client with one request at a time.  It saves the time in
 * which a CPU falls asleep and wakes up, and costs CPU while the client does
 * not send; how much either is depends on the client, the machine and its other
 * work.  So the thread tries sleeping and polling in turns, and goes on with
 * the better one, until both are compared again, twice as many requests later
 * each time that the same one is better:
 *
 *   sleep x WINDOW, poll x WINDOW │ the better one x rest │ both │ ...
 *
 * The better one has the smaller product of time and CPU a request: twice the
 * rate may cost twice the CPU, and the same rate may cost no more CPU.  Polling
 * is the better one only if its product is smaller by a fifth.  The longest
 * request of a window is left out, as any machine has a hiccup now and then.
 * If requests take longer than when polling was better, both are compared at
 * once.
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
 *
 * Napping is for a client with many requests.  As long as it has not taken all
 * of its replies, it is busy, and need not be hurried: to be woken for each
 * part of each request costs more than the requests do.  So the thread naps for
 * some time, and then finds several requests.  A nap was too long if the client
 * has taken all replies meanwhile, and has sent requests: it may be waiting for
 * us.  Then naps get shorter, and where short ones are too long, there are none
 * for a while.
 */

#ifndef NULLBLK_BATCH_PACE_INTERNAL_H
#define NULLBLK_BATCH_PACE_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

struct pace {
  /* Polling. */
  bool polls;      /* does polling go on, or sleeping? */
  uint8_t phase;   /* 0: it goes on; 1, 2: the first and the second window */
  uint8_t in_vain; /* polls in a row */
  uint8_t slower;  /* windows in a row */
  uint8_t singles_to_come;   /* one at a time, before there is a poll again */
  uint16_t polls_since_lost; /* since a poll lost its CPU */
  uint32_t left_of_phase;    /* requests */
  uint32_t left_of_window;   /* requests */
  uint32_t rest[2]; /* how many requests sleeping [0] and polling [1] go on for
                     * until both are compared again */
  uint64_t last;    /* when the last request came */
  uint64_t cpu;     /* what the thread had used as the window began, ns */
  uint64_t time;    /* of all requests of the window so far, ns */
  uint64_t longest; /* of its longest request, ns */
  uint64_t cost;    /* of the first window */
  uint64_t polled;  /* what a request took where polling was better */

  /* Napping. */
  bool busy;          /* has the client not taken all replies? */
  uint32_t nap;       /* ns; 0: not now */
  uint8_t too_long;   /* of the shortest, in a row */
  uint32_t skip_now;  /* chances to nap that are still to be left out */
  uint32_t skip_next; /* how many are to be left out the next time */
};

void pace_init (struct pace *p);

/* Is the next request of a client with one at a time to be polled for? */
bool pace_polls (const struct pace *p);

/* How a poll ended; what was not polled for came. */
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

/* The ns to nap before the next request is asked for; 0: not at all.
 */
uint32_t pace_nap (struct pace *p);

/* Something came, after a nap if NAPPED, and the client had not taken all
 * replies if BUSY: so it has more than one request.
 */
void pace_note_arrival (struct pace *p, bool napped, bool busy);

#endif /* NULLBLK_BATCH_PACE_INTERNAL_H */
