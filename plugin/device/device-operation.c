/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What each operation does, between the beginning and the end of its request;
 * see device.h.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device-internal.h"

/* A copy to corrupt: the client's own buffer stays as it is. */
static void *
copy_data (const struct request *r, const void *buf)
{
  void *copy = malloc (r->io.count);

  return copy != NULL ? memcpy (copy, buf, r->io.count) : NULL;
}

static int
write_corrupted (struct request *r, const void *buf)
{
  void *copy = copy_data (r, buf);
  int result;

  if (copy == NULL)
    return -ENOMEM;
  faults_corrupt (&r->verdict, &r->io, copy, r->version->s.block_size);
  result = request_write_data (r, copy, false);
  free (copy);
  return result;
}

/* Only with its zone does an append know its offset. */
static int
append_data (struct request *r, const void *buf)
{
  void *copy = NULL;
  int result;

  if (request_is_corrupted (r)) {
    copy = copy_data (r, buf);
    if (copy == NULL)
      return -ENOMEM;
  }
  result = device_append_zone (r, buf, copy);
  free (copy);
  return result == DURABILITY_CUT ? request_finish_cut (r)
                                  : end_change_of_data (r, result);
}

/* Without discard=true a trim does nothing, but it still fails at bad blocks.
 */
static inline __attribute__ ((always_inline)) int
do_trim (struct request *r)
{
  struct device *d = r->connection->device;
  const bool discard = r->version->s.discard;
  int result = 0, bad;

  if (d->zones != NULL && discard)
    result = zones_check_trim (d->zones, r->io.count, r->io.offset);
  if (result < 0)
    return result;
  bad = meet_badblocks (r);
  if (r->nr_to_move > 0 && discard)
    result = d->zones != NULL
                 ? device_trim_zones (d, r->nr_to_move, r->io.offset, r->fua)
                 : trim_data (d, r->nr_to_move, r->io.offset, r->fua);
  return bad < 0 ? bad : end_change_of_data (r, result);
}

/*---------------------------------------------------------------------*/
/* Requests */

/* Does the buffer of a read hold nothing but zeroes already, so that it need
 * not be filled?  Asking is a promise to answer with zeroes.
 */
static bool
buffer_is_still_zero (const struct request *r, const void *buf)
{
  const struct device *d = r->connection->device;
  const struct front_end *front_end = r->connection->front_end;

  return front_end->still_zero != NULL && d->store == NULL &&
         d->zones == NULL && !request_is_corrupted (r) &&
         front_end->still_zero (buf, r->io.count);
}

/* A read that was prepared with RESULT puts its data into BUF. */
static inline __attribute__ ((always_inline)) int
read_to_buffer (struct request *r, int result, void *buf)
{
  struct device *d = r->connection->device;

  if (result == 0 && d->zones != NULL)
    result = device_read_zones (r, buf);
  else if (result == 0) {
    result = meet_badblocks (r);
    if (result == 0 && !buffer_is_still_zero (r, buf))
      answer_with_data (r, buf);
  }
  if (result == 0 && request_is_corrupted (r))
    faults_corrupt (&r->verdict, &r->io, buf, r->version->s.block_size);
  return result;
}

/* The functions from here on do a request that was prepared with RESULT, and
 * end it, unless it is parked, or set aside.  Those that are always inlined are
 * used in two places, and the compiler would make calls of them.
 */
static inline __attribute__ ((always_inline)) int
read_and_end (struct request *r, int result, void *buf)
{
  result = read_to_buffer (r, result, buf);
  if (__builtin_expect (result == DEVICE_PARKED, 0))
    return request_park (r, RESUME_READ);
  return request_end (r, result);
}

static inline int
write_and_end (struct request *r, int result, const void *buf)
{
  if (r->nr_to_move > 0)
    result = request_is_corrupted (r) ? write_corrupted (r, buf)
                                      : request_write_data (r, buf, false);
  if (__builtin_expect (result == DEVICE_PARKED, 0))
    return request_park (r, RESUME_WRITE);
  return result != REQUEST_ASIDE ? request_end (r, result) : 0;
}

static inline int
append_and_end (struct request *r, int result, const void *buf,
                uint64_t *offset)
{
  if (r->nr_to_move > 0)
    result = append_data (r, buf);
  *offset = r->io.offset;
  if (__builtin_expect (result == DEVICE_PARKED, 0))
    return request_park (r, RESUME_APPEND);
  return request_end (r, result);
}

static inline int
zero_and_end (struct request *r, int result, bool may_trim)
{
  if (r->nr_to_move > 0)
    result = request_write_data (r, NULL, may_trim);
  if (__builtin_expect (result == DEVICE_PARKED, 0)) {
    r->may_trim = may_trim;
    return request_park (r, RESUME_ZERO);
  }
  return result != REQUEST_ASIDE ? request_end (r, result) : 0;
}

static inline __attribute__ ((always_inline)) int
trim_and_end (struct request *r, int result)
{
  if (r->nr_to_move > 0)
    result = do_trim (r);
  if (__builtin_expect (result == DEVICE_PARKED, 0))
    return request_park (r, RESUME_TRIM);
  return request_end (r, result);
}

static inline int
flush_and_end (struct request *r, int result)
{
  if (result == 0 && !request_is_skipped (r))
    result = flush_data (r->connection->device);
  if (__builtin_expect (result == DEVICE_PARKED, 0))
    return request_park (r, RESUME_FLUSH);
  return request_end (r, result);
}

