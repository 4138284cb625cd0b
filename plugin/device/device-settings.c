/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The settings of a device, from one live change to the next; see device.h.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "device-internal.h"

void *
device_alloc (size_t nr, size_t size)
{
  void *r = aligned_alloc (64, nr * size);

  if (r != NULL)
    memset (r, 0, nr * size);
  return r;
}

struct settings_version *
settings_version_new (const struct settings *s)
{
  struct settings_version *set = malloc (sizeof *set);

  if (set != NULL) {
    set->s = *s;
    settings_ref (&set->s);
    set->users = 0;
  }
  return set;
}

void
settings_version_free (struct settings_version *set)
{
  settings_unref (&set->s);
  free (set);
}

void
settings_version_drop (struct settings_version *set)
{
  if (--set->users == 0)
    settings_version_free (set);
}

void
device_install (struct device *d, struct settings_version *set)
{
  struct settings_version *old;
  bool has_other_lanes;

  set->users = 1;
  lock (&d->devices->settings_lock);
  old = atomic_exchange (&d->version, set);
  has_other_lanes = old->s.latency.lanes != set->s.latency.lanes;
  settings_version_drop (old);
  unlock (&d->devices->settings_lock);
  latency_install (&d->latency, &set->s.latency);
  if (has_other_lanes)
    latency_begin_lanes (&d->latency);
}

struct settings_version *
device_hold_settings (struct device *d)
{
  struct settings_version *set;

  lock (&d->devices->settings_lock);
  set = atomic_load (&d->version);
  set->users++;
  unlock (&d->devices->settings_lock);
  return set;
}

void
device_drop_settings (struct device *d, struct settings_version *set)
{
  lock (&d->devices->settings_lock);
  settings_version_drop (set);
  unlock (&d->devices->settings_lock);
}

bool
device_is_read_only (struct device *d)
{
  bool r;

  lock (&d->devices->settings_lock);
  r = atomic_load (&d->version)->s.read_only;
  unlock (&d->devices->settings_lock);
  return r;
}

bool
device_drops_clients (struct device *d)
{
  bool r;

  lock (&d->devices->settings_lock);
  r = atomic_load (&d->version)->s.power_off_reply ==
      POWER_OFF_REPLY_DISCONNECT;
  unlock (&d->devices->settings_lock);
  return r;
}

bool
device_can_discard (struct device *d)
{
  bool r;

  lock (&d->devices->settings_lock);
  r = atomic_load (&d->version)->s.discard;
  unlock (&d->devices->settings_lock);
  return r;
}

bool
device_waits (struct device *d)
{
  bool r;

  lock (&d->devices->settings_lock);
  r = atomic_load (&d->version)->s.latency.waits;
  unlock (&d->devices->settings_lock);
  return r || faults_any_waits (&d->faults);
}

void
device_seed (struct device *d)
{
  lock (&d->devices->settings_lock);
  random_init (&d->random, atomic_load (&d->version)->s.seed, d->number);
  faults_seed (&d->faults, atomic_load (&d->version)->s.seed);
  unlock (&d->devices->settings_lock);
}
