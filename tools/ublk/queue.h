/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The queues of a ublk device.  A queue is a thread with a ring, a connection
 * to the export, and, where it has zones, one to each of its exports .zones and
 * .config:
 *
 *     kernel: /dev/ublkbN
 *       │ requests: a table for each queue, mapped from /dev/ublkcN
 *       │ data: read and written at /dev/ublkcN
 *     queue ── link to nullbN          data
 *           ── link to nullbN.zones    reports, zone commands
 *           ── link to nullbN.config   the reset of all zones
 *
 * Each of up to DEPTH requests has a tag, which is an index of that table.  The
 * queue fetches a request by a command in its ring, and answers it by the same
 * command, which fetches the next one.  Requests of a queue never wait for each
 * other, except for appends to one zone (append.h), and failed requests that
 * need a read of the table of all zones (struct table_read).
 */

#ifndef NULLBLK_UBLK_QUEUE_H
#define NULLBLK_UBLK_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include <libnbd.h>

#include "append.h"
#include "common/common.h"
#include "ublkdrv/ublkdrv.h"
#include "journal.h"

/* The device of a queue. */
struct ublk_device {
  int fd; /* of /dev/ublkcN */
  const struct device_plan *plan;
  struct appends *appends; /* NULL: no zones */
  struct journal *journal; /* NULL: it does not outlive its process */
  int ended; /* an eventfd: each queue that has served and ends adds 1 */
  /* An eventfd: each queue whose connections have died adds 1, and waits for
   * new ones.  -1: there will be none, and its requests fail.
   */
  int disconnected;
  /* Seconds.  If the server has not answered a request in that time, and up to
   * one more, all connections of the request's queue count as dead.
   */
  unsigned timeout;
  unsigned persist; /* seconds that requests then wait for new connections */
  bool multi_conn;  /* a flush covers what other connections have written */
  bool was_served;  /* the device had another process, which was killed */
};

/* The connections of one queue; `zones` and `config` are NULL without zones. */
struct queue_connections {
  struct nbd_handle *data, *zones, *config;
};

struct queue;

/* Make the queue, with its thread, its ring, and all its memory.  The queue
 * keeps the address CONNECTIONS.  The caller leaves the connections in it alone
 * until queue_join, and then closes those that are in it by then.  Returns NULL
 * and the reason in *why on failure.
 */
struct queue *queue_start (const struct ublk_device *device, unsigned index,
                           struct queue_connections *connections,
                           struct message *why);

/* Fetch requests, and begin to serve them: called once.  Returns false and the
 * reason in *why on failure; then the queue can only be joined.
 */
bool queue_fetch (struct queue *q, struct message *why);

/* When connections have died, the requests that they had in flight, and those
 * that come meanwhile, wait for new connections, by which they are sent
 * (again).  They wait until device->persist seconds, and up to one more, are
 * over since the connections died; then requests fail until there are new ones.
 * New connections that die before they have brought an answer do not begin
 * these seconds anew.  The next three functions may be called by any thread
 * until queue_join.
 */

/* Does the queue wait for new connections?  Not after queue_give_up. */
bool queue_is_disconnected (struct queue *q);

/* Have the queue use CONNECTIONS from now on; they are copied into the struct
 * that queue_start was given.
 */
void queue_renew (struct queue *q, const struct queue_connections *connections);

/* All requests fail from now on, those in flight included. */
void queue_give_up (struct queue *q);

/* Wait until the queue has ended, and free it.  A queue that has not fetched
 * ends at once; another one ends when the kernel has stopped the device, or has
 * refused what the queue has told it.
 */
void queue_join (struct queue *q);

#endif /* NULLBLK_UBLK_QUEUE_H */
