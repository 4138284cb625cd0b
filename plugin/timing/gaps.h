/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Gaps: the times in a queue that were booked for requests that will not be
 * served any more.  Lanes and limits book a time for each request when it
 * arrives, one behind another.  When a request is cancelled, and its time is
 * the last of the queue, the queue gets shorter; otherwise there is a gap.
 * Requests behind the gap keep their times, but a later request that fits into
 * the gap may have it.
 *
 *     queue  [--a--][--b--][--c--]         b is cancelled
 *            [--a--]       [--c--]         a gap
 *            [--a--][d]    [--c--]         d arrives, and fits
 *            [--a--][d]                    c is cancelled, and the gap with it
 *
 * A struct gaps is part of another structure, whose lock guards it.  If all of
 * it is zero, it is empty.
 */

#ifndef NULLBLK_GAPS_H
#define NULLBLK_GAPS_H

#include <stddef.h>
#include <stdint.h>

/* Two moments of the monotonic clock.  A booking without time begins and ends
 * at the same moment.
 */
struct booking {
  uint64_t from, to;
};

struct gaps {
  struct booking *gap; /* ascending by `from` */
  size_t count, room;
};

/* Free the memory of all gaps; there are none then. */
void gaps_clear (struct gaps *g);

/* Forget the gaps that are over by NOW. */
void gaps_pass (struct gaps *g, uint64_t now);

/* Use gap number I from its beginning up to MOMENT, which is in it. */
void gaps_take (struct gaps *g, size_t i, uint64_t moment);

/* Add a gap; gaps that touch become one.  Where there is no memory the gap is
 * forgotten: its time passes unused.
 */
void gaps_add (struct gaps *g, struct booking booking);

/* A queue that ended with BOOKING now ends where BOOKING began, or where a gap
 * before that begins; such a gap is removed.  Returns the moment at which the
 * queue ends.
 */
uint64_t gaps_retreat (struct gaps *g, struct booking booking);

#endif /* NULLBLK_GAPS_H */
