/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A disk; see disk.h.
 */

#include <config.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "throttle.h"

#define MIB (UINT64_C (1) << 20)

void
disk_settings_complete (struct disk_settings *s, uint64_t size)
{
  if (s->rpm == 0)
    return;
  s->size = size;
  s->rotation = (uint32_t) (60 * NSEC_PER_SEC / s->rpm);
  s->rotation_bytes =
      (uint64_t) ((double) s->rotation * (double) s->bytes_per_sec /
                  (double) NSEC_PER_SEC);
  s->seek = (double) (s->full - s->track) / sqrt ((double) size);
  s->reach = 1 / (s->seek * s->seek);
}

/* The place of a block in a rotation.  Where bytes take no time, no rotation is
 * known to have so many: then it is anywhere.
 */
static uint32_t
angle_of (const struct disk_settings *s, uint64_t offset)
{
  if (s->rotation_bytes == 0)
    return (uint32_t) (random_mix (offset) % s->rotation);
  return (uint32_t) ((double) (offset % s->rotation_bytes) * s->rotation /
                     (double) s->rotation_bytes);
}

static uint64_t
seek_over (const struct disk_settings *s, uint64_t distance)
{
  return distance < s->size
             ? s->track + (uint64_t) (s->seek * sqrt ((double) distance))
             : s->full;
}

/* From PHASE, a moment of a rotation of ROTATION nanoseconds, to ANGLE. */
static uint32_t
rotate_to (uint32_t angle, uint32_t phase, uint32_t rotation)
{
  return angle >= phase ? angle - phase : angle + (rotation - phase);
}

uint64_t
disk_rotational_latency (const struct disk_settings *s, uint64_t offset,
                         uint64_t moment)
{
  return rotate_to (angle_of (s, offset), (uint32_t) (moment % s->rotation),
                    s->rotation);
}

static uint64_t
transfer (const struct disk_settings *s, const struct disk_request *r)
{
  return s->bytes_per_sec == 0 ? 0 : r->count * NSEC_PER_SEC / s->bytes_per_sec;
}

/* The head begins with a request at START.  Returns when it is done. */
static uint64_t
serve (struct disk_head *d, const struct disk_settings *s,
       const struct disk_request *r, uint64_t start)
{
  const uint64_t distance = r->offset > d->position ? r->offset - d->position
                                                    : d->position - r->offset;

  if (distance != 0) {
    start += seek_over (s, distance);
    start +=
        rotate_to (r->angle, (uint32_t) (start % s->rotation), s->rotation);
  }
  d->free_at = start + transfer (s, r);
  d->position = r->offset + r->count;
  return d->free_at;
}

/*---------------------------------------------------------------------*/
/* Requests that wait for the head */

/* How many of the requests that are looked at are at an offset below OFFSET? */
static uint32_t
nr_below (const struct disk_head *d, uint64_t offset)
{
  uint32_t from = 0, to = d->nr_near, middle;

  while (from < to) {
    middle = (from + to) / 2;
    if (d->requests[d->near[middle]].offset < offset)
      from = middle + 1;
    else
      to = middle;
  }
  return from;
}

/* How many of them are below the position of the head? */
static uint32_t
nr_below_head (const struct disk_head *d)
{
  uint32_t n = min (d->near_head, d->nr_near);

  while (n > 0 && d->requests[d->near[n - 1]].offset >= d->position)
    n--;
  while (n < d->nr_near && d->requests[d->near[n]].offset < d->position)
    n++;
  return n;
}

static uint32_t
nr_looked_at (const struct disk_head *d, const struct disk_settings *s)
{
  return (uint32_t) min (max (s->queue, 1), d->nr_waiting);
}

