/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Distributions: parsing, and drawing from the table; see distribution.h.
 * Files are read in percentiles.c.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "distribution.h"
#include "duration.h"
#include "percentiles.h"

#define refuse(why, ...) (message_set (why, __VA_ARGS__), -EINVAL)

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

  uint64_t track, full, turn; /* SEEK: nanoseconds */
  uint64_t bytes_per_sec;     /* or 0 */
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
                   const struct place *place)
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
           (((random >> 32) * d->turn) >> 32);
  if (d->bytes_per_sec != 0)
    nsec += place->count * NSEC_PER_SEC / d->bytes_per_sec;
  return nsec < MAX_DURATION ? nsec : MAX_DURATION;
}

/*---------------------------------------------------------------------*/
/* Making tables */

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

/* Add a knot where the share ABOVE, from 1 down to 0, takes longer than NSEC.
 * Knots come in the order of the table; one that is at the place of the last
 * takes that place.
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

static void
add_knots_between (struct distribution *d, const struct percentile *from,
                   const struct percentile *to)
{
  const uint32_t n = knots_between (from->above, to->above);
  const double low = from->nsec > 0 ? (double) from->nsec : 1;
  const double high = to->nsec > 0 ? (double) to->nsec : 1;
  const double factor = logarithm (high / low);
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

static struct distribution *
make_percentiles (const struct percentile *p, size_t n, const char *text)
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
  if (n == 1)
    add_knot (d, p[0].above / 1e9, p[0].nsec);
  for (i = 0; i + 1 < n; i++)
    add_knots_between (d, &p[i], &p[i + 1]);
  add_knot (d, 0, p[n - 1].nsec);
  finish_table (d);
  return d;
}

/*---------------------------------------------------------------------*/
/* Parsing */

/* For "%.*s": the LEN bytes at S, cut to what a message can hold. */
#define WORD(s, len) (int) ((len) < 80 ? (len) : 80), (s)

/* The duration after NAME at *s, up to END or the end of the text, which *s is
 * moved past.
 */
static int
take_duration (const char **s, const char *name, char end, uint64_t *nsec,
               struct message *why)
{
  const size_t name_len = strlen (name);
  const char *stop;

  if (strncmp (*s, name, name_len) != 0)
    return refuse (why, "'%.80s': expected is %sDURATION", *s, name);
  *s += name_len;
  stop = end != '\0' ? strchr (*s, end) : NULL;
  if (stop == NULL) {
    if (end != '\0')
      return refuse (why, "'%.80s': a '%c' is missing after the duration", *s,
                     end);
    stop = *s + strlen (*s);
  }
  if (duration_parse (*s, stop - *s, nsec) < 0)
    return refuse (why, "'%.*s': allowed is " DURATION_FORM,
                   WORD (*s, stop - *s));
  *s = stop + (end != '\0');
  return 0;
}

static int
parse_fixed (const char *text, struct distribution **r, struct message *why)
{
  char buf[24];
  uint64_t nsec;

  if (duration_parse (text, strlen (text), &nsec) < 0)
    return refuse (why,
                   "allowed is " DURATION_FORM ", uniform:A-B, "
                   "normal:MEAN,DEVIATION, lognormal:p50=A,p99=B, "
                   "percentiles:pN=A,..., seek:track=A,full=B,rpm=N,mbps=N or "
                   "file:PATH");
  duration_format (nsec, buf, sizeof buf);
  *r = new_distribution (FIXED, 0, buf);
  if (*r == NULL)
    return -ENOMEM;
  (*r)->nsec = nsec;
  return 0;
}

