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
 * struct latency_state is what a device remembers from one request to the next;
 * its lock guards all of it, is held for some dozens of nanoseconds and takes
 * no other.  It is left alone where nothing has to be remembered: with
 * durations and stalls only.  struct latency_settings is part of the device's
 * settings, which never change; a change brings another struct, and holds for
 * requests whose completion it gives.
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

  /* What latency_settings_complete has found. */
  bool waits;     /* can any request have to wait? */
  bool remembers; /* does a request depend on those before it? */
};

struct latency_state {
  pthread_mutex_t lock;
  uint64_t origin;   /* when the device started: stalls count from there */
  uint64_t position; /* the end of the last read, write or zero */
  struct lanes lanes;
  struct throttle throttle;
};

struct latency_request {
  enum operation op;
  bool fua;         /* takes a flush, too: only where there is a write cache */
  uint32_t count;   /* bytes */
  uint64_t offset;  /* bytes */
  uint64_t arrival; /* a moment of the monotonic clock */
};

/* What a request has of the lanes and of the limits, to be given back if it is
 * given up.  It is of the lanes and limits that there were then.
 */
struct latency_slot {
  struct slot lane, limit;
  uint32_t lanes, limits; /* generations */
  enum operation op;
};

/* Once the settings are all there, and before they are used. */
void latency_settings_complete (struct latency_settings *s);

/* References to the durations. */
void latency_settings_ref (const struct latency_settings *s);
void latency_settings_unref (struct latency_settings *s);

/* Returns 0 or -ENOMEM.  NOW becomes the origin of stalls. */
int latency_init (struct latency_state *l, uint64_t now);
void latency_destroy (struct latency_state *l);

/* The moment at which R completes: its arrival, or later.  Two numbers of
 * RANDOM are used at most.  Where the settings remember, *slot is what it has.
 */
uint64_t latency_completion (struct latency_state *l,
                             const struct latency_settings *s,
                             struct random *random,
                             const struct latency_request *r,
                             struct latency_slot *slot);

/* A request is given up at NOW: others may have what is left of its time.  What
 * is in service on a lane is served.
 */
void latency_leave (struct latency_state *l, const struct latency_slot *slot,
                    uint64_t now);

/* Lanes begin anew: nothing is in service.  So do they and the limits. */
void latency_begin_lanes (struct latency_state *l);
void latency_begin_anew (struct latency_state *l);

#endif /* NULLBLK_LATENCY_H */
