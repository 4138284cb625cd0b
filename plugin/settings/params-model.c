/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What a model of a drive sets (profile= and model=): all that is not given
 * beside it; see params-internal.h.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/common.h"
#include "modelfile.h"
#include "params-internal.h"

#define refuse(why, ...) (message_set (why, __VA_ARGS__), -EINVAL)

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
  for (i = 0; r == 0 && i < nr_params; i++) {
    if (param_table[i].kind != FIXED)
      continue;
    value_print (&param_table[i].rule,
                 const_field_of (&param_table[i], &p->settings), now,
                 sizeof now);
    value_print (&param_table[i].rule, const_field_of (&param_table[i], s),
                 then, sizeof then);
    if (strcmp (now, then) != 0)
      r = refuse (why,
                  "%s=%.80s: allowed is what it was started with, %.80s: it "
                  "cannot change while the server runs",
                  param_table[i].name, then, now);
  }
  return r;
}

/* A model of a drive that is being taken. */
struct taking {
  struct params *params;
  struct settings *fixed; /* where values go that are FIXED */
  bool has[MAX_PARAMS];   /* what the model has, by place in the table */
};

/* A model has settings of a drive, and not of the server that plays it. */
static bool
is_of_drive (const struct param *param)
{
  static const char *const servers[] = {
      "devices", "memory-backed", "hugepages",     "write-log",     "parallel",
      "control", "ublk",          "submit-queues", "hw-queue-depth"};
  size_t i;

  for (i = 0; i < sizeof servers / sizeof servers[0]; i++) {
    if (strcmp (param->name, servers[i]) == 0)
      return false;
  }
  return param->kind == MODEL || param->kind == FIXED;
}

/* A line of a model: taken, unless it is given beside the model.  A client may
 * have named a file that is no model and not for it to read, so *why has
 * nothing of a line that is no parameter's but the name, and of another line at
 * most 80 bytes of the value and, from the parser, 80 bytes of the wrong part.
 */
static int
take_of_model (void *opaque, const char *name, const char *value,
               struct message *why)
{
  struct taking *taking = opaque;
  struct params *p = taking->params;
  const size_t i = param_find (name);
  const struct param *param = &param_table[i];
  struct settings *to;
  struct message wrong;
  int r;

  if (i == nr_params)
    return refuse (why,
                   "%.80s: unknown parameter; 'nbdkit nullblk --help' lists "
                   "them",
                   name);
  if (!is_of_drive (param))
    return refuse (why,
                   "%s=%.80s: it is no property of a drive: allowed is to give "
                   "it beside the model",
                   name, value);
  if (taking->has[i])
    return refuse (why, "%s=%.80s: %s is given twice", name, value,
                   param->name);
  if (strncmp (value, "file:", 5) == 0 && value[5] != '/')
    return refuse (why, "%s=%.80s: allowed in a model is an absolute path",
                   name, value);
  taking->has[i] = true;
  if (p->given[i])
    return 0;
  to = param->kind == FIXED ? taking->fixed : &p->settings;
  r = value_parse (&param->rule, value, 0, field_of (param, to), &wrong);
  if (r == -EINVAL)
    message_set (why, "%s=%.80s: %s", name, value, wrong.text);
  return r;
}

/* Is there a setting that a model may have, and that is not given? */
static bool
has_room_for_model (const struct params *p)
{
  size_t i;

  for (i = 0; i < nr_params; i++) {
    if (is_of_drive (&param_table[i]) && !p->given[i])
      return true;
  }
  return false;
}

/* Give the lines of the profile or model in force to take_of_model.  A file is
 * not read in vain: a whole .config that is written back has all that was in
 * it, and the file may be gone.
 */
static int
parse_model (struct taking *taking, struct message *why)
{
  const struct settings *s = &taking->params->settings;
  char *text;
  int r;

  if (s->profile != NULL)
    return modelfile_parse (s->profile->text, take_of_model, taking, why);
  if (s->model[0] == '\0' || !has_room_for_model (taking->params))
    return 0;
  r = modelfile_read (s->model, &text, why);
  if (r < 0)
    return r;
  r = modelfile_parse (text, take_of_model, taking, why);
  free (text);
  return r;
}

/* If only one of profile and model is given now, it takes the place of the
 * other, which may have been given before.
 */
static int
choose_model (struct params *p, struct message *why)
{
  const bool profile = params_given (p, "profile");
  const bool model = params_given (p, "model");

  if (!profile)
    p->settings.profile = NULL;
  if (!model)
    p->settings.model[0] = '\0';
  if (p->settings.profile != NULL && p->settings.model[0] != '\0')
    return refuse (why,
                   "model=%.80s: profile is given, too; allowed is one of "
                   "the two",
                   p->settings.model);
  return 0;
}

int
params_take_model (struct params *p, bool live, struct message *why)
{
  struct settings fixed;
  struct taking taking = {.params = p, .fixed = live ? &fixed : &p->settings};
  struct message wrong;
  size_t i;
  int r;

  if (!params_given (p, "profile") && !params_given (p, "model"))
    return 0;
  r = choose_model (p, why);
  if (r < 0)
    return r;
  for (i = 0; i < nr_params; i++) {
    if (param_table[i].kind == MODEL && !p->given[i])
      param_set_to_default (&param_table[i], &p->settings);
  }
  fixed = p->settings;
  r = parse_model (&taking, &wrong);
  if (r == 0 && live)
    r = compare_fixed (p, &fixed, &wrong);
  if (r == -EINVAL && p->settings.profile != NULL)
    return refuse (why, "profile=%s: %s", p->settings.profile->name,
                   wrong.text);
  if (r == -EINVAL)
    return refuse (why, "model=%.200s: %s", p->settings.model, wrong.text);
  return r;
}
