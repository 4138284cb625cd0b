/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nullblk-measure: what a drive is like, as a model file for the plugin's
 * model=, and how far two drives, or a drive and its twin, are apart.  This
 * file is the command line, and leads through what is measured:
 *
 *     measure.c    which cells, in which order; the files that are written
 *     target.c     what may be measured
 *     run.c        fio, a cell at a time
 *     fiofile.c    what fio writes, as figures
 *     cell.c       figures as text, in the model file and in one of its parts
 *     fit.c        settings that have these figures
 *     simulate.c   which figures settings have
 *     compare.c    figures side by side
 */

#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cell.h"
#include "compare.h"
#include "count.h"
#include "die.h"
#include "fiofile.h"
#include "fit.h"
#include "run.h"
#include "settings/settings.h"
#include "simulate.h"
#include "target.h"
#include "uri.h"

#define die(...) die_as ("nullblk-measure", __VA_ARGS__)

#define USAGE 2

#define MAX_LIST 16

static struct {
  bool from, compare, write, restart;
  bool is_chosen; /* cells: by --sizes, --depths or --quick */
  const char *output, *plot;
  uint64_t sizes[MAX_LIST];
  unsigned depths[MAX_LIST];
  size_t nr_sizes, nr_depths;
  unsigned seconds, sustain, rounds;
  double way; /* nanoseconds; negative: to be measured */
} options = {
    .sizes = {4096, 16384, 65536, 262144, 1048576},
    .depths = {1, 2, 4, 8, 16, 32, 64},
    .nr_sizes = 5,
    .nr_depths = 7,
    .seconds = 5,
    .sustain = 60,
    .rounds = 3,
    .way = -1,
};

/*---------------------------------------------------------------------*/
/* Cells */

struct cells {
  struct cell c[MAX_LIST * MAX_LIST * 2 + 64];
  size_t n;
};

static void
add_cell (struct cells *cells, enum kind kind, uint64_t size, unsigned depth,
          unsigned n)
{
  cells->c[cells->n++] = (struct cell){kind, size, depth, n};
}

/* Random requests of all sizes and depths, and some in sequence. */
static void
add_loads (struct cells *cells, enum kind random, enum kind in_sequence)
{
  const unsigned deepest = options.depths[options.nr_depths - 1];
  size_t i, j;

  for (i = 0; i < options.nr_sizes; i++) {
    for (j = 0; j < options.nr_depths; j++)
      add_cell (cells, random, options.sizes[i], options.depths[j], 0);
  }
  for (i = 0; i < options.nr_sizes; i += options.nr_sizes - 1) {
    add_cell (cells, in_sequence, options.sizes[i], 1, 0);
    if (deepest > 1)
      add_cell (cells, in_sequence, options.sizes[i], deepest, 0);
    if (options.nr_sizes == 1)
      break;
  }
}

static void
choose_cells (struct cells *cells)
{
  static const unsigned writes[] = {1, 8, 64};
  size_t i;

  cells->n = 0;
  add_loads (cells, RANDREAD, READ);
  if (!options.write)
    return;
  add_loads (cells, RANDWRITE, WRITE);
  for (i = 0; i < sizeof writes / sizeof writes[0]; i++)
    add_cell (cells, FLUSH, options.sizes[0], 1, writes[i]);
}

/*---------------------------------------------------------------------*/
/* Progress, on stderr */

static void
print_seconds (unsigned n)
{
  if (n >= 120)
    fprintf (stderr, "%u min", (n + 30) / 60);
  else
    fprintf (stderr, "%u s", n);
}

static void
say_progress (size_t done, size_t all, const struct figures *f, unsigned left)
{
  char cell[64];

  cell_format (&f->cell, cell, sizeof cell);
  fprintf (stderr, "nullblk-measure: %zu/%zu %s: p50 %.1f us, p99 %.1f us",
           done, all, cell, figures_percentile (f, 50) / 1e3,
           figures_percentile (f, 99) / 1e3);
  if (f->iops > 0)
    fprintf (stderr, ", %.0f/s", f->iops);
  if (left > 0) {
    fputs ("; left: ", stderr);
    print_seconds (left);
  }
  putc ('\n', stderr);
}

/*---------------------------------------------------------------------*/
/* What has been measured, kept beside the model until that is written */

struct part {
  char path[PATH_MAX]; /* "" where there is none */
  FILE *fp;
  struct figures_list list;
  char version[32]; /* of fio */
};

