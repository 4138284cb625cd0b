/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Lanes: a device that can serve only so many requests at once.  Each request
 * is served by the lane that is free first, in the order of arrival, so all
 * that needs to be known of a lane is when it will be free.
 *
 *     lane 0  [----a----][--c--]
 *     lane 1     [--b--]   [-----d-----]
 *     arrival  a  b c   d
 *
 * A request that is cancelled before its service begins gives its time back
 * (gaps.h).  It does not matter which lane it had: lanes that end a service at
 * the same moment can change places.
 *
 * Stalls: from time to time the device serves nothing.  With
 * stall=every:2s,for:200ms, counted from the device's start, it does so from
 * 2 s to 2.2 s, from 4 s to 4.2 s, and so on.  A service that meets a stall is
 * interrupted and goes on after it; one that would begin in a stall begins at
 * its end.
 *
 *     0              every  +for      2*every  +for
 *     |................|#####|...........|#####|....
 *              [---service---#####--]
 *
 * struct lanes belongs to a device.  The lock of its struct latency_state
 * guards it, and latency.c calls this.  struct stall is a setting.
 */

#ifndef NULLBLK_LANES_H
#define NULLBLK_LANES_H

#include <stddef.h>
#include <stdint.h>

#include "common/common.h"
#include "gaps.h"

#define MAX_LANES 1024

struct stall {
  uint64_t every;  /* nanoseconds from one to the next; 0: no stalls */
  uint64_t length; /* nanoseconds, below `every` */
};

struct lanes {
  uint32_t count;
  uint32_t generation; /* grows when the lanes are reset */
  struct gaps gaps;
  uint64_t free_at[MAX_LANES]; /* moments, a heap: free_at[0] is the first */
};

/* Parse "every:2s,for:200ms" or "none".  Returns 0, or -EINVAL with what is
 * allowed in *why.
 */
int stall_parse (const char *text, struct stall *stall, struct message *why);

/* Write a stall as stall_parse takes it; 64 bytes are enough. */
void stall_format (const struct stall *stall, char *buf, size_t len);

/* Returns the moment at which a service of NSEC nanoseconds is done that may
 * begin at START, on a device that started at ORIGIN.
 */
uint64_t stall_serve (const struct stall *stall, uint64_t origin,
                      uint64_t start, uint64_t nsec);

/* The clock of work stands still in stalls.  stall_worked returns where it is
 * at MOMENT, and stall_moment the first moment at which it is at WORKED.  At
 * ORIGIN, and before the first stall, the two clocks are the same.
 */
uint64_t stall_worked (const struct stall *stall, uint64_t origin,
                       uint64_t moment);
uint64_t stall_moment (const struct stall *stall, uint64_t origin,
                       uint64_t worked);

/* Serve for NSEC nanoseconds a request that arrives at ARRIVAL, on COUNT lanes
 * (from 1 to MAX_LANES).  Returns when it is done, and the time of a lane that
 * it has in *booking.  When COUNT is not what it was the time before, the lanes
 * are reset (lanes_reset).
 */
uint64_t lanes_serve (struct lanes *lanes, uint32_t count,
                      const struct stall *stall, uint64_t origin,
                      uint64_t arrival, uint64_t nsec, struct booking *booking);

/* A request that was given BOOKING by the lanes of GENERATION is cancelled at
 * NOW.  If its service has not begun, its time is free for other requests.
 */
void lanes_cancel (struct lanes *lanes, uint32_t generation,
                   struct booking booking, uint64_t now);

/* Forget all services: no lane is busy any more, as in a struct of zeroes. */
void lanes_reset (struct lanes *lanes);

/* Free the memory of the gaps. */
void lanes_destroy (struct lanes *lanes);

#endif /* NULLBLK_LANES_H */
