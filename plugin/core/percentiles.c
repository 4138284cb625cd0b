/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Percentiles, and the files that have them; see percentiles.h.
 *
 * What fio writes with --output-format=json has a list "jobs", and in each job
 * "read", "write", "trim" and "sync"; what matters of such a section is
 *
 *     "clat_ns": {
 *       "min": 981, "max": 8470627, "N": 22128,
 *       "percentile": {"1.000000": 1288, ..., "99.990000": 3620864}
 *     }
 *
 * or "lat_ns", which "sync" has in its place.  Lines before the first that
 * begins with '{' are fio's remarks.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#ifdef HAVE_JANSSON
#include <jansson.h>
#endif

#include "distribution.h"
#include "duration.h"
#include "percentiles.h"

#define ALL 1000000000 /* parts of a billion */

#define refuse(why, ...) (message_set (why, __VA_ARGS__), -EINVAL)

struct percentiles_file {
  const char *path;
  char *text; /* of lines; NULL where it is fio's */
#ifdef HAVE_JANSSON
  json_t *root;
#endif
};

static bool
is_digit (char c)
{
  return c >= '0' && c <= '9';
}

int
percent_parse (const char *text, size_t len, uint32_t *above)
{
  const char *const end = text + len, *s = text;
  uint32_t part = ALL / 100, r = 0;

  for (; s < end && is_digit (*s); s++) {
    r = r * 10 + (uint32_t) (*s - '0');
    if (r > 100)
      return -EINVAL;
  }
  if (s == text)
    return -EINVAL;
  r *= part;
  if (s < end && *s == '.') {
    if (++s == end)
      return -EINVAL;
    for (; s < end && is_digit (*s); s++) {
      part /= 10;
      r += (uint32_t) (*s - '0') * part;
    }
  }
  if (s != end || r > ALL)
    return -EINVAL;
  *above = ALL - r;
  return 0;
}

void
percent_format (uint32_t above, char *buf, size_t len)
{
  const uint32_t below = ALL - above;
  size_t n;

  n = snprintf (buf, len, "%" PRIu32 ".%07" PRIu32, below / (ALL / 100),
                below % (ALL / 100));
  while (buf[n - 1] == '0')
    n--;
  if (buf[n - 1] == '.')
    n--;
  buf[n] = '\0';
}

bool
percentiles_ascend (const struct percentile *p, size_t n)
{
  size_t i;

  for (i = 1; i < n; i++) {
    if (p[i].above >= p[i - 1].above || p[i].nsec < p[i - 1].nsec)
      return false;
  }
  return n > 0;
}

/*---------------------------------------------------------------------*/
/* Lines */

/* The number from *s on, which is moved past it and blanks around it. */
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
/* fio's output */

#ifdef HAVE_JANSSON

static const char *const section_names[NR_OPERATIONS] = {
    [OP_READ] = "read", [OP_WRITE] = "write", [OP_FLUSH] = "sync",
    [OP_TRIM] = "trim", [OP_ZERO] = "write",  [OP_ZONE] = "write",
};

/* The times of a section, if it has any requests in percentiles. */
static json_t *
times_of (json_t *section)
{
  static const char *const names[] = {"clat_ns", "lat_ns"};
  json_t *times;
  size_t i;

  for (i = 0; i < sizeof names / sizeof names[0]; i++) {
    times = json_object_get (section, names[i]);
    if (json_integer_value (json_object_get (times, "N")) > 0 &&
        json_object_size (json_object_get (times, "percentile")) > 0)
      return times;
  }
  return NULL;
}

static int
compare (const void *a, const void *b)
{
  const struct percentile *p = a, *q = b;

  return p->above < q->above ? 1 : p->above > q->above ? -1 : 0;
}

/* fio gives a percentile as the bound of a bucket, a little off: so the
 * shortest and the longest, which are exact, may be within the table.
 */
static int
take_times (const char *path, json_t *times, struct percentile *p, size_t *n,
            struct message *why)
{
  const json_int_t least = json_integer_value (json_object_get (times, "min"));
  const json_int_t most = json_integer_value (json_object_get (times, "max"));
  const char *key;
  json_t *value;
  json_int_t nsec;

  *n = 0;
  json_object_foreach (json_object_get (times, "percentile"), key, value)
  {
    nsec = json_integer_value (value);
    if (*n + 2 >= MAX_FILE_PERCENTILES || !json_is_integer (value) ||
        nsec < 0 || percent_parse (key, strlen (key), &p[*n].above) < 0)
      return refuse (why, "%.200s: the percentiles are not as fio writes them",
                     path);
    p[(*n)++].nsec = nsec;
  }
  qsort (p, *n, sizeof *p, compare);
  if (p[0].above != ALL && least > 0 && (uint64_t) least < p[0].nsec) {
    memmove (p + 1, p, *n * sizeof *p);
    ++*n;
    p[0] = (struct percentile){.above = ALL, .nsec = least};
  }
  if (p[*n - 1].above != 0 && most > 0 && (uint64_t) most > p[*n - 1].nsec)
    p[(*n)++] = (struct percentile){.above = 0, .nsec = most};
  if (!percentiles_ascend (p, *n))
    return refuse (why, "%.200s: the percentiles do not ascend", path);
  if (p[*n - 1].nsec > MAX_DURATION)
    return refuse (why, "%.200s: a duration is above 100 s", path);
  return 0;
}

