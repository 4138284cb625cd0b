/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Burst credits, as cloud volumes have them, and what a request counts.
 *
 *     credits  |\                      a request of n costs n; `base` come in a
 *     bucket   | \      ____           second, `bucket` at the most; and no
 *              |  \    /    \          more than `burst` pass a second
 *           0  |___\__/______\____ time
 *               burst  idle   base: what comes in is used at once
 *
 * What is kept is not the credits that are left, but those that were spent and
 * have not come back: the debt, which is 0 while all credits are there.  It
 * falls at the rate `base`, and may be `bucket` at the most: a request that
 * makes it more waits until it has fallen to that.  A second debt, which falls
 * at the rate `burst`, sees to it that requests come no faster than that.  All
 * numbers are whole: a debt is counted in billionths of an operation or byte,
 * so that a nanosecond takes `rate` billionths off it.
 *
 * A request counts as one operation; or, with a unit, as one for each UNIT
 * bytes that it begins.  With `merge` a request that begins where requests of
 * its kind just before it end is counted together with these, as one request.
 *
 * The lock of a device's struct latency_state guards these; drive.c calls them.
 */

#ifndef NULLBLK_CREDITS_H
#define NULLBLK_CREDITS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/common.h"

/* Operations, or bytes. */
struct credit_settings {
  uint64_t base;   /* a second, with no credits left; 0: there are no credits */
  uint64_t burst;  /* a second, with credits: at least `base` */
  uint64_t bucket; /* the most credits */
};

struct debt {
  struct wide billionths; /* of an operation or byte */
  uint64_t at;            /* the moment at which the debt was that much */
};

/* All zeroes: no credits were spent. */
struct credits {
  struct debt spent; /* falls at `base` */
  struct debt pace;  /* falls at `burst` */
  uint64_t bucket;   /* as in the settings that were last in use */
};

struct io_count_settings {
  uint64_t unit; /* bytes; 0: a request counts as one */
  bool merge;
};

struct io_count {
  struct {
    uint64_t end;    /* where the last request ended */
    uint64_t filled; /* bytes that were merged up to there */
  } last[2];         /* of reads, and of all others that have bytes */
};

/* Returns how many operations a request counts as. */
uint32_t io_count_operations (struct io_count *c,
                              const struct io_count_settings *s,
                              enum operation op, uint32_t count,
                              uint64_t offset);

/* Take N operations or bytes.  Returns the moment, NOW or later, from which on
 * credits and burst allow them.
 */
uint64_t credits_take (struct credits *c, const struct credit_settings *s,
                       uint64_t n, uint64_t now);

/* Give back N operations or bytes that credits_take has taken. */
void credits_return (struct credits *c, uint64_t n);

/* All requests that wait for credits are gone: forget the debt beyond the
 * bucket, which was theirs.
 */
void credits_reset (struct credits *c);

extern const struct parts io_credits_parts, byte_credits_parts;

#endif /* NULLBLK_CREDITS_H */
