/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Numbers and sizes; see size.h.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "size.h"

int
number_parse (const char *text, size_t len, uint64_t *r)
{
  uint64_t n = 0;
  size_t i;

  for (i = 0; i < len; i++) {
    if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow (n, 10, &n) ||
        __builtin_add_overflow (n, (uint64_t) (text[i] - '0'), &n))
      return -EINVAL;
  }
  *r = n;
  return len > 0 ? 0 : -EINVAL;
}

int
size_parse (const char *text, size_t len, uint64_t *r)
{
  static const char letters[] = "bkmgtpeBKMGTPE";
  uint64_t n, unit = 1;
  const char *letter;

  if (len > 0 && (text[len - 1] < '0' || text[len - 1] > '9')) {
    letter = memchr (letters, text[--len], sizeof letters - 1);
    if (letter != NULL)
      unit = UINT64_C (1) << 10 * ((letter - letters) % 7);
    else if (text[len] == 's' || text[len] == 'S')
      unit = 512;
    else
      return -EINVAL;
  }
  if (number_parse (text, len, &n) < 0 || __builtin_mul_overflow (n, unit, r))
    return -EINVAL;
  return 0;
}

void
size_format (uint64_t bytes, char *buf, size_t len)
{
  static const char suffixes[][2] = {"", "K", "M", "G", "T", "P", "E"};
  size_t i = 0;

  while (bytes != 0 && bytes % 1024 == 0) {
    bytes /= 1024;
    i++;
  }
  snprintf (buf, len, "%" PRIu64 "%s", bytes, suffixes[i]);
}
