/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A disk whose head serves one request at a time, and of those that wait the
 * one that it can begin to read or write first: the one with the least seek
 * plus rotation.
 *
 *     waiting  a  b  c                     the order of arrival; the first
 *              |     `---- least -.        `queue` of them are looked at
 *     head  [--x--][seek|rotation|data]
 *                  ^ free: now it is decided who is next
 *
 *     near       b   c head a              the same in the order of offsets
 *
 * Those that are looked at are gone through from the head outward, until the
 * seek alone takes longer than seek and rotation of the best one so far.
 *
 * A disk that sweeps takes those that it looks at in the order of offsets, from
 * the end that is nearer to the head, and looks at no other until all are done.
 *
 * A seek takes from `track` to `full`, by the square root of the distance.  The
 * platter turns evenly from moment 0 of the clock; a block lies where its
 * offset is in a rotation at `bytes_per_sec`.  A request that begins where the
 * last one ended needs neither seek nor rotation.
 *
 * Who is next is decided when the head is free, among those that have come by
 * then.  Nothing runs in the background: a request that has to wait for the
 * decision is told when that is, and asks again at that moment.  Whoever comes
 * or asks first has all decisions made that are due.  Where MAX_DISK_QUEUE
 * wait, the next decision is made ahead of time, so that fewer wait.
 *
 * A disk may complete several requests at once (`batch`): when the head has
 * served so many, or when no other waits.  Those that are served and not
 * complete, fewer than `batch`, ask at each decision, too.
 *
 * The lock of a device's struct latency_state guards this, but for what says
 * otherwise; drive.c calls it.
 */

#ifndef NULLBLK_DISK_H
#define NULLBLK_DISK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/common.h"
#include "request.h"

/* Numbers below it are in an unsigned char. */
#define MAX_DISK_QUEUE 256

/* DISK_PASSES times `queue` other requests may go before the one that has
 * waited longest; then that is next.  Without an end to that, one stream in
 * sequence would stop all others for ever: what goes on at the head costs
 * nothing.
 */
#define DISK_PASSES 8

struct disk_settings {
  uint64_t track, full;   /* nanoseconds */
  uint64_t rpm;           /* rotations a minute; 0: there is no disk */
  uint64_t bytes_per_sec; /* 0: bytes take no time */
  uint64_t queue;         /* requests that are looked at; 0: one */
  uint64_t nearest_from;  /* while fewer wait, the oldest is served, and not
                           * the nearest; 0: always the nearest */
  uint64_t batch;         /* so many are completed together; 0: one */
  uint64_t sweep;         /* 1: all that are looked at are served in the order
                           * of offsets, before others are looked at */

  /* Set by disk_settings_complete. */
  uint64_t size;           /* of the disk, in bytes: the distance of a full
                            * seek */
  uint64_t rotation_bytes; /* that pass in a rotation; 0: not known */
  uint32_t rotation;       /* nanoseconds */
  double seek;             /* over N bytes a seek takes track + seek * sqrt (N)
                            * nanoseconds */
  double reach;            /* in track + T nanoseconds a seek comes
                            * reach * T * T bytes far */
};

/* A slot is where a request finds what becomes of it.  The slot stays where it
 * is in memory until disk_destroy, and is looked at without the lock, too: see
 * disk_waits.
 */
struct disk_slot {
  _Atomic uint64_t ticket; /* the number of its ticket; 0: it is free */
  _Atomic uint64_t done;   /* once it is decided; 0 before */
  struct disk_slot *next;  /* another free one, if it is free; or NULL */
};

/* A ticket is what a request asks with. */
struct disk_ticket {
  struct disk_slot *slot;
  uint64_t number; /* 0: it does not have to ask */
};

/* A request that waits for the decision who is served next. */
struct disk_request {
  struct disk_ticket ticket;
  uint64_t offset, arrival;
  uint32_t count; /* bytes */
  uint32_t angle; /* nanoseconds of a rotation */
};

/* All zeroes are an idle disk. */
struct disk_head {
  uint64_t free_at;  /* when the head is */
  uint64_t position; /* of the head */
  uint64_t tickets;  /* that were given */
  uint64_t oldest;   /* the number of the ticket that waits longest */
  uint64_t passed;   /* so often others went before it */
  uint32_t n;        /* requests with a ticket */

  /* Requests that wait are in places of `requests`: the numbers of these places
   * are in `waiting` by arrival, and behind nr_waiting are those of free
   * places.  The first nr_near requests are looked at: the numbers of their
   * places are in `near` by offset, and at the same offset by arrival.
   */
  uint32_t nr_waiting, nr_near;
  uint32_t near_head; /* where in `near` the head is, or not far from it */
  struct disk_request requests[MAX_DISK_QUEUE];
  uint8_t waiting[MAX_DISK_QUEUE], near[MAX_DISK_QUEUE];

  /* Tickets of those that were served, and are not complete yet. */
  uint32_t nr_served;
  struct disk_ticket served[MAX_DISK_QUEUE];

  struct disk_slots *slots; /* all of them */
  struct disk_slot *next;   /* the first free one, or NULL */
};

/* Set the last members, once all others are set, for a disk of SIZE bytes. */
void disk_settings_complete (struct disk_settings *s, uint64_t size);

/* A request comes.  Returns the moment at which it is done, with ticket->number
 * 0; or the moment at which it is to ask.
 */
uint64_t disk_enter (struct disk_head *d, const struct disk_settings *s,
                     const struct latency_request *r,
                     struct disk_ticket *ticket);

/* Make the decisions that were due before NOW. */
void disk_decide_before (struct disk_head *d, const struct disk_settings *s,
                         uint64_t now);

/* Ask at NOW, not before the moment that was told.  The same is returned as by
 * disk_enter.
 */
uint64_t disk_ask (struct disk_head *d, const struct disk_settings *s,
                   uint64_t now, struct disk_ticket *ticket);

/* Is it not decided yet when the request with this ticket is done?  This needs
 * no lock, as only who has the ticket ends it.
 */
static inline bool
disk_waits (struct disk_ticket ticket)
{
  return atomic_load_explicit (&ticket.slot->done, memory_order_relaxed) == 0 &&
         atomic_load_explicit (&ticket.slot->ticket, memory_order_relaxed) ==
             ticket.number;
}

/* The request is cancelled, if it has a ticket. */
void disk_cancel (struct disk_head *d, struct disk_ticket ticket);

/* Returns how many nanoseconds it takes from MOMENT until the platter brings
 * the block at OFFSET to the head.
 */
uint64_t disk_rotational_latency (const struct disk_settings *s,
                                  uint64_t offset, uint64_t moment);

/* Returns how many nanoseconds the head takes, without the bytes, for so many
 * requests at random places, one after the other in the order of their places.
 */
uint64_t disk_drain_nsec (const struct disk_settings *s, double requests);

/* All requests are gone.  disk_destroy frees the memory, too. */
void disk_reset (struct disk_head *d);
void disk_destroy (struct disk_head *d);

extern const struct parts disk_parts;

#endif /* NULLBLK_DISK_H */
