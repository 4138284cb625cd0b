/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A test's own files; see wrapped-open.h.
 */

#include <config.h>

#include <fcntl.h>
#include <stdarg.h>

#include "unit.h"
#include "wrapped-open.h"

int __real_open (const char *path, int flags, ...)
    OF_LARGE_FILES ("__real_open");
int __wrap_open (const char *path, int flags, ...)
    OF_LARGE_FILES ("__wrap_open");
int
__wrap_open (const char *path, int flags, ...)
{
  mode_t mode = 0;
  va_list args;

  path = path_in_place_of (path, flags);
  if (path == NULL)
    return -1;
  if (flags & O_CREAT) {
    va_start (args, flags);
    mode = va_arg (args, mode_t);
    va_end (args);
  }
  return __real_open (path, flags, mode);
}
