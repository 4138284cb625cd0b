/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The connections to a device, and what they have counted; see device.h.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "device-internal.h"

static struct connection *
new_connection (struct device *d)
{
  struct connection *c;

  c = device_alloc (1, sizeof *c);
  if (c == NULL)
    return NULL;
  pthread_mutex_init (&c->lock, NULL);
  c->device = d;
  lock (&d->devices->settings_lock);
  c->set = atomic_load (&d->set);
  c->set->users++;
  unlock (&d->devices->settings_lock);
  c->next = d->connections;
  d->connections = c;
  return c;
}

struct connection *
device_connect (struct device *d, struct control *control)
{
  struct connection *c;

  lock (&d->devices->lock);
  for (c = d->connections; c != NULL && c->open; c = c->next)
    ;
  if (c == NULL)
    c = new_connection (d);
  if (c != NULL) {
    c->open = true;
    c->control = control;
    lock (&c->lock);
    c->number = ++d->devices->connected;
    c->workers = 0;
    unlock (&c->lock);
  }
  unlock (&d->devices->lock);
  return c;
}

void
device_disconnect (struct connection *c)
{
  struct devices *devices = c->device->devices;

  lock (&devices->lock);
  if (c->control != NULL)
    control_destroy (c->control);
  c->control = NULL;
  c->open = false;
  unlock (&devices->lock);
}

void
connections_destroy (struct device *d)
{
  struct connection *c;

  while ((c = d->connections) != NULL) {
    d->connections = c->next;
    if (c->control != NULL)
      control_destroy (c->control);
    settings_set_drop (c->set);
    pthread_mutex_destroy (&c->lock);
    free (c);
  }
}

void
device_stats (struct device *d, struct device_stats *sum)
{
  struct connection *c;

  memset (sum, 0, sizeof *sum);
  for (c = d->connections; c != NULL; c = c->next) {
    sum->connections += c->open && c->control == NULL;
    lock (&c->lock);
    stats_add (&sum->stats, &c->stats);
    sum->depth += c->depth;
    if (c->depth_most > sum->depth_most)
      sum->depth_most = c->depth_most;
    if (c->workers_most > sum->workers)
      sum->workers = c->workers_most;
    sum->saturated += c->saturated;
    unlock (&c->lock);
  }
}

void
device_reset_stats (struct device *d)
{
  struct connection *c;

  d->counting_since = clock_now ();
  faults_reset_counters (&d->faults);
  for (c = d->connections; c != NULL; c = c->next) {
    lock (&c->lock);
    memset (&c->stats, 0, sizeof c->stats);
    c->depth_most = c->depth;
    c->workers_most = c->workers;
    c->saturated = 0;
    unlock (&c->lock);
  }
}
