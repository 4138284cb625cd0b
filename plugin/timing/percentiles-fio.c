/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The output of fio with --output-format=json; see percentiles.h.
 *
 * It has a list "jobs" (of a client: "client_stats"), and in each job "read",
 * "write", "trim" and "sync", or, with unified_rw_reporting=1, "mixed" in the
 * place of the first three.  What matters of such a section is
 *
 *     "total_ios": 22128,
 *     "clat_ns": {
 *       "min": 981, "max": 8470627, "mean": 72339.3, "N": 22128,
 *       "percentile": {"1.000000": 1288, ..., "99.990000": 3620864}
 *     }
 *
 * or "lat_ns", which "sync" has in its place, or, of fio 2, the same without
 * "_ns", in microseconds.  "N" is of later versions: total_ios says as much.
 * Lines before the first that begins with '{' are fio's remarks; with
 * --status-interval there are several documents, each of all since the start,
 * so that the last one counts.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_JANSSON
#include <jansson.h>
#endif

#include "common/common.h"
#include "distribution.h"
#include "percentiles-internal.h"

#define refuse(why, ...) (message_set (why, __VA_ARGS__), -EINVAL)

const char *
fio_find (const char *text)
{
  while (*text != '{') {
    text = strchr (text, '\n');
    if (text == NULL)
      return NULL;
    text++;
  }
  return text;
}

#ifdef HAVE_JANSSON

struct fio_output {
  json_t *root;
  json_t *jobs; /* a list in it; or */
  json_t *all;  /* what stands for all of it */
};

static const char *const section_names[NR_OPERATIONS] = {
    [OP_READ] = "read", [OP_WRITE] = "write", [OP_FLUSH] = "sync",
    [OP_TRIM] = "trim", [OP_ZERO] = "write",  [OP_ZONE] = "write",
};

/* Names of times, and what they are in; `top` is what fio's topmost bucket is
 * called, which has all that is longer.
 */
static const struct kind {
  const char *name;
  json_int_t nsec, top;
} kinds[] = {
    {"clat_ns", 1, 17112760320},
    {"lat_ns", 1, 17112760320},
    {"clat", 1000, 16711680},
    {"lat", 1000, 16711680},
};

#define NR_KINDS (sizeof kinds / sizeof kinds[0])

struct times {
  json_t *section, *object;
  const struct kind *kind;
};

static double
number (const json_t *object, const char *name)
{
  return json_number_value (json_object_get (object, name));
}

/* How many requests a section's times are of. */
static json_int_t
requests (const json_t *section, const json_t *times)
{
  json_t *n = json_object_get (times, "N");

  if (n == NULL)
    n = json_object_get (section, "total_ios");
  return json_integer_value (n);
}

/* fio 3.1 has members "0.00" that stand for nothing. */
static bool
is_percentile (const char *key, const json_t *value)
{
  uint32_t above;

  return json_integer_value (value) != 0 ||
         percent_parse (key, strlen (key), &above) < 0 ||
         above != PARTS_PER_WHOLE;
}

static size_t
nr_percentiles (const json_t *times)
{
  const char *key;
  json_t *value;
  size_t n = 0;

  json_object_foreach (json_object_get (times, "percentile"), key, value) n +=
      is_percentile (key, value);
  return n;
}

/* fio's name of the section that has all of reads, writes and trims. */
static const char mixed[] = "mixed";

/* The name of a job's section for an operation. */
static const char *
section_name (const json_t *job, enum operation op)
{
  const bool is_mixed = json_object_get (job, section_names[op]) == NULL &&
                        op != OP_FLUSH && op != OP_TRIM &&
                        json_object_get (job, mixed) != NULL;

  return is_mixed ? mixed : section_names[op];
}

/* The section, or NULL. */
static json_t *
section_of (const json_t *job, enum operation op)
{
  return json_object_get (job, section_name (job, op));
}

