/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The texts of the control exports: settings and statistics; see control.h.
 * The man page (CONTROL EXPORTS) describes both.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/common.h"
#include "control-internal.h"
#include "device/device.h"
#include "settings/settings.h"

#define CONFIG_SIZE 65536
#define STATS_SIZE (1 << 20)
#define STATS_VERSION 1

static const size_t text_size[NR_DOCUMENTS] = {
    [DOCUMENT_CONFIG] = CONFIG_SIZE,
    [DOCUMENT_STATS] = STATS_SIZE,
};

size_t
control_text_size (enum document document)
{
  return text_size[document];
}

static void
add_bytes (struct control *c, const char *bytes, size_t n)
{
  const size_t room = text_size[c->document] - c->used;

  n = n < room ? n : room;
  memcpy (c->text + c->used, bytes, n);
  c->used += n;
}

/* Add to the text, which is cut off where it does not fit.  Lists that may be
 * long take no more than half of it.
 */
static void __attribute__ ((format (printf, 2, 3)))
add (struct control *c, const char *fs, ...)
{
  const size_t room = text_size[c->document] - c->used;
  va_list args;
  int n;

  if (room == 0)
    return;
  va_start (args, fs);
  n = vsnprintf (c->text + c->used, room + 1, fs, args);
  va_end (args);
  if (n > 0)
    c->used += (size_t) n < room ? (size_t) n : room;
}

/* A list of any length was added, from BEGIN on.  Take it out again if it goes
 * beyond the middle of the text: the rest needs room, too.
 */
static bool
keep_list (struct control *c, size_t begin)
{
  if (c->used <= text_size[c->document] / 2)
    return true;
  c->used = begin;
  return false;
}

/* Add the bad blocks, after a line that clears all: so who writes the text back
 * sets exactly those that it lists.
 */
static int
add_badblocks (struct control *c)
{
  char *text = badblocks_format (&c->device->badblocks);
  const size_t begin = c->used;

  if (text == NULL)
    return -ENOMEM;
  if (strcmp (text, "none") == 0)
    add (c, "badblocks=none\n");
  else
    add (c, "badblocks=none,%s\n", text);
  if (!keep_list (c, begin))
    add (c, "# badblocks: the list is too long to be shown\n");
  free (text);
  return 0;
}

static void
add_rule (void *opaque, const struct fault_info *info)
{
  add (opaque, "fault=%s\n", info->text);
}

/* Add the rules, after a line by which all others go when the text is written
 * back.  The key stands there also where there are no rules.
 */
static int
add_rules (struct control *c)
{
  const size_t begin = c->used;
  size_t rules;
  int r;

  add (c, "fault-delete=others\n");
  rules = c->used;
  r = faults_each (&c->device->faults, add_rule, c);
  if (c->used == rules)
    add (c, "fault=none\n");
  if (!keep_list (c, begin))
    add (c, "# fault: the list is too long to be shown\n");
  return r;
}

/* Add notes: what a change cannot bring while the server runs, and what is
 * amiss.
 */
static void
add_note (struct control *c, const struct settings *s)
{
  const struct front_end *front_end = &c->device->devices->front_end;
  const bool may_be_early = c->device->zones != NULL && s->zones.reorder_wait;
  struct writelog_status log;

  if ((durability_epoch (c->device->durability) & 1) != 0)
    add (c, "# note: power is cut: all requests fail with ESHUTDOWN until "
            "power=on\n");
  if (c->device->log != NULL) {
    writelog_status (c->device->log, &log);
    if (log.error != 0)
      add (c, "# note: the write log has ended: %s\n", strerror (-log.error));
  }
  if ((!device_waits (c->device) && !may_be_early) ||
      front_end->max_deferred != 0)
    return;
  if (!front_end->may_be_parallel)
    add (c, "# note: requests of a connection wait one after another: the "
            "server was started with nothing to wait for, or parallel=off\n");
  else if (atomic_load (&front_end->seen_serial))
    add (c, "# note: requests of a connection wait one after another: nbdkit "
            "was started with -t 1 or with a filter that wants that\n");
  else
    return;
  if (may_be_early)
    add (c, "# note: a write ahead of its zone's write pointer keeps later "
            "writes of its connection waiting: it fails unless another "
            "connection fills the gap\n");
}

