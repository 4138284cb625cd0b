/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * How long a file is, for tests of the write log.
 */

#ifndef NULLBLK_TESTS_FILE_SIZE_H
#define NULLBLK_TESTS_FILE_SIZE_H

#include <sys/stat.h>

#include "unit.h"

static inline uint64_t
file_size (const char *path)
{
  struct stat st;

  assert_int_equal (stat (path, &st), 0);
  return st.st_size;
}

#endif /* NULLBLK_TESTS_FILE_SIZE_H */
