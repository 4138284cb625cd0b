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

void
fit_add_sizes (struct text *t, const char *name,
               const struct figures_list *list, const struct figures *base)
{
  const double median = figures_percentile (base, 50);
  const size_t most = MAX_SIZE_POINTS - 1; /* beside that of BASE */
  const struct figures *f;
  char size[32], line[800];
  double more, before = 0;
  size_t i, used, all = 0, n = 0;

  for (i = 0; i < list->n; i++)
    all += is_larger (&list->f[i], base);
  size_format (base->cell.size, size, sizeof size);
  used = (size_t) snprintf (line, sizeof line, "%s:0", size);
  for (i = 0; i < list->n; i++) {
    f = &list->f[i];
    if (!is_larger (f, base))
      continue;
    n++;
    /* Take `most` of `all` sizes, evenly, and among them the last. */
    if (all > most && n * most / all == (n - 1) * most / all)
      continue;
    more = fmax (figures_percentile (f, 50) - median, before);
    size_format (f->cell.size, size, sizeof size);
    used += (size_t) snprintf (line + used, sizeof line - used,
                               ",%s:%" PRIu64 "ns", size, rounded (more));
    before = more;
  }
  if (before > 0)
    text_add (t, "%s=%s\n", name, line);
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
