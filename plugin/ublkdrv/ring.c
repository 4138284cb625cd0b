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

#include "common/common.h"
#include "ring.h"

/* Buffers that the kernel knows: those of the links of a queue, and of the
 * links that take their place.
 */
#define MAX_KNOWN 32

struct ring {
  struct io_uring uring;
  bool can_know;  /* it has room for buffers */
  uint32_t known; /* a bit for each index that is taken */
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

static int
tell_buffer (struct ring *r, unsigned index, void *buf, size_t size)
{
  const struct iovec iov = {.iov_base = buf, .iov_len = size};

  return io_uring_register_buffers_update_tag (&r->uring, index, &iov, NULL, 1);
}

int
ring_register_buffer (struct ring *r, void *buf, size_t size)
{
  int index;

  if (!r->can_know)
    r->can_know = io_uring_register_buffers_sparse (&r->uring, MAX_KNOWN) == 0;
  if (!r->can_know || r->known == UINT32_MAX)
    return -1;
  index = __builtin_ctz (~r->known);
  if (tell_buffer (r, index, buf, size) != 1)
    return -1;
  r->known |= UINT32_C (1) << index;
  return index;
}

void
ring_unregister_buffer (struct ring *r, int index)
{
  if (index < 0)
    return;
  tell_buffer (r, index, NULL, 0);
  r->known &= ~(UINT32_C (1) << index);
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
ring_get_sqe (struct ring *r, struct ring_event *event)
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
ring_poll (struct ring *r, int fd, unsigned events, struct ring_event *event)
{
  struct io_uring_sqe *sqe = ring_get_sqe (r, event);

  io_uring_prep_poll_add (sqe, fd, events);
  io_uring_sqe_set_data (sqe, event);
}

static bool
is_no_failure (int err)
{
  return err == -EINTR || err == -EAGAIN || err == -EBUSY || err == -ETIME;
}

int
ring_wait (struct ring *r, uint64_t nsec)
{
  struct __kernel_timespec ts = {.tv_sec = nsec / NSEC_PER_SEC,
                                 .tv_nsec = nsec % NSEC_PER_SEC};
  struct io_uring_cqe *cqe;
  int err;

  if (nsec == UINT64_MAX)
    err = io_uring_submit_and_wait (&r->uring, 1);
  else if (nsec == 0)
    err = io_uring_submit_and_get_events (&r->uring);
  else
    err = io_uring_submit_and_wait_timeout (&r->uring, &cqe, 1, &ts, NULL);
  if (err < 0 && !is_no_failure (err))
    return err;
  return io_uring_cq_ready (&r->uring) > 0;
}

bool
ring_is_taken (const struct ring *r)
{
  return io_uring_sq_ready (&r->uring) == 0;
}

void
ring_dispatch (struct ring *r)
{
  struct io_uring_cqe *cqe;
  struct ring_event *event;
  int result;

  while (io_uring_peek_cqe (&r->uring, &cqe) == 0) {
    event = io_uring_cqe_get_data (cqe);
    result = cqe->res;
    io_uring_cqe_seen (&r->uring, cqe);
    if (event != NULL)
      event->happened (event, result);
  }
}

int
ring_run (struct ring *r, bool wait)
{
  const int err = io_uring_submit_and_wait (&r->uring, wait ? 1 : 0);

  if (err < 0 && !is_no_failure (err))
    return err;
  ring_dispatch (r);
  return 0;
}
