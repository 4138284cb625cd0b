/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Writes and flushes, and the write-back buffer or the garbage collection that
 * they show; see fit.h.
 */

#include <config.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "fit-internal.h"
#include "simulate.h"

/* The most that the plugin takes: bytes of buffer-size=, and the factor of
 * collection=.
 */
#define MAX_BUFFER 0x1p62
#define MAX_FACTOR 1000

/* Flushes after the fewest and the most writes of the smallest size. */
struct flushes {
  const struct figures *few, *many;
  double each; /* nanoseconds that a write adds */
};

static void
find_flushes (const struct figures_list *list, struct flushes *r)
{
  const struct figures *f;
  double few, many;
  size_t i;

  memset (r, 0, sizeof *r);
  for (i = 0; i < list->n; i++) {
    f = &list->f[i];
    if (f->cell.kind != LOAD_FLUSH || f->nr_points == 0 || f->is_check ||
        (r->few != NULL && f->cell.size > r->few->cell.size))
      continue;
    if (r->few != NULL && f->cell.size < r->few->cell.size)
      r->few = r->many = NULL;
    if (r->few == NULL || f->cell.n < r->few->cell.n)
      r->few = f;
    if (r->many == NULL || f->cell.n > r->many->cell.n)
      r->many = f;
  }
  if (r->few == NULL)
    return;
  few = figures_percentile (r->few, 50);
  many = figures_percentile (r->many, 50);
  if (r->many != r->few)
    r->each = fmax (0, (many - few) / (r->many->cell.n - r->few->cell.n));
  if (r->each * 20 < few / r->few->cell.n && r->each < 20000)
    r->each = 0;
}

/* What sustained writes show: some bytes are written at one rate, and all that
 * follow at another.
 */
struct sustained {
  double first, last; /* rates, in writes a second; 0: not known */
  double bytes;       /* at the first rate, less those that drain meanwhile */
  double written;     /* bytes at the first rate */
};

/* Bytes that are written at RATE writes a second in a part of SECONDS, and in
 * the ramp before it.
 */
static double
written_in (const struct figures *part, double rate, double seconds)
{
  if (part->cell.n > 1)
    seconds += SUSTAIN_RAMP;
  return rate * seconds * (double) part->cell.size;
}

static void
find_sustained (const struct figures_list *list, double seconds,
                struct sustained *r)
{
  const struct figures *f;
  size_t i;

  memset (r, 0, sizeof *r);
  for (i = 0; i < list->n; i++) {
    f = &list->f[i];
    if (f->cell.kind != LOAD_SUSTAIN || f->iops <= 0 || f->is_check)
      continue;
    if (r->first == 0)
      r->first = f->iops;
    r->last = f->iops;
  }
  if (r->first < r->last * 1.3)
    return;
  for (i = 0; i < list->n; i++) {
    f = &list->f[i];
    if (f->cell.kind == LOAD_SUSTAIN && !f->is_check &&
        f->iops > r->last * 1.1) {
      r->bytes += written_in (f, f->iops - r->last, seconds);
      r->written += written_in (f, f->iops, seconds);
    }
  }
}

/* If flushes do not wait for what is dirty, but sustained writes become slower,
 * the drive collects garbage.  Add the settings of that: a small buffer, from
 * which a write drains more slowly then.  Returns false if there is nothing of
 * that, or if it began after more than SIZE bytes, or before a thousandth of
 * them: collection=after:0 would mean from the first write on.
 */
static bool
add_collection (struct text *t, const struct flushes *flushes,
                const struct sustained *sustained, uint64_t size)
{
  const double share =
      size > 0 ? floor (1000 * sustained->written / (double) size) / 1000 : 1;

  if (flushes->few == NULL || flushes->each > 0 || sustained->bytes == 0 ||
      share >= 1 || share < 0.001)
    return false;
  text_add (t, "buffer-size=1M\ndrain-latency=%" PRIu64 "ns\nplp=true\n",
            rounded (fmin (1e9 / sustained->first, MAX_DURATION)));
  text_add (t, "collection=after:%.3f,factor:%.3f\n", share,
            fmin (sustained->first / sustained->last, MAX_FACTOR));
  return true;
}

