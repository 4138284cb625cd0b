/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Values of parameters; see value.h.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "common/common.h"
#include "params.h"
#include "profile.h"
#include "timing/timing.h"
#include "value.h"
#include "zones/zones.h"

#define NR(array) (sizeof (array) / sizeof ((array)[0]))

#define MIB (UINT64_C (1) << 20)

/* The longest latency-spin: nbdkit alone cannot end what a thread spins. */
#define MAX_SPIN (10 * NSEC_PER_MSEC)

#define MAX_WORDS 4

/* The words that a type of enum allows, in its order. */
static const char *const words[VALUE_FAULT + 1][MAX_WORDS + 1] = {
    [VALUE_PARALLEL] = {"auto", "off", "on"},
    [VALUE_CONTROL] = {"local", "any", "off"},
    [VALUE_POWER_OFF_REPLY] = {"error", "disconnect"},
    [VALUE_PAST_WP] = {"zero", "ones", "error"},
    [VALUE_ZONE_TRIM] = {"reset", "ignore", "error"},
    [VALUE_ZONE_CROSS] = {"split", "error"},
};

/* The parts that a type has, if that is what it has. */
static const struct parts *const parts[VALUE_FAULT + 1] = {
    [VALUE_IO_CREDITS] = &io_credits_parts,
    [VALUE_BYTE_CREDITS] = &byte_credits_parts,
    [VALUE_DISK] = &disk_parts,
    [VALUE_FLASH] = &flash_parts,
    [VALUE_COLLECTION] = &collection_parts,
};

static bool
has_words (enum value_type type)
{
  return words[type][0] != NULL;
}

/*---------------------------------------------------------------------*/
/* Parsing */

/* A number in units, and nothing after it. */
static bool
parse_bare (const char *s, uint64_t unit, uint64_t *r)
{
  return number_parse (s, strlen (s), r) == 0 &&
         !__builtin_mul_overflow (*r, unit, r);
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

/* S is to be one of the words of the type.  Where "on" and "off" are among
 * these, it may also be any other word for a boolean.
 */
static bool
parse_word (enum value_type type, const char *s, unsigned *r)
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
  if (type != VALUE_PARALLEL || !parse_bool (s, &on))
    return false;
  *r = on ? PARALLEL_ON : PARALLEL_OFF;
  return true;
}

static bool
parse_seed (const char *s, uint64_t *r)
{
  if (strcmp (s, "random") != 0)
    return parse_bare (s, 1, r);
  if (getrandom (r, sizeof *r, GRND_NONBLOCK) != (ssize_t) sizeof *r)
    *r = clock_now ();
  return true;
}

static bool
parse_spin (const char *s, uint64_t *r)
{
  uint64_t nsec;

  if (strcmp (s, "auto") == 0) {
    *r = SPIN_AUTO;
    return true;
  }
  if (duration_parse (s, strlen (s), &nsec) < 0 || nsec > MAX_SPIN)
    return false;
  *r = nsec;
  return true;
}

static bool
parse_duration (const char *s, const struct value_rule *rule, uint64_t *r)
{
  uint64_t nsec;

  if (duration_parse (s, strlen (s), &nsec) < 0 || nsec > rule->most)
    return false;
  *r = nsec;
  return true;
}

static bool
parse_profile (const char *s, const struct profile **r)
{
  const struct profile *profile = profile_find (s);

  if (profile == NULL && strcmp (s, "none") != 0)
    return false;
  *r = profile;
  return true;
}

/* The path has to be one that a line of .config can hold; blanks at the end of
 * such a line are cut off.
 */
static bool
parse_file (const char *s, char *field)
{
  const size_t len = strlen (s);
  size_t i;

  if (len == 0 || len > MAX_FILE_NAME || s[len - 1] == ' ')
    return false;
  for (i = 0; i < len; i++) {
    if ((unsigned char) s[i] < ' ' || s[i] == 0x7f)
      return false;
  }
  strcpy (field, strcmp (s, "none") == 0 ? "" : s);
  return true;
}

/* The server may go on in another directory, so the path becomes an absolute
 * one.  What is in force already is not looked at again: the file may be gone
 * by now.
 */
