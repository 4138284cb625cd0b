/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Limits; see throttle.h.
 */

#include <config.h>

#include <stdbool.h>
#include <string.h>

#include "common/common.h"
#include "throttle.h"

/* A smaller share of a limit than this is left by rounding. */
#define NOTHING 1e-9

/* Faster than anything. */
#define NO_LIMIT 1e300

/* 2^64 */
#define END_OF_TIME 18446744073709551616.0

/* The moment that is before MOMENT by the grace. */
static uint64_t
before (uint64_t moment)
{
  return moment < THROTTLE_GRACE ? 0 : moment - THROTTLE_GRACE;
}

static enum flow
flow_of (enum operation op)
{
  switch (op) {
  case OP_READ:
    return FLOW_READS;
  case OP_WRITE:
  case OP_ZERO:
    return FLOW_WRITES;
  case OP_FLUSH:
    return FLOW_FLUSHES;
  default:
    return FLOW_TRIMS;
  }
}

/* Does a flow count for a limit? */
static bool
counts (enum flow flow, enum unit unit, enum throttle_class which)
{
  if (unit == UNIT_BYTES && flow != FLOW_READS && flow != FLOW_WRITES)
    return false;
  switch (which) {
  case THROTTLE_READS:
    return flow == FLOW_READS;
  case THROTTLE_WRITES:
    return flow == FLOW_WRITES || flow == FLOW_TRIMS;
  default:
    return true;
  }
}

static uint64_t
limit_of (const struct throttle_limits *l, enum unit unit,
          enum throttle_class which)
{
  return unit == UNIT_BYTES ? l->bytes_per_sec[which]
                            : l->operations_per_sec[which];
}

/* The flows that stand in the way of one flow: all others whose front is not
 * reached yet.
 */
struct others {
  const struct flow_bookings *bookings[NR_FLOWS - 1 + MAX_FORMER];
  unsigned nr;
};

static void
find_others (const struct throttle *t, enum flow flow, uint64_t from,
             struct others *others)
{
  unsigned i;

  others->nr = 0;
  for (i = 0; i < NR_FLOWS; i++) {
    if (i != flow && t->flows[i].bookings.front > from)
      others->bookings[others->nr++] = &t->flows[i].bookings;
  }
  for (i = 0; i < t->nr_former; i++) {
    if (t->former[i].front > from)
      others->bookings[others->nr++] = &t->former[i];
  }
}

/* The part of a limit that others leave at MOMENT, and until when at most. */
static double
what_is_left (const struct throttle *t, const struct others *others,
              enum unit unit, enum throttle_class which, uint64_t moment,
              uint64_t *until)
{
  const double limit = (double) limit_of (&t->limits, unit, which);
  const struct flow_bookings *other;
  double left = limit;
  unsigned i;

  for (i = 0; i < others->nr; i++) {
    other = others->bookings[i];
    if (other->front <= moment || !counts (other->flow, unit, which))
      continue;
    left -= other->rate[unit];
    if (other->front < *until)
      *until = other->front;
  }
  return left > limit * NOTHING ? left : 0;
}

/* How fast a request that counts AMOUNT of UNIT passes at MOMENT, in requests a
 * second, and until when at most.
 */
static double
speed_at (const struct throttle *t, const struct others *others, enum flow flow,
          enum unit unit, double amount, uint64_t moment, uint64_t *until)
{
  double speed = NO_LIMIT, r;
  unsigned which;

  *until = UINT64_MAX;
  for (which = 0; which < NR_THROTTLE_CLASSES; which++) {
    if (limit_of (&t->limits, unit, which) == 0 || !counts (flow, unit, which))
      continue;
    r = what_is_left (t, others, unit, which, moment, until) / amount;
    speed = r < speed ? r : speed;
  }
  return speed;
}

/* Move a position on by NSEC. */
static void
advance (struct throttle_moment *at, double nsec)
{
  const double sum = at->part + nsec;

  if (sum >= END_OF_TIME || (uint64_t) sum >= UINT64_MAX - at->moment) {
    *at = (struct throttle_moment){.moment = UINT64_MAX};
    return;
  }
  at->moment += (uint64_t) sum;
  at->part = sum - (double) (uint64_t) sum;
}

/* The UNITs that a request counts pass from *at on, which becomes the place
 * where it is through.  Returns how fast it was at the fastest, in requests a
 * second, or NO_LIMIT.
 */
