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
  uint64_t asked[NR_PERCENTILES]; /* since the reset, never of an interval */
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

  /* These are since the reset, never of an interval. */
  uint64_t threads, saturated;
  uint64_t late[NR_PERCENTILES];

  bool has_memory;
  uint64_t memory_held, memory_limit; /* bytes */
  uint64_t written_blocks;            /* of 4 KiB */
  bool has_zones;
  uint64_t nr_zones, zones[NR_SNAPSHOT_CONDS]; /* in each condition, now */
  struct snapshot_op op[NR_OPERATIONS];
};

/* The document of a server's statistics, to be given back by json_decref.  It
 * has its version and the objects that every version has, at least.  NULL and
 * the reason in *why if the text is no such document, whatever else it is.
 */
json_t *statistics_parse (const char *text, struct message *why);

/* Take it from the document's text.  Numbers that are missing are 0, and what
 * this does not know, as from a later version, is ignored.  NULL and the reason
 * in *why as above.
 */
struct snapshot *snapshot_parse (const char *text, struct message *why);

/* The events from A to B.  Where A is NULL, or the counters were set back in
 * between, that is all that B counts.  NULL if there is no memory.
 */
struct snapshot *snapshot_since (const struct snapshot *a,
                                 const struct snapshot *b);

void snapshot_free (struct snapshot *s);

uint64_t snapshot_errors (const struct snapshot_op *op);

/* The time in ns that PER_10000 of every 10,000 requests took at most: the
 * middle of its bucket; 0 if there were none.
 */
uint64_t snapshot_percentile (const struct snapshot_op *op, unsigned per_10000);

#endif /* NULLBLK_SNAPSHOT_H */
