/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Statistics from JSON; see snapshot.h.
 */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot.h"

#define MAX_BUCKETS 100000

const char *const snapshot_cond_names[NR_SNAPSHOT_CONDS] = {
    "conventional", "empty", "implicitly_open", "explicitly_open",
    "closed",       "full",  "read_only",       "offline"};

/*---------------------------------------------------------------------*/
/* From JSON.  Nothing is taken for granted: jansson's functions give NULL or 0
 * for what is missing or of another type.
 */

/* A number is an integer; jansson refuses a text with one of more than
 * INT64_MAX, and the server gives none.  Whoever writes the text anew may have
 * made a real of it.
 */
static uint64_t
number (const json_t *value)
{
  if (json_is_integer (value))
    return json_integer_value (value) > 0 ? json_integer_value (value) : 0;
  if (json_is_real (value) && json_real_value (value) > 0)
    return json_real_value (value) < 1e19 ? (uint64_t) json_real_value (value)
                                          : UINT64_MAX;
  return 0;
}

static uint64_t
get_number (const json_t *object, const char *key)
{
  return number (json_object_get (object, key));
}

static void
get_text (const json_t *object, const char *key, char *buf, size_t size)
{
  const char *text = json_string_value (json_object_get (object, key));
  struct message clean;

  message_set (&clean, "%.*s", (int) size - 1, text != NULL ? text : "");
  strcpy (buf, clean.text);
}

static bool
take_histogram (struct snapshot_op *op, const json_t *histogram)
{
  size_t n = json_array_size (histogram), i;
  const json_t *entry;
  struct bucket *b;

  if (n > MAX_BUCKETS)
    n = MAX_BUCKETS;
  op->buckets = calloc (n + 1, sizeof *op->buckets);
  if (op->buckets == NULL)
    return false;
  for (i = 0; i < n; i++) {
    entry = json_array_get (histogram, i);
    b = &op->buckets[op->nr_buckets];
    b->from = number (json_array_get (entry, 0));
    b->below = number (json_array_get (entry, 1));
    b->count = number (json_array_get (entry, 2));
    /* Leave out what is empty, or does not ascend. */
    if (b->below > b->from && b->count > 0 &&
        (op->nr_buckets == 0 || b->from >= b[-1].below))
      op->nr_buckets++;
  }
  return true;
}

static void
take_errors (struct snapshot_op *op, json_t *errors)
{
  struct message clean;
  const char *name;
  json_t *count;

  json_object_foreach (errors, name, count)
  {
    if (op->nr_errors == MAX_SNAPSHOT_ERRORS)
      break;
    message_set (&clean, "%.15s", name);
    strcpy (op->errors[op->nr_errors].name, clean.text);
    op->errors[op->nr_errors++].count = number (count);
  }
}

static void
take_percentiles (uint64_t to[NR_PERCENTILES], const json_t *from)
{
  static const char *const names[NR_PERCENTILES] = {"p50",   "p90",    "p99",
                                                    "p99.9", "p99.99", "max"};
  unsigned i;

  for (i = 0; i < NR_PERCENTILES; i++)
    to[i] = get_number (from, names[i]);
}

