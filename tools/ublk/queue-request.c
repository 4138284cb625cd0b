/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The steps that all requests of a queue share: to answer the kernel, to move
 * data to the kernel and from it, and to ask the server for something.
 */

#include <config.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <liburing.h>

#include "queue-internal.h"

void
request_put_command (struct request *r)
{
  struct io_uring_sqe *sqe = ring_request (r->queue->ring, &r->event);

  sqe->opcode = IORING_OP_URING_CMD;
  sqe->fd = r->queue->device->fd;
  sqe->cmd_op = r->command;
  memcpy (sqe->cmd, &r->told, sizeof r->told);
}

void
request_tell (struct request *r, unsigned command, int result, uint64_t sector)
{
  r->command = command;
  r->told = (struct ublk_answer){.queue = r->queue->index,
                                 .tag = r->tag,
                                 .result = result,
                                 .sector = sector};
  request_put_command (r);
}

void
request_answer_at (struct request *r, int result, uint64_t sector)
{
  request_tell (r, UBLK_COMMIT_AND_FETCH, result, sector);
}

void
request_answer (struct request *r, int result)
{
  request_answer_at (r, result, 0);
}

/* The kernel's buffer is read where it writes, and written where it reads. */
static int
from_kernel (struct io *io, void *buf, size_t n, size_t at)
{
  struct request *r = OF (struct request, io, io);
  const uint64_t offset = ublk_data_offset (r->queue->index, r->tag) + at;
  const ssize_t moved = pread (r->queue->device->fd, buf, n, offset);

  return moved == (ssize_t) n ? 0 : moved == -1 ? -errno : -EIO;
}

int
request_put_data (struct request *r, const void *buf, size_t n, size_t at)
{
  const uint64_t offset = ublk_data_offset (r->queue->index, r->tag) + at;
  const ssize_t moved = pwrite (r->queue->device->fd, buf, n, offset);

  return moved == (ssize_t) n ? 0 : moved == -1 ? -errno : -EIO;
}

static int
to_kernel (struct io *io, void *buf, size_t n, size_t at)
{
  return request_put_data (OF (struct request, io, io), buf, n, at);
}

/* A server that is about to end says ESHUTDOWN, and does nothing more. */
static void
is_done (struct io *io, int err)
{
  struct request *r = OF (struct request, io, io);

  if ((err != -ENOTCONN && err != -ESHUTDOWN) || !request_waits (r))
    r->done (io, err);
}

void
request_submit (struct request *r, struct link *link, enum io_kind kind,
                uint64_t offset, uint64_t count, void *buf,
                void (*done) (struct io *io, int err))
{
  struct queue *q = r->queue;

  r->link = link == q->zones    ? &q->zones
            : link == q->config ? &q->config
                                : &q->data;
  r->done = done;
  r->came_while_lost = q->is_lost;
  r->io.kind = kind;
  r->io.fua = (r->asked->operation & UBLK_IO_FUA) != 0;
  r->io.no_hole = (r->asked->operation & UBLK_IO_NO_UNMAP) != 0;
  r->io.offset = offset;
  r->io.count = count;
  r->io.buf = buf;
  r->io.move = kind == IO_READ ? to_kernel : from_kernel;
  r->io.done = is_done;
  link_submit (link, &r->io);
}
