/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The moment at which a request completes.
 *
 *     arrival --+-- throttle: until the limits have let it through --+
 *               |                                                    |
 *               +-- a lane is free -- no stall -- time of service ---+-- later
 *                                                                        one
 *
 * The two go side by side: a limit is on what enters the device, and a request
 * that a limit holds back keeps no lane busy.
 *
 * struct latency_state is what a device remembers from one request to the next.
 * Its lock guards all of it except `origin`, which never changes; it is held
 * for some dozens of nanoseconds, and no other lock is taken meanwhile.  If
 * only stalls and durations without seek: are set, nothing has to be
 * remembered, and the lock is not taken.  struct latency_settings is part of
 * one version of the device's settings, and never changes.  A live change makes
 * another struct, for requests that begin after it.
 */

#ifndef NULLBLK_LATENCY_H
#define NULLBLK_LATENCY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/common.h"
#include "distribution.h"
#include "lanes.h"
#include "throttle.h"

struct latency_settings {
  struct distribution *durations[NR_OPERATIONS]; /* NULL: none */
  uint64_t lanes;                                /* 0: as many as needed */
  struct stall stall;
  struct throttle_limits limits;
  uint64_t size; /* the device's, in bytes: the way of a full seek */

  /* Set by latency_settings_complete. */
  bool waits;     /* can any request have to wait? */
  bool remembers; /* does a request depend on those before it? */
};

struct latency_state {
  pthread_mutex_t lock;
  uint64_t origin;   /* when the device started: stalls count from there */
  uint64_t position; /* the end of the last request that moved the head */
  struct lanes lanes;
  struct throttle throttle;
};

struct latency_request {
  enum operation op;
  bool fua;         /* takes as long as a flush besides; false without cache */
  uint32_t count;   /* bytes */
  uint64_t offset;  /* bytes */
  uint64_t arrival; /* a moment of the monotonic clock */
};

/* The time of a lane and of a limit that a request has, to be given back if the
 * request is given up.  It is of lanes and limits of these generations.
 */
struct latency_slot {
  struct slot lane, limit;
  uint32_t lanes, limits; /* generations */
  enum operation op;
};

/* Set `waits` and `remembers`, once all other members are set. */
void latency_settings_complete (struct latency_settings *s);

/* Take, or let go of, a reference to each of the durations. */
void latency_settings_ref (const struct latency_settings *s);
void latency_settings_unref (struct latency_settings *s);

/* Returns 0 or -ENOMEM.  NOW becomes the origin of stalls. */
int latency_init (struct latency_state *l, uint64_t now);
void latency_destroy (struct latency_state *l);

/* Returns the moment at which R completes: its arrival, or later.  At most two
 * numbers of RANDOM are used.  With s->remembers, *slot becomes R's time of the
 * lanes and limits; otherwise SLOT may be NULL.
 */
uint64_t latency_completion (struct latency_state *l,
                             const struct latency_settings *s,
                             struct random *random,
                             const struct latency_request *r,
                             struct latency_slot *slot);

/* A request is given up at NOW: others may have what is left of its time.  A
 * lane that has begun to serve it by then stays busy to the end of its slot.
 */
void latency_leave (struct latency_state *l, const struct latency_slot *slot,
                    uint64_t now);

/* Forget all requests that are in service on lanes. */
void latency_begin_lanes (struct latency_state *l);

/* Forget all requests on lanes, and all that the limits have booked. */
void latency_begin_anew (struct latency_state *l);

#endif /* NULLBLK_LATENCY_H */
