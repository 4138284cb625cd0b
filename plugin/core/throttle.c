/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Limits; see throttle.h.
 */

#include <config.h>

#include <stdbool.h>

#include "throttle.h"

/* The division is exact: what it leaves is kept for the next request, since at
 * 40 GiB/s a block of 512 bytes is no more than 12 ns.
 */
uint64_t
meter_pass (struct meter *m, uint64_t rate, uint64_t amount, uint64_t now)
{
  const uint64_t grace = now < THROTTLE_GRACE ? now : THROTTLE_GRACE;
  uint64_t nsec;

  if (m->rate != rate) {
    m->rate = rate;
    m->free = now;
    m->rest = 0;
  }
  else if (m->free < now - grace) {
    m->free = now - grace;
    m->rest = 0;
  }
  nsec = amount * NSEC_PER_SEC + m->rest;
  m->rest = nsec % rate;
  m->free = moment_after (m->free, nsec / rate);
  return m->free;
}

static uint64_t
pass (struct meter *meters, const uint64_t *rates, enum throttled which,
      uint32_t amount, uint64_t now, uint64_t through)
{
  uint64_t moment;

  if (rates[which] == 0) {
    meters[which].rate = 0;
    return through;
  }
  moment = meter_pass (&meters[which], rates[which], amount, now);
  return moment > through ? moment : through;
}

/* Which meters a request passes: its bytes, and itself. */
static bool
has_bytes (enum operation op)
{
  return op == OP_READ || op == OP_WRITE || op == OP_ZERO;
}

static enum throttled
side_of (enum operation op)
{
  return op == OP_READ ? THROTTLE_READS : THROTTLE_WRITES;
}

uint64_t
throttle_pass (struct throttle *t, const struct throttle_limits *l,
               enum operation op, uint32_t count, uint64_t now)
{
  uint64_t through = now;

  if (has_bytes (op)) {
    through =
        pass (t->bytes, l->bytes_per_sec, THROTTLE_ALL, count, now, through);
    through =
        pass (t->bytes, l->bytes_per_sec, side_of (op), count, now, through);
  }
  through = pass (t->operations, l->operations_per_sec, THROTTLE_ALL, 1, now,
                  through);
  if (op != OP_FLUSH)
    through = pass (t->operations, l->operations_per_sec, side_of (op), 1, now,
                    through);
  return through;
}

static void
give_back (struct meter *meters, const uint64_t *rates, enum throttled which,
           uint32_t amount)
{
  struct meter *m = &meters[which];
  uint64_t nsec;

  if (rates[which] == 0 || m->rate != rates[which])
    return;
  nsec = amount * NSEC_PER_SEC / m->rate;
  m->free = m->free > nsec ? m->free - nsec : 0;
}

void
throttle_give_back (struct throttle *t, const struct throttle_limits *l,
                    enum operation op, uint32_t count)
{
  if (has_bytes (op)) {
    give_back (t->bytes, l->bytes_per_sec, THROTTLE_ALL, count);
    give_back (t->bytes, l->bytes_per_sec, side_of (op), count);
  }
  give_back (t->operations, l->operations_per_sec, THROTTLE_ALL, 1);
  if (op != OP_FLUSH)
    give_back (t->operations, l->operations_per_sec, side_of (op), 1);
}
