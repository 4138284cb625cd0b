/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The devices of a server: how they are made, and found; see device.h.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/common.h"
#include "device-internal.h"

static int
create_store (struct devices *devices)
{
  const struct settings *s = &devices->settings;
  const struct arena_options options = {
      .limit = s->memory_limit,
      .max_limit = devices->machine_memory,
      .volumes = s->devices,
      .volume_size = s->size,
      .copies = s->cache_size > 0,
      .hugepages = s->hugepages,
      .kernel_page = sysconf (_SC_PAGESIZE),
  };

  return store_create (&devices->store, &options);
}

static int
create_durability (struct device *d)
{
  const struct settings *s = &d->devices->settings;
  struct durability_options o = {
      .store = d->store,
      .pool = &d->devices->pool,
      .volume = d->number,
      .block_size = s->block_size,
      .cache_size = s->cache_size,
  };

  if (s->zones.zoned) {
    o.zones_start = s->zones.nr_conv * s->zones.zone_size;
    o.zone_size = s->zones.zone_size;
    o.nr_zones = (s->size - 1) / s->zones.zone_size + 1 - s->zones.nr_conv;
  }
  return durability_create (&d->durability, &o);
}

/* After durability, which they ask whether power is on. */
static int
create_zones (struct device *d)
{
  const struct settings *s = &d->devices->settings;
  const struct zone_data_ops data = device_zone_data (d);

  if (!s->zones.zoned)
    return 0;
  return zones_create (&d->zones, &s->zones, s->size, &data);
}

static void
destroy_power (struct device *d)
{
  pthread_cond_destroy (&d->all_quiesced);
  pthread_mutex_destroy (&d->power_lock);
  pthread_mutex_destroy (&d->power_switch);
}

/* Create the parts that own locks or memory, except durability and the zones.
 */
static int
create_parts (struct device *d, struct devices *devices)
{
  struct settings_version *version;

  if (latency_init (&d->latency, devices->started) < 0)
    return -ENOMEM;
  pthread_mutex_init (&d->power_switch, NULL);
  pthread_mutex_init (&d->power_lock, NULL);
  pthread_cond_init (&d->all_quiesced, NULL);
  if (badblocks_init (&d->badblocks) < 0)
    goto no_badblocks;
  badblocks_set_mode (&d->badblocks, &devices->settings.badblocks);
  if (faults_init (&d->faults, devices->settings.seed, d->number) < 0)
    goto no_faults;
  version = settings_version_new (&devices->settings);
  if (version == NULL)
    goto no_set;
  version->users = 1;
  atomic_init (&d->version, version);
  latency_install (&d->latency, &version->s.latency);
  pthread_mutex_init (&d->stats_lock, NULL);
  return 0;

no_set:
  faults_destroy (&d->faults);
no_faults:
  badblocks_destroy (&d->badblocks);
no_badblocks:
  destroy_power (d);
  latency_destroy (&d->latency);
  return -ENOMEM;
}

static int
create_device (struct devices *devices)
{
  struct device *d = &devices->device[devices->count];
  int r;

  d->number = devices->count;
  d->devices = devices;
  d->store = devices->store;
  d->counting_since = devices->started;
  random_init (&d->random, devices->settings.seed, d->number);
  snprintf (d->name, sizeof d->name, "nullb%u", d->number);
  if (create_parts (d, devices) < 0)
    return -ENOMEM;
  devices->count++;
  r = create_durability (d);
  return r == 0 ? create_zones (d) : r;
}

int
devices_create (struct devices **r_devices, const struct settings *settings,
                uint64_t memory, uint64_t unit,
                const struct front_end *front_end)
{
  struct devices *devices;
  int r = 0;

  devices = device_alloc (1, sizeof *devices);
  if (devices == NULL)
    return -ENOMEM;
  owned_lock_prepare ();
  waiter_init (&devices->waiter, clock_cpus ());
  devices->front_end = *front_end;
  pthread_mutex_init (&devices->change_lock, NULL);
  pthread_mutex_init (&devices->lock, NULL);
  pthread_mutex_init (&devices->settings_lock, NULL);
  devices->settings = *settings;
  settings_ref (&devices->settings);
  devices->machine_memory = memory;
  devices->arena_unit = unit;
  devices->started = clock_now ();
  devices->device = device_alloc (settings->devices, sizeof *devices->device);
  if (devices->device == NULL)
    r = -ENOMEM;
  if (r == 0 && settings->memory_backed)
    r = create_store (devices);
  while (r == 0 && devices->count < settings->devices)
    r = create_device (devices);
  if (r < 0)
    devices_destroy (devices);
  else
    *r_devices = devices;
  return r;
}

