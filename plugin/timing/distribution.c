/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Distributions: making them, their tables above all, and drawing; see
 * distribution.h.  Text is taken apart in distribution-parse.c.
 */

#include <config.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/common.h"
#include "distribution-internal.h"

enum kind { FIXED, TABLE, SEEK };

/* From `at` on a draw is `nsec` and `slope` times half the way from `at`; half,
 * because a way may be 2^64 long and the processor converts signed numbers.
 */
struct knot {
  uint64_t at;
  uint64_t nsec;
  double slope;
};

#define INDEX_BITS 8

struct distribution {
  atomic_uint references;
  enum kind kind;
  char *text;

  uint64_t nsec; /* FIXED */

  struct knot *knots; /* TABLE: ascending, the first at 0 */
  uint32_t nr_knots;
  uint32_t room;
  uint32_t index[(1 << INDEX_BITS) + 1]; /* the last knot at or before */

  uint64_t track, full, rotation; /* SEEK: nanoseconds */
  uint64_t bytes_per_sec;         /* or 0 */
};

/*---------------------------------------------------------------------*/
/* Arithmetic that is the same everywhere: the libraries' functions differ in
 * the last digit.
 */

/* Terms of a series until they no longer count. */
static double
exponential (double x)
{
  const double ln2 = 0.693147180559945309417;
  double sum = 1, term = 1;
  int powers = 0, i;

  for (; x > ln2 / 2; powers++)
    x -= ln2;
  for (; x < -ln2 / 2; powers--)
    x += ln2;
  for (i = 1; i < 20; i++) {
    term *= x / i;
    sum += term;
  }
  for (; powers > 0; powers--)
    sum *= 2;
  for (; powers < 0; powers++)
    sum /= 2;
  return sum;
}

/* X is above 0. */
static double
logarithm (double x)
{
  const double ln2 = 0.693147180559945309417;
  double sum = 0, term, square;
  int powers = 0, i;

  for (; x > 1.5; powers++)
    x /= 2;
  for (; x < 0.75; powers--)
    x *= 2;
  term = (x - 1) / (x + 1);
  square = term * term;
  for (i = 1; i < 40; i += 2) {
    sum += term / i;
    term *= square;
  }
  return 2 * sum + powers * ln2;
}

/* The share of a standard normal distribution that lies above Z, |Z| <= 6. */
static double
share_above (double z)
{
  const double sqrt_2_pi = 2.50662827463100050242;
  double sum = 0, term = z;
  int i;

  for (i = 1; i < 240; i += 2) {
    sum += term;
    term *= z * z / (i + 2);
  }
  return 0.5 - sum * exponential (-z * z / 2) / sqrt_2_pi;
}

/* The largest whole number whose square is at most N. */
static uint64_t
square_root (uint64_t n)
{
  uint64_t r = 0, bit = UINT64_C (1) << 31;

  for (; bit != 0; bit >>= 1) {
    if ((r + bit) * (r + bit) <= n)
      r += bit;
  }
  return r;
}

/*---------------------------------------------------------------------*/
/* Drawing */

/* `track` and, by the square root of the share that DISTANCE is of SIZE, more.
 */
static uint64_t
seek_time (const struct distribution *d, uint64_t distance, uint64_t size)
{
  uint64_t part;
  unsigned shift = 0;

  if (distance >= size)
    return d->full;
  while (size >> shift > UINT32_MAX)
    shift++;
  /* The share in 1/2^62; its root in 1/2^31, cut to 1/2^23. */
  part = (distance >> shift << 31) / (size >> shift) << 31;
  part = square_root (part) >> 8;
  return d->track + (((d->full - d->track) * part) >> 23);
}

uint64_t
distribution_draw (const struct distribution *d, uint64_t random,
                   const struct seek_place *place)
{
  uint64_t part, nsec = 0;
  uint32_t first, last, middle;
  const struct knot *k;

  switch (d->kind) {
  case FIXED:
    return d->nsec;

  case TABLE:
    first = d->index[random >> (64 - INDEX_BITS)];
    last = d->index[(random >> (64 - INDEX_BITS)) + 1];
    while (first < last) {
      middle = first + (last - first + 1) / 2;
      if (d->knots[middle].at <= random)
        first = middle;
      else
        last = middle - 1;
    }
    k = &d->knots[first];
    part = (random - k->at) / 2;
    return k->nsec + (uint64_t) (k->slope * (double) (int64_t) part);

  case SEEK:
    break;
  }

  if (place->distance != 0)
    nsec = seek_time (d, place->distance, place->size) +
           (((random >> 32) * d->rotation) >> 32);
  if (d->bytes_per_sec != 0)
    nsec += place->count * NSEC_PER_SEC / d->bytes_per_sec;
  return nsec < MAX_DURATION ? nsec : MAX_DURATION;
}