static int
parse_model (const char *s, char *field, struct message *why)
{
  char path[PATH_MAX];

  if (strcmp (s, field) == 0)
    return 0;
  if (strcmp (s, "none") == 0) {
    field[0] = '\0';
    return 0;
  }
  if (realpath (s, path) == NULL) {
    message_set (why, "%s; allowed is none, or a model file", strerror (errno));
    return -EINVAL;
  }
  if (!parse_file (path, field)) {
    message_set (
        why,
        "allowed is a path of at most %d bytes in all, without control "
        "characters and without a blank at its end",
        MAX_FILE_NAME);
    return -EINVAL;
  }
  return 0;
}

/* The text of a bare number of nanoseconds, for null_blk's completion_nsec. */
static bool
with_unit (const char *text, char *buf, size_t len)
{
  uint64_t nsec;

  if (!parse_bare (text, 1, &nsec) || nsec > MAX_DURATION)
    return false;
  snprintf (buf, len, "%" PRIu64 "ns", nsec);
  return true;
}

/* A file has the same text for all operations that it knows. */
static const char *
text_of_latency (struct distribution *const *all)
{
  unsigned op;

  for (op = 0; op < NR_OPERATIONS; op++) {
    if (all[op] != NULL)
      return distribution_text (all[op]);
  }
  return "0";
}

/* A latency of 0 is NULL for all operations, so that a default owns nothing.
 * What is in force already is not made again: a file may be gone by now.
 */
static int
parse_latency (const char *text, uint64_t unit, struct distribution **field,
               struct message *why)
{
  struct distribution *all[NR_OPERATIONS];
  bool is_zero = true;
  char nsec[32];
  unsigned op;
  int r;

  if (strcmp (text, text_of_latency (field)) == 0)
    return 0;
  if (unit != 0) {
    if (!with_unit (text, nsec, sizeof nsec)) {
      message_set (why, "allowed is a whole number of ns from 0 to %" PRIu64,
                   (uint64_t) MAX_DURATION);
      return -EINVAL;
    }
    text = nsec;
  }
  r = distribution_parse_all (text, all, why);
  if (r < 0)
    return r;
  for (op = 0; op < NR_OPERATIONS; op++)
    is_zero &= all[op] == NULL || distribution_is_zero (all[op]);
  for (op = 0; op < NR_OPERATIONS; op++) {
    distribution_unref (field[op]);
    field[op] = is_zero ? NULL : distribution_ref (all[op]);
    distribution_unref (all[op]);
  }
  return 0;
}

/* NONE is the text of NULL. */
static int
parse_distribution (const char *text, const char *none, enum operation op,
                    struct distribution **field, struct message *why)
{
  struct distribution *d = NULL;
  int r;

  if (*field != NULL && strcmp (text, distribution_text (*field)) == 0)
    return 0;
  if (strcmp (text, none) != 0) {
    r = distribution_parse (text, op, &d, why);
    if (r < 0)
      return r;
  }
  distribution_unref (*field);
  *field = d;
  return 0;
}

static bool
parse_uint64 (const struct value_rule *rule, const char *text, uint64_t unit,
              uint64_t *field)
{
  uint64_t n = 0;
  bool ok;

  switch (rule->type) {
  case VALUE_COUNT:
    ok = parse_bare (text, 1, &n);
    break;
  case VALUE_LIMIT:
  case VALUE_MBPS:
    if (strcmp (text, "none") == 0 || strcmp (text, "0") == 0) {
      *field = 0;
      return true;
    }
    ok = parse_bare (text, rule->type == VALUE_MBPS ? MIB : 1, &n);
    break;
  case VALUE_MIB:
    ok = number_parse (text, strlen (text), &n) == 0
             ? parse_bare (text, MIB, &n)
             : size_parse (text, strlen (text), &n) == 0;
    break;
  default:
    ok = unit != 0 ? parse_bare (text, unit, &n)
                   : size_parse (text, strlen (text), &n) == 0;
    break;
  }
  if (!ok || n < rule->least || n > rule->most ||
      (rule->type == VALUE_POWER_OF_TWO && (n & (n - 1)) != 0))
    return false;
  *field = n;
  return true;
}

/* The types that have nothing more to say of a wrong value than what is
 * allowed.
 */
