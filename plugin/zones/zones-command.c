/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Commands to zones, and trims, which reset sequential zones.  A command has
 * its zone from its first look to its end.  The state changes at one moment; a
 * reset changes it with the stripe locked, so that no read sees only a part of
 * the zone's data.  From then on the old data cannot be read; it is discarded
 * before another request changes the zone.
 */

#include <config.h>

#include <errno.h>

#include "zones-internal.h"

/* Each of these does what null_blk does, with the zone taken by C and the
 * limits entered.
 */

static int
reset (struct zones *z, uint64_t zone)
{
  zone_set_state (z, zone, ZONE_COND_EMPTY, 0);
  return 0;
}

static int
open_explicitly (struct zones *z, struct zone_claim *c)
{
  const uint64_t zone = c->zone, state = zone_state (z, zone);
  int r = 0;

  switch (state_cond (state)) {
  case ZONE_COND_EXP_OPEN:
  case ZONE_COND_IMP_OPEN:
    break;
  case ZONE_COND_EMPTY:
  case ZONE_COND_CLOSED:
    r = zone_limits_make_room (z, c, state_cond (state));
    break;
  default:
    r = -EIO;
  }
  if (r == 0)
    zone_set_state (z, zone, ZONE_COND_EXP_OPEN, state_wp (state));
  return r;
}

static int
close_zone (struct zones *z, uint64_t zone)
{
  const uint64_t state = zone_state (z, zone), wp = state_wp (state);

  switch (state_cond (state)) {
  case ZONE_COND_CLOSED:
    return 0;
  case ZONE_COND_IMP_OPEN:
  case ZONE_COND_EXP_OPEN:
    zone_set_state (z, zone, wp == 0 ? ZONE_COND_EMPTY : ZONE_COND_CLOSED, wp);
    return 0;
  default:
    return -EIO;
  }
}

/* A zone must be open, for a moment, to be finished.  Where there are limits, a
 * zone that is full already is left as it is; without limits null_blk does not
 * look at that, and sets the write pointer again.
 */
static int
finish (struct zones *z, struct zone_claim *c)
{
  const uint64_t zone = c->zone;
  const enum zone_cond cond = state_cond (zone_state (z, zone));
  int r;

  if (cond == ZONE_COND_FULL && z->limits.has_any)
    return 0;
  if (cond == ZONE_COND_EMPTY || cond == ZONE_COND_CLOSED) {
    r = zone_limits_make_room (z, c, cond);
    if (r < 0)
      return r;
  }
  zone_set_state (z, zone, ZONE_COND_FULL, zone_len (z, zone));
  return 0;
}

/* Make a zone read-only or offline; or empty, if it is in that condition
 * already.  As in null_blk the zone is finished first, even if that fails: that
 * may close another zone.
 */
static int
disable (struct zones *z, struct zone_claim *c, enum zone_cond cond)
{
  const uint64_t zone = c->zone;
  const enum zone_cond now = state_cond (zone_state (z, zone));

  if (now == cond)
    return reset (z, zone);
  if (now != ZONE_COND_READONLY && now != ZONE_COND_OFFLINE)
    finish (z, c);
  zone_set_state (z, zone, cond, zone_len (z, zone));
  return 0;
}

static int
apply (struct zones *z, struct zone_claim *c, enum zone_cond cond)
{
  const uint64_t zone = c->zone;
  const enum zone_cond now = state_cond (zone_state (z, zone));

  if (cond == ZONE_COND_READONLY || cond == ZONE_COND_OFFLINE)
    return disable (z, c, cond);
  if (now == ZONE_COND_READONLY || now == ZONE_COND_OFFLINE)
    return -EIO;
  switch (cond) {
  case ZONE_COND_EMPTY:
    return reset (z, zone);
  case ZONE_COND_EXP_OPEN:
    return open_explicitly (z, c);
  case ZONE_COND_CLOSED:
    return close_zone (z, zone);
  default:
    return finish (z, c);
  }
}