/*---------------------------------------------------------------------*/
/* Making distributions */

static struct distribution *
new_distribution (enum kind kind, uint32_t room, const char *text)
{
  struct distribution *d = calloc (1, sizeof *d);

  if (d == NULL)
    return NULL;
  atomic_init (&d->references, 1);
  d->kind = kind;
  d->room = room;
  d->text = strdup (text);
  if (room > 0)
    d->knots = calloc (room, sizeof *d->knots);
  if (d->text == NULL || (room > 0 && d->knots == NULL)) {
    distribution_unref (d);
    return NULL;
  }
  return d;
}

struct distribution *
distribution_make_fixed (uint64_t nsec, const char *text)
{
  struct distribution *d = new_distribution (FIXED, 0, text);

  if (d != NULL)
    d->nsec = nsec;
  return d;
}

struct distribution *
distribution_make_seek (uint64_t track, uint64_t full, uint64_t rpm,
                        uint64_t mbps, const char *text)
{
  struct distribution *d = new_distribution (SEEK, 0, text);

  if (d == NULL)
    return NULL;
  d->track = track;
  d->full = full;
  d->rotation = rpm != 0 ? 60 * NSEC_PER_SEC / rpm : 0;
  d->bytes_per_sec = mbps << 20;
  return d;
}

/* Add a knot where the share ABOVE, from 1 down to 0, takes longer than NSEC.
 * Knots come in the order of the table; one that is at the place of the last
 * takes that place.  None is below the one before it: a table that falls would
 * have slopes that no draw may have.
 */
static void
add_knot (struct distribution *d, double above, uint64_t nsec)
{
  const double whole = 18446744073709551616.0; /* 2^64 */
  uint64_t at;

  if (above >= 1)
    at = 0;
  else if (above <= 0)
    at = UINT64_MAX;
  else /* exact at the end that matters, where `above` is small */
    at = -(uint64_t) (above * whole);
  if (nsec > MAX_DURATION)
    nsec = MAX_DURATION;
  if (d->nr_knots > 0 && d->knots[d->nr_knots - 1].nsec > nsec)
    nsec = d->knots[d->nr_knots - 1].nsec;
  if (d->nr_knots > 0 && d->knots[d->nr_knots - 1].at == at)
    d->nr_knots--;
  d->knots[d->nr_knots++] = (struct knot){.at = at, .nsec = nsec};
}

static void
finish_table (struct distribution *d)
{
  struct knot *k;
  uint32_t i, at = 0;

  for (i = 0; i + 1 < d->nr_knots; i++) {
    k = &d->knots[i];
    k->slope =
        (double) (k[1].nsec - k->nsec) / (double) ((k[1].at - k->at) / 2 + 1);
  }
  for (i = 0; i < 1 << INDEX_BITS; i++) {
    while (at + 1 < d->nr_knots &&
           d->knots[at + 1].at <= (uint64_t) i << (64 - INDEX_BITS))
      at++;
    d->index[i] = at;
  }
  d->index[i] = d->nr_knots - 1;
}

struct distribution *
distribution_make_uniform (uint64_t least, uint64_t most, const char *text)
{
  struct distribution *d = new_distribution (TABLE, 2, text);

  if (d == NULL)
    return NULL;
  add_knot (d, 1, least);
  add_knot (d, 0, most);
  finish_table (d);
  return d;
}

/* A function of a normally distributed number z, LEAST <= z <= 6. */
static struct distribution *
make_normal (double least, uint64_t (*nsec) (double z, const void *opaque),
             const void *opaque, const char *text)
{
  enum { STEPS = 32, MOST = 6 };
  const double all = share_above (least);
  struct distribution *d;
  double z;
  int i;

  d = new_distribution (TABLE, 2 * MOST * STEPS + 2, text);
  if (d == NULL)
    return NULL;
  add_knot (d, 1, nsec (least, opaque));
  for (i = -MOST * STEPS; i < MOST * STEPS; i++) {
    z = (double) i / STEPS;
    if (z > least)
      add_knot (d, share_above (z) / all, nsec (z, opaque));
  }
  add_knot (d, 0, nsec (MOST, opaque));
  finish_table (d);
  return d;
}

