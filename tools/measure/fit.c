/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * How settings are found; see fit.h.
 *
 * The distribution of a request that is alone (the smallest size at depth 1)
 * becomes a latency as it is.  What larger requests take longer at the median
 * becomes a latency by size, and a rate that does not grow with the depth any
 * more a limit.  Flushes after several numbers of writes lie on a line: what a
 * write adds is what it takes to drain, and the rest the flush itself.  Where
 * the plugin has parts that cannot be read off (dies, a disk's queue), some
 * values are tried, and simulate.h tells which comes closest.
 */

#include <config.h>

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "fit.h"
#include "simulate.h"

#define BIT(kind) (1u << (kind))

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
text_add (struct text *t, const char *fs, ...)
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
rounded (double n)
{
  return n > 0 ? (uint64_t) (n + 0.5) : 0;
}

/*---------------------------------------------------------------------*/
/* What is in the figures */

/* The figures of this kind with the smallest size at depth 1. */
static const struct figures *
fit_find_base (const struct figures_list *list, enum kind kind)
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

/* The most that passes of requests of a size; 0 where it is not seen.  It is
 * where twice the depth brings less than a quarter more; and where the largest
 * depth does not bring even half of what it would if no request were in the way
 * of another.
 */
static double
fit_find_limit (const struct figures_list *list, enum kind kind, uint64_t size)
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

  text_add (t, "%s=percentiles:", name);
  for (i = 0; i < n; i++) {
    percent_format (p[i].above, percent, sizeof percent);
    text_add (t, "%sp%s=%" PRIu64 "ns", i > 0 ? "," : "", percent,
              rounded ((double) p[i].nsec - less));
  }
  text_add (t, "\n");
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
  return simulate (t.s, &alone, 0, 10 * REQUESTS, 1, &f, &why) == 0 ? f.mean
                                                                    : 0;
}

/* The times of a cell, each LESS nanoseconds shorter.  Where few percentiles
 * are known, the shortest and the longest time can make the mean what it is
 * not; then they are left out.
 */
static void
fit_add_latency (struct text *t, const char *name, const struct figures *f,
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

/* Is it of such requests as BASE, that are alone and larger? */
static bool
is_larger (const struct figures *f, const struct figures *base)
{
  return f->cell.kind == base->cell.kind && f->cell.depth == 1 &&
         !f->is_check && f->nr_points > 0 && f->cell.size > base->cell.size;
}

/* What larger requests take longer.  Of more sizes than the plugin takes points
 * some are left out, and not the largest, from which it goes on.
 */
static void
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
    /* This share goes up with so many of them, and with the last. */
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

/* NAME-iops and NAME-mbps.  A limit on bytes is one that large requests meet at
 * fewer requests a second than small ones.
 */
static void
fit_add_limits (struct text *t, const char *name,
                const struct figures_list *list, const struct figures *base)
{
  const enum kind kind = base->cell.kind;
  const uint64_t size = largest_size (list, kind);
  double iops = fit_find_limit (list, kind, base->cell.size), rate = 0;

  if (size > base->cell.size) {
    rate = fit_find_limit (list, kind, size) * (double) size;
    if (iops > 0 && rate > 0.8 * iops * (double) size)
      rate = 0;
  }
  if (iops >= 1)
    text_add (t, "%s-iops=%" PRIu64 "\n", name, rounded (iops));
  if (rate >= MIB)
    text_add (t, "%s-mbps=%" PRIu64 "\n", name, rounded (rate / MIB));
}

/*---------------------------------------------------------------------*/
/* Reads */

/* What dies are tried with. */
struct tried {
  const struct text *text; /* what stands there otherwise */
  const struct figures_list *list;
  const struct figures *base;
};

/* NR dies, which take this SHARE of a read.  If that is nearer than *least by
 * what it has to be WORTH, *best becomes that, and true is returned.
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
  distance = simulate_list (t.s, from->list, BIT (RANDREAD), REQUESTS);
  if (distance < 0 || distance >= *least - worth)
    return false;
  *least = distance;
  *best = t;
  return true;
}

/* Reads that meet at dies: some numbers of dies, and shares of a read that a
 * die takes, coarse ones and then some near the best.  TEXT is what stands
 * there otherwise; *best becomes what is best, if it is nearer than *least by
 * what dies have to be WORTH.
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

static void
fit_reads (struct text *t, const struct figures_list *list)
{
  static struct text plain, unlimited, best;
  const struct figures *base = fit_find_base (list, RANDREAD);
  double least;

  if (base == NULL)
    base = fit_find_base (list, READ);
  if (base == NULL)
    return;
  plain.len = 0;
  text_add (&plain, "%s", t->s);
  fit_add_sizes (&plain, "read-size-latency", list, base);
  unlimited = plain;
  fit_add_limits (&plain, "read", list, base);
  best = plain;
  fit_add_latency (&best, "read-latency", base, 0);
  least = simulate_list (best.s, list, BIT (RANDREAD), REQUESTS);
  if (least > 0.03)
    try_dies (&plain, list, base, 0.03, &best, &least);
  /* What looks like a limit may be what the dies can do. */
  if (least > 0.03 && unlimited.len < plain.len)
    try_dies (&unlimited, list, base, 0, &best, &least);
  *t = best;
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
  double written;     /* bytes, until it was slower */
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
    if (f->cell.kind == SUSTAIN && !f->is_check && f->iops > r->last * 1.1) {
      r->bytes += (f->iops - r->last) * seconds * (double) f->cell.size;
      r->written += f->iops * seconds * (double) f->cell.size;
    }
  }
}

