/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Durations as people write them: a number and its unit.  Inside they are
 * nanoseconds in uint64_t, as are moments, which are read from the monotonic
 * clock.  Pure functions, without locks.
 */

#ifndef NULLBLK_DURATION_H
#define NULLBLK_DURATION_H

#include <stddef.h>
#include <stdint.h>

#define NSEC_PER_USEC UINT64_C (1000)
#define NSEC_PER_MSEC UINT64_C (1000000)
#define NSEC_PER_SEC UINT64_C (1000000000)

/* The longest duration that a setting may have: 100 s. */
#define MAX_DURATION (100 * NSEC_PER_SEC)

/* How to write one, for messages. */
#define DURATION_FORM "a duration from 0 to 100s (units: ns, us, ms, s)"

/* Take a duration from the LEN bytes at TEXT: "100us", "1.5ms", or a bare "0".
 * Fractions of a nanosecond are dropped.  Returns 0 with *nsec from 0 to
 * MAX_DURATION, or -EINVAL.
 */
int duration_parse (const char *text, size_t len, uint64_t *nsec);

/* Do as duration_parse, with durations from 0 to MOST, which is at most 10^18.
 */
int duration_parse_up_to (const char *text, size_t len, uint64_t most,
                          uint64_t *nsec);

/* Write a duration as duration_parse takes it, exactly, in the largest unit
 * that needs no fraction: "100us", "1500us", "0".  24 bytes are enough.
 */
void duration_format (uint64_t nsec, char *buf, size_t len);

/* Returns the moment NSEC nanoseconds after MOMENT, or the last that there is.
 */
static inline uint64_t
moment_after (uint64_t moment, uint64_t nsec)
{
  return nsec < UINT64_MAX - moment ? moment + nsec : UINT64_MAX;
}

#endif /* NULLBLK_DURATION_H */
