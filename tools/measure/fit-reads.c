/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Reads: a latency, latencies by size and limits; with the dies of an SSD, if
 * these come closer; and burst credits; see fit.h.
 */

#include <config.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "fit-internal.h"
#include "simulate.h"

/* The most burst credits that the plugin takes. */
#define MAX_CREDITS 0x1p50

/* What is the same for all dies that are tried. */
struct tried {
  const struct text *text; /* the other settings */
  const struct figures_list *list;
  const struct figures *base;
};

/* Try NR dies, where SHARE of the time of a read is that of a die.  If that
 * comes closer than *LEAST by more than WORTH, *LEAST and *BEST become its
 * distance and settings, and true is returned.
 */
static bool
try_these_dies (const struct tried *from, unsigned nr, double share,
                double worth, struct text *best, double *least)
{
  const double read = floor (figures_percentile (from->base, 50) * share);
  static struct text t;
  double distance;
  char size[32];

  t.len = 0;
  text_add (&t, "%s", from->text->s);
  size_format (max (from->base->cell.size, UINT64_C (4096)), size, sizeof size);
  fit_add_latency (&t, "read-latency", from->base, read);
  text_add (&t, "flash=dies:%u,page:%s,read:%" PRIu64 "ns\n", nr, size,
            rounded (read));
  distance =
      simulate_list (t.s, from->list, BIT (LOAD_RANDREAD), SIMULATED_REQUESTS);
  if (distance < 0 || distance >= *least - worth)
    return false;
  *least = distance;
  *best = t;
  return true;
}

/* Try some numbers of dies, and shares of a read that a die takes: coarse ones
 * first, and then some near the best.  TEXT has the other settings.  If one
 * comes closer than *LEAST by more than WORTH, *LEAST and *BEST become those of
 * the closest.
 */
static void
try_dies (const struct text *text, const struct figures_list *list,
          const struct figures *base, double worth, struct text *best,
          double *least)
{
  static const double shares[] = {0.3, 0.45, 0.6, 0.75, 0.9};
  static const double near[] = {-0.1, -0.05, 0.05, 0.1};
  static const unsigned dies[] = {4, 8, 16, 32, 64, 128};
  const struct tried from = {text, list, base};
  unsigned i, j, nr = 0;
  double found = 0;

  for (i = 0; i < sizeof dies / sizeof dies[0]; i++) {
    for (j = 0; j < sizeof shares / sizeof shares[0]; j++) {
      if (try_these_dies (&from, dies[i], shares[j], worth, best, least)) {
        nr = dies[i];
        found = shares[j];
        worth = 0;
      }
    }
  }
  for (j = 0; nr != 0 && j < sizeof near / sizeof near[0]; j++)
    try_these_dies (&from, nr, found + near[j], 0, best, least);
}

void
fit_reads (struct text *t, const struct figures_list *list)
{
  static struct text plain, unlimited, best, alone;
  const struct figures *base = fit_find_base (list, LOAD_RANDREAD);
  double least;

  if (base == NULL)
    base = fit_find_base (list, LOAD_READ);
  if (base == NULL)
    return;
  plain.len = 0;
  text_add (&plain, "%s", t->s);
  fit_add_sizes (&plain, "read-size-latency", list, base);
  unlimited = plain;
  fit_add_limits (&plain, "read", list, base);
  best = plain;
  fit_add_latency (&best, "read-latency", base, 0);
  least = simulate_list (best.s, list, BIT (LOAD_RANDREAD), SIMULATED_REQUESTS);
  /* What looks like a limit may be that reads slow down each other. */
  alone = unlimited;
  fit_add_latency (&alone, "read-latency", base, 0);
  if (least > 0.03)
    fit_try_load (&alone, "read-load-latency", list, base, 0.03, &best, &least);
  if (least > 0.03)
    try_dies (&plain, list, base, 0.03, &best, &least);
  /* What looks like a limit may be what the dies can do. */
  if (least > 0.03 && unlimited.len < plain.len)
    try_dies (&unlimited, list, base, 0, &best, &least);
  *t = best;
}

/*---------------------------------------------------------------------*/

/* Sustained reads that went on at one rate, and then at another. */
struct burst {
  double first, last; /* reads a second */
  double most;        /* of a part, reads a second */
  uint64_t size;      /* of a read */
  unsigned depth;
  unsigned slow; /* parts at the last rate */
  bool is_sure;  /* the first rate is not one of a part of which only the
                  * beginning was fast */
};

