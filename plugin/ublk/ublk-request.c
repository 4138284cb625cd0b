/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A request of the kernel's, from what it asks to what it is told; see
 * ublk-queue-internal.h.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ublk-queue-internal.h"

/* The request that this thread serves; NULL: none just now. */
static _Thread_local struct ublk_request *served;

static inline uint64_t
bytes_of (uint64_t sectors)
{
  return sectors << ZONE_SECTOR_SHIFT;
}

static inline uint64_t
offset_of (const struct ublk_request *t)
{
  return bytes_of (t->at_port.asked->sector);
}

static inline uint32_t
size_of (const struct ublk_request *t)
{
  return bytes_of (t->at_port.asked->count);
}

static inline bool
is_fua (const struct ublk_request *t)
{
  return (t->at_port.asked->operation & UBLK_IO_F_FUA) != 0;
}

/*---------------------------------------------------------------------*/
/* Errors */

/* Is it about a zone, whose condition may say more than the error does? */
static bool
is_about_zone (const struct ublk_request *t)
{
  if (t->queue->plan->zone_size == 0)
    return false;
  switch (UBLK_OPERATION (t->at_port.asked)) {
  case UBLK_IO_OP_WRITE:
  case UBLK_IO_OP_ZONE_APPEND:
  case UBLK_IO_OP_ZONE_OPEN:
  case UBLK_IO_OP_ZONE_CLOSE:
  case UBLK_IO_OP_ZONE_FINISH:
  case UBLK_IO_OP_ZONE_RESET:
    return true;
  default:
    return false;
  }
}

/* The kernel is told which limit is full by how many zones are open and active:
 * so all zones are looked at.
 */
int
ublk_request_error (const struct ublk_request *t, int err)
{
  const struct ublk_queue *q = t->queue;
  struct zones *const zones = q->device->zones;
  const uint64_t zone =
      q->plan->zone_size != 0 ? offset_of (t) / q->plan->zone_size : 0;
  struct zoned_failure f = {
      .error = err,
      .max_open = q->plan->params.max_open_zones,
      .max_active = q->plan->params.max_active_zones,
      .is_command = zoned_condition (UBLK_OPERATION (t->at_port.asked)) !=
                    ZONE_COND_NOT_WP,
  };
  struct zone_descriptor descriptor, *all = NULL;
  int r;

  if (!is_about_zone (t))
    return zoned_plain_error (err);
  if (zoned_needs_table (&f))
    all = malloc (q->plan->nr_zones * sizeof *all);
  if (all != NULL) {
    f.nr_zones = zones_read_table (zones, 0, all, q->plan->nr_zones);
    f.zone = zone;
  }
  else
    f.nr_zones = zones_read_table (zones, zone, &descriptor, 1);
  f.table = all != NULL ? all : &descriptor;
  if (f.zone >= f.nr_zones || (all == NULL && zoned_needs_table (&f)))
    f.table = NULL;
  r = zoned_error (&f);
  free (all);
  return r;
}

/*---------------------------------------------------------------------*/
/* What is asked.  These return bytes, or a negative errno of the device's. */

static bool
is_null (const struct ublk_queue *q)
{
  return q->device->store == NULL && q->device->zones == NULL;
}

static int
read_null (struct ublk_request *t)
{
  struct ublk_queue *q = t->queue;
  const uint32_t n = size_of (t);
  int r;

  t->has_zeroes = false;
  r = device_read (q->connection, q->zeroes, n, offset_of (t));
  if (r == 0)
    r = port_put (&t->at_port, q->zeroes, n, 0);
  if (!t->has_zeroes)
    memset (q->zeroes, 0, n);
  return r == 0 ? (int) n : r;
}

/* Data goes right from the store to the kernel, and from the kernel to the
 * store.
 */
static int
to_kernel (struct store_mover *m, void *data, uint64_t n, uint64_t at)
{
  const struct ublk_request *t = CONTAINER_OF (struct ublk_request, mover, m);

  return port_put (&t->at_port, data != NULL ? data : t->queue->zeroes, n, at);
}

static int
from_kernel (struct store_mover *m, void *data, uint64_t n, uint64_t at)
{
  return port_take (&CONTAINER_OF (struct ublk_request, mover, m)->at_port,
                    data, n, at);
}

