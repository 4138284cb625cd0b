/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Burst credits, and what a request counts; see credits.h.
 */

#include <config.h>

#include <stddef.h>

#include "credits.h"
#include "throttle.h"

/* What was not used is lost, except for that of the last 5 ms, as of limits. */
#define GRACE THROTTLE_GRACE

/*---------------------------------------------------------------------*/
/* What a request counts */

static uint64_t
units (uint64_t bytes, uint64_t unit)
{
  return bytes / unit + (bytes % unit != 0);
}

uint32_t
io_count_operations (struct io_count *c, const struct io_count_settings *s,
                     enum operation op, uint32_t count, uint64_t offset)
{
  const bool is_read = op == OP_READ;
  uint64_t before = 0, r;

  if ((!is_read && op != OP_WRITE && op != OP_ZERO) || count == 0)
    return 1;
  if (s->merge && c->last[is_read].end == offset)
    before = c->last[is_read].filled;
  r = units (before + count, s->unit) - units (before, s->unit);
  c->last[is_read].end = offset + count;
  c->last[is_read].filled = (before + count) % s->unit;
  return (uint32_t) r;
}

/*---------------------------------------------------------------------*/
/* Credits */

/* Take N billionths off a debt, or all of it if it is less. */
static void
debt_reduce (struct debt *d, struct wide n)
{
  d->billionths = wide_difference (d->billionths, wide_min (d->billionths, n));
}

/* Let the debt fall until NOW, and add N operations or bytes to it.  Returns
 * the moment, NOW or later, from which on it is at most MOST billionths.
 */
static uint64_t
debt_add (struct debt *d, uint64_t rate, struct wide most, uint64_t n,
          uint64_t now)
{
  struct wide over;

  if (now > d->at) {
    debt_reduce (d, wide_product (rate, now - d->at));
    d->at = now;
  }
  d->billionths = wide_sum (d->billionths, wide_product (n, NSEC_PER_SEC));
  if (!wide_is_less (most, d->billionths))
    return now;
  over = wide_difference (d->billionths, most);
  return moment_after (d->at, wide_quotient_up (over, rate));
}

uint64_t
credits_take (struct credits *c, const struct credit_settings *s, uint64_t n,
              uint64_t now)
{
  const uint64_t has_credits = debt_add (
      &c->spent, s->base, wide_product (s->bucket, NSEC_PER_SEC), n, now);
  const uint64_t is_in_burst =
      debt_add (&c->pace, s->burst, wide_product (s->burst, GRACE), n, now);

  c->bucket = s->bucket;
  return max (has_credits, is_in_burst);
}

void
credits_return (struct credits *c, uint64_t n)
{
  const struct wide taken = wide_product (n, NSEC_PER_SEC);

  debt_reduce (&c->spent, taken);
  debt_reduce (&c->pace, taken);
}

void
credits_reset (struct credits *c)
{
  const struct wide bucket = wide_product (c->bucket, NSEC_PER_SEC);

  c->spent.billionths = wide_min (c->spent.billionths, bucket);
  c->pace.billionths = (struct wide){0, 0};
}

/*---------------------------------------------------------------------*/
/* As text */

/* At the highest rates this is two weeks of operations, or most of a year of
 * bytes: more than any cloud has.
 */
#define MAX_CREDITS (UINT64_C (1) << 50)

static const char *
check (const void *value)
{
  const struct credit_settings *s = value;

  return s->burst < s->base ? "allowed after burst: is no less than after base:"
                            : NULL;
}

#define PART(name, type, least, most)                                          \
  {                                                                            \
#name, type, offsetof(struct credit_settings, name), least, most, true, 0  \
  }

static const struct value_part io_part[] = {
    PART (base, PART_COUNT, 1, MAX_OPERATIONS_PER_SEC),
    PART (burst, PART_COUNT, 1, MAX_OPERATIONS_PER_SEC),
    PART (bucket, PART_COUNT, 1, MAX_CREDITS),
};

static const struct value_part byte_part[] = {
    PART (base, PART_MIB, UINT64_C (1) << 20, MAX_BYTES_PER_SEC),
    PART (burst, PART_MIB, UINT64_C (1) << 20, MAX_BYTES_PER_SEC),
    PART (bucket, PART_MIB, UINT64_C (1) << 20, MAX_CREDITS << 10),
};

const struct parts io_credits_parts = {io_part,
                                       sizeof io_part / sizeof io_part[0],
                                       sizeof (struct credit_settings), check};
const struct parts byte_credits_parts = {
    byte_part, sizeof byte_part / sizeof byte_part[0],
    sizeof (struct credit_settings), check};