static double
pass_unit (const struct throttle *t, enum flow flow, enum unit unit,
           double amount, struct throttle_moment *at)
{
  double left = 1, fastest = 0, speed, nsec, there;
  struct others others;
  uint64_t until;

  if (amount == 0)
    return NO_LIMIT;
  find_others (t, flow, at->moment, &others);
  for (;;) {
    speed = speed_at (t, &others, flow, unit, amount, at->moment, &until);
    if (speed == NO_LIMIT)
      return NO_LIMIT;
    fastest = speed > fastest ? speed : fastest;
    there = (double) (until - at->moment) - at->part;
    if (until == UINT64_MAX || left * NSEC_PER_SEC <= speed * there)
      break;
    left -= speed * there / NSEC_PER_SEC;
    *at = (struct throttle_moment){.moment = until};
  }
  nsec = speed > 0 ? left * NSEC_PER_SEC / speed : END_OF_TIME;
  advance (at, nsec);
  return fastest;
}

/* A request passes from AT on, which becomes where it is through.  Puts into
 * RATE how much of each unit it takes a second at the most: no unit is faster
 * than the one that is through last.
 */
static void
pass_from (const struct throttle *t, enum flow flow, const double *amount,
           struct throttle_moment *at, double *rate)
{
  double fastest[NR_UNITS], last;
  unsigned unit;

  for (unit = 0; unit < NR_UNITS; unit++)
    fastest[unit] = pass_unit (t, flow, unit, amount[unit], &at[unit]);
  last = fastest[at[UNIT_BYTES].moment < at[UNIT_OPERATIONS].moment
                     ? UNIT_OPERATIONS
                     : UNIT_BYTES];
  for (unit = 0; unit < NR_UNITS; unit++) {
    fastest[unit] = last < fastest[unit] ? last : fastest[unit];
    rate[unit] = fastest[unit] == NO_LIMIT ? 0 : amount[unit] * fastest[unit];
  }
}

/*---------------------------------------------------------------------*/
/* Changes */

/* Add B to the former flows.  Where there are many of them, B and a former one
 * of the same flow become one: it counts up to the later of both fronts, with
 * the sum of their rates, and requests of both that are cancelled give back
 * nothing any more.  There is always room for the first of each flow.
 */
static void
add_former (struct throttle *t, struct flow_bookings *b)
{
  struct flow_bookings *f;
  unsigned i;

  for (i = 0; i < t->nr_former && t->former[i].flow != b->flow; i++)
    ;
  if (i == t->nr_former || t->nr_former < MAX_FORMER - NR_FLOWS) {
    t->former[t->nr_former++] = *b;
    return;
  }
  f = &t->former[i];
  gaps_clear (&f->gaps);
  gaps_clear (&b->gaps);
  f->generation = 0; /* none has this */
  f->front = max (f->front, b->front);
  f->rate[UNIT_BYTES] += b->rate[UNIT_BYTES];
  f->rate[UNIT_OPERATIONS] += b->rate[UNIT_OPERATIONS];
}

/* Forget the former flows that all requests have passed. */
static void
pass_former (struct throttle *t, uint64_t now)
{
  unsigned i, n = 0;

  for (i = 0; i < t->nr_former; i++) {
    if (t->former[i].front > now)
      t->former[n++] = t->former[i];
    else
      gaps_clear (&t->former[i].gaps);
  }
  t->nr_former = n;
}

static void
change_limits (struct throttle *t, const struct throttle_limits *l,
               uint64_t now)
{
  struct flow_bookings *b;
  unsigned i, unit;

  pass_former (t, now);
  for (i = 0; i < NR_FLOWS; i++) {
    b = &t->flows[i].bookings;
    if (b->front > now)
      add_former (t, b);
    else
      gaps_clear (&b->gaps);
  }
  memset (t->flows, 0, sizeof t->flows);
  t->limits = *l;
  t->generation++;
  for (i = 0; i < NR_FLOWS; i++) {
    t->flows[i].bookings = (struct flow_bookings){
        .flow = i, .generation = t->generation, .front = now};
    for (unit = 0; unit < NR_UNITS; unit++)
      t->flows[i].booked_to[unit].moment = now;
  }
}

/*---------------------------------------------------------------------*/

/* Note at what rates a request has been booked, from EARLIEST on. */
static void
note_rates (struct throttle *t, enum flow flow, const double *rate,
            uint64_t earliest)
{
  struct flow_bookings *b = &t->flows[flow].bookings;
  double *most = t->flows[flow].rates_since;
  unsigned unit;

  if (t->flows[flow].rates_reset_at <= earliest) {
    memcpy (b->rate, most, sizeof b->rate);
    memset (most, 0, sizeof b->rate);
    t->flows[flow].rates_reset_at = b->front;
  }
  for (unit = 0; unit < NR_UNITS; unit++) {
    b->rate[unit] = rate[unit] > b->rate[unit] ? rate[unit] : b->rate[unit];
    most[unit] = rate[unit] > most[unit] ? rate[unit] : most[unit];
  }
}

/* Book a request in a gap that it fits into.  Returns false if there is none.
 */
