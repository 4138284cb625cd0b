/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * How long an operation takes: a fixed time, or one drawn from a distribution.
 *
 *     100us                              always
 *     uniform:50us-150us                 any of these, equally likely
 *     normal:100us,20us                  mean and standard deviation of a
 *                                        normal distribution, of which what
 *                                        lies below 0 is left out
 *     lognormal:p50=80us,p99=2ms
 *     percentiles:p50=80us,p99=900us,p99.9=5ms
 *     seek:track=1ms,full=16ms,rpm=7200,mbps=200
 *                                        a disk, by distance and size
 *     file:PATH                          percentiles from a file: fio's JSON
 *                                        output, or lines "percentile,ns"
 *
 * Every drawn kind but seek: becomes a table of its quantile function, which
 * says for each share of requests how long these take at most: knots (the
 * points of an interpolation) with straight lines between them.
 *
 *     nsec  |                      more knots where the curve bends; `at` is a
 *           |                 /    64-bit fraction, so that a random number is
 *           |            _.-'      a place on this axis; index[] leads to the
 *           |   __..--''           knots of each 256th of it.
 *           |_''_________________
 *           0   at            2^64
 *
 * Between two percentiles that are given next to each other the logarithm of
 * the duration is linear in the logarithm of the share of requests that take
 * longer, as the tails of real drives are: with p50 and p99.9 alone, the
 * duration grows by the same factor from p90 to p99 as from p99 to p99.9.  From
 * the last of them to p100, which no request takes longer than, the
 * logarithm of the duration is linear in the share itself.  Below the first
 * given point and above the last the duration is that of the point.  fio's file
 * gives the shortest and the longest duration, too.  Normal distributions end 6
 * standard deviations from their mean.
 *
 * A table is made when a setting is parsed, with nothing but additions,
 * multiplications and divisions, so that a seed gives the same durations on
 * every machine; a draw is a search in it, and needs no memory and no lock.  A
 * distribution never changes; any thread with a reference may draw.
 */

#ifndef NULLBLK_DISTRIBUTION_H
#define NULLBLK_DISTRIBUTION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/common.h"

/* The most points that percentiles: takes, and a file. */
#define MAX_PERCENTILES 64
#define MAX_FILE_PERCENTILES 1024

/* The largest file, in bytes. */
#define MAX_DISTRIBUTION_FILE (16 << 20)

struct distribution;

/* Parse a distribution for requests of one operation, by which the table in
 * fio's file is chosen: reads, writes and trims have tables of their own there,
 * flushes take that of fsync, zeroes and zone commands that of writes.  Returns
 * 0 with a reference in *r, -ENOMEM, or -EINVAL with *why: what is wrong and
 * what is allowed.  *why never repeats content of a file.
 */
int distribution_parse (const char *text, enum operation op,
                        struct distribution **r, struct message *why);

/* Parse a distribution for all operations.  Where fio's file has no requests of
 * an operation, that gets NULL, which stands for no time at all; it is an error
 * if all do.
 */
int distribution_parse_all (const char *text,
                            struct distribution *r[NR_OPERATIONS],
                            struct message *why);

struct distribution *distribution_ref (struct distribution *d);
void distribution_unref (struct distribution *d); /* NULL is allowed */

/* The text of a distribution, in a form that distribution_parse takes; the path
 * of a file is absolute in it.
 */
const char *distribution_text (const struct distribution *d);

/* Is the duration always 0? */
bool distribution_is_zero (const struct distribution *d);

/* Does distribution_draw need a place? */
bool distribution_seeks (const struct distribution *d);

/* The place of a request on a disk, for seek: alone. */
struct seek_place {
  uint64_t distance; /* bytes from the end of the request before */
  uint64_t size;     /* of the device, in bytes: the distance of a full seek */
  uint32_t count;    /* bytes */
};

/* Returns a duration in nanoseconds, from 0 to MAX_DURATION, for a random
 * number.  PLACE may be NULL where distribution_seeks says no.
 *
 * A seek over no distance takes no time; else it takes `track`, which grows to
 * `full` with the square root of the distance, and then the share of a rotation
 * at `rpm` that is drawn.  The transfer of the bytes at `mbps` (MiB/s; 0 is no
 * time) comes on top.
 */
uint64_t distribution_draw (const struct distribution *d, uint64_t random,
                            const struct seek_place *place);

#endif /* NULLBLK_DISTRIBUTION_H */
