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
    if (from->longest > to->longest)
      to->longest = from->longest;
    for (i = 0; i < NR_ERRORS; i++)
      to->errors[i] += from->errors[i];
    for (i = 0; i < NR_BUCKETS; i++)
      to->histogram[i] += from->histogram[i];
  }
}

uint64_t
stats_requests (const struct op_stats *o)
{
  uint64_t n = 0;
  unsigned i;

  for (i = 0; i < NR_BUCKETS; i++)
    n += o->histogram[i];
  return n;
}

uint64_t
stats_percentile (const struct op_stats *o, unsigned per_10000)
{
  uint64_t n = (stats_requests (o) * per_10000 + 9999) / 10000, middle;
  unsigned i;

  if (n == 0)
    return 0;
  for (i = 0; i < NR_BUCKETS - 1 && n > o->histogram[i]; i++)
    n -= o->histogram[i];
  middle = (stats_bucket_from (i) + stats_bucket_from (i + 1) - 1) / 2;
  return middle < o->longest ? middle : o->longest;
}
