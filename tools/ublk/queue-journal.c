/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What a queue leaves in the journal (journal.h), and what it finds there of a
 * process that was killed.
 *
 *     writes, commands   count as sent again if that process had sent the same:
 *                        if they fail, their zone is read to see whether they
 *                        are done (queue-renew.c)
 *     appends            are looked for if that process had sent one of that
 *                        size to that zone: if the same data is there, the
 *                        append is answered, and not sent.  Of two that have
 *                        the same data it does not matter which is which.
 *
 * If an append fails, or its zone has no room, its data is looked for again, as
 * long as there are orphans of the zone: the server may have got one of them
 * only now, and have written it where this append was to go.
 *
 * Orphans may be left whose answers the kernel did get: the process was killed
 * before it had forgotten them.  They are dropped once the kernel must have
 * repeated all requests whose answers it did not get (queue_await_orphans):
 * otherwise they would be taken for later appends that have the same data.
 *
 * What is answered is forgotten when the kernel has taken the answer.  An
 * append is forgotten before anything is waited for: if it stayed in the
 * journal for hours, a later append with the same data would be taken for it.
 * That takes one system call for all appends that are answered at once, and
 * only where the device outlives its process.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "queue-internal.h"

/* For how long a queue must have had room for more requests.  The kernel holds
 * back requests that it has to repeat only while a queue has as many as it may
 * have, or while its scheduler prefers others, which mq-deadline does for 10 s
 * at most.
 */
#define SECONDS_TO_ASK_AGAIN 60

static unsigned
slot_of (const struct queue_request *r)
{
  return r->queue->index * r->queue->plan->depth + r->at_port.tag;
}

/*---------------------------------------------------------------------*/
/* What this process writes */

void
request_note (struct queue_request *r)
{
  struct journal *j = r->queue->journal;
  const uint64_t place = bytes_of (kernel_request (r)->sector);
  const enum ublk_operation operation = UBLK_OPERATION (kernel_request (r));

  r->queue->nr_requests++;
  r->is_sent_again = r->is_answered = false;
  r->searches = 0;
  if (j == NULL)
    return;
  switch (operation) {
  case UBLK_IO_OP_WRITE:
  case UBLK_IO_OP_ZONE_OPEN:
  case UBLK_IO_OP_ZONE_CLOSE:
  case UBLK_IO_OP_ZONE_FINISH:
  case UBLK_IO_OP_ZONE_RESET:
    journal_send (j, slot_of (r), operation, place,
                  bytes_of (kernel_request (r)->count));
    r->is_sent_again = journal_take (j, operation, place);
    return;
  default:
    journal_forget (j, slot_of (r));
  }
}

void
request_note_append (struct queue_request *r, uint64_t place)
{
  if (r->queue->journal != NULL)
    journal_send (r->queue->journal, slot_of (r), UBLK_IO_OP_ZONE_APPEND, place,
                  bytes_of (kernel_request (r)->count));
}

void
request_note_failure (struct queue_request *r)
{
  if (r->queue->journal != NULL)
    journal_forget (r->queue->journal, slot_of (r));
}

/* An append of a dead process that had been written there would have made this
 * write fail.
 */
void
request_note_written (struct queue_request *r)
{
  if (r->queue->journal != NULL)
    journal_drop_appends (r->queue->journal, r->io.offset,
                          r->io.offset + r->io.count);
}

void
request_note_answer (struct queue_request *r, int result)
{
  struct queue *q = r->queue;

  q->nr_requests--;
  r->is_searching = false;
  if (q->journal == NULL)
    return;
  switch (UBLK_OPERATION (kernel_request (r))) {
  case UBLK_IO_OP_ZONE_APPEND:
    q->has_answered_append = true;
    break;
  case UBLK_IO_OP_WRITE:
  case UBLK_IO_OP_ZONE_OPEN:
  case UBLK_IO_OP_ZONE_CLOSE:
  case UBLK_IO_OP_ZONE_FINISH:
  case UBLK_IO_OP_ZONE_RESET:
    break;
  default:
    return;
  }
  if (result < 0) {
    journal_forget (q->journal, slot_of (r));
    return;
  }
  journal_answer (q->journal, slot_of (r));
  r->is_answered = true;
  if (r->is_listed)
    return;
  r->is_listed = true;
  r->next_answered = q->answered;
  q->answered = r;
}

/* If the kernel has taken all answers, forget the requests that were answered.
 */
static void
forget_answered (struct queue *q)
{
  struct queue_request *r;

  if (!ring_is_taken (q->ring))
    return;
  while ((r = q->answered) != NULL) {
    q->answered = r->next_answered;
    r->is_listed = false;
    if (r->is_answered) /* nothing has come by its tag since */
      journal_forget (q->journal, slot_of (r));
    r->is_answered = false;
  }
  q->has_answered_append = false;
}