int
request_resume (struct request *r, int result, void *buf, uint64_t *offset)
{
  if (result == 0 && !request_is_skipped (r))
    r->nr_to_move = r->io.count;
  switch (r->resume_op) {
  case RESUME_READ:
    return read_and_end (r, result, buf);
  case RESUME_WRITE:
    return write_and_end (r, result, buf);
  case RESUME_APPEND:
    return append_and_end (r, result, buf, offset);
  case RESUME_ZERO:
    return zero_and_end (r, result, r->may_trim);
  case RESUME_TRIM:
    return trim_and_end (r, result);
  default:
    return flush_and_end (r, result);
  }
}

static inline int
begin_read (struct request *r, struct connection *c, uint32_t count,
            uint64_t offset)
{
  int result;

  request_begin (r, c, OP_READ, count, offset);
  result = request_admit (r, false);
  return result == 0 ? request_prepare (r, OP_READ) : result;
}

/* A write or a write of zeroes. */
static inline int
begin_write (struct request *r, struct connection *c, enum operation op,
             uint32_t count, uint64_t offset, bool fua)
{
  int result;

  request_begin (r, c, op, count, offset);
  r->fua = fua;
  result = request_admit (r, true);
  return result == 0 ? request_prepare (r, op) : result;
}

int
device_read (struct connection *c, void *buf, uint32_t count, uint64_t offset)
{
  struct request request;
  int r;

  r = begin_read (&request, c, count, offset);
  return read_and_end (&request, r, buf);
}

/* Can data go right to the store, or come right from it, for a request that is
 * prepared?  All other parts of a device want to look at it in a buffer.
 */
static bool
moves_in_place (const struct request *r)
{
  const struct device *d = r->connection->device;

  return d->store != NULL && d->zones == NULL &&
         !badblocks_any (&d->badblocks) && !request_is_corrupted (r);
}

int
device_read_to (struct connection *c, struct store_mover *to, void *buf,
                uint32_t count, uint64_t offset)
{
  struct device *d = c->device;
  struct request request;
  int r;

  r = begin_read (&request, c, count, offset);
  if (r == DEVICE_PARKED)
    return request_park (&request, RESUME_READ);
  if (r == 0 && moves_in_place (&request))
    r = store_read_to (d->store, d->number, to, buf, count, offset);
  else if (r == 0) {
    r = read_to_buffer (&request, r, buf);
    if (r == 0)
      r = to->move (to, buf, count, 0);
  }
  return request_end (&request, r);
}

int
device_write (struct connection *c, const void *buf, uint32_t count,
              uint64_t offset, bool fua)
{
  struct request request;
  int r;

  r = begin_write (&request, c, OP_WRITE, count, offset, fua);
  return write_and_end (&request, r, buf);
}

static bool
writes_in_place (const struct request *r)
{
  const struct device *d = r->connection->device;

  return moves_in_place (r) && d->log == NULL &&
         !durability_needs_lock (d->durability) && r->io.count <= STORE_STEP;
}

static int
write_in_place (struct request *r, struct store_mover *from)
{
  struct device *d = r->connection->device;
  const int result =
      store_write_from (d->store, d->number, from, r->io.count, r->io.offset);

  if (result == -ENOSPC)
    atomic_store_explicit (&d->enospc_seen, true, memory_order_relaxed);
  return result;
}

int
device_write_from (struct connection *c, struct store_mover *from, void *buf,
                   uint32_t count, uint64_t offset, bool fua)
{
  struct request request;
  int r;

  r = begin_write (&request, c, OP_WRITE, count, offset, fua);
  if (request.nr_to_move > 0 && writes_in_place (&request))
    return request_end (&request, write_in_place (&request, from));
  if (request.nr_to_move > 0) {
    r = from->move (from, buf, count, 0);
    if (r < 0)
      request.nr_to_move = 0;
  }
  return write_and_end (&request, r, buf);
}

int
device_append (struct connection *c, const void *buf, uint32_t count,
               uint64_t zone_start, bool fua, uint64_t *offset)
{
  struct request request;
  int r;

  r = begin_write (&request, c, OP_WRITE, count,
                   zones_append_offset (c->device->zones, zone_start), fua);
  return append_and_end (&request, r, buf, offset);
}

int
device_zero (struct connection *c, uint32_t count, uint64_t offset,
             bool may_trim, bool fua)
{
  struct request request;
  int r;

  r = begin_write (&request, c, OP_ZERO, count, offset, fua);
  return zero_and_end (&request, r, may_trim);
}

/* A trim that resets zones takes as long as a reset does. */
int
device_trim (struct connection *c, uint32_t count, uint64_t offset, bool fua)
{
  struct device *d = c->device;
  const struct settings *s;
  struct request request;
  bool resets;
  int r;

  s = request_begin (&request, c, OP_TRIM, count, offset);
  request.fua = fua;
  r = request_admit (&request, true);
  if (r == 0) {
    request.frees = s->discard;
    resets = d->zones != NULL && s->discard &&
             zones_trim_would_reset (d->zones, count, offset);
    r = request_prepare (&request, resets ? OP_ZONE : OP_TRIM);
  }
  return trim_and_end (&request, r);
}

int
device_flush (struct connection *c)
{
  struct request request;
  int r;

  request_begin (&request, c, OP_FLUSH, 0, 0);
  r = request_admit_power (&request);
  if (r == 0)
    r = request_prepare (&request, OP_FLUSH);
  return flush_and_end (&request, r);
}
