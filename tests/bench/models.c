/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Measures how long the arithmetic of each model of a drive takes:
 *
 *   models [COUNT [NAME]]      1,000,000 requests by default, and all models
 *
 * The load is random reads and writes of 4 KiB, 32 at a time, on a clock that
 * moves only to completions.  Prints the nanoseconds of a CPU for each request,
 * the least of five runs, with the time in which the request's place is drawn.
 */

#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/common.h"
#include "settings/settings.h"

#define DEPTH 32
#define RUNS 5
#define BLOCK 4096
#define MEMORY (UINT64_C (1) << 34)

static struct params p;
static struct latency_state state;
static struct latency_booking bookings[DEPTH];
static struct random drawn;

static void __attribute__ ((noreturn)) die (const char *what)
{
  fprintf (stderr, "models: %s\n", what);
  exit (EXIT_FAILURE);
}

/* Mechanisms that no profile has, which take the longest to compute. */
static const struct {
  const char *name, *key, *value;
} others[] = {
    {"disk of 32", "disk", "track:800us,full:21ms,rpm:7200,mbps:200,queue:32"},
    {"disk of 256", "disk",
     "track:800us,full:21ms,rpm:7200,mbps:200,queue:256"},
};

static void
take (const char *key, const char *value)
{
  struct message why;

  params_init (&p);
  if (params_set (&p, "size", "1T", &why) < 0 ||
      params_set (&p, key, value, &why) < 0 ||
      params_complete (&p, MEMORY, MEMORY, 4096, &why) < 0)
    die (why.text);
}

static uint64_t
request (enum operation op, uint64_t now, struct latency_booking *booking)
{
  const struct latency_request r = {.op = op,
                                    .count = BLOCK,
                                    .offset = random_next (&drawn) %
                                              (p.settings.size / BLOCK) * BLOCK,
                                    .arrival = now};

  return latency_completion (&state, &p.settings.latency, &drawn, &r, booking);
}

/* Returns the nanoseconds of a request.  Requests complete in the order in
 * which they began; one whose turn it is asks until it is done.
 */
static double
run (enum operation op, unsigned count)
{
  static uint64_t done[DEPTH];
  uint64_t began, now = NSEC_PER_SEC;
  unsigned i, j;

  if (latency_init (&state, now) < 0)
    die ("no memory");
  random_init (&drawn, 1, 0);
  memset (bookings, 0, sizeof bookings);
  for (j = 0; j < DEPTH; j++)
    done[j] = request (op, now, &bookings[j]);
  began = clock_now ();
  for (i = 0; i < count; i++) {
    j = i % DEPTH;
    while (latency_asks (&bookings[j]))
      done[j] =
          latency_ask (&state, &p.settings.latency, &bookings[j], done[j]);
    now = max (now, done[j]);
    done[j] = request (op, now, &bookings[j]);
  }
  began = clock_now () - began;
  latency_destroy (&state);
  return (double) began / count;
}

static double
best_of (enum operation op, unsigned count)
{
  double r, least = 0;
  unsigned i;

  for (i = 0; i < RUNS; i++) {
    r = run (op, count);
    least = i == 0 || r < least ? r : least;
  }
  return least;
}

static void
print (const char *name, unsigned count)
{
  printf ("%-14s %8.0f %8.0f\n", name, best_of (OP_READ, count),
          best_of (OP_WRITE, count));
  params_clear (&p);
}

int
main (int argc, char *argv[])
{
  const unsigned count = argc > 1 ? (unsigned) atoi (argv[1]) : 1000000;
  const char *only = argc > 2 ? argv[2] : NULL;
  const struct profile *profile;
  size_t i;

  printf ("%-14s %8s %8s\n", "model", "read ns", "write ns");
  for (i = 0; (profile = profile_at (i)) != NULL; i++) {
    if (only != NULL && strcmp (only, profile->name) != 0)
      continue;
    take ("profile", profile->name);
    print (profile->name, count);
  }
  for (i = 0; i < sizeof others / sizeof others[0]; i++) {
    if (only != NULL && strcmp (only, others[i].name) != 0)
      continue;
    take (others[i].key, others[i].value);
    print (others[i].name, count);
  }
  return EXIT_SUCCESS;
}