/* Where flushes do not wait for what is dirty, writes that become slower have
 * met a collection: a small buffer, of which a write costs more by then.
 * Returns false where there is none, or it was met beyond the SIZE of the
 * drive, or before a thousandth of it: collection=after:0 would mean that it is
 * met from the first write on.
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
            rounded (1e9 / sustained->first));
  text_add (t, "collection=after:%.3f,factor:%.3f\n", share,
            sustained->first / sustained->last);
  return true;
}

/* A write-back buffer, as far as it is known. */
struct buffering {
  double drain;    /* nanoseconds of a write; 0: there is none */
  double bytes;    /* that it has */
  bool is_full;    /* at larger depths: then their rate is that of the drain */
  double has_room; /* a write takes no longer if it finds room; 0: all do */
};

/* Did at least a fifth of the writes that were alone find the buffer full?
 * Such a write takes as long as one takes to drain.
 */
static bool
is_filled_alone (const struct figures *base, double quick, double drain)
{
  const double slow = figures_percentile (base, 80);

  return drain > 1.3 * quick && slow > 0.75 * drain && slow < 1.25 * drain;
}

/* A write-back buffer, if writes drain into something slower. */
static void
find_buffer (const struct figures_list *list, const struct figures *base,
             const struct flushes *flushes, const struct sustained *sustained,
             double seconds, struct buffering *r)
{
  const double quick = figures_percentile (base, 10);
  const double deep = fit_find_limit (list, base->cell.kind, base->cell.size);
  double more;

  memset (r, 0, sizeof *r);
  /* Writes before a flush drain while those behind them are written. */
  if (flushes->each > 0)
    r->drain = flushes->each + figures_percentile (base, 50);
  if (flushes->each > 0 &&
      is_filled_alone (base, quick, flushes->each + quick)) {
    r->drain = flushes->each + quick;
    r->has_room = (quick + r->drain) / 2;
    more = base->iops - 1e9 / r->drain;
    r->bytes = fmax (1, more * seconds) * (double) base->cell.size;
  }
  if (sustained->bytes > 0) {
    r->bytes = sustained->bytes;
    if (r->drain == 0)
      r->drain = 1e9 / sustained->last;
  }
  if (r->drain == 0)
    return;
  r->is_full = deep > 0 && deep < 1.3 * 1e9 / r->drain;
  /* Where writes were faster than that, it was not full in a minute. */
  if (r->bytes == 0 && !r->is_full && base->iops > 1.1 * 1e9 / r->drain)
    r->bytes = base->iops * 60 * (double) base->cell.size;
  if (r->bytes == 0)
    r->bytes = 2.0 * flushes->many->cell.n * (double) flushes->many->cell.size;
}

/* The times up to NSEC, as if there were no others. */
static struct figures
times_up_to (const struct figures *f, double nsec)
{
  struct figures r = *f;
  struct percentile *p = r.points;
  double below;

  while (r.nr_points > 1 && (double) p[r.nr_points - 1].nsec > nsec)
    r.nr_points--;
  below = ALL - (double) p[r.nr_points - 1].above;
  for (; below > 0 && p < r.points + r.nr_points; p++)
    p->above =
        ALL - 10000 * (uint32_t) ((ALL - p->above) / below * ALL / 10000);
  r.mean = 0;
  return r;
}

/* A write of a disk that is not seen to drain goes to a buffer that is always
 * full: so writes do not wait for the head, and take as long as they did.
 */
static void
add_full_buffer (struct text *t, const struct figures *base)
{
  char size[32];

  size_format (base->cell.size, size, sizeof size);
  text_add (t, "buffer-size=%s\n", size);
  fit_add_latency (t, "drain-latency", base, 0);
}

