/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The io_uring of a thread: each request in it has an event, whose function
 * `happened` is called when the request is done.
 */

#ifndef NULLBLK_UBLKDRV_RING_H
#define NULLBLK_UBLKDRV_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct io_uring;
struct io_uring_sqe;
struct ring;

/* The TYPE that the event, or another member, at POINTER is part of. */
#define CONTAINER_OF(type, member, pointer)                                    \
  ((type *) ((char *) (pointer) -offsetof (type, member)))

struct ring_event {
  /* RESULT is what the kernel says of the request: often a negative errno. */
  void (*happened) (struct ring_event *event, int result);
};

/* Make a ring for ENTRIES requests that are submitted at once; entries that are
 * WIDE have 128 bytes.  Only the thread that makes a ring uses it.  Returns
 * NULL and errno on failure.
 */
struct ring *ring_create (unsigned entries, bool wide);
void ring_destroy (struct ring *r);

/* Returns an entry that the caller fills: all of it is 0, except that EVENT is
 * its user data.  It is submitted by ring_run, or before, by a ring_get_sqe
 * that finds the ring full.
 */
struct io_uring_sqe *ring_get_sqe (struct ring *r, struct ring_event *event);

/* Dispatch EVENT, once, when FD has one of EVENTS, which are those of poll. */
void ring_poll (struct ring *r, int fd, unsigned events,
                struct ring_event *event);

/* Have the kernel know SIZE bytes at BUF: then reads into them and writes from
 * them (IORING_OP_READ_FIXED, IORING_OP_WRITE_FIXED) copy from page to page,
 * and need not look at the program's memory each time.  Returns the index for
 * these, or -1 where that is not possible.  ring_unregister_buffer has the
 * kernel forget them, and does nothing if INDEX is -1; so does ring_destroy.
 */
int ring_register_buffer (struct ring *r, void *buf, size_t size);
void ring_unregister_buffer (struct ring *r, int index);

/* Submit all, wait for at least one event if it is to WAIT, and dispatch all
 * events that there are.  Returns 0 or a negative errno.
 */
int ring_run (struct ring *r, bool wait);

/* Do as ring_run in two steps, so that there is a moment between them.
 *
 * ring_wait submits all, and waits for one event for NSEC nanoseconds at most,
 * or, where that is UINT64_MAX, as long as it takes.  Returns 1 if there is an
 * event; 0 if there is none, also where a signal has ended the wait; or a
 * negative errno.  ring_dispatch dispatches all events that there are.
 */
int ring_wait (struct ring *r, uint64_t nsec);
void ring_dispatch (struct ring *r);

/* Has the kernel taken all that was submitted?  As a rule, after ring_wait. */
bool ring_is_taken (const struct ring *r);

#endif /* NULLBLK_UBLKDRV_RING_H */
