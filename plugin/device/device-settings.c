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
  struct settings_version *version = malloc (sizeof *version);

  if (version != NULL) {
    version->s = *s;
    settings_ref (&version->s);
    version->users = 0;
  }
  return version;
}

void
settings_version_free (struct settings_version *version)
{
  settings_unref (&version->s);
  free (version);
}

void
settings_version_drop (struct settings_version *version)
{
  if (--version->users == 0)
    settings_version_free (version);
}

void
device_install (struct device *d, struct settings_version *version)
{
  struct settings_version *old;
  bool has_other_lanes;

  version->users = 1;
  lock (&d->devices->settings_lock);
  old = atomic_exchange (&d->version, version);
  has_other_lanes = old->s.latency.lanes != version->s.latency.lanes;
  settings_version_drop (old);
  unlock (&d->devices->settings_lock);
  latency_install (&d->latency, &version->s.latency);
  if (has_other_lanes)
    latency_reset_lanes (&d->latency);
}

struct settings_version *
device_hold_settings (struct device *d)
{
  struct settings_version *version;

  lock (&d->devices->settings_lock);
  version = atomic_load (&d->version);
  version->users++;
  unlock (&d->devices->settings_lock);
  return version;
}

void
device_drop_settings (struct device *d, struct settings_version *version)
{
  lock (&d->devices->settings_lock);
  settings_version_drop (version);
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