/* Finds a burst in the rates of LIST.  Returns false if there is none, as when
 * rates go up and down or fall little by little.  Only one part may have a rate
 * between the two, and the last rate needs two parts.
 */
static bool
find_burst (const struct figures_list *list, struct burst *b)
{
  const struct figures *f;
  unsigned parts = 0, between = 0;
  double second = 0;
  size_t i;

  memset (b, 0, sizeof *b);
  for (i = 0; i < list->n; i++) {
    f = &list->f[i];
    if (f->cell.kind == LOAD_SUSTAINREAD && f->iops > 0 && !f->is_check) {
      b->first = parts == 0 ? f->iops : b->first;
      second = parts++ == 1 ? f->iops : second;
      b->last = f->iops;
      b->most = fmax (b->most, f->iops);
      b->size = f->cell.size;
      b->depth = f->cell.depth;
    }
  }
  for (i = 0; i < list->n; i++) {
    f = &list->f[i];
    if (f->cell.kind != LOAD_SUSTAINREAD || f->iops <= 0 || f->is_check)
      continue;
    if (fabs (f->iops / b->last - 1) < 0.1)
      b->slow++;
    else if (b->slow > 0)
      return false;
    else {
      between += fabs (f->iops / b->first - 1) >= 0.1;
      if (between > 1 || (between == 1 && f->iops >= 0.9 * b->first))
        return false;
    }
  }
  /* If the second part was fast, too, all of the first was. */
  b->is_sure = second > SUSTAIN_FALL * b->last;
  return b->slow > 1 && b->first > SUSTAIN_FALL * b->last;
}

/* The most operations a second that random loads of KIND and SIZE reached at
 * depths up to DEPTH; 0 if there are none.
 */
static double
find_most (const struct figures_list *list, enum load_kind kind, uint64_t size,
           unsigned depth)
{
  double most = 0;
  size_t i;

  for (i = 0; i < list->n; i++) {
    if (list->f[i].cell.kind == kind && list->f[i].cell.size == size &&
        list->f[i].cell.depth <= depth && !list->f[i].is_check)
      most = fmax (most, list->f[i].iops);
  }
  return most;
}

/* Nothing that spends credits is faster than the burst, so the highest rate of
 * reads of that size is nearest to it.  If credits ran out in the first part,
 * it is the burst itself only if three loads have that rate: two may be one
 * that would be faster at a larger depth, and one whose credits ran out.
 */
static void
find_first (const struct figures_list *list, struct burst *b)
{
  unsigned near = 0;
  size_t i;

  b->first =
      fmax (b->first, find_most (list, LOAD_RANDREAD, b->size, MAX_DEPTH));
  for (i = 0; i < list->n; i++)
    near += list->f[i].cell.kind == LOAD_RANDREAD &&
            list->f[i].cell.size == b->size && !list->f[i].is_check &&
            list->f[i].iops > 0.9 * b->first;
  b->is_sure = b->is_sure || near > 2;
}

/* Were the credits spent before the sustained reads?  These were never as fast
 * as random reads of that size with no more at a time, whose rate becomes the
 * first one then.
 */
static bool
were_spent (const struct figures_list *list, struct burst *b)
{
  b->first = find_most (list, LOAD_RANDREAD, b->size, b->depth);
  return b->slow > 1 && b->first > SUSTAIN_FALL * b->most;
}

/* Returns how many operations a second a load had; 0 if it is not known.  fio
 * gives no rate of flushes: how long the writes between two of them took, one
 * at a time, is known of random writes.
 */
static double
rate_of (const struct figures_list *list, const struct figures *f)
{
  const struct cell write = {LOAD_RANDWRITE, f->cell.size, 1, 0};
  const struct figures *w;
  double flush;

  if (f->cell.kind != LOAD_FLUSH)
    return f->iops;
  w = figures_find (list, &write);
  flush = f->mean > 0 ? f->mean : figures_percentile (f, 50);
  if (w == NULL || w->is_check || w->iops <= 0 || flush <= 0)
    return 0;
  return f->cell.n / (f->cell.n / w->iops + flush / 1e9);
}

/* Returns the rate at which credits come in.  In the time that the drive rests
 * before a part more come in than the ramp spends, if the burst is not much
 * faster.  These are spent in what is counted, whose rate is higher by them.
 */
