/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Statistics: what a connection's requests were and how long each was served.
 *
 * Nothing here locks.  Every connection counts in a struct stats of its own,
 * under its own lock (device.h), so that no two connections share a line of
 * memory; who wants the whole copies and adds them up.
 */

#ifndef NULLBLK_STATS_H
#define NULLBLK_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "operation.h"

/* "read" and so on. */
extern const char *const op_names[NR_OPERATIONS];

/* The errors that NBD can carry, and EINVAL for all others, as nbdkit sends
 * them.
 */
enum error {
  ERROR_EPERM,
  ERROR_EIO,
  ERROR_ENOMEM,
  ERROR_EINVAL,
  ERROR_ENOSPC,
  ERROR_ESHUTDOWN,
  NR_ERRORS
};

/* "EPERM" and so on. */
extern const char *const error_names[NR_ERRORS];

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
  struct histogram served; /* how long they were in service: all requests */
  struct histogram asked;  /* how long settings asked: those that had a price */
};

struct stats {
  struct op_stats op[NR_OPERATIONS];
  struct histogram late; /* how much longer than asked */
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

/* The least value of a bucket.  That of NR_BUCKETS is where the last ends. */
uint64_t stats_bucket_from (unsigned bucket);

/* The kind of a negative errno. */
enum error stats_error (int r);

static inline void
histogram_count (struct histogram *h, uint64_t ns)
{
  h->bucket[stats_bucket (ns)]++;
  if (ns > h->longest)
    h->longest = ns;
}

/* How many have been counted. */
uint64_t histogram_total (const struct histogram *h);

/* The time, in ns, that at least PER_10000 of every 10,000 took at most: the
 * middle of the bucket in which it lies, 0 if there were none.
 */
uint64_t histogram_percentile (const struct histogram *h, unsigned per_10000);

/* Count a request: its bytes, how long it was served, and 0 or the negative
 * errno that it ended with.
 */
static inline void
stats_count (struct stats *s, enum operation op, uint32_t bytes, uint64_t ns,
             int r)
{
  struct op_stats *o = &s->op[op];

  histogram_count (&o->served, ns);
  if (__builtin_expect (r == 0, 1))
    o->bytes += bytes;
  else
    o->errors[stats_error (r)]++;
}

/* For a request that had a price besides: how long it asked for. */
static inline void
stats_count_asked (struct stats *s, enum operation op, uint64_t asked,
                   uint64_t served)
{
  histogram_count (&s->op[op].asked, asked);
  histogram_count (&s->late, served > asked ? served - asked : 0);
}

void stats_add (struct stats *sum, const struct stats *s);

#endif /* NULLBLK_STATS_H */