static int
make_config (struct control *c)
{
  struct settings_version *version;
  struct param_row row;
  size_t i;
  int r;

  if (c->error.text[0] != '\0' && c->error_of == c->text_of)
    add (c, "# error: %s\n", c->error.text);
  add (c, "# live:");
  for (i = 0; params_row (i, &row); i++) {
    if (row.is_live)
      add (c, " %s", row.name);
  }
  add (c, "\n# done:");
  for (i = 0; i < MAX_TAGS && c->done[i][0] != '\0'; i++)
    add (c, " %s", c->done[i]);
  add (c, "\n");
  version = device_hold_settings (c->device);
  add_note (c, &version->s);
  for (i = 0; params_print (&version->s, i, c->text + c->used,
                            control_text_size (c->document) - c->used + 1);
       i++) {
    c->used += strlen (c->text + c->used);
    add (c, "\n");
  }
  device_drop_settings (c->device, version);
  r = add_badblocks (c);
  return r < 0 ? r : add_rules (c);
}

/* "NAME": {"p50": ..., "max": ...} */
static void
add_percentiles (struct control *c, const char *name, const struct histogram *h)
{
  static const struct {
    const char *name;
    unsigned per_10000;
  } percentiles[] = {{"p50", 5000},
                     {"p90", 9000},
                     {"p99", 9900},
                     {"p99.9", 9990},
                     {"p99.99", 9999}};
  unsigned i;

  add (c, "\"%s\": {", name);
  for (i = 0; i < sizeof percentiles / sizeof percentiles[0]; i++)
    add (c, "\"%s\": %" PRIu64 ", ", percentiles[i].name,
         histogram_percentile (h, percentiles[i].per_10000));
  add (c, "\"max\": %" PRIu64 "}", h->longest);
}

static void
add_operation (struct control *c, const struct op_stats *o)
{
  const char *between = "";
  unsigned i;

  add (c,
       "{\"requests\": %" PRIu64 ", \"bytes\": %" PRIu64 ",\n"
       "      \"errors\": {",
       histogram_total (&o->served), o->bytes);
  for (i = 0; i < NR_ERRORS; i++) {
    if (o->errors[i] > 0) {
      add (c, "%s\"%s\": %" PRIu64, between, nbd_errors[i].name, o->errors[i]);
      between = ", ";
    }
  }
  add (c, "},\n      ");
  add_percentiles (c, "latency_ns", &o->served);
  add (c, ",\n      ");
  add_percentiles (c, "asked_ns", &o->asked);
  add (c, ",\n      \"histogram\": [");
  between = "";
  for (i = 0; i < NR_BUCKETS; i++) {
    if (o->served.bucket[i] > 0) {
      add (c, "%s[%" PRIu64 ", %" PRIu64 ", %" PRIu64 "]", between,
           stats_bucket_from (i), stats_bucket_from (i + 1),
           o->served.bucket[i]);
      between = ", ";
    }
  }
  add (c, "]}");
}

static void
add_server (struct control *c, const struct device_stats *sum, uint64_t since)
{
  const struct devices *devices = c->device->devices;
  const uint64_t now = clock_now ();

  add (c,
       "{\"version\": %d,\n"
       "  \"device\": \"%s\",\n"
       "  \"server\": {\"nullblk\": \"%s\", \"uptime_ns\": %" PRIu64
       ", \"parallel\": %s, \"batch\": %s, \"holds_replies\": %s"
       ", \"defers_replies\": %s},\n"
       "  \"since_reset_ns\": %" PRIu64 ",\n"
       "  \"connections\": %" PRIu32 ",\n",
       STATS_VERSION, c->device->name, PACKAGE_VERSION, now - devices->started,
       devices->front_end.may_be_parallel &&
               !atomic_load (&devices->front_end.seen_serial)
           ? "true"
           : "false",
       devices->front_end.batch ? "true" : "false",
       atomic_load (&devices->front_end.holds_replies) ? "true" : "false",
       devices->front_end.defer != NULL ? "true" : "false", now - since,
       sum->connections);
  if (c->device->block_device[0] != '\0')
    add (c, "  \"block_device\": \"%s\",\n", c->device->block_device);
  else
    add (c, "  \"block_device\": null,\n");
  add (c,
       "  \"queue_depth\": {\"now\": %" PRIu32 ", \"largest\": %" PRIu32
       ", \"threads\": %" PRIu32 ", \"saturated\": %" PRIu64 "},\n  ",
       sum->in_flight, sum->in_flight_most, sum->places, sum->began_saturated);
  add_percentiles (c, "late_ns", &sum->stats.late);
  add (c, ",\n");
}