/* The times of a section, if it has any requests in percentiles. */
static bool
find_times (json_t *section, struct times *r)
{
  json_t *times;
  size_t i;

  for (i = 0; i < NR_KINDS; i++) {
    times = json_object_get (section, kinds[i].name);
    if (requests (section, times) > 0 && nr_percentiles (times) > 0) {
      *r = (struct times){section, times, &kinds[i]};
      return true;
    }
  }
  return false;
}

static int
compare (const void *a, const void *b)
{
  const struct percentile *p = a, *q = b;

  return p->above < q->above ? 1 : p->above > q->above ? -1 : 0;
}

/* No request completes later than it ends, and no drive takes longer than fio
 * can tell for most of them: fio has got such times wrong.
 */
static int
check_times (const char *path, const struct times *t, const char *section,
             const struct percentile *p, size_t n, struct message *why)
{
  const bool completes = strncmp (t->kind->name, "clat", 4) == 0;
  const char *whole = t->kind->nsec == 1 ? "lat_ns" : "lat";
  json_t *lat = completes ? json_object_get (t->section, whole) : NULL;
  const double mean = number (t->object, "mean");
  const uint64_t top = (uint64_t) (t->kind->top * t->kind->nsec);
  size_t i;

  if (lat != NULL && requests (t->section, lat) > 0 &&
      mean > number (lat, "mean") * 1.01 && number (lat, "mean") > 0)
    return refuse (why,
                   "%.200s: its \"%s\" times cannot be true: until they "
                   "complete (%s) requests take %.0f us on average, and "
                   "altogether (%s) %.0f us",
                   path, section, t->kind->name,
                   mean * (double) t->kind->nsec / 1000, whole,
                   number (lat, "mean") * (double) t->kind->nsec / 1000);
  for (i = 0; i < n && p[i].above >= PARTS_PER_WHOLE / 2; i++) {
    if (p[i].nsec >= top)
      return refuse (why,
                     "%.200s: its \"%s\" times cannot be true: half of them "
                     "are beyond the %" PRIu64 " s that fio can tell",
                     path, section, top / NSEC_PER_SEC);
  }
  return 0;
}

/* fio gives a percentile as the bound of a bucket, a little off: so the
 * shortest and the longest, which are exact, may be within the table.
 */
static int
take_times (const char *path, const struct times *t, const char *section,
            struct percentile *p, size_t *n, struct message *why)
{
  const json_int_t unit = t->kind->nsec, limit = INT64_MAX / 1000;
  const json_int_t least =
      json_integer_value (json_object_get (t->object, "min"));
  const json_int_t most =
      json_integer_value (json_object_get (t->object, "max"));
  const char *key;
  json_t *value;
  json_int_t time;

  *n = 0;
  json_object_foreach (json_object_get (t->object, "percentile"), key, value)
  {
    if (!is_percentile (key, value))
      continue;
    time = json_integer_value (value);
    if (*n + 2 >= MAX_FILE_PERCENTILES || !json_is_integer (value) ||
        time < 0 || time > limit || least > limit || most > limit ||
        percent_parse (key, strlen (key), &p[*n].above) < 0)
      return refuse (why, "%.200s: the percentiles are not as fio writes them",
                     path);
    p[(*n)++].nsec = time * unit;
  }
  qsort (p, *n, sizeof *p, compare);
  if (p[0].above != PARTS_PER_WHOLE && least > 0 &&
      (uint64_t) (least * unit) < p[0].nsec) {
    memmove (p + 1, p, *n * sizeof *p);
    ++*n;
    p[0] = (struct percentile){.above = PARTS_PER_WHOLE, .nsec = least * unit};
  }
  if (p[*n - 1].above != 0 && most > 0 &&
      (uint64_t) (most * unit) > p[*n - 1].nsec)
    p[(*n)++] = (struct percentile){.above = 0, .nsec = most * unit};
  if (!percentiles_ascend (p, *n))
    return refuse (why, "%.200s: the percentiles do not ascend", path);
  if (p[*n - 1].nsec > MAX_DURATION)
    return refuse (why, "%.200s: a duration is above 100 s", path);
  return check_times (path, t, section, p, *n, why);
}