/* Writes that find room, and where they find it. */
static void
add_writes (struct text *t, const struct figures_list *list,
            const struct figures *base, const struct buffering *buffer)
{
  const struct figures quick =
      buffer->has_room > 0 ? times_up_to (base, buffer->has_room) : *base;
  char size[32];

  fit_add_latency (t, "write-latency", &quick, 0);
  fit_add_latency (t, "zero-latency", &quick, 0);
  if (buffer->has_room == 0)
    fit_add_sizes (t, "write-size-latency", list, base);
  if (buffer->drain > 0) {
    size_format (rounded (buffer->bytes / 4096) * 4096, size, sizeof size);
    text_add (t, "buffer-size=%s\ndrain-latency=%" PRIu64 "ns\n", size,
              rounded (buffer->drain));
  }
  if (!buffer->is_full)
    fit_add_limits (t, "write", list, base);
}

static void
fit_writes (struct text *t, const struct figures_list *list,
            const struct drive_facts *drive, bool is_disk)
{
  const struct figures *base = fit_find_base (list, RANDWRITE);
  struct buffering buffer = {0};
  struct sustained sustained;
  struct flushes flushes;
  static struct text collection;

  if (base == NULL)
    base = fit_find_base (list, WRITE);
  find_flushes (list, &flushes);
  find_sustained (list, drive->part, &sustained);
  collection.len = 0;
  collection.s[0] = '\0';
  if (base != NULL &&
      !add_collection (&collection, &flushes, &sustained, drive->size))
    find_buffer (list, base, &flushes, &sustained, drive->part, &buffer);
  if (base != NULL && buffer.drain == 0 && collection.len == 0 && is_disk)
    add_full_buffer (t, base);
  else if (base != NULL) {
    add_writes (t, list, base, &buffer);
    text_add (t, "%s", collection.s);
  }
  if (flushes.few != NULL)
    fit_add_latency (t, "flush-latency", flushes.few,
                     buffer.drain > 0 ? flushes.each * flushes.few->cell.n : 0);
}

/*---------------------------------------------------------------------*/
/* Disks */

/* Reads that take as long as an arm and a platter do.  No drive without these
 * is so slow and so even; that a drive says so is not enough, as virtual ones
 * do.
 */
static bool
fit_is_disk (const struct drive_facts *drive, const struct figures *base)
{
  const double median = figures_percentile (base, 50);

  if (drive->rotational && median > 2e6)
    return true;
  return median > 3e6 && figures_percentile (base, 99) < 3 * median &&
         figures_percentile (base, 1) < 0.7 * median;
}

/* A disk as text. */
struct shape {
  double track, full; /* nanoseconds */
  double mbps;
  unsigned rpm, queue, from;
};

/* Its settings, behind those of BEFORE. */
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

/* The seek and the speed by which reads that are alone take as long. */
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
      /* A root alone has its mean 8/15 of the way from track to full. */
      d.full = d.track + (seek - d.track) * 15 / 8;
      add_disk (&one, before, &d);
      distance = simulate_list (one.s, &alone, BIT (RANDREAD), 2 * REQUESTS);
      if (distance >= 0 && (least < 0 || distance < least)) {
        least = distance;
        *best = d;
      }
    }
  }
  return least;
}

/* The queue that brings as much. */
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
      distance = simulate_list (one.s, list, BIT (RANDREAD), REQUESTS);
      if (distance >= 0 && (least < 0 || distance < least - 0.005)) {
        least = distance;
        *best = d;
      }
    }
  }
}

/* Returns false if there is no such disk. */
static bool
fit_disk (struct text *t, const struct figures_list *list,
          const struct figures *base)
{
  struct shape d = {.mbps = 150};
  static struct text before;
  size_t i;

  for (i = 0; i < list->n; i++) {
    if (list->f[i].cell.kind == READ && list->f[i].iops > 0 &&
        list->f[i].cell.size >= 65536)
      d.mbps = fmax (1, figures_rate (&list->f[i]) / MIB);
  }
  before = *t;
  if (try_seeks (&before, base, &d) < 0)
    return false;
  try_queues (&before, list, &d);
  add_disk (t, &before, &d);
  return true;
}

/*---------------------------------------------------------------------*/

void
fit (FILE *fp, const struct figures_list *list, const struct drive_facts *drive)
{
  const struct figures *base = fit_find_base (list, RANDREAD);
  static struct text t;
  bool is_disk = base != NULL && fit_is_disk (drive, base);
  char size[32];

  t.len = 0;
  t.s[0] = '\0';
  if (drive->size > 0) {
    size_format (drive->size, size, sizeof size);
    text_add (&t, "size=%s\n", size);
  }
  if (drive->block_size > 0)
    text_add (&t, "block-size=%" PRIu64 "\n", drive->block_size);
  if (drive->physical_block_size > 0)
    text_add (&t, "physical-block-size=%" PRIu64 "\n",
              drive->physical_block_size);
  is_disk = is_disk && fit_disk (&t, list, base);
  if (drive->rotational || is_disk)
    text_add (&t, "rotational=true\n");
  if (!is_disk)
    fit_reads (&t, list);
  fit_writes (&t, list, drive, is_disk);
  fputs (t.s, fp);
}
