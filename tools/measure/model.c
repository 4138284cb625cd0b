/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * See model.h.
 */

#include <config.h>

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "die.h"
#include "model.h"
#include "options.h"
#include "settings/settings.h"
#include "simulate.h"

#define die(...) die_as ("nullblk-measure", __VA_ARGS__)

/* Make the settings, and see that the plugin takes them. */
static char *
make_settings (const struct figures_list *list, const struct drive_facts *drive)
{
  const struct cell cell = {LOAD_RANDREAD, 4096, 1, 0};
  struct message why;
  struct figures f;
  char *text = NULL;
  size_t len;
  FILE *fp = open_memstream (&text, &len);

  if (fp == NULL)
    die ("%s", strerror (errno));
  fit (fp, list, drive);
  if (fclose (fp) == EOF)
    die ("%s", strerror (errno));
  if (simulate (text, &cell, 0, 1, 1, &f, &why) < 0)
    die ("the settings are not what the plugin takes: %s", why.text);
  return text;
}

/* How many requests of a cell are simulated: fewer flushes if there are many
 * writes between them, which are simulated, too.
 */
static unsigned
requests_of (const struct cell *cell)
{
  const unsigned writes = cell->kind == LOAD_FLUSH ? cell->n : 1;

  return writes <= 100 ? 4000 : writes < 4000 ? 400000 / writes : 100;
}

/* Print how far the settings are from the figures, by arithmetic. */
static void
print_distance (FILE *fp, const char *settings, const struct figures_list *list)
{
  static const char *const names[] = {"p50", "p99", "rate"};
  double *v = calloc (3 * list->n + 1, sizeof *v);
  struct distance d;
  struct message why;
  struct figures f;
  size_t i, n = 0;
  unsigned c;

  if (v == NULL)
    die ("%s", strerror (errno));
  for (i = 0; i < list->n; i++) {
    if (kind_sustains (list->f[i].cell.kind) || list->f[i].nr_points == 0 ||
        simulate (settings, &list->f[i].cell,
                  client_pause (list, &list->f[i].cell),
                  requests_of (&list->f[i].cell), 2, &f, &why) < 0)
      continue;
    d = distance_of (&f, &list->f[i]);
    v[n] = fabs (d.p50);
    v[list->n + n] = fabs (d.p99);
    v[2 * list->n + n] = fabs (d.rate);
    n++;
  }
  if (n > 0) {
    fprintf (fp,
             "# By arithmetic, the settings are off by (median of %zu "
             "cells):",
             n);
    for (c = 0; c < 3; c++)
      fprintf (fp, " %s %.1f %%%s", names[c], 100 * median (v + c * list->n, n),
               c < 2 ? "," : "\n");
  }
  free (v);
}

static void
print_model (FILE *fp, const char *source, const char *version,
             const struct figures_list *list, const char *settings)
{
  char overhead[400];
  struct message line; /* has no newline, whatever name SOURCE is */
  size_t i;

  message_set (&line, "# Model of %.200s, made by nullblk-measure %s.", source,
               PACKAGE_VERSION);
  fprintf (fp, "%s\n", line.text);
  message_set (&line, "# Source: measured by %s.", version);
  fprintf (fp, "%s\n#\n", line.text);
  for (i = 0; i < list->n; i++)
    figures_print (fp, &list->f[i]);
  fputs ("#\n", fp);
  print_distance (fp, settings, list);
  fputs (settings, fp);
  if (options.client_overhead.n > 0) {
    size_latency_format (&options.client_overhead, overhead, sizeof overhead);
    fprintf (fp,
             "# What a client sees on top of that, on the machine that "
             "measured.\nclient-overhead=%s\n",
             overhead);
  }
}

void
model_refuse_output (const char *source)
{
  struct stat output, target;

  if (options.output == NULL)
    return;
  if (stat (options.output, &output) == -1) {
    if (errno != ENOENT)
      die ("--output=%s: %s", options.output, strerror (errno));
    return;
  }
  if (!S_ISREG (output.st_mode))
    die ("--output=%s: allowed is a file", options.output);
  if (stat (source, &target) == 0 && target.st_dev == output.st_dev &&
      target.st_ino == output.st_ino)
    die ("--output=%s: allowed is another file than is read", options.output);
}

void
model_write (const char *source, const char *version,
             const struct figures_list *list, const struct drive_facts *drive)
{
  /* This may end the program: it is called before there is a file. */
  char *settings = make_settings (list, drive);
  static char path[PATH_MAX];
  FILE *fp = stdout;

  if (options.output != NULL) {
    snprintf (path, sizeof path, "%.4000s.new", options.output);
    fp = fopen (path, "we");
    if (fp == NULL)
      die ("%s: %s", path, strerror (errno));
  }
  print_model (fp, source, version, list, settings);
  free (settings);
  if (fflush (fp) == EOF || ferror (fp))
    die ("%s: %s", options.output != NULL ? path : "output", strerror (errno));
  if (fp != stdout) {
    if (fclose (fp) == EOF)
      die ("%s: %s", path, strerror (errno));
    if (rename (path, options.output) == -1)
      die ("%s: %s", options.output, strerror (errno));
  }
}
