/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Lanes and stalls; see lanes.h.
 */

#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/common.h"
#include "lanes.h"

/*---------------------------------------------------------------------*/
/* Stalls */

int
stall_parse (const char *text, struct stall *stall, struct message *why)
{
  static const char first[] = "every:", second[] = ",for:";
  const char *comma = strstr (text, second);
  struct stall r = {0, 0};

  if (strcmp (text, "none") == 0) {
    *stall = r;
    return 0;
  }
  if (strncmp (text, first, sizeof first - 1) != 0 || comma == NULL) {
    message_set (why, "allowed is none or every:DURATION,for:DURATION");
    return -EINVAL;
  }
  text += sizeof first - 1;
  if (duration_parse (text, comma - text, &r.every) < 0 || r.every == 0) {
    message_set (
        why, "'%.*s': allowed after every: is " DURATION_FORM ", more than 0",
        (int) min (comma - text, 80), text);
    return -EINVAL;
  }
  text = comma + sizeof second - 1;
  if (duration_parse (text, strlen (text), &r.length) < 0 ||
      r.length >= r.every) {
    message_set (why,
                 "'%.80s': allowed after for: is a duration below that after "
                 "every: (units: ns, us, ms, s)",
                 text);
    return -EINVAL;
  }
  *stall = r;
  return 0;
}

void
stall_format (const struct stall *stall, char *buf, size_t len)
{
  char every[24], length[24];

  if (stall->every == 0) {
    snprintf (buf, len, "none");
    return;
  }
  duration_format (stall->every, every, sizeof every);
  duration_format (stall->length, length, sizeof length);
  snprintf (buf, len, "every:%s,for:%s", every, length);
}

/* `time` is when the service begins, from the device's start; `worked` is when
 * it ends, by a clock that stands still in stalls.  A stall begins at each
 * multiple of `every` except 0.
 */
uint64_t
stall_serve (const struct stall *stall, uint64_t origin, uint64_t start,
             uint64_t nsec)
{
  const uint64_t every = stall->every, length = stall->length;
  uint64_t time, since, worked, stalls, done;

  if (every == 0)
    return moment_after (start, nsec);

  time = start > origin ? start - origin : 0;
  since = time % every;
  stalls = time / every; /* that have begun */
  if (stalls > 0 && since < length)
    time += length - since;
  if (nsec == 0)
    return moment_after (origin, time);

  worked = moment_after (time - stalls * length, nsec);
  if (worked <= every)
    return moment_after (origin, worked);
  /* A service that ends just as a stall begins is not interrupted: hence - 1.
   */
  stalls = (worked - every - 1) / (every - length) + 1;
  if (__builtin_mul_overflow (stalls, length, &done) ||
      __builtin_add_overflow (done, worked, &done))
    return UINT64_MAX;
  return moment_after (origin, done);
}

uint64_t
stall_worked (const struct stall *stall, uint64_t origin, uint64_t moment)
{
  const uint64_t time = moment > origin ? moment - origin : 0;
  uint64_t stalls;

  if (stall->every == 0 || time < stall->every)
    return moment;
  stalls = time / stall->every; /* that have begun */
  return moment - (stalls - 1) * stall->length -
         min (time % stall->every, stall->length);
}

uint64_t
stall_moment (const struct stall *stall, uint64_t origin, uint64_t worked)
{
  return stall->every == 0 || worked <= origin
             ? worked
             : stall_serve (stall, origin, origin, worked - origin);
}

/*---------------------------------------------------------------------*/
/* Lanes */

/* Put MOMENT in the place of the heap's first. */
static void
replace_first (struct lanes *l, uint64_t moment)
{
  uint32_t at = 0, child;

  for (child = 1; child < l->count; child = 2 * at + 1) {
    if (child + 1 < l->count && l->free_at[child + 1] < l->free_at[child])
      child++;
    if (l->free_at[child] >= moment)
      break;
    l->free_at[at] = l->free_at[child];
    at = child;
  }
  l->free_at[at] = moment;
}

/* The lane at place AT is to be free at MOMENT, which is earlier. */
static void
bring_forward (struct lanes *l, uint32_t at, uint64_t moment)
{
  for (; at > 0 && l->free_at[(at - 1) / 2] > moment; at = (at - 1) / 2)
    l->free_at[at] = l->free_at[(at - 1) / 2];
  l->free_at[at] = moment;
}

/* Take the first gap that the service fits into and that begins before BEFORE.
 * Returns false if there is none.
 */
static bool
serve_in_gap (struct lanes *l, const struct stall *stall, uint64_t origin,
              uint64_t arrival, uint64_t before, uint64_t nsec,
              struct booking *booking)
{
  size_t i;

  gaps_pass (&l->gaps, arrival);
  for (i = 0; i < l->gaps.count && l->gaps.gap[i].from < before; i++) {
    booking->from = max (l->gaps.gap[i].from, arrival);
    booking->to = stall_serve (stall, origin, booking->from, nsec);
    if (booking->to <= l->gaps.gap[i].to) {
      gaps_take (&l->gaps, i, booking->to);
      return true;
    }
  }
  return false;
}

uint64_t
lanes_serve (struct lanes *lanes, uint32_t count, const struct stall *stall,
             uint64_t origin, uint64_t arrival, uint64_t nsec,
             struct booking *booking)
{
  uint64_t start;

  if (lanes->count != count) {
    lanes_reset (lanes);
    lanes->count = count;
  }
  start = max (lanes->free_at[0], arrival);
  if (lanes->gaps.count > 0 &&
      serve_in_gap (lanes, stall, origin, arrival, start, nsec, booking))
    return booking->to;
  booking->from = start;
  booking->to = stall_serve (stall, origin, start, nsec);
  replace_first (lanes, booking->to);
  return booking->to;
}

void
lanes_cancel (struct lanes *lanes, uint32_t generation, struct booking booking,
              uint64_t now)
{
  uint32_t i;

  if (generation != lanes->generation || booking.from < now ||
      booking.from == booking.to)
    return;
  for (i = 0; i < lanes->count && lanes->free_at[i] != booking.to; i++)
    ;
  if (i < lanes->count)
    bring_forward (lanes, i, gaps_retreat (&lanes->gaps, booking));
  else
    gaps_add (&lanes->gaps, booking);
}

void
lanes_reset (struct lanes *lanes)
{
  lanes->generation++;
  lanes->count = 0;
  gaps_clear (&lanes->gaps);
  memset (lanes->free_at, 0, sizeof lanes->free_at);
}

void
lanes_destroy (struct lanes *lanes)
{
  gaps_clear (&lanes->gaps);
}