int
queue_wait (struct queue *q)
{
  int r = 0;

  if (q->journal == NULL)
    return ring_run (q->ring, true);
  if (q->has_answered_append) {
    r = ring_wait (q->ring, 0);
    forget_answered (q);
  }
  if (r == 0)
    r = ring_wait (q->ring, UINT64_MAX);
  if (r < 0)
    return r;
  forget_answered (q);
  ring_dispatch (q->ring);
  return 0;
}

void
queue_forget_zones (struct queue *q, uint64_t first, uint64_t n)
{
  if (q->journal != NULL)
    journal_drop (q->journal, first * q->plan->zone_size,
                  (first + n) * q->plan->zone_size);
}

/*---------------------------------------------------------------------*/
/* What this process finds */

/* Can the kernel send more requests, and is no append being looked for? */
static bool
has_room (const struct queue *q)
{
  unsigned i;

  for (i = 0; i < q->plan->depth; i++) {
    if (q->requests[i].is_searching)
      return false;
  }
  return q->nr_requests < q->plan->depth && !q->is_disconnected;
}

bool
queue_await_orphans (struct queue *q)
{
  if (q->journal == NULL || q->seconds_with_room == SECONDS_TO_ASK_AGAIN ||
      !journal_has_orphans (q->journal))
    return false;
  q->seconds_with_room = has_room (q) ? q->seconds_with_room + 1 : 0;
  if (q->seconds_with_room == SECONDS_TO_ASK_AGAIN)
    journal_queue_has_all (q->journal);
  return q->seconds_with_room < SECONDS_TO_ASK_AGAIN;
}

/* Find an orphan, from number r->orphan on, that is an append of COUNT bytes
 * (0: of any number) to the request's zone.
 */
static bool
find (struct queue_request *r, uint64_t count, uint64_t *place)
{
  const struct queue *q = r->queue;
  const uint64_t size = q->plan->zone_size;

  return q->journal != NULL &&
         journal_find_append (q->journal, &r->orphan, r->zone * size,
                              (r->zone + 1) * size, count, place);
}

int
request_compare (struct queue_request *r, const void *buf, size_t n, size_t at)
{
  const char *p = buf;
  char piece[4096];
  size_t here;
  int err;

  for (; n > 0; n -= here, p += here, at += here) {
    here = n < sizeof piece ? n : sizeof piece;
    err = port_take (&r->at_port, piece, here, at);
    if (err < 0)
      return err;
    if (memcmp (piece, p, here) != 0) {
      r->differs = true;
      return -EIO;
    }
  }
  return 0;
}

static void compare_with_next (struct queue_request *r);

static void
is_compared (struct io *io, int err)
{
  struct queue_request *r = CONTAINER_OF (struct queue_request, io, io);
  struct queue *q = r->queue;

  r->compares = false;
  if (err < 0 && !r->differs) { /* it is not known whether the data is there */
    request_answer (r, zoned_plain_error (err));
    return;
  }
  if (err == 0) {
    request_note_append (r, io->offset);
    if (journal_take_append (q->journal, r->orphan)) {
      request_answer_at (r, io->count, io->offset >> ZONE_SECTOR_SHIFT);
      return;
    }
    request_note_failure (r);
  }
  r->orphan++;
  compare_with_next (r);
}

/* Compare the append's data with that of the next orphan that lies before the
 * zone's write pointer; if there is none, go on with the append.
 */
static void
compare_with_next (struct queue_request *r)
{
  const uint64_t count = bytes_of (kernel_request (r)->count);
  uint64_t place;

  for (; find (r, count, &place); r->orphan++) {
    if (place + count > r->pointer)
      continue;
    r->compares = true;
    r->differs = false;
    request_submit (r, r->queue->data, IO_READ, place, count, NULL,
                    is_compared);
    return;
  }
  r->is_searching = false;
  request_begin_append (r);
}

static void
end_is_read (struct io *io, int err)
{
  struct queue_request *r = CONTAINER_OF (struct queue_request, io, io);
  uint64_t end;

  if (err == 0 &&
      !zoned_is_same (&r->descriptor, &r->queue->plan->table[r->zone]))
    err = -EIO;
  if (err < 0) {
    request_answer (r, zoned_plain_error (err));
    return;
  }
  zoned_append_range (&r->descriptor, &r->pointer, &end);
  compare_with_next (r);
}

bool
request_search (struct queue_request *r)
{
  uint64_t place;

  r->orphan = 0;
  if (!find (r, bytes_of (kernel_request (r)->count), &place))
    return false;
  r->is_searching = true;
  request_submit (r, r->queue->zones, IO_READ, r->zone * ZONE_DESCRIPTOR_SIZE,
                  ZONE_DESCRIPTOR_SIZE, &r->descriptor, end_is_read);
  return true;
}

bool
request_may_search_again (struct queue_request *r, int err)
{
  unsigned n = 0;
  uint64_t place;

  if (err != -EIO && err != -EINVAL)
    return false;
  for (r->orphan = 0; find (r, 0, &place); r->orphan++)
    n++;
  return r->searches++ < n;
}