/* A write-back buffer, as far as it is known. */
struct buffering {
  double drain; /* nanoseconds a write; 0: there is no buffer */
  double bytes; /* that it has */
  bool is_full; /* at larger depths: their rate is that at which it drains */
  double with_room; /* ns: writes that took no longer found room; 0: all did */
};

/* Were writes of BASE's kind and size measured at depths above 1? */
static bool
is_deep_known (const struct figures_list *list, const struct figures *base)
{
  const struct figures *f;
  size_t i;

  for (i = 0; i < list->n; i++) {
    f = &list->f[i];
    if (f->cell.kind == base->cell.kind && f->cell.size == base->cell.size &&
        f->cell.depth > 1 && f->iops > 0 && !f->is_check)
      return true;
  }
  return false;
}

/* Did at least a fifth of the single writes find the buffer full?  Then each of
 * these took as long as one write takes to drain, and deeper writes have that
 * rate, too: DEEP writes a second.  If only single writes are known, DRAIN has
 * to be about that time, which the flushes tell, in nanoseconds.
 */
static bool
is_filled_alone (const struct figures_list *list, const struct figures *base,
                 double deep, double drain)
{
  const double slow = figures_percentile (base, 80);
  const double by_others =
      is_deep_known (list, base) ? slow * deep / 1e9 : drain / slow;

  return slow > 1.3 * figures_percentile (base, 10) &&
         fabs (by_others - 1) < 0.25;
}

/* Find the write-back buffer, if there is one, in which writes wait to drain.
 * Makes flushes->each what the single writes say, if the flushes differ.
 */
static void
find_buffer (const struct figures_list *list, const struct figures *base,
             struct flushes *flushes, const struct sustained *sustained,
             double seconds, struct buffering *r)
{
  const double slow = figures_percentile (base, 80);
  const double quick = figures_percentile (base, 10);
  const double deep = fit_find_limit (list, base->cell.kind, base->cell.size);
  double more;

  memset (r, 0, sizeof *r);
  /* Writes before a flush drain while those behind them are written. */
  if (flushes->each > 0)
    r->drain = flushes->each + figures_percentile (base, 50);
  if (flushes->each > 0 &&
      is_filled_alone (list, base, deep, flushes->each + quick) &&
      flushes->each + quick < 1.25 * slow) {
    /* If the flushes say something else, some of them were disturbed. */
    if (fabs (flushes->each + quick - slow) > 0.25 * slow)
      flushes->each = slow - quick;
    r->drain = flushes->each + quick;
    r->with_room = (quick + r->drain) / 2;
    more = base->iops - 1e9 / r->drain;
    r->bytes = fmax (1, more * seconds) * (double) base->cell.size;
    r->bytes = fmax (4096, r->bytes);
  }
  if (sustained->bytes > 0) {
    r->bytes = sustained->bytes;
    if (r->drain == 0)
      r->drain = 1e9 / sustained->last;
  }
  if (r->drain == 0)
    return;
  r->drain = fmin (r->drain, MAX_DURATION);
  r->is_full = deep > 0 && deep < 1.3 * 1e9 / r->drain;
  /* Single writes were faster than that and never found it full.  How much it
   * holds is not known: what they write in a minute.
   */
  if (r->bytes == 0 && !r->is_full && base->iops > 1.1 * 1e9 / r->drain)
    r->bytes = base->iops * 60 * (double) base->cell.size;
  if (r->bytes == 0)
    r->bytes = 2.0 * flushes->many->cell.n * (double) flushes->many->cell.size;
}