static bool
parse_plain (const struct value_rule *rule, const char *text, uint64_t unit,
             void *field)
{
  if (has_words (rule->type))
    return parse_word (rule->type, text, field);
  switch (rule->type) {
  case VALUE_BOOL:
    return parse_bool (text, field);
  case VALUE_DURATION:
    return parse_duration (text, rule, field);
  case VALUE_SEED:
    return parse_seed (text, field);
  case VALUE_SPIN:
    return parse_spin (text, field);
  case VALUE_PROFILE:
    return parse_profile (text, field);
  case VALUE_FILE:
    return parse_file (text, field);
  default:
    return parse_uint64 (rule, text, unit, field);
  }
}

int
value_parse (const struct value_rule *rule, const char *text, uint64_t unit,
             void *field, struct message *why)
{
  char range[256];

  if (parts[rule->type] != NULL)
    return parts_parse (parts[rule->type], text, field, why);
  switch (rule->type) {
  case VALUE_STALL:
    return stall_parse (text, field, why);
  case VALUE_SIZE_LATENCY:
    return size_latency_parse (text, field, why);
  case VALUE_ZONES:
    return zone_list_parse (text, field, why);
  case VALUE_MODEL:
    return parse_model (text, field, why);
  case VALUE_LATENCY:
    return parse_latency (text, unit, field, why);
  case VALUE_LATENCY_OF:
    return parse_distribution (text, "default", (enum operation) rule->least,
                               field, why);
  case VALUE_DISTRIBUTION:
    return parse_distribution (text, "0", (enum operation) rule->least, field,
                               why);
  default:
    if (parse_plain (rule, text, unit, field))
      return 0;
    value_describe (rule, unit, range, sizeof range);
    message_set (why, "allowed is %s", range);
    return -EINVAL;
  }
}

/*---------------------------------------------------------------------*/
/* Printing */

static void
print_uint64 (const struct value_rule *rule, uint64_t n, char *buf, size_t len)
{
  if (rule->type == VALUE_SIZE || rule->type == VALUE_POWER_OF_TWO)
    size_format (n, buf, len);
  else if (rule->type == VALUE_SPIN && n == SPIN_AUTO)
    snprintf (buf, len, "auto");
  else if (rule->type == VALUE_SPIN || rule->type == VALUE_DURATION)
    duration_format (n, buf, len);
  else if (rule->type == VALUE_MIB && n % 1024 == 0 && n != 0)
    size_format (n, buf, len);
  else if (rule->type == VALUE_MIB)
    snprintf (buf, len, "%" PRIu64 "b", n);
  else if ((rule->type == VALUE_LIMIT || rule->type == VALUE_MBPS) && n == 0)
    snprintf (buf, len, "none");
  else
    snprintf (buf, len, "%" PRIu64, rule->type == VALUE_MBPS ? n / MIB : n);
}

void
value_print (const struct value_rule *rule, const void *field, char *buf,
             size_t len)
{
  struct distribution *const *durations = field;
  const struct profile *const *profile = field;
  const char *path = field;

  if (has_words (rule->type)) {
    snprintf (buf, len, "%s", words[rule->type][*(const unsigned *) field]);
    return;
  }
  if (parts[rule->type] != NULL) {
    parts_format (parts[rule->type], field, buf, len);
    return;
  }
  switch (rule->type) {
  case VALUE_BOOL:
    snprintf (buf, len, "%s", *(const bool *) field ? "true" : "false");
    break;
  case VALUE_STALL:
    stall_format (field, buf, len);
    break;
  case VALUE_SIZE_LATENCY:
    size_latency_format (field, buf, len);
    break;
  case VALUE_ZONES:
    zone_list_format (field, buf, len);
    break;
  case VALUE_PROFILE:
    snprintf (buf, len, "%s", *profile != NULL ? (*profile)->name : "none");
    break;
  case VALUE_FILE:
  case VALUE_MODEL:
    snprintf (buf, len, "%s", path[0] != '\0' ? path : "none");
    break;
  case VALUE_LATENCY:
    snprintf (buf, len, "%s", text_of_latency (durations));
    break;
  case VALUE_LATENCY_OF:
    snprintf (buf, len, "%s",
              *durations != NULL ? distribution_text (*durations) : "default");
    break;
  case VALUE_DISTRIBUTION:
    snprintf (buf, len, "%s",
              *durations != NULL ? distribution_text (*durations) : "0");
    break;
  default:
    print_uint64 (rule, *(const uint64_t *) field, buf, len);
    break;
  }
}

