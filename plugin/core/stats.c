/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Counters and histograms; see stats.h.
 */

#include <config.h>

#include <errno.h>

#include "stats.h"

const char *const op_names[NR_OPERATIONS] = {
    [OP_READ] = "read", [OP_WRITE] = "write", [OP_FLUSH] = "flush",
    [OP_TRIM] = "trim", [OP_ZERO] = "zero",   [OP_ZONE] = "zone",
};

const char *const error_names[NR_ERRORS] = {
    [ERROR_EPERM] = "EPERM",   [ERROR_EIO] = "EIO",
    [ERROR_ENOMEM] = "ENOMEM", [ERROR_EINVAL] = "EINVAL",
    [ERROR_ENOSPC] = "ENOSPC", [ERROR_ESHUTDOWN] = "ESHUTDOWN",
};

enum error
stats_error (int r)
{
  switch (-r) {
  case EPERM:
  case EROFS:
    return ERROR_EPERM;
  case EIO:
    return ERROR_EIO;
  case ENOMEM:
    return ERROR_ENOMEM;
  case ENOSPC:
    return ERROR_ENOSPC;
  case ESHUTDOWN:
    return ERROR_ESHUTDOWN;
  default:
    return ERROR_EINVAL;
  }
}

uint64_t
stats_bucket_from (unsigned bucket)
{
  unsigned shift;

  if (bucket < 64)
    return bucket;
  shift = bucket / 32 - 1;
  return (uint64_t) (bucket - 32 * shift) << shift;
}

static void
histogram_add (struct histogram *sum, const struct histogram *h)
{
  unsigned i;

  if (h->longest > sum->longest)
    sum->longest = h->longest;
  for (i = 0; i < NR_BUCKETS; i++)
    sum->bucket[i] += h->bucket[i];
}

void
stats_add (struct stats *sum, const struct stats *s)
{
  struct op_stats *to;
  const struct op_stats *from;
  unsigned op, i;

  for (op = 0; op < NR_OPERATIONS; op++) {
    to = &sum->op[op];
    from = &s->op[op];
    to->bytes += from->bytes;
    for (i = 0; i < NR_ERRORS; i++)
      to->errors[i] += from->errors[i];
    histogram_add (&to->served, &from->served);
    histogram_add (&to->asked, &from->asked);
  }
  histogram_add (&sum->late, &s->late);
}

uint64_t
histogram_total (const struct histogram *h)
{
  uint64_t n = 0;
  unsigned i;

  for (i = 0; i < NR_BUCKETS; i++)
    n += h->bucket[i];
  return n;
}

uint64_t
histogram_percentile (const struct histogram *h, unsigned per_10000)
{
  uint64_t n = (histogram_total (h) * per_10000 + 9999) / 10000, middle;
  unsigned i;

  if (n == 0)
    return 0;
  for (i = 0; i < NR_BUCKETS - 1 && n > h->bucket[i]; i++)
    n -= h->bucket[i];
  middle = (stats_bucket_from (i) + stats_bucket_from (i + 1) - 1) / 2;
  return middle < h->longest ? middle : h->longest;
}
