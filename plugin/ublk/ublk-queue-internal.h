/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A queue of a block device: a thread with a ring and a connection to the
 * device.  Requests that wait do so without a thread: they are in a heap, by
 * the moment at which they are to be answered.
 *
 *     ublk-queue.c     the thread: go_on, over and over
 *        │               dispatches what the ring has, then sleeps until
 *        │               the first moment, or until more comes
 *        │ ublk-poll.c   or looks for more without a sleep
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
 * never comes: it is served when it is hastened.  Of requests that wait, these
 * keep the thread: one that waits for another request to its zone, or for room
 * among the open zones; and an early write, where there is no memory to set it
 * aside.
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

#include "common/common.h"
#include "device/device.h"
#include "ublkdrv/ublkdrv.h"

struct ublk_queue;

/* The request that a tag of the queue has; it is used again and again. */
struct ublk_request {
  struct port_request at_port;
  struct ublk_queue *queue;
  int result; /* what the kernel is told: bytes, or a negative errno */
  uint64_t
      sector; /* where an append has written; the kernel is told that, too */
  struct store_mover mover; /* moves its data */
  bool has_zeroes; /* it is a read that the device answers with queue.zeroes */

  /* While it waits: as for front_end.defer.  NULL: it does not wait. */
  int (*due) (void *request, uint64_t *moment, bool gone);
  /* While it is set aside, until its last retry is over. */
  bool (*retry) (void *request, const void *payload, uint64_t *moment);
  uint64_t moment, spin; /* when it is due; nanoseconds to spin before that */
  unsigned place;        /* its index in the heap */
  void *payload;         /* while it is set aside; freed by the queue */
  bool is_parked; /* it hangs: device_resume_parked does the rest of it */
  bool
      is_put_in; /* it is in the heap, or in the list of those that are ready */
  bool is_ready; /* it is to be tried again at once */
  struct ublk_request *next_ready;
  struct ublk_request *next_hastened;
  atomic_bool is_hastened; /* it is in that list */
  _Alignas(max_align_t) char request[MAX_PARKED_COPY];
};

/* What the queues of a server know together about polling for the next request
 * of a program that has one at a time.
 */
struct ublk_poll {
  uint64_t longest;       /* nanoseconds; 0: no queue polls */
  uint64_t (*now) (void); /* the clock, and the CPU that was used: as for */
  uint64_t (*cpu) (void); /* pace_count */
  pthread_mutex_t lock;   /* guards `pace` */
  struct pace pace;
  atomic_bool is_together; /* `pace` was last told that requests come so */
  _Atomic (const struct ublk_queue *) last; /* that has had a request */
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

  struct ublk_poll *poll;
  unsigned requests;      /* that have come since it waited last */
  enum poll_end poll_end; /* how the last poll ended */

  /* Reads of a null device, and of holes, take zeroes from here; they are all 0
   * except while a read is served whose data is corrupted.
   */
  char *zeroes;

  void *buffer; /* of plan->max_io, for the data of what is served now */

  struct ublk_request **heap;
  unsigned nr_in_heap;
  struct ublk_request *ready, **last_ready;

  /* Any thread. */
  _Atomic (struct ublk_request *) hastened;
  atomic_bool fails_all, has_left;
  int wake_fd;

  uint64_t wakes;
  struct ring_event wake;
  struct ublk_request tags[];
};

/*---------------------------------------------------------------------*/
/* ublk-queue.c */

/* Begin to serve queue INDEX of the device that PLAN says, at FD, by a
 * connection of FRONT_END to D; FD, PLAN, FRONT_END and POLL, which queues
 * share, outlive the queue.  Returns NULL and the reason in *why.
 */
struct ublk_queue *
ublk_queue_start (struct device *d, const struct device_plan *plan, int fd,
                  unsigned index, const struct front_end *front_end,
                  struct ublk_poll *poll, struct message *why);

/* From now on all requests fail, those that wait included.  Any thread. */
void ublk_queue_fail_all (struct ublk_queue *q);

/* End without the kernel, which then fails all requests.  Any thread. */
void ublk_queue_leave (struct ublk_queue *q);

/* Wait for its end, which comes when the kernel has stopped the device, or
 * refuses what the queue tells it, or after ublk_queue_leave, or when the ring
 * fails; and free it.  Any other thread.
 */
void ublk_queue_join (struct ublk_queue *q);

/* Have Q look at what has been hastened.  Any thread. */
void ublk_queue_wake (struct ublk_queue *q);

/* The queue whose thread this is, or NULL. */
struct ublk_queue *ublk_queue_of_thread (void);

/*---------------------------------------------------------------------*/
/* ublk-poll.c */

/* For a server that has not begun to serve.  NULLBLK_BATCH_POLL of the
 * environment says how long to poll; the default is 100 us.
 */
void ublk_poll_init (struct ublk_poll *p);

/* Wait until something has come: as ring_wait without a limit, but polling
 * first where that pays.  Only for a queue in which no request waits for its
 * moment.
 */
int ublk_queue_wait (struct ublk_queue *q);

/*---------------------------------------------------------------------*/
/* ublk-request.c */

/* Serve what the kernel asks. */
void ublk_request_begin (struct port_request *at_port);

/* Serve a request that has hung; if GONE, it is cancelled. */
void ublk_request_go_on (struct ublk_request *t, bool gone);

/* Fill in the functions by which a device calls back while it is served. */
void ublk_request_front_end (struct front_end *front_end);

/* Returns the error by which the kernel learns that a request has failed with
 * ERR; both are negative errnos.
 */
int ublk_request_error (const struct ublk_request *t, int err);

/*---------------------------------------------------------------------*/
/* ublk-waiting.c */

/* As defer, set_aside and park of struct front_end.  After one of these has
 * agreed, T waits as soon as ublk_request_put_in is called for it.
 */
bool ublk_request_defer (struct ublk_request *t, uint64_t due_at, uint64_t spin,
                         int (*due) (void *request, uint64_t *moment,
                                     bool gone),
                         const void *request, size_t size);
void *ublk_request_set_aside (
    struct ublk_request *t, uint64_t until, uint64_t spin,
    bool (*retry) (void *request, const void *payload, uint64_t *moment),
    int (*due) (void *request, uint64_t *moment, bool gone),
    const void *request, size_t size, const void *payload, size_t n);
void *ublk_request_park (struct ublk_request *t, const void *request,
                         size_t size);
void ublk_request_put_in (struct ublk_request *t);

/* T does not wait for what it was parked for any more. */
void ublk_request_let_go (struct ublk_request *t);

/* See front_end.  Any thread. */
void ublk_request_hasten (void *request);

/* Answer what is due at UNTIL, at NOW, and try what is ready. */
void ublk_queue_settle (struct ublk_queue *q, uint64_t now, uint64_t until);

/* Cancel all requests that wait. */
void ublk_queue_cancel_waiting (struct ublk_queue *q);

/* When is something to be done again?  UINT64_MAX: nothing waits.  *spin is as
 * for waiter_wait.
 */
uint64_t ublk_queue_first_moment (struct ublk_queue *q, uint64_t *spin);

#endif /* NULLBLK_UBLK_QUEUE_INTERNAL_H */
