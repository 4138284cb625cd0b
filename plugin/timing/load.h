/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Requests in flight that slow down others.  A request that arrives takes
 * longer by what each of those adds that have arrived before it and are not
 * complete: by 3 * 7 us if there are three of 7 us each.
 *
 *     a  |=====50=====|
 *     b     |=====50=====7|                      a is in flight
 *     c        |=====50=====7 7|                 a and b are
 *     d                   |=====50=====7|        c is
 *
 * In queueing theory this is a station whose rate depends on the load (Lazowska
 * et al., Quantitative System Performance, 1984, chapter 8).  With N requests
 * always in flight, each takes its time alone and N - 1 times what one adds.
 *
 * Of each request in flight it is known when it will be complete.  Only of a
 * request that still waits for a disk's head that is known later: latency.c
 * tells it as soon as the head has decided.  What a fault rule adds after that,
 * a delay or a hang, is unknown here, and does not count.
 *
 * The lock of a device's struct latency_state guards it; latency.c calls this.
 */

#ifndef NULLBLK_LOAD_H
#define NULLBLK_LOAD_H

#include <stddef.h>
#include <stdint.h>

/* All zeroes: nothing is in flight. */
struct load {
  uint64_t nsec;       /* that all those in flight add together */
  uint32_t generation; /* grows when all are forgotten */

  /* Those whose completion is known, a heap: the first of them is complete
   * first.
   */
  size_t n, room;
  struct load_entry {
    uint64_t until; /* a moment of the monotonic clock */
    uint64_t nsec;  /* that it adds */
  } * known;
};

/* Returns how many nanoseconds longer a request takes if it arrives at NOW. */
uint64_t load_at (struct load *l, uint64_t now);

/* A request begins, which makes others take NSEC longer. */
void load_begin (struct load *l, uint64_t nsec);

/* A request that began with NSEC will be complete at UNTIL.  Where there is no
 * memory for that, it adds nothing any more.
 */
void load_end_at (struct load *l, uint64_t nsec, uint64_t until);

/* A request that began with NSEC is cancelled.  It was to be complete at UNTIL;
 * 0: not known.
 */
void load_cancel (struct load *l, uint64_t nsec, uint64_t until);

/* Nothing is in flight.  load_destroy frees the memory, too. */
void load_reset (struct load *l);
void load_destroy (struct load *l);

#endif /* NULLBLK_LOAD_H */
