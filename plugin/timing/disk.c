/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A disk; see disk.h.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "throttle.h"

#define MIB (UINT64_C (1) << 20)

static uint32_t
turn_of (const struct disk_settings *s)
{
  return (uint32_t) (60 * NSEC_PER_SEC / s->rpm);
}

/* The place of a block in a turn.  Where bytes take no time, no turn is known
 * to have so many: then it is anywhere.
 */
static uint32_t
angle_of (const struct disk_settings *s, uint64_t offset)
{
  const uint32_t turn = turn_of (s);
  const double bytes =
      (double) turn * (double) s->bytes_per_sec / (double) NSEC_PER_SEC;

  if (bytes < 1)
    return (uint32_t) (random_mix (offset) % turn);
  return (uint32_t) (((double) (offset % (uint64_t) bytes)) / bytes * turn) %
         turn;
}

static uint64_t
distance_to (const struct disk_head *d, const struct disk_request *r)
{
  return r->offset > d->position ? r->offset - d->position
                                 : d->position - r->offset;
}

/* The square root of a share, to a millionth of it.  Halving the exponent is
 * right to 4 %, and each step squares the error.
 */
static float
square_root (float share)
{
  union {
    float f;
    uint32_t bits;
  } r = {.f = share};

  r.bits = (r.bits >> 1) + (UINT32_C (127) << 22);
  r.f = 0.5f * (r.f + share / r.f);
  return 0.5f * (r.f + share / r.f);
}

static uint64_t
seek_over (const struct disk_settings *s, uint64_t size, uint64_t distance)
{
  const float share = (float) distance / (float) size;

  if (share >= 1)
    return s->full;
  return s->track + (uint64_t) ((double) (s->full - s->track) *
                                (double) square_root (share));
}

/* From the beginning of a seek to the first byte.  PHASE is where a turn of
 * TURN nanoseconds is at the beginning.
 */
static uint64_t
time_to (const struct disk_head *d, const struct disk_settings *s,
         uint64_t size, const struct disk_request *r, uint32_t phase,
         uint32_t turn)
{
  const uint64_t distance = distance_to (d, r);
  uint64_t seek;

  if (distance == 0)
    return 0;
  seek = seek_over (s, size, distance);
  phase = (uint32_t) (phase + seek) % turn;
  return seek +
         (r->angle >= phase ? r->angle - phase : r->angle + (turn - phase));
}

/* The distance from which on a seek alone takes NSEC or more. */
static uint64_t
distance_in (const struct disk_settings *s, uint64_t size, uint64_t nsec)
{
  double root;

  if (nsec <= s->track)
    return 1;
  if (nsec > s->full)
    return UINT64_MAX;
  root = (double) (nsec - s->track) / (double) (s->full - s->track) + 1e-5;
  return (uint64_t) (root * root * (double) size) + 1;
}

static uint64_t
transfer (const struct disk_settings *s, const struct disk_request *r)
{
  return s->bytes_per_sec == 0 ? 0 : r->count * NSEC_PER_SEC / s->bytes_per_sec;
}

/* The head begins with a request at START. */
static void
serve (struct disk_head *d, const struct disk_settings *s, uint64_t size,
       struct disk_request *r, uint64_t start)
{
  const uint32_t turn = turn_of (s);

  r->done = start + time_to (d, s, size, r, (uint32_t) (start % turn), turn) +
            transfer (s, r);
  d->free = r->done;
  d->position = r->offset + r->count;
}

/* Of those that wait and have come by START, the one that is next. */
static struct disk_request *
choose (struct disk_head *d, const struct disk_settings *s, uint64_t size,
        struct disk_request *first, uint64_t start)
{
  const uint32_t turn = turn_of (s), phase = (uint32_t) (start % turn);
  struct disk_request *r, *best = first;
  const struct disk_request *end = d->requests + d->n;
  uint64_t least = UINT64_MAX, most = UINT64_MAX, nsec, n = 0;