/* The first line: of another measurement nothing can be taken. */
static void
format_head (struct message *head, const struct target *t)
{
  message_set (head, "# nullblk-measure: %u s of %.200s with %" PRIu64 " bytes",
               options.seconds, t->name, t->drive.size);
}

static void
take_part (struct part *part, const char *text, const char *head)
{
  static const char version[] = "\n# fio: ";
  const size_t len = strcspn (text, "\n");
  const char *at = strstr (text, version);
  struct message why;

  if (len != strlen (head) || strncmp (text, head, len) != 0)
    die ("%s: it is of another measurement; allowed is to go on with that, or "
         "--restart",
         part->path);
  if (at != NULL)
    snprintf (part->version, sizeof part->version, "%.*s",
              (int) strcspn (at + sizeof version - 1, "\n"),
              at + sizeof version - 1);
  if (figures_parse_text (text, &part->list, &why) < 0)
    die ("%s: %s", part->path, why.text);
  fprintf (stderr, "nullblk-measure: %s: %zu cells are done already\n",
           part->path, part->list.n);
}

/* Begin, or go on with what is there. */
static void
open_part (struct part *part, const struct target *t)
{
  char *text = NULL;
  struct message head, why;
  size_t len;

  memset (part, 0, sizeof *part);
  if (options.output == NULL)
    return;
  snprintf (part->path, sizeof part->path, "%.4000s.part", options.output);
  format_head (&head, t);
  if (options.restart)
    unlink (part->path);
  if (access (part->path, F_OK) == 0) {
    if (textfile_read (part->path, MAX_MODEL_FILE, &text, &len, &why) < 0)
      die ("%s: %s", part->path, why.text);
    take_part (part, text, head.text);
    free (text);
  }
  part->fp = fopen (part->path, "ae");
  if (part->fp == NULL)
    die ("%s: %s", part->path, strerror (errno));
  if (part->list.n == 0 && text == NULL) {
    fprintf (part->fp, "%s\n", head.text);
    fflush (part->fp);
  }
}

static void
add_to_part (struct part *part, const struct figures *f)
{
  figures_add (&part->list, f);
  if (part->fp == NULL)
    return;
  if (part->list.n == 1)
    fprintf (part->fp, "# fio: %s\n", part->version);
  figures_print (part->fp, f);
  if (fflush (part->fp) == EOF)
    die ("%s: %s", part->path, strerror (errno));
}

static void
close_part (struct part *part)
{
  if (part->fp != NULL) {
    fclose (part->fp);
    unlink (part->path);
  }
  free (part->list.f);
}

/*---------------------------------------------------------------------*/
/* A measurement */

/* Did the last four parts of a sustained load go on at one rate? */
static bool
is_steady (const struct figures_list *list)
{
  double least = HUGE_VAL, most = 0;
  size_t i;

  if (list->n < 4)
    return false;
  for (i = list->n - 4; i < list->n; i++) {
    if (list->f[i].cell.kind != SUSTAIN)
      return false;
    least = fmin (least, list->f[i].iops);
    most = fmax (most, list->f[i].iops);
  }
  return most < least * 1.05;
}

/* Write until it is steady, or for as long as it may take. */
static void
sustain (const struct target *t, struct part *part)
{
  const unsigned most = options.sustain / options.seconds;
  struct cell cell = {SUSTAIN, options.sizes[0], 32, 0};
  struct figures f;

  for (cell.n = 1; cell.n <= most && !is_steady (&part->list); cell.n++) {
    if (figures_find (&part->list, &cell) != NULL)
      continue;
    run_cell (t, &cell, options.seconds, &f, part->version);
    say_progress (cell.n, most, &f, 0);
    add_to_part (part, &f);
  }
}

static void
measure_cells (const struct target *t, struct part *part)
{
  static struct cells cells;
  struct figures f;
  size_t i, left = 0;

  choose_cells (&cells);
  for (i = 0; i < cells.n; i++)
    left += figures_find (&part->list, &cells.c[i]) == NULL;
  fprintf (stderr, "nullblk-measure: %s: %zu cells, about ", t->name, left);
  print_seconds ((unsigned) left * (options.seconds + 1) +
                 (options.write ? options.sustain : 0));
  putc ('\n', stderr);
  for (i = 0; i < cells.n; i++) {
    if (figures_find (&part->list, &cells.c[i]) != NULL)
      continue;
    run_cell (t, &cells.c[i], options.seconds, &f, part->version);
    left--;
    say_progress (i + 1, cells.n, &f, (unsigned) left * (options.seconds + 1));
    add_to_part (part, &f);
  }
  if (options.write && options.sustain > 0)
    sustain (t, part);
}

