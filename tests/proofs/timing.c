/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Proofs of the room timing: moments, lanes, gaps, limits and credits.
 */

#include "prove.h"

#include "common/common.h"
#include "timing/gaps.h"

/* All that is proved of lanes is of few of them. */
#define LANES 4
#define free_at free_at[LANES], others
#include "timing/lanes.h"
#undef free_at

/* What only goes to people. */
#define message_set(why, ...) ((void) (why))
#define duration_format(nsec, buf, len) ((void) (buf))

/* CBMC's own takes gaps for bytes, of which it loses sight. */
static void
move_gaps (struct booking *to, const struct booking *from, size_t bytes)
{
  size_t i;

  for (i = 0; i < bytes / sizeof *to; i++)
    to[i] = from[i];
}

#define memmove move_gaps
#define take_out gaps_take_out
#include "timing/gaps.c"
#undef take_out
#include "timing/lanes.c"
#undef NR_UNITS
#include "timing/throttle.c"

/* Any quotient and product (wide.c has proofs of them); one request has one
 * price.
 */
static uint64_t asked, price;

static struct wide
any_product (uint64_t a, uint64_t b)
{
  if (a == asked && b == NSEC_PER_SEC)
    return (struct wide){0, price};
  return (struct wide){nondet_uint64 (), nondet_uint64 ()};
}

#define wide_quotient_up(a, b) nondet_uint64 ()
#define wide_product any_product
#include "timing/credits.c"

/*---------------------------------------------------------------------*/

/* Any moment and duration: the sum, or the last moment that there is. */
PROOF (moment_after, 1)
{
  const uint64_t moment = nondet_uint64 (), nsec = nondet_uint64 ();
  const uint64_t r = moment_after (moment, nsec);

  CHECK (r >= moment);
  CHECK (r == UINT64_MAX || r - moment == nsec);
  CHECK (r != UINT64_MAX || nsec >= UINT64_MAX - moment);
}

/*---------------------------------------------------------------------*/
/* Stalls */

/* Is work done in the nanosecond that begins at TIME? */
static bool
is_working (const struct stall *s, uint64_t time)
{
  return time < s->every || time % s->every >= s->length;
}

#define LONGEST 24

/* Nanosecond by nanosecond: stalls of up to 6 ns, and services of up to 5 ns
 * that begin up to 12 ns after the device.
 */
PROOF (stall_serve, 25)
{
  const struct stall s = {nondet_uint64 (), nondet_uint64 ()};
  const uint64_t origin = nondet_uint64 (), start = nondet_uint64 ();
  const uint64_t nsec = nondet_uint64 ();
  uint64_t time, left = nsec, end;

  ASSUME (s.every > 0 && s.every <= 6 && s.length < s.every);
  ASSUME (origin <= UINT64_MAX - 1000);
  ASSUME (start >= origin && start - origin <= 12 && nsec <= 5);
  end = stall_serve (&s, origin, start, nsec) - origin;
  CHECK (end >= start - origin + nsec);
  for (time = start - origin; time < LONGEST && left > 0; time++)
    left -= is_working (&s, time);
  if (nsec > 0 && left == 0)
    CHECK (end == time);
  if (nsec == 0)
    CHECK (is_working (&s, end));
}

/*---------------------------------------------------------------------*/
/* Lanes and gaps */

/* They only compare moments, so the proofs need no more moments than can differ
 * in them at once.
 */
static uint64_t
any_moment (void)
{
  return nondet_unsigned () & 15;
}

static bool
is_heap (const struct lanes *l)
{
  unsigned i;

  for (i = 1; i < LANES; i++) {
    if (i < l->count && l->free_at[i] < l->free_at[(i - 1) / 2])
      return false;
  }
  return true;
}

/* A request has the lane that is free first, the others stay as they are, and
 * the first stays the first.
 */