static int
open_fio (struct percentiles_file *f, const char *text, struct message *why)
{
  json_error_t error;

  f->root = json_loads (text, JSON_DISABLE_EOF_CHECK, &error);
  if (f->root == NULL)
    return refuse (why, "%.200s: it begins like JSON, and is wrong at line %d",
                   f->path, error.line);
  if (json_array_size (json_object_get (f->root, "jobs")) == 0)
    return refuse (why, "%.200s: it is JSON, but not fio's: it has no jobs",
                   f->path);
  return 0;
}

static int
take_fio (const struct percentiles_file *f, enum operation op,
          struct percentile *p, size_t *n, struct message *why)
{
  const char *name = section_names[op];
  json_t *job, *times, *found = NULL;
  size_t i;

  json_array_foreach (json_object_get (f->root, "jobs"), i, job)
  {
    times = times_of (json_object_get (job, name));
    if (times != NULL && found != NULL)
      return refuse (why,
                     "%.200s: several of its jobs have \"%s\" times; run fio "
                     "with --group_reporting",
                     f->path, name);
    if (times != NULL)
      found = times;
  }
  if (found == NULL) {
    message_set (why,
                 "%.200s: none of its jobs has percentiles of \"%s\" times in "
                 "nanoseconds, as fio 3 writes them",
                 f->path, name);
    return -ENODATA;
  }
  return take_times (f->path, found, p, n, why);
}

static void
close_fio (struct percentiles_file *f)
{
  json_decref (f->root);
}

#else /* !HAVE_JANSSON */

static int
open_fio (struct percentiles_file *f, const char *text, struct message *why)
{
  (void) text;
  return refuse (why,
                 "%.200s: it is JSON, which this build cannot read (jansson "
                 "was missing); lines PERCENTILE,NANOSECONDS can be read",
                 f->path);
}

static int
take_fio (const struct percentiles_file *f, enum operation op,
          struct percentile *p, size_t *n, struct message *why)
{
  (void) f, (void) op, (void) p, (void) n, (void) why;
  return -ENODATA;
}

static void
close_fio (struct percentiles_file *f)
{
  (void) f;
}

#endif

/*---------------------------------------------------------------------*/

/* Read a file whole, with a 0 behind it.  Nothing but a file: a pipe could keep
 * us waiting.
 */
static int
read_file (const char *path, char **text, struct message *why)
{
  struct stat st;
  FILE *fp = NULL;
  size_t len;
  int fd, r = 0;

  *text = NULL;
  fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd >= 0)
    fp = fdopen (fd, "r");
  if (fp == NULL)
    return refuse (why, "%.200s: %s", path, strerror (errno));
  if (fstat (fd, &st) < 0 || !S_ISREG (st.st_mode) ||
      st.st_size > MAX_DISTRIBUTION_FILE) {
    r = refuse (why, "%.200s: it is not a file of at most %d MiB", path,
                MAX_DISTRIBUTION_FILE >> 20);
    goto out;
  }
  *text = malloc ((size_t) st.st_size + 1);
  if (*text == NULL) {
    r = -ENOMEM;
    goto out;
  }
  len = fread (*text, 1, st.st_size, fp);
  if (ferror (fp)) {
    r = refuse (why, "%.200s: it cannot be read", path);
    free (*text);
    goto out;
  }
  (*text)[len] = '\0';
out:
  fclose (fp);
  return r;
}

/* The first line that begins with '{', or NULL. */
static const char *
find_json (const char *text)
{
  while (*text != '{') {
    text = strchr (text, '\n');
    if (text == NULL)
      return NULL;
    text++;
  }
  return text;
}

int
percentiles_open (const char *path, struct percentiles_file **r,
                  struct message *why)
{
  struct percentiles_file *f = calloc (1, sizeof *f);
  const char *json;
  int err;

  if (f == NULL)
    return -ENOMEM;
  f->path = path;
  err = read_file (path, &f->text, why);
  if (err < 0) {
    free (f);
    return err;
  }
  json = find_json (f->text);
  if (json != NULL) {
    err = open_fio (f, json, why);
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
  close_fio (f);
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
                        : take_fio (f, op, p, n, why);
  if (err < 0) {
    free (p);
    return err;
  }
  *r = p;
  return 0;
}
