/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The control exports; see control.h.  The man page (CONTROL EXPORTS) describes
 * both documents for who reads them.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "control.h"
#include "device.h"
#include "params.h"
#include "size.h"

#define CONFIG_SIZE 65536
#define STATS_SIZE (1 << 20)
#define STATS_VERSION 1

const char *const document_suffix[NR_DOCUMENTS] = {
    [DOCUMENT_CONFIG] = ".config",
    [DOCUMENT_STATS] = ".stats",
    [DOCUMENT_ZONES] = ".zones",
};

const char *const document_title[NR_DOCUMENTS] = {
    [DOCUMENT_CONFIG] = "settings",
    [DOCUMENT_STATS] = "statistics",
    [DOCUMENT_ZONES] = "zones",
};

struct control {
  enum document document;
  struct device *device;

  pthread_mutex_t lock; /* guards what follows */
  struct message error; /* "" or why the last change was refused */
  bool is_made;
  size_t used;
  char
      text[]; /* as long as a text's export, and what vsnprintf puts after it */
};

/* Bytes of text; zones have none. */
static const size_t text_size[NR_DOCUMENTS] = {
    [DOCUMENT_CONFIG] = CONFIG_SIZE,
    [DOCUMENT_STATS] = STATS_SIZE,
};

bool
control_exists (const struct device *d, enum document document)
{
  return document != DOCUMENT_ZONES || d->zones != NULL;
}

enum document
control_document (const struct control *c)
{
  return c->document;
}

uint64_t
control_size (const struct control *c)
{
  if (c->document == DOCUMENT_ZONES)
    return zones_number (c->device->zones) * ZONE_DESCRIPTOR_SIZE;
  return text_size[c->document];
}

uint32_t
control_block_size (const struct control *c)
{
  return c->document == DOCUMENT_ZONES ? ZONE_DESCRIPTOR_SIZE : 1;
}

bool
control_can_write (const struct control *c)
{
  return c->document != DOCUMENT_STATS;
}

/*---------------------------------------------------------------------*/
/* Texts */

/* What does not fit is cut off; nothing comes near. */
static void __attribute__ ((format (printf, 2, 3)))
add (struct control *c, const char *fs, ...)
{
  const size_t room = text_size[c->document] - c->used;
  va_list args;
  int n;

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

/* So that what was read, edited and written back is what there is. */
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

static void
add_rules (struct control *c)
{
  const size_t begin = c->used;

  if (!faults_any (&c->device->faults)) {
    add (c, "fault=none\n");
    return;
  }
  add (c, "fault-delete=others\n");
  faults_each (&c->device->faults, add_rule, c);
  if (!keep_list (c, begin))
    add (c, "# fault: the list is too long to be shown\n");
}

/* What a change cannot have while the server runs, and what is amiss. */
static void
add_note (struct control *c)
{
  if ((durability_epoch (c->device->durability) & 1) != 0)
    add (c, "# note: power is cut: all requests fail with ESHUTDOWN until "
            "power=on\n");
  if (device_waits (c->device) && !c->device->devices->parallel)
    add (c, "# note: requests of a connection wait one after another: the "
            "server was started with nothing to wait for, or parallel=off\n");
}

static int
make_config (struct control *c)
{
  struct param_row row;
  struct settings s;
  size_t i;
  int r;

  if (c->error.text[0] != '\0')
    add (c, "# error: %s\n", c->error.text);
  add (c, "# live:");
  for (i = 0; params_row (i, &row); i++) {
    if (row.is_live)
      add (c, " %s", row.name);
  }
  add (c, "\n");
  device_settings (c->device, &s);
  add_note (c);
  for (i = 0;
       params_print (&s, i, c->text + c->used, control_size (c) - c->used + 1);
       i++) {
    c->used += strlen (c->text + c->used);
    add (c, "\n");
  }
  settings_unref (&s);
  r = add_badblocks (c);
  add_rules (c);
  return r;
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
      add (c, "%s\"%s\": %" PRIu64, between, error_names[i], o->errors[i]);
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
       ", \"parallel\": %s, \"batch\": %s},\n"
       "  \"since_reset_ns\": %" PRIu64 ",\n"
       "  \"connections\": %" PRIu32 ",\n",
       STATS_VERSION, c->device->name, PACKAGE_VERSION, now - devices->started,
       devices->parallel ? "true" : "false", devices->batch ? "true" : "false",
       now - since, sum->connections);
  add (c,
       "  \"queue_depth\": {\"now\": %" PRIu32 ", \"largest\": %" PRIu32
       ", \"threads\": %" PRIu32 ", \"saturated\": %" PRIu64 "},\n  ",
       sum->depth, sum->depth_most, sum->workers, sum->saturated);
  add_percentiles (c, "late_ns", &sum->stats.late);
  add (c, ",\n");
}

