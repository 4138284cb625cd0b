/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Gaps: the times in a queue that were booked for requests that will not be
 * served any more.  Lanes and limits book a time for each request when it
 * arrives, one behind another; a request that is given up leaves its time.  At
 * the end of the queue the queue is shorter then; before that a gap is left,
 * which a request that comes later and fits may have, since those that are
 * behind it cannot come forward any more.
 *
 *     queue  [--a--][--b--][--c--]         b is given up
 *            [--a--]       [--c--]         a gap
 *            [--a--][d]    [--c--]         d arrives, and fits
 *            [--a--][d]                    c is given up, and the gap with it
 *
 * struct gaps belongs to the structure that it is a part of, and is guarded by
 * that structure's lock.  All zeroes are an empty one.
 */

#ifndef NULLBLK_GAPS_H
#define NULLBLK_GAPS_H

#include <stddef.h>
#include <stdint.h>

/* Moments of the monotonic clock.  What takes no time begins and ends at the
 * same.
 */
struct slot {
  uint64_t from, to;
};

struct gaps {
  struct slot *slot; /* ascending by `from` */
  size_t count, room;
};

/* Free the memory of all gaps; there are none then. */
void gaps_clear (struct gaps *g);

/* Forget the gaps that are over by NOW. */
void gaps_pass (struct gaps *g, uint64_t now);

/* Take gap number I up to MOMENT, which is in it. */
void gaps_take (struct gaps *g, size_t i, uint64_t moment);

/* Add a gap; where it touches its neighbours, they become one.  Where there is
 * no memory the gap is forgotten: its time passes unused.
 */
void gaps_add (struct gaps *g, struct slot slot);

/* A queue that ended at the end of SLOT ends at its beginning now, or before
 * that where there is a gap: that is gone then.  Returns where it ends.
 */
uint64_t gaps_retreat (struct gaps *g, struct slot slot);

#endif /* NULLBLK_GAPS_H */
