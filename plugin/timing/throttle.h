/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Limits in bytes and operations a second: for all requests, for reads, and for
 * changes.  They are in force together: a request passes only as fast as the
 * narrowest limit that it counts for allows, and meanwhile takes no more than
 * that of the wider ones.
 *
 * Requests that count for the same limits are a flow, in which one follows
 * another, first come, first served; a request is through when its last byte
 * is.  Nothing runs in the background.  Two things are known of a flow: its
 * front, which is the moment up to which it is booked, and the highest rates,
 * in bytes and operations a second, that it has booked up to there.  Before the
 * front of another flow, a flow gets what the other leaves of a limit.
 *
 *     mbps=20 read-mbps=15
 *     reads    |==== 15 ====|                  arrive first, 15 MiB
 *     writes   |==== 5 =====|=== 20 ===|       then 25 MiB
 *              0            1          2 s
 *
 * Bytes and operations of a flow pass side by side, and a request is through
 * when both are.  So small requests, which wait for operations, and large ones,
 * which wait for bytes, pass together what the limits allow.
 *
 *     bytes       [=large==][][=large==][]
 *     operations       [===][===]  [===][===]
 *
 * If one of the two waits for the other, what it did not use in that time is
 * lost.  What a flow did not use while it was idle is lost, too, except for the
 * last 5 ms (the grace): so a client that needs a moment to send its next
 * request still reaches the limit.  In any second at most 0.5 % more than each
 * limit passes, and one request of each flow.
 *
 * When limits change, the booked time of each flow becomes a former flow, which
 * counts like the others until it is over: old and new requests together do not
 * pass more than the new limit, or the old one where that was wider.
 *
 * struct throttle belongs to a device.  The lock of its struct latency_state
 * guards it, and latency.c calls this.
 */

#ifndef NULLBLK_THROTTLE_H
#define NULLBLK_THROTTLE_H

#include <stdint.h>

#include "common/common.h"
#include "gaps.h"

#define THROTTLE_GRACE (5 * NSEC_PER_MSEC)

/* The highest limits: 40 GiB/s, as in null_blk, and as many operations as there
 * are nanoseconds.
 */
#define MAX_BYTES_PER_SEC (UINT64_C (40) << 30)
#define MAX_OPERATIONS_PER_SEC NSEC_PER_SEC

/* A limit counts all requests, or reads, or what write-iops and write-mbps
 * count: writes, writes of zeroes, trims and zone commands.
 */
enum throttle_class {
  THROTTLE_ALL,
  THROTTLE_READS,
  THROTTLE_WRITES,
  NR_THROTTLE_CLASSES
};

/* 0 is no limit. */
struct throttle_limits {
  uint64_t bytes_per_sec[NR_THROTTLE_CLASSES];
  uint64_t operations_per_sec[NR_THROTTLE_CLASSES];
};

/* Requests that count for the same limits; commands to zones count as trims. */
enum flow { FLOW_READS, FLOW_WRITES, FLOW_TRIMS, FLOW_FLUSHES, NR_FLOWS };

/* Bytes and operations. */
enum unit { UNIT_BYTES, UNIT_OPERATIONS, NR_UNITS };

/* The booked time of a flow. */
struct flow_bookings {
  enum flow flow;
  uint32_t generation;   /* of the limits that it was booked by */
  uint64_t front;        /* the moment up to which it is booked */
  double rate[NR_UNITS]; /* the most a second, up to the front */
  struct gaps gaps;      /* times before the front that are not booked */
};

/* A moment, and a part of a nanosecond. */
struct throttle_moment {
  uint64_t moment;
  double part;
};

/* The most former flows that are kept apart. */
#define MAX_FORMER 12

struct throttle {
  struct throttle_limits limits; /* those that it was last asked with */
  uint32_t generation;           /* grows when they change, and when all is
                                  * forgotten */

  struct {
    struct flow_bookings bookings;
    struct throttle_moment booked_to[NR_UNITS]; /* of each unit */

    /* At the moment rates_reset_at, bookings.rate becomes the highest rates
     * that were booked since the last such moment, which are in rates_since.
     */
    uint64_t rates_reset_at;
    double rates_since[NR_UNITS];
  } flows[NR_FLOWS];

  struct flow_bookings former[MAX_FORMER];
  unsigned nr_former;
};

/* Returns the moment at which all limits have let a request through, NOW or
 * later, and in *booking the request's time in its flow.  Reads, writes and
 * zeroes count their bytes; every request counts as so many OPERATIONS, but a
 * flush only for the limit of all requests.
 */
uint64_t throttle_pass (struct throttle *t, const struct throttle_limits *l,
                        enum operation op, uint32_t count, uint32_t operations,
                        uint64_t now, struct booking *booking);

/* A request that was given BOOKING when limits were of GENERATION is cancelled
 * at NOW: others may have what is left of its time.
 */
void throttle_cancel (struct throttle *t, uint32_t generation,
                      enum operation op, struct booking booking, uint64_t now);

/* Forget all that is booked.  A struct of zeroes has booked nothing. */
void throttle_reset (struct throttle *t);

/* Free the memory of the gaps. */
void throttle_destroy (struct throttle *t);

#endif /* NULLBLK_THROTTLE_H */