static double
base_of (const struct burst *b, const struct drive_facts *drive)
{
  const double before = drive->rest_seconds + SUSTAIN_RAMP;

  return b->last * before > b->first * SUSTAIN_RAMP
             ? (b->last * drive->part_seconds + b->first * SUSTAIN_RAMP) /
                   (drive->part_seconds + before)
             : b->last;
}

/* How many credits the sustained reads have spent, less what came in before
 * each part but the first.  If any are left in what is counted of a part, they
 * have lasted until then.
 */
static double
spent_in_parts (const struct figures_list *list,
                const struct drive_facts *drive, const struct burst *b,
                double base)
{
  const struct figures *f;
  double r = 0;
  size_t i;

  for (i = 0; i < list->n; i++) {
    f = &list->f[i];
    if (f->cell.kind != LOAD_SUSTAINREAD || f->iops <= 0 || f->is_check ||
        fabs (f->iops / b->last - 1) < 0.1)
      continue;
    r += (f->iops - base) * drive->part_seconds;
    if (f->cell.n > 1)
      r += (b->first - base) * SUSTAIN_RAMP - base * drive->rest_seconds;
  }
  return r;
}

/* How many credits were missing when the sustained reads began, if none was
 * before all other loads.  These are taken in the order in which they were
 * measured: all of them in each round, each with its median rate.  Loads that
 * are slower than BASE give credits back, and so does the time in which fio is
 * started.  A load whose rate is not known does neither.  How many operations a
 * large request counts as is not known: it counts as one.
 */
static double
spent_before (const struct figures_list *list, const struct drive_facts *drive,
              const struct burst *b, double base)
{
  static const enum load_kind order[] = {
      LOAD_RANDREAD, LOAD_READ, LOAD_RANDWRITE, LOAD_WRITE, LOAD_FLUSH};
  const size_t nr_kinds = sizeof order / sizeof order[0];
  const struct figures *f;
  double r = 0, rate;
  size_t i, k;

  for (k = 0; k < drive->rounds * nr_kinds; k++) {
    for (i = 0; i < list->n; i++) {
      f = &list->f[i];
      if (f->cell.kind != order[k % nr_kinds] || f->is_check)
        continue;
      rate = rate_of (list, f);
      if (rate > 0)
        r = fmax (0, r + (fmin (rate, b->first) - base) * drive->round_seconds -
                         base * drive->rest_seconds);
    }
  }
  return r;
}

/* Say in the model why it has no credits. */
static void
add_reason (struct text *t, const struct burst *b, bool is_resumed, bool spent)
{
  char why[200];

  if (is_resumed)
    strcpy (why, "the measurement was interrupted, and what was spent before "
                 "is not known.");
  else if (spent)
    snprintf (why, sizeof why,
              "they began with no more, though random reads had up to "
              "%" PRIu64 ":\n# loads before may have spent the credits.",
              rounded (b->first));
  else
    strcpy (why, "no three loads before agree, so the burst is not known.\n"
                 "# More --depths, or fewer --seconds, may show it.");
  text_add (t,
            "# Sustained reads ended at %" PRIu64
            " a second, but there is no iops-credits:\n# %s\n",
            rounded (b->last), why);
}

/* A volume of a cloud has credits, and writes spend them, too: where these are
 * faster than the burst they are no such credits.
 */
void
fit_credits (struct text *t, const struct figures_list *list,
             const struct drive_facts *drive)
{
  struct burst b;
  double spent, base;
  bool none_left = false;

  if (find_burst (list, &b))
    find_first (list, &b);
  else if (were_spent (list, &b))
    none_left = true;
  else
    return;
  if (b.last < 1 || b.first > MAX_OPERATIONS_PER_SEC ||
      find_most (list, LOAD_RANDWRITE, b.size, MAX_DEPTH) > 1.3 * b.first)
    return;
  if (none_left || !b.is_sure || drive->is_resumed) {
    add_reason (t, &b, drive->is_resumed, none_left);
    return;
  }
  base = base_of (&b, drive);
  spent = spent_in_parts (list, drive, &b, base);
  if (base < 1 || spent < 1)
    return;
  spent += spent_before (list, drive, &b, base);
  text_add (
      t, "iops-credits=base:%" PRIu64 ",burst:%" PRIu64 ",bucket:%" PRIu64 "\n",
      rounded (base), rounded (b.first), rounded (fmin (spent, MAX_CREDITS)));
}