/*---------------------------------------------------------------------*/
/* The model */

/* The settings, checked by what will play them. */
static char *
make_settings (const struct figures_list *list, const struct drive_facts *drive)
{
  const struct cell cell = {RANDREAD, 4096, 1, 0};
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
  if (simulate (text, &cell, 1, 1, &f, &why) < 0)
    die ("the settings are not what the plugin takes: %s", why.text);
  return text;
}

/* How near the settings come to the figures, by arithmetic. */
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
    if (list->f[i].cell.kind == SUSTAIN || list->f[i].nr_points == 0 ||
        simulate (settings, &list->f[i].cell, 4000, 2, &f, &why) < 0)
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
print_model (FILE *fp, const char *of, const char *version,
             const struct figures_list *list, const struct drive_facts *drive)
{
  char *settings = make_settings (list, drive), way[32];
  struct message line; /* of which a name makes no two */
  size_t i;

  message_set (&line, "# Model of %.200s, made by nullblk-measure %s.", of,
               PACKAGE_VERSION);
  fprintf (fp, "%s\n", line.text);
  message_set (&line, "# Source: measured by %s.", version);
  fprintf (fp, "%s\n#\n", line.text);
  for (i = 0; i < list->n; i++)
    figures_print (fp, &list->f[i]);
  fputs ("#\n", fp);
  print_distance (fp, settings, list);
  fputs (settings, fp);
  if (options.way > 0) {
    duration_format ((uint64_t) (options.way + 0.5), way, sizeof way);
    fprintf (fp,
             "# What a client sees on top of that, on the machine that "
             "measured.\nway=%s\n",
             way);
  }
  free (settings);
}

/* The model takes the place of a file: not of what was measured, and of nothing
 * else that is no file.
 */
static void
refuse_output (const char *of)
{
  struct stat output, target;

  if (options.output == NULL || stat (options.output, &output) == -1)
    return;
  if (!S_ISREG (output.st_mode))
    die ("--output=%s: allowed is a file", options.output);
  if (stat (of, &target) == 0 && target.st_dev == output.st_dev &&
      target.st_ino == output.st_ino)
    die ("--output=%s: allowed is another file than is read", options.output);
}

/* To standard output, or a file that is not there before it is whole. */
static void
write_model (const char *of, const char *version,
             const struct figures_list *list, const struct drive_facts *drive)
{
  static char path[PATH_MAX];
  FILE *fp = stdout;

  if (options.output != NULL) {
    snprintf (path, sizeof path, "%.4000s.new", options.output);
    fp = fopen (path, "we");
    if (fp == NULL)
      die ("%s: %s", path, strerror (errno));
  }
  print_model (fp, of, version, list, drive);
  if (fflush (fp) == EOF || ferror (fp))
    die ("%s: %s", options.output != NULL ? path : "output", strerror (errno));
  if (fp != stdout) {
    fclose (fp);
    if (rename (path, options.output) == -1)
      die ("%s: %s", options.output, strerror (errno));
  }
}

/* What our own server and fio add, near the times of the drive. */
static void
measure_way (const struct figures_list *list)
{
  const struct figures *f = NULL;
  size_t i;

  for (i = 0; i < list->n && f == NULL; i++) {
    if (list->f[i].cell.kind == RANDREAD && list->f[i].cell.depth == 1)
      f = &list->f[i];
  }
  if (f == NULL)
    return;
  options.way =
      run_way ((uint64_t) fmax (20000, fmin (figures_percentile (f, 50), 2e7)),
               options.seconds < 3 ? options.seconds : 3);
  if (options.way < 0)
    fprintf (stderr, "nullblk-measure: what the way to a client takes is not "
                     "known: nullblk-serve or fio's engine nbd is missing\n");
  else
    fprintf (stderr, "nullblk-measure: the way to a client takes %.1f us\n",
             options.way / 1e3);
}

static void
measure (const char *name)
{
  static struct part part;
  struct target t;

  refuse_output (name);
  target_open (&t, name, options.write);
  open_part (&part, &t);
  measure_cells (&t, &part);
  if (options.way < 0)
    measure_way (&part.list);
  t.drive.part = options.seconds;
  figures_sort (&part.list);
  write_model (name, part.version, &part.list, &t.drive);
  close_part (&part);
}

