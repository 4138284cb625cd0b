/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Percentiles, on the command line and in the files of "file:": durations, each
 * with the share of all requests that take longer.  Without state or locks.
 */

#ifndef NULLBLK_PERCENTILES_H
#define NULLBLK_PERCENTILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/common.h"

/* Shares of requests are in parts of a billion. */
#define PARTS_PER_WHOLE 1000000000

struct percentile {
  uint32_t above; /* requests that take longer, as a share of all */
  uint64_t nsec;
};

/* Parse the percentile in the LEN bytes at TEXT: from 0 to 100, with any number
 * of digits after the point, of which 7 count.  Returns 0 or -EINVAL.
 */
int percent_parse (const char *text, size_t len, uint32_t *above);

/* Write a percentile as percent_parse takes it: "99.9". */
void percent_format (uint32_t above, char *buf, size_t len);

/* Is there at least one, and are they in ascending order, each once, with no
 * duration shorter than the one before it?
 */
bool percentiles_ascend (const struct percentile *p, size_t n);

/* A file that has been read.  Its path, which must stay, is for messages. */
struct percentiles_file;

/* Read a file.  Returns 0, -ENOMEM, or -EINVAL with *why. */
int percentiles_open (const char *path, struct percentiles_file **file,
                      struct message *why);
void percentiles_close (struct percentiles_file *file); /* NULL is allowed */

/* Get the percentiles that a file has for an operation.  Returns 0 with *p, to
 * be freed, and their number; -ENOMEM; -ENODATA when the file is fio's and has
 * none of that operation; or -EINVAL.  The last two say why.
 */
int percentiles_of (const struct percentiles_file *file, enum operation op,
                    struct percentile **p, size_t *n, struct message *why);

/* Is the file one that fio has written? */
bool percentiles_are_fios (const struct percentiles_file *file);

/* The load by which fio has measured requests. */
struct percentiles_load {
  char version[32]; /* of fio: "fio-3.33" */
  char rw[32];      /* "randread", or "" */
  uint64_t size;    /* of each request, in bytes; 0: they differ, or unknown */
  unsigned depth;   /* requests at a time, of all jobs; 0: unknown */
  unsigned sync;    /* writes from one fsync to the next, or 0 */
  double iops;      /* or 0 */
  double mean;      /* time of a request, in nanoseconds, or 0 */
  const char *odd;  /* an option that makes it another load, or NULL */
  unsigned job;     /* which of fio's jobs, from 0 on */
  int64_t group;    /* all jobs of a group run at a time; -1: unknown */
  int64_t error;    /* with which the job has ended, or 0 */
};

/* Get the load by which percentiles_of has found percentiles, for an operation
 * that has some.
 */
void percentiles_load (const struct percentiles_file *file, enum operation op,
                       struct percentiles_load *load);

/* Say why a file of fio's has no percentiles of any operation. */
void percentiles_none (const struct percentiles_file *file,
                       struct message *why);

#endif /* NULLBLK_PERCENTILES_H */
