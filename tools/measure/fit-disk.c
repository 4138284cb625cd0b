/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Disks: the settings of disk= (seek, rotational speed, queue) with which reads
 * take as long as was measured; see fit.h.
 */

#include <config.h>

#include <inttypes.h>
#include <math.h>

#include "fit-internal.h"
#include "simulate.h"

/* No drive without an arm and a platter is so slow and so even.  That the
 * kernel calls it rotational is not enough: it says that of virtual drives,
 * too.
 */
bool
fit_is_disk (const struct drive_facts *drive, const struct figures *base)
{
  const double median = figures_percentile (base, 50);

  if (drive->rotational && median > 2e6)
    return true;
  return median > 3e6 && figures_percentile (base, 99) < 3 * median &&
         figures_percentile (base, 1) < 0.7 * median;
}

/* The values of disk=. */
struct shape {
  double track, full; /* nanoseconds */
  double mbps;
  unsigned rpm, queue, from;
};

/* Make T the settings of BEFORE and those of D. */
static void
add_disk (struct text *t, const struct text *before, const struct shape *d)
{
  t->len = 0;
  text_add (t, "%s", before->s);
  text_add (t,
            "disk=track:%" PRIu64 "us,full:%" PRIu64 "us,rpm:%u,mbps:%" PRIu64,
            rounded (d->track / 1000), rounded (d->full / 1000), d->rpm,
            rounded (d->mbps));
  if (d->queue > 1)
    text_add (t, ",queue:%u", d->queue);
  if (d->from > 1)
    text_add (t, ",from:%u", d->from);
  text_add (t, "\n");
}

/* Find the seek and the rotational speed with which the times of single reads
 * come closest to BASE.  Returns their distance (simulate_list), or a negative
 * number if there are none.
 */
static double
try_seeks (const struct text *before, const struct figures *base,
           struct shape *best)
{
  static const unsigned rpms[] = {5400, 5900, 7200, 10000, 15000};
  struct figures copy = *base;
  const struct figures_list alone = {.f = &copy, .n = 1};
  const double mean =
      base->mean > 0 ? base->mean : figures_percentile (base, 50);
  struct shape d = *best;
  static struct text one;
  double least = -1, distance, seek;
  unsigned i, j;

  for (i = 0; i < sizeof rpms / sizeof rpms[0]; i++) {
    seek =
        mean - 30e9 / rpms[i] - (double) base->cell.size / d.mbps / MIB * 1e9;
    for (j = 0; j < 10 && seek >= 0.2e6; j++) {
      d.rpm = rpms[i];
      d.track = j * seek / 12 + seek / 24;
      /* A seek takes the square root of the way.  The mean of that over all
       * ways is 8/15 from track to full.
       */
      d.full = d.track + (seek - d.track) * 15 / 8;
      add_disk (&one, before, &d);
      distance = simulate_list (one.s, &alone, BIT (LOAD_RANDREAD),
                                2 * SIMULATED_REQUESTS);
      if (distance >= 0 && (least < 0 || distance < least)) {
        least = distance;
        *best = d;
      }
    }
  }
  return least;
}

/* Find the queue with which reads of all depths come closest to the figures. */
static void
try_queues (const struct text *before, const struct figures_list *list,
            struct shape *best)
{
  static const unsigned queues[] = {1, 2, 4, 8, 16, 32, 64};
  static const unsigned froms[] = {1, 4, 8};
  struct shape d = *best;
  static struct text one;
  double least = -1, distance;
  unsigned i, j;

  for (i = 0; i < sizeof queues / sizeof queues[0]; i++) {
    for (j = 0; j < sizeof froms / sizeof froms[0] && froms[j] <= queues[i];
         j++) {
      d.queue = queues[i];
      d.from = froms[j];
      add_disk (&one, before, &d);
      distance =
          simulate_list (one.s, list, BIT (LOAD_RANDREAD), SIMULATED_REQUESTS);
      if (distance >= 0 && (least < 0 || distance < least - 0.005)) {
        least = distance;
        *best = d;
      }
    }
  }
}

bool
fit_disk (struct text *t, const struct figures_list *list,
          const struct figures *base)
{
  struct shape d = {.mbps = 150};
  static struct text before;
  size_t i;

  for (i = 0; i < list->n; i++) {
    if (list->f[i].cell.kind == LOAD_READ && list->f[i].iops > 0 &&
        list->f[i].cell.size >= 65536)
      d.mbps = fmax (
          1, fmin (MAX_BYTES_PER_SEC / MIB, figures_rate (&list->f[i]) / MIB));
  }
  before = *t;
  if (try_seeks (&before, base, &d) < 0)
    return false;
  try_queues (&before, list, &d);
  add_disk (t, &before, &d);
  return true;
}
