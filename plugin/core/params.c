/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The table of parameters and everything that reads it; see params.h.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "duration.h"
#include "params.h"
#include "size.h"

/* X (field of struct settings, name, type, may it change while the server
 * runs, least, most, default, default as --help shows it, line of --help)
 */
#define PARAMS(X)                                                              \
  X (size, "size", SIZE, FIXED, MIN_BLOCK_SIZE, INT64_MAX, "250G", "250G",     \
     "size=SIZE                capacity; the bare word, too")                  \
  X (block_size, "block-size", POWER_OF_TWO, FIXED, MIN_BLOCK_SIZE,            \
     MAX_BLOCK_SIZE, "512", "512", "block-size=SIZE          logical block")   \
  X (physical_block_size, "physical-block-size", POWER_OF_TWO, FIXED,          \
     MIN_BLOCK_SIZE, MAX_PHYSICAL_BLOCK_SIZE, "4K", "4K",                      \
     "physical-block-size=SIZE preferred I/O size")                            \
  X (rotational, "rotational", BOOL, FIXED, 0, 1, "false", "false",            \
     "rotational=BOOL          advertise a spinning disk")                     \
  X (read_only, "read-only", BOOL, LIVE, 0, 1, "false", "false",               \
     "read-only=BOOL           refuse to change the device")                   \
  X (devices, "devices", COUNT, FIXED, 1, MAX_DEVICES, "1", "1",               \
     "devices=N                how many devices, nullb0 and up")               \
  X (memory_backed, "memory-backed", BOOL, FIXED, 0, 1, "false", "false",      \
     "memory-backed=BOOL       keep what is written, in sparse RAM")           \
  X (memory_limit, "memory-limit", SIZE, LIVE, 4096, INT64_MAX, NULL,          \
     "half of the RAM there is",                                               \
     "memory-limit=SIZE        RAM that all devices may hold")                 \
  X (hugepages, "hugepages", BOOL, FIXED, 0, 1, "false", "false",              \
     "hugepages=BOOL           transparent huge pages for that RAM")           \
  X (discard, "discard", BOOL, LIVE, 0, 1, "true", "true",                     \
     "discard=BOOL             offer trim, which frees RAM")                   \
  X (cache_size, "cache-size", MIB, FIXED, 0, UINT64_C (4) << 60, "0", "0",    \
     "cache-size=SIZE          of a volatile write cache")                     \
  X (fua, "fua", BOOL, FIXED, 0, 1, "true", "true",                            \
     "fua=BOOL                 offer writes that are durable by themselves")   \
  X (power_cut, "power-cut", POWER_CUT, LIVE, 0, 0, "error", "error",          \
     "power-cut=WHAT           what requests get while power is cut")          \
  X (write_log, "write-log", FILE, FIXED, 0, 0, "none", "none",                \
     "write-log=FILE           record all changes, for replay")                \
  X (parallel, "parallel", PARALLEL, FIXED, 0, 0, "auto", "auto",              \
     "parallel=auto|on|off     a connection's requests side by side")          \
  X (control, "control", CONTROL, FIXED, 0, 0, "local", "local",               \
     "control=local|any|off    who may see statistics and change settings")    \
  X (profile, "profile", PROFILE, LIVE, 0, 0, "none", "none",                  \
     "profile=MODEL            latency, lanes and limits of a real device")    \
  X (latency_all, "latency", LATENCY, LIVE, 0, 0, "0", "0",                    \
     "latency=DURATION         how long requests take; or a distribution")     \
  X (latency_of[OP_READ], "read-latency", LATENCY_OF, LIVE, OP_READ, 0,        \
     "default", "default", "read-latency=DURATION    ... reads alone")         \
  X (latency_of[OP_WRITE], "write-latency", LATENCY_OF, LIVE, OP_WRITE, 0,     \
     "default", "default", "write-latency=DURATION   ... writes")              \
  X (latency_of[OP_FLUSH], "flush-latency", LATENCY_OF, LIVE, OP_FLUSH, 0,     \
     "default", "default", "flush-latency=DURATION   ... flushes")             \
  X (latency_of[OP_TRIM], "trim-latency", LATENCY_OF, LIVE, OP_TRIM, 0,        \
     "default", "default", "trim-latency=DURATION    ... trims")               \
  X (latency_of[OP_ZERO], "zero-latency", LATENCY_OF, LIVE, OP_ZERO, 0,        \
     "default", "default", "zero-latency=DURATION    ... write-zeroes")        \
  X (latency_of[OP_ZONE], "zone-latency", LATENCY_OF, LIVE, OP_ZONE, 0,        \
     "default", "default", "zone-latency=DURATION    ... zone commands")       \
  X (latency.lanes, "lanes", LIMIT, LIVE, 1, MAX_LANES, "none", "none",        \
     "lanes=N                  how many requests are served at once")          \
  X (latency.stall, "stall", STALL, LIVE, 0, 0, "none", "none",                \
     "stall=every:D,for:D      from time to time serve nothing")               \
  X (latency.limits.bytes_per_sec[THROTTLE_ALL], "mbps", MBPS, LIVE,           \
     UINT64_C (1) << 20, MAX_BYTES_PER_SEC, "none", "none",                    \
     "mbps=N                   MiB a second, at most")                         \
  X (latency.limits.bytes_per_sec[THROTTLE_READS], "read-mbps", MBPS, LIVE,    \
     UINT64_C (1) << 20, MAX_BYTES_PER_SEC, "none", "none",                    \
     "read-mbps=N              ... read")                                      \
  X (latency.limits.bytes_per_sec[THROTTLE_WRITES], "write-mbps", MBPS, LIVE,  \
     UINT64_C (1) << 20, MAX_BYTES_PER_SEC, "none", "none",                    \
     "write-mbps=N             ... written")                                   \
  X (latency.limits.operations_per_sec[THROTTLE_ALL], "iops", LIMIT, LIVE, 1,  \
     MAX_OPERATIONS_PER_SEC, "none", "none",                                   \
     "iops=N                   requests a second, at most")                    \
  X (latency.limits.operations_per_sec[THROTTLE_READS], "read-iops", LIMIT,    \
     LIVE, 1, MAX_OPERATIONS_PER_SEC, "none", "none",                          \
     "read-iops=N              ... reads")                                     \
  X (latency.limits.operations_per_sec[THROTTLE_WRITES], "write-iops", LIMIT,  \
     LIVE, 1, MAX_OPERATIONS_PER_SEC, "none", "none",                          \
     "write-iops=N             ... changes")                                   \
  X (spin, "latency-spin", SPIN, LIVE, 0, 0, "auto", "auto",                   \
     "latency-spin=DURATION    the end of a wait that a CPU spins for")        \
  X (seed, "seed", SEED, LIVE, 0, 0, "random", "random",                       \
     "seed=N                   begin the drawn latencies here")                \
  X (zones.zoned, "zoned", BOOL, FIXED, 0, 1, "false", "false",                \
     "zoned=BOOL               a host-managed zoned device")                   \
  X (zones.zone_size, "zone-size", MIB, FIXED, MIN_ZONE_SIZE,                  \
     UINT64_C (4) << 60, "256M", "256M", "zone-size=SIZE           of a zone") \
  X (zones.capacity, "zone-capacity", MIB, FIXED, 0, UINT64_C (4) << 60, "0",  \
     "the zone-size", "zone-capacity=SIZE       what may be written of it")    \
  X (zones.nr_conv, "zone-nr-conv", COUNT, FIXED, 0, MAX_ZONES, "0", "0",      \
     "zone-nr-conv=N           conventional zones, at the beginning")          \
  X (zones.max_open, "zone-max-open", LIMIT, FIXED, 1, MAX_ZONES, "none",      \
     "none", "zone-max-open=N          zones open at once")                    \
  X (zones.max_active, "zone-max-active", LIMIT, FIXED, 1, MAX_ZONES, "none",  \
     "none", "zone-max-active=N        zones open or closed at once")          \
  X (zones.full, "zone-full", BOOL, FIXED, 0, 1, "false", "false",             \
     "zone-full=BOOL           zones begin full")                              \
  X (zones.readonly, "zone-readonly", ZONES, FIXED, 0, 0, "none", "none",      \
     "zone-readonly=ZONES      zones that begin read-only")                    \
  X (zones.offline, "zone-offline", ZONES, FIXED, 0, 0, "none", "none",        \
     "zone-offline=ZONES       zones that begin offline")                      \
  X (zones.past_wp, "zone-read-past-wp", PAST_WP, FIXED, 0, 0, "zero", "zero", \
     "zone-read-past-wp=WHAT   what reads get past the write pointer")         \
  X (zones.trim, "zone-trim", ZONE_TRIM, FIXED, 0, 0, "reset", "reset",        \
     "zone-trim=WHAT           what a trim of zones does")                     \
  X (zones.reorder_wait, "zone-reorder-wait", DURATION, FIXED, 0,              \
     MAX_DURATION, "20ms", "20ms",                                             \
     "zone-reorder-wait=D      how long writes wait for those before them")    \
  X (badblocks_once, "badblocks-once", BOOL, LIVE, 0, 1, "false", "false",     \
     "badblocks-once=BOOL      bad blocks are good once they were hit")        \
  X (badblocks_partial_io, "badblocks-partial-io", BOOL, LIVE, 0, 1, "false",  \
     "false", "badblocks-partial-io=BOOL write what lies before bad blocks")