static bool
fill_snapshot (struct snapshot *s, const json_t *root)
{
  const json_t *server = json_object_get (root, "server");
  const json_t *depth = json_object_get (root, "queue_depth");
  const json_t *memory = json_object_get (root, "memory");
  const json_t *zones = json_object_get (root, "zones");
  const json_t *operations = json_object_get (root, "operations");
  const json_t *o;
  unsigned i;

  get_text (root, "device", s->device, sizeof s->device);
  get_text (server, "nullblk", s->server_version, sizeof s->server_version);
  s->parallel = json_is_true (json_object_get (server, "parallel"));
  s->batch = json_is_true (json_object_get (server, "batch"));
  s->holds_replies = json_is_true (json_object_get (server, "holds_replies"));
  s->defers_replies = json_is_true (json_object_get (server, "defers_replies"));
  s->uptime_ns = get_number (server, "uptime_ns");
  s->since_reset_ns = get_number (root, "since_reset_ns");
  s->interval_ns = s->since_reset_ns;
  s->connections = get_number (root, "connections");
  s->depth = get_number (depth, "now");
  s->depth_largest = get_number (depth, "largest");
  s->places = get_number (depth, "threads");
  s->saturated = get_number (depth, "saturated");
  take_percentiles (s->late, json_object_get (root, "late_ns"));
  s->has_memory = json_is_object (memory);
  s->memory_held = get_number (memory, "held");
  s->memory_limit = get_number (memory, "limit");
  s->written_blocks = get_number (root, "written_blocks");
  s->has_zones = json_is_object (zones);
  s->nr_zones = get_number (zones, "number");
  for (i = 0; i < NR_SNAPSHOT_CONDS; i++)
    s->zones[i] = get_number (zones, snapshot_cond_names[i]);
  for (i = 0; i < NR_OPERATIONS; i++) {
    o = json_object_get (operations, operation_names[i]);
    s->op[i].requests = get_number (o, "requests");
    s->op[i].bytes = get_number (o, "bytes");
    take_percentiles (s->op[i].asked, json_object_get (o, "asked_ns"));
    s->op[i].max = get_number (json_object_get (o, "latency_ns"), "max");
    take_errors (&s->op[i], json_object_get (o, "errors"));
    if (!take_histogram (&s->op[i], json_object_get (o, "histogram")))
      return false;
  }
  return true;
}

/* The name of a member that the statistics of all servers have, and ROOT does
 * not; or NULL.
 */
static const char *
missing (const json_t *root)
{
  const json_t *operations = json_object_get (root, "operations");
  unsigned i;

  if (get_number (root, "version") == 0)
    return "version";
  if (!json_is_string (json_object_get (root, "device")))
    return "device";
  if (!json_is_object (json_object_get (root, "server")))
    return "server";
  if (!json_is_object (operations))
    return "operations";
  for (i = 0; i < NR_OPERATIONS; i++) {
    if (!json_is_object (json_object_get (operations, operation_names[i])))
      return operation_names[i];
  }
  return NULL;
}

json_t *
statistics_parse (const char *text, struct message *why)
{
  const char *lacks;
  json_error_t error;
  json_t *root;

  root = json_loads (text, 0, &error);
  if (root == NULL) {
    message_set (why, "the statistics are not JSON: %s", error.text);
    return NULL;
  }
  lacks = missing (root);
  if (lacks == NULL)
    return root;
  message_set (why, "these are no statistics of nullblk's: they have no %s",
               lacks);
  json_decref (root);
  return NULL;
}

struct snapshot *
snapshot_parse (const char *text, struct message *why)
{
  json_t *root = statistics_parse (text, why);
  struct snapshot *s;

  if (root == NULL)
    return NULL;
  s = calloc (1, sizeof *s);
  if (s == NULL || !fill_snapshot (s, root)) {
    message_set (why, "%s", strerror (ENOMEM));
    snapshot_free (s);
    s = NULL;
  }
  json_decref (root);
  return s;
}

void
snapshot_free (struct snapshot *s)
{
  unsigned i;

  if (s == NULL)
    return;
  for (i = 0; i < NR_OPERATIONS; i++)
    free (s->op[i].buckets);
  free (s);
}

/*---------------------------------------------------------------------*/
/* Arithmetic */

/* Were the statistics reset between A and B, or is B of another server?  Signs
 * of that: B's uptime is shorter; its last reset came after A; or a count is
 * lower, as after a reset while the server was making A.
 */
