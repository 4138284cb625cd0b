/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Parameters are parsed, completed, changed while the server runs, and printed
 * here; see params.h.  The table of them is in params-table.c.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/common.h"
#include "params-internal.h"

#define refuse(why, ...) (message_set (why, __VA_ARGS__), -EINVAL)

/*---------------------------------------------------------------------*/
/* Memory that settings own */

void
settings_ref (const struct settings *s)
{
  unsigned op;

  for (op = 0; op < NR_OPERATIONS; op++) {
    distribution_ref (s->latency_all[op]);
    distribution_ref (s->latency_of[op]);
  }
  distribution_ref (s->drain_latency);
  distribution_ref (s->drain_pause);
  latency_settings_ref (&s->latency);
}

void
settings_unref (struct settings *s)
{
  unsigned op;

  for (op = 0; op < NR_OPERATIONS; op++) {
    distribution_unref (s->latency_all[op]);
    distribution_unref (s->latency_of[op]);
    s->latency_all[op] = s->latency_of[op] = NULL;
  }
  distribution_unref (s->drain_latency);
  distribution_unref (s->drain_pause);
  s->drain_latency = s->drain_pause = NULL;
  latency_settings_unref (&s->latency);
}

/*---------------------------------------------------------------------*/
/* From the command line */

void
param_set_to_default (const struct param *param, struct settings *s)
{
  struct message why;

  if (param->initial != NULL)
    value_parse (&param->rule, param->initial, 0, field_of (param, s), &why);
}

void
params_init (struct params *p)
{
  size_t i;

  memset (p, 0, sizeof *p);
  for (i = 0; i < nr_params; i++)
    param_set_to_default (&param_table[i], &p->settings);
}

void
params_clear (struct params *p)
{
  settings_unref (&p->settings);
  badblocks_change_free (p->badblocks);
  fault_rule_free (p->faults);
  p->badblocks = NULL;
  p->faults = NULL;
}

/* The default of submit-queues. */
static uint64_t
usual_queues (void)
{
  const long cpus = sysconf (_SC_NPROCESSORS_ONLN);

  return cpus < 1                   ? 1
         : cpus > MAX_SUBMIT_QUEUES ? MAX_SUBMIT_QUEUES
                                    : (uint64_t) cpus;
}

/* Are queues wanted where there are none? */
static bool
hint_of_queues (const struct params *p, struct message *hint)
{
  const struct settings *s = &p->settings;
  const bool queues =
      params_given (p, "submit-queues") && s->submit_queues != usual_queues ();
  const bool depth = params_given (p, "hw-queue-depth") &&
                     s->hw_queue_depth != DEFAULT_HW_QUEUE_DEPTH;
  char about_queues[160] = "", about_depth[160] = "";

  if (s->ublk || (!queues && !depth))
    return false;
  if (queues)
    snprintf (about_queues, sizeof about_queues,
              "submit-queues=%" PRIu64
              " is for ublk=true; over NBD each connection is a queue "
              "(nbd-client --connections)",
              s->submit_queues);
  if (depth)
    snprintf (about_depth, sizeof about_depth,
              "hw-queue-depth=%" PRIu64
              " is for ublk=true; over NBD the depth is nbdkit's -t (threads "
              "a connection)",
              s->hw_queue_depth);
  message_set (hint, "%s%s%s", about_queues, queues && depth ? "; " : "",
               about_depth);
  return true;
}

bool
params_hint (const struct params *p, struct message *hint)
{
  char bytes[32];

  if (p->bare_size == 0 || p->bare_size >= UINT64_C (1) << 20)
    return hint_of_queues (p, hint);
  size_format (p->bare_size, bytes, sizeof bytes);
  message_set (hint,
               "size=%" PRIu64
               " is %s; for so many MiB, as null_blk's configfs "
               "means it, it is size=%" PRIu64 "M",
               p->bare_size, bytes, p->bare_size);
  return true;
}

bool
params_given (const struct params *p, const char *name)
{
  return p->given[param_find (name)];
}

/* Take the value of a parameter that is no setting. */
static int
take_state (const struct param *param, struct params *p, const char *value,
            struct message *why)
{
  struct fault_rule *rule = NULL;
  int r = 0;

  if (param->rule.type == VALUE_BADBLOCKS)
    return badblocks_parse (value, &p->badblocks, why);
  if (strcmp (value, "none") == 0)
    return 0;
  if (p->known_rules != NULL && strstr (value, "file:") != NULL)
    rule = faults_find (p->known_rules, value);
  if (rule == NULL)
    r = fault_rule_new (value, &rule, why);
  if (r == 0)
    fault_rule_append (&p->faults, rule);
  return r;
}

/* Take KEY=VALUE, a setting into *s.  Except for fault=, a key may be given
 * only once.
 */