/*---------------------------------------------------------------------*/
/* --from */

static void
take_files (int n, char *const *paths)
{
  struct drive_facts drive = {.part = options.seconds};
  struct figures_list all = {0}, list;
  char version[32] = "", versions[256] = "", cell[64];
  struct message why;
  size_t used = 0, k;
  int i;

  for (i = 0; i < n; i++) {
    refuse_output (paths[i]);
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
    if (strstr (versions, version) == NULL && used + 40 < sizeof versions)
      used += (size_t) snprintf (versions + used, sizeof versions - used,
                                 "%s%s", used > 0 ? ", " : "", version);
  }
  figures_sort (&all);
  write_model (n == 1 ? paths[0] : "what fio has measured", versions, &all,
               &drive);
  free (all.f);
}

/*---------------------------------------------------------------------*/
/* --compare */

struct side {
  const char *name;
  bool is_file; /* with figures, and not to be measured */
  struct target target;
  struct figures_list list;
};

static bool
ends_in (const char *name, const char *end)
{
  const size_t len = strlen (name), end_len = strlen (end);

  return len >= end_len && strcmp (name + len - end_len, end) == 0;
}

static void
open_side (struct side *s, const char *name)
{
  struct message why;
  char version[32], *text;
  size_t len;

  memset (s, 0, sizeof *s);
  s->name = name;
  s->is_file = !uri_is_one (name) &&
               (ends_in (name, ".json") || ends_in (name, ".model"));
  if (!s->is_file)
    target_open (&s->target, name, options.write);
  else if (ends_in (name, ".json")) {
    if (fiofile_read (name, &s->list, version, &why) < 0)
      die ("%s", why.text);
  }
  else {
    if (textfile_read (name, MAX_MODEL_FILE, &text, &len, &why) < 0 ||
        figures_parse_text (text, &s->list, &why) < 0)
      die ("%s: %s", name, why.text);
    free (text);
    if (s->list.n == 0)
      die ("%s: it has no figures", name);
  }
}

static bool
is_chosen (const struct cell *cell)
{
  static struct cells chosen;
  size_t i;

  if (cell->kind == SUSTAIN || (!options.write && !kind_reads (cell->kind)))
    return false;
  if (!options.is_chosen)
    return true;
  choose_cells (&chosen);
  for (i = 0; i < chosen.n; i++) {
    if (cell_compare (&chosen.c[i], cell) == 0)
      return true;
  }
  return false;
}

/* The median of each figure, over rounds. */
static void
take_median (const struct figures *rounds, unsigned n, struct figures *f)
{
  double v[16];
  unsigned i;
  size_t k;

  *f = rounds[0];
  for (i = 0; i < n; i++)
    v[i] = rounds[i].iops;
  f->iops = median (v, n);
  for (i = 0; i < n; i++)
    v[i] = rounds[i].mean;
  f->mean = median (v, n);
  for (k = 0; k < f->nr_points; k++) {
    for (i = 0; i < n; i++)
      v[i] = figures_percentile (&rounds[i],
                                 100 - (double) f->points[k].above / 1e7);
    f->points[k].nsec = (uint64_t) median (v, n);
  }
}

/* Both sides in turns, so that what changes on the machine meets both. */
static void
measure_both (struct side sides[2], const struct cell *cell, size_t done,
              size_t all)
{
  const unsigned seconds =
      options.seconds > options.rounds ? options.seconds / options.rounds : 1;
  static struct figures rounds[2][16];
  struct figures f;
  char version[32];
  unsigned i, j;

  for (i = 0; i < options.rounds; i++) {
    for (j = 0; j < 2; j++) {
      if (!sides[j].is_file)
        run_cell (&sides[j].target, cell, seconds, &rounds[j][i], version);
    }
  }
  for (j = 0; j < 2; j++) {
    if (sides[j].is_file)
      continue;
    take_median (rounds[j], options.rounds, &f);
    figures_add (&sides[j].list, &f);
    say_progress (done, all, &f, 0);
  }
}

