/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Counters and histograms; see stats.h.
 */

#include <config.h>

#include <string.h>

#include "stats.h"

uint64_t
stats_bucket_from (unsigned bucket)
{
  unsigned shift;

  if (bucket < 64)
    return bucket;
  shift = bucket / 32 - 1;
  return (uint64_t) (bucket - 32 * shift) << shift;
}

static struct histogram *
histogram (struct stats *s, unsigned number)
{
  struct op_stats *o = &s->op[number / 2];

  if (number == HISTOGRAM_LATE)
    return &s->late;
  return number % 2 == 0 ? &o->served : &o->asked;
}

void
counts_clear (struct counts *c)
{
  memset (c->op, 0, sizeof c->op);
  memset (c->longest, 0, sizeof c->longest);
  memset (c->open, 0, sizeof c->open);
  c->nr_open = 0;
  c->nr = 0;
}

void
stats_end_open (struct counts *c, uint64_t now)
{
  const uint64_t ns = now > c->open_since ? now - c->open_since : 0;
  enum operation op;

  if (c->nr_open == 0)
    return;
  for (op = 0; op < NR_OPERATIONS; op++) {
    if (c->open[op] != 0)
      stats_sample (c, HISTOGRAM_SERVED (op), ns, c->open[op]);
  }
  memset (c->open, 0, sizeof c->open);
  c->nr_open = 0;
}

void
stats_take (struct stats *s, struct counts *c)
{
  unsigned i, k;

  if (c->nr == 0)
    return;
  for (i = 0; i < NR_OPERATIONS; i++) {
    if (c->op[i].bytes != 0)
      s->op[i].bytes += c->op[i].bytes;
    for (k = 0; k < NR_ERRORS; k++) {
      if (c->op[i].errors[k] != 0)
        s->op[i].errors[k] += c->op[i].errors[k];
    }
  }
  for (i = 0; i < NR_HISTOGRAMS; i++) {
    if (c->longest[i] != 0 && c->longest[i] > histogram (s, i)->longest)
      histogram (s, i)->longest = c->longest[i];
  }
  for (i = 0; i < c->nr; i++)
    histogram (s, c->sample[i].where >> BUCKET_BITS)
        ->bucket[c->sample[i].where & ((1 << BUCKET_BITS) - 1)] +=
        c->sample[i].times;
  counts_clear (c);
}

void
stats_clear (struct stats *s)
{
  uint64_t *word = (uint64_t *) s, *end = (uint64_t *) (s + 1);

  for (; word < end; word++) {
    if (*word != 0)
      *word = 0;
  }
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
