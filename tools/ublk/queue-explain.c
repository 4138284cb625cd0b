/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Why a request to a zone has failed: the kernel has more errors for that than
 * NBD has, and which one it is to see depends on what its zone, or all zones,
 * are like after the failure.
 */

#include <config.h>

#include <stdlib.h>

#include "queue-internal.h"

/* TABLE has NR_ZONES zones; the one at ZONE is the request's.  NULL: the table
 * could not be read.
 */
static void
answer_failure (struct queue_request *r, const struct zone_descriptor *table,
                uint64_t nr_zones, uint64_t zone)
{
  const struct ublk_params *p = &r->queue->plan->params;
  const struct zoned_failure f = {
      .error = r->error,
      .table = table,
      .nr_zones = nr_zones,
      .zone = zone,
      .max_open = p->max_open_zones,
      .max_active = p->max_active_zones,
      .is_command = zoned_condition (UBLK_OPERATION (kernel_request (r))) !=
                    ZONE_COND_NOT_WP,
  };

  request_answer (r, zoned_error (&f));
}

static void
zone_is_read (struct io *io, int err)
{
  struct queue_request *r = CONTAINER_OF (struct queue_request, io, io);

  answer_failure (r, err == 0 ? &r->descriptor : NULL, 1, 0);
}

static void
read_zone (struct queue_request *r)
{
  request_submit (r, r->queue->zones, IO_READ, r->zone * ZONE_DESCRIPTOR_SIZE,
                  ZONE_DESCRIPTOR_SIZE, &r->descriptor, zone_is_read);
}

static void read_all_zones (struct queue *q);

static void
all_zones_are_read (struct io *io, int err)
{
  struct queue_request *r = CONTAINER_OF (struct queue_request, io, io);
  struct queue *q = r->queue;
  struct table_read *t = &q->all_zones;
  const struct zone_descriptor *table = err == 0 ? t->table : NULL;

  answer_failure (r, table, q->plan->nr_zones, r->zone);
  while ((r = t->waiting_for_it) != NULL) {
    t->waiting_for_it = r->next;
    answer_failure (r, table, q->plan->nr_zones, r->zone);
  }
  free (t->table);
  t->table = NULL;
  if (t->waiting_for_next != NULL)
    read_all_zones (q);
}

/* Read the table of zones for all requests that have failed by now: what is
 * read now is later than each of their failures.  The first of these requests
 * asks for the table, and so waits for another connection if this one dies, as
 * with all that a request asks for.
 */
static void
read_all_zones (struct queue *q)
{
  const uint64_t size = q->plan->nr_zones * ZONE_DESCRIPTOR_SIZE;
  struct table_read *t = &q->all_zones;
  struct queue_request *r;

  t->table = malloc (size);
  if (t->table == NULL) {
    while ((r = t->waiting_for_next) != NULL) {
      t->waiting_for_next = r->next;
      read_zone (r);
    }
    return;
  }
  r = t->waiting_for_next;
  t->waiting_for_it = r->next;
  t->waiting_for_next = NULL;
  request_submit (r, q->zones, IO_READ, 0, size, t->table, all_zones_are_read);
}

/* Read the zone, or all zones where limits may have refused the request, to
 * tell the kernel why it has failed.  A table of many zones is large, and many
 * writes fail for one reason: so requests that fail while the table is read
 * share the next read.
 */
void
request_explain (struct queue_request *r, int err)
{
  struct queue *q = r->queue;
  const struct zoned_failure f = {.error = err,
                                  .max_open = q->plan->params.max_open_zones,
                                  .max_active =
                                      q->plan->params.max_active_zones};

  r->error = err;
  if (!zoned_needs_table (&f)) {
    read_zone (r);
    return;
  }
  r->next = q->all_zones.waiting_for_next;
  q->all_zones.waiting_for_next = r;
  if (q->all_zones.table == NULL)
    read_all_zones (q);
}
