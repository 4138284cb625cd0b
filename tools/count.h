/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Counts on a command line.
 */

#ifndef NULLBLK_COUNT_H
#define NULLBLK_COUNT_H

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

/* Set *N to TEXT, a whole number from LEAST to MOST.  Returns false if it is
 * none; the caller then says so.
 */
static inline bool
count_parse (const char *text, unsigned least, unsigned most, unsigned *n)
{
  unsigned long value;
  char *end;

  errno = 0;
  value = strtoul (text, &end, 10);
  if (!isdigit ((unsigned char) text[0]) || *end != '\0' || errno != 0 ||
      value < least || value > most)
    return false;
  *n = value;
  return true;
}

#endif /* NULLBLK_COUNT_H */