static bool
is_command (enum zone_cond cond)
{
  return cond == ZONE_COND_EMPTY || cond == ZONE_COND_EXP_OPEN ||
         cond == ZONE_COND_CLOSED || cond == ZONE_COND_FULL ||
         cond == ZONE_COND_READONLY || cond == ZONE_COND_OFFLINE;
}

/* Discard the first WP bytes of a zone.  Nothing is above the write pointer. */
static void
discard (struct zones *z, struct zone_claim *c, uint64_t wp)
{
  const uint64_t start = zone_start (z, c->zone), end = start + wp;
  uint64_t offset = start;

  claim_unlock_stripe (c);
  while (offset < end)
    offset = z->data.discard (z->data.opaque, offset, end);
}

/* Does the command COND reset a zone in condition NOW? */
static bool
is_reset (enum zone_cond cond, enum zone_cond now)
{
  if (cond == ZONE_COND_READONLY || cond == ZONE_COND_OFFLINE)
    return now == cond;
  return cond == ZONE_COND_EMPTY && now != ZONE_COND_READONLY &&
         now != ZONE_COND_OFFLINE;
}

/* Call zone_data_ops.reset: WP bytes of the zone are written. */
static int
tell_of_reset (struct zones *z, struct zone_claim *c, uint64_t wp)
{
  int r;

  claim_unlock_stripe (c);
  r = z->data.reset (z->data.opaque, wp, zone_start (z, c->zone));
  claim_lock_stripe (c);
  return r;
}

/* Do the command COND to the zone that C has.  *reset_result becomes the result
 * of zone_data_ops.reset, if that is called.
 */
static int
command_claimed (struct zones *z, struct zone_claim *c, enum zone_cond cond,
                 int *reset_result)
{
  const uint64_t state = zone_state (z, c->zone), wp = state_wp (state);
  const bool resets = is_reset (cond, state_cond (state));
  const bool may_open =
      !resets && cond != ZONE_COND_EMPTY && cond != ZONE_COND_CLOSED;
  uint64_t new_wp;
  int r;

  if (!zones_have_power (z))
    return -ESHUTDOWN;
  if (wp > 0 && resets)
    *reset_result = tell_of_reset (z, c, wp);
  if (*reset_result == -ESHUTDOWN)
    return -ESHUTDOWN;
  zone_limits_enter (z, may_open ? c : NULL);
  r = apply (z, c, cond);
  new_wp = state_wp (zone_state (z, c->zone));
  zone_limits_leave (z, may_open ? c : NULL);
  claim_lock_stripe (c);
  if (new_wp != wp)
    zone_wake_early (z, c->stripe, c->zone, new_wp);
  if (new_wp < wp)
    discard (z, c, wp);
  return r;
}

static int
command (struct zones *z, uint64_t zone, enum zone_cond cond, int *reset_result)
{
  struct zone_claim c;
  int r;

  *reset_result = 0;
  if (zone >= z->nr_zones || !is_command (cond))
    return -EINVAL;
  if (zone < z->nr_conv)
    return cond == ZONE_COND_READONLY || cond == ZONE_COND_OFFLINE ? -EINVAL
                                                                   : -EIO;
  zone_take (z, &c, zone);
  r = command_claimed (z, &c, cond, reset_result);
  zone_give_back (&c);
  return r;
}

int
zones_command (struct zones *z, uint64_t zone, enum zone_cond cond)
{
  int reset_result;
  int r = command (z, zone, cond, &reset_result);

  return r < 0 ? r : reset_result;
}

static bool
is_reset_by_all (enum zone_cond cond)
{
  return cond != ZONE_COND_EMPTY && cond != ZONE_COND_READONLY &&
         cond != ZONE_COND_OFFLINE;
}

/* A zone that becomes read-only between the look and the command is left out,
 * too: its error is not returned.
 */