static void
add_memory (struct control *c)
{
  struct device *d = c->device;
  struct settings_version *version;

  if (d->store == NULL) {
    add (c, "  \"memory\": null,\n  \"written_blocks\": 0,\n");
    return;
  }
  version = device_hold_settings (d);
  add (c,
       "  \"memory\": {\"held\": %" PRIu64 ", \"limit\": %" PRIu64 "},\n"
       "  \"written_blocks\": %" PRIu64 ",\n",
       store_charged (d->store), version->s.memory_limit,
       store_written_pages (d->store, d->number));
  device_drop_settings (d, version);
}

/* Add how many zones are in each condition, or null. */
static void
add_zones (struct control *c)
{
  static const struct {
    const char *name;
    enum zone_cond cond;
  } conds[] = {{"conventional", ZONE_COND_NOT_WP},
               {"empty", ZONE_COND_EMPTY},
               {"implicitly_open", ZONE_COND_IMP_OPEN},
               {"explicitly_open", ZONE_COND_EXP_OPEN},
               {"closed", ZONE_COND_CLOSED},
               {"full", ZONE_COND_FULL},
               {"read_only", ZONE_COND_READONLY},
               {"offline", ZONE_COND_OFFLINE}};
  struct device *d = c->device;
  uint64_t counts[NR_ZONE_CONDS];
  unsigned i;

  if (d->zones == NULL) {
    add (c, "  \"zones\": null,\n");
    return;
  }
  zones_count_by_condition (d->zones, counts);
  add (c, "  \"zones\": {\"number\": %" PRIu64, zones_total (d->zones));
  for (i = 0; i < sizeof conds / sizeof conds[0]; i++)
    add (c, ", \"%s\": %" PRIu64, conds[i].name, counts[conds[i].cond]);
  add (c, "},\n");
}

static void
add_power (struct control *c)
{
  struct durability_status s;

  device_power_status (c->device, &s);
  add (c,
       "  \"power\": {\"on\": %s, \"volatile\": %" PRIu64 ", \"undo\": %" PRIu64
       ", \"writes_left\": %" PRIu64 ", \"cuts\": %" PRIu64
       ", \"lost\": %" PRIu64 ", \"kept\": %" PRIu64 "},\n",
       s.on ? "true" : "false", s.volatile_bytes, s.undo_bytes, s.writes_left,
       s.cuts, s.lost, s.kept);
}

/* How many bytes the character at S has in UTF-8; 0: it is none. */
static size_t
utf8_length (const char *s)
{
  const unsigned char *u = (const unsigned char *) s;
  const size_t len = u[0] < 0x80   ? 1
                     : u[0] < 0xc2 ? 0
                     : u[0] < 0xe0 ? 2
                     : u[0] < 0xf0 ? 3
                     : u[0] < 0xf5 ? 4
                                   : 0;
  size_t i;

  for (i = 1; i < len; i++) {
    if ((u[i] & 0xc0) != 0x80)
      return 0;
  }
  /* Not the shortest form, half of a pair, or beyond the last one. */
  if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) ||
      (u[0] == 0xf0 && u[1] < 0x90) || (u[0] == 0xf4 && u[1] > 0x8f))
    return 0;
  return len;
}

/* A JSON string.  Paths may have bytes that are no character: those stand in it
 * as fault rules take them, \\xHH, with the backslash doubled as in any string.
 */
