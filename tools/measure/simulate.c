/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Puts a load on a device with given settings, on a clock of its own; see
 * simulate.h.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "die.h"
#include "settings/settings.h"
#include "simulate.h"

#define die(...) die_as ("nullblk-measure", __VA_ARGS__)

/* How much memory the machine is said to have.  Nothing is stored. */
#define MEMORY (UINT64_C (1) << 34)

struct simulation {
  struct latency_state state;
  const struct latency_settings *settings;
  struct random random;
  uint64_t size;  /* of the device */
  uint64_t next;  /* offset of a request in sequence */
  uint64_t pause; /* of the client, between two requests */
};

static int
take_line (void *opaque, const char *name, const char *value,
           struct message *why)
{
  return params_set (opaque, name, value, why);
}

static int
take_settings (const char *text, struct params *p, struct message *why)
{
  int r;

  params_init (p);
  r = modelfile_parse (text, take_line, p, why);
  if (r == 0)
    r = params_complete (p, MEMORY, MEMORY, 4096, why);
  if (r < 0)
    params_clear (p);
  return r;
}

/* Begin a request that arrives at NOW.  Returns the moment at which it
 * completes or, if latency_asks says so of BOOKING, at which it asks again.
 */
static uint64_t
serve (struct simulation *sim, enum operation op, bool is_random,
       uint64_t count, uint64_t now, struct latency_booking *booking)
{
  const uint64_t places = sim->size / count;
  struct latency_request r = {
      .op = op, .count = (uint32_t) count, .arrival = now};

  if (op == OP_FLUSH)
    r.count = 0;
  else if (is_random && places > 0)
    r.offset = random_next (&sim->random) % places * count;
  else {
    r.offset = sim->next + count <= sim->size ? sim->next : 0;
    sim->next = r.offset + count;
  }
  return latency_completion (&sim->state, sim->settings, &sim->random, &r,
                             booking);
}

/* Serve a single request.  Returns the moment at which it completes. */
static uint64_t
serve_alone (struct simulation *sim, enum operation op, uint64_t count,
             uint64_t now)
{
  struct latency_booking booking = {0};

  now = serve (sim, op, true, count, now, &booking);
  while (latency_asks (&booking))
    now = latency_ask (&sim->state, sim->settings, &booking, now);
  return now;
}

/* Serve requests with as many in flight as the cell has.  The first ones, which
 * find the device idle, are skipped; TIMES become those of the N that follow.
 * Returns how long these took together.
 */
static uint64_t
run_load (struct simulation *sim, const struct cell *cell, uint64_t *times,
          unsigned n, uint64_t start)
{
  const enum operation op = kind_reads (cell->kind) ? OP_READ : OP_WRITE;
  const bool is_random = cell->kind != LOAD_READ && cell->kind != LOAD_WRITE;
  const unsigned skipped = 2 * cell->depth;
  static uint64_t began[MAX_DEPTH], ends[MAX_DEPTH];
  static struct latency_booking bookings[MAX_DEPTH];
  uint64_t now = start;
  unsigned i, j, first;

  memset (bookings, 0, sizeof bookings);
  for (j = 0; j < cell->depth; j++) {
    began[j] = start;
    ends[j] = serve (sim, op, is_random, cell->size, start, &bookings[j]);
  }
  for (i = 0; i < skipped + n;) {
    /* If one request completes and another asks at the same moment, the latter
     * goes first, as the client needs some time to send its next request.
     */
    first = 0;
    for (j = 1; j < cell->depth; j++) {
      if (ends[j] < ends[first] ||
          (ends[j] == ends[first] && latency_asks (&bookings[j])))
        first = j;
    }
    now = ends[first];
    if (latency_asks (&bookings[first])) {
      ends[first] =
          latency_ask (&sim->state, sim->settings, &bookings[first], now);
      continue;
    }
    if (i < skipped)
      start = now;
    else
      times[i - skipped] = now - began[first];
    began[first] = now + sim->pause;
    ends[first] =
        serve (sim, op, is_random, cell->size, began[first], &bookings[first]);
    i++;
  }
  return now - start;
}

static uint64_t
run_flushes (struct simulation *sim, const struct cell *cell, uint64_t *times,
             unsigned n, uint64_t start)
{
  uint64_t now = start, done;
  unsigned i, j;

  for (i = 0; i < n; i++) {
    for (j = 0; j < cell->n; j++)
      now = serve_alone (sim, OP_WRITE, cell->size, now);
    done = serve_alone (sim, OP_FLUSH, cell->size, now);
    times[i] = done - now;
    now = done;
  }
  return now - start;
}

static int
compare (const void *a, const void *b)
{
  const uint64_t *x = a, *y = b;

  return *x < *y ? -1 : *x > *y;
}

