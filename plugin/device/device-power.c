/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The power of a device: how it is cut, how requests end then, and how it is
 * put back on; see device.h.
 *
 *     epoch     even             | odd: off            | even
 *                                |                     |
 *     requests  begin, change ---+-> -ESHUTDOWN        |
 *               begin, hang -----+-> -ESHUTDOWN        |
 *                                | begin: refused      | begin, change
 *                               cut                   on
 *                                waits for the last active request,
 *                                before and after what is volatile is lost
 *
 * A request that begins while power is on is *active* until it is over, except
 * while it hangs, while it naps or is set aside as an early write, and when
 * only its latency is left, or only the reply of a write that was set aside:
 * then it is *quiesced*, and changes nothing.  No request becomes active while
 * power is off.  Code that changes something asks whether power is on, under
 * the lock with which it makes the change, if it takes one; and power does not
 * come back before all requests that were active are quiesced.  So a request
 * that finds power on has begun since, and no request from before a cut changes
 * anything after the cut is finished.
 *
 * A change that takes no lock (durability_write without a cache), and one of a
 * zone that waits for limits.open_lock in between (zones-limits.c), may find
 * power on and yet be made after power has gone off.  That does no harm.  Its
 * request is active, and finish_cut waits for it before anything is lost.
 * Until then nobody can tell: each active request gets -ESHUTDOWN, after which
 * a client does not know what was done; and no other becomes active.
 *
 * A thread that cuts power, or puts it back on, holds device.power_switch from
 * beginning to end, which may take seconds: only such threads wait for it.  The
 * write at which a cut was due (power-cut-after) does its part without it.
 */

#include <config.h>

#include "device-internal.h"

/*---------------------------------------------------------------------*/
/* Requests that are active, and quiesced */

/* Is any request still active?  Power is off.  devices.lock comes after
 * power_lock.
 */
static bool
is_busy (struct device *d)
{
  struct connection *c;
  bool r = false;

  lock (&d->devices->lock);
  for (c = d->connections; c != NULL && !r; c = c->next) {
    owned_lock_visit (&c->lock);
    r = c->in_flight > c->nr_quiesced;
    owned_unlock (&c->lock);
  }
  unlock (&d->devices->lock);
  return r;
}

/* Wait until all that were active are quiesced; power is off. */
static void
await_quiescence (struct device *d)
{
  lock (&d->power_lock);
  while (is_busy (d))
    pthread_cond_wait (&d->all_quiesced, &d->power_lock);
  unlock (&d->power_lock);
}

void
device_tell_quiesced (struct device *d)
{
  lock (&d->power_lock);
  pthread_cond_broadcast (&d->all_quiesced);
  unlock (&d->power_lock);
}

/* Whether power was cut is asked under the lock under which is_busy looks: so
 * either is_busy sees that the request is quiesced, or await_quiescence is
 * woken.
 */
void
request_quiesce (struct request *r)
{
  struct connection *c = r->connection;
  bool met;

  owned_lock (&c->lock);
  c->nr_quiesced++;
  r->is_quiesced = true;
  met = request_met_cut (r);
  owned_unlock (&c->lock);
  if (met)
    device_tell_quiesced (c->device);
}

int
request_reactivate (struct request *r)
{
  struct connection *c = r->connection;
  int result = -ESHUTDOWN;

  owned_lock (&c->lock);
  if (!request_met_cut (r)) {
    c->nr_quiesced--;
    r->is_quiesced = false;
    result = 0;
  }
  owned_unlock (&c->lock);
  return result;
}

/*---------------------------------------------------------------------*/
/* Cutting power */

static uint64_t
dirty (void *device)
{
  struct device *d = device;

  return latency_dirty (&d->latency, clock_now ());
}

void
device_power_status (struct device *d, struct durability_status *s)
{
  durability_status (d->durability, s);
  s->volatile_bytes = min (s->volatile_bytes, dirty (d));
}

/* Returns how to cut power.  The seed is the same for the same settings, and
 * another one for each cut.
 */
static struct power_cut
how_to_cut (struct device *d, enum lose lose, uint64_t seed)
{
  struct power_cut cut = {.lose = lose, .seed = seed, .dirty = dirty, .arg = d};
  struct durability_status status;
  struct settings_version *version;

  if (seed == 0) {
    durability_status (d->durability, &status);
    version = device_hold_settings (d);
    cut.seed =
        random_mix (version->s.seed + random_mix (d->number)) + status.cuts;
    device_drop_settings (d, version);
  }
  if (has_log (d))
    log_prepare_cut (d, &cut);
  return cut;
}

/* Power is off: end the requests that hang or are early, wait until all
 * requests are quiesced, and lose what is volatile.
 */
static void
finish_cut (struct device *d)
{
  faults_wake (&d->faults);
  if (d->zones != NULL)
    zones_wake_all (d->zones);
  await_quiescence (d);
  durability_finish_cut (d->durability);
}

void
device_cut_power (struct device *d, enum lose lose, uint64_t seed)
{
  struct power_cut cut;
  int r;

  lock (&d->power_switch);
  cut = how_to_cut (d, lose, seed);
  r = has_log (d) ? log_begin_cut (d, &cut)
                  : durability_begin_cut (d->durability, &cut);
  if (r == 0)
    finish_cut (d);
  unlock (&d->power_switch);
}

void
device_cut_power_after (struct device *d, uint64_t n, enum lose lose,
                        uint64_t seed)
{
  struct power_cut cut;

  lock (&d->power_switch);
  cut = how_to_cut (d, lose, seed);
  durability_cut_after (d->durability, n, &cut);
  unlock (&d->power_switch);
}

int
request_finish_cut (struct request *r)
{
  request_quiesce (r);
  finish_cut (r->connection->device);
  return -ESHUTDOWN;
}

/*---------------------------------------------------------------------*/
/* Putting power back on */

/* Write pointers go back to where lost data begins, and zones are closed.  As
 * power is still off, no request sees them before that.  Zones that had been
 * full come last, as they may be closed only where the limits have room.
 */
static void
restart_zones (struct device *d)
{
  const struct zone_settings *zones = &d->devices->settings.zones;
  const uint64_t n = zones_total (d->zones);
  uint64_t zone, from;

  for (zone = zones->nr_conv; zone < n; zone++) {
    from = durability_lost_from (d->durability, zone * zones->zone_size);
    zones_recover_zone (d->zones, zone, from, false);
  }
  for (zone = zones->nr_conv; zone < n; zone++) {
    from = durability_lost_from (d->durability, zone * zones->zone_size);
    if (from != UINT64_MAX)
      zones_recover_zone (d->zones, zone, from, true);
  }
}

void
device_power_on (struct device *d)
{
  lock (&d->power_switch);
  if ((durability_epoch (d->durability) & 1) != 0) {
    durability_await_cut (d->durability);
    await_quiescence (d);
    if (d->zones != NULL)
      restart_zones (d);
    /* Requests that were in service are dead, and keep nobody waiting. */
    latency_reset (&d->latency);
    durability_restore_power (d->durability);
  }
  unlock (&d->power_switch);
}
