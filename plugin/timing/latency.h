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
 * that a limit holds back keeps no lane busy.  Requests in flight (load.h), and
 * the mechanisms of drives (drive.h), may add to the time of service.
 *
 * struct latency_state is what a device remembers from one request to the next.
 * Its lock guards all of it except `origin`, which never changes, and the
 * atomics that drive_ask_in_vain reads.  The lock is held for some dozens of
 * nanoseconds; with a disk, for as long as it takes to look at up to
 * MAX_DISK_QUEUE requests (disk.h) for each decision that is due.  No other
 * lock is taken meanwhile.  If only stalls and durations without seek:
 * are set, nothing has to be remembered, and the lock is not taken.  struct
 * latency_settings is part of one version of the device's settings, and never
 * changes.  A live change makes another struct, for requests that begin after
 * it.
 */

#ifndef NULLBLK_LATENCY_H
#define NULLBLK_LATENCY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/common.h"
#include "distribution.h"
#include "lanes.h"
#include "drive.h"
#include "load.h"
#include "request.h"
#include "size-latency.h"
#include "throttle.h"

struct latency_settings {
  struct distribution *durations[NR_OPERATIONS]; /* NULL: none */
  uint64_t lanes;                                /* 0: as many as needed */
  struct stall stall;
  struct throttle_limits limits;
  struct size_latency read_size_latency,
      write_size_latency; /* how much longer large ones take */
  struct size_latency read_load_latency,
      write_load_latency; /* how much longer a request takes for each
                           * read (write) in flight, by the size of the
                           * latter */
  struct drive_settings drive;
  uint64_t size; /* the device's, in bytes: the distance of a full seek */

  /* Set by latency_settings_complete. */
  bool waits;     /* can any request have to wait? */
  bool remembers; /* does a request depend on those before it? */
  bool has_load;  /* do requests in flight slow down others? */
};

struct latency_booking;

struct latency_state {
  pthread_mutex_t lock;
  uint64_t origin;   /* when the device started: stalls count from there */
  uint64_t position; /* the end of the last request that moved the head */
  struct lanes lanes;
  struct throttle throttle;
  struct load load;
  struct drive drive;

  /* Copies of the bookings that add to `load` and wait for the head, in no
   * order.
   */
  size_t nr_waiting, room_waiting;
  struct latency_booking *waiting;

  /* By the settings in force, see latency_dirty. */
  bool is_buffered, is_protected;
};

/* What a request was told, and what it gives back if it is cancelled: the time
 * of a lane and of a limit, what it adds to the times of others, and what it
 * has of mechanisms of drives.  The generations say whether the first three are
 * still valid.
 */
struct latency_booking {
  struct booking lane, limit;
  struct drive_booking drive;
  uint64_t through; /* when the limits have let it through */
  uint64_t told;    /* the moment that was told last */
  uint64_t load;    /* nanoseconds, see load_begin; 0: it adds nothing */
  uint32_t lanes_generation, limits_generation, load_generation;
  enum operation op;
};

/* Set the last members, once all others are set. */
void latency_settings_complete (struct latency_settings *s);

/* Take, or let go of, a reference to each of the distributions. */
void latency_settings_ref (const struct latency_settings *s);
void latency_settings_unref (struct latency_settings *s);

/* Returns 0 or -ENOMEM.  NOW becomes the origin of stalls. */
int latency_init (struct latency_state *l, uint64_t now);
void latency_destroy (struct latency_state *l);

/* Returns the moment at which R completes: its arrival, or later; or, where
 * latency_asks says so, that at which it has to ask.  At most four numbers of
 * RANDOM are used.  With s->waits and s->remembers, *booking becomes R's time
 * of the lanes and limits; otherwise BOOKING may be NULL.
 */
uint64_t latency_completion (struct latency_state *l,
                             const struct latency_settings *s,
                             struct random *random,
                             const struct latency_request *r,
                             struct latency_booking *booking);

/* Does a request have to ask, as it is not known yet when it completes? */
static inline bool
latency_asks (const struct latency_booking *booking)
{
  return booking->drive.ticket.number != 0;
}

/* A request asks at NOW, by the settings that it came with.  The same is
 * returned as by latency_completion.
 */
uint64_t latency_ask (struct latency_state *l, const struct latency_settings *s,
                      struct latency_booking *booking, uint64_t now);

/* A request is cancelled at NOW: others may have what is left of its time.  A
 * lane that has begun to serve it by then stays busy to the end of its booking.
 */
void latency_cancel (struct latency_state *l,
                     const struct latency_booking *booking, uint64_t now);

/* S is in force from now on.  The state stays. */
void latency_install (struct latency_state *l,
                      const struct latency_settings *s);

/* Returns how many of the bytes that were written last a power cut can lose at
 * NOW: with power-loss protection 0; otherwise those that are dirty in the
 * buffer, or UINT64_MAX where there is none.  No lock is taken but that of L.
 */
uint64_t latency_dirty (struct latency_state *l, uint64_t now);

/* Forget all requests that are in service on lanes. */
void latency_reset_lanes (struct latency_state *l);

/* The power was off: forget all requests in flight and on lanes, all that the
 * limits have booked, and what was in the buffer.
 */
void latency_reset (struct latency_state *l);

#endif /* NULLBLK_LATENCY_H */
