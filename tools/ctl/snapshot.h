/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A device's statistics at a moment, as its .stats export tells them, and what
 * happened between two such moments.
 */

#ifndef NULLBLK_SNAPSHOT_H
#define NULLBLK_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "common/common.h"

#define MAX_SNAPSHOT_ERRORS 16

struct bucket {
  uint64_t from, below; /* ns */
  uint64_t count;
};

/* p50, p90, p99, p99.9, p99.99 and the largest, as the document has them: ns */
#define NR_PERCENTILES 6

struct snapshot_op {
  /* How long settings and fault rules asked requests to take: since the reset,
   * never of an interval.
   */
  uint64_t asked[NR_PERCENTILES];
  uint64_t requests;
  uint64_t bytes;
  uint64_t max; /* ns */
  unsigned nr_errors;
  struct {
    char name[16];
    uint64_t count;
  } errors[MAX_SNAPSHOT_ERRORS];
  uint64_t nr_buckets;
  struct bucket *buckets; /* ascending */
};

/* conventional, empty, implicitly_open, explicitly_open, closed, full,
 * read_only, offline
 */
#define NR_SNAPSHOT_CONDS 8
extern const char *const snapshot_cond_names[NR_SNAPSHOT_CONDS];

struct snapshot {
  char device[64];
  char server_version[32];
  bool parallel, batch, holds_replies, defers_replies;
  uint64_t uptime_ns, since_reset_ns;
  uint64_t interval_ns; /* in which the requests of `op` were counted */
  uint64_t connections, depth, depth_largest;

  /* These are since the reset, never of an interval: how many requests of a
   * connection can wait, how many took the last place for that, and how much
   * later than asked requests ended.
   */
  uint64_t places, saturated;
  uint64_t late[NR_PERCENTILES];

  bool has_memory;
  uint64_t memory_held, memory_limit; /* bytes */
  uint64_t written_blocks;            /* of 4 KiB */
  bool has_zones;
  uint64_t nr_zones, zones[NR_SNAPSHOT_CONDS]; /* in each condition, now */
  struct snapshot_op op[NR_OPERATIONS];
};

/* Returns the document of a server's statistics, which the caller frees by
 * json_decref.  It has at least the members that all versions of nullblk have.
 * NULL and the reason in *why if TEXT is no such document.
 */
json_t *statistics_parse (const char *text, struct message *why);

/* Make a snapshot of the document's text.  Numbers that are missing are 0, and
 * unknown members, as of a later version, are ignored.  NULL and the reason in
 * *why as above, or if there is no memory.
 */
struct snapshot *snapshot_parse (const char *text, struct message *why);

/* Returns B with only what `op` counted since A; with all that it counted, if A
 * is NULL or the statistics were reset in between.  NULL if there is no memory.
 */
struct snapshot *snapshot_since (const struct snapshot *a,
                                 const struct snapshot *b);

void snapshot_free (struct snapshot *s);

/* The number of requests that failed. */
uint64_t snapshot_errors (const struct snapshot_op *op);

/* The time in ns that PER_10000 of every 10,000 requests took at most: the
 * middle of its bucket, or the longest time if that is less; 0 if there were no
 * requests.
 */
uint64_t snapshot_percentile (const struct snapshot_op *op, unsigned per_10000);

#endif /* NULLBLK_SNAPSHOT_H */
