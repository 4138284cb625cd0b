/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Durations; see duration.h.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "duration.h"

static const struct unit {
  const char *name;
  uint64_t nsec;
} units[] = {
    {"s", NSEC_PER_SEC},
    {"ms", NSEC_PER_MSEC},
    {"us", NSEC_PER_USEC},
    {"ns", 1},
};

#define NR_UNITS (sizeof units / sizeof units[0])

static bool
is_digit (char c)
{
  return c >= '0' && c <= '9';
}

int
duration_parse (const char *text, size_t len, uint64_t *nsec)
{
  return duration_parse_up_to (text, len, MAX_DURATION, nsec);
}

int
duration_parse_up_to (const char *text, size_t len, uint64_t most,
                      uint64_t *nsec)
{
  const char *const end = text + len;
  uint64_t whole = 0, unit = 0, part, r;
  const char *fraction = NULL, *s = text;
  size_t i;

  for (; s < end && is_digit (*s); s++) {
    whole = whole * 10 + (uint64_t) (*s - '0');
    if (whole > most)
      return -EINVAL;
  }
  if (s == text)
    return -EINVAL;
  if (s == end && whole == 0) {
    *nsec = 0;
    return 0;
  }
  if (s < end && *s == '.') {
    fraction = ++s;
    while (s < end && is_digit (*s))
      s++;
    if (s == fraction)
      return -EINVAL;
  }
  for (i = 0; i < NR_UNITS; i++) {
    if (strlen (units[i].name) == (size_t) (end - s) &&
        memcmp (s, units[i].name, end - s) == 0)
      unit = units[i].nsec;
  }
  if (unit == 0 || whole > most / unit)
    return -EINVAL;

  r = whole * unit;
  for (part = unit / 10; fraction != NULL && is_digit (*fraction); fraction++) {
    r += (uint64_t) (*fraction - '0') * part;
    part /= 10;
  }
  if (r > most)
    return -EINVAL;
  *nsec = r;
  return 0;
}

void
duration_format (uint64_t nsec, char *buf, size_t len)
{
  size_t i = 0;

  if (nsec == 0) {
    snprintf (buf, len, "0");
    return;
  }
  while (nsec % units[i].nsec != 0)
    i++;
  snprintf (buf, len, "%" PRIu64 "%s", nsec / units[i].nsec, units[i].name);
}
