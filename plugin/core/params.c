/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The table of parameters and everything that reads it; see params.h.
 */

#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "params.h"

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
  X (parallel, "parallel", PARALLEL, FIXED, 0, 0, "auto", "auto",              \
     "parallel=auto|on|off     a connection's requests side by side")          \
  X (control, "control", CONTROL, FIXED, 0, 0, "local", "local",               \
     "control=local|any|off    who may see statistics and change settings")

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

enum type { SIZE, POWER_OF_TWO, COUNT, BOOL, PARALLEL, CONTROL };
enum change { FIXED, LIVE };

#define MAX_WORDS 4

/* The words that a type allows, in the order of its enum. */
static const char *const words[][MAX_WORDS + 1] = {
    [PARALLEL] = {"auto", "off", "on"},
    [CONTROL] = {"local", "any", "off"},
};

static const struct param {
  const char *name;
  enum type type;
  enum change change;
  size_t field; /* offset in struct settings */
  uint64_t least, most;
  const char *initial; /* or NULL: params_complete works it out */
  const char *shown;
} params[] = {
#define ROW(field, name, type, change, least, most, initial, shown, help)      \
  {name,  type, change,  offsetof (struct settings, field),                    \
   least, most, initial, shown},
    PARAMS (ROW)
#undef ROW
};

const char params_help[] =
#define HELP(field, name, type, change, least, most, initial, shown, help)     \
  help " (default " shown ")\n"
    PARAMS (HELP)
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

/* A whole number, decimal, without a sign.  Returns what follows it, or NULL
 * when there is none or it does not fit.
 */
static const char *
parse_number (const char *s, uint64_t *r)
{
  uint64_t n = 0;

  if (!isdigit ((unsigned char) *s))
    return NULL;
  for (; isdigit ((unsigned char) *s); s++) {
    if (__builtin_mul_overflow (n, 10, &n) ||
        __builtin_add_overflow (n, (uint64_t) (*s - '0'), &n))
      return NULL;
  }
  *r = n;
  return s;
}

/* As nbdkit_parse_size: a number and at most one letter, b (1), s (512) or k m
 * g t p e (powers of 1024), large or small.
 */
static bool
parse_size (const char *s, uint64_t *r)
{
  static const char powers[] = "bkmgtpe";
  uint64_t unit = 1;
  const char *power;

  s = parse_number (s, r);
  if (s == NULL)
    return false;
  if (*s != '\0') {
    if (tolower ((unsigned char) *s) == 's')
      unit = 512;
    else {
      power = strchr (powers, tolower ((unsigned char) *s));
      if (power == NULL)
        return false;
      unit = UINT64_C (1) << (10 * (power - powers));
    }
    if (s[1] != '\0')
      return false;
  }
  return !__builtin_mul_overflow (*r, unit, r);
}

/* The words of nbdkit_parse_bool; the kernel's are among them. */
static bool
parse_bool (const char *s, bool *r)
{
  static const char *const yes[] = {"1", "true", "t", "yes", "y", "on"};
  static const char *const no[] = {"0", "false", "f", "no", "n", "off"};
  size_t i;

  for (i = 0; i < NR (yes); i++) {
    if (strcasecmp (s, yes[i]) == 0 || strcasecmp (s, no[i]) == 0) {
      *r = strcasecmp (s, yes[i]) == 0;
      return true;
    }
  }
  return false;
}

/* One of the type's words.  Where "on" and "off" are among them, every other
 * way to say so is as good.
 */
