/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What programs have in common that do random things to a device: random
 * numbers that depend only on a seed, and are the same on every machine.
 */

#ifndef NULLBLK_TESTS_RANDOM_RUN_H
#define NULLBLK_TESTS_RANDOM_RUN_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t random_state; /* the seed at first */

/* The next number (splitmix64). */
static inline uint64_t
draw (void)
{
  uint64_t x = random_state += UINT64_C (0x9e3779b97f4a7c15);

  x = (x ^ x >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
  x = (x ^ x >> 27) * UINT64_C (0x94d049bb133111eb);
  return x ^ x >> 31;
}

/* A number below N, which is not 0. */
static inline uint64_t
below (uint64_t n)
{
  return draw () % n;
}

/* Returns the value of an option.  Ends the program with 2 if it is no number.
 */
static inline uint64_t
number (const char *text)
{
  char *end;
  uint64_t n;

  errno = 0;
  n = strtoull (text, &end, 0);
  if (errno == 0 && *text != '\0' && *end == '\0')
    return n;
  fprintf (stderr, "a number is wanted: '%s'\n", text);
  exit (2);
}

#endif /* NULLBLK_TESTS_RANDOM_RUN_H */
