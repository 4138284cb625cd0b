/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nullblk-measure: what a drive is like, as a model file for the plugin's
 * model=, and how far two drives, or a drive and its twin, are apart.
 *
 *     nullblk-measure.c  leads through a measurement, and through --from
 *     turns.c      leads through --compare
 *     options.c    the command line
 *     plan.c       which cells, in which order
 *     target.c     what may be measured
 *     run.c        fio, a cell at a time
 *     overhead.c   what a client adds to a latency
 *     results.c    what has been measured, until the model is written
 *     fiofile.c    what fio writes, as figures
 *     cell.c       figures as text, in the model file and in that of results
 *     model.c      the model file
 *     fit*.c       settings with which the plugin gives these figures
 *     simulate.c   the figures that the plugin would give with some settings
 *     compare.c    figures side by side
 */

#include <config.h>

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cell.h"
#include "die.h"
#include "jsonmemory.h"
#include "fiofile.h"
#include "model.h"
#include "options.h"
#include "overhead.h"
#include "plan.h"
#include "program-begin.h"
#include "results.h"
#include "run.h"
#include "target.h"
#include "turns.h"

#define die(...) die_as ("nullblk-measure", __VA_ARGS__)

/* The seconds in which fio starts, about. */
#define START 1

/* The time of a run that measures what a client adds. */
static unsigned
overhead_seconds (void)
{
  return options.seconds < 2 ? options.seconds : 2;
}

/* The most seconds that what comes after the last cell takes: PARTS of
 * sustained loads, and the overhead of a client.
 */
static unsigned
rest_time (unsigned parts)
{
  return parts * (options.seconds + SUSTAIN_RAMP + START) +
         (options.has_client_overhead
              ? 0
              : (options.nr_sizes > 1 ? 2 : 1) * OVERHEAD_RUNS *
                    (overhead_seconds () + START));
}