static void
add_string (struct control *c, const char *s)
{
  const char *plain = s;
  size_t len;

  add_bytes (c, "\"", 1);
  while (*s != '\0') {
    len = utf8_length (s);
    if (len > 0 && *s != '"' && *s != '\\' && (unsigned char) *s >= ' ') {
      s += len;
      continue;
    }
    add_bytes (c, plain, s - plain);
    if (len == 0)
      add (c, "\\\\x%02x", (unsigned char) *s);
    else if (*s == '"' || *s == '\\')
      add (c, "\\%c", *s);
    else
      add (c, "\\u%04x", *s);
    plain = ++s;
  }
  add_bytes (c, plain, s - plain);
  add_bytes (c, "\"", 1);
}

/* Add the write log, or null.  "error" is null until the log has ended. */
static void
add_write_log (struct control *c)
{
  struct writelog_status s;

  if (c->device->log == NULL) {
    add (c, "  \"write_log\": null,\n");
    return;
  }
  writelog_status (c->device->log, &s);
  add (c,
       "  \"write_log\": {\"entries\": %" PRIu64 ", \"bytes\": %" PRIu64
       ", \"error\": ",
       s.entries, s.bytes);
  if (s.error != 0)
    add_string (c, strerror (-s.error));
  else
    add (c, "null");
  add (c, "},\n");
}

static void
add_fault (void *opaque, const struct fault_info *info)
{
  struct control *c = opaque;
  const bool is_first = c->text[c->used - 1] == '[';

  add (c, "%s\n    {\"id\": %" PRIu32 ", \"name\": ", is_first ? "" : ",",
       info->id);
  if (info->name[0] != '\0')
    add_string (c, info->name);
  else
    add (c, "null");
  add (c, ", \"rule\": ");
  add_string (c, info->text);
  add (c, ", \"evaluated\": %" PRIu64 ", \"hits\": %" PRIu64 ", \"spent\": %s}",
       info->evaluated, info->hits, info->spent ? "true" : "false");
}

/* Add bad blocks and fault rules; a list that is too long becomes null. */
static int
add_faults (struct control *c)
{
  char *badblocks = badblocks_format (&c->device->badblocks);
  size_t begin;
  int r;

  if (badblocks == NULL)
    return -ENOMEM;
  add (c, "  \"badblocks\": ");
  begin = c->used;
  add_string (c, badblocks);
  free (badblocks);
  if (!keep_list (c, begin))
    add (c, "null");
  add (c, ",\n  \"faults\": ");
  begin = c->used;
  add (c, "[");
  r = faults_each (&c->device->faults, add_fault, c);
  add (c, "]");
  if (!keep_list (c, begin))
    add (c, "null");
  add (c, ",\n");
  return r;
}

static int
make_stats (struct control *c)
{
  struct device *d = c->device;
  struct devices *devices = d->devices;
  struct device_stats *sum;
  uint64_t since;
  unsigned op;
  int r;

  sum = malloc (sizeof *sum);
  if (sum == NULL)
    return -ENOMEM;
  pthread_mutex_lock (&devices->lock);
  device_stats (d, sum);
  since = d->counting_since;
  pthread_mutex_unlock (&devices->lock);

  add_server (c, sum, since);
  add_memory (c);
  add_zones (c);
  add_power (c);
  add_write_log (c);
  r = add_faults (c);
  add (c, "  \"operations\": {");
  for (op = 0; op < NR_OPERATIONS; op++) {
    add (c, "%s\n    \"%s\": ", op > 0 ? "," : "", operation_names[op]);
    add_operation (c, &sum->stats.op[op]);
  }
  add (c, "\n  }\n}\n");
  free (sum);
  return r;
}

int
control_make_text (struct control *c, uint64_t client)
{
  const size_t size = text_size[c->document];
  char *shorter;
  int r;

  free (c->text);
  c->text = malloc (size + 1); /* and what vsnprintf puts after it */
  if (c->text == NULL)
    return -ENOMEM;
  c->text_of = client;
  c->used = 0;
  c->left = size;
  r = c->document == DOCUMENT_CONFIG ? make_config (c) : make_stats (c);
  shorter = realloc (c->text, c->used + 1);
  if (shorter != NULL)
    c->text = shorter;
  if (r < 0) {
    free (c->text);
    c->text = NULL;
  }
  return r;
}