struct normal {
  double mean, deviation;
};

static uint64_t
normal_nsec (double z, const void *opaque)
{
  const struct normal *n = opaque;
  const double r = n->mean + n->deviation * z;

  return r > 0 ? (uint64_t) (r + 0.5) : 0;
}

struct distribution *
distribution_make_normal (uint64_t mean, uint64_t deviation, const char *text)
{
  const struct normal n = {.mean = mean, .deviation = deviation};

  return make_normal (mean < 6 * deviation ? -n.mean / n.deviation : -6,
                      normal_nsec, &n, text);
}

struct lognormal {
  double median, deviation; /* of the logarithm */
};

static uint64_t
lognormal_nsec (double z, const void *opaque)
{
  const struct lognormal *n = opaque;
  const double r = n->median * exponential (n->deviation * z);

  return r < (double) MAX_DURATION ? (uint64_t) (r + 0.5) : MAX_DURATION;
}

struct distribution *
distribution_make_lognormal (uint64_t p50, uint64_t p99, const char *text)
{
  const double z_p99 = 2.32634787404084110089;
  const struct lognormal n = {
      .median = p50, .deviation = logarithm ((double) p99 / p50) / z_p99};

  return make_normal (-6, lognormal_nsec, &n, text);
}

/* Knots between two percentiles: so many for each halving of those above, and
 * so many to p100.
 */
#define KNOTS_PER_HALVING 8
#define KNOTS_TO_THE_LAST 32

/* ABOVE is in parts of a billion, as in struct percentile. */
static uint32_t
knots_between (uint32_t above, uint32_t next)
{
  uint32_t n = KNOTS_PER_HALVING;

  if (next == 0)
    return KNOTS_TO_THE_LAST;
  for (; above > next; above /= 2)
    n += KNOTS_PER_HALVING;
  return n;
}

/* A logarithm needs more than 0: what rises from 0 rises from 1 ns, and what
 * stays at 0 has no knots between.
 */
static void
add_knots_between (struct distribution *d, const struct percentile *from,
                   const struct percentile *to)
{
  const uint32_t n = to->nsec > 0 ? knots_between (from->above, to->above) : 0;
  const double low = from->nsec > 0 ? (double) from->nsec : 1;
  const double factor = n > 0 ? logarithm ((double) to->nsec / low) : 0;
  double above, part;
  uint32_t i;

  add_knot (d, from->above / 1e9, from->nsec);
  for (i = 1; i < n; i++) {
    part = (double) i / n;
    if (to->above == 0)
      above = from->above * (1 - part);
    else
      above = from->above *
              exponential (part * logarithm ((double) to->above / from->above));
    add_knot (d, above / 1e9,
              (uint64_t) (low * exponential (part * factor) + 0.5));
  }
  add_knot (d, to->above / 1e9, to->nsec);
}

struct distribution *
distribution_make_percentiles (const struct percentile *p, size_t n,
                               const char *text)
{
  struct distribution *d;
  uint32_t room = 4;
  size_t i;

  for (i = 0; i + 1 < n; i++)
    room += knots_between (p[i].above, p[i + 1].above) + 1;
  d = new_distribution (TABLE, room, text);
  if (d == NULL)
    return NULL;
  add_knot (d, 1, p[0].nsec);
  for (i = 0; i + 1 < n; i++)
    add_knots_between (d, &p[i], &p[i + 1]);
  add_knot (d, 0, p[n - 1].nsec);
  finish_table (d);
  return d;
}

/*---------------------------------------------------------------------*/

struct distribution *
distribution_ref (struct distribution *d)
{
  if (d != NULL)
    atomic_fetch_add (&d->references, 1);
  return d;
}

void
distribution_unref (struct distribution *d)
{
  if (d == NULL || atomic_fetch_sub (&d->references, 1) != 1)
    return;
  free (d->knots);
  free (d->text);
  free (d);
}

const char *
distribution_text (const struct distribution *d)
{
  return d->text;
}

bool
distribution_is_zero (const struct distribution *d)
{
  switch (d->kind) {
  case FIXED:
    return d->nsec == 0;
  case TABLE:
    return d->knots[d->nr_knots - 1].nsec == 0;
  case SEEK:
    break;
  }
  return d->full == 0 && d->rotation == 0 && d->bytes_per_sec == 0;
}

bool
distribution_seeks (const struct distribution *d)
{
  return d->kind == SEEK;
}