static bool
went_back (const struct snapshot *a, const struct snapshot *b)
{
  unsigned i;

  if (b->uptime_ns < a->uptime_ns || b->since_reset_ns < a->since_reset_ns ||
      (b->since_reset_ns < b->uptime_ns &&
       b->uptime_ns - b->since_reset_ns > a->uptime_ns))
    return true;
  for (i = 0; i < NR_OPERATIONS; i++) {
    if (b->op[i].requests < a->op[i].requests ||
        b->op[i].bytes < a->op[i].bytes)
      return true;
  }
  return false;
}

/* Subtract the counts of FROM from those of TO, bucket by bucket. */
static void
subtract (struct snapshot_op *to, const struct snapshot_op *from)
{
  struct bucket *b;
  uint64_t i, j = 0, n = 0;

  for (i = 0; i < to->nr_buckets; i++) {
    b = &to->buckets[i];
    while (j < from->nr_buckets && from->buckets[j].from < b->from)
      j++;
    if (j < from->nr_buckets && from->buckets[j].from == b->from)
      b->count -=
          from->buckets[j].count < b->count ? from->buckets[j].count : b->count;
    if (b->count > 0)
      to->buckets[n++] = *b;
  }
  to->nr_buckets = n;
}

/* The longest time of the interval.  It is exact if it is longer than all times
 * before the interval (WAS), and else the end of its bucket.
 */
static uint64_t
longest (const struct snapshot_op *op, uint64_t was)
{
  uint64_t below;

  if (op->nr_buckets == 0)
    return 0;
  below = op->buckets[op->nr_buckets - 1].below;
  return op->max > was || op->max < below ? op->max : below - 1;
}

struct snapshot *
snapshot_since (const struct snapshot *a, const struct snapshot *b)
{
  const bool anew = a == NULL || went_back (a, b);
  struct snapshot *s = malloc (sizeof *s);
  const struct snapshot_op *was;
  struct snapshot_op *op;
  unsigned i, e, f;

  if (s == NULL)
    return NULL;
  *s = *b;
  for (i = 0; i < NR_OPERATIONS; i++)
    s->op[i].buckets = NULL;
  for (i = 0; i < NR_OPERATIONS; i++) {
    op = &s->op[i];
    op->buckets = calloc (b->op[i].nr_buckets + 1, sizeof *op->buckets);
    if (op->buckets == NULL) {
      snapshot_free (s);
      return NULL;
    }
    memcpy (op->buckets, b->op[i].buckets,
            b->op[i].nr_buckets * sizeof *op->buckets);
    if (anew)
      continue;
    was = &a->op[i];
    op->requests -= was->requests;
    op->bytes -= was->bytes;
    for (e = 0; e < op->nr_errors; e++) {
      for (f = 0; f < was->nr_errors; f++) {
        if (strcmp (op->errors[e].name, was->errors[f].name) == 0 &&
            op->errors[e].count >= was->errors[f].count)
          op->errors[e].count -= was->errors[f].count;
      }
    }
    subtract (op, was);
    op->max = longest (op, was->max);
  }
  s->interval_ns = anew ? b->since_reset_ns : b->uptime_ns - a->uptime_ns;
  return s;
}

uint64_t
snapshot_errors (const struct snapshot_op *op)
{
  uint64_t sum = 0;
  unsigned i;

  for (i = 0; i < op->nr_errors; i++)
    sum += op->errors[i].count;
  return sum;
}

uint64_t
snapshot_percentile (const struct snapshot_op *op, unsigned per_10000)
{
  uint64_t i, sum = 0, wanted;

  for (i = 0; i < op->nr_buckets; i++)
    sum += op->buckets[i].count;
  if (sum == 0)
    return 0;
  wanted = sum / 10000 * per_10000 + (sum % 10000 * per_10000 + 9999) / 10000;
  for (i = 0; i < op->nr_buckets - 1 && wanted > op->buckets[i].count; i++)
    wanted -= op->buckets[i].count;
  sum = op->buckets[i].from +
        (op->buckets[i].below - op->buckets[i].from - 1) / 2;
  return op->max > 0 && sum > op->max ? op->max : sum;
}
