/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Files of a test's own, in the place of those that the code under test opens.
 * To be linked with --wrap=open.
 */

#ifndef NULLBLK_TESTS_WRAPPED_OPEN_H
#define NULLBLK_TESTS_WRAPPED_OPEN_H

#include <stdbool.h>
#include <string.h>

/* A function of the test: returns the path to open with FLAGS instead of PATH;
 * or NULL, with errno set, if that is to fail.
 */
const char *path_in_place_of (const char *path, int flags);

static inline bool
begins_with (const char *path, const char *with)
{
  return strncmp (path, with, strlen (with)) == 0;
}

#endif /* NULLBLK_TESTS_WRAPPED_OPEN_H */
