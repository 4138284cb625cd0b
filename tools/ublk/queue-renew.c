/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Connections that die, and others for them.  All three connections of a queue
 * count as dead when one of them is.  The requests that they had in flight are
 * kept, with those that come meanwhile, and sent once there are others.  Some
 * were done the first time, and only their answers were lost:
 *
 *     reads, flushes, reports    are asked once more
 *     writes, zeroes, discards   are done once more, at the same offset
 *     writes to a zone, appends  are sent to the same offset: if they have been
 *                                done, they fail there, and the zone's write
 *                                pointer, which is behind them, says why
 *     commands to a zone         are done once more; if one fails, its zone is
 *                                read, too: it may be as the command wants it
 *
 * So an append that was in flight keeps its offset, and only later ones read
 * the write pointer anew.  Nothing can be done about a request that the server
 * has got by a dead connection and serves only after what was sent by another.
 *
 * Writes that the server had acknowledged, and not flushed, are another matter.
 * With multi-conn a flush on one connection covers the writes of all; without
 * it, a flush on a new connection may cover none of them.  Then the next flush
 * fails, as that of a disk does that has lost its cache.
 */

#include <config.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "queue-internal.h"

static const uint64_t one = 1;

/*---------------------------------------------------------------------*/
/* Requests, by the queue's thread */

static void
break_connections (const struct queue_connections *c)
{
  connection_break (c->data);
  connection_break (c->zones);
  connection_break (c->config);
}

void
queue_break_connections (struct queue *q)
{
  pthread_mutex_lock (&q->lock);
  break_connections (q->connections);
  pthread_mutex_unlock (&q->lock);
}

/* Called for the first request that finds the connections dead. */
static void
note_disconnected (struct queue *q)
{
  ssize_t written;

  if (q->died_at == 0)
    q->died_at = q->now;
  if (!q->device->multi_conn && q->changes != q->flushed)
    q->may_have_lost_data = true;
  queue_count_second (q);
  pthread_mutex_lock (&q->lock);
  q->is_disconnected = true;
  break_connections (q->connections);
  pthread_mutex_unlock (&q->lock);
  written = write (q->device->disconnected, &one, sizeof one);
  (void) written; /* it fails only when 2^64 of them are unread */
}

/* True if the server was given up, or if it has been away for as long as
 * --persist says and there are no new connections either.  A server that takes
 * connections and drops them before it answers counts as away, as one that
 * takes none.
 */
static bool
is_without_hope (struct queue *q)
{
  const bool is_over = q->now - q->died_at > q->device->persist;
  bool r;

  pthread_mutex_lock (&q->lock);
  r = q->has_given_up || (is_over && !q->has_renewed);
  pthread_mutex_unlock (&q->lock);
  return r;
}

/* Has the server left this request unanswered for so long, while it has
 * answered others, that it is not sent again?
 */
static bool
has_waited_enough (const struct queue_request *r)
{
  const struct ublk_device *d = r->queue->device;

  return r->is_late && r->queue->now - r->begun_at > d->timeout + d->persist;
}

bool
request_wait_for_connection (struct queue_request *r)
{
  struct queue *q = r->queue;

  if (q->device->disconnected == -1)
    return false;
  if (!q->is_disconnected)
    note_disconnected (q);
  if (is_without_hope (q) || has_waited_enough (r))
    return false;
  r->next = NULL;
  *q->last_waiting = r;
  q->last_waiting = &r->next;
  return true;
}

/* Take all that wait. */
static struct queue_request *
take_waiting (struct queue *q)
{
  struct queue_request *list = q->waiting;

  q->waiting = NULL;
  q->last_waiting = &q->waiting;
  return list;
}

/* Have all that wait fail.  A `done` may have its request, or others, wait
 * anew.
 */
static void
fail_waiting (struct queue *q)
{
  struct queue_request *r, *next;

  for (r = take_waiting (q); r != NULL; r = next) {
    next = r->next;
    r->done (&r->io, -ENOTCONN);
  }
}

static void
send_waiting (struct queue *q)
{
  struct queue_request *r, *next;

  for (r = take_waiting (q); r != NULL; r = next) {
    next = r->next;
    if (!r->came_disconnected)
      r->is_sent_again = true;
    r->came_disconnected = false;
    request_submit_again (r);
  }
}

/* A dead connection has done a change, or a part of it: a flush by another
 * connection need not make the change durable.
 */
static void
note_done_before (struct queue *q)
{
  if (!q->device->multi_conn)
    q->may_have_lost_data = true;
}

/* If only the beginning of a write had been done, send the rest: the write may
 * have grown by what follows it since a dead process had sent it.  Returns
 * whether the rest was sent.
 */
static bool
send_unwritten (struct queue_request *r, const struct zone_check *check)
{
  const uint64_t end = check->io.offset + check->io.count;
  uint64_t pointer, most;

  zoned_append_range (&r->descriptor, &pointer, &most);
  if (UBLK_OPERATION (kernel_request (r)) != UBLK_IO_OP_WRITE ||
      r->descriptor.type != ZONE_TYPE_SEQUENTIAL ||
      pointer <= check->io.offset || pointer >= end)
    return false;
  r->skipped += pointer - check->io.offset;
  note_done_before (r->queue);
  request_submit (r, r->queue->data, IO_WRITE, pointer, end - pointer, NULL,
                  check->done);
  return true;
}

