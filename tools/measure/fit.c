/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * How settings are found; see fit.h.
 *
 * The distribution of a request that is alone (the smallest size at depth 1)
 * becomes a latency as it is, and a rate that does not grow with the depth any
 * more a limit.  Flushes after several numbers of writes lie on a line: what a
 * write adds is what it takes to drain, and the rest the flush itself.
 */

#include <config.h>

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "fit.h"
#include "simulate.h"

/* Requests of a cell in a simulation: p99 of so many is good to some percent.
 */
#define REQUESTS 2000

#define MIB 1048576.0

#define ALL 1000000000 /* parts of a billion: struct percentile */

/* Settings as text, which is what a simulation takes. */
struct text {
  char s[16384];
  size_t len;
};

static void __attribute__ ((format (printf, 2, 3)))
add (struct text *t, const char *fs, ...)
{
  const size_t room = sizeof t->s - t->len;
  va_list args;
  int n;

  va_start (args, fs);
  n = vsnprintf (t->s + t->len, room, fs, args);
  va_end (args);
  /* What does not fit would be half a line. */
  if (n >= 0 && (size_t) n < room)
    t->len += (size_t) n;
  t->s[t->len] = '\0';
}

static uint64_t
whole (double n)
{
  return n > 0 ? (uint64_t) (n + 0.5) : 0;
}

/*---------------------------------------------------------------------*/
/* What is in the figures */

/* The figures of this kind with the smallest size at depth 1. */
static const struct figures *
find_base (const struct figures_list *list, enum kind kind)
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

/* The most that passes of requests of a size, where twice the depth hardly
 * brings more; 0 where that is not seen.
 */
static double
find_limit (const struct figures_list *list, enum kind kind, uint64_t size)
{
  const struct figures *deep = NULL, *before = NULL, *f;
  size_t i;

  for (i = 0; i < list->n; i++) {
    f = &list->f[i];
    if (f->cell.kind == kind && f->cell.size == size && f->iops > 0 &&
        !f->is_check && (deep == NULL || f->cell.depth > deep->cell.depth))
      deep = f;
  }
  for (i = 0; deep != NULL && i < list->n; i++) {
    f = &list->f[i];
    if (f->cell.kind == kind && f->cell.size == size && f->iops > 0 &&
        !f->is_check && f->cell.depth * 2 <= deep->cell.depth &&
        (before == NULL || f->cell.depth > before->cell.depth))
      before = f;
  }
  if (before == NULL || deep->iops > before->iops * 1.25)
    return 0;
  return fmax (deep->iops, before->iops);
}

static uint64_t
largest_size (const struct figures_list *list, enum kind kind)
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
/* Requests that are alone */

/* NAME=percentiles:..., of N points from FIRST on, each LESS nanoseconds
 * shorter.
 */
static void
add_percentiles (struct text *t, const char *name, const struct percentile *p,
                 size_t n, double less)
{
  char percent[32];
  size_t i;

  add (t, "%s=percentiles:", name);
  for (i = 0; i < n; i++) {
    percent_format (p[i].above, percent, sizeof percent);
    add (t, "%sp%s=%" PRIu64 "ns", i > 0 ? "," : "", percent,
         whole ((double) p[i].nsec - less));
  }
  add (t, "\n");
}

/* The mean that the plugin makes of N points; 0 if it makes nothing of them. */
static double
mean_of (const struct percentile *p, size_t n)
{
  static const struct cell alone = {RANDREAD, 4096, 1, 0};
  static struct text t;
  struct message why;
  struct figures f;

  t.len = 0;
  add_percentiles (&t, "latency", p, n, 0);
  return simulate (t.s, &alone, 10 * REQUESTS, 1, &f, &why) == 0 ? f.mean : 0;
}

/* The times of a cell, each LESS nanoseconds shorter.  Where few percentiles
 * are known, the shortest and the longest time can make the mean what it is
 * not; then they are left out.
 */
static void
add_latency (struct text *t, const char *name, const struct figures *f,
             double less)
{
  const struct percentile *p = f->points;
  size_t n = f->nr_points;

  if (n > 1 && p[n - 1].above == 0 && f->mean > 0 &&
      mean_of (p, n) > 1.05 * f->mean)
    n--;
  if (n > 1 && p[0].above == ALL && f->mean > 0 &&
      mean_of (p, n) < 0.95 * f->mean) {
    p++;
    n--;
  }
  add_percentiles (t, name, p, n, less);
}

/* NAME-iops and NAME-mbps.  A limit on bytes is one that large requests meet at
 * fewer requests a second than small ones.
 */
static void
add_limits (struct text *t, const char *name, const struct figures_list *list,
            const struct figures *base)
{
  const enum kind kind = base->cell.kind;
  const uint64_t size = largest_size (list, kind);
  double iops = find_limit (list, kind, base->cell.size), rate = 0;

  if (size > base->cell.size) {
    rate = find_limit (list, kind, size) * (double) size;
    if (iops > 0 && rate > 0.8 * iops * (double) size)
      rate = 0;
  }
  if (iops >= 1)
    add (t, "%s-iops=%" PRIu64 "\n", name, whole (iops));
  if (rate >= MIB)
    add (t, "%s-mbps=%" PRIu64 "\n", name, whole (rate / MIB));
}