static void
compare_both (const char *a, const char *b)
{
  static struct cells cells;
  struct side sides[2];
  const struct figures_list *list;
  size_t i;

  open_side (&sides[0], a);
  open_side (&sides[1], b);
  list = sides[0].is_file ? &sides[0].list : &sides[1].list;
  if (sides[0].is_file != sides[1].is_file) {
    cells.n = 0;
    for (i = 0; i < list->n && cells.n < sizeof cells.c / sizeof cells.c[0];
         i++) {
      if (is_chosen (&list->f[i].cell))
        cells.c[cells.n++] = list->f[i].cell;
    }
    if (cells.n == 0)
      die ("%s: it has no figures of cells to measure (writes need --write)",
           sides[0].is_file ? a : b);
  }
  else if (!sides[0].is_file)
    choose_cells (&cells);
  if (cells.n > 0) {
    fprintf (stderr, "nullblk-measure: %zu cells, about ", cells.n);
    print_seconds ((unsigned) cells.n * (options.seconds + options.rounds) *
                   (sides[0].is_file || sides[1].is_file ? 1 : 2));
    putc ('\n', stderr);
  }
  for (i = 0; i < cells.n; i++)
    measure_both (sides, &cells.c[i], i + 1, cells.n);
  compare_print (stdout, &sides[0].list, &sides[1].list);
  if (options.plot != NULL)
    compare_plot (options.plot, &sides[0].list, &sides[1].list, a, b);
  free (sides[0].list.f);
  free (sides[1].list.f);
}

/*---------------------------------------------------------------------*/
/* The command line */

static void
usage (FILE *fp)
{
  fputs (
      "nullblk-measure [OPTION]... DEVICE|FILE|URI\n"
      "nullblk-measure --from [OPTION]... FIO-JSON...\n"
      "nullblk-measure --compare [OPTION]... A B\n"
      "\n"
      "Make a model of a drive, for nbdkit's nullblk plugin, from what fio\n"
      "measures; or say how far two are apart.\n"
      "\n"
      "  --output FILE       where the model goes; standard output by default\n"
      "  --write             measure writes, too: what is there is "
      "overwritten\n"
      "  --seconds N         for each cell, 5 by default\n"
      "  --sizes SIZE,...    of requests, 4K,16K,64K,256K,1M by default\n"
      "  --depths N,...      requests at a time, 1,2,4,8,16,32,64 by default\n"
      "  --quick             fewer sizes and depths: 4K,64K,1M and 1,8,32\n"
      "  --sustain SECONDS   of writes until they are steady, 60 by default\n"
      "  --way DURATION      to the client; measured by default\n"
      "  --restart           forget what an interrupted measurement has done\n"
      "  --from              make the model of what fio has written before\n"
      "  --compare           A and B: devices, files or URIs, measured in\n"
      "                      turns; or .model or .json files with figures\n"
      "  --rounds N          of turns, 3 by default\n"
      "  --plot FILE         draw the comparison: FILE.svg, or FILE.png\n"
      "  --help, --version\n"
      "\n"
      "Please read nullblk-measure(1).\n",
      fp);
}

static void __attribute__ ((noreturn))
bad_usage (const char *what, const char *why)
{
  fprintf (stderr, "nullblk-measure: %s: %s; see nullblk-measure --help\n",
           what, why);
  exit (USAGE);
}

static unsigned
take_count (const char *option, const char *text, unsigned least, unsigned most)
{
  char why[80];
  unsigned n;

  if (!count_parse (text, least, most, &n)) {
    snprintf (why, sizeof why, "allowed is a whole number from %u to %u", least,
              most);
    bad_usage (option, why);
  }
  return n;
}

/* The next of a list, whose comma becomes its end; NULL after the last. */
static char *
next_of (char **list)
{
  char *r = *list, *comma;

  if (r == NULL)
    return NULL;
  comma = strchr (r, ',');
  if (comma != NULL)
    *comma++ = '\0';
  *list = comma;
  return r;
}

static void
take_sizes (char *list)
{
  static const char allowed[] =
      "allowed are up to 16 sizes that ascend, multiples of 512 up to 32M";
  uint64_t size, before = 0;
  char *text;

  options.is_chosen = true;
  for (options.nr_sizes = 0; (text = next_of (&list)) != NULL;) {
    if (options.nr_sizes == MAX_LIST ||
        size_parse (text, strlen (text), &size) < 0 || size % 512 != 0 ||
        size <= before || size > UINT64_C (32) << 20)
      bad_usage ("--sizes", allowed);
    options.sizes[options.nr_sizes++] = before = size;
  }
}