/* Look at as many as the queue has, of those that wait longest. */
static void
look_at (struct disk_head *d, const struct disk_settings *s)
{
  const uint32_t n = nr_looked_at (d, s);
  const struct disk_request *r;
  uint32_t i;

  if (d->nr_near > n) /* the queue has become shorter */
    d->nr_near = 0;
  if (s->sweep != 0 && d->nr_near > 0)
    return;
  for (; d->nr_near < n; d->nr_near++) {
    r = &d->requests[d->waiting[d->nr_near]];
    i = nr_below (d, r->offset + 1); /* the others there are older */
    memmove (&d->near[i + 1], &d->near[i], d->nr_near - i);
    d->near[i] = d->waiting[d->nr_near];
  }
}

static void
add (struct disk_head *d, const struct disk_request *r)
{
  uint32_t i;

  if (d->waiting[0] == d->waiting[1]) { /* all are zeroes */
    for (i = 0; i < MAX_DISK_QUEUE; i++)
      d->waiting[i] = (uint8_t) i;
  }
  d->requests[d->waiting[d->nr_waiting++]] = *r;
}

/* The i-th of those that wait is gone. */
static void
take_away (struct disk_head *d, uint32_t i)
{
  const uint8_t number = d->waiting[i];
  uint8_t *near;

  if (i < d->nr_near) {
    near = memchr (d->near, number, d->nr_near);
    d->near_head = (uint32_t) (near - d->near);
    d->nr_near--;
    memmove (near, near + 1, (size_t) (&d->near[d->nr_near] - near));
  }
  d->nr_waiting--;
  memmove (&d->waiting[i], &d->waiting[i + 1], d->nr_waiting - i);
  d->waiting[d->nr_waiting] = number;
}

/* Returns a distance from which on a seek alone takes longer than NSEC; it is
 * little more than the least of these.
 */
static uint64_t
reach_of (const struct disk_settings *s, uint64_t nsec)
{
  const double beyond = (double) (nsec - min (nsec, s->track) + 2);
  const double distance = beyond * beyond * s->reach * (1 + 1e-9);

  return distance < (double) s->size ? (uint64_t) distance + 1 : UINT64_MAX;
}

/* The number of the request that is reached first from START on, of those that
 * are looked at; of several the oldest.
 */
static uint8_t
choose (const struct disk_head *d, const struct disk_settings *s,
        uint64_t start)
{
  const uint32_t rotation = s->rotation, phase = (uint32_t) (start % rotation);
  uint32_t right = nr_below_head (d), left = right;
  uint64_t least = UINT64_MAX, oldest = UINT64_MAX, reach = UINT64_MAX;
  uint64_t below, above, distance, nsec, shortest = 0;
  const struct disk_request *r;
  uint8_t number, best = 0;
  bool is_below;

  while (left > 0 || right < d->nr_near) {
    below = above = UINT64_MAX;
    if (left > 0)
      below = d->position - d->requests[d->near[left - 1]].offset;
    if (right < d->nr_near)
      above = d->requests[d->near[right]].offset - d->position;
    is_below = below <= above;
    distance = is_below ? below : above;
    if (distance >= reach)
      break;
    number = d->near[is_below ? left - 1 : right];
    left -= is_below;
    right += !is_below;
    r = &d->requests[number];
    nsec = 0;
    if (distance != 0) {
      /* When it comes by; or a rotation later, if the seek to one that is
       * nearer takes longer than that.
       */
      nsec = rotate_to (r->angle, phase, rotation);
      if (nsec < shortest)
        nsec += rotation;
      if (nsec > least)
        continue;
      shortest = seek_over (s, distance);
      nsec = shortest + rotate_to (r->angle,
                                   (uint32_t) (phase + shortest) % rotation,
                                   rotation);
    }
    if (nsec < least || (nsec == least && r->ticket.number < oldest)) {
      least = nsec;
      oldest = r->ticket.number;
      best = number;
      reach = reach_of (s, least);
    }
  }
  return best;
}

/* The number of the request at the nearer end of a sweep.  The head has passed
 * none of those that are left.
 */
static uint8_t
next_of_sweep (const struct disk_head *d)
{
  const uint8_t low = d->near[0], high = d->near[d->nr_near - 1];
  const uint64_t from = d->requests[low].offset, to = d->requests[high].offset;

  return d->position <= from ||
                 (d->position < to && d->position - from <= to - d->position)
             ? low
             : high;
}