/*---------------------------------------------------------------------*/
/* Reads */

static void
fit_reads (struct text *t, const struct figures_list *list)
{
  const struct figures *base = find_base (list, RANDREAD);

  if (base == NULL)
    base = find_base (list, READ);
  if (base == NULL)
    return;
  add_limits (t, "read", list, base);
  add_latency (t, "read-latency", base, 0);
}

/*---------------------------------------------------------------------*/
/* Writes and flushes */

/* Flushes after n writes at n1 and n2, the fewest and the most there are. */
struct flushes {
  const struct figures *few, *many;
  double base, each; /* nanoseconds */
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
    if (f->cell.kind != FLUSH || f->nr_points == 0 || f->is_check)
      continue;
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
  r->base = fmax (0, few - r->each * r->few->cell.n);
}

/* What a sustained load says: so many bytes at one rate, and from then on at
 * another.
 */
struct sustained {
  double first, last; /* writes a second; 0: not known */
  double bytes;       /* beyond what drains meanwhile */
};

static void
find_sustained (const struct figures_list *list, double seconds,
                struct sustained *r)
{
  const struct figures *f;
  size_t i;

  memset (r, 0, sizeof *r);
  for (i = 0; i < list->n; i++) {
    f = &list->f[i];
    if (f->cell.kind != SUSTAIN || f->iops <= 0 || f->is_check)
      continue;
    if (r->first == 0)
      r->first = f->iops;
    r->last = f->iops;
  }
  if (r->first < r->last * 1.3)
    return;
  for (i = 0; i < list->n; i++) {
    f = &list->f[i];
    if (f->cell.kind == SUSTAIN && !f->is_check && f->iops > r->last * 1.1)
      r->bytes += (f->iops - r->last) * seconds * (double) f->cell.size;
  }
}

/* A write-back buffer, if writes drain into something slower.  Returns whether
 * there is one.
 */
static bool
add_buffer (struct text *t, const struct figures_list *list,
            const struct figures *base, const struct flushes *flushes,
            const struct sustained *sustained)
{
  const double alone = figures_percentile (base, 50);
  const double deep = find_limit (list, base->cell.kind, base->cell.size);
  double drain = 0, bytes = 0;
  char size[32];

  if (flushes->each > 0)
    drain = flushes->each + (deep > 0 && 1e9 / deep > alone ? 0 : alone);
  if (sustained->bytes > 0) {
    bytes = sustained->bytes;
    if (drain == 0)
      drain = 1e9 / sustained->last;
  }
  if (drain == 0)
    return false;
  /* Where writes were faster than that, it was not full in a minute. */
  if (bytes == 0 && base->iops > 1.1 * 1e9 / drain)
    bytes = base->iops * 60 * (double) base->cell.size;
  if (bytes == 0)
    bytes = 2.0 * flushes->many->cell.n * (double) flushes->many->cell.size;
  size_format (whole (bytes / 4096) * 4096, size, sizeof size);
  add (t, "buffer-size=%s\ndrain-latency=%" PRIu64 "ns\n", size, whole (drain));
  return true;
}

static void
fit_writes (struct text *t, const struct figures_list *list, double seconds)
{
  const struct figures *base = find_base (list, RANDWRITE);
  struct sustained sustained;
  struct flushes flushes;

  if (base == NULL)
    base = find_base (list, WRITE);
  find_flushes (list, &flushes);
  find_sustained (list, seconds, &sustained);
  if (base != NULL) {
    add_latency (t, "write-latency", base, 0);
    add_latency (t, "zero-latency", base, 0);
    if (!add_buffer (t, list, base, &flushes, &sustained))
      flushes.each = 0;
    add_limits (t, "write", list, base);
  }
  if (flushes.few != NULL)
    add_latency (t, "flush-latency", flushes.few,
                 base != NULL ? flushes.each * flushes.few->cell.n : 0);
}

/*---------------------------------------------------------------------*/

void
fit (FILE *fp, const struct figures_list *list, const struct drive_facts *drive)
{
  static struct text t;
  char size[32];

  t.len = 0;
  t.s[0] = '\0';
  if (drive->size > 0) {
    size_format (drive->size, size, sizeof size);
    add (&t, "size=%s\n", size);
  }
  if (drive->block_size > 0)
    add (&t, "block-size=%" PRIu64 "\n", drive->block_size);
  if (drive->physical_block_size > 0)
    add (&t, "physical-block-size=%" PRIu64 "\n", drive->physical_block_size);
  if (drive->rotational)
    add (&t, "rotational=true\n");
  fit_reads (&t, list);
  fit_writes (&t, list, drive->part);
  fputs (t.s, fp);
}