static void
zone_is_read_again (struct io *io, int err)
{
  struct queue_request *r = CONTAINER_OF (struct queue_request, io, io);
  const struct zone_check check = r->zone_check;
  const bool is_true =
      err == 0 &&
      zoned_is_same (&r->descriptor, &r->queue->plan->table[r->zone]);
  const bool was_done =
      is_true &&
      zoned_was_done (UBLK_OPERATION (kernel_request (r)),
                      check.io.offset + check.io.count, &r->descriptor);

  r->is_sent_again = false;
  if (is_true && !was_done && send_unwritten (r, &check))
    return;
  if (was_done)
    note_done_before (r->queue);
  r->io.kind = check.io.kind;
  r->io.offset = check.io.offset;
  r->io.count = check.io.count;
  check.done (&r->io, was_done ? 0 : check.err);
}

bool
request_begin_zone_check (struct queue_request *r, int err)
{
  struct queue *q = r->queue;

  if (err == 0 || !r->is_sent_again || q->plan->zone_size == 0)
    return false;
  r->zone_check = (struct zone_check){.io = r->io, .done = r->done, .err = err};
  request_submit (r, q->zones, IO_READ, r->zone * ZONE_DESCRIPTOR_SIZE,
                  ZONE_DESCRIPTOR_SIZE, &r->descriptor, zone_is_read_again);
  return true;
}

int
queue_has_flushed (struct queue *q, uint64_t changes, int err)
{
  const bool may_have_lost_data = q->may_have_lost_data;

  q->may_have_lost_data = false;
  if (err < 0)
    return err;
  if (q->flushed < changes)
    q->flushed = changes;
  return may_have_lost_data ? -EIO : 0;
}

/*---------------------------------------------------------------------*/
/* Connections, by the queue's thread */

static void
close_connections (const struct queue_connections *c)
{
  connection_close (c->data);
  connection_close (c->zones);
  connection_close (c->config);
}

static bool
are_over (struct queue *q)
{
  return link_is_over (q->data) &&
         (q->zones == NULL ||
          (link_is_over (q->zones) && link_is_over (q->config)));
}

struct links {
  struct link *data, *zones, *config;
};

static void
destroy_links (const struct links *l)
{
  link_destroy (l->data);
  link_destroy (l->zones);
  link_destroy (l->config);
}

/* Returns false if there is no memory or no descriptor. */
static bool
make_links (struct queue *q, const struct queue_connections *c, struct links *l)
{
  memset (l, 0, sizeof *l);
  l->data = link_create (c->data, q->ring);
  if (l->data != NULL && q->zones != NULL) {
    l->zones = link_create (c->zones, q->ring);
    l->config = link_create (c->config, q->ring);
  }
  if (l->data != NULL && (q->zones == NULL) == (l->zones == NULL) &&
      (l->zones == NULL) == (l->config == NULL))
    return true;
  destroy_links (l);
  return false;
}

/* Returns false if links cannot be made: then the queue waits for connections
 * once more.
 */
static bool
use_renewed (struct queue *q)
{
  const struct links dead = {q->data, q->zones, q->config};
  struct queue_connections renewed, old;
  struct links links;
  ssize_t written;

  pthread_mutex_lock (&q->lock);
  renewed = q->renewed;
  pthread_mutex_unlock (&q->lock);
  if (!make_links (q, &renewed, &links)) {
    queue_close_renewed (q);
    written = write (q->device->disconnected, &one, sizeof one);
    (void) written;
    return false;
  }
  destroy_links (&dead);
  q->data = links.data;
  q->zones = links.zones;
  q->config = links.config;
  pthread_mutex_lock (&q->lock);
  old = *q->connections;
  *q->connections = renewed;
  q->is_disconnected = q->has_renewed = false;
  pthread_mutex_unlock (&q->lock);
  close_connections (&old);
  if (q->device->appends != NULL)
    appends_forget_all (q->device->appends);
  send_waiting (q);
  return true;
}

bool
queue_look_for_connections (struct queue *q)
{
  bool has_renewed, r = false;

  if (!q->is_disconnected)
    return false;
  if (q->waiting != NULL && is_without_hope (q)) {
    fail_waiting (q);
    r = true;
  }
  pthread_mutex_lock (&q->lock);
  has_renewed = q->has_renewed;
  pthread_mutex_unlock (&q->lock);
  return (has_renewed && are_over (q) && use_renewed (q)) || r;
}

void
queue_close_renewed (struct queue *q)
{
  struct queue_connections renewed = {0};

  pthread_mutex_lock (&q->lock);
  if (q->has_renewed)
    renewed = q->renewed;
  q->has_renewed = false;
  pthread_mutex_unlock (&q->lock);
  close_connections (&renewed);
}

/*---------------------------------------------------------------------*/
/* By other threads */

static void
wake (struct queue *q)
{
  const ssize_t written = write (q->wake_fd, &one, sizeof one);

  (void) written; /* it fails only when 2^64 of them are unread */
}

bool
queue_is_disconnected (struct queue *q)
{
  bool r;

  pthread_mutex_lock (&q->lock);
  r = q->is_disconnected && !q->has_renewed && !q->has_given_up;
  pthread_mutex_unlock (&q->lock);
  return r;
}

void
queue_renew (struct queue *q, const struct queue_connections *connections)
{
  pthread_mutex_lock (&q->lock);
  q->renewed = *connections;
  q->has_renewed = true;
  if (q->has_given_up)
    break_connections (&q->renewed);
  pthread_mutex_unlock (&q->lock);
  wake (q);
}

void
queue_give_up (struct queue *q)
{
  pthread_mutex_lock (&q->lock);
  q->has_given_up = true;
  break_connections (q->connections);
  if (q->has_renewed)
    break_connections (&q->renewed);
  pthread_mutex_unlock (&q->lock);
  wake (q);
}
