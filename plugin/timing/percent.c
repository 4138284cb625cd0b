/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Percentiles as texts, and whether they ascend; see percentiles.h.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "percentiles-internal.h"

static bool
is_digit (char c)
{
  return c >= '0' && c <= '9';
}

int
percent_parse (const char *text, size_t len, uint32_t *above)
{
  const char *const end = text + len, *s = text;
  uint32_t part = PARTS_PER_WHOLE / 100, r = 0;

  for (; s < end && is_digit (*s); s++) {
    r = r * 10 + (uint32_t) (*s - '0');
    if (r > 100)
      return -EINVAL;
  }
  if (s == text)
    return -EINVAL;
  r *= part;
  if (s < end && *s == '.') {
    if (++s == end)
      return -EINVAL;
    for (; s < end && is_digit (*s); s++) {
      part /= 10;
      r += (uint32_t) (*s - '0') * part;
    }
  }
  if (s != end || r > PARTS_PER_WHOLE)
    return -EINVAL;
  *above = PARTS_PER_WHOLE - r;
  return 0;
}

void
percent_format (uint32_t above, char *buf, size_t len)
{
  const uint32_t below = PARTS_PER_WHOLE - above;
  size_t n;

  n = snprintf (buf, len, "%" PRIu32 ".%07" PRIu32,
                below / (PARTS_PER_WHOLE / 100),
                below % (PARTS_PER_WHOLE / 100));
  while (buf[n - 1] == '0')
    n--;
  if (buf[n - 1] == '.')
    n--;
  buf[n] = '\0';
}

bool
percentiles_ascend (const struct percentile *p, size_t n)
{
  size_t i;

  for (i = 1; i < n; i++) {
    if (p[i].above >= p[i - 1].above || p[i].nsec < p[i - 1].nsec)
      return false;
  }
  return n > 0;
}