static bool
parse_word (enum type type, const char *s, unsigned *r)
{
  const char *const *word = words[type];
  unsigned i;
  bool on;

  for (i = 0; word[i] != NULL; i++) {
    if (strcasecmp (s, word[i]) == 0) {
      *r = i;
      return true;
    }
  }
  if (type != PARALLEL || !parse_bool (s, &on))
    return false;
  *r = on ? PARALLEL_ON : PARALLEL_OFF;
  return true;
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

/* Parse VALUE into *s.  UNIT is 0, or the bytes that a bare number stands for
 * and then no suffix is allowed.
 */
static bool
parse_value (const struct param *param, const char *value, uint64_t unit,
             struct settings *s)
{
  void *field = field_of (param, s);
  const char *rest;
  uint64_t n = 0;

  switch (param->type) {
  case BOOL:
    return parse_bool (value, field);
  case PARALLEL:
  case CONTROL:
    return parse_word (param->type, value, field);
  case COUNT:
    rest = parse_number (value, &n);
    if (rest == NULL || *rest != '\0')
      return false;
    break;
  case SIZE:
  case POWER_OF_TWO:
    if (unit != 0) {
      rest = parse_number (value, &n);
      if (rest == NULL || *rest != '\0' || __builtin_mul_overflow (n, unit, &n))
        return false;
    }
    else if (!parse_size (value, &n))
      return false;
    break;
  }

  if (n < param->least || n > param->most)
    return false;
  if (param->type == POWER_OF_TWO && (n & (n - 1)) != 0)
    return false;
  memcpy (field, &n, sizeof n);
  return true;
}

void
format_size (uint64_t size, char *buf, size_t len)
{
  static const char powers[] = " KMGTPE";
  size_t i = 0;

  while (size != 0 && size % 1024 == 0 && powers[i + 1] != '\0') {
    size /= 1024;
    i++;
  }
  if (i == 0)
    snprintf (buf, len, "%" PRIu64, size);
  else
    snprintf (buf, len, "%" PRIu64 "%c", size, powers[i]);
}

/* "auto, off or on" */
static void
describe_words (const char *const *word, char *buf, size_t len)
{
  const char *between = "";
  size_t used = 0;

  for (; *word != NULL && used < len; word++) {
    used += snprintf (buf + used, len - used, "%s%s", between, *word);
    between = word[1] != NULL && word[2] == NULL ? " or " : ", ";
  }
}

/* What may stand after NAME=, in words. */
static void
describe_range (const struct param *param, uint64_t unit, char *buf, size_t len)
{
  char least[32], most[32];

  if (unit != 0) {
    snprintf (buf, len, "a whole number from 1 to %" PRIu64,
              param->most / unit);
    return;
  }
  format_size (param->least, least, sizeof least);
  format_size (param->most, most, sizeof most);
  switch (param->type) {
  case BOOL:
    snprintf (buf, len, "true or false");
    break;
  case PARALLEL:
  case CONTROL:
    describe_words (words[param->type], buf, len);
    break;
  case COUNT:
    snprintf (buf, len, "a whole number from %" PRIu64 " to %" PRIu64,
              param->least, param->most);
    break;
  case SIZE:
    snprintf (buf, len,
              "a size from %s to %s bytes (K, M, G, T, P and E are powers of "
              "1024)",
              least, most);
    break;
  case POWER_OF_TWO:
    snprintf (buf, len, "a power of two from %s to %s", least, most);
    break;
  }
}

void
params_init (struct params *p)
{
  size_t i;

  memset (p, 0, sizeof *p);
  for (i = 0; i < NR (params); i++) {
    if (params[i].initial != NULL)
      parse_value (&params[i], params[i].initial, 0, &p->settings);
  }
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

/* Take KEY=VALUE into *s, where it may be given but once. */
static int
set (const struct param *param, struct params *p, struct settings *s,
     const char *key, const char *value, uint64_t unit, struct message *why)
{
  bool *given = &p->given[param - params];
  char range[128];

  if (*given)
    return refuse (why, "%s=%.80s: %s is given twice", key, value, param->name);
  if (!parse_value (param, value, unit, s)) {
    describe_range (param, unit, range, sizeof range);
    return refuse (why, "%s=%.80s: allowed is %s", key, value, range);
  }
  *given = true;
  return 0;
}

int
params_set (struct params *p, const char *key, const char *value,
            struct message *why)
{
  const struct param *param;
  uint64_t unit;

  param = look_up (key, value, &unit, why);
  if (param == NULL)
    return -EINVAL;
  return set (param, p, &p->settings, key, value, unit, why);
}

void
params_begin_change (struct params *p, const struct settings *now)
{
  memset (p, 0, sizeof *p);
  p->settings = *now;
}

int
params_change (struct params *p, const char *key, const char *value,
               struct message *why)
{
  struct settings s = p->settings;
  const struct param *param;
  char now[64], then[64];
  uint64_t unit;
  int r;

  param = look_up (key, value, &unit, why);
  if (param == NULL)
    return -EINVAL;
  r = set (param, p, &s, key, value, unit, why);
  if (r < 0)
    return r;
  if (param->change == FIXED) {
    params_print (&p->settings, param - params, now, sizeof now);
    params_print (&s, param - params, then, sizeof then);
    if (strcmp (now, then) != 0)
      return refuse (why,
                     "%s=%.80s: allowed is what it was started with, %s: it "
                     "cannot change while the server runs",
                     key, value, now + strlen (param->name) + 1);
  }
  p->settings = s;
  return 0;
}

int
params_check_limit (const struct settings *s, bool given, uint64_t memory,
                    uint64_t unit, struct message *why)
{
  char text[32], least[32], most[32];

  if (!s->memory_backed ||
      (s->memory_limit >= unit && s->memory_limit <= memory))
    return 0;
  format_size (s->memory_limit, text, sizeof text);
  format_size (unit, least, sizeof least);
  format_size (memory, most, sizeof most);
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

  format_size (s->block_size, block, sizeof block);

  format_size (s->size, text, sizeof text);
  s->size -= s->size % s->block_size;
  if (s->size == 0)
    return refuse (why, "size=%s: allowed is at least the block-size, %s", text,
                   block);

  if (s->physical_block_size < s->block_size) {
    if (p->given[find_param ("physical-block-size")]) {
      format_size (s->physical_block_size, text, sizeof text);
      return refuse (why,
                     "physical-block-size=%s: allowed is at least the "
                     "block-size, %s",
                     text, block);
    }
    s->physical_block_size = s->block_size;
  }

  given = p->given[find_param ("memory-limit")];
  if (!given)
    s->memory_limit = memory / 2 / unit * unit;
  return params_check_limit (s, given, memory, unit, why);
}

bool
params_print (const struct settings *s, size_t i, char *buf, size_t len)
{
  char value[32] = "";
  const void *field;
  uint64_t n;

  if (i >= NR (params))
    return false;
  field = const_field_of (&params[i], s);
  switch (params[i].type) {
  case BOOL:
    snprintf (value, sizeof value, "%s",
              *(const bool *) field ? "true" : "false");
    break;
  case PARALLEL:
  case CONTROL:
    snprintf (value, sizeof value, "%s",
              words[params[i].type][*(const unsigned *) field]);
    break;
  case COUNT:
    memcpy (&n, field, sizeof n);
    snprintf (value, sizeof value, "%" PRIu64, n);
    break;
  case SIZE:
  case POWER_OF_TWO:
    memcpy (&n, field, sizeof n);
    format_size (n, value, sizeof value);
    break;
  }
  snprintf (buf, len, "%s=%s", params[i].name, value);
  return true;
}

bool
params_row (size_t i, struct param_row *row)
{
  if (i >= NR (params))
    return false;
  row->name = params[i].name;
  row->default_value = params[i].shown;
  row->is_live = params[i].change == LIVE;
  describe_range (&params[i], 0, row->range, sizeof row->range);
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