static void
take_depths (char *list)
{
  static const char allowed[] =
      "allowed are up to 16 numbers that ascend, from 1 to 1024";
  unsigned depth, before = 0;
  char *text;

  options.is_chosen = true;
  for (options.nr_depths = 0; (text = next_of (&list)) != NULL;) {
    if (options.nr_depths == MAX_LIST ||
        !count_parse (text, 1, MAX_DEPTH, &depth) || depth <= before)
      bad_usage ("--depths", allowed);
    options.depths[options.nr_depths++] = before = depth;
  }
}

static void
take_quick (void)
{
  char sizes[] = "4K,64K,1M", depths[] = "1,8,32";

  take_sizes (sizes);
  take_depths (depths);
}

static void
take_way (const char *text)
{
  uint64_t nsec;

  if (duration_parse (text, strlen (text), &nsec) < 0)
    bad_usage ("--way", "allowed is " DURATION_FORM);
  options.way = (double) nsec;
}

static void
take_plot (const char *path)
{
  if (!ends_in (path, ".svg") && !ends_in (path, ".png"))
    bad_usage ("--plot", "allowed is a name that ends in .svg or .png");
  options.plot = path;
}

enum {
  OUTPUT = CHAR_MAX + 1,
  WRITES,
  SECONDS,
  SIZES,
  DEPTHS,
  QUICK,
  SUSTAINS,
  WAY,
  RESTART,
  FROM,
  COMPARE,
  ROUNDS,
  PLOT,
  HELP,
};

static void
parse (int argc, char *argv[])
{
  static const struct option long_options[] = {
      {"output", required_argument, NULL, OUTPUT},
      {"write", no_argument, NULL, WRITES},
      {"seconds", required_argument, NULL, SECONDS},
      {"sizes", required_argument, NULL, SIZES},
      {"depths", required_argument, NULL, DEPTHS},
      {"quick", no_argument, NULL, QUICK},
      {"sustain", required_argument, NULL, SUSTAINS},
      {"way", required_argument, NULL, WAY},
      {"restart", no_argument, NULL, RESTART},
      {"from", no_argument, NULL, FROM},
      {"compare", no_argument, NULL, COMPARE},
      {"rounds", required_argument, NULL, ROUNDS},
      {"plot", required_argument, NULL, PLOT},
      {"help", no_argument, NULL, HELP},
      {"version", no_argument, NULL, 'V'},
      {NULL, 0, NULL, 0},
  };
  int o;

  while ((o = getopt_long (argc, argv, "V", long_options, NULL)) != -1) {
    switch (o) {
    case OUTPUT:
      options.output = optarg;
      break;
    case WRITES:
      options.write = true;
      break;
    case SECONDS:
      options.seconds = take_count ("--seconds", optarg, 1, 3600);
      break;
    case SIZES:
      take_sizes (optarg);
      break;
    case DEPTHS:
      take_depths (optarg);
      break;
    case QUICK:
      take_quick ();
      break;
    case SUSTAINS:
      options.sustain = take_count ("--sustain", optarg, 0, 86400);
      break;
    case WAY:
      take_way (optarg);
      break;
    case RESTART:
      options.restart = true;
      break;
    case FROM:
      options.from = true;
      break;
    case COMPARE:
      options.compare = true;
      break;
    case ROUNDS:
      options.rounds = take_count ("--rounds", optarg, 1, 16);
      break;
    case PLOT:
      take_plot (optarg);
      break;
    case HELP:
      usage (stdout);
      exit (EXIT_SUCCESS);
    case 'V':
      printf ("nullblk-measure %s\n", PACKAGE_VERSION);
      exit (EXIT_SUCCESS);
    default:
      exit (USAGE);
    }
  }
}

int
main (int argc, char *argv[])
{
  parse (argc, argv);
  argc -= optind;
  argv += optind;
  if (argc == 0) {
    usage (stderr);
    return USAGE;
  }
  if (options.from && options.compare)
    bad_usage ("--compare", "not together with --from");
  if (options.plot != NULL && !options.compare)
    bad_usage ("--plot", "it is for --compare");
  if (options.compare && options.output != NULL)
    bad_usage ("--output", "it is not for --compare");
  if (options.compare && argc != 2)
    bad_usage ("--compare", "allowed are two, A and B");
  if (!options.compare && !options.from && argc > 1)
    bad_usage (argv[1], "one argument too many");

  if (options.compare)
    compare_both (argv[0], argv[1]);
  else if (options.from)
    take_files (argc, argv);
  else
    measure (argv[0]);
  if (fflush (stdout) == EOF || ferror (stdout))
    die ("output: %s", strerror (errno));
  return EXIT_SUCCESS;
}