PROOF (lanes, 5)
{
  static struct lanes l;
  const struct stall none = {0, 0};
  const uint64_t arrival = any_moment (), nsec = any_moment ();
  const uint64_t value = any_moment ();
  unsigned i, before = 0, after = 0;
  uint64_t first, done;
  struct booking slot;

  l.count = nondet_unsigned ();
  ASSUME (l.count > 0 && l.count <= LANES);
  for (i = 0; i < LANES; i++)
    l.free_at[i] = any_moment ();
  ASSUME (is_heap (&l));
  first = l.free_at[0];
  for (i = 0; i < LANES; i++)
    before += i < l.count && l.free_at[i] == value;
  done = lanes_serve (&l, l.count, &none, 0, arrival, nsec, &slot);
  CHECK (is_heap (&l));
  CHECK (slot.from == max (first, arrival));
  CHECK (slot.to == done && done == moment_after (slot.from, nsec));
  for (i = 0; i < LANES; i++)
    after += i < l.count && l.free_at[i] == value;
  CHECK (after - (value == done) == before - (value == first));
  lanes_cancel (&l, 0, slot, 0);
  CHECK (is_heap (&l));
}

#define GAPS 2

/* Sorted, none touches another, and none is without time. */
static bool
are_gaps (const struct gaps *g)
{
  unsigned i;

  for (i = 0; i < GAPS + 1; i++) {
    if (i < g->count && (g->gap[i].from >= g->gap[i].to ||
                         (i > 0 && g->gap[i - 1].to >= g->gap[i].from)))
      return false;
  }
  return true;
}

static bool
has_moment (const struct gaps *g, uint64_t moment)
{
  bool r = false;
  unsigned i;

  for (i = 0; i < GAPS + 1; i++)
    r |= i < g->count && g->gap[i].from <= moment && moment < g->gap[i].to;
  return r;
}

static bool
is_apart (const struct gaps *g, struct booking slot)
{
  bool r = true;
  unsigned i;

  for (i = 0; i < GAPS; i++)
    r &=
        i >= g->count || g->gap[i].to <= slot.from || slot.to <= g->gap[i].from;
  return r;
}

static struct gaps
any_gaps (struct booking *slots)
{
  struct gaps g = {slots, nondet_unsigned (), GAPS + 1};
  unsigned i;

  ASSUME (g.count <= GAPS);
  for (i = 0; i < GAPS; i++)
    slots[i] = (struct booking){any_moment (), any_moment ()};
  ASSUME (are_gaps (&g));
  return g;
}

/* Up to 2 gaps, and one more between them: they stay sorted, and have just the
 * moments that they should.
 */
PROOF (gaps_add, 4)
{
  struct booking slots[GAPS + 1];
  struct gaps g = any_gaps (slots);
  const struct booking more = {any_moment (), any_moment ()};
  const uint64_t moment = any_moment ();
  const bool had = has_moment (&g, moment);

  ASSUME (more.from < more.to && is_apart (&g, more));
  gaps_add (&g, more);
  CHECK (are_gaps (&g));
  CHECK (has_moment (&g, moment) ==
         (had || (more.from <= moment && moment < more.to)));
}

/* A part of a gap is taken; and what is over is forgotten. */
PROOF (gaps_take, 4)
{
  struct booking slots[GAPS + 1];
  struct gaps g = any_gaps (slots);
  const uint64_t moment = any_moment (), up_to = any_moment ();
  const uint64_t now = any_moment ();
  const unsigned i = nondet_unsigned ();
  const bool had = has_moment (&g, moment);
  struct booking taken;

  ASSUME (i < g.count && slots[i].from <= up_to && up_to <= slots[i].to);
  taken = (struct booking){slots[i].from, up_to};
  gaps_take (&g, i, up_to);
  CHECK (are_gaps (&g));
  CHECK (has_moment (&g, moment) ==
         (had && !(taken.from <= moment && moment < taken.to)));
  gaps_pass (&g, now);
  CHECK (are_gaps (&g));
  CHECK (moment < now ||
         has_moment (&g, moment) ==
             (had && !(taken.from <= moment && moment < taken.to)));
  CHECK (g.count == 0 || g.gap[0].to > now);
}

