/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Files that have percentiles; see percentiles.h.  What fio
 * writes is in percentiles-fio.c.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/common.h"
#include "distribution.h"
#include "percentiles-internal.h"

#define refuse(why, ...) (message_set (why, __VA_ARGS__), -EINVAL)

struct percentiles_file {
  const char *path;
  char *text;             /* of lines; or else */
  struct fio_output *fio; /* what fio wrote */
};

static bool
is_digit (char c)
{
  return c >= '0' && c <= '9';
}

/*---------------------------------------------------------------------*/
/* Lines */

/* The number that the text from S to END is, MAX_DURATION at most.  Returns
 * false if it is none.
 */
static bool
take_nsec (const char *s, const char *end, uint64_t *nsec)
{
  uint64_t r = 0;

  if (s == end)
    return false;
  for (; s < end; s++) {
    if (!is_digit (*s))
      return false;
    r = r * 10 + (uint64_t) (*s - '0');
    if (r > MAX_DURATION)
      return false;
  }
  *nsec = r;
  return true;
}

/* Cut blanks off both ends. */
static void
trim (const char **s, const char **end)
{
  while (*s < *end && strchr (" \t\r", **s) != NULL)
    ++*s;
  while (*end > *s && strchr (" \t\r", (*end)[-1]) != NULL)
    --*end;
}

static int
parse_lines (const char *path, const char *s, struct percentile *p, size_t *n,
             struct message *why)
{
  static const char heading[] = "percentile,ns";
  const char *line, *line_end, *left_end, *right;
  unsigned number = 0;

  for (*n = 0; s != NULL; s = line != NULL ? line + 1 : NULL) {
    number++;
    line = strchr (s, '\n');
    line_end = line != NULL ? line : s + strlen (s);
    trim (&s, &line_end);
    if (s == line_end || *s == '#' ||
        (*n == 0 && (size_t) (line_end - s) == sizeof heading - 1 &&
         memcmp (s, heading, sizeof heading - 1) == 0))
      continue;
    left_end = memchr (s, ',', line_end - s);
    if (left_end == NULL)
      goto wrong;
    right = left_end + 1;
    trim (&s, &left_end);
    trim (&right, &line_end);
    if (*n == MAX_FILE_PERCENTILES)
      return refuse (why, "%.200s: a file may have %d percentiles", path,
                     MAX_FILE_PERCENTILES);
    if (percent_parse (s, left_end - s, &p[*n].above) < 0 ||
        !take_nsec (right, line_end, &p[*n].nsec))
      goto wrong;
    ++*n;
    if (!percentiles_ascend (p, *n))
      return refuse (
          why,
          "%.200s: line %u: percentiles must ascend, and no duration "
          "may be below the one before",
          path, number);
  }
  if (*n == 0)
    return refuse (why, "%.200s: it has no percentiles", path);
  return 0;

wrong:
  return refuse (why,
                 "%.200s: line %u: allowed is PERCENTILE,NANOSECONDS (as in "
                 "99.9,250000; up to 100 s), or the whole is what fio "
                 "--output-format=json writes",
                 path, number);
}

/*---------------------------------------------------------------------*/

int
percentiles_open (const char *path, struct percentiles_file **r,
                  struct message *why)
{
  struct percentiles_file *f = calloc (1, sizeof *f);
  struct message wrong;
  size_t len;
  int err;

  if (f == NULL)
    return -ENOMEM;
  f->path = path;
  err = textfile_read (path, MAX_DISTRIBUTION_FILE, &f->text, &len, &wrong);
  if (err == -EINVAL)
    message_set (why, "%.200s: %s", path, wrong.text);
  if (err < 0) {
    free (f);
    return err;
  }
  if (fio_find (f->text) != NULL) {
    err = fio_open (path, f->text, &f->fio, why);
    free (f->text);
    f->text = NULL;
  }
  if (err < 0) {
    percentiles_close (f);
    return err;
  }
  *r = f;
  return 0;
}

void
percentiles_close (struct percentiles_file *f)
{
  if (f == NULL)
    return;
  fio_close (f->fio);
  free (f->text);
  free (f);
}

int
percentiles_of (const struct percentiles_file *f, enum operation op,
                struct percentile **r, size_t *n, struct message *why)
{
  struct percentile *p = calloc (MAX_FILE_PERCENTILES, sizeof *p);
  int err;

  if (p == NULL)
    return -ENOMEM;
  err = f->text != NULL ? parse_lines (f->path, f->text, p, n, why)
                        : fio_take (f->path, f->fio, op, p, n, why);
  if (err < 0) {
    free (p);
    return err;
  }
  *r = p;
  return 0;
}

bool
percentiles_are_fios (const struct percentiles_file *f)
{
  return f->fio != NULL;
}

void
percentiles_load (const struct percentiles_file *f, enum operation op,
                  struct percentiles_load *load)
{
  memset (load, 0, sizeof *load);
  if (f->fio != NULL)
    fio_load (f->fio, op, load);
}

void
percentiles_none (const struct percentiles_file *f, struct message *why)
{
  fio_none (f->path, f->fio, why);
}
