/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Statistics: what a connection's requests were and how long each was served.
 *
 * A connection counts in a struct counts of its own, under its own lock
 * (device.h), so that no two connections share a line of memory.  It has no
 * histograms, which are large, but notes what belongs into them, and how often:
 *
 *     counts, small, of a connection
 *       bytes, errors, longest      samples | read 71 x 32 | asked 64 | ...
 *          |                           |
 *          v                           v      when they are many, when they are
 *     stats, large, of a device               asked for, or when it closes
 *       bytes, errors, longest      histograms of reads, ...
 *
 * Nothing here locks.
 */

#ifndef NULLBLK_STATS_H
#define NULLBLK_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/common.h"

/* A histogram of nanoseconds: a bucket for each value below 64, then 32 of the
 * same width for each power of two, so that a bucket's middle is within 1.6 %
 * of all that it holds.  The last one also takes what is longer, 2^37 ns or
 * 137 s and more.
 *
 *   value    0 1 2 ... 63 | 64 66 68 ... 126 | 128 132 ... 252 | 256 ...
 *   bucket   0 1 2 ... 63 | 64 65 66 ...  95 |  96  97 ... 127 | 128 ...
 */
#define NR_BUCKETS (64 + 31 * 32)

struct histogram {
  uint64_t longest;
  uint64_t bucket[NR_BUCKETS];
};

struct op_stats {
  uint64_t bytes; /* of the requests that succeeded */
  uint64_t errors[NR_ERRORS];

  /* served: how long each request was in service.  asked: how long latency and
   * fault rules asked a request to wait, of requests that had to and succeeded.
   */
  struct histogram served, asked;
};

struct stats {
  struct op_stats op[NR_OPERATIONS];
  struct histogram late; /* how much longer than asked */
};

/* The numbers of the histograms: two for each operation, and one for `late`. */
#define HISTOGRAM_SERVED(op) (2 * (op))
#define HISTOGRAM_ASKED(op) (2 * (op) + 1)
#define HISTOGRAM_LATE (2 * NR_OPERATIONS)
#define NR_HISTOGRAMS (2 * NR_OPERATIONS + 1)

#define BUCKET_BITS 11
_Static_assert(NR_BUCKETS <= 1 << BUCKET_BITS &&
                   NR_HISTOGRAMS <= 1 << (16 - BUCKET_BITS),
               "a sample does not fit");

#define NR_SAMPLES 512

/* The most samples that one call adds: of a request, how long it was served,
 * how long it was asked to take, and how late it was; and if it ends open
 * requests (stats_end_open), one of each operation.
 */
#define SAMPLES_OF_A_REQUEST (3 + NR_OPERATIONS)

struct counts {
  struct op_counts {
    uint64_t bytes;
    uint64_t errors[NR_ERRORS];
  } op[NR_OPERATIONS];
  uint64_t longest[NR_HISTOGRAMS];

  /* Requests that arrived together, at this moment, and are to end together: so
   * many of each operation, and in all.  All but their time is counted.
   */
  uint64_t open_since;
  uint16_t open[NR_OPERATIONS], nr_open;

  uint32_t nr; /* samples */
  struct sample {
    uint16_t where; /* histogram << BUCKET_BITS | bucket */
    uint16_t times;
  } sample[NR_SAMPLES];
};

static inline unsigned
stats_bucket (uint64_t ns)
{
  unsigned shift, bucket;

  if (ns < 64)
    return ns;
  shift = 58 - __builtin_clzll (ns); /* so that ns >> shift is 32 to 63 */
  bucket = 32 * shift + (ns >> shift);
  return bucket < NR_BUCKETS ? bucket : NR_BUCKETS - 1;
}

/* The least value of a bucket.  That of NR_BUCKETS is the end of the last one.
 */
uint64_t stats_bucket_from (unsigned bucket);

/* How many values a histogram has counted. */
uint64_t histogram_total (const struct histogram *h);

/* The least time, in ns, within which PER_10000 of every 10,000 values lie, as
 * the middle of its bucket, but at most h->longest; 0 if there are no values.
 */
uint64_t histogram_percentile (const struct histogram *h, unsigned per_10000);

static inline void
stats_sample (struct counts *c, unsigned histogram, uint64_t ns, uint16_t times)
{
  c->sample[c->nr++] = (struct sample){
      (uint16_t) (histogram << BUCKET_BITS | stats_bucket (ns)), times};
  if (ns > c->longest[histogram])
    c->longest[histogram] = ns;
}

/* Are the counts full, so that there is no room for one more request?  Then
 * stats_take is to be called before one is counted.
 */
static inline bool
stats_are_full (const struct counts *c)
{
  return c->nr > NR_SAMPLES - SAMPLES_OF_A_REQUEST;
}

static inline void
stats_count_result (struct counts *c, enum operation op, uint32_t bytes, int r)
{
  if (__builtin_expect (r == 0, 1))
    c->op[op].bytes += bytes;
  else
    c->op[op].errors[nbd_error_of (r)]++;
}

/* Count a request: its bytes, how long it was served, and 0 or the negative
 * errno that it ended with.
 */
static inline void
stats_count (struct counts *c, enum operation op, uint32_t bytes, uint64_t ns,
             int r)
{
  stats_sample (c, HISTOGRAM_SERVED (op), ns, 1);
  stats_count_result (c, op, bytes, r);
}

/* Requests that stats_count_open has counted end, at the moment NOW. */
void stats_end_open (struct counts *c, uint64_t now);

/* Count a request that arrived at the moment ARRIVAL, and ends at the next call
 * of stats_end_open.
 */
static inline void
stats_count_open (struct counts *c, enum operation op, uint32_t bytes,
                  uint64_t arrival, int r)
{
  if (__builtin_expect (c->nr_open != 0 && (c->open_since != arrival ||
                                            c->nr_open == UINT16_MAX),
                        0))
    stats_end_open (c, arrival);
  c->open_since = arrival;
  c->open[op]++;
  c->nr_open++;
  stats_count_result (c, op, bytes, r);
}

/* After stats_count, for a request that had to wait and succeeded: count how
 * long it was asked to wait, and how much longer it was in service.
 */
static inline void
stats_count_asked (struct counts *c, enum operation op, uint64_t asked,
                   uint64_t served)
{
  stats_sample (c, HISTOGRAM_ASKED (op), asked, 1);
  stats_sample (c, HISTOGRAM_LATE, served > asked ? served - asked : 0, 1);
}

/* Add what a connection has counted to S, and begin the connection's counts
 * anew; no request is open.  Memory of S to which nothing is added is not
 * touched.
 */
void stats_take (struct stats *s, struct counts *c);

/* Make all of it zero; memory that is zero, or not even there, is not touched.
 */
void stats_clear (struct stats *s);
void counts_clear (struct counts *c);

#endif /* NULLBLK_STATS_H */