static int
set (const struct param *param, struct params *p, struct settings *s,
     const char *key, const char *value, uint64_t unit, struct message *why)
{
  bool *given = &p->given[param - param_table];
  struct message wrong;
  int r;

  if (*given && param->rule.type != VALUE_FAULT)
    return refuse (why, "%s=%.80s: %s is given twice", key, value, param->name);
  if (param->kind == STATE)
    r = take_state (param, p, value, &wrong);
  else
    r = value_parse (&param->rule, value, unit, field_of (param, s), &wrong);
  if (r == -EINVAL)
    return refuse (why, "%s=%.80s: %s", key, value, wrong.text);
  if (r < 0)
    return r;
  *given = true;
  return 0;
}

/* irqmode= and completion_nsec= mean something together.  Says in *r what
 * params_set returns, if KEY is one of them.
 */
static bool
take_timer (struct params *p, const char *key, const char *value,
            struct message *why, int *r)
{
  const bool is_mode = param_same_name (key, "irqmode");
  const uint64_t most = is_mode ? 2 : MAX_DURATION;
  uint64_t *number = is_mode ? &p->irqmode : &p->completion_nsec;
  bool *given = is_mode ? &p->irqmode_given : &p->completion_nsec_given;

  if (!is_mode && !param_same_name (key, "completion-nsec"))
    return false;
  if (*given)
    *r = refuse (why, "%s=%.80s: %s is given twice", key, value, key);
  else if (number_parse (value, strlen (value), number) < 0 || *number > most)
    *r = refuse (why, "%s=%.80s: allowed is a whole number from 0 to %" PRIu64,
                 key, value, most);
  else {
    *given = true;
    *r = 0;
  }
  return true;
}

int
params_set (struct params *p, const char *key, const char *value,
            struct message *why)
{
  const struct param *param;
  uint64_t unit;
  int r;

  if (take_timer (p, key, value, why, &r))
    return r;
  param = param_look_up (key, value, &unit, why);
  if (param == NULL)
    return -EINVAL;
  r = set (param, p, &p->settings, key, value, unit, why);
  if (r == 0 && param_same_name (key, "size") &&
      value[strspn (value, "0123456789")] == '\0')
    p->bare_size = p->settings.size;
  return r;
}

/*---------------------------------------------------------------------*/
/* Live changes */

void
params_begin_change (struct params *p, const struct settings *now)
{
  memset (p, 0, sizeof *p);
  p->settings = *now;
  settings_ref (&p->settings);
}

/* Take KEY=VALUE for a parameter that cannot change: VALUE has to be its
 * present value.
 */
static int
compare (const struct param *param, struct params *p, const char *key,
         const char *value, uint64_t unit, struct message *why)
{
  struct settings s = p->settings; /* a FIXED field owns nothing */
  char now[ZONE_LIST_TEXT], then[ZONE_LIST_TEXT]; /* the longest of them */
  int r;

  r = set (param, p, &s, key, value, unit, why);
  if (r < 0)
    return r;
  value_print (&param->rule, const_field_of (param, &p->settings), now,
               sizeof now);
  value_print (&param->rule, const_field_of (param, &s), then, sizeof then);
  if (strcmp (now, then) != 0)
    return refuse (why,
                   "%s=%.80s: allowed is what it was started with, %.80s: it "
                   "cannot change while the server runs",
                   key, value, now);
  return 0;
}

int
params_change (struct params *p, const char *key, const char *value,
               struct message *why)
{
  const struct param *param;
  uint64_t unit;

  param = param_look_up (key, value, &unit, why);
  if (param == NULL)
    return -EINVAL;
  if (param_same_name (key, "irqmode") ||
      param_same_name (key, "completion-nsec"))
    return refuse (why,
                   "%s=%.80s: it is for the command line; while the server "
                   "runs, latency=DURATION says the same",
                   key, value);
  if (param->kind == FIXED)
    return compare (param, p, key, value, unit, why);
  return set (param, p, &p->settings, key, value, unit, why);
}

/*---------------------------------------------------------------------*/
/* Questions about settings */

/* As null_blk: completion_nsec, or 10 us, with irqmode=2 alone.
 * completion_nsec=0 is allowed in every mode.
 */
static int
take_completion_nsec (struct params *p, struct message *why)
{
  const bool timer = p->irqmode_given && p->irqmode == 2;
  const bool given = p->completion_nsec_given;
  char nsec[32];

  if (given && !timer && p->completion_nsec > 0)
    return refuse (why,
                   "completion_nsec=%" PRIu64 ": allowed is with irqmode=2: "
                   "null_blk makes nothing of it otherwise",
                   p->completion_nsec);
  if (!timer)
    return 0;
  if (params_given (p, "latency"))
    return refuse (why, "irqmode=2: latency is given, too; allowed is one of "
                        "the two");
  p->irqmode_given = p->completion_nsec_given = false; /* it is latency now */
  snprintf (nsec, sizeof nsec, "%" PRIu64,
            given ? p->completion_nsec : UINT64_C (10000));
  return set (&param_table[param_find ("latency")], p, &p->settings,
              "completion_nsec", nsec, 1, why);
}