static void
summarize (uint64_t *times, unsigned n, uint64_t nsec, struct figures *f)
{
  static const uint32_t above[] = {
      PARTS_PER_WHOLE, 990000000, 900000000, 750000000, 500000000,
      250000000,       100000000, 10000000,  1000000,   0};
  uint64_t sum = 0, place;
  unsigned i;

  for (i = 0; i < n; i++)
    sum += times[i];
  qsort (times, n, sizeof *times, compare);
  f->mean = (double) sum / n;
  f->iops = nsec > 0 ? 1e9 * n / (double) nsec : 0;
  for (i = 0; i < sizeof above / sizeof above[0]; i++) {
    place = (uint64_t) n * (PARTS_PER_WHOLE - above[i]) / PARTS_PER_WHOLE;
    f->points[i].above = above[i];
    f->points[i].nsec = times[place < n ? place : n - 1];
  }
  f->nr_points = i;
}

int
simulate (const char *settings, const struct cell *cell, uint64_t pause,
          unsigned requests, uint64_t seed, struct figures *f,
          struct message *why)
{
  const uint64_t start = NSEC_PER_SEC;
  uint64_t *times = calloc (requests, sizeof *times), nsec;
  static struct params p;
  static struct simulation sim;
  int r;

  memset (f, 0, sizeof *f);
  memset (&sim, 0, sizeof sim);
  f->cell = *cell;
  if (times == NULL)
    die ("%s", strerror (errno));
  r = take_settings (settings, &p, why);
  if (r == -ENOMEM)
    die ("%s", strerror (ENOMEM));
  if (r < 0) {
    free (times);
    return r;
  }
  sim.settings = &p.settings.latency;
  sim.pause = pause;
  sim.size = p.settings.size;
  random_init (&sim.random, seed, 0);
  r = latency_init (&sim.state, start);
  if (r < 0)
    die ("%s", strerror (-r));
  if (cell->kind == LOAD_SUSTAIN && cell->n > 1)
    sim.state.drive.collection.used = p.settings.size;
  if (cell->kind == LOAD_FLUSH)
    nsec = run_flushes (&sim, cell, times, requests, start);
  else
    nsec = run_load (&sim, cell, times, requests, start);
  summarize (times, requests, nsec, f);
  latency_destroy (&sim.state);
  params_clear (&p);
  free (times);
  return 0;
}

uint64_t
client_pause (const struct figures_list *list, const struct cell *cell)
{
  const struct figures *f = figures_find (list, cell);
  struct cell alone = *cell;
  double nsec;

  alone.depth = 1;
  if (f == NULL || f->iops <= 0 || f->mean <= 0)
    f = figures_find (list, &alone);
  if (f == NULL || f->iops <= 0 || f->mean <= 0)
    return 0;
  nsec = f->cell.depth * 1e9 / f->iops - f->mean;
  return nsec > 0 ? (uint64_t) nsec : 0;
}

/*---------------------------------------------------------------------*/

static double
share (double simulated, double measured)
{
  return simulated > 0 && measured > 0 ? simulated / measured - 1 : 0;
}

struct distance
distance_of (const struct figures *simulated, const struct figures *measured)
{
  struct distance r = {
      .p50 = share (figures_percentile (simulated, 50),
                    figures_percentile (measured, 50)),
      .p99 = share (figures_percentile (simulated, 99),
                    figures_percentile (measured, 99)),
      .rate = simulated->cell.kind == LOAD_FLUSH
                  ? 0
                  : share (simulated->iops, measured->iops),
  };

  return r;
}

/* Returns the same for twice as much as for half as much. */
static double
penalty (double distance)
{
  return distance < 0 ? -distance / (1 + distance) : distance;
}

double
simulate_list (const char *settings, const struct figures_list *list,
               unsigned kinds, unsigned requests)
{
  struct distance d;
  struct message why;
  struct figures f;
  double sum = 0;
  size_t i, n = 0;

  for (i = 0; i < list->n; i++) {
    if ((kinds >> list->f[i].cell.kind & 1) == 0 || list->f[i].is_check)
      continue;
    if (simulate (settings, &list->f[i].cell,
                  client_pause (list, &list->f[i].cell), requests, 1, &f,
                  &why) < 0)
      return -1;
    d = distance_of (&f, &list->f[i]);
    sum += penalty (d.p50) + penalty (d.rate) + penalty (d.p99) / 3;
    if (list->f[i].nr_points > 0 && list->f[i].points[0].above >= 900000000)
      sum += penalty (share (figures_percentile (&f, 10),
                             figures_percentile (&list->f[i], 10))) /
             3;
    n++;
  }
  return n > 0 ? sum / (double) n : 0;
}
