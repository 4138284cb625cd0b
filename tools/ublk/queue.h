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
 * other, except for appends to one zone (append.h).
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
   * others.  -1: its requests fail from then on.
   */
  int lost;
  /* Seconds.  Where the server has not answered a request in that time, and up
   * to one more, all connections of its queue count as dead.
   */
  unsigned timeout;
  unsigned persist; /* that requests wait then for an answer */
  bool multi_conn;  /* a flush is about what other connections have written */
  bool was_served;  /* by another process, which was killed */
};

struct connections {
  struct nbd_handle *data, *zones, *config; /* the latter NULL without zones */
};

struct queue;

/* Begin to fetch requests.  The connections stay the caller's, who closes those
 * that are in *CONNECTIONS after queue_join, and does nothing with them before.
 * Returns NULL and the reason in *why on failure.
 */
struct queue *queue_start (const struct ublk_device *device, unsigned index,
                           struct connections *connections,
                           struct message *why);

/* Where the connections have died, requests that they had in flight, and those
 * that come, wait for others, by which they are sent (again).  They wait until
 * device->persist seconds, and up to one more, are over since the connections
 * died; then they fail until there are others.  Others that die before they
 * have brought an answer do not begin these seconds anew.  All of these may be
 * called by any thread until queue_join.
 *
 * Does it wait for connections?
 */
bool queue_is_lost (struct queue *q);

/* These are its connections from now on; *CONNECTIONS of queue_start becomes
 * them.
 */
void queue_renew (struct queue *q, const struct connections *connections);

/* All requests fail from now on, those in flight included. */
void queue_give_up (struct queue *q);

/* Wait for its end, which comes when the kernel has stopped the device, or
 * refuses what the queue tells it.
 */
void queue_join (struct queue *q);

#endif /* NULLBLK_UBLK_QUEUE_H */
