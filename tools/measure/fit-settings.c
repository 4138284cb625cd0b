/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Settings as text, and those that can be read off the figures: latencies,
 * sizes and limits; see fit-internal.h.
 */

#include <config.h>

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "fit-internal.h"
#include "simulate.h"

void
text_add (struct text *t, const char *fs, ...)
{
  const size_t room = sizeof t->s - t->len;
  va_list args;
  int n;

  va_start (args, fs);
  n = vsnprintf (t->s + t->len, room, fs, args);
  va_end (args);
  if (n >= 0 && (size_t) n < room)
    t->len += (size_t) n;
  t->s[t->len] = '\0';
}

uint64_t
rounded (double n)
{
  return n >= 0x1p63 ? UINT64_C (1) << 63 : n > 0 ? (uint64_t) (n + 0.5) : 0;
}

/*---------------------------------------------------------------------*/
/* What is in the figures */

const struct figures *
fit_find_base (const struct figures_list *list, enum load_kind kind)
{
  const struct figures *r = NULL, *f;
  size_t i;

  for (i = 0; i < list->n; i++) {
    f = &list->f[i];
    if (f->cell.kind == kind && f->cell.depth == 1 && f->nr_points > 0 &&
        !f->is_check && (r == NULL || f->cell.size < r->cell.size))
      r = f;
  }
  return r;
}

double
fit_find_limit (const struct figures_list *list, enum load_kind kind,
                uint64_t size)
{
  const struct figures *deep = NULL, *before = NULL, *alone = NULL, *f;
  bool is_flat, is_far;
  size_t i;

  for (i = 0; i < list->n; i++) {
    f = &list->f[i];
    if (f->cell.kind != kind || f->cell.size != size || f->iops <= 0 ||
        f->is_check)
      continue;
    if (deep == NULL || f->cell.depth > deep->cell.depth)
      deep = f;
    if (f->cell.depth == 1)
      alone = f;
  }
  for (i = 0; deep != NULL && i < list->n; i++) {
    f = &list->f[i];
    if (f->cell.kind == kind && f->cell.size == size && f->iops > 0 &&
        !f->is_check && f->cell.depth * 2 <= deep->cell.depth &&
        (before == NULL || f->cell.depth > before->cell.depth))
      before = f;
  }
  if (before == NULL)
    return 0;
  is_flat =
      deep->iops <= before->iops * pow (1.25, log2 ((double) deep->cell.depth /
                                                    before->cell.depth));
  is_far = alone != NULL && deep->iops < 0.5 * deep->cell.depth * alone->iops;
  return is_flat || is_far ? fmax (deep->iops, before->iops) : 0;
}

static uint64_t
largest_size (const struct figures_list *list, enum load_kind kind)
{
  uint64_t r = 0;
  size_t i;

  for (i = 0; i < list->n; i++) {
    if (list->f[i].cell.kind == kind && !list->f[i].is_check)
      r = max (r, list->f[i].cell.size);
  }
  return r;
}

/*---------------------------------------------------------------------*/
/* Single requests */

/* NAME=percentiles:..., of N points from FIRST on, each LESS nanoseconds
 * shorter.
 */
static void
add_percentiles (struct text *t, const char *name, const struct percentile *p,
                 size_t n, double less)
{
  char percent[32];
  size_t i;

  text_add (t, "%s=percentiles:", name);
  for (i = 0; i < n; i++) {
    percent_format (p[i].above, percent, sizeof percent);
    text_add (t, "%sp%s=%" PRIu64 "ns", i > 0 ? "," : "", percent,
              rounded ((double) p[i].nsec - less));
  }
  text_add (t, "\n");
}

/* The mean of the times that the plugin draws from N points; 0 if it refuses
 * them.
 */
static double
mean_of (const struct percentile *p, size_t n)
{
  static const struct cell alone = {LOAD_RANDREAD, 4096, 1, 0};
  static struct text t;
  struct message why;
  struct figures f;

  t.len = 0;
  add_percentiles (&t, "latency", p, n, 0);
  return simulate (t.s, &alone, 0, 10 * SIMULATED_REQUESTS, 1, &f, &why) == 0
             ? f.mean
             : 0;
}

void
fit_add_latency (struct text *t, const char *name, const struct figures *f,
                 double less)
{
  const struct percentile *p = f->points;
  size_t n = f->nr_points;

  if (n > 1 && p[n - 1].above == 0 && f->mean > 0 &&
      mean_of (p, n) > 1.05 * f->mean)
    n--;
  if (n > 1 && p[0].above == PARTS_PER_WHOLE && f->mean > 0 &&
      mean_of (p, n) < 0.95 * f->mean) {
    p++;
    n--;
  }
  add_percentiles (t, name, p, n, less);
}