static int
parse_uniform (const char *s, struct distribution **r, struct message *why)
{
  char text[80], from[24], to[24];
  uint64_t least, most;
  int err;

  err = take_duration (&s, "", '-', &least, why);
  if (err == 0)
    err = take_duration (&s, "", '\0', &most, why);
  if (err < 0)
    return err;
  if (least > most)
    return refuse (why, "the first duration of uniform: is the shorter one");
  duration_format (least, from, sizeof from);
  duration_format (most, to, sizeof to);
  snprintf (text, sizeof text, "uniform:%s-%s", from, to);
  *r = new_distribution (TABLE, 2, text);
  if (*r == NULL)
    return -ENOMEM;
  add_knot (*r, 1, least);
  add_knot (*r, 0, most);
  finish_table (*r);
  return 0;
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

static int
parse_normal (const char *s, struct distribution **r, struct message *why)
{
  char text[80], first[24], second[24];
  uint64_t mean, deviation;
  struct normal n;
  int err;

  err = take_duration (&s, "", ',', &mean, why);
  if (err == 0)
    err = take_duration (&s, "", '\0', &deviation, why);
  if (err < 0)
    return err;
  duration_format (mean, first, sizeof first);
  duration_format (deviation, second, sizeof second);
  snprintf (text, sizeof text, "normal:%s,%s", first, second);
  n.mean = mean;
  n.deviation = deviation;
  *r = make_normal (mean < 6 * deviation ? -n.mean / n.deviation : -6,
                    normal_nsec, &n, text);
  return *r != NULL ? 0 : -ENOMEM;
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

static int
parse_lognormal (const char *s, struct distribution **r, struct message *why)
{
  const double z_p99 = 2.32634787404084110089;
  char text[80], first[24], second[24];
  uint64_t p50, p99;
  struct lognormal n;
  int err;

  err = take_duration (&s, "p50=", ',', &p50, why);
  if (err == 0)
    err = take_duration (&s, "p99=", '\0', &p99, why);
  if (err < 0)
    return err;
  if (p50 == 0 || p99 < p50)
    return refuse (why, "p50 of lognormal: is above 0 and not above p99");
  duration_format (p50, first, sizeof first);
  duration_format (p99, second, sizeof second);
  snprintf (text, sizeof text, "lognormal:p50=%s,p99=%s", first, second);
  n.median = p50;
  n.deviation = logarithm ((double) p99 / p50) / z_p99;
  *r = make_normal (-6, lognormal_nsec, &n, text);
  return *r != NULL ? 0 : -ENOMEM;
}

static int
parse_percentiles (const char *s, struct distribution **r, struct message *why)
{
  struct percentile p[MAX_PERCENTILES] = {{0, 0}};
  char text[40 * MAX_PERCENTILES], percent[24], duration[24];
  const char *comma, *equals;
  size_t n = 0, len = 0, i;

  while (s != NULL) {
    comma = strchr (s, ',');
    equals = strchr (s, '=');
    if (n == MAX_PERCENTILES)
      return refuse (why, "percentiles: takes at most %d points",
                     MAX_PERCENTILES);
    if (*s != 'p' || equals == NULL || (comma != NULL && equals > comma) ||
        percent_parse (s + 1, equals - s - 1, &p[n].above) < 0)
      return refuse (why, "'%.*s': allowed is pN=DURATION, N from 0 to 100",
                     WORD (s, strcspn (s, ",")));
    s = equals + 1;
    if (duration_parse (s, comma != NULL ? (size_t) (comma - s) : strlen (s),
                        &p[n].nsec) < 0)
      return refuse (why, "'%.*s': allowed is " DURATION_FORM,
                     WORD (s, strcspn (s, ",")));
    n++;
    s = comma != NULL ? comma + 1 : NULL;
  }
  if (!percentiles_ascend (p, n))
    return refuse (why,
                   "percentiles: takes them in ascending order, each once, "
                   "and no duration below the one before");

  for (i = 0; i < n; i++) {
    percent_format (p[i].above, percent, sizeof percent);
    duration_format (p[i].nsec, duration, sizeof duration);
    len += snprintf (text + len, sizeof text - len, "%sp%s=%s",
                     i == 0 ? "percentiles:" : ",", percent, duration);
  }
  *r = make_percentiles (p, n, text);
  return *r != NULL ? 0 : -ENOMEM;
}

/* 0 is no rotation; slower than once a second is no disk. */
#define MIN_RPM 60
#define MAX_RPM 100000
#define MAX_SEEK_MBPS 40960

/* A whole number after NAME at *s, which is moved past it. */
static int
take_number (const char **s, const char *name, uint64_t least, uint64_t most,
             uint64_t *number, struct message *why)
{
  const char *const start = *s, *digits = start + strlen (name);
  uint64_t r = 0;

  if (strncmp (start, name, strlen (name)) != 0)
    return refuse (why, "'%.80s': expected is %sN", start, name);
  for (*s = digits; **s >= '0' && **s <= '9' && r <= most; ++*s)
    r = r * 10 + (uint64_t) (**s - '0');
  if (*s == digits || (**s != '\0' && **s != ',') || r > most ||
      (r != 0 && r < least))
    return refuse (
        why, "'%.80s': allowed after %s is 0, or from %" PRIu64 " to %" PRIu64,
        start, name, least, most);
  *number = r;
  return 0;
}

static int
parse_seek (const char *s, enum operation op, struct distribution **r,
            struct message *why)
{
  char text[128], first[24], second[24];
  uint64_t track, full, rpm = 0, mbps = 0;
  int err, len;

  if (op == OP_FLUSH || op == OP_ZONE)
    return refuse (why, "seek: is for operations with a place: read, write, "
                        "zero and trim, each by its own parameter");
  err = take_duration (&s, "track=", ',', &track, why);
  if (err == 0)
    err = take_duration (&s, "full=", ',', &full, why);
  if (err == 0)
    err = take_number (&s, "rpm=", MIN_RPM, MAX_RPM, &rpm, why);
  if (err == 0 && *s == ',') {
    s++;
    err = take_number (&s, "mbps=", 1, MAX_SEEK_MBPS, &mbps, why);
  }
  if (err < 0)
    return err;
  if (*s != '\0')
    return refuse (why, "'%.80s': seek: ends after mbps=N", s);
  if (track > full)
    return refuse (why, "track of seek: is not above full");

  duration_format (track, first, sizeof first);
  duration_format (full, second, sizeof second);
  len = snprintf (text, sizeof text, "seek:track=%s,full=%s,rpm=%" PRIu64,
                  first, second, rpm);
  if (mbps != 0)
    snprintf (text + len, sizeof text - len, ",mbps=%" PRIu64, mbps);
  *r = new_distribution (SEEK, 0, text);
  if (*r == NULL)
    return -ENOMEM;
  (*r)->track = track;
  (*r)->full = full;
  (*r)->turn = rpm != 0 ? 60 * NSEC_PER_SEC / rpm : 0;
  (*r)->bytes_per_sec = mbps << 20;
  return 0;
}

static const char *
after (const char *text, const char *name)
{
  const size_t len = strlen (name);

  return strncmp (text, name, len) == 0 ? text + len : NULL;
}

/* The file that TEXT means is read once, for however many operations.  *file is
 * NULL where it means none.
 */
static int
open_file (const char *text, struct percentiles_file **file,
           struct message *why)
{
  const char *path = after (text, "file:"), *s;

  *file = NULL;
  if (path == NULL)
    return 0;
  for (s = path; *s != '\0'; s++) {
    if ((unsigned char) *s < ' ' || *s == 0x7f)
      return refuse (why, "a path may hold no control character");
  }
  return percentiles_open (path, file, why);
}

/* Returns -ENODATA when the file is fio's and has no such requests.  Its text
 * has the whole path, since a server leaves the folder that it was started in.
 */
static int
parse_file (const char *path, const struct percentiles_file *file,
            enum operation op, struct distribution **r, struct message *why)
{
  char text[PATH_MAX + 8] = "file:";
  struct percentile *p;
  size_t n;
  int err;

  err = percentiles_of (file, op, &p, &n, why);
  if (err < 0)
    return err;
  if (realpath (path, text + strlen (text)) != NULL)
    *r = make_percentiles (p, n, text);
  else
    *r = NULL;
  free (p);
  return *r != NULL ? 0 : -ENOMEM;
}

/* FILE is what open_file found. */
static int
parse (const char *text, const struct percentiles_file *file, enum operation op,
       struct distribution **r, struct message *why)
{
  const char *s;

  if ((s = after (text, "uniform:")) != NULL)
    return parse_uniform (s, r, why);
  if ((s = after (text, "normal:")) != NULL)
    return parse_normal (s, r, why);
  if ((s = after (text, "lognormal:")) != NULL)
    return parse_lognormal (s, r, why);
  if ((s = after (text, "percentiles:")) != NULL)
    return parse_percentiles (s, r, why);
  if ((s = after (text, "seek:")) != NULL)
    return parse_seek (s, op, r, why);
  if ((s = after (text, "file:")) != NULL)
    return parse_file (s, file, op, r, why);
  return parse_fixed (text, r, why);
}

int
distribution_parse (const char *text, enum operation op,
                    struct distribution **r, struct message *why)
{
  struct percentiles_file *file;
  int err;

  err = open_file (text, &file, why);
  if (err < 0)
    return err;
  err = parse (text, file, op, r, why);
  percentiles_close (file);
  return err == -ENODATA ? -EINVAL : err;
}

int
distribution_parse_all (const char *text, struct distribution *r[NR_OPERATIONS],
                        struct message *why)
{
  struct distribution *all[NR_OPERATIONS] = {NULL};
  struct percentiles_file *file;
  int err, found = 0;
  unsigned op;

  err = open_file (text, &file, why);
  if (err < 0)
    return err;
  for (op = 0; op < NR_OPERATIONS; op++) {
    err = parse (text, file, (enum operation) op, &all[op], why);
    if (err == 0)
      found++;
    else if (err != -ENODATA)
      goto fail;
  }
  err = -EINVAL; /* and *why is that of the last */
  if (found == 0)
    goto fail;
  percentiles_close (file);
  memcpy (r, all, sizeof all);
  return 0;

fail:
  percentiles_close (file);
  for (op = 0; op < NR_OPERATIONS; op++)
    distribution_unref (all[op]);
  return err;
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
  return d->full == 0 && d->turn == 0 && d->bytes_per_sec == 0;
}

bool
distribution_seeks (const struct distribution *d)
{
  return d->kind == SEEK;
}
