/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Limits in bytes and operations a second.  Each limit is a meter that lets
 * one request through after another, first come, first served; a request is
 * through when its last byte is.  Nothing runs in the background: a meter is
 * the moment at which it will be free.
 *
 *     arrival   a     b c          d
 *     meter     [--a--][-b-][--c--]   [d]
 *     through         ^    ^      ^     ^
 *
 * A meter that was idle (before d) gives nothing for the time that is gone, but
 * for a grace of 5 ms: a client that needs a moment to send its next request
 * still reaches the limit.  So any second sees at most 0.5 % more than the
 * limit, and one request.
 *
 * struct throttle belongs to a device and is guarded by its lock in struct
 * latency, whose latency_price is the caller.
 */

#ifndef NULLBLK_THROTTLE_H
#define NULLBLK_THROTTLE_H

#include <stdint.h>

#include "duration.h"
#include "operation.h"

#define THROTTLE_GRACE (5 * NSEC_PER_MSEC)

/* The highest limits: 40 GiB/s, as in null_blk, and as many operations as a
 * meter can tell apart.
 */
#define MAX_BYTES_PER_SEC (UINT64_C (40) << 30)
#define MAX_OPERATIONS_PER_SEC NSEC_PER_SEC

/* What a limit counts: all requests, or reads, or changes (writes, zeroes,
 * trims and zone commands).
 */
enum throttled { THROTTLE_ALL, THROTTLE_READS, THROTTLE_WRITES, NR_THROTTLED };

/* 0 is no limit. */
struct throttle_limits {
  uint64_t bytes_per_sec[NR_THROTTLED];
  uint64_t operations_per_sec[NR_THROTTLED];
};

struct meter {
  uint64_t rate; /* that `rest` belongs to: what it was last asked with */
  uint64_t free; /* when all that came before is through */
  uint64_t rest; /* and this many nanoseconds / rate later */
};

struct throttle {
  struct meter bytes[NR_THROTTLED];
  struct meter operations[NR_THROTTLED];
};

/* Let AMOUNT (below 2^34) through a meter that lets RATE a second, from 1 to
 * MAX_BYTES_PER_SEC, through, from NOW on.  Returns when it is through, which
 * the grace may put before NOW.  A RATE other than the last one begins afresh:
 * those who wait keep their moments, and nobody waits behind them.
 */
uint64_t meter_pass (struct meter *m, uint64_t rate, uint64_t amount,
                     uint64_t now);

/* The moment at which all limits have let a request through, NOW or later.
 * Reads, writes and zeroes count their bytes; every request counts as an
 * operation, a flush only where all are counted.
 */
uint64_t throttle_pass (struct throttle *t, const struct throttle_limits *l,
                        enum operation op, uint32_t count, uint64_t now);

/* A request that throttle_pass let through with the same limits was given up:
 * it no longer keeps those that come after it.  Where limits have changed
 * since, it does not any more as it is.
 */
void throttle_give_back (struct throttle *t, const struct throttle_limits *l,
                         enum operation op, uint32_t count);

#endif /* NULLBLK_THROTTLE_H */
