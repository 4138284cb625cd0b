/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Cells of a measurement, and what was measured in each.  A cell is one kind of
 * load; in a text it is
 *
 *     randread 4K q8      random reads of 4 KiB, 8 at a time
 *     randwrite 4K q8     random writes, and so on
 *     read 4K q1          reads in sequence
 *     write 4K q1         writes in sequence
 *     flush 4K n8         a flush after 8 random writes, one at a time
 *     sustain 4K q32 n3   the third part of random writes that go on for long
 *     sustainread 4K q32 n3   the same of reads
 *
 * The figures of a cell are what was measured there: rate, mean, percentiles.
 * In a model file they are a line, which is a comment there:
 *
 *     # figure: randread 4K q8 iops=113000 mean=70.4us p0=50us ... p100=1.9ms
 *
 * A line with "check:" instead has figures that the settings were not made of.
 */

#ifndef NULLBLK_CELL_H
#define NULLBLK_CELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/common.h"
#include "timing/timing.h"

enum load_kind {
  LOAD_RANDREAD,
  LOAD_RANDWRITE,
  LOAD_READ,
  LOAD_WRITE,
  LOAD_FLUSH,
  LOAD_SUSTAIN,
  LOAD_SUSTAINREAD,
  NR_LOAD_KINDS
};

#define MAX_DEPTH 1024

/* While fio is started for the next part of a sustained load, the drive drains.
 * So in all parts but the first, requests of this many seconds are not counted.
 */
#define SUSTAIN_RAMP 1

/* Sustained reads have become slower if they began this many times as fast. */
#define SUSTAIN_FALL 1.3

struct cell {
  enum load_kind kind;
  uint64_t size;  /* of a request, in bytes */
  unsigned depth; /* requests at a time */
  unsigned n;     /* writes before a flush, or the part of a sustained load */
};

/* The most percentiles that are kept.  fio gives 17 by default, and the least
 * and the greatest time.
 */
#define MAX_POINTS 24

struct figures {
  struct cell cell;
  bool is_check;
  double iops; /* requests a second (in LOAD_FLUSH, flushes); 0: not known */
  double mean; /* nanoseconds; 0: not known */
  struct percentile points[MAX_POINTS];
  size_t nr_points; /* 0: not known */
};

/* A list that grows. */
struct figures_list {
  struct figures *f;
  size_t n;
};

bool kind_reads (enum load_kind kind);
bool kind_sustains (enum load_kind kind);
const char *kind_name (enum load_kind kind);
bool kind_find (const char *name, enum load_kind *kind);

/* Compares as qsort wants it, in the order that cells have in a model file: by
 * kind, size, depth and n.
 */
int cell_compare (const struct cell *a, const struct cell *b);

/* Write a cell as above: "randread 4K q8". */
void cell_format (const struct cell *cell, char *buf, size_t len);

/* Returns how many nanoseconds PERCENT of the requests took at most, on a
 * straight line between two points of F; below its first point, what that has.
 * 0 if it is not known.
 */
double figures_percentile (const struct figures *f, double percent);

/* Returns bytes a second. */
double figures_rate (const struct figures *f);

/* Add a copy.  Dies without memory. */
void figures_add (struct figures_list *list, const struct figures *f);
const struct figures *figures_find (const struct figures_list *list,
                                    const struct cell *cell);
void figures_sort (struct figures_list *list);

#define MAX_ROUNDS 16

/* Make each figure of F the median of those of N ROUNDS of the same cell that
 * know it.  F has the percentiles of the first round; they ascend.
 */
void figures_take_median (const struct figures *rounds, unsigned n,
                          struct figures *f);

/* Take the parts of sustained loads out of a list. */
void figures_drop_sustained (struct figures_list *list);

/* Did the last four parts of a sustained load of KIND, which stand at the end
 * of the list, go on at one rate?  Of reads it counts only if they are slower
 * than the first part: a burst of the credits of a volume is steady, too, until
 * these are spent.
 */
bool figures_are_steady (const struct figures_list *list, enum load_kind kind);

/* Write the line, and a newline. */
void figures_print (FILE *fp, const struct figures *f);

/* Parse a line.  Returns 1 if it has figures, 0 if it is something else, or
 * -EINVAL with *why.
 */
int figures_parse (const char *line, struct figures *f, struct message *why);

/* Add all figures of a text to LIST.  Returns 0, or -EINVAL with *why, which
 * begins with the number of the line.
 */
int figures_parse_text (const char *text, struct figures_list *list,
                        struct message *why);

/* Sorts V, and returns the median of its N numbers; N is at least 1. */
double median (double *v, size_t n);

#endif /* NULLBLK_CELL_H */
