/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Ready-made models of storage devices, for profile=: the model files of
 * models/, which become part of the plugin when it is built.  Each has the
 * source of its numbers in its comments.  They are constant; modelfile.h says
 * what such a text is.
 */

#ifndef NULLBLK_PROFILE_H
#define NULLBLK_PROFILE_H

#include <stddef.h>

struct profile {
  const char *name;
  const char *text; /* of the model file */
};

/* The table, which models.awk makes. */
extern const struct profile profile_table[];
extern const size_t nr_profiles;

/* The profile with this name, or NULL. */
const struct profile *profile_find (const char *name);

/* The I-th profile, or NULL past the last. */
const struct profile *profile_at (size_t i);

#endif /* NULLBLK_PROFILE_H */
