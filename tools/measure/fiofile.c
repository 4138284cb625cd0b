/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * fio's output as figures; see fiofile.h.  The plugin's
 * timing/percentiles-fio.c knows what the versions of fio write, and refuses
 * percentiles that cannot be true.
 */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fiofile.h"

/* No drive has as many: one request each nanosecond. */
#define MAX_IOPS 1e9

#define refuse(why, ...) (message_set (why, __VA_ARGS__), -EINVAL)

/* Take the first and the last of N points, and as many of those between them as
 * there is room for.
 */
static void
take_points (const struct percentile *p, size_t n, struct figures *f)
{
  size_t i;

  f->nr_points = n < MAX_POINTS ? n : MAX_POINTS;
  for (i = 0; i < f->nr_points; i++)
    f->points[i] = p[f->nr_points > 1 ? i * (n - 1) / (f->nr_points - 1) : 0];
}

/* Make *CELL the load that fio has run.  Returns NULL, or why that is no cell.
 */
static const char *
take_cell (const struct percentiles_load *load, enum operation op,
           struct cell *cell)
{
  cell->size = load->size;
  cell->depth = load->depth;
  if (load->error != 0)
    return "that ended with an error";
  if (load->size == 0)
    return "with no one size of requests (bs)";
  if (load->depth == 0 || load->depth > MAX_DEPTH)
    return "with no depth (iodepth) from 1 to 1024";
  if (op == OP_FLUSH) {
    *cell = (struct cell){LOAD_FLUSH, load->size, 1, load->sync};
    if (load->depth > 1)
      return "with syncs and a depth above 1";
    return load->sync > 0 ? NULL : "with syncs that fsync does not ask for";
  }
  if (!kind_find (load->rw, &cell->kind) ||
      kind_reads (cell->kind) != (op == OP_READ) || cell->kind == LOAD_FLUSH ||
      kind_sustains (cell->kind))
    return "of another kind than randread, randwrite, read and write";
  return NULL;
}

/* Take the cell of one operation.  Returns 1, 0 if the file has none, or
 * -errno. *BEFORE is the load of another operation of the file that was taken
 * before, if its depth is not 0; it becomes this one's.
 */
static int
take_operation (const char *path, const struct percentiles_file *file,
                enum operation op, struct figures *f, char version[32],
                struct percentiles_load *before, struct message *why)
{
  struct percentiles_load load;
  struct message clean; /* without control characters */
  struct percentile *p;
  const char *wrong;
  size_t n;
  int r = percentiles_of (file, op, &p, &n, why);

  if (r == -ENODATA)
    return 0;
  if (r < 0)
    return r;
  memset (f, 0, sizeof *f);
  take_points (p, n, f);
  free (p);
  percentiles_load (file, op, &load);
  message_set (&clean, "%s", load.version);
  snprintf (version, 32, "%.31s", clean.text);
  /* Writes with syncs between them are no load of their own. */
  if (op == OP_WRITE && load.sync > 0)
    return 0;
  if (!(load.iops >= 0 && load.iops <= MAX_IOPS) ||
      !(load.mean >= 0 && load.mean <= (double) MAX_DURATION))
    return refuse (why,
                   "%.200s: its requests a second or their mean cannot be true",
                   path);
  wrong = take_cell (&load, op, &f->cell);
  if (wrong != NULL)
    return refuse (why, "%.200s: it is of a load %s", path, wrong);
  if (load.odd != NULL)
    return refuse (why, "%.200s: it is of a load with fio's option %s", path,
                   load.odd);
  if (before->depth > 0 && before->job != load.job &&
      before->group == load.group && load.group >= 0)
    return refuse (why, "%.200s: it is of loads that ran at the same time",
                   path);
  *before = load;
  f->iops = load.iops;
  f->mean = load.mean;
  return 1;
}

int
fiofile_read (const char *path, struct figures_list *list, char version[32],
              struct message *why)
{
  static const enum operation ops[] = {OP_READ, OP_WRITE, OP_FLUSH};
  struct percentiles_load before = {.depth = 0};
  struct percentiles_file *file;
  struct figures f;
  unsigned i, found = 0;
  int r = percentiles_open (path, &file, why);

  if (r == -ENOMEM)
    message_set (why, "%s", strerror (ENOMEM));
  if (r < 0)
    return r;
  if (!percentiles_are_fios (file)) {
    percentiles_close (file);
    return refuse (why,
                   "%.200s: it is not what fio --output-format=json "
                   "writes",
                   path);
  }
  for (i = 0; r >= 0 && i < sizeof ops / sizeof ops[0]; i++) {
    r = take_operation (path, file, ops[i], &f, version, &before, why);
    if (r > 0) {
      figures_add (list, &f);
      found++;
    }
  }
  if (r >= 0 && found == 0) {
    percentiles_none (file, why);
    r = -EINVAL;
  }
  if (r == -ENOMEM)
    message_set (why, "%s", strerror (ENOMEM));
  percentiles_close (file);
  return r < 0 ? r : 0;
}
