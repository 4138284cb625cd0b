/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Ready-made models of storage devices, for profile=.  Each is nothing but
 * ordinary settings under one name; profile.c has them all, with the source of
 * every number.  They are constant, and params.c reads them.
 */

#ifndef NULLBLK_PROFILE_H
#define NULLBLK_PROFILE_H

#include <stddef.h>

#define MAX_PROFILE_SETTINGS 16

struct profile {
  const char *name;
  const char *description; /* a line for people */
  struct profile_setting {
    const char *key;
    const char *value;
  } settings[MAX_PROFILE_SETTINGS]; /* up to the first with key NULL */
};

/* The profile with this name, or NULL. */
const struct profile *profile_find (const char *name);

/* The I-th profile, or NULL past the last. */
const struct profile *profile_at (size_t i);

#endif /* NULLBLK_PROFILE_H */