void
devices_destroy (struct devices *devices)
{
  struct message why;
  uint32_t i;

  devices_close_logs (devices, &why);
  for (i = 0; i < devices->count; i++) {
    connections_destroy (&devices->device[i]);
    pthread_mutex_destroy (&devices->device[i].stats_lock);
    settings_version_drop (atomic_load (&devices->device[i].version));
    faults_destroy (&devices->device[i].faults);
    badblocks_destroy (&devices->device[i].badblocks);
    latency_destroy (&devices->device[i].latency);
    destroy_power (&devices->device[i]);
    if (devices->device[i].durability != NULL)
      durability_destroy (devices->device[i].durability);
    if (devices->device[i].zones != NULL)
      zones_destroy (devices->device[i].zones);
  }
  settings_unref (&devices->settings);
  if (devices->store != NULL)
    store_destroy (devices->store);
  pthread_mutex_destroy (&devices->settings_lock);
  pthread_mutex_destroy (&devices->lock);
  pthread_mutex_destroy (&devices->change_lock);
  free (devices->device);
  free (devices);
}

int
devices_check_faults (const struct devices *devices,
                      const struct fault_rule *rules, struct message *why)
{
  const struct fault_rule *rule;
  uint32_t i;

  for (rule = rules; rule != NULL; rule = fault_rule_next (rule)) {
    for (i = 0; i < devices->count && !fault_rule_is_for (rule, i); i++)
      ;
    if (i == devices->count) {
      message_set (why, "fault=%.80s: there are nullb0 to nullb%" PRIu32,
                   fault_rule_text (rule), devices->count - 1);
      return -EINVAL;
    }
    if (fault_rule_disconnects (rule) &&
        devices->front_end.disconnect == NULL) {
      message_set (why,
                   "fault=%.80s: this plugin cannot disconnect clients: it was "
                   "built with nbdkit before 1.34",
                   fault_rule_text (rule));
      return -EINVAL;
    }
  }
  return 0;
}

int
devices_check_power_off_reply (const struct devices *devices,
                               const struct settings *s, struct message *why)
{
  if (s->power_off_reply != POWER_OFF_REPLY_DISCONNECT ||
      devices->front_end.disconnect != NULL)
    return 0;
  message_set (why, "power-off-reply=disconnect: this plugin cannot disconnect "
                    "clients: it was built with nbdkit before 1.34");
  return -EINVAL;
}

int
devices_add_faults (struct devices *devices,
                    const struct badblocks_change *badblocks,
                    const struct fault_rule *rules, struct message *why)
{
  struct message wrong;
  struct fault_rule *copy;
  struct device *d;
  int r;

  r = devices_check_faults (devices, rules, why);
  for (d = devices->device; r == 0 && d < devices->device + devices->count;
       d++) {
    if (badblocks != NULL) {
      r = badblocks_reserve (&d->badblocks, badblocks);
      if (r < 0)
        break;
      badblocks_apply (&d->badblocks, badblocks, &devices->settings.badblocks);
    }
    r = fault_rule_copy (rules, d->number, &copy);
    if (r < 0)
      break;
    r = faults_change (&d->faults, NULL, copy, clock_now (), &wrong);
    if (r < 0) {
      fault_rule_free (copy);
      message_set (why, "fault: %s", wrong.text);
    }
  }
  return r;
}

struct device *
devices_find (struct devices *devices, const char *name)
{
  uint32_t i;

  if (name[0] == '\0')
    return &devices->device[0];
  for (i = 0; i < devices->count; i++) {
    if (strcmp (name, devices->device[i].name) == 0)
      return &devices->device[i];
  }
  return NULL;
}

void
device_describe (struct device *d, char *buf, size_t len)
{
  char size[32];

  size_format (d->devices->settings.size, size, sizeof size);
  snprintf (buf, len, "%s%s block device, %s%s%s%s",
            d->store != NULL ? "memory-backed" : "null",
            d->zones != NULL ? " zoned" : "", size,
            device_is_read_only (d) ? ", read-only" : "",
            d->block_device[0] != '\0' ? ", here " : "", d->block_device);
}
