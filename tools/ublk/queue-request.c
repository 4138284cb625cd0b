/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The steps that all requests of a queue share: to answer the kernel, to move
 * data to the kernel and from it, and to ask the server for something.
 */

#include <config.h>

#include <errno.h>

#include "queue-internal.h"

void
request_answer_at (struct queue_request *r, int result, uint64_t sector)
{
  request_note_answer (r, result);
  port_answer (&r->at_port, result, sector);
}

void
request_answer (struct queue_request *r, int result)
{
  request_answer_at (r, result, 0);
}

static int
from_kernel (struct io *io, void *buf, size_t n, size_t at)
{
  struct queue_request *r = CONTAINER_OF (struct queue_request, io, io);

  return port_take (&r->at_port, buf, n, r->skipped + at);
}

static int
to_kernel (struct io *io, void *buf, size_t n, size_t at)
{
  struct queue_request *r = CONTAINER_OF (struct queue_request, io, io);

  return r->compares ? request_compare (r, buf, n, at)
                     : port_put (&r->at_port, buf, n, at);
}

/* A server that answers ESHUTDOWN counts as away: it is about to end. */
static void
is_done (struct io *io, int err)
{
  struct queue_request *r = CONTAINER_OF (struct queue_request, io, io);
  struct queue *q = r->queue;

  r->awaits_answer = false;
  if (err == -ENOTCONN || err == -ESHUTDOWN) {
    if (request_wait_for_connection (r))
      return;
    if (r->is_late)
      err = -ETIMEDOUT;
  }
  else if (!q->is_disconnected)
    q->died_at = 0;
  if (err == 0 && !io->fua && io->kind != IO_READ && io->kind != IO_FLUSH)
    q->changes++;
  r->done (io, err);
}

void
request_submit_again (struct queue_request *r)
{
  r->awaits_answer = true;
  r->is_late = false;
  r->sent_at = r->queue->now;
  queue_count_second (r->queue);
  link_submit (*r->link, &r->io);
}

void
request_submit (struct queue_request *r, struct link *link, enum io_kind kind,
                uint64_t offset, uint64_t count, void *buf,
                void (*done) (struct io *io, int err))
{
  struct queue *q = r->queue;

  r->link = link == q->zones    ? &q->zones
            : link == q->config ? &q->config
                                : &q->data;
  r->done = done;
  r->came_disconnected = q->is_disconnected;
  r->begun_at = q->now;
  r->io.kind = kind;
  r->io.fua = (kernel_request (r)->operation & UBLK_IO_F_FUA) != 0;
  r->io.no_hole = (kernel_request (r)->operation & UBLK_IO_F_NOUNMAP) != 0;
  r->io.offset = offset;
  r->io.count = count;
  r->io.buf = buf;
  r->io.move = kind == IO_READ ? to_kernel : from_kernel;
  r->io.done = is_done;
  request_submit_again (r);
}
