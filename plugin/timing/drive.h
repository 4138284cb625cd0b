/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What real drives do beyond latencies, lanes and limits.  Each mechanism has a
 * file of its own and can be used alone:
 *
 *     buffer.c       a write-back buffer, and flushes that wait for it
 *     credits.c      burst credits, and requests that count by size
 *     flash.c        dies, reads that meet program operations, and collection
 *     disk.c         a head, and a queue that is served out of order
 *
 * In a stall (lanes.h) none of them goes on, except for the credits, which are
 * limits: they wait as a request does that a stall interrupts.  So all of their
 * moments are of a clock that stands still in stalls.  Whoever calls the
 * functions below has moments of the monotonic clock only.
 *
 * struct drive_settings is part of the settings, and struct drive of a device's
 * struct latency_state, whose lock guards it.  latency.c calls drive_serve only
 * where `any` is set.
 */

#ifndef NULLBLK_DRIVE_H
#define NULLBLK_DRIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"
#include "common/common.h"
#include "credits.h"
#include "disk.h"
#include "distribution.h"
#include "flash.h"
#include "gaps.h"
#include "lanes.h"
#include "request.h"

/* Runs of writes that are told apart. */
#define DRIVE_RUNS 8

struct drive_settings {
  struct buffer_settings buffer;
  struct distribution *drain; /* of a write from the buffer; NULL: no time */
  struct distribution *pause; /* how long the medium pauses, each time that
                               * so many bytes were written; NULL: never */
  uint64_t pause_every;       /* bytes; 0: as many as the buffer has */
  struct io_count_settings io_count;
  struct credit_settings io_credits, byte_credits;
  struct flash_settings flash;
  struct collection_settings collection;
  struct disk_settings disk;

  uint64_t cache_size; /* of the volatile write cache; 0: none */
  uint64_t size;       /* the device's, in bytes */

  /* Set by drive_settings_complete. */
  bool has_any;         /* is there any mechanism? */
  uint64_t buffer_size; /* no more than the volatile write cache has; 0: none,
                         * or it drains in no time */
  bool drains_to_disk;  /* does the buffer, in the order of offsets? */
};

/* The clock that stands still in stalls.  When the stalls change it goes on
 * from where it is, and is then `shift` ahead of what stall_worked says.
 */
struct work_clock {
  struct stall stall;
  uint64_t origin; /* of the stalls */
  uint64_t shift;  /* nanoseconds, modulo 2^64 */
};

/* What was dirty in the buffer when the last write came in, as far as it
 * matters to a disk that it drains to.
 */
struct dirty {
  double seeks; /* writes to which the head has to seek */
  double extra; /* bytes that collection adds */

  /* Some runs of bytes that are dirty; the first is the run that was written
   * last.  What touches one of them needs no seek.  A run that is left only in
   * part counts as that part of a run: so what touches it needs the rest of a
   * seek.
   */
  uint32_t nr_runs;
  struct {
    uint64_t from, to; /* bytes */
    double left;       /* how much of the run is dirty, from 0 to 1 */
  } runs[DRIVE_RUNS];
};

struct drive {
  struct work_clock clock;
  uint32_t generation; /* grows when drive_reset forgets all requests */
  struct buffer buffer;
  uint64_t drained_to; /* the end of the last write that was buffered */
  uint64_t unpaused;   /* bytes that were buffered since the last pause */
  struct dirty dirty;
  struct io_count io_count;
  struct credits io_credits, byte_credits;
  struct flash flash;
  struct collection collection;
  struct disk_head disk;

  /* The moment of the monotonic clock before which the head decides nothing; 0
   * where it is not known.  It is written with the lock held, after all that
   * was decided, and read without the lock.
   */
  _Atomic uint64_t decides_at;
};

/* What a request has of the mechanisms, to be given back if it is cancelled. */
struct drive_booking {
  uint32_t generation;
  struct buffer_booking buffer;
  double seeks, extra; /* what it has added to what is dirty */
  struct flash_booking flash;
  uint64_t credits_at; /* the moment of the monotonic clock at which it has its
                        * credits */
  uint32_t operations, bytes; /* the credits */
  struct disk_ticket
      ticket;               /* number 0: it is known when the request is done */
  uint64_t after_disk_nsec; /* what comes after the disk */
};

/* What a request is without the mechanisms of drives. */
struct drive_input {
  uint64_t done; /* the moment at which it would be over, stalls included */
  uint64_t flush_nsec; /* what flush-latency has given a flush, or a request
                        * with FUA; 0 for all others */
  uint32_t operations; /* what it counts, see drive_operations */
  uint64_t factor;     /* thousandths, see drive_factor */
};

/* Set the last members, once all others are set. */
void drive_settings_complete (struct drive_settings *s);

/* Returns how many operations a request counts as, for limits and credits. */
uint32_t drive_operations (struct drive *m, const struct drive_settings *s,
                           const struct latency_request *r);

/* Returns the factor, in thousandths, of what a request costs the medium: 1000
 * is as it costs otherwise.  The medium is that behind the buffer, or the dies
 * if writes take them any time, or, where there is neither, what serves the
 * request.
 */
uint64_t drive_factor (struct drive *m, const struct drive_settings *s,
                       const struct latency_request *r);
bool drive_has_medium (const struct drive_settings *s);

/* Returns the moment, served.done or later, at which R completes, with STALL in
 * force; or, with a ticket, at which it has to ask.  At most two numbers
 * of RANDOM are used.
 */
uint64_t drive_serve (struct drive *m, const struct drive_settings *s,
                      const struct stall *stall, struct random *random,
                      const struct latency_request *r,
                      struct drive_input served, struct drive_booking *booking);

/* A request with a ticket asks at NOW, not before the moment that it was told.
 * Returns what drive_serve returns.
 */
uint64_t drive_ask (struct drive *m, const struct drive_settings *s,
                    uint64_t now, struct drive_booking *booking);

/* Returns what drive_ask would, without the lock, if that is a moment at which
 * the request has to ask again; or 0 if only drive_ask can tell.  Most requests
 * ask in vain: all that wait for a head ask each time it is free, and one of
 * them is next.
 */
static inline uint64_t
drive_ask_in_vain (const struct drive *m, uint64_t now,
                   const struct drive_booking *booking)
{
  /* Acquire: this thread sees all decisions that were made before decides_at
   * was written.
   */
  const uint64_t next =
      atomic_load_explicit (&m->decides_at, memory_order_acquire);

  return now < next && disk_waits (booking->ticket)
             ? max (booking->credits_at,
                    moment_after (next, booking->after_disk_nsec))
             : 0;
}

/* Have the head decide all that was due before NOW, if S has a disk. */
void drive_decide_before (struct drive *m, const struct drive_settings *s,
                          uint64_t now);

/* Returns when a request with a ticket completes, as drive_ask would tell it;
 * or 0 if the head has not decided that.  The ticket stays.
 */
uint64_t drive_decided (const struct drive *m,
                        const struct drive_booking *booking);

/* Returns how many bytes are dirty in the buffer at NOW. */
uint64_t drive_dirty (const struct drive *m, uint64_t now);

/* A request is cancelled at NOW. */
void drive_cancel (struct drive *m, const struct drive_booking *booking,
                   uint64_t now);

/* The power was off: forget what does not outlast that. */
void drive_reset (struct drive *m);

/* Free the memory. */
void drive_destroy (struct drive *m);

#endif /* NULLBLK_DRIVE_H */
