/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * How a profile is found; see profile.h.
 */

#include <config.h>

#include <string.h>

#include "profile.h"

const struct profile *
profile_find (const char *name)
{
  size_t i;

  for (i = 0; i < nr_profiles; i++) {
    if (strcmp (name, profile_table[i].name) == 0)
      return &profile_table[i];
  }
  return NULL;
}

const struct profile *
profile_at (size_t i)
{
  return i < nr_profiles ? &profile_table[i] : NULL;
}