static void
add_memory (struct control *c)
{
  struct device *d = c->device;
  struct settings s;

  if (d->store == NULL) {
    add (c, "  \"memory\": null,\n  \"written_blocks\": 0,\n");
    return;
  }
  device_settings (d, &s);
  add (c,
       "  \"memory\": {\"held\": %" PRIu64 ", \"limit\": %" PRIu64 "},\n"
       "  \"written_blocks\": %" PRIu64 ",\n",
       store_held (d->store), s.memory_limit,
       store_written (d->store, d->number));
  settings_unref (&s);
}

/* null, or how many there are in each condition. */
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
  zones_count (d->zones, counts);
  add (c, "  \"zones\": {\"number\": %" PRIu64, zones_number (d->zones));
  for (i = 0; i < sizeof conds / sizeof conds[0]; i++)
    add (c, ", \"%s\": %" PRIu64, conds[i].name, counts[conds[i].cond]);
  add (c, "},\n");
}

static void
add_power (struct control *c)
{
  struct durability_status s;

  durability_status (c->device->durability, &s);
  add (c,
       "  \"power\": {\"on\": %s, \"volatile\": %" PRIu64 ", \"undo\": %" PRIu64
       ", \"writes_left\": %" PRIu64 ", \"cuts\": %" PRIu64
       ", \"lost\": %" PRIu64 ", \"kept\": %" PRIu64 "},\n",
       s.on ? "true" : "false", s.volatile_bytes, s.undo_bytes, s.writes_left,
       s.cuts, s.lost, s.kept);
}

