/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Reads, writes, flushes, and requests that clear: discards and writes of
 * zeroes.
 */

#include <config.h>

#include <errno.h>

#include "queue-internal.h"

static void
data_is_done (struct io *io, int err)
{
  struct queue_request *r = CONTAINER_OF (struct queue_request, io, io);
  struct appends *appends = r->queue->device->appends;
  const bool is_write = io->kind == IO_WRITE && appends != NULL;

  if (is_write && request_begin_zone_check (r, err))
    return;
  if (io->kind == IO_FLUSH)
    err = queue_has_flushed (r->queue, r->changes, err);
  if (err == 0) {
    if (is_write) {
      request_note_written (r);
      appends_note_write (appends, r->zone, io->offset + io->count);
    }
    request_answer (r, io->kind == IO_READ || io->kind == IO_WRITE
                           ? r->skipped + io->count
                           : 0);
  }
  else if (is_write) {
    appends_forget (appends, r->zone);
    request_explain (r, err);
  }
  else
    request_answer (r, zoned_plain_error (err));
}

void
request_move_data (struct queue_request *r, enum io_kind kind)
{
  const uint64_t offset = bytes_of (kernel_request (r)->sector);

  r->changes = r->queue->changes;
  if (r->queue->plan->zone_size != 0)
    r->zone = offset / r->queue->plan->zone_size;
  request_submit (r, r->queue->data, kind, offset,
                  bytes_of (kernel_request (r)->count), NULL, data_is_done);
}

/* Discards and writes of zeroes have no data, and so their size has no limit in
 * NBD but that of its 32 bits.  A server that finds one too large says EINVAL
 * or EOVERFLOW; then the queue clears in parts from there on.
 */

static void clear_part (struct queue_request *r, enum io_kind kind,
                        uint64_t offset);

static void
part_is_done (struct io *io, int err)
{
  struct queue_request *r = CONTAINER_OF (struct queue_request, io, io);
  struct queue *q = r->queue;
  const uint64_t at = io->offset + io->count;

  if (err == 0 && at < r->end)
    clear_part (r, io->kind, at);
  else if ((err == -EINVAL || err == -EOVERFLOW) &&
           io->count > q->plan->fallback_discard) {
    q->max_discard = q->plan->fallback_discard;
    clear_part (r, io->kind, io->offset);
  }
  else
    request_answer (r, err == 0 ? 0 : zoned_plain_error (err));
}

static void
clear_part (struct queue_request *r, enum io_kind kind, uint64_t offset)
{
  const uint64_t left = r->end - offset, most = r->queue->max_discard;

  request_submit (r, r->queue->data, kind, offset, left < most ? left : most,
                  NULL, part_is_done);
}

void
request_clear (struct queue_request *r, enum io_kind kind)
{
  const uint64_t offset = bytes_of (kernel_request (r)->sector);

  r->end = offset + bytes_of (kernel_request (r)->count);
  clear_part (r, kind, offset);
}
