/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A write-back buffer; see buffer.h.
 */

#include <config.h>

#include "buffer.h"
#include "common/common.h"

/* A * B / C, rounded up; C is not 0. */
static uint64_t
scale_up (uint64_t a, uint64_t b, uint64_t c)
{
  return wide_quotient_up (wide_product (a, b), c);
}

uint64_t
buffer_dirty (const struct buffer *b, uint64_t now)
{
  if (now >= b->empty_at)
    return 0;
  if (now == b->since || b->empty_at <= b->since)
    return b->bytes;
  return scale_up (b->bytes, b->empty_at - now, b->empty_at - b->since);
}

/* The moment from which on at most BYTES of DIRTY are left, all of which have
 * been there at MOMENT.
 */
static uint64_t
drained_to (const struct buffer *b, uint64_t moment, uint64_t dirty,
            uint64_t bytes)
{
  const uint64_t left = b->empty_at - moment;

  return b->empty_at - wide_quotient (wide_product (left, bytes), dirty);
}

uint64_t
buffer_put (struct buffer *b, const struct buffer_settings *s, uint64_t size,
            uint32_t count, uint64_t cost, uint64_t arrival,
            struct booking *booking)
{
  const uint64_t most = count < size ? size - count : 0;
  const uint64_t batch = min (s->batch, size);
  uint64_t moment = max (arrival, b->since), dirty, left, through = 0;

  dirty = buffer_dirty (b, moment);
  if (dirty > most) {
    left = min (most, size - batch);
    moment = drained_to (b, moment, dirty, left);
    dirty = left; /* exactly: rounding must not make it full too early */
  }
  b->since = moment;
  b->bytes = dirty + count;
  b->empty_at = moment_after (max (b->empty_at, moment), cost);
  booking->from = moment;
  booking->to = moment_after (moment, cost);
  if (count > size)
    through = scale_up (cost, count - size, count);
  return moment_after (moment, through);
}

uint64_t
buffer_drained (const struct buffer *b, uint64_t arrival)
{
  return max (b->empty_at, arrival);
}

/* The buffer stays as full as it is, and all that is to come does so earlier:
 * where writes wait for room, each of them moves `since` on by about its cost.
 */
void
buffer_leave (struct buffer *b, struct booking booking, uint64_t now)
{
  uint64_t earlier;

  if (booking.from <= now || b->since < booking.from)
    return;
  earlier = min (booking.to - booking.from, b->since - now);
  b->since -= earlier;
  b->empty_at -= earlier;
}
