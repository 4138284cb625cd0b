/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A queue: its thread, and what the thread does for a request first and last;
 * see queue.h, and queue-internal.h for the way of a request.
 */

#include <config.h>

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "queue-internal.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

static void
begin (struct port_request *at_port)
{
  struct queue_request *r =
      CONTAINER_OF (struct queue_request, at_port, at_port);

  r->skipped = 0;
  request_note (r);
  switch (UBLK_OPERATION (kernel_request (r))) {
  case UBLK_IO_OP_READ:
    request_move_data (r, IO_READ);
    return;
  case UBLK_IO_OP_WRITE:
    request_move_data (r, IO_WRITE);
    return;
  case UBLK_IO_OP_FLUSH:
    request_move_data (r, IO_FLUSH);
    return;
  case UBLK_IO_OP_DISCARD:
    request_clear (r, IO_TRIM);
    return;
  case UBLK_IO_OP_WRITE_ZEROES:
    request_clear (r, IO_ZERO);
    return;
  }
  if (r->queue->plan->zone_size != 0) {
    switch (UBLK_OPERATION (kernel_request (r))) {
    case UBLK_IO_OP_ZONE_OPEN:
    case UBLK_IO_OP_ZONE_CLOSE:
    case UBLK_IO_OP_ZONE_FINISH:
    case UBLK_IO_OP_ZONE_RESET:
      request_command (r);
      return;
    case UBLK_IO_OP_ZONE_RESET_ALL:
      request_reset_all (r);
      return;
    case UBLK_IO_OP_ZONE_APPEND:
      request_append (r);
      return;
    case UBLK_IO_OP_REPORT_ZONES:
      request_report (r);
      return;
    }
  }
  request_answer (r, -EOPNOTSUPP);
}

/* The first step of the queue's thread: make all that it needs. */
static int
prepare (struct queue *q)
{
  /* Memory that the thread allocates while it serves a write must not wait for
   * that write.
   */
  prctl (PR_SET_IO_FLUSHER, 1, 0, 0, 0);
  q->ring = ring_create (2 * q->plan->depth + 16, false);
  if (q->ring == NULL)
    return -errno;
  port_open (&q->port, q->ring, q->device->fd, q->index, begin);
  q->data = link_create (q->connections->data, q->ring);
  if (q->data == NULL)
    return -ENOMEM;
  if (q->plan->zone_size != 0) {
    q->zones = link_create (q->connections->zones, q->ring);
    q->config = link_create (q->connections->config, q->ring);
    if (q->zones == NULL || q->config == NULL)
      return -ENOMEM;
  }
  queue_await_wake (q);
  return 0;
}

/* The second step: have the kernel send requests. */
static int
fetch (struct queue *q)
{
  unsigned i;
  int r;

  if (q->device->journal != NULL)
    journal_queue_fetches (q->device->journal);
  for (i = 0; i < q->plan->depth; i++) {
    q->requests[i].queue = q;
    port_fetch (&q->port, &q->requests[i].at_port, i);
  }
  r = ring_run (q->ring, false);
  if (r == 0)
    r = q->port.error;
  if (r < 0)
    return r;
  if (q->device->journal != NULL)
    journal_queue_has_fetched (q->device->journal);
  if (q->journal != NULL && journal_has_orphans (q->journal))
    queue_count_second (q);
  return port_map (&q->port, q->plan->depth);
}

/* Serve requests until the device is stopped, or until the kernel has refused
 * what it was told: then only the end of the queue ends that request.
 */
static void
serve (struct queue *q)
{
  while (port_is_open (&q->port)) {
    /* An answer on one link may submit a request on another. */
    while (
        link_pump (q->data) ||
        (q->zones != NULL && (link_pump (q->zones) || link_pump (q->config))) ||
        queue_look_for_connections (q))
      ;
    if (queue_wait (q) < 0)
      break;
  }
}

/* Tell the one that waits for the thread how a step has ended. */
static void
report (struct queue *q, int r)
{
  if (r < 0)
    message_set (q->why, "queue %u: %s", q->index, strerror (-r));
  q->has_failed = r < 0;
  sem_post (&q->is_ready);
}

/* Returns whether the step has been done. */
static bool
await_report (struct queue *q)
{
  while (sem_wait (&q->is_ready) == -1)
    ;
  return !q->has_failed;
}

static void *
run (void *arg)
{
  static const uint64_t one = 1;
  struct queue *q = arg;
  int r = prepare (q);
  ssize_t written;

  report (q, r);
  if (r == 0) {
    while (sem_wait (&q->may_go_on) == -1)
      ;
    r = q->is_to_fetch ? fetch (q) : -ECANCELED;
    if (q->is_to_fetch)
      report (q, r);
  }
  if (r == 0)
    serve (q);
  ring_destroy (q->ring);
  if (r == 0) {
    written = write (q->device->ended, &one, sizeof one);
    (void) written; /* it fails only when 2^64 of them are unread */
  }
  return NULL;
}

static void
destroy (struct queue *q)
{
  unsigned i;

  for (i = 0; i < q->plan->depth; i++)
    link_release_io (&q->requests[i].io);
  free (q->all_zones.table);
  queue_close_renewed (q);
  link_destroy (q->data);
  link_destroy (q->zones);
  link_destroy (q->config);
  port_close (&q->port);
  if (q->wake_fd != -1)
    close (q->wake_fd);
  pthread_mutex_destroy (&q->lock);
  sem_destroy (&q->is_ready);
  sem_destroy (&q->may_go_on);
  free (q);
}

struct queue *
queue_start (const struct ublk_device *device, unsigned index,
             struct queue_connections *connections, struct message *why)
{
  const unsigned depth = device->plan->depth;
  struct queue *q = calloc (1, sizeof *q + depth * sizeof q->requests[0]);
  int err;

  if (q == NULL) {
    message_set (why, "%s", strerror (ENOMEM));
    return NULL;
  }
  q->device = device;
  q->plan = device->plan;
  q->index = index;
  q->connections = connections;
  if (q->plan->zone_size != 0)
    q->journal = device->journal;
  q->last_waiting = &q->waiting;
  q->may_have_lost_data = device->was_served && !device->multi_conn;
  q->now = 1;
  q->second.happened = queue_second;
  q->max_discard = UINT32_MAX; /* no request of the kernel's has more */
  q->why = why;
  q->last_woken = &q->woken;
  q->wake.happened = queue_wake;
  q->wake_fd = eventfd (0, EFD_CLOEXEC);
  pthread_mutex_init (&q->lock, NULL);
  sem_init (&q->is_ready, 0, 0);
  sem_init (&q->may_go_on, 0, 0);
  err = q->wake_fd == -1 ? errno : pthread_create (&q->thread, NULL, run, q);
  if (err != 0) {
    message_set (why, "queue %u: %s", index, strerror (err));
    destroy (q);
    return NULL;
  }
  if (!await_report (q)) {
    queue_join (q);
    return NULL;
  }
  return q;
}

bool
queue_fetch (struct queue *q, struct message *why)
{
  q->why = why;
  q->is_to_fetch = true;
  sem_post (&q->may_go_on);
  return await_report (q);
}

void
queue_join (struct queue *q)
{
  sem_post (&q->may_go_on); /* it may never have been told to fetch */
  pthread_join (q->thread, NULL);
  destroy (q);
}
