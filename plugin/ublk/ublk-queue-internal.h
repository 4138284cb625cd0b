/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A queue of a block device: a thread with a ring and a connection to the
 * device.  Requests that wait do so without a thread: they are in a heap, by
 * the moment at which they are to be answered.
 *
 *     ublk-queue.c     the thread: go_on, over and over
 *        │               tells what has come in the ring, then sleeps until
 *        │               the first moment, or until more comes
 *        v
 *     ublk-request.c   what the kernel asks, done by functions of device.h
 *        │               port ── begin ─> device_... ─────────> answer
 *        v                                   │                    ^
 *     ublk-waiting.c                         │ defer, set_aside,  │ due
 *                                            v park               │
 *                        heap [first, ..., last] ──its moment─────┤
 *                          ^        │ set aside: hastened, or     │
 *                          │        v its time is up              │
 *                          └──── ready ─────────retry─────────────┘
 *
 *     any thread ──> hastened [tag, tag, ...] ── eventfd ─> ends the sleep
 *
 * A request that hangs, by a fault rule, is in the heap, too, and its moment
 * never comes: it is served when it is hastened.  A request keeps the thread
 * only where there is no memory to set an early write aside.
 *
 * All is the thread's own, except where something else is said.  ublk-queue.c
 * and the files named here include this, and ublk.c.
 */

#ifndef NULLBLK_UBLK_QUEUE_INTERNAL_H
#define NULLBLK_UBLK_QUEUE_INTERNAL_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/device.h"
#include "ublkdrv/ublkdrv.h"

struct ublk_queue;

/* A tag, and the request that it stands for. */
struct tag {
  struct port_request at_port;
  struct ublk_queue *queue;
  int result;      /* what the kernel is told: bytes, or a negative errno */
  uint64_t sector; /* and where an append has written */
  struct store_mover mover; /* of its data */
  bool has_zeroes; /* a read that the device answers with queue.zeroes */

  /* Of one that waits. */
  int (*due) (void *request, uint64_t *moment,
              bool gone); /* NULL: it does not */
  /* Of one that is set aside, until its last retry is over. */
  bool (*retry) (void *request, const void *payload, uint64_t *moment);
  uint64_t moment, spin;
  unsigned place; /* in the heap */
  void *payload;  /* of one that is set aside; freed by the queue */
  bool is_parked; /* it hangs: device_resume_parked does the rest of it */
  bool is_put_in; /* in the heap, or ready */
  bool is_ready;  /* to be tried */
  struct tag *next_ready;
  struct tag *next_hastened;
  atomic_bool is_hastened; /* it is among those */
  _Alignas(max_align_t) char request[MAX_PARKED_COPY];
};

struct ublk_queue {
  struct device *device;
  const struct device_plan *plan;
  struct connection *connection;
  int fd; /* of /dev/ublkcN */
  unsigned index;
  pthread_t thread;
  sem_t is_ready;
  int unready; /* 0, or why it cannot serve; known when it is ready */

  struct ring *ring;
  struct port port;
  int error;        /* the ring's */
  uint64_t arrived; /* when what the ring tells had come, clock_now */

  /* Reads of a null device take zeroes from here; they are all 0 except while
   * one is served whose data is corrupted.
   */
  char *zeroes;

  void *buffer; /* of plan->max_io, for the data of what is served now */

  struct tag **heap;
  unsigned nr_in_heap;
  struct tag *ready, **last_ready;

  /* Any thread. */
  _Atomic (struct tag *) hastened;
  atomic_bool is_over, has_left;
  int wake_fd;

  uint64_t wakes;
  struct ring_event wake;
  struct tag tags[];
};

/*---------------------------------------------------------------------*/
/* ublk-queue.c */

/* Begin to serve queue INDEX of the device that PLAN says, at FD, by a
 * connection of FRONT_END to D; FD, PLAN and FRONT_END outlive the queue.
 * Returns NULL and the reason in *why.
 */
struct ublk_queue *ublk_queue_start (struct device *d,
                                     const struct device_plan *plan, int fd,
                                     unsigned index,
                                     const struct front_end *front_end,
                                     struct message *why);

/* From now on all requests fail, those that wait included.  Any thread. */
void ublk_queue_give_up (struct ublk_queue *q);

/* End without the kernel, which then fails all requests.  Any thread. */
void ublk_queue_leave (struct ublk_queue *q);

/* Wait for its end, which comes when the kernel has stopped the device, or
 * refuses what the queue tells it; and free it.  Any other thread.
 */
void ublk_queue_join (struct ublk_queue *q);

/* Have Q look at what has been hastened.  Any thread. */
void ublk_queue_wake (struct ublk_queue *q);

/* The queue whose thread this is, or NULL. */
struct ublk_queue *ublk_queue_of_thread (void);

/*---------------------------------------------------------------------*/
/* ublk-request.c */

/* Serve what the kernel asks. */
void tag_begin (struct port_request *at_port);

/* Serve one that has hung; GONE: it is given up. */
void tag_go_on (struct tag *t, bool gone);

/* Fill in the functions by which a device calls back while it is served. */
void tag_front_end (struct front_end *front_end);

/* What the kernel is told of a request that has failed with ERR, a negative
 * errno of the device's.
 */
int tag_error (const struct tag *t, int err);

/*---------------------------------------------------------------------*/
/* ublk-waiting.c */

/* See front_end: T waits, when tag_put_in is called for it, if these have
 * said so.
 */
bool tag_defer (struct tag *t, uint64_t deadline, uint64_t spin,
                int (*due) (void *request, uint64_t *moment, bool gone),
                const void *request, size_t size);
void *tag_set_aside (struct tag *t, uint64_t until, uint64_t spin,
                     bool (*retry) (void *request, const void *payload,
                                    uint64_t *moment),
                     int (*due) (void *request, uint64_t *moment, bool gone),
                     const void *request, size_t size, const void *payload,
                     size_t n);
void *tag_park (struct tag *t, const void *request, size_t size);
void tag_put_in (struct tag *t);

/* T does not wait for what it was parked for any more. */
void tag_let_go (struct tag *t);

/* See front_end.  Any thread. */
void tag_hasten (void *request);

/* Answer what is due at UNTIL, at NOW, and try what is ready. */
void ublk_queue_settle (struct ublk_queue *q, uint64_t now, uint64_t until);

/* Give up all that waits. */
void ublk_queue_give_up_all (struct ublk_queue *q);

/* When is something to be done again?  UINT64_MAX: nothing waits.  *spin is as
 * for waiter_wait.
 */
uint64_t ublk_queue_first_moment (struct ublk_queue *q, uint64_t *spin);

#endif /* NULLBLK_UBLK_QUEUE_INTERNAL_H */