/* The figures of only those requests that took up to NSEC. */
static struct figures
times_up_to (const struct figures *f, double nsec)
{
  struct figures r = *f;
  size_t i, n = f->nr_points;
  uint32_t above;
  double below;

  while (n > 1 && (double) f->points[n - 1].nsec > nsec)
    n--;
  below = fmax (1, PARTS_PER_WHOLE - (double) f->points[n - 1].above);
  r.nr_points = 0;
  for (i = 0; i < n; i++) {
    above = PARTS_PER_WHOLE -
            10000 * (uint32_t) ((PARTS_PER_WHOLE - f->points[i].above) / below *
                                PARTS_PER_WHOLE / 10000);
    /* Of two percentiles that are rounded to the same one, take the first. */
    if (i == 0 || above < r.points[r.nr_points - 1].above)
      r.points[r.nr_points++] = (struct percentile){above, f->points[i].nsec};
  }
  r.mean = 0;
  return r;
}

/* For a disk whose writes are not seen to drain, add a buffer that is always
 * full: writes do not wait for the arm, and take as long as was measured.
 */
static void
add_full_buffer (struct text *t, const struct figures *base)
{
  char size[32];

  size_format (base->cell.size, size, sizeof size);
  text_add (t, "buffer-size=%s\n", size);
  fit_add_latency (t, "drain-latency", base, 0);
}

/* Add limits; or, if that comes closer to the figures of writes that find no
 * buffer, how much these slow down each other.
 */
static void
add_limits_or_load (struct text *t, const struct figures_list *list,
                    const struct figures *base, bool is_buffered)
{
  static struct text best;
  double least;

  best = *t;
  fit_add_limits (&best, "write", list, base);
  if (!is_buffered) {
    least =
        simulate_list (best.s, list, BIT (base->cell.kind), SIMULATED_REQUESTS);
    if (least > 0.03)
      fit_try_load (t, "write-load-latency", list, base, 0.03, &best, &least);
  }
  *t = best;
}

/* Add the latency of writes that find room, and the buffer that has it, if that
 * is not the small one of a drive that collects garbage.
 */
static void
add_writes (struct text *t, const struct figures_list *list,
            const struct figures *base, const struct buffering *buffer,
            bool is_collected)
{
  const struct figures quick =
      buffer->with_room > 0 ? times_up_to (base, buffer->with_room) : *base;
  char size[32];

  fit_add_latency (t, "write-latency", &quick, 0);
  fit_add_latency (t, "zero-latency", &quick, 0);
  if (buffer->with_room == 0)
    fit_add_sizes (t, "write-size-latency", list, base);
  if (buffer->drain > 0) {
    size_format (rounded (fmin (buffer->bytes, MAX_BUFFER) / 4096) * 4096, size,
                 sizeof size);
    text_add (t, "buffer-size=%s\ndrain-latency=%" PRIu64 "ns\n", size,
              rounded (buffer->drain));
  }
  if (!buffer->is_full)
    add_limits_or_load (t, list, base, buffer->drain > 0 || is_collected);
}

void
fit_writes (struct text *t, const struct figures_list *list,
            const struct drive_facts *drive, bool is_disk)
{
  const struct figures *base = fit_find_base (list, LOAD_RANDWRITE);
  struct buffering buffer = {0};
  struct sustained sustained;
  struct flushes flushes;
  static struct text collection;

  if (base == NULL)
    base = fit_find_base (list, LOAD_WRITE);
  find_flushes (list, &flushes);
  find_sustained (list, drive->part_seconds, &sustained);
  collection.len = 0;
  collection.s[0] = '\0';
  if (base != NULL &&
      !add_collection (&collection, &flushes, &sustained, drive->size))
    find_buffer (list, base, &flushes, &sustained, drive->part_seconds,
                 &buffer);
  if (base != NULL && buffer.drain == 0 && collection.len == 0 && is_disk)
    add_full_buffer (t, base);
  else if (base != NULL) {
    add_writes (t, list, base, &buffer, collection.len > 0);
    text_add (t, "%s", collection.s);
  }
  if (flushes.few != NULL)
    fit_add_latency (t, "flush-latency", flushes.few,
                     buffer.drain > 0 ? flushes.each * flushes.few->cell.n : 0);
}
