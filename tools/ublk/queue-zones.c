/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Zone commands, and reports of zones.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue-internal.h"

static const char reset_all[] = "zones=reset\n";

static void
command_is_done (struct io *io, int err)
{
  struct queue_request *r = CONTAINER_OF (struct queue_request, io, io);

  if (request_begin_zone_check (r, err))
    return;
  appends_forget (r->queue->device->appends, r->zone);
  if (err == 0 && UBLK_OPERATION (kernel_request (r)) == UBLK_IO_OP_ZONE_RESET)
    queue_forget_zones (r->queue, r->zone, 1);
  if (err == 0)
    request_answer (r, 0);
  else
    request_explain (r, err);
}

/* A command is a write of the zone's descriptor with the condition that the
 * zone is to have.
 */
void
request_command (struct queue_request *r)
{
  struct queue *q = r->queue;

  r->zone = bytes_of (kernel_request (r)->sector) / q->plan->zone_size;
  memset (&r->descriptor, 0, sizeof r->descriptor);
  r->descriptor.cond = zoned_condition (UBLK_OPERATION (kernel_request (r)));
  request_submit (r, q->zones, IO_WRITE, r->zone * ZONE_DESCRIPTOR_SIZE,
                  ZONE_DESCRIPTOR_SIZE, &r->descriptor, command_is_done);
}

static void
all_are_reset (struct io *io, int err)
{
  struct queue_request *r = CONTAINER_OF (struct queue_request, io, io);

  appends_forget_all (r->queue->device->appends);
  if (err == 0)
    queue_forget_zones (r->queue, 0, r->queue->plan->nr_zones);
  request_answer (r, err == 0 ? 0 : zoned_plain_error (err));
}

void
request_reset_all (struct queue_request *r)
{
  char *text;

  memcpy (&text, &(const char *){reset_all}, sizeof text); /* it is only read */
  request_submit (r, r->queue->config, IO_WRITE, 0, sizeof reset_all - 1, text,
                  all_are_reset);
}

/* Are the zones of a report those with which the device was made?  The kernel
 * believes any report, and never comes to an end after a zone without length.
 */
static bool
agrees_with_plan (const struct queue_request *r, uint64_t first, uint64_t n)
{
  uint64_t i;

  for (i = 0; i < n; i++) {
    if (!zoned_is_same (&r->table[i], &r->queue->plan->table[first + i]))
      return false;
  }
  return true;
}

static void
report_is_done (struct io *io, int err)
{
  struct queue_request *r = CONTAINER_OF (struct queue_request, io, io);
  const uint64_t n = io->count / ZONE_DESCRIPTOR_SIZE;

  if (err == 0 && !agrees_with_plan (r, io->offset / ZONE_DESCRIPTOR_SIZE, n))
    err = -EIO;
  if (err == 0) {
    zoned_report (r->table, n);
    err = port_put (&r->at_port, r->table, io->count, 0);
  }
  /* The result counts bytes, and less than the size of the kernel's buffer,
   * which may have room for more zones, would mean that a part was done.  So
   * the result is at least that size.
   */
  request_answer (r, err == 0 ? (int) r->queue->plan->max_io
                              : zoned_plain_error (err));
  free (r->table);
  r->table = NULL;
}

void
request_report (struct queue_request *r)
{
  const struct device_plan *plan = r->queue->plan;
  const uint64_t first =
      bytes_of (kernel_request (r)->sector) / plan->zone_size;
  uint64_t n = kernel_request (r)->count;

  if (first >= plan->nr_zones || n == 0) {
    request_answer (r, -EIO);
    return;
  }
  if (n > plan->nr_zones - first)
    n = plan->nr_zones - first;
  r->table = malloc (n * sizeof *r->table);
  if (r->table == NULL)
    request_answer (r, -ENOMEM);
  else
    request_submit (r, r->queue->zones, IO_READ, first * ZONE_DESCRIPTOR_SIZE,
                    n * ZONE_DESCRIPTOR_SIZE, r->table, report_is_done);
}