static void
complete_latency (struct settings *s)
{
  struct distribution *d;
  unsigned op;

  latency_settings_unref (&s->latency);
  for (op = 0; op < NR_OPERATIONS; op++) {
    d = s->latency_of[op] != NULL ? s->latency_of[op] : s->latency_all[op];
    s->latency.durations[op] = distribution_ref (d);
  }
  s->latency.size = s->latency.drive.size = s->size;
  s->latency.drive.drain = distribution_ref (s->drain_latency);
  s->latency.drive.pause = distribution_ref (s->drain_pause);
  s->latency.drive.cache_size = s->memory_backed ? s->cache_size : 0;
  latency_settings_complete (&s->latency);
}

static bool
faults_wait (const struct fault_rule *rules)
{
  while (rules != NULL && !fault_rule_waits (rules))
    rules = fault_rule_next (rules);
  return rules != NULL;
}

bool
params_have_hang_rule (const struct params *p)
{
  const struct fault_rule *rule = p->faults;

  while (rule != NULL && !fault_rule_hangs (rule))
    rule = fault_rule_next (rule);
  return rule != NULL;
}

bool
params_delay_requests (const struct params *given)
{
  struct params p = *given;
  struct message why;
  bool r;

  if (faults_wait (given->faults))
    return true;
  p.badblocks = NULL; /* not this copy's */
  p.faults = NULL;
  settings_ref (&p.settings);
  r = take_completion_nsec (&p, &why) == 0 &&
      params_take_model (&p, false, &why) == 0;
  complete_latency (&p.settings);
  r = r && p.settings.latency.waits;
  params_clear (&p);
  return r;
}

int
params_complete_change (struct params *p, struct message *why)
{
  int r = params_take_model (p, true, why);

  if (r == 0)
    complete_latency (&p->settings);
  return r;
}

int
params_check_limit (const struct settings *s, uint64_t memory, uint64_t unit,
                    struct message *why)
{
  char text[32], least[32], most[32];

  if (!s->memory_backed ||
      (s->memory_limit >= unit && s->memory_limit <= memory))
    return 0;
  size_format (s->memory_limit, text, sizeof text);
  size_format (unit, least, sizeof least);
  size_format (memory, most, sizeof most);
  return refuse (why,
                 "memory-limit=%s: allowed is a size from %s to the %s that "
                 "this machine or cgroup has",
                 text, least, most);
}

/* The default: half of the memory, as far as there is address space. */
static int
complete_limit (struct settings *s, uint64_t memory, uint64_t room,
                uint64_t unit, struct message *why)
{
  char least[32];

  s->memory_limit = (memory / 2 < room ? memory / 2 : room) / unit * unit;
  if (!s->memory_backed || s->memory_limit > 0)
    return 0;
  size_format (unit, least, sizeof least);
  return refuse (why,
                 "memory-backed=true: there is less than %s of %s that it may "
                 "take",
                 least,
                 room < unit ? "address space (ulimit -v)"
                             : "this machine's or cgroup's memory");
}

int
params_complete (struct params *p, uint64_t memory, uint64_t room,
                 uint64_t unit, struct message *why)
{
  struct settings *s = &p->settings;
  char text[32], block[32];
  int r;

  r = take_completion_nsec (p, why);
  if (r == 0)
    r = params_take_model (p, false, why);
  if (r < 0)
    return r;

  size_format (s->block_size, block, sizeof block);

  size_format (s->size, text, sizeof text);
  s->size -= s->size % s->block_size;
  if (s->size == 0)
    return refuse (why, "size=%s: allowed is at least the block-size, %s", text,
                   block);

  if (s->physical_block_size < s->block_size) {
    if (params_given (p, "physical-block-size")) {
      size_format (s->physical_block_size, text, sizeof text);
      return refuse (why,
                     "physical-block-size=%s: allowed is at least the "
                     "block-size, %s",
                     text, block);
    }
    s->physical_block_size = s->block_size;
  }

  r = zone_settings_complete (&s->zones, s->size, s->block_size, why);
  if (r < 0)
    return r;
  complete_latency (s);
  if (s->submit_queues == 0)
    s->submit_queues = usual_queues ();
  return params_given (p, "memory-limit")
             ? params_check_limit (s, memory, unit, why)
             : complete_limit (s, memory, room, unit, why);
}

/*---------------------------------------------------------------------*/

bool
params_print (const struct settings *s, size_t i, char *buf, size_t len)
{
  size_t used;

  if (i >= nr_params || param_table[i].kind == STATE)
    return false;
  snprintf (buf, len, "%s=", param_table[i].name);
  used = strlen (buf);
  value_print (&param_table[i].rule, const_field_of (&param_table[i], s),
               buf + used, len - used);
  return true;
}