/*---------------------------------------------------------------------*/
/* Limits */

/* A position moves on by less than a day, in steps of any size. */
PROOF (throttle_advance, 1)
{
  struct throttle_moment at = {nondet_uint64 (), 0};
  const uint64_t before_it = at.moment, nsec = nondet_uint64 ();

  ASSUME (nsec < UINT64_C (1) << 47);
  advance (&at, (double) nsec);
  CHECK (at.moment >= before_it);
  CHECK (at.moment == UINT64_MAX || at.moment - before_it == nsec);
  CHECK (at.part >= 0 && at.part < 1);
}

/* Any moment: at most 5 ms before it. */
PROOF (throttle_before, 1)
{
  const uint64_t moment = nondet_uint64 ();

  CHECK (before (moment) <= moment);
  CHECK (moment - before (moment) <= THROTTLE_GRACE);
  CHECK (moment < THROTTLE_GRACE || moment - before (moment) == THROTTLE_GRACE);
}

/*---------------------------------------------------------------------*/
/* Credits */

static void
check_io_count (unsigned unit_shift)
{
  struct io_count c = {{{nondet_uint64 (), nondet_uint64 ()},
                        {nondet_uint64 (), nondet_uint64 ()}}};
  const struct io_count_settings s = {.unit = UINT64_C (1) << unit_shift,
                                      .merge = nondet_bool ()};
  const uint32_t count = nondet_uint32 ();
  const uint64_t offset = nondet_uint64 ();
  uint32_t r;

  ASSUME (c.last[0].filled < s.unit && c.last[1].filled < s.unit);
  ASSUME (count > 0 && offset <= MAX_SIZE - count);
  r = io_count_operations (&c, &s, OP_WRITE, count, offset);
  CHECK (r <= (count - 1) / s.unit + 1);
  CHECK (s.merge || r == (count - 1) / s.unit + 1);
  CHECK (c.last[0].filled < s.unit);
  CHECK (c.last[0].end == offset + count);
}

/* A request counts as an operation for each unit that it begins, or less where
 * it is merged; what is left over is less than a unit.  Units are powers of
 * two.
 */
PROOF (io_count, 42) { FOR_EACH (shift, 9, 40, check_io_count); }

/* Any rates, moments, capacities and prices, and debts of up to 2^100: a
 * request waits for nothing that is over, nothing wraps, and what it takes is
 * there to be given back.
 */
PROOF (credits, 1)
{
  struct credits c = {
      .spent = {{nondet_uint64 (), nondet_uint64 ()}, nondet_uint64 ()},
      .pace = {{nondet_uint64 (), nondet_uint64 ()}, nondet_uint64 ()}};
  const struct credit_settings s = {nondet_uint64 (), nondet_uint64 (),
                                    nondet_uint64 ()};
  const struct wide before_take = c.spent.billionths;
  const uint64_t now = nondet_uint64 ();
  struct wide taken;

  asked = nondet_uint32 ();
  price = nondet_uint64 ();
  ASSUME (c.spent.billionths.high < UINT64_C (1) << 36);
  ASSUME (s.bucket > UINT32_MAX);
  CHECK (credits_take (&c, &s, asked, now) >= now);
  CHECK (c.spent.at >= now && c.pace.at >= now);
  taken = c.spent.billionths;
  CHECK (!wide_is_less (taken, (struct wide){0, price}));
  CHECK (
      !wide_is_less (wide_sum (before_take, (struct wide){0, price}), taken));
  credits_return (&c, asked);
  CHECK (c.spent.billionths.low == taken.low - price);
  CHECK (c.spent.billionths.high == taken.high - (taken.low < price));
}