/*---------------------------------------------------------------------*/
/* The allowed values in words */

static void
describe_words (const char *const *word, char *buf, size_t len)
{
  buf[0] = '\0';
  for (; *word != NULL; word++)
    words_append (buf, len, *word, word[1] == NULL ? "or" : NULL);
}

static void
describe_profiles (char *buf, size_t len)
{
  const struct profile *profile;
  size_t i;

  snprintf (buf, len, "none");
  for (i = 0; (profile = profile_at (i)) != NULL; i++)
    words_append (buf, len, profile->name,
                  profile_at (i + 1) == NULL ? "or" : NULL);
}

#define DURATIONS DURATION_FORM ", or what DISTRIBUTIONS in the manual lists"

void
value_describe (const struct value_rule *rule, uint64_t unit, char *buf,
                size_t len)
{
  char least[32], most[32];

  if (parts[rule->type] != NULL) {
    parts_describe (parts[rule->type], buf, len);
    return;
  }
  size_format (rule->least, least, sizeof least);
  size_format (rule->most, most, sizeof most);
  switch (rule->type) {
  case VALUE_SIZE:
    if (unit != 0)
      snprintf (buf, len, "a whole number from 1 to %" PRIu64,
                rule->most / unit);
    else
      snprintf (buf, len,
                "a size from %s to %s bytes (K, M, G, T, P and E are powers of "
                "1024)",
                least, most);
    break;
  case VALUE_POWER_OF_TWO:
    snprintf (buf, len, "a power of two from %s to %s", least, most);
    break;
  case VALUE_COUNT:
    snprintf (buf, len, "a whole number from %" PRIu64 " to %" PRIu64,
              rule->least, rule->most);
    break;
  case VALUE_BOOL:
    snprintf (buf, len, "true or false");
    break;
  case VALUE_SEED:
    snprintf (buf, len, "random, or a whole number from 0 to %" PRIu64,
              UINT64_MAX);
    break;
  case VALUE_LIMIT:
  case VALUE_MBPS:
    unit = rule->type == VALUE_MBPS ? MIB : 1;
    snprintf (buf, len, "none, or a whole number from %" PRIu64 " to %" PRIu64,
              rule->least / unit, rule->most / unit);
    break;
  case VALUE_STALL:
    snprintf (buf, len, "none or every:DURATION,for:DURATION");
    break;
  case VALUE_SIZE_LATENCY:
    snprintf (buf, len,
              "none, a duration from 0 to 100s (units: ns, us, ms, s), or from "
              "2 to %d points SIZE:DURATION,...",
              MAX_SIZE_POINTS);
    break;
  case VALUE_SPIN:
    snprintf (buf, len, "auto, or a duration from 0 to 10ms");
    break;
  case VALUE_MIB:
    snprintf (buf, len,
              "a size from %s to %s (K, M, G, T, P and E are powers of 1024; a "
              "bare number is in MiB)",
              least, most);
    break;
  case VALUE_ZONES:
    snprintf (buf, len, "none, or zones and ranges of them, such as 3,7-9");
    break;
  case VALUE_DURATION:
    snprintf (buf, len, "%s", DURATION_FORM);
    break;
  case VALUE_PROFILE:
    describe_profiles (buf, len);
    break;
  case VALUE_LATENCY:
  case VALUE_DISTRIBUTION:
    snprintf (buf, len, "%s", DURATIONS);
    break;
  case VALUE_LATENCY_OF:
    snprintf (buf, len, "default, %s", DURATIONS);
    break;
  case VALUE_FILE:
    snprintf (buf, len,
              "none, or a path of at most %d bytes, without control characters "
              "and without a blank at its end",
              MAX_FILE_NAME);
    break;
  case VALUE_MODEL:
    snprintf (buf, len, "none, or the path of a model file");
    break;
  case VALUE_BADBLOCKS:
    snprintf (buf, len,
              "none, or +FIRST-LAST and -FIRST-LAST joined with commas");
    break;
  case VALUE_FAULT:
    snprintf (buf, len, "none, or a rule as FAULTS in the manual has them");
    break;
  default:
    describe_words (words[rule->type], buf, len);
    break;
  }
}
