/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Numbers and sizes; see number.h.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "number.h"

unsigned
number_digit (char c)
{
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : 16;
}

/* The base that the LEN bytes at TEXT are in; *from: where digits begin. */
static unsigned
base_of (const char *text, size_t len, size_t *from)
{
  const bool is_hex =
      len > 1 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X');

  *from = is_hex ? 2 : 0;
  return is_hex ? 16 : 10;
}

int
number_parse (const char *text, size_t len, uint64_t *r)
{
  uint64_t n = 0;
  size_t from, i;
  const unsigned base = base_of (text, len, &from);

  for (i = from; i < len; i++) {
    if (number_digit (text[i]) >= base ||
        __builtin_mul_overflow (n, base, &n) ||
        __builtin_add_overflow (n, number_digit (text[i]), &n))
      return -EINVAL;
  }
  *r = n;
  return len > from ? 0 : -EINVAL;
}

int
size_parse (const char *text, size_t len, uint64_t *r)
{
  static const char letters[] = "bkmgtpeBKMGTPE";
  uint64_t n, unit = 1;
  const char *letter;
  size_t from;

  if (len > 0 && number_digit (text[len - 1]) >= base_of (text, len, &from)) {
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