/* A JSON string. */
static void
add_string (struct control *c, const char *s)
{
  add (c, "\"");
  for (; *s != '\0'; s++) {
    if (*s == '"' || *s == '\\')
      add (c, "\\");
    if ((unsigned char) *s < ' ')
      add (c, "\\u%04x", *s);
    else
      add (c, "%c", *s);
  }
  add (c, "\"");
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

/* null, where the list is too long. */
static int
add_faults (struct control *c)
{
  char *badblocks = badblocks_format (&c->device->badblocks);
  size_t begin;

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
  faults_each (&c->device->faults, add_fault, c);
  add (c, "]");
  if (!keep_list (c, begin))
    add (c, "null");
  add (c, ",\n");
  return 0;
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
  r = add_faults (c);
  add (c, "  \"operations\": {");
  for (op = 0; op < NR_OPERATIONS; op++) {
    add (c, "%s\n    \"%s\": ", op > 0 ? "," : "", op_names[op]);
    add_operation (c, &sum->stats.op[op]);
  }
  add (c, "\n  }\n}\n");
  free (sum);
  return r;
}

static int
make_text (struct control *c)
{
  int r;

  c->used = 0;
  r = c->document == DOCUMENT_CONFIG ? make_config (c) : make_stats (c);
  memset (c->text + c->used, '\n', text_size[c->document] - c->used);
  c->is_made = r == 0;
  return r;
}

static int
read_text (struct control *c, void *buf, uint32_t count, uint64_t offset)
{
  int r = 0;

  pthread_mutex_lock (&c->lock);
  if (offset == 0 || !c->is_made)
    r = make_text (c);
  if (r == 0)
    memcpy (buf, c->text + offset, count);
  pthread_mutex_unlock (&c->lock);
  return r;
}

/*---------------------------------------------------------------------*/
/* The zone table */

static bool
is_whole (uint32_t count, uint64_t offset)
{
  return ((offset | count) & (ZONE_DESCRIPTOR_SIZE - 1)) == 0;
}

/* BUF is nbdkit's, and aligned as malloc does it. */
static int
read_zones (struct control *c, void *buf, uint32_t count, uint64_t offset)
{
  if (!is_whole (count, offset))
    return -EINVAL;
  zones_read_table (c->device->zones, offset / ZONE_DESCRIPTOR_SIZE, buf,
                    count / ZONE_DESCRIPTOR_SIZE);
  return 0;
}

static int
write_zones (struct connection *c, const void *buf, uint32_t count,
             uint64_t offset, struct message *why)
{
  const struct zone_descriptor *descriptors = buf;
  const uint64_t first = offset / ZONE_DESCRIPTOR_SIZE;
  uint64_t done;
  int r;

  if (!is_whole (count, offset)) {
    message_set (why,
                 "a write of %" PRIu32 " bytes at offset %" PRIu64
                 ": allowed are whole zone descriptors of %d bytes",
                 count, offset, ZONE_DESCRIPTOR_SIZE);
    return -EINVAL;
  }
  r = device_zone_commands (c, first, descriptors, count / ZONE_DESCRIPTOR_SIZE,
                            &done);
  if (r < 0 && done < count / ZONE_DESCRIPTOR_SIZE)
    message_set (why,
                 "zone %" PRIu64 ": no change to condition 0x%x: %s; %" PRIu64
                 " before it are done",
                 first + done, descriptors[done].cond, strerror (-r), done);
  else if (r < 0)
    message_set (why, "%s", strerror (-r));
  return r;
}

/*---------------------------------------------------------------------*/

int
control_read (struct connection *c, void *buf, uint32_t count, uint64_t offset)
{
  return c->control->document == DOCUMENT_ZONES
             ? read_zones (c->control, buf, count, offset)
             : read_text (c->control, buf, count, offset);
}

/*---------------------------------------------------------------------*/
/* Changes */

#define refuse(why, ...) (message_set (why, __VA_ARGS__), -EINVAL)

/* What a text asks for: settings, and actions. */
struct change {
  struct params params;
  bool reset_stats, reset_zones;
  const char *fault_delete; /* or NULL */

  /* What is given, each once; power is to be on or cut. */
  bool has_power, has_lose, has_power_seed, has_cut_after;
  bool power_on;
  enum lose lose;
  uint64_t power_seed, cut_after;
};

static bool
is_blank (char c)
{
  return c == ' ' || c == '\t' || c == '\r';
}

/* Without the blanks at its ends. */
static char *
strip (char *s)
{
  size_t len;

  while (is_blank (*s))
    s++;
  len = strlen (s);
  while (len > 0 && is_blank (s[len - 1]))
    s[--len] = '\0';
  return s;
}

/* KEY=reset */
static int
take_action (bool *action, const char *key, const char *value,
             struct message *why)
{
  if (strcmp (value, "reset") != 0)
    return refuse (why, "%s=%.80s: allowed is reset", key, value);
  *action = true;
  return 0;
}

static int
parse_power (struct change *change, const char *value)
{
  change->power_on = strcmp (value, "on") == 0;
  return change->power_on || strcmp (value, "cut") == 0 ? 0 : -EINVAL;
}

static int
parse_lose (struct change *change, const char *value)
{
  static const char *const words[] = {
      [LOSE_RANDOM] = "random", [LOSE_ALL] = "all", [LOSE_NONE] = "none"};
  unsigned i;

  for (i = 0; i < sizeof words / sizeof words[0]; i++) {
    if (strcmp (value, words[i]) == 0) {
      change->lose = i;
      return 0;
    }
  }
  return -EINVAL;
}

static int
parse_power_seed (struct change *change, const char *value)
{
  return number_parse (value, strlen (value), &change->power_seed);
}

static int
parse_cut_after (struct change *change, const char *value)
{
  return number_parse (value, strlen (value), &change->cut_after);
}

/* What is done to the power, in lines of their own. */
static const struct power_line {
  const char *key;
  size_t given; /* in struct change */
  int (*parse) (struct change *change, const char *value);
  const char *allowed;
} power_lines[] = {
    {"power", offsetof (struct change, has_power), parse_power, "on or cut"},
    {"lose", offsetof (struct change, has_lose), parse_lose,
     "random, all or none"},
    {"power-seed", offsetof (struct change, has_power_seed), parse_power_seed,
     "a whole number"},
    {"power-cut-after", offsetof (struct change, has_cut_after),
     parse_cut_after, "a whole number of writes, or 0 for none"},
};

/* Says in *r what take_line returns, if KEY is one of them. */
static bool
take_power (struct change *change, const char *key, const char *value,
            struct message *why, int *r)
{
  const struct power_line *line = power_lines;
  const struct power_line *end =
      power_lines + sizeof power_lines / sizeof power_lines[0];
  bool *given;

  while (line < end && strcmp (line->key, key) != 0)
    line++;
  if (line == end)
    return false;
  given = (bool *) ((char *) change + line->given);
  if (*given)
    *r = refuse (why, "%s=%.80s: %s is given twice", key, value, key);
  else if (line->parse (change, value) < 0)
    *r = refuse (why, "%s=%.80s: allowed is %s", key, value, line->allowed);
  else
    *r = 0;
  *given = true;
  return true;
}

static int
check_power (const struct change *change, struct message *why)
{
  const bool cuts = (change->has_power && !change->power_on) ||
                    (change->has_cut_after && change->cut_after > 0);

  if (change->has_power && change->has_cut_after && !change->power_on)
    return refuse (why,
                   "power=cut and power-cut-after: allowed is one of them");
  if ((change->has_lose || change->has_power_seed) && !cuts)
    return refuse (why, "%s: allowed is with power=cut or power-cut-after",
                   change->has_lose ? "lose" : "power-seed");
  return 0;
}

static void
change_power (struct device *d, const struct change *change)
{
  if (change->has_power && change->power_on)
    device_power_on (d);
  if (change->has_power && !change->power_on)
    device_cut_power (d, change->lose, change->power_seed);
  if (change->has_cut_after)
    device_cut_power_after (d, change->cut_after, change->lose,
                            change->power_seed);
}

static int
take_line (struct change *change, char *line, struct message *why)
{
  char *value;
  int r;

  line = strip (line);
  if (line[0] == '\0' || line[0] == '#')
    return 0;
  value = strchr (line, '=');
  if (value == NULL)
    return refuse (why, "%.80s: allowed are lines of KEY=VALUE", line);
  *value++ = '\0';
  if (strcmp (line, "stats") == 0)
    return take_action (&change->reset_stats, line, value, why);
  if (strcmp (line, "zones") == 0)
    return take_action (&change->reset_zones, line, value, why);
  if (strcmp (line, "fault-delete") == 0) {
    if (change->fault_delete != NULL)
      return refuse (why, "fault-delete=%.80s: fault-delete is given twice",
                     value);
    change->fault_delete = value;
    return 0;
  }
  if (take_power (change, line, value, why, &r))
    return r;
  return params_change (&change->params, line, value, why);
}

/* TEXT is changed: lines end at newlines and at zero bytes. */
static int
take_lines (struct change *change, char *text, size_t len, struct message *why)
{
  char *line = text, *end;
  int r = 0;

  for (end = text; r == 0 && end <= text + len; end++) {
    if (end == text + len || *end == '\n' || *end == '\0') {
      *end = '\0';
      r = take_line (change, line, why);
      line = end + 1;
    }
  }
  return r;
}

/* Make sets for the devices from FIRST up to LAST, each as it is but for what
 * TO says: all of it for device D, the memory limit for the others.  NULL if
 * there is no memory.  devices.change_lock is held.
 */
static struct settings_set **
make_sets (struct device *d, uint32_t first, uint32_t last,
           const struct settings *to)
{
  struct devices *devices = d->devices;
  struct settings_set **sets;
  struct settings s;
  uint32_t i;

  sets = calloc (last - first, sizeof *sets);
  if (sets == NULL)
    return NULL;
  for (i = first; i < last; i++) {
    device_settings (&devices->device[i], &s);
    s.memory_limit = to->memory_limit;
    sets[i - first] = settings_set_new (i == d->number ? to : &s);
    settings_unref (&s);
    if (sets[i - first] == NULL) {
      while (i-- > first)
        settings_set_free (sets[i - first]);
      free (sets);
      return NULL;
    }
  }
  return sets;
}

/* The memory limit is that of all devices. */
static int
set_limit (struct devices *devices, uint64_t from, uint64_t to,
           struct message *why)
{
  char limit[32];

  if (devices->store == NULL || from == to ||
      store_set_limit (devices->store, to) == 0)
    return 0;
  size_format (to, limit, sizeof limit);
  return refuse (why,
                 "memory-limit=%s: there is not enough address space for it "
                 "(ulimit -v at the start)",
                 limit);
}

/* What of a change can fail, each step without effect when it does. */
static int
begin_change (struct device *d, struct change *change, uint64_t limit_before,
              struct message *why)
{
  const uint64_t limit = change->params.settings.memory_limit;
  struct devices *devices = d->devices;
  struct message wrong;
  int r = 0;

  if (change->params.badblocks != NULL)
    r = badblocks_reserve (&d->badblocks, change->params.badblocks);
  if (r == 0)
    r = devices_check_faults (devices, change->params.faults, why);
  if (r == 0)
    r = set_limit (devices, limit_before, limit, why);
  if (r < 0)
    return r;
  r = faults_change (&d->faults, change->fault_delete, change->params.faults,
                     clock_now (), &wrong);
  if (r == 0)
    change->params.faults = NULL; /* the device's now */
  else {
    message_set (why, "fault: %s", wrong.text);
    /* It cannot fail: this was the limit before. */
    set_limit (devices, limit, limit_before, &wrong);
  }
  return r;
}

/* devices.change_lock is held. */
static int
apply (struct device *d, uint64_t limit_before, struct change *change,
       struct message *why)
{
  const struct settings *to = &change->params.settings;
  struct devices *devices = d->devices;
  const bool all = limit_before != to->memory_limit;
  const uint32_t first = all ? 0 : d->number;
  const uint32_t last = all ? devices->count : d->number + 1;
  struct settings_set **sets;
  uint32_t i;
  int r;

  sets = make_sets (d, first, last, to);
  if (sets == NULL)
    return -ENOMEM;
  r = begin_change (d, change, limit_before, why);
  if (r < 0) {
    for (i = first; i < last; i++)
      settings_set_free (sets[i - first]);
    free (sets);
    return r;
  }
  if (change->params.badblocks != NULL)
    badblocks_apply (&d->badblocks, change->params.badblocks);
  for (i = first; i < last; i++)
    device_install (&devices->device[i], sets[i - first]);
  free (sets);
  if (params_given (&change->params, "seed"))
    device_seed (d);
  if (change->reset_stats) {
    pthread_mutex_lock (&devices->lock);
    device_reset_stats (d);
    pthread_mutex_unlock (&devices->lock);
  }
  change_power (d, change);
  return 0;
}

/* With the settings that are to come. */
static int
check_reset_zones (const struct device *d, const struct settings *s,
                   struct message *why)
{
  if (d->zones == NULL)
    return refuse (why, "zones=reset: the device has no zones (zoned=true)");
  if (s->read_only)
    return refuse (why, "zones=reset: the device is read-only");
  return 0;
}

/* Zones are reset last, and without a lock, since that takes its time. */
static int
change_settings (struct connection *c, char *text, size_t len,
                 struct message *why)
{
  struct device *d = c->device;
  struct devices *devices = d->devices;
  struct settings now;
  struct change change = {.lose = LOSE_RANDOM};
  int r;

  pthread_mutex_lock (&devices->change_lock);
  device_settings (d, &now);
  params_begin_change (&change.params, &now);
  r = take_lines (&change, text, len, why);
  if (r == 0)
    r = check_power (&change, why);
  if (r == 0)
    r = params_complete_change (&change.params, why);
  if (r == 0)
    r = params_check_limit (&change.params.settings, true, devices->memory,
                            devices->unit, why);
  if (r == 0 && change.reset_zones)
    r = check_reset_zones (d, &change.params.settings, why);
  if (r == 0)
    r = apply (d, now.memory_limit, &change, why);
  pthread_mutex_unlock (&devices->change_lock);
  params_clear (&change.params);
  settings_unref (&now);
  if (r == 0 && change.reset_zones) {
    r = device_reset_zones (c);
    if (r < 0)
      message_set (why, "zones=reset: %s", strerror (-r));
  }
  return r;
}

static int
write_text (struct connection *connection, const void *buf, uint32_t count,
            uint64_t offset, struct message *why)
{
  struct control *c = connection->control;
  char *text;
  int r;

  message_set (why, "%s", strerror (ENOMEM));
  if (offset != 0)
    r = refuse (why, "a write at offset %" PRIu64 ": allowed is 0", offset);
  else {
    text = malloc ((size_t) count + 1);
    r = -ENOMEM;
    if (text != NULL) {
      memcpy (text, buf, count);
      r = change_settings (connection, text, count, why);
      free (text);
    }
  }
  pthread_mutex_lock (&c->lock);
  if (r < 0)
    c->error = *why;
  else
    c->error.text[0] = '\0';
  pthread_mutex_unlock (&c->lock);
  return r;
}

int
control_write (struct connection *c, const void *buf, uint32_t count,
               uint64_t offset, struct message *why)
{
  return c->control->document == DOCUMENT_ZONES
             ? write_zones (c, buf, count, offset, why)
             : write_text (c, buf, count, offset, why);
}

/*---------------------------------------------------------------------*/
/* Connections */

static struct control *
control_create (struct device *d, enum document document)
{
  struct control *c;

  c = malloc (sizeof *c + 1 + text_size[document]);
  if (c == NULL)
    return NULL;
  c->document = document;
  c->device = d;
  c->error.text[0] = '\0';
  c->is_made = false;
  pthread_mutex_init (&c->lock, NULL);
  return c;
}

void
control_destroy (struct control *c)
{
  pthread_mutex_destroy (&c->lock);
  free (c);
}

/* The document that NAME, which has room for it, means; its suffix is cut off.
 * NR_DOCUMENTS where it is a device's own.
 */
static enum document
cut_suffix (char *name)
{
  char *suffix = strrchr (name, '.');
  enum document i = NR_DOCUMENTS;

  if (suffix != NULL) {
    for (i = 0; i < NR_DOCUMENTS; i++) {
      if (strcmp (suffix, document_suffix[i]) == 0) {
        *suffix = '\0';
        break;
      }
    }
  }
  return i;
}

int
control_connect (struct devices *devices, const char *export, bool may_control,
                 struct connection **r_connection)
{
  struct control *control = NULL;
  enum document document;
  struct device *d;
  char name[64];

  if (strlen (export) >= sizeof name)
    return -ENOENT;
  strcpy (name, export);
  document = cut_suffix (name);
  if (document != NR_DOCUMENTS && (!may_control || name[0] == '\0'))
    return -ENOENT;
  d = devices_find (devices, name);
  if (d == NULL)
    return -ENOENT;
  if (document != NR_DOCUMENTS && !control_exists (d, document))
    return -ENOENT;
  if (document != NR_DOCUMENTS) {
    control = control_create (d, document);
    if (control == NULL)
      return -ENOMEM;
  }
  *r_connection = device_connect (d, control);
  if (*r_connection == NULL) {
    if (control != NULL)
      control_destroy (control);
    return -ENOMEM;
  }
  return 0;
}