static struct disk_slot *
find (struct disk_ticket ticket)
{
  struct disk_slot *a = ticket.slot;

  return a != NULL && atomic_load_explicit (&a->ticket, memory_order_relaxed) ==
                          ticket.number
             ? a
             : NULL;
}

/* The head begins with one of those that are looked at. */
static void
serve_next (struct disk_head *d, const struct disk_settings *s, uint64_t start)
{
  uint8_t number = d->waiting[0], *at;

  if (d->oldest != d->requests[number].ticket.number) {
    d->oldest = d->requests[number].ticket.number;
    d->passed = 0;
  }
  if (d->passed++ < DISK_PASSES * s->queue &&
      nr_looked_at (d, s) >= s->nearest_from)
    number = s->sweep != 0 ? next_of_sweep (d) : choose (d, s, start);
  serve (d, s, &d->requests[number], start);
  d->served[d->nr_served++] = d->requests[number].ticket;
  at = memchr (d->waiting, number, d->nr_waiting);
  take_away (d, (uint32_t) (at - d->waiting));
}

/* All that were served are done when the last of them is. */
static void
report (struct disk_head *d)
{
  struct disk_slot *slot;

  while (d->nr_served > 0) {
    slot = find (d->served[--d->nr_served]);
    if (slot != NULL)
      atomic_store_explicit (&slot->done, d->free_at, memory_order_relaxed);
  }
}

/* Make the decisions that are due at NOW, and those ahead of time.  All that
 * wait have come by the moment of the first decision: disk_enter has made those
 * before.
 */
static void
decide (struct disk_head *d, const struct disk_settings *s, uint64_t now)
{
  uint64_t start;

  while (d->nr_waiting > 0) {
    start = max (d->free_at, d->requests[d->waiting[0]].arrival);
    if (start > now && d->nr_waiting < MAX_DISK_QUEUE)
      return;
    look_at (d, s);
    serve_next (d, s, start);
    if (d->nr_served >= s->batch)
      report (d);
  }
  if (d->free_at <= now)
    report (d);
}

void
disk_decide_before (struct disk_head *d, const struct disk_settings *s,
                    uint64_t now)
{
  if (now > 0)
    decide (d, s, now - 1);
}

/* Answers that were allocated together. */
struct disk_slots {
  struct disk_slots *next;
  size_t n;
  struct disk_slot a[];
};

static void
let_go (struct disk_head *d, struct disk_slot *slot)
{
  atomic_store_explicit (&slot->ticket, 0, memory_order_relaxed);
  slot->next = d->next;
  d->next = slot;
}

static void
let_all_go (struct disk_head *d, struct disk_slots *slots)
{
  size_t i;

  for (i = slots->n; i > 0; i--)
    let_go (d, &slots->a[i - 1]);
}

uint64_t
disk_ask (struct disk_head *d, const struct disk_settings *s, uint64_t now,
          struct disk_ticket *ticket)
{
  struct disk_slot *slot;
  uint64_t done = now;

  decide (d, s, now);
  slot = find (*ticket);
  if (slot != NULL) {
    done = atomic_load_explicit (&slot->done, memory_order_relaxed);
    if (done == 0)
      return d->free_at;
    let_go (d, slot);
    d->n--;
  }
  ticket->number = 0;
  return done;
}

/* Have some more slots, twice as many as the last ones.  Returns false
 * without memory.
 */
static bool
allocate_slots (struct disk_head *d)
{
  const size_t n = d->slots != NULL ? 2 * d->slots->n : 32;
  struct disk_slots *more = calloc (1, sizeof *more + n * sizeof more->a[0]);

  if (more == NULL)
    return false;
  more->next = d->slots;
  more->n = n;
  d->slots = more;
  let_all_go (d, more);
  return true;
}