static int
serve_read (struct ublk_request *t)
{
  struct ublk_queue *q = t->queue;
  const uint32_t n = size_of (t);
  int r;

  if (is_null (q))
    return read_null (t);
  t->mover.move = to_kernel;
  r = device_read_to (q->connection, &t->mover, q->buffer, n, offset_of (t));
  return r == 0 ? (int) n : r;
}

/* Data that nobody looks at need not be there. */
static bool
is_looked_at (const struct ublk_queue *q)
{
  return q->device->store != NULL || q->device->log != NULL;
}

static int
take_data (struct ublk_request *t, void *buf, uint32_t n)
{
  return is_looked_at (t->queue) ? port_take (&t->at_port, buf, n, 0) : 0;
}

static int
serve_write (struct ublk_request *t)
{
  struct ublk_queue *q = t->queue;
  const uint32_t n = size_of (t);
  int r;

  t->mover.move = from_kernel;
  r = is_looked_at (q) ? device_write_from (q->connection, &t->mover, q->buffer,
                                            n, offset_of (t), is_fua (t))
                       : device_write (q->connection, q->buffer, n,
                                       offset_of (t), is_fua (t));
  return r == 0 ? (int) n : r;
}

static int
serve_append (struct ublk_request *t)
{
  struct ublk_queue *q = t->queue;
  const uint32_t n = size_of (t);
  uint64_t offset = 0;
  int r;

  r = take_data (t, q->buffer, n);
  if (r == 0)
    r = device_append (q->connection, q->buffer, n, offset_of (t), is_fua (t),
                       &offset);
  t->sector = r == 0 ? offset >> ZONE_SECTOR_SHIFT : 0;
  return r == 0 ? (int) n : r;
}

static int
serve_command (struct ublk_request *t)
{
  const struct ublk_queue *q = t->queue;
  const struct zone_descriptor wanted = {
      .cond = zoned_condition (UBLK_OPERATION (t->at_port.asked))};
  uint64_t done;

  return device_zone_commands (
      q->connection, offset_of (t) / q->plan->zone_size, &wanted, 1, &done);
}

/* The kernel's buffer may have room for more zones than it asks for, and less
 * than all of it would be taken for a part: so this is at least all of it.
 */
static int
serve_report (struct ublk_request *t)
{
  struct ublk_queue *q = t->queue;
  const struct device_plan *plan = q->plan;
  const uint64_t first = offset_of (t) / plan->zone_size;
  struct zone_descriptor *const table = q->buffer;
  uint64_t n = t->at_port.asked->count;
  int r;

  if (n > plan->max_io / sizeof *table)
    n = plan->max_io / sizeof *table;
  n = zones_read_table (q->device->zones, first, table, n);
  if (n == 0)
    return -EIO;
  zoned_report (table, n);
  r = port_put (&t->at_port, table, n * sizeof *table, 0);
  return r == 0 ? (int) plan->max_io : r;
}

static int
serve (struct ublk_request *t)
{
  const struct ublksrv_io_desc *asked = t->at_port.asked;
  struct connection *c = t->queue->connection;

  switch (UBLK_OPERATION (asked)) {
  case UBLK_IO_OP_READ:
    return serve_read (t);
  case UBLK_IO_OP_WRITE:
    return serve_write (t);
  case UBLK_IO_OP_FLUSH:
    return device_flush (c);
  case UBLK_IO_OP_DISCARD:
    return device_trim (c, size_of (t), offset_of (t), is_fua (t));
  case UBLK_IO_OP_WRITE_ZEROES:
    return device_zero (c, size_of (t), offset_of (t),
                        (asked->operation & UBLK_IO_F_NOUNMAP) == 0,
                        is_fua (t));
  }
  if (t->queue->plan->zone_size != 0) {
    switch (UBLK_OPERATION (asked)) {
    case UBLK_IO_OP_ZONE_OPEN:
    case UBLK_IO_OP_ZONE_CLOSE:
    case UBLK_IO_OP_ZONE_FINISH:
    case UBLK_IO_OP_ZONE_RESET:
      return serve_command (t);
    case UBLK_IO_OP_ZONE_RESET_ALL:
      return device_reset_zones (c);
    case UBLK_IO_OP_ZONE_APPEND:
      return serve_append (t);
    case UBLK_IO_OP_REPORT_ZONES:
      return serve_report (t);
    }
  }
  return -EOPNOTSUPP;
}

