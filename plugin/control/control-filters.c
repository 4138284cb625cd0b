/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nbdkit's filters that do not go with control exports, or with several
 * devices; see control.h.  nbdkit tells a plugin nothing of filters: they are
 * known by the names of the files that are loaded, which are
 * nbdkit-NAME-filter.so wherever they are.
 */

#include <config.h>

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

#include "control-internal.h"
#include "settings/settings.h"

/* How a filter falsifies without being noticed: a change that is answered is
 * not made, or made twice, or a zone is commanded that was not meant, or a
 * device has the data of another one.  A filter that merely refuses, fails,
 * splits or delays requests is not here.  NULL: there is nothing of the kind.
 *
 * To repeat a change that has failed is wrong where a part of it was done:
 * zones that are made read-only or offline again are reset, a rule is there
 * twice, the writes before a cut are counted anew.
 */
static const struct filter {
  const char *name;
  const char *to_control; /* what it does to control exports */
  const char *to_devices; /* what it does to devices beside the first */
  bool until_1_46; /* does it do that to devices up to nbdkit 1.45 only? */
} filters[] = {
    {"cache", "keeps what is written to control exports",
     "has one cache for all devices", false},
    /* From 1.44 on, in truth; but 1.46 is the first that can be told apart. */
    {"cow", "keeps what is written to control exports",
     "has one copy for all devices", true},
    {"cacheextents", NULL, "has one map of data and holes for all devices",
     false},
    {"extentlist", "has its list of data and holes for control exports, too",
     "has one list of data and holes for all devices", false},
    {"evil", "flips bits of control exports", NULL, false},
    {"map", "moves parts of control exports", NULL, false},
    {"offset", "shifts control exports", NULL, false},
    {"retry", "repeats changes that were done in part", NULL, false},
    {"retry-request", "repeats changes that were done in part", NULL, false},
    {"swab", "swaps bytes of control exports", NULL, false},
    {"truncate", "changes the size of control exports", NULL, false},
    {"xor", "changes all bytes of control exports", NULL, false},
};

#define NR_FILTERS (sizeof filters / sizeof filters[0])

/* The row for a file, or NULL. */
static const struct filter *
find_filter (const char *path)
{
  static const char before[] = "nbdkit-", after[] = "-filter.";
  const char *name = strrchr (path, '/');
  size_t i, len;

  name = name != NULL ? name + 1 : path;
  if (strncmp (name, before, sizeof before - 1) != 0)
    return NULL;
  name += sizeof before - 1;
  for (i = 0; i < NR_FILTERS; i++) {
    len = strlen (filters[i].name);
    if (strncmp (name, filters[i].name, len) == 0 &&
        strncmp (name + len, after, sizeof after - 1) == 0)
      return &filters[i];
  }
  return NULL;
}

int
control_check_filter (const char *path, bool is_1_46, const struct settings *s,
                      struct message *why)
{
  const struct filter *f = find_filter (path);
  bool control, devices;

  if (f == NULL)
    return 0;
  control = f->to_control != NULL && s->control != CONTROL_OFF;
  devices =
      f->to_devices != NULL && s->devices > 1 && !(f->until_1_46 && is_1_46);
  if (control && devices)
    return refuse (why,
                   "--filter=%s %s, and %s: allowed is with control=off and "
                   "devices=1",
                   f->name, f->to_control, f->to_devices);
  if (control)
    return refuse (why, "--filter=%s %s: allowed is with control=off", f->name,
                   f->to_control);
  if (devices)
    return refuse (why, "--filter=%s %s: allowed is with devices=1", f->name,
                   f->to_devices);
  return 0;
}

struct search {
  const struct settings *s;
  bool is_1_46;
  struct message *why;
};

static int
check_object (struct dl_phdr_info *info, size_t size, void *opaque)
{
  const struct search *search = opaque;

  (void) size;
  return control_check_filter (info->dlpi_name, search->is_1_46, search->s,
                               search->why);
}

/* No function of nbdkit's tells its version.  The name that is looked for came
 * with 1.46.
 */
int
control_check_filters (const struct settings *s, struct message *why)
{
  struct search search = {
      .s = s,
      .is_1_46 = dlsym (RTLD_DEFAULT, "nbdkit_debug_hexdump") != NULL,
      .why = why,
  };

  return dl_iterate_phdr (check_object, &search);
}