/* Returns a new ticket; number 0 without memory. */
static struct disk_ticket
new_ticket (struct disk_head *d)
{
  struct disk_ticket ticket = {NULL, 0};

  if (d->next == NULL && !allocate_slots (d))
    return ticket;
  ticket = (struct disk_ticket){d->next, ++d->tickets};
  d->next = d->next->next;
  d->n++;
  atomic_store_explicit (&ticket.slot->done, 0, memory_order_relaxed);
  atomic_store_explicit (&ticket.slot->ticket, ticket.number,
                         memory_order_relaxed);
  return ticket;
}

uint64_t
disk_enter (struct disk_head *d, const struct disk_settings *s,
            const struct latency_request *r, struct disk_ticket *ticket)
{
  struct disk_request request = {.offset = r->offset,
                                 .arrival = r->arrival,
                                 .count = r->count,
                                 .angle = angle_of (s, r->offset)};

  disk_decide_before (d, s, r->arrival);
  *ticket = request.ticket = new_ticket (d);
  if (ticket->number == 0)
    return serve (d, s, &request, max (d->free_at, r->arrival));
  add (d, &request);
  return disk_ask (d, s, r->arrival, ticket);
}

void
disk_cancel (struct disk_head *d, struct disk_ticket ticket)
{
  struct disk_slot *slot = ticket.number != 0 ? find (ticket) : NULL;
  uint32_t i;

  if (slot == NULL)
    return;
  for (i = 0; disk_waits (ticket) && i < d->nr_waiting; i++) {
    if (d->requests[d->waiting[i]].ticket.number == ticket.number) {
      take_away (d, i);
      break;
    }
  }
  let_go (d, slot);
  d->n--;
}

/* The square roots of the distances between N places are 0.886 times that of
 * 1/(N+3/4) on average: to a thousandth what the beta distribution of such a
 * distance gives, for one place and for many.  And half a rotation each.
 */
uint64_t
disk_drain_nsec (const struct disk_settings *s, double requests)
{
  const double root = 0.886227 * sqrt (1 / (requests + 0.75));

  return (uint64_t) (requests * ((double) s->track + s->rotation / 2.0 +
                                 (double) (s->full - s->track) * root));
}

void
disk_reset (struct disk_head *d)
{
  struct disk_slots *some;

  d->n = d->nr_waiting = d->nr_near = d->nr_served = 0;
  d->next = NULL;
  for (some = d->slots; some != NULL; some = some->next)
    let_all_go (d, some);
  d->free_at = 0;
}

void
disk_destroy (struct disk_head *d)
{
  struct disk_slots *some;

  while ((some = d->slots) != NULL) {
    d->slots = some->next;
    free (some);
  }
  memset (d, 0, sizeof *d);
}

/*---------------------------------------------------------------------*/

static const char *
check (const void *value)
{
  const struct disk_settings *s = value;

  if (s->full < s->track)
    return "allowed after full: is no less than after track:";
  return s->nearest_from > s->queue
             ? "allowed after from: is no more than after queue:"
             : NULL;
}

#define PART(member, name, type, least, most, is_needed, initial)              \
  {                                                                            \
    name, type, offsetof (struct disk_settings, member), least, most,          \
        is_needed, initial                                                     \
  }

static const struct value_part disk_part[] = {
    PART (track, "track", PART_DURATION, 0, NSEC_PER_SEC, true, 0),
    PART (full, "full", PART_DURATION, 0, NSEC_PER_SEC, true, 0),
    PART (rpm, "rpm", PART_COUNT, 60, 100000, true, 0),
    PART (bytes_per_sec, "mbps", PART_MIB, MIB, MAX_BYTES_PER_SEC, false, 0),
    PART (queue, "queue", PART_COUNT, 1, MAX_DISK_QUEUE, false, 1),
    PART (nearest_from, "from", PART_COUNT, 1, MAX_DISK_QUEUE, false, 1),
    PART (batch, "batch", PART_COUNT, 1, MAX_DISK_QUEUE, false, 1),
    PART (sweep, "sweep", PART_COUNT, 0, 1, false, 0),
};

const struct parts disk_parts = {disk_part,
                                 sizeof disk_part / sizeof disk_part[0],
                                 sizeof (struct disk_settings), check};
