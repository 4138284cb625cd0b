/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * How late a thread is on this machine that does nothing but wait, without a
 * server, for one moment after another.  It begins each wait up to 1 ms after
 * the last one, as clients do: otherwise it would keep step with the timer's
 * tick, and either meet it always or never.
 *
 *   alone sleep|spin NSEC SECONDS
 *
 * sleep is one clock_nanosleep with the least timer slack; spin reads the clock
 * until the moment has come.  Prints the median and p99 of the lateness, in
 * nanoseconds.  A server can only be more exact if it makes up for lateness
 * that is the same every time.
 */

#include <config.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "common/common.h"

#define MAX_APART NSEC_PER_MSEC

static int
compare (const void *a, const void *b)
{
  const uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

  return (x > y) - (x < y);
}

static uint64_t
wait_until (uint64_t moment, int spin)
{
  const struct timespec ts = {.tv_sec = (time_t) (moment / NSEC_PER_SEC),
                              .tv_nsec = (long) (moment % NSEC_PER_SEC)};
  uint64_t now;

  if (!spin)
    clock_nanosleep (CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
  while ((now = clock_now ()) < moment)
    ;
  return now - moment;
}

int
main (int argc, char *argv[])
{
  struct random random;
  uint64_t nsec, end, *late;
  size_t n = 0, max;
  int spin;

  if (argc != 4) {
    fprintf (stderr, "usage: alone sleep|spin NSEC SECONDS\n");
    return EXIT_FAILURE;
  }
  spin = strcmp (argv[1], "spin") == 0;
  nsec = strtoull (argv[2], NULL, 10);
  end = strtoull (argv[3], NULL, 10) * NSEC_PER_SEC;
  if (nsec == 0 || end < nsec)
    return EXIT_FAILURE;
  max = end / nsec;
  late = calloc (max, sizeof *late);
  if (late == NULL)
    return EXIT_FAILURE;
#ifdef __linux__
  prctl (PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
#endif

  random_init (&random, 1, 0);
  for (end += clock_now (); n < max && clock_now () < end; n++) {
    wait_until (clock_now () + random_next (&random) % MAX_APART, 1);
    late[n] = wait_until (clock_now () + nsec, spin);
  }
  qsort (late, n, sizeof *late, compare);
  printf ("%llu %llu\n", (unsigned long long) late[n / 2],
          (unsigned long long) late[n * 99 / 100]);
  free (late);
  return EXIT_SUCCESS;
}
