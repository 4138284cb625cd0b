/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The connections to a device, and what they have counted; see device.h.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "device-internal.h"

/* Allocate d->stats, if that is NULL.  devices.lock is held.  Returns 0 or
 * -ENOMEM.
 */
static int
provide_stats (struct device *d)
{
  void *map;

  if (d->stats != NULL)
    return 0;
  map = mmap (NULL, sizeof *d->stats, PROT_READ | PROT_WRITE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED)
    return -ENOMEM;
  madvise (map, sizeof *d->stats, MADV_NOHUGEPAGE);
  d->stats = map;
  return 0;
}

void
connection_add_counts (struct connection *c)
{
  struct device *d = c->device;

  if (c->counts.nr_open > 0)
    stats_end_open (&c->counts, clock_now ());
  lock (&d->stats_lock);
  stats_take (d->stats, &c->counts);
  unlock (&d->stats_lock);
}

static struct connection *
connection_new (struct device *d, const struct front_end *front_end,
                void *control, void (*free_control) (void *control))
{
  struct devices *devices = d->devices;
  struct connection *c;

  c = device_alloc (1, sizeof *c);
  if (c == NULL)
    return NULL;
  owned_lock_init (&c->lock);
  c->device = d;
  c->front_end = front_end != NULL ? front_end : &devices->front_end;
  c->control = control;
  c->free_control = free_control;
  lock (&devices->lock);
  if (provide_stats (d) < 0) {
    unlock (&devices->lock);
    owned_lock_destroy (&c->lock);
    free (c);
    return NULL;
  }
  c->number = ++devices->last_connection;
  lock (&devices->settings_lock);
  c->version = atomic_load (&d->version);
  c->version->users++;
  unlock (&devices->settings_lock);
  c->link = &d->connections;
  c->next = d->connections;
  if (c->next != NULL)
    c->next->link = &c->next;
  d->connections = c;
  unlock (&devices->lock);
  return c;
}

struct connection *
device_connect (struct device *d, const struct front_end *front_end)
{
  return connection_new (d, front_end, NULL, NULL);
}

struct connection *
device_connect_control (struct device *d, void *control,
                        void (*free_control) (void *control))
{
  return connection_new (d, NULL, control, free_control);
}

/* Add the counts of a connection to its device.  devices.lock and c->lock are
 * held.
 */
static void
keep_closed_counts (struct connection *c)
{
  struct device *d = c->device;

  connection_add_counts (c);
  if (c->in_flight_most > d->in_flight_most)
    d->in_flight_most = c->in_flight_most;
  if (c->places_most > d->places_most)
    d->places_most = c->places_most;
  d->began_saturated += c->began_saturated;
}

/* Free a connection.  devices.lock is held, or no other thread uses the
 * devices.
 */
static void
destroy (struct connection *c)
{
  struct devices *devices = c->device->devices;

  *c->link = c->next;
  if (c->next != NULL)
    c->next->link = c->link;
  lock (&devices->settings_lock);
  settings_version_drop (c->version);
  unlock (&devices->settings_lock);
  if (c->control != NULL)
    c->free_control (c->control);
  owned_lock_destroy (&c->lock);
  free (c);
}

void
device_disconnect (struct connection *c)
{
  struct devices *devices = c->device->devices;

  lock (&devices->lock);
  owned_lock_visit (&c->lock);
  keep_closed_counts (c);
  owned_unlock (&c->lock);
  destroy (c);
  unlock (&devices->lock);
}

void
connections_destroy (struct device *d)
{
  while (d->connections != NULL)
    destroy (d->connections);
  if (d->stats != NULL)
    munmap (d->stats, sizeof *d->stats);
}

void
device_stats (struct device *d, struct device_stats *sum)
{
  struct connection *c;

  memset (sum, 0, sizeof *sum);
  sum->in_flight_most = d->in_flight_most;
  sum->places = d->places_most;
  sum->began_saturated = d->began_saturated;
  for (c = d->connections; c != NULL; c = c->next) {
    sum->connections += c->control == NULL;
    owned_lock_visit (&c->lock);
    connection_add_counts (c);
    sum->in_flight += c->in_flight;
    if (c->in_flight_most > sum->in_flight_most)
      sum->in_flight_most = c->in_flight_most;
    if (c->places_most > sum->places)
      sum->places = c->places_most;
    sum->began_saturated += c->began_saturated;
    owned_unlock (&c->lock);
  }
  if (d->stats == NULL)
    return;
  lock (&d->stats_lock);
  sum->stats = *d->stats;
  unlock (&d->stats_lock);
}

void
device_reset_stats (struct device *d)
{
  struct connection *c;

  d->counting_since = clock_now ();
  faults_reset_counters (&d->faults);
  d->in_flight_most = d->places_most = 0;
  d->began_saturated = 0;
  for (c = d->connections; c != NULL; c = c->next) {
    owned_lock_visit (&c->lock);
    counts_clear (&c->counts);
    c->in_flight_most = c->in_flight;
    c->places_most = c->places;
    c->began_saturated = 0;
    owned_unlock (&c->lock);
  }
  if (d->stats == NULL)
    return;
  lock (&d->stats_lock);
  stats_clear (d->stats);
  unlock (&d->stats_lock);
}
