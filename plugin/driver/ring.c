/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A thread's io_uring; see ring.h.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <liburing.h>

#include "ring.h"

struct ring {
  struct io_uring uring;
};

/* From what costs least to what every kernel has that has ublk. */
static int
set_up (struct io_uring *uring, unsigned entries, unsigned flags)
{
  static const unsigned modes[] = {
#ifdef IORING_SETUP_DEFER_TASKRUN
      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
#endif
#ifdef IORING_SETUP_SINGLE_ISSUER
      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN,
#endif
      0,
  };
  int r = -EINVAL;
  size_t i;

  for (i = 0; i < sizeof modes / sizeof modes[0] && r == -EINVAL; i++)
    r = io_uring_queue_init (entries, uring, flags | modes[i]);
  return r;
}

struct ring *
ring_create (unsigned entries, bool wide)
{
  struct ring *r = calloc (1, sizeof *r);
  int err;

  if (r == NULL)
    return NULL;
  err = set_up (&r->uring, entries, wide ? IORING_SETUP_SQE128 : 0);
  if (err < 0) {
    free (r);
    errno = -err;
    return NULL;
  }
  return r;
}

void
ring_destroy (struct ring *r)
{
  if (r == NULL)
    return;
  io_uring_queue_exit (&r->uring);
  free (r);
}

struct io_uring_sqe *
ring_request (struct ring *r, struct event *event)
{
  struct io_uring_sqe *sqe = io_uring_get_sqe (&r->uring);
  const bool wide = (r->uring.flags & IORING_SETUP_SQE128) != 0;

  while (sqe == NULL) {
    io_uring_submit (&r->uring);
    sqe = io_uring_get_sqe (&r->uring);
  }
  memset (sqe, 0, wide ? 2 * sizeof *sqe : sizeof *sqe);
  io_uring_sqe_set_data (sqe, event);
  return sqe;
}

void
ring_poll (struct ring *r, int fd, unsigned events, struct event *event)
{
  struct io_uring_sqe *sqe = ring_request (r, event);

  io_uring_prep_poll_add (sqe, fd, events);
  io_uring_sqe_set_data (sqe, event);
}

int
ring_run (struct ring *r, bool wait)
{
  struct io_uring_cqe *cqe;
  struct event *event;
  int result, err;

  err = io_uring_submit_and_wait (&r->uring, wait ? 1 : 0);
  if (err < 0 && err != -EINTR && err != -EAGAIN && err != -EBUSY)
    return err;
  while (io_uring_peek_cqe (&r->uring, &cqe) == 0) {
    event = io_uring_cqe_get_data (cqe);
    result = cqe->res;
    io_uring_cqe_seen (&r->uring, cqe);
    if (event != NULL)
      event->happened (event, result);
  }
  return 0;
}
