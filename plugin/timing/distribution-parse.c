/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Distributions from text; distribution.h has all forms of it.  Each is checked
 * and written anew as distribution_text gives it back.  Files are read in
 * percentiles.c.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/common.h"
#include "distribution-internal.h"

#define refuse(why, ...) (message_set (why, __VA_ARGS__), -EINVAL)

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
  *r = distribution_make_fixed (nsec, buf);
  return *r != NULL ? 0 : -ENOMEM;
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
  *r = distribution_make_uniform (least, most, text);
  return *r != NULL ? 0 : -ENOMEM;
}

static int
parse_normal (const char *s, struct distribution **r, struct message *why)
{
  char text[80], first[24], second[24];
  uint64_t mean, deviation;
  int err;

  err = take_duration (&s, "", ',', &mean, why);
  if (err == 0)
    err = take_duration (&s, "", '\0', &deviation, why);
  if (err < 0)
    return err;
  duration_format (mean, first, sizeof first);
  duration_format (deviation, second, sizeof second);
  snprintf (text, sizeof text, "normal:%s,%s", first, second);
  *r = distribution_make_normal (mean, deviation, text);
  return *r != NULL ? 0 : -ENOMEM;
}

static int
parse_lognormal (const char *s, struct distribution **r, struct message *why)
{
  char text[80], first[24], second[24];
  uint64_t p50, p99;
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
  *r = distribution_make_lognormal (p50, p99, text);
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
  *r = distribution_make_percentiles (p, n, text);
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
    return refuse (why, "seek: is for operations with an offset: read, write, "
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
  *r = distribution_make_seek (track, full, rpm, mbps, text);
  return *r != NULL ? 0 : -ENOMEM;
}

static const char *
after (const char *text, const char *name)
{
  const size_t len = strlen (name);

  return strncmp (text, name, len) == 0 ? text + len : NULL;
}

/* A line of .config has to hold it, whose end is cut. */
static int
check_path (const char *path, struct message *why)
{
  const char *s;

  for (s = path; *s != '\0'; s++) {
    if ((unsigned char) *s < ' ' || *s == 0x7f || (*s == ' ' && s[1] == '\0'))
      return refuse (why, "a path may hold no control character, and may not "
                          "end with a blank");
  }
  return 0;
}

/* The file that TEXT means is read once, for however many operations.  *file is
 * NULL where it means none.
 */
static int
open_file (const char *text, struct percentiles_file **file,
           struct message *why)
{
  const char *path = after (text, "file:");

  *file = NULL;
  if (path == NULL)
    return 0;
  if (check_path (path, why) < 0)
    return -EINVAL;
  return percentiles_open (path, file, why);
}

/* Returns -ENODATA when the file is fio's and has no such requests.  Its text
 * has the whole path, since a server leaves the directory that it was started
 * in.
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
  err = -ENOMEM;
  if (realpath (path, text + strlen (text)) != NULL)
    err = check_path (text, why);
  if (err == 0) {
    *r = distribution_make_percentiles (p, n, text);
    err = *r != NULL ? 0 : -ENOMEM;
  }
  free (p);
  return err;
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
  if (found == 0) {
    percentiles_none (file, why);
    err = -EINVAL;
    goto fail;
  }
  percentiles_close (file);
  memcpy (r, all, sizeof all);
  return 0;

fail:
  percentiles_close (file);
  for (op = 0; op < NR_OPERATIONS; op++)
    distribution_unref (all[op]);
  return err;
}