int
zones_reset_all (struct zones *z)
{
  int reset_result, r = 0;
  uint64_t zone;

  for (zone = z->nr_conv; zone < z->nr_zones; zone++) {
    if (!is_reset_by_all (state_cond (zone_state (z, zone))))
      continue;
    if (command (z, zone, ZONE_COND_EMPTY, &reset_result) == -ESHUTDOWN)
      return -ESHUTDOWN;
    r = r < 0 ? r : reset_result;
  }
  return r;
}

/* A read-only zone stays as it is: it has no write pointer that could go back.
 */
void
zones_recover_zone (struct zones *z, uint64_t zone, uint64_t lost_from,
                    bool full)
{
  const uint64_t state = zone_state (z, zone), start = zone_start (z, zone);
  const bool has_lost = lost_from < start + state_wp (state);
  const uint64_t wp = has_lost ? lost_from - start : state_wp (state);
  enum zone_cond cond = state_cond (state);
  struct zone_claim c;

  if (cond == ZONE_COND_EMPTY || cond == ZONE_COND_READONLY ||
      cond == ZONE_COND_OFFLINE || (cond == ZONE_COND_FULL) != full ||
      (full && !has_lost))
    return;
  zone_take (z, &c, zone);
  zone_limits_enter (z, NULL);
  if (wp == 0)
    zone_set_state (z, zone, ZONE_COND_EMPTY, 0);
  else if (!full || zone_limits_have_room (z))
    zone_set_state (z, zone, ZONE_COND_CLOSED, wp);
  else
    zone_set_state (z, zone, ZONE_COND_FULL, zone_len (z, zone));
  zone_limits_leave (z, NULL);
  zone_give_back (&c);
}

/*---------------------------------------------------------------------*/
/* Trims */

/* May all zones from FIRST up to LAST be reset? */
static int
check_resets (const struct zones *z, uint64_t first, uint64_t last)
{
  enum zone_cond cond;

  for (; first < last; first++) {
    cond = state_cond (zone_state (z, first));
    if (cond == ZONE_COND_READONLY)
      return -EROFS;
    if (cond == ZONE_COND_OFFLINE)
      return -EIO;
  }
  return 0;
}

/* The sequential zones that lie within COUNT bytes at OFFSET, whole, are those
 * from *first up to *last.
 */
static void
zones_within (const struct zones *z, uint64_t count, uint64_t offset,
              uint64_t *first, uint64_t *last)
{
  const uint64_t end = offset + count;
  const uint64_t mask = (UINT64_C (1) << z->shift) - 1;

  *first = (offset + mask) >> z->shift;
  *last = end == z->size ? z->nr_zones : end >> z->shift;
  if (*first < z->nr_conv)
    *first = z->nr_conv;
}

bool
zones_trim_would_reset (const struct zones *z, uint64_t count, uint64_t offset)
{
  uint64_t first, last;

  zones_within (z, count, offset, &first, &last);
  return z->trim == ZONE_TRIM_RESET && first < last;
}

int
zones_check_trim (const struct zones *z, uint64_t count, uint64_t offset)
{
  uint64_t first, last;

  if (z->trim == ZONE_TRIM_ERROR && offset + count > zone_start (z, z->nr_conv))
    return -EIO;
  if (z->trim != ZONE_TRIM_RESET)
    return 0;
  zones_within (z, count, offset, &first, &last);
  return check_resets (z, first, last);
}

int
zones_trim (struct zones *z, uint64_t count, uint64_t offset)
{
  const uint64_t end = offset + count;
  const uint64_t boundary = zone_start (z, z->nr_conv);
  uint64_t first, last;
  int r;

  r = zones_check_trim (z, count, offset);
  if (r < 0)
    return r;
  zones_within (z, count, offset, &first, &last);

  if (offset < boundary)
    r = z->data.trim (z->data.opaque, min (end, boundary) - offset, offset);
  for (; r == 0 && z->trim == ZONE_TRIM_RESET && first < last; first++)
    r = zones_command (z, first, ZONE_COND_EMPTY);
  return r;
}