/*---------------------------------------------------------------------*/
/* Documents */

static unsigned
count_lines (const char *text, const char *end)
{
  unsigned n = 0;

  while ((text = memchr (text, '\n', end - text)) != NULL) {
    text++;
    n++;
  }
  return n;
}

/* The last of the documents in TEXT. */
static int
load_last (const char *path, const char *text, json_t **root,
           struct message *why)
{
  const char *at = text;
  json_error_t error;
  json_t *next;

  while ((at = fio_find (at)) != NULL) {
    next = json_loads (at, JSON_DISABLE_EOF_CHECK, &error);
    if (next == NULL)
      return refuse (why,
                     "%.200s: it begins like JSON, and is wrong at line %u",
                     path, count_lines (text, at) + (unsigned) error.line);
    json_decref (*root);
    *root = next;
    at += error.position;
    at += *at == '\n';
  }
  return 0;
}

/* The output of a client has each of its servers, and then all of them. */
static int
find_jobs (const char *path, struct fio_output *fio, struct message *why)
{
  json_t *clients = json_object_get (fio->root, "client_stats"), *client;
  const char *name;
  size_t i;

  fio->jobs = json_object_get (fio->root, "jobs");
  if (fio->jobs == NULL)
    fio->jobs = clients;
  json_array_foreach (clients, i, client)
  {
    name = json_string_value (json_object_get (client, "jobname"));
    if (name != NULL && strcmp (name, "All clients") == 0)
      fio->all = client;
  }
  if (json_array_size (fio->jobs) == 0)
    return refuse (why, "%.200s: it is JSON, but not fio's: it has no jobs",
                   path);
  return 0;
}

int
fio_open (const char *path, const char *text, struct fio_output **r,
          struct message *why)
{
  struct fio_output *fio = calloc (1, sizeof *fio);
  int err;

  if (fio == NULL)
    return -ENOMEM;
  err = load_last (path, text, &fio->root, why);
  if (err == 0)
    err = find_jobs (path, fio, why);
  if (err < 0)
    fio_close (fio);
  else
    *r = fio;
  return err;
}

void
fio_close (struct fio_output *fio)
{
  if (fio != NULL)
    json_decref (fio->root);
  free (fio);
}

/*---------------------------------------------------------------------*/

/* Two jobs have the times that are wanted: how fio makes one of them. */
static int
refuse_several (const char *path, const struct fio_output *fio,
                const json_t *job, const json_t *other, const char *section,
                struct message *why)
{
  if (json_object_get (fio->root, "client_stats") != NULL)
    return refuse (why,
                   "%.200s: several of its clients have \"%s\" times, and "
                   "\"All clients\" is missing",
                   path, section);
  if (json_integer_value (json_object_get (job, "groupid")) !=
      json_integer_value (json_object_get (other, "groupid")))
    return refuse (why,
                   "%.200s: jobs of several groups have \"%s\" times; run fio "
                   "with one of them, or without new_group and stonewall",
                   path, section);
  return refuse (why,
                 "%.200s: several of its jobs have \"%s\" times; run fio with "
                 "--group_reporting",
                 path, section);
}

/* Does the section have requests whose times are not in percentiles? */
static bool
lacks_percentiles (json_t *section)
{
  struct times times;

  return json_integer_value (json_object_get (section, "total_ios")) > 0 &&
         !find_times (section, &times);
}

/* No job has requests for an operation.  fio may have put them together with
 * others.
 */
static void
say_none (const char *path, const struct fio_output *fio, enum operation op,
          struct message *why)
{
  bool is_mixed = false;
  json_t *job;
  size_t i;