static bool
pass_in_gap (struct throttle *t, enum flow flow, const double *amount,
             uint64_t earliest, struct booking *booking)
{
  struct gaps *gaps = &t->flows[flow].bookings.gaps;
  struct throttle_moment at[NR_UNITS];
  double rate[NR_UNITS];
  unsigned unit;
  size_t i;

  gaps_pass (gaps, earliest);
  for (i = 0; i < gaps->count; i++) {
    booking->from = max (gaps->gap[i].from, earliest);
    for (unit = 0; unit < NR_UNITS; unit++)
      at[unit] = (struct throttle_moment){.moment = booking->from};
    pass_from (t, flow, amount, at, rate);
    booking->to = booking->from;
    for (unit = 0; unit < NR_UNITS; unit++)
      booking->to = max (booking->to, at[unit].moment + (at[unit].part > 0));
    if (booking->to <= gaps->gap[i].to) {
      gaps_take (gaps, i, booking->to);
      note_rates (t, flow, rate, earliest);
      return true;
    }
  }
  return false;
}

/* Pass at the end of the flow.  A unit that is booked to before the front has
 * waited for the other unit: of that time it gets the grace.  A unit that is
 * booked to beyond the front was booked for requests that were cancelled since:
 * it goes on from the front.
 */
static void
pass_at_front (struct throttle *t, enum flow flow, const double *amount,
               uint64_t now, struct booking *booking)
{
  struct flow_bookings *b = &t->flows[flow].bookings;
  struct throttle_moment *at = t->flows[flow].booked_to;
  const uint64_t earliest = before (now);
  uint64_t least;
  double rate[NR_UNITS];
  unsigned unit;

  b->front = max (b->front, earliest);
  least = before (max (b->front, now));
  for (unit = 0; unit < NR_UNITS; unit++) {
    if (at[unit].moment > b->front)
      at[unit] = (struct throttle_moment){.moment = b->front};
    if (at[unit].moment < least)
      at[unit] = (struct throttle_moment){.moment = least};
  }
  booking->from = b->front;
  pass_from (t, flow, amount, at, rate);
  for (unit = 0; unit < NR_UNITS; unit++)
    b->front = max (b->front, at[unit].moment);
  booking->to = b->front;
  note_rates (t, flow, rate, earliest);
}

static bool
has_limits (const struct throttle_limits *l)
{
  uint64_t all = 0;
  unsigned i;

  for (i = 0; i < NR_THROTTLE_CLASSES; i++)
    all |= l->bytes_per_sec[i] | l->operations_per_sec[i];
  return all != 0;
}

/* Without limits nothing is booked: another change of them begins with empty
 * flows.
 */
uint64_t
throttle_pass (struct throttle *t, const struct throttle_limits *l,
               enum operation op, uint32_t count, uint32_t operations,
               uint64_t now, struct booking *booking)
{
  const enum flow flow = flow_of (op);
  const double amount[NR_UNITS] = {
      [UNIT_BYTES] = counts (flow, UNIT_BYTES, THROTTLE_ALL) ? count : 0,
      [UNIT_OPERATIONS] = operations};

  if (memcmp (&t->limits, l, sizeof *l) != 0)
    change_limits (t, l, now);
  if (!has_limits (l)) {
    *booking = (struct booking){now, now};
    return now;
  }
  if (t->flows[flow].bookings.gaps.count == 0 ||
      !pass_in_gap (t, flow, amount, before (now), booking))
    pass_at_front (t, flow, amount, now, booking);
  return max (booking->to, now);
}

/* Where a request was booked; NULL if that is gone. */
static struct flow_bookings *
find_bookings (struct throttle *t, uint32_t generation, enum flow flow)
{
  unsigned i;

  if (generation == t->generation)
    return &t->flows[flow].bookings;
  for (i = 0; i < t->nr_former; i++) {
    if (t->former[i].generation == generation && t->former[i].flow == flow)
      return &t->former[i];
  }
  return NULL;
}

void
throttle_cancel (struct throttle *t, uint32_t generation, enum operation op,
                 struct booking booking, uint64_t now)
{
  struct flow_bookings *b = find_bookings (t, generation, flow_of (op));

  if (booking.from < now)
    booking.from = now;
  if (b == NULL || booking.from >= booking.to)
    return;
  if (booking.to == b->front)
    b->front = gaps_retreat (&b->gaps, booking);
  else
    gaps_add (&b->gaps, booking);
}

void
throttle_destroy (struct throttle *t)
{
  unsigned i;

  for (i = 0; i < NR_FLOWS; i++)
    gaps_clear (&t->flows[i].bookings.gaps);
  for (i = 0; i < t->nr_former; i++)
    gaps_clear (&t->former[i].gaps);
}

void
throttle_reset (struct throttle *t)
{
  const uint32_t generation = t->generation + 1;

  throttle_destroy (t);
  memset (t, 0, sizeof *t);
  t->generation = generation;
}
