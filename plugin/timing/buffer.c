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

/* At MOMENT the buffer holds DIRTY bytes.  Returns the moment from which on at
 * most BYTES of them are left.
 */
static uint64_t
drained_to (const struct buffer *b, uint64_t moment, uint64_t dirty,
            uint64_t bytes)
{
  const uint64_t left = b->empty_at - moment;

  return b->empty_at - wide_quotient (wide_product (left, bytes), dirty);
}

void
buffer_enter (struct buffer *b, const struct buffer_settings *s, uint64_t size,
              uint32_t count, uint64_t arrival, struct buffer_booking *booking)
{
  const uint64_t most = count < size ? size - count : 0;
  const uint64_t batch = min (s->drain_batch, size);
  uint64_t moment = max (arrival, b->since), dirty, before, left;

  booking->from = moment;
  dirty = before = buffer_dirty (b, moment);
  if (arrival >= b->since)
    b->generation++;
  if (dirty > most) {
    left = min (most, size - batch);
    moment = drained_to (b, moment, dirty, left);
    dirty = left; /* exactly: rounding must not make it full too early */
  }
  booking->waits = moment - booking->from;
  booking->from = b->since = moment;
  b->bytes = dirty + count;
  booking->grows = (int64_t) (b->bytes - before);
  booking->generation = b->generation;
}

uint64_t
buffer_set_cost (struct buffer *b, uint64_t size, uint32_t count, uint64_t cost,
                 uint64_t saved, uint64_t all, struct buffer_booking *booking)
{
  const uint64_t before = max (b->empty_at, booking->from);
  const uint64_t rest = before - min (saved, before - booking->from);
  uint64_t through = 0;

  b->empty_at =
      max (moment_after (rest, cost), moment_after (booking->from, all));
  booking->costs = b->empty_at - before;
  if (count > size)
    through = scale_up (b->empty_at - booking->from, count - size, count);
  return moment_after (booking->from, through);
}

uint64_t
buffer_drained (const struct buffer *b, uint64_t arrival)
{
  return max (b->empty_at, arrival);
}

/* Each write that waits has moved the two moments, and moves them back by as
 * much.  So they are right in whatever order the writes are cancelled: once all
 * that wait are, the moments are what they were before the first of them came.
 *
 * Where writes were cancelled, the writes behind them are in the buffer earlier
 * than they were told.  This shows when a later write finds none waiting.  From
 * then on a write that was told to wait for longer gives back nothing: the
 * medium takes it, or has done so, and that time cannot be taken from later
 * writes.
 */
bool
buffer_cancel (struct buffer *b, const struct buffer_booking *booking,
               uint64_t now)
{
  if (booking->from <= now || booking->generation != b->generation)
    return false;
  if (booking->grows < 0)
    b->bytes += (uint64_t) -booking->grows;
  else
    b->bytes -= min ((uint64_t) booking->grows, b->bytes);
  b->empty_at -= booking->costs;
  b->since = min (b->since - min (booking->waits, b->since), b->empty_at);
  return true;
}