static double
seconds_now (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

/* Read or write until figures_are_steady, or for as long as --sustain says.
 * Then there are up to AFTER parts of another load.  Returns how many seconds
 * the drive rested before each part but the first, on average.
 */
static double
sustain (const struct target *t, struct results *results, enum load_kind kind,
         unsigned after)
{
  const unsigned most = options.sustain / options.seconds;
  struct cell cell = {kind, options.sizes[0], 32, 0};
  double end = 0, rest = 0;
  unsigned parts = 0;
  struct figures f;

  for (cell.n = 1; cell.n <= most && !figures_are_steady (&results->list, kind);
       cell.n++) {
    if (figures_find (&results->list, &cell) != NULL)
      continue;
    run_cell (t, &cell, options.seconds, &f, results->version);
    if (cell.n > 1) {
      rest += seconds_now () - end - options.seconds - SUSTAIN_RAMP;
      if (f.iops > 0) /* fio waits for what is in flight at the end */
        rest -= cell.depth / f.iops;
      parts++;
    }
    end = seconds_now ();
    progress_say (cell.n, most, &f, rest_time (most - cell.n + after));
    results_add (results, &f);
  }
  return parts > 0 ? fmax (0, rest / parts) : START;
}

/* Returns how many seconds the drive rested before each part of the sustained
 * reads but the first.
 */
static double
measure_cells (const struct target *t, struct results *results)
{
  const unsigned most = options.sustain / options.seconds;
  const unsigned writes = options.write ? most : 0;
  const unsigned seconds = round_seconds ();
  static struct plan cells;
  struct figures *taken, f;
  size_t i, left = 0;
  unsigned round;
  double rest;

  plan_choose (&cells);
  for (i = 0; i < cells.n; i++)
    left += figures_find (&results->list, &cells.c[i]) == NULL;
  fprintf (stderr, "nullblk-measure: %s: %zu cells, about ", t->name, left);
  left *= options.rounds;
  progress_print_seconds ((unsigned) left * (seconds + START) +
                          rest_time (most + writes));
  putc ('\n', stderr);
  taken = calloc (cells.n * options.rounds, sizeof *taken);
  if (taken == NULL)
    die ("%s", strerror (errno));
  for (round = 0; round < options.rounds; round++) {
    for (i = 0; i < cells.n; i++) {
      if (figures_find (&results->list, &cells.c[i]) != NULL)
        continue;
      run_cell (t, &cells.c[i], seconds, &taken[i * options.rounds + round],
                results->version);
      figures_take_median (&taken[i * options.rounds], round + 1, &f);
      left--;
      progress_say (round * cells.n + i + 1, cells.n * options.rounds, &f,
                    (unsigned) left * (seconds + START) +
                        rest_time (most + writes));
      if (round + 1 == options.rounds)
        results_add (results, &f);
    }
  }
  free (taken);
  /* Last, as the credits of a volume may be spent then. */
  rest = sustain (t, results, LOAD_SUSTAINREAD, writes);
  if (options.write)
    sustain (t, results, LOAD_SUSTAIN, 0);
  return rest;
}

/* Returns what a client adds to reads like those of F, in nanoseconds, with a
 * device about as slow as the drive; a negative number if it is not known.
 */
static double
measure_overhead_of (const struct figures *f)
{
  return overhead_find (f, fmax (20000, fmin (figures_percentile (f, 50), 2e7)),
                        overhead_seconds ());
}

/* Returns the figures of single random reads of SIZE bytes, or NULL. */
static const struct figures *
single_reads (const struct figures_list *list, uint64_t size)
{
  const struct cell cell = {LOAD_RANDREAD, size, 1, 0};

  return figures_find (list, &cell);
}

/* Measure the overhead of a client for the smallest and the largest size. */
static void
measure_client_overhead (const struct figures_list *list)
{
  const struct figures *least = single_reads (list, options.sizes[0]);
  const struct figures *most =
      single_reads (list, options.sizes[options.nr_sizes - 1]);
  struct size_latency *r = &options.client_overhead;
  double small, large;
  char text[400];

  if (least == NULL)
    return;
  small = measure_overhead_of (least);
  large = small >= 0 && most != least ? measure_overhead_of (most) : -1;
  if (small < 0) {
    fprintf (stderr,
             "nullblk-measure: what a client adds to each latency is not "
             "known: nullblk-serve or fio's engine nbd is missing\n");
    return;
  }
  r->n = large > small ? 2 : small >= 0.5;
  r->points[0].size = least->cell.size;
  r->points[0].nsec = (uint64_t) (small + 0.5);
  r->points[1].size = most->cell.size;
  r->points[1].nsec = (uint64_t) (large + 0.5);
  size_latency_format (r, text, sizeof text);
  fprintf (stderr, "nullblk-measure: a client adds to each latency: %s\n",
           text);
}

static void
measure (const char *name)
{
  static struct results results;
  struct target t;

  model_refuse_output (name);
  target_open (&t, name, options.write);
  results_open (&results, &t);
  t.drive.is_resumed = results.list.n > 0;
  t.drive.rest_seconds = measure_cells (&t, &results);
  if (!options.has_client_overhead)
    measure_client_overhead (&results.list);
  t.drive.part_seconds = options.seconds;
  t.drive.rounds = options.rounds;
  t.drive.round_seconds = round_seconds ();
  figures_sort (&results.list);
  model_write (name, results.version, &results.list, &t.drive);
  results_close (&results);
}

/*---------------------------------------------------------------------*/
/* --from */

/* Is WORD in LIST, whose words have ", " between them?  "fio-3.3" is not in
 * "fio-3.33".
 */
static bool
is_among (const char *list, const char *word)
{
  const size_t len = strlen (word);
  const char *at = list;

  while ((at = strstr (at, word)) != NULL) {
    if ((at == list || at[-1] == ' ') && (at[len] == '\0' || at[len] == ','))
      return true;
    at++;
  }
  return false;
}

static void
take_files (int n, char *const *paths)
{
  struct drive_facts drive = {.part_seconds = options.seconds,
                              .rest_seconds = START,
                              .rounds = options.rounds,
                              .round_seconds = round_seconds ()};
  struct figures_list all = {0}, list;
  char version[32] = "", versions[256] = "", cell[64];
  struct message why;
  size_t used = 0, k;
  int i;

  for (i = 0; i < n; i++) {
    model_refuse_output (paths[i]);
    list = (struct figures_list){0};
    if (fiofile_read (paths[i], &list, version, &why) < 0)
      die ("%s", why.text);
    for (k = 0; k < list.n; k++) {
      cell_format (&list.f[k].cell, cell, sizeof cell);
      if (figures_find (&all, &list.f[k].cell) != NULL)
        die ("%s: it has %s, as a file before it; allowed is one of them",
             paths[i], cell);
      figures_add (&all, &list.f[k]);
    }
    free (list.f);
    if (!is_among (versions, version) && used + 40 < sizeof versions)
      used += (size_t) snprintf (versions + used, sizeof versions - used,
                                 "%s%s", used > 0 ? ", " : "", version);
  }
  figures_sort (&all);
  model_write (n == 1 ? paths[0] : "what fio has measured", versions, &all,
               &drive);
  free (all.f);
}

int
main (int argc, char *argv[])
{
  program_begin ();
  json_memory_or_die ("nullblk-measure");
  argc = options_parse (argc, &argv);
  if (options.compare)
    turns_compare (argv[0], argv[1]);
  else if (options.from)
    take_files (argc, argv);
  else
    measure (argv[0]);
  if (fflush (stdout) == EOF || ferror (stdout))
    die ("output: %s", strerror (errno));
  return EXIT_SUCCESS;
}
