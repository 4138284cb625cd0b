/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Appends.  append.h says whose turn it is, and each append goes on in the
 * thread of its own queue.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include <liburing.h>

#include "queue-internal.h"

static void take_turns (struct append *list, struct queue *here);

static void
append_is_done (struct io *io, int err)
{
  struct queue_request *r = CONTAINER_OF (struct queue_request, io, io);
  struct queue *q = r->queue;
  struct append *list;
  bool is_over;

  if (request_begin_zone_check (r, err))
    return;
  if (err == 0)
    request_note_written (r);
  else /* before appends_end lets another one have its offset */
    request_note_failure (r);
  list = appends_end (q->device->appends, &r->append, err, &is_over);
  if (is_over) {
    if (err == 0)
      request_answer_at (r, io->count, io->offset >> ZONE_SECTOR_SHIFT);
    else if (request_may_search_again (r, err))
      request_append (r);
    else
      request_explain (r, err);
  }
  take_turns (list, q);
}

static void
pointer_is_read (struct io *io, int err)
{
  struct queue_request *r = CONTAINER_OF (struct queue_request, io, io);
  struct queue *q = r->queue;
  uint64_t pointer = 0, end = 0;

  if (err == 0 && !zoned_is_same (&r->descriptor, &q->plan->table[r->zone]))
    err = -EIO;
  if (err == 0)
    zoned_append_range (&r->descriptor, &pointer, &end);
  take_turns (
      appends_learn (q->device->appends, &r->append, err == 0, pointer, end),
      q);
}

static void
take_turn (struct queue_request *r)
{
  struct queue *q = r->queue;

  switch (r->append.turn) {
  case APPEND_READS:
    request_submit (r, q->zones, IO_READ, r->zone * ZONE_DESCRIPTOR_SIZE,
                    ZONE_DESCRIPTOR_SIZE, &r->descriptor, pointer_is_read);
    break;
  case APPEND_GOES:
    r->is_sent_again = false; /* not yet, to this offset */
    request_note_append (r, r->append.offset);
    request_submit (r, q->data, IO_WRITE, r->append.offset, r->append.count,
                    NULL, append_is_done);
    break;
  case APPEND_REFUSED:
    if (request_may_search_again (r, -EIO))
      request_append (r);
    else
      request_explain (r, -EIO);
    break;
  }
}

/* Have each append of LIST go on in the thread of its queue; HERE is that of
 * this thread.
 */
static void
take_turns (struct append *list, struct queue *here)
{
  static const uint64_t one = 1;
  struct append *append;
  struct queue_request *r;
  ssize_t written;

  while ((append = list) != NULL) {
    list = append->next;
    r = CONTAINER_OF (struct queue_request, append, append);
    if (r->queue == here) {
      take_turn (r);
      continue;
    }
    append->next = NULL;
    pthread_mutex_lock (&r->queue->lock);
    *r->queue->last_woken = append;
    r->queue->last_woken = &append->next;
    pthread_mutex_unlock (&r->queue->lock);
    written = write (r->queue->wake_fd, &one, sizeof one);
    (void) written; /* it fails only when 2^64 of them are unread */
  }
}

void
queue_await_wake (struct queue *q)
{
  struct io_uring_sqe *sqe = ring_get_sqe (q->ring, &q->wake);

  io_uring_prep_read (sqe, q->wake_fd, &q->wakes, sizeof q->wakes, 0);
  io_uring_sqe_set_data (sqe, &q->wake);
}

void
queue_wake (struct ring_event *event, int result)
{
  struct queue *q = CONTAINER_OF (struct queue, wake, event);
  struct append *list;

  (void) result;
  pthread_mutex_lock (&q->lock);
  list = q->woken;
  q->woken = NULL;
  q->last_woken = &q->woken;
  pthread_mutex_unlock (&q->lock);
  take_turns (list, q);
  queue_await_wake (q);
}

void
request_append (struct queue_request *r)
{
  r->zone = bytes_of (kernel_request (r)->sector) / r->queue->plan->zone_size;
  if (!request_search (r))
    request_begin_append (r);
}

void
request_begin_append (struct queue_request *r)
{
  struct queue *q = r->queue;

  r->append.zone = r->zone;
  r->append.count = bytes_of (kernel_request (r)->count);
  r->append.connection = q->index;
  take_turns (appends_begin (q->device->appends, &r->append), q);
}