  json_array_foreach (fio->jobs, i, job)
  {
    is_mixed |= op != OP_FLUSH && json_object_get (job, mixed) != NULL;
  }
  message_set (why, "%.200s: none of its jobs has \"%s\" requests%s", path,
               section_names[op],
               is_mixed ? "; \"mixed\" ones are of unified_rw_reporting: run "
                          "fio without that"
                        : "");
}

static void
say_lacks (const char *path, const struct fio_output *fio, const char *section,
           struct message *why)
{
  if (fio->all != NULL)
    message_set (why,
                 "%.200s: fio gives no percentiles of \"%s\" times of several "
                 "clients together; take one of them",
                 path, section);
  else
    message_set (why,
                 "%.200s: its \"%s\" requests have no percentiles of their "
                 "times; run fio without gtod_reduce and disable_clat, with "
                 "clat_percentiles, and with no 0 in percentile_list",
                 path, section);
}

int
fio_take (const char *path, const struct fio_output *fio, enum operation op,
          struct percentile *p, size_t *n, struct message *why)
{
  const char *name = section_names[op], *lacking = NULL;
  json_t *job, *section, *found = NULL;
  struct times times, first = {0};
  size_t i;

  json_array_foreach (fio->jobs, i, job)
  {
    if (fio->all != NULL && job != fio->all)
      continue;
    section = section_of (job, op);
    if (lacks_percentiles (section))
      lacking = section_name (job, op);
    if (!find_times (section, &times))
      continue;
    name = section_name (job, op);
    if (found != NULL)
      return refuse_several (path, fio, found, job, name, why);
    found = job;
    first = times;
  }
  if (found != NULL)
    return take_times (path, &first, name, p, n, why);
  if (lacking != NULL)
    say_lacks (path, fio, lacking, why);
  else
    say_none (path, fio, op, why);
  return -ENODATA;
}

/* An option of a job, or of all jobs, by either of its names; or NULL. */
static const char *
option_of (const struct fio_output *fio, const json_t *job, const char *name,
           const char *other)
{
  const json_t *const options[] = {
      json_object_get (job, "job options"),
      json_object_get (fio->root, "global options")};
  const char *text;
  size_t i;

  for (i = 0; i < sizeof options / sizeof options[0]; i++) {
    text = json_string_value (json_object_get (options[i], name));
    if (text == NULL)
      text = json_string_value (json_object_get (options[i], other));
    if (text != NULL)
      return text;
  }
  return NULL;
}

static unsigned
count_of (const char *text, unsigned usually)
{
  unsigned long n = text != NULL ? strtoul (text, NULL, 10) : usually;

  return n <= 60000 ? (unsigned) n : 0;
}

/* How many requests a job has on their way.  With an engine that waits for
 * each, as fio's default does, iodepth means nothing.
 */
static unsigned
depth_of (const struct fio_output *fio, const json_t *job)
{
  static const char *const engines[] = {"sync",    "psync",  "vsync", "pvsync",
                                        "pvsync2", "splice", "mmap"};
  const char *engine = option_of (fio, job, "ioengine", "");
  size_t i;

  for (i = 0; engine != NULL && i < sizeof engines / sizeof engines[0]; i++) {
    if (strcmp (engine, engines[i]) == 0)
      engine = NULL;
  }
  return engine != NULL ? count_of (option_of (fio, job, "iodepth", ""), 1) : 1;
}

/* An option by which requests differ in size, wait for more than the drive, or
 * are durable by themselves; or NULL.
 */
static const char *
odd_option (const struct fio_output *fio, const json_t *job)
{
  static const char *const names[] = {"bsrange",  "blocksize_range", "bssplit",
                                      "sync",     "thinktime",       "rate",
                                      "rate_iops"};
  const char *text;
  size_t i;

  for (i = 0; i < sizeof names / sizeof names[0]; i++) {
    text = option_of (fio, job, names[i], "");
    if (text != NULL && strcmp (text, "0") != 0 && strcmp (text, "none") != 0)
      return names[i];
  }
  return NULL;
}

