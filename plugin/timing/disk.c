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

/* The head begins with a request at START.  Returns when it is done. */
static uint64_t
serve (struct disk_head *d, const struct disk_settings *s, uint64_t size,
       const struct disk_request *r, uint64_t start)
{
  const uint32_t turn = turn_of (s);

  d->free = start + time_to (d, s, size, r, (uint32_t) (start % turn), turn) +
            transfer (s, r);
  d->position = r->offset + r->count;
  return d->free;
}

/* Of those that wait and have come by START, the number of the next one. */
static uint32_t
choose (const struct disk_head *d, const struct disk_settings *s, uint64_t size,
        uint64_t start)
{
  const uint32_t turn = turn_of (s), phase = (uint32_t) (start % turn);
  uint64_t least = UINT64_MAX, most = UINT64_MAX, nsec, n = 0;
  const struct disk_request *r;
  uint32_t i, best = 0;

  for (i = 0; i < d->nr_waiting && n < max (s->queue, UINT64_C (1)); i++) {
    r = &d->waiting[i];
    if (r->arrival > start)
      continue;
    n++;
    if (distance_to (d, r) >= most)
      continue;
    nsec = time_to (d, s, size, r, phase, turn);
    if (nsec < least) {
      least = nsec;
      most = distance_in (s, size, least);
      best = i;
    }
  }
  return n >= s->from ? best : 0;
}

static struct disk_answer *
find (struct disk_head *d, uint64_t ticket)
{
  const size_t i = (uint32_t) ticket;

  return i > 0 && i <= d->used && d->answers[i - 1].ticket == ticket
             ? &d->answers[i - 1]
             : NULL;
}

static void
take_away (struct disk_head *d, uint32_t i)
{
  d->nr_waiting--;
  memmove (&d->waiting[i], &d->waiting[i + 1],
           (d->nr_waiting - i) * sizeof d->waiting[0]);
}

/* Make the decisions that are due at NOW, and those ahead of time. */
static void
decide (struct disk_head *d, const struct disk_settings *s, uint64_t size,
        uint64_t now)
{
  struct disk_answer *answer;
  uint64_t start, done;
  uint32_t next;

  while (d->nr_waiting > 0) {
    start = max (d->free, d->waiting[0].arrival);
    if (start > now && d->nr_waiting < MAX_DISK_QUEUE)
      return;
    if (d->oldest != d->waiting[0].ticket) {
      d->oldest = d->waiting[0].ticket;
      d->passed = 0;
    }
    next =
        d->passed++ < DISK_PASSES * s->queue ? choose (d, s, size, start) : 0;
    done = serve (d, s, size, &d->waiting[next], start);
    answer = find (d, d->waiting[next].ticket);
    if (answer != NULL)
      answer->done = done;
    take_away (d, next);
  }
}

static void
let_go (struct disk_head *d, struct disk_answer *answer)
{
  const size_t i = (uint32_t) answer->ticket;

  answer->ticket = 0;
  answer->next = d->next;
  d->next = i;
  d->n--;
}

uint64_t
disk_ask (struct disk_head *d, const struct disk_settings *s, uint64_t size,
          uint64_t now, uint64_t *ticket)
{
  struct disk_answer *answer;
  uint64_t done = now;

  decide (d, s, size, now);
  answer = find (d, *ticket);
  if (answer != NULL) {
    if (answer->done == 0)
      return d->free;
    done = answer->done;
    let_go (d, answer);
  }
  *ticket = 0;
  return done;
}

/* Returns a new ticket, or 0 without memory. */
static uint64_t
new_ticket (struct disk_head *d)
{
  const size_t room = d->room > 0 ? 2 * d->room : 32;
  struct disk_answer *more;
  size_t i = d->next;

  if (i != 0)
    d->next = d->answers[i - 1].next;
  else {
    if (d->used == d->room) {
      more = realloc (d->answers, room * sizeof *more);
      if (more == NULL)
        return 0;
      d->answers = more;
      d->room = room;
    }
    i = ++d->used;
  }
  d->n++;
  d->answers[i - 1] =
      (struct disk_answer){.ticket = ++d->tickets << 32 | (uint32_t) i};
  return d->answers[i - 1].ticket;
}

uint64_t
disk_enter (struct disk_head *d, const struct disk_settings *s, uint64_t size,
            const struct latency_request *r, uint64_t *ticket)
{
  struct disk_request request = {.offset = r->offset,
                                 .arrival = r->arrival,
                                 .count = r->count,
                                 .angle = angle_of (s, r->offset)};

  /* Those that were to be decided before this one came. */
  if (r->arrival > 0)
    decide (d, s, size, r->arrival - 1);
  *ticket = request.ticket = new_ticket (d);
  if (*ticket == 0)
    return serve (d, s, size, &request, max (d->free, r->arrival));
  d->waiting[d->nr_waiting++] = request;
  return disk_ask (d, s, size, r->arrival, ticket);
}

void
disk_leave (struct disk_head *d, uint64_t ticket)
{
  struct disk_answer *answer = find (d, ticket);
  uint32_t i;

  if (answer == NULL)
    return;
  for (i = 0; answer->done == 0 && i < d->nr_waiting; i++) {
    if (d->waiting[i].ticket == ticket) {
      take_away (d, i);
      break;
    }
  }
  let_go (d, answer);
}

void
disk_begin_anew (struct disk_head *d)
{
  d->n = d->nr_waiting = 0;
  d->used = d->next = 0;
  d->free = 0;
}

void
disk_destroy (struct disk_head *d)
{
  free (d->answers);
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