/* T was served, with the result R; or it waits. */
static inline void
answer (struct ublk_request *t, int r)
{
  const struct ublk_queue *q = t->queue;

  served = NULL;
  if (__builtin_expect (r < 0, 0) && q->connection->front_end->report != NULL)
    q->connection->front_end->report (q->device, r);
  t->result = r < 0 ? ublk_request_error (t, r) : r;
  if (t->due != NULL)
    ublk_request_put_in (t);
  else
    port_answer (&t->at_port, t->result, t->sector);
}

void
ublk_request_begin (struct port_request *at_port)
{
  struct ublk_request *const t =
      CONTAINER_OF (struct ublk_request, at_port, at_port);
  int r = -ESHUTDOWN;

  t->due = NULL;
  t->sector = 0;
  t->queue->requests++;
  served = t;
  if (!atomic_load_explicit (&t->queue->fails_all, memory_order_relaxed))
    r = serve (t);
  answer (t, r);
}

/* While a request hangs, nobody keeps its data: a write's is taken only now. */
void
ublk_request_go_on (struct ublk_request *t, bool gone)
{
  const unsigned operation = UBLK_OPERATION (t->at_port.asked);
  const bool appends = operation == UBLK_IO_OP_ZONE_APPEND;
  void *const buf = t->queue->buffer;
  uint32_t n = 0;
  uint64_t offset;
  int r, taken = 0;

  if (operation == UBLK_IO_OP_READ || operation == UBLK_IO_OP_WRITE || appends)
    n = size_of (t);
  if (!gone && (operation == UBLK_IO_OP_WRITE || appends))
    taken = take_data (t, buf, n);
  ublk_request_let_go (t);
  served = t;
  r = device_resume_parked (t->request, buf, gone || taken < 0, &offset);
  if (r == 0 && operation == UBLK_IO_OP_READ)
    r = port_put (&t->at_port, buf, n, 0);
  if (r == 0 && appends)
    t->sector = offset >> ZONE_SECTOR_SHIFT;
  if (taken < 0)
    r = taken;
  answer (t, r == 0 ? (int) n : r);
}

/*---------------------------------------------------------------------*/
/* front_end */

/* Called for an early write that could not be set aside: it naps for 0 ns. */
static int
nap (void *opaque, uint64_t nsec)
{
  (void) opaque;
  (void) nsec;
  return atomic_load_explicit (&served->queue->fails_all, memory_order_relaxed)
             ? -ESHUTDOWN
             : 0;
}

static uint64_t
arrival (void)
{
  return served->queue->arrived;
}

static bool
still_zero (const void *buf, size_t n)
{
  (void) n;
  served->has_zeroes = buf == served->queue->zeroes;
  return served->has_zeroes;
}

static bool
defer (uint64_t due_at, uint64_t spin,
       int (*due) (void *request, uint64_t *moment, bool gone),
       const void *request, size_t size, size_t data)
{
  (void) data;
  return ublk_request_defer (served, due_at, spin, due, request, size);
}

static void *
set_aside (uint64_t until, uint64_t spin,
           bool (*retry) (void *request, const void *payload, uint64_t *moment),
           int (*due) (void *request, uint64_t *moment, bool gone),
           const void *request, size_t size, const void *payload, size_t n)
{
  return ublk_request_set_aside (served, until, spin, retry, due, request, size,
                                 payload, n);
}

static void *
park (const void *request, size_t size)
{
  return ublk_request_park (served, request, size);
}

/* Nobody can be dropped: where a cut of the power disconnects clients, requests
 * fail.
 */
void
ublk_request_front_end (struct front_end *front_end)
{
  front_end->wait.sleep_for = nap;
  front_end->arrival = arrival;
  front_end->still_zero = still_zero;
  front_end->defer = defer;
  front_end->set_aside = set_aside;
  front_end->hasten = ublk_request_hasten;
  front_end->park = park;
}
