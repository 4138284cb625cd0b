/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The figures that a client would see of a device with given settings, by
 * arithmetic: the plugin's own timing on a clock that only moves from one
 * completion to the next.  Nothing waits.
 */

#ifndef NULLBLK_SIMULATE_H
#define NULLBLK_SIMULATE_H

#include "cell.h"

/* Simulate a device that has SETTINGS (lines NAME=VALUE), and a client that
 * puts the load CELL on it.  The client always has cell->depth requests in
 * flight, but for PAUSE nanoseconds from the end of each to the next; the same
 * SEED gives the same.  *f becomes what the client sees, over REQUESTS
 * requests.  In the second part of a sustained load, and those after it, the
 * device has been written in full before.  Returns 0; or -EINVAL where the
 * plugin does not take the settings, with *why.  Ends the program where there
 * is no memory.
 */
int simulate (const char *settings, const struct cell *cell, uint64_t pause,
              unsigned requests, uint64_t seed, struct figures *f,
              struct message *why);

/* Returns how many nanoseconds the client paused in a cell from the end of a
 * request to the next one.  By Little's law the rate times the mean time of a
 * request is how many were in flight; what is missing to cell->depth is the
 * pause.  It is computed from the figures of this cell, or else of depth 1; 0
 * if neither has a rate and a mean.
 */
uint64_t client_pause (const struct figures_list *list,
                       const struct cell *cell);

/* How far simulated figures are from measured ones: 0.05 is 5 % more than was
 * measured, -0.05 is 5 % less, and 0 is also where one of the two is not known.
 */
struct distance {
  double p50, p99, rate;
};
struct distance distance_of (const struct figures *simulated,
                             const struct figures *measured);

/* Returns how far a device with SETTINGS is from the figures of LIST, all cells
 * together in one number; 0: they are the same.  Cells of a kind that KINDS
 * (bits) has not are left out.  Returns a negative number where the plugin does
 * not take the settings.
 */
double simulate_list (const char *settings, const struct figures_list *list,
                      unsigned kinds, unsigned requests);

#endif /* NULLBLK_SIMULATE_H */