/* A size as fio has it: "4k", "4kb", "4KiB" and "4096" are one; 0 for others.
 */
static uint64_t
size_of (const char *text)
{
  static const char units[] = "kmg";
  const char *unit;
  char *end;
  uint64_t n;

  if (text == NULL)
    return 4096; /* fio's default */
  n = strtoul (text, &end, 10);
  unit = *end != '\0' ? strchr (units, *end | 0x20) : NULL;
  if (unit != NULL) {
    end++;
    if (n > UINT64_C (1) << 30)
      return 0;
    n <<= 10 * (unit - units + 1);
  }
  end += *end == 'i';
  end += *end == 'b' || *end == 'B';
  return *end == '\0' && n <= UINT32_MAX ? n : 0;
}

void
fio_load (const struct fio_output *fio, enum operation op,
          struct percentiles_load *load)
{
  const char *version =
      json_string_value (json_object_get (fio->root, "fio version"));
  const char *rw;
  struct times times;
  json_t *job, *group;
  size_t i;

  snprintf (load->version, sizeof load->version, "%s",
            version != NULL ? version : "fio");
  json_array_foreach (fio->jobs, i, job)
  {
    if ((fio->all != NULL && job != fio->all) ||
        !find_times (section_of (job, op), &times))
      continue;
    rw = option_of (fio, job, "rw", "readwrite");
    snprintf (load->rw, sizeof load->rw, "%s", rw != NULL ? rw : "");
    load->size = size_of (option_of (fio, job, "bs", "blocksize"));
    load->depth =
        depth_of (fio, job) * count_of (option_of (fio, job, "numjobs", ""), 1);
    load->sync = count_of (option_of (fio, job, "fsync", "fdatasync"), 0);
    load->iops = number (times.section, "iops");
    load->mean = number (times.object, "mean") * (double) times.kind->nsec;
    load->odd = odd_option (fio, job);
    load->job = (unsigned) i;
    group = json_object_get (job, "groupid");
    load->group = group != NULL ? json_integer_value (group) : -1;
    load->error = json_integer_value (json_object_get (job, "error"));
    return;
  }
}

void
fio_none (const char *path, const struct fio_output *fio, struct message *why)
{
  json_t *job;
  unsigned op;
  size_t i;

  json_array_foreach (fio->jobs, i, job)
  {
    for (op = 0; op < NR_OPERATIONS; op++) {
      if ((fio->all == NULL || job == fio->all) &&
          lacks_percentiles (section_of (job, (enum operation) op))) {
        say_lacks (path, fio, section_name (job, (enum operation) op), why);
        return;
      }
    }
  }
  message_set (why,
               "%.200s: none of its jobs has \"read\", \"write\", \"trim\" or "
               "\"sync\" requests",
               path);
}

#else /* !HAVE_JANSSON */

int
fio_open (const char *path, const char *text, struct fio_output **r,
          struct message *why)
{
  (void) text, (void) r;
  return refuse (why,
                 "%.200s: it is JSON, which this build cannot read (jansson "
                 "was missing); lines PERCENTILE,NANOSECONDS can be read",
                 path);
}

void
fio_close (struct fio_output *fio)
{
  (void) fio;
}

int
fio_take (const char *path, const struct fio_output *fio, enum operation op,
          struct percentile *p, size_t *n, struct message *why)
{
  (void) path, (void) fio, (void) op, (void) p, (void) n, (void) why;
  return -ENODATA;
}

void
fio_load (const struct fio_output *fio, enum operation op,
          struct percentiles_load *load)
{
  (void) fio, (void) op, (void) load;
}

void
fio_none (const char *path, const struct fio_output *fio, struct message *why)
{
  (void) path, (void) fio, (void) why;
}

#endif