/* What a device has that is no setting.  X (name, type, default, line of help)
 */
#define STATES(X)                                                              \
  X ("badblocks", BADBLOCKS, "none",                                           \
     "badblocks=+FIRST-LAST,.. sectors that fail")                             \
  X ("fault", FAULT, "none",                                                   \
     "fault=RULE               what else goes wrong; may be given again")

/* What null_blk or its users call them. */
static const struct alias {
  const char *other;
  const char *name;
  uint64_t unit; /* bytes; 0 when the value is written as for NAME */
} aliases[] = {
    {"bs", "block-size", 0},
    {"blocksize", "block-size", 0},
    {"gb", "size", UINT64_C (1) << 30},
    {"nr-devices", "devices", 0},
    {"completion-nsec", "latency", 1},
    {"irqmode", "latency", 1},
};

/* What null_blk takes and a server cannot mean anything by. */
static const struct kernel_only {
  const char *name;
  const char *reason;
} kernel_only[] = {
    {"blocking", "it says how the kernel runs a driver; nothing blocks here"},
    {"home-node", "it places the kernel's memory; start the server under "
                  "numactl instead"},
    {"hw-queue-depth", "the depth is nbdkit's -t (threads a connection)"},
    {"index", "it is a number that the kernel gives; exports are named "
              "nullb0 and up"},
    {"init-hctx", "it makes the kernel's queue set-up fail; there is none "
                  "here"},
    {"max-sectors", "NBD clients split their own requests; nbdkit takes up to "
                    "64M"},
    {"no-sched", "the I/O scheduler is the client kernel's; set it in "
                 "/sys/block there"},
    {"poll-queues", "polled queues are the client kernel's"},
    {"queue-mode", "it chooses among the kernel's driver interfaces"},
    {"requeue", "it makes the kernel's block layer try again; NBD has no such "
                "reply"},
    {"shared-tag-bitmap", "tags are the client kernel's"},
    {"shared-tags", "tags are the client kernel's"},
    {"submit-queues", "queues are connections; attach with as many as wanted "
                      "(nbd-client -C)"},
    {"timeout", "the timeout is the client's (nbd-client -timeout)"},
    {"use-per-node-hctx", "queues are connections; attach with as many as "
                          "wanted (nbd-client -C)"},
    {"virt-boundary", "it shapes the kernel's own scatter lists"},
    {"zone-append-max-sectors", "NBD has no zone append"},
};

