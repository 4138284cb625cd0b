/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Live changes: what lines written to a device's settings do; see control.h.  A
 * change is taken apart, checked, prepared as far as it can fail, and then
 * done.
 */

#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/common.h"
#include "control-internal.h"
#include "device/device.h"
#include "settings/settings.h"

/* A change that a text asks for: settings, and actions. */
struct change {
  struct params params;
  bool reset_stats, reset_zones, reset_draws;
  const char *fault_delete; /* or NULL */
  const char *mark;         /* the same */
  const char *tag;          /* the same */

  /* Which of the lines about power the text has (has_...), and their values. */
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

/* The line without the blanks at its ends. */
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

/* KEY=TEXT, for a key that may be given only once. */
static int
take_text (const char **text, const char *key, const char *value,
           struct message *why)
{
  if (*text != NULL)
    return refuse (why, "%s=%.80s: %s is given twice", key, value, key);
  *text = value;
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

/* For device_cut_power a seed of 0 means that none is given. */
static int
parse_power_seed (struct change *change, const char *value)
{
  const int r = number_parse (value, strlen (value), &change->power_seed);

  return r == 0 && change->power_seed == 0 ? -EINVAL : r;
}

/* .stats has the number, and most that read JSON take no larger one. */
static int
parse_cut_after (struct change *change, const char *value)
{
  const int r = number_parse (value, strlen (value), &change->cut_after);

  return r == 0 && change->cut_after > INT64_MAX ? -EINVAL : r;
}

/* The lines about power. */
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
     "a whole number from 1 to 18446744073709551615"},
    {"power-cut-after", offsetof (struct change, has_cut_after),
     parse_cut_after,
     "a whole number of writes up to 9223372036854775807, or 0 for none"},
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

/* "# ask: TAG" asks that the change be found by TAG when it is done.  A line
 * that only looks like that is a comment, as all others with '#' are.
 */
static void
take_tag (struct change *change, const char *line)
{
  static const char key[] = "# ask: ";
  const char *tag = line + sizeof key - 1;
  size_t len;

  if (strncmp (line, key, sizeof key - 1) != 0)
    return;
  for (len = 0; isalnum ((unsigned char) tag[len]) || tag[len] == '-'; len++)
    ;
  if (len > 0 && len < TAG_SIZE && tag[len] == '\0')
    change->tag = tag;
}

static int
take_line (struct change *change, char *line, struct message *why)
{
  char *value;
  int r;

  line = strip (line);
  if (line[0] == '#')
    take_tag (change, line);
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
  if (strcmp (line, "seed") == 0 && strcmp (value, "reset") == 0)
    return take_action (&change->reset_draws, line, value, why);
  if (strcmp (line, "fault-delete") == 0)
    return take_text (&change->fault_delete, line, value, why);
  if (strcmp (line, "mark") == 0)
    return take_text (&change->mark, line, strip (value), why);
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

/* Make versions of settings for the devices from FIRST to the one before END,
 * each as it is except for what TO changes: all of TO for device D, its memory
 * limit for the others.  NULL if there is no memory.  devices.change_lock is
 * held.
 */
static struct settings_version **
make_versions (struct device *d, uint32_t first, uint32_t end,
               const struct settings *to)
{
  struct devices *devices = d->devices;
  struct settings_version **versions, *now;
  uint32_t i;

  versions = calloc (end - first, sizeof *versions);
  if (versions == NULL)
    return NULL;
  for (i = first; i < end; i++) {
    now = device_hold_settings (&devices->device[i]);
    versions[i - first] = settings_version_new (i == d->number ? to : &now->s);
    device_drop_settings (&devices->device[i], now);
    if (versions[i - first] == NULL) {
      while (i-- > first)
        settings_version_free (versions[i - first]);
      free (versions);
      return NULL;
    }
    versions[i - first]->s.memory_limit = to->memory_limit;
  }
  return versions;
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

/* Do the steps of a change that can fail, and have no effect when they do.  On
 * success, room for the change of bad blocks is reserved.
 */
static int
begin_change (struct device *d, struct change *change, uint64_t limit_before,
              struct message *why)
{
  const uint64_t limit = change->params.settings.memory_limit;
  struct devices *devices = d->devices;
  struct message wrong;
  int r;

  r = devices_check_faults (devices, change->params.faults, why);
  if (r == 0)
    r = devices_check_power_off_reply (devices, &change->params.settings, why);
  if (r == 0)
    r = set_limit (devices, limit_before, limit, why);
  if (r == 0 && change->params.badblocks != NULL) {
    r = badblocks_reserve (&d->badblocks, change->params.badblocks);
    if (r < 0)
      set_limit (devices, limit, limit_before, &wrong);
  }
  if (r < 0)
    return r;
  r = faults_change (&d->faults, change->fault_delete, change->params.faults,
                     clock_now (), &wrong);
  if (r == 0)
    change->params.faults = NULL; /* the device's now */
  else {
    message_set (why, "fault: %s", wrong.text);
    if (change->params.badblocks != NULL)
      badblocks_give_up (&d->badblocks);
    /* It cannot fail: this was the limit before. */
    set_limit (devices, limit, limit_before, &wrong);
  }
  return r;
}

/* NOW is what is in force.  devices.change_lock is held. */
static int
apply (struct device *d, const struct settings *now, struct change *change,
       struct message *why)
{
  const struct settings *to = &change->params.settings;
  struct devices *devices = d->devices;
  const bool all = now->memory_limit != to->memory_limit;
  const uint32_t first = all ? 0 : d->number;
  const uint32_t end = all ? devices->count : d->number + 1;
  struct settings_version **versions;
  uint32_t i;
  int r;

  versions = make_versions (d, first, end, to);
  if (versions == NULL)
    return -ENOMEM;
  r = begin_change (d, change, now->memory_limit, why);
  if (r < 0) {
    for (i = first; i < end; i++)
      settings_version_free (versions[i - first]);
    free (versions);
    return r;
  }
  if (change->params.badblocks != NULL)
    badblocks_apply (&d->badblocks, change->params.badblocks, &to->badblocks);
  else
    badblocks_set_mode (&d->badblocks, &to->badblocks);
  for (i = first; i < end; i++)
    device_install (&devices->device[i], versions[i - first]);
  free (versions);
  if (now->seed != to->seed || change->reset_draws)
    device_seed (d);
  if (change->reset_stats) {
    pthread_mutex_lock (&devices->lock);
    device_reset_stats (d);
    pthread_mutex_unlock (&devices->lock);
  }
  return 0;
}

/* Check zones=reset, with the settings that are to come. */
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

/* Do the parts of a change that need change_lock. */
static int
change_settings (struct device *d, struct change *change, char *text,
                 size_t len, struct message *why)
{
  struct devices *devices = d->devices;
  struct settings_version *now;
  int r;

  pthread_mutex_lock (&devices->change_lock);
  now = device_hold_settings (d);
  params_begin_change (&change->params, &now->s);
  change->params.known_rules = &d->faults;
  r = take_lines (change, text, len, why);
  if (r == 0)
    r = check_power (change, why);
  if (r == 0)
    r = params_complete_change (&change->params, why);
  /* What is in force may be more than the machine has had since the start. */
  if (r == 0 && change->params.settings.memory_limit != now->s.memory_limit)
    r = params_check_limit (&change->params.settings, devices->machine_memory,
                            devices->arena_unit, why);
  if (r == 0 && change->reset_zones)
    r = check_reset_zones (d, &change->params.settings, why);
  if (r == 0 && change->mark != NULL)
    r = device_check_mark (d, change->mark, why);
  if (r == 0)
    r = apply (d, &now->s, change, why);
  pthread_mutex_unlock (&devices->change_lock);
  params_clear (&change->params);
  device_drop_settings (d, now);
  return r;
}

/* The change with this tag is done. */
static void
add_done (struct control *c, const char *tag)
{
  pthread_mutex_lock (&c->lock);
  memmove (c->done[1], c->done[0], sizeof c->done - sizeof c->done[0]);
  snprintf (c->done[0], sizeof c->done[0], "%s", tag);
  pthread_mutex_unlock (&c->lock);
}

/* Power, and then zones, come last and without a lock, since they take their
 * time.  A mark comes when all is done.
 */
int
control_change (struct connection *c, char *text, size_t len,
                struct message *why)
{
  struct change *change = calloc (1, sizeof *change);
  int r;

  if (change == NULL)
    return -ENOMEM;
  change->lose = LOSE_RANDOM;
  r = change_settings (c->device, change, text, len, why);
  if (r == 0)
    change_power (c->device, change);
  if (r == 0 && change->reset_zones) {
    r = device_reset_zones (c);
    if (r < 0)
      message_set (why, "zones=reset: %s", strerror (-r));
  }
  if (r == 0 && change->mark != NULL)
    r = device_mark (c->device, change->mark, why);
  if (r == 0 && change->tag != NULL)
    add_done (c->control, change->tag);
  free (change);
  return r;
}