  for (r = first; r < end && n < max (s->queue, UINT64_C (1)); r++) {
    if (r->done != 0 || r->arrival > start)
      continue;
    n++;
    if (distance_to (d, r) >= most)
      continue;
    nsec = time_to (d, s, size, r, phase, turn);
    if (nsec < least) {
      least = nsec;
      most = distance_in (s, size, least);
      best = r;
    }
  }
  return n >= s->from ? best : first;
}

/* Make the decisions that are due at NOW. */
static void
decide (struct disk_head *d, const struct disk_settings *s, uint64_t size,
        uint64_t now)
{
  struct disk_request *first = d->requests;
  const struct disk_request *end = d->requests + d->n;
  struct disk_request *next;
  uint64_t start;

  for (;;) {
    while (first < end && first->done != 0)
      first++;
    if (first == end)
      return;
    start = max (d->free, first->arrival);
    if (start > now)
      return;
    if (d->oldest != first->ticket) {
      d->oldest = first->ticket;
      d->passed = 0;
    }
    next = d->passed++ < DISK_PASSES * s->queue
               ? choose (d, s, size, first, start)
               : first;
    serve (d, s, size, next, start);
  }
}

static void
take_away (struct disk_head *d, size_t i)
{
  d->n--;
  memmove (&d->requests[i], &d->requests[i + 1],
           (d->n - i) * sizeof *d->requests);
}

uint64_t
disk_ask (struct disk_head *d, const struct disk_settings *s, uint64_t size,
          uint64_t now, uint64_t *ticket)
{
  uint64_t done;
  size_t i;

  decide (d, s, size, now);
  for (i = 0; i < d->n && d->requests[i].ticket != *ticket; i++)
    ;
  if (i < d->n && d->requests[i].done == 0)
    return d->free;
  done = i < d->n ? d->requests[i].done : now;
  if (i < d->n)
    take_away (d, i);
  *ticket = 0;
  return done;
}

static bool
has_room (struct disk_head *d)
{
  const size_t room = d->room > 0 ? 2 * d->room : 32;
  struct disk_request *more;

  if (d->n < d->room)
    return true;
  more = realloc (d->requests, room * sizeof *more);
  if (more == NULL)
    return false;
  d->requests = more;
  d->room = room;
  return true;
}

uint64_t
disk_enter (struct disk_head *d, const struct disk_settings *s, uint64_t size,
            const struct latency_request *r, uint64_t *ticket)
{
  const struct disk_request request = {.ticket = ++d->tickets,
                                       .offset = r->offset,
                                       .arrival = r->arrival,
                                       .count = r->count,
                                       .angle = angle_of (s, r->offset)};
  struct disk_request beside = request;

  /* Those that were to be decided before this one came. */
  if (r->arrival > 0)
    decide (d, s, size, r->arrival - 1);
  if (!has_room (d)) {
    *ticket = 0;
    serve (d, s, size, &beside, max (d->free, r->arrival));
    return beside.done;
  }
  d->requests[d->n++] = request;
  *ticket = request.ticket;
  return disk_ask (d, s, size, r->arrival, ticket);
}

void
disk_leave (struct disk_head *d, uint64_t ticket)
{
  size_t i;

  for (i = 0; ticket != 0 && i < d->n; i++) {
    if (d->requests[i].ticket == ticket) {
      take_away (d, i);
      return;
    }
  }
}

void
disk_begin_anew (struct disk_head *d)
{
  d->n = 0;
  d->free = 0;
}

void
disk_destroy (struct disk_head *d)
{
  free (d->requests);
  memset (d, 0, sizeof *d);
}

/*---------------------------------------------------------------------*/

static const char *
check (const void *value)
{
  const struct disk_settings *s = value;

  if (s->full < s->track)
    return "allowed after full: is no less than after track:";
  return s->from > s->queue ? "allowed after from: is no more than after queue:"
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
    PART (from, "from", PART_COUNT, 1, MAX_DISK_QUEUE, false, 1),
};

const struct parts disk_parts = {disk_part,
                                 sizeof disk_part / sizeof disk_part[0],
                                 sizeof (struct disk_settings), check};