enum change { FIXED, LIVE, STATE };

static const struct param {
  const char *name;
  struct value_rule rule;
  enum change change;
  size_t field;        /* offset in struct settings; not of STATE */
  const char *initial; /* or NULL: params_complete works it out */
  const char *shown;
} params[] = {
#define ROW(field, name, type, change, least, most, initial, shown, help)      \
  {name,    {VALUE_##type, least, most},                                       \
   change,  offsetof (struct settings, field),                                 \
   initial, shown},
    PARAMS (ROW)
#undef ROW
#define ROW(name, type, shown, help)                                           \
  {name, {VALUE_##type, 0, 0}, STATE, 0, NULL, shown},
        STATES (ROW)
#undef ROW
};

const char params_help[] =
#define HELP(field, name, type, change, least, most, initial, shown, help)     \
  help " (default " shown ")\n"
    PARAMS (HELP)
#undef HELP
#define HELP(name, type, shown, help) help " (default " shown ")\n"
        STATES (HELP)
#undef HELP
    ;

#define NR(array) (sizeof (array) / sizeof ((array)[0]))

_Static_assert(NR (params) <= MAX_PARAMS, "given[] is too short");

#define refuse(why, ...) (message_set (why, __VA_ARGS__), -EINVAL)

/* '-' and '_' are the same letter, as in the kernel's module parameters. */
static bool
same_name (const char *a, const char *b)
{
  for (; *a && *b; a++, b++) {
    if ((*a == '_' ? '-' : *a) != (*b == '_' ? '-' : *b))
      return false;
  }
  return *a == *b;
}

static size_t
find_param (const char *key)
{
  size_t i;

  for (i = 0; i < NR (params); i++) {
    if (same_name (key, params[i].name))
      break;
  }
  return i;
}

static void *
field_of (const struct param *param, struct settings *s)
{
  return (char *) s + param->field;
}

static const void *
const_field_of (const struct param *param, const struct settings *s)
{
  return (const char *) s + param->field;
}

/*---------------------------------------------------------------------*/
/* What settings own */

void
settings_ref (const struct settings *s)
{
  unsigned op;

  for (op = 0; op < NR_OPERATIONS; op++) {
    distribution_ref (s->latency_all[op]);
    distribution_ref (s->latency_of[op]);
  }
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
  latency_settings_unref (&s->latency);
}

/*---------------------------------------------------------------------*/
/* From the command line */

static void
set_to_default (const struct param *param, struct settings *s)
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
  for (i = 0; i < NR (params); i++)
    set_to_default (&params[i], &p->settings);
}

void
params_clear (struct params *p)
{
  settings_unref (&p->settings);
  badblocks_change_free (p->badblocks);
  fault_free (p->faults);
  p->badblocks = NULL;
  p->faults = NULL;
}

bool
params_given (const struct params *p, const char *name)
{
  return p->given[find_param (name)];
}

/* The parameter that KEY means, and the unit of a bare number.  NULL and the
 * reason in *why if none.
 */
static const struct param *
look_up (const char *key, const char *value, uint64_t *unit,
         struct message *why)
{
  const char *name = key;
  size_t i;

  *unit = 0;
  for (i = 0; i < NR (kernel_only); i++) {
    if (same_name (key, kernel_only[i].name)) {
      message_set (why, "%s=%.80s: this null_blk parameter is the kernel's: %s",
                   key, value, kernel_only[i].reason);
      return NULL;
    }
  }
  for (i = 0; i < NR (aliases); i++) {
    if (same_name (key, aliases[i].other)) {
      name = aliases[i].name;
      *unit = aliases[i].unit;
    }
  }
  i = find_param (name);
  if (i < NR (params))
    return &params[i];
  message_set (why,
               "%.80s=%.80s: unknown parameter; 'nbdkit nullblk --help' "
               "lists them",
               key, value);
  return NULL;
}

/* Take the value of a parameter that is no setting. */
static int
take_state (const struct param *param, struct params *p, const char *value,
            struct message *why)
{
  struct fault *fault;
  int r;

  if (param->rule.type == VALUE_BADBLOCKS)
    return badblocks_parse (value, &p->badblocks, why);
  if (strcmp (value, "none") == 0)
    return 0;
  r = fault_new (value, &fault, why);
  if (r == 0)
    fault_append (&p->faults, fault);
  return r;
}

/* Take KEY=VALUE, a setting into *s.  But for fault= it may be given but once.
 */
static int
set (const struct param *param, struct params *p, struct settings *s,
     const char *key, const char *value, uint64_t unit, struct message *why)
{
  bool *given = &p->given[param - params];
  struct message wrong;
  int r;

  if (*given && param->rule.type != VALUE_FAULT)
    return refuse (why, "%s=%.80s: %s is given twice", key, value, param->name);
  if (param->change == STATE)
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
  const bool is_mode = same_name (key, "irqmode");
  const uint64_t most = is_mode ? 2 : MAX_DURATION;
  uint64_t *number = is_mode ? &p->irqmode : &p->completion_nsec;
  bool *given = is_mode ? &p->irqmode_given : &p->completion_nsec_given;

  if (!is_mode && !same_name (key, "completion-nsec"))
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
  param = look_up (key, value, &unit, why);
  if (param == NULL)
    return -EINVAL;
  return set (param, p, &p->settings, key, value, unit, why);
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

/* Take KEY=VALUE for a parameter that cannot change: only what it is. */
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

  param = look_up (key, value, &unit, why);
  if (param == NULL)
    return -EINVAL;
  if (same_name (key, "irqmode") || same_name (key, "completion-nsec"))
    return refuse (why,
                   "%s=%.80s: it is for the command line; while the server "
                   "runs, latency=DURATION says the same",
                   key, value);
  if (param->change == FIXED)
    return compare (param, p, key, value, unit, why);
  return set (param, p, &p->settings, key, value, unit, why);
}

/*---------------------------------------------------------------------*/
/* What follows from settings */

/* What a profile may set, and sets to its default where it does not, also while
 * the server runs.
 */
static bool
is_of_profile (const struct param *param)
{
  if (param->change == FIXED)
    return false;
  switch (param->rule.type) {
  case VALUE_LATENCY:
  case VALUE_LATENCY_OF:
  case VALUE_LIMIT:
  case VALUE_MBPS:
  case VALUE_STALL:
    return true;
  default:
    return false;
  }
}

/* Is what cannot change the same in *s as it is now?  Limits on zones are
 * compared as what they come to.
 */
static int
compare_fixed (const struct params *p, struct settings *s, struct message *why)
{
  char now[ZONE_LIST_TEXT], then[ZONE_LIST_TEXT];
  size_t i;
  int r;

  r = zone_settings_complete (&s->zones, s->size, s->block_size, why);
  for (i = 0; r == 0 && i < NR (params); i++) {
    if (params[i].change != FIXED)
      continue;
    value_print (&params[i].rule, const_field_of (&params[i], &p->settings),
                 now, sizeof now);
    value_print (&params[i].rule, const_field_of (&params[i], s), then,
                 sizeof then);
    if (strcmp (now, then) != 0)
      r = refuse (why,
                  "%s=%.80s: allowed is what it was started with, %.80s: it "
                  "cannot change while the server runs",
                  params[i].name, then, now);
  }
  return r;
}

/* Take a profile, where there is a new one, for all that is not given.  What is
 * FIXED owns nothing, so that a copy of it can be looked at when it is LIVE.
 */
static int
take_profile (struct params *p, bool live, struct message *why)
{
  const struct profile *profile = p->settings.profile;
  const struct profile_setting *setting;
  struct settings fixed = p->settings, *to;
  struct message wrong;
  size_t i;
  int r = 0;

  if (!params_given (p, "profile"))
    return 0;
  for (i = 0; i < NR (params); i++) {
    if (is_of_profile (&params[i]) && !p->given[i])
      set_to_default (&params[i], &p->settings);
  }
  if (profile == NULL)
    return 0;
  for (setting = profile->settings; r == 0 && setting->key != NULL; setting++) {
    i = find_param (setting->key);
    if (i == NR (params) || p->given[i])
      continue;
    to = live && params[i].change == FIXED ? &fixed : &p->settings;
    r = value_parse (&params[i].rule, setting->value, 0,
                     field_of (&params[i], to), &wrong);
  }
  if (r == 0 && live)
    r = compare_fixed (p, &fixed, &wrong);
  if (r == -EINVAL)
    return refuse (why, "profile=%s: %s", profile->name, wrong.text);
  return r;
}

/* As null_blk: completion_nsec, or 10 us, with irqmode=2 alone. */
static int
take_completion_nsec (struct params *p, struct message *why)
{
  const bool timer = p->irqmode_given && p->irqmode == 2;
  const bool given = p->completion_nsec_given;
  char nsec[32];

  if (given && !timer)
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
  return set (&params[find_param ("latency")], p, &p->settings,
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
  s->latency.size = s->size;
  latency_settings_complete (&s->latency);
}

static bool
faults_wait (const struct fault *chain)
{
  while (chain != NULL && !fault_waits (chain))
    chain = fault_next (chain);
  return chain != NULL;
}

bool
params_wait (const struct params *given)
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
      take_profile (&p, false, &why) == 0;
  complete_latency (&p.settings);
  r = r && p.settings.latency.waits;
  params_clear (&p);
  return r;
}

int
params_complete_change (struct params *p, struct message *why)
{
  int r = take_profile (p, true, why);

  if (r == 0)
    complete_latency (&p->settings);
  return r;
}

int
params_check_limit (const struct settings *s, bool given, uint64_t memory,
                    uint64_t unit, struct message *why)
{
  char text[32], least[32], most[32];

  if (!s->memory_backed ||
      (s->memory_limit >= unit && s->memory_limit <= memory))
    return 0;
  size_format (s->memory_limit, text, sizeof text);
  size_format (unit, least, sizeof least);
  size_format (memory, most, sizeof most);
  return refuse (why,
                 "memory-limit=%s%s: allowed is a size from %s to the %s "
                 "that this machine or cgroup has",
                 text, given ? "" : " (by default)", least, most);
}

int
params_complete (struct params *p, uint64_t memory, uint64_t unit,
                 struct message *why)
{
  struct settings *s = &p->settings;
  char text[32], block[32];
  bool given;
  int r;

  r = take_completion_nsec (p, why);
  if (r == 0)
    r = take_profile (p, false, why);
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
  given = params_given (p, "memory-limit");
  if (!given)
    s->memory_limit = memory / 2 / unit * unit;
  return params_check_limit (s, given, memory, unit, why);
}

/*---------------------------------------------------------------------*/
/* The table, for others */

bool
params_print (const struct settings *s, size_t i, char *buf, size_t len)
{
  size_t used;

  if (i >= NR (params) || params[i].change == STATE)
    return false;
  snprintf (buf, len, "%s=", params[i].name);
  used = strlen (buf);
  value_print (&params[i].rule, const_field_of (&params[i], s), buf + used,
               len - used);
  return true;
}

bool
params_row (size_t i, struct param_row *row)
{
  if (i >= NR (params))
    return false;
  row->name = params[i].name;
  row->default_value = params[i].shown;
  row->is_live = params[i].change != FIXED;
  value_describe (&params[i].rule, 0, row->range, sizeof row->range);
  return true;
}

bool
params_alias (size_t i, const char **other, const char **name)
{
  if (i >= NR (aliases))
    return false;
  *other = aliases[i].other;
  *name = aliases[i].name;
  return true;
}

bool
params_kernel_only (size_t i, const char **name, const char **reason)
{
  if (i >= NR (kernel_only))
    return false;
  *name = kernel_only[i].name;
  *reason = kernel_only[i].reason;
  return true;
}
