/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Random numbers that a seed repeats, the same on every machine: SplitMix64
 * (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
 * 2014).  The state is a counter, and each draw takes the next count and mixes
 * it; so threads may draw from one state without a lock, and no two of them get
 * the same count.
 */

#ifndef NULLBLK_RANDOM_H
#define NULLBLK_RANDOM_H

#include <stdatomic.h>
#include <stdint.h>

#define RANDOM_STEP UINT64_C (0x9e3779b97f4a7c15)

struct random {
  _Atomic uint64_t state;
};

static inline uint64_t
random_mix (uint64_t n)
{
  n = (n ^ n >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
  n = (n ^ n >> 27) * UINT64_C (0x94d049bb133111eb);
  return n ^ n >> 31;
}

/* Begin a sequence that depends on SEED and on STREAM, such as the number of a
 * device.  Other threads may draw meanwhile.
 */
static inline void
random_init (struct random *r, uint64_t seed, uint64_t stream)
{
  atomic_store_explicit (&r->state, random_mix (seed ^ random_mix (stream + 1)),
                         memory_order_relaxed);
}

/* Returns the next number of the sequence: any 64-bit number. */
static inline uint64_t
random_next (struct random *r)
{
  return random_mix (
      atomic_fetch_add_explicit (&r->state, RANDOM_STEP, memory_order_relaxed) +
      RANDOM_STEP);
}

#endif /* NULLBLK_RANDOM_H */