/* Is F of single requests of the kind of BASE that are larger? */
static bool
is_larger (const struct figures *f, const struct figures *base)
{
  return f->cell.kind == base->cell.kind && f->cell.depth == 1 &&
         !f->is_check && f->nr_points > 0 && f->cell.size > base->cell.size;
}

/* What is said of requests of a size, in nanoseconds, by F, whose depth is 1;
 * below 0: nothing.
 */
typedef double value_of_size (const struct figures_list *list,
                              const struct figures *f,
                              const struct figures *base);

/* Add NAME=SIZE:DURATION,... for BASE and what is larger; or NAME=DURATION if
 * only one size is known.  If there are more sizes than the plugin takes, some
 * are left out, evenly, but neither the smallest nor the largest.  Returns
 * false, and adds nothing, if all is 0.
 */
static bool
add_by_size (struct text *t, const char *name, const struct figures_list *list,
             const struct figures *base, value_of_size *value)
{
  const bool has_base = value (list, base, base) >= 0;
  const size_t most = MAX_SIZE_POINTS - has_base;
  double before = 0, nsec;
  size_t i, used = 0, all = 0, n = 0;
  char size[32], line[800];
  const struct figures *f;

  for (i = 0; i < list->n; i++)
    all +=
        is_larger (&list->f[i], base) && value (list, &list->f[i], base) >= 0;
  line[0] = '\0';
  for (i = 0; i < list->n; i++) {
    f = &list->f[i];
    nsec = f == base || is_larger (f, base) ? value (list, f, base) : -1;
    if (nsec < 0)
      continue;
    n += f != base;
    if (f != base && all > most && n * most / all == (n - 1) * most / all)
      continue;
    before = fmin (fmax (nsec, before), MAX_DURATION);
    size_format (f->cell.size, size, sizeof size);
    if (all + has_base > 1)
      used += (size_t) snprintf (line + used, sizeof line - used,
                                 "%s%s:", used > 0 ? "," : "", size);
    used +=
        (size_t) snprintf (line + used, sizeof line - used, "%" PRIu64 "%s",
                           rounded (before), rounded (before) > 0 ? "ns" : "");
  }
  if (rounded (before) > 0)
    text_add (t, "%s=%s\n", name, line);
  return rounded (before) > 0;
}

/* How much longer than BASE it takes. */
static double
longer (const struct figures_list *list, const struct figures *f,
        const struct figures *base)
{
  (void) list;
  return fmax (0, figures_percentile (f, 50) - figures_percentile (base, 50));
}

void
fit_add_sizes (struct text *t, const char *name,
               const struct figures_list *list, const struct figures *base)
{
  add_by_size (t, name, list, base, longer);
}

/* How much longer it takes for each further one at a time: the slope of the
 * line through its median that has the least squares of relative errors at
 * larger depths.
 */
static double
slope (const struct figures_list *list, const struct figures *alone,
       const struct figures *base)
{
  const double median = figures_percentile (alone, 50);
  const struct figures *f;
  double sum = 0, squares = 0, p50, more;
  size_t i;

  (void) base;
  for (i = 0; i < list->n; i++) {
    f = &list->f[i];
    p50 = figures_percentile (f, 50);
    if (f->cell.kind != alone->cell.kind || f->cell.size != alone->cell.size ||
        f->cell.depth <= 1 || f->is_check || p50 <= 0)
      continue;
    more = (f->cell.depth - 1) / p50;
    sum += more * (1 - median / p50);
    squares += more * more;
  }
  return squares > 0 ? fmax (0, sum / squares) : -1;
}

void
fit_try_load (const struct text *t, const char *name,
              const struct figures_list *list, const struct figures *base,
              double worth, struct text *best, double *least)
{
  static struct text tried;
  double distance;

  tried = *t;
  if (!add_by_size (&tried, name, list, base, slope))
    return;
  distance =
      simulate_list (tried.s, list, BIT (base->cell.kind), SIMULATED_REQUESTS);
  if (distance < 0 || distance >= *least - worth)
    return;
  *least = distance;
  *best = tried;
}

void
fit_add_limits (struct text *t, const char *name,
                const struct figures_list *list, const struct figures *base)
{
  const enum load_kind kind = base->cell.kind;
  const uint64_t size = largest_size (list, kind);
  double iops = fit_find_limit (list, kind, base->cell.size), rate = 0;

  if (size > base->cell.size) {
    rate = fit_find_limit (list, kind, size) * (double) size;
    if (iops > 0 && rate > 0.8 * iops * (double) size)
      rate = 0;
  }
  /* The plugin takes no higher limits, which would limit nothing. */
  if (iops >= 1 && iops <= MAX_OPERATIONS_PER_SEC)
    text_add (t, "%s-iops=%" PRIu64 "\n", name, rounded (iops));
  if (rate >= MIB && rate <= MAX_BYTES_PER_SEC)
    text_add (t, "%s-mbps=%" PRIu64 "\n", name, rounded (rate / MIB));
}
