/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * How a program ends when it cannot go on.
 */

#ifndef NULLBLK_DIE_H
#define NULLBLK_DIE_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Print "PROGRAM: MESSAGE" on stderr, and end with EXIT_FAILURE. */
static inline void __attribute__ ((format (printf, 2, 3), noreturn))
die_as (const char *program, const char *fs, ...)
{
  va_list args;

  fprintf (stderr, "%s: ", program);
  va_start (args, fs);
  vfprintf (stderr, fs, args);
  va_end (args);
  fputc ('\n', stderr);
  exit (EXIT_FAILURE);
}

#endif /* NULLBLK_DIE_H */
