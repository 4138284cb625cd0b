/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Declarations that the files of this room share.  Each file calls only those
 * that stand below it:
 *
 *     device.c             makes the devices of a server, and finds them
 *     device-parked.c      a request that hung without a thread goes on
 *     device-command.c     zone commands
 *     device-operation.c   reads, writes, trims and flushes
 *     device-at-once.c     reads and writes that are done at once
 *     device-write.c       the data of a write, now or when its zone is ready
 *     device-request.c     the beginning and the end of a request
 *     device-extent.c      where there is data, and where a hole
 *     device-zones.c       reads, writes and trims of zones
 *     device-faults.c      what fault rules and bad blocks do to a request
 *     device-power.c       power is cut, and comes back
 *     device-log.c         changes that go into the store and the write log
 *     device-connection.c  connections, and what they count
 *     device-settings.c    settings, from one change to the next
 */

#ifndef NULLBLK_DEVICE_INTERNAL_H
#define NULLBLK_DEVICE_INTERNAL_H

#include <errno.h>
#include <string.h>

#include "device.h"

/* Count one user less, and free the version if that was the last.
 * devices.settings_lock is held, or no other thread uses the devices.
 */
void settings_version_drop (struct settings_version *version);

/* Allocate NR structs of SIZE bytes, all zero, each at the beginning of a cache
 * line.
 */
void *device_alloc (size_t nr, size_t size);

/* By the settings in force, does a cut of the power drop clients? */
bool device_drops_clients (struct device *d);

/* Drop the client whose request this thread serves, if there is a way. */
static inline void
drop_client (const struct front_end *front_end)
{
  if (front_end->disconnect != NULL)
    front_end->disconnect ();
}

/* Free all connections of a device that nobody uses any more. */
void connections_destroy (struct device *d);

/* Add what a connection has counted to its device.  c->lock is held. */
void connection_add_counts (struct connection *c);

/*---------------------------------------------------------------------*/
/* Requests */

/* What device_resume_parked does of a request that hung. */
enum resume_op {
  RESUME_READ,
  RESUME_WRITE,
  RESUME_APPEND,
  RESUME_ZERO,
  RESUME_TRIM,
  RESUME_FLUSH,
  RESUME_COMMAND,
  RESUME_RESET_ALL
};

struct request {
  struct connection *connection;
  struct settings_version *version;
  struct io_info io; /* as faults see it */
  uint32_t epoch;    /* durability_epoch when it began; if power was off, the
                      * epoch before, which never comes again */

  /* All of these are zero at first.  They lie side by side, so that few
   * instructions clear them.
   */
  uint32_t nr_to_move; /* bytes of data that move: all, some, or none */
  uint32_t nr_bookings;
  uint32_t nr_done; /* how many bytes a long change wrote before it failed */
  uint32_t part_offset; /* where the bytes that move begin, from io.offset */
  bool has_more_parts;  /* a part of a write moves, and after it another one */
  bool fua;
  bool frees;           /* a trim that frees, or a reset of zones */
  bool is_judged;       /* fault rules have given a verdict */
  bool mends;           /* it is to make bad blocks good when it is done */
  bool disconnects;     /* the client is dropped, instead of an answer */
  bool is_quiesced;     /* see device-power.c */
  bool was_set_aside;   /* front_end.set_aside has taken it */
  bool is_listed_early; /* it may be in the list of zones_list_early */
  uint64_t due_at;      /* when it completes; 0: at once */

  int result; /* before the wait until it is due */

  /* The request's bookings of lanes and limits if it has to wait: that of
   * its first part, and those of other parts, which are freed with the request.
   */
  struct latency_booking booking;
  struct latency_booking *more_bookings;

  /* For a write that is early.  early.since is also used where it waits on its
   * thread; may_trim and is_zero are for its next try.
   */
  struct zone_early early;
  bool may_trim, is_zero;

  /* The copy of a write that is set aside ends here, and that of a request
   * whose answer is deferred ends before `early`.  What follows the verdict is
   * only for the copy of a request that hangs without a thread.
   */
  struct fault_verdict verdict;
  enum resume_op resume_op;
  enum zone_cond cond; /* of a zone command */
  struct fault_parked parked;
};

/* Returns the offset in the device of the bytes that move. */
static inline uint64_t
request_place (const struct request *r)
{
  return r->io.offset + r->part_offset;
}

/* Was power off when the request began, or has it gone off since? */
static inline bool
request_met_cut (const struct request *r)
{
  return durability_epoch (r->connection->device->durability) != r->epoch;
}

/* Begin a request of OP, which request_end ends, and say which settings it is
 * to go by.
 */
const struct settings *request_begin (struct request *r, struct connection *c,
                                      enum operation op, uint32_t count,
                                      uint64_t offset);

/* Returns 0, or -ESHUTDOWN if power was off when the request began.  Until a
 * request is admitted, is_quiesced is set only for this reason.
 */
static inline int
request_admit_power (const struct request *r)
{
  return r->is_quiesced ? -ESHUTDOWN : 0;
}

/* Say when a request that was admitted is to complete, by the latency of OP.  A
 * request that has several parts completes when the last of them does.  To be
 * called where the settings make requests wait.
 */
void request_set_due (struct request *r, enum operation op);

/* Do as request_prepare, for a device with fault rules. */
int request_prepare_with_faults (struct request *r, enum operation op);

/* A request that was admitted meets fault rules and gets its due time, as OP
 * has it.  Returns 0, or the error that it is to end with, or DEVICE_PARKED if
 * it hangs and is to be parked.  Then r->nr_to_move bytes are to be moved: all
 * or none.
 */
static inline int
request_prepare (struct request *r, enum operation op)
{
  if (__builtin_expect (faults_any (&r->connection->device->faults), 0))
    return request_prepare_with_faults (r, op);
  if (r->version->s.latency.waits)
    request_set_due (r, op);
  r->nr_to_move = r->io.count;
  return 0;
}

/* Count a request, which makes its thread wait, for `places` and
 * began_saturated (struct connection).  c->lock is held.
 */
void request_count_place (struct connection *c);

/* The moment of a deferred request has come; see front_end.defer.  For a write
 * that was set aside the caller has reported success, so that any other result
 * has to be returned here.
 */
int request_when_due (void *request, uint64_t *moment, bool gone);

/* The moment at which the request arrived that this thread is about to begin.
 */
uint64_t request_arrival (const struct front_end *front_end);

/* Does the request, which does not wait, end with those that arrived together
 * with it?  Then it is counted as open, and ends when they do.
 */
bool request_ends_with_others (struct connection *c);

/* End a request: it waits for what is left of its time, and is counted; or the
 * front end has both done later (front_end.defer), and this returns at once.
 * Returns RESULT, or -ESHUTDOWN.
 */
int request_end (struct request *r, int result);

/* The request is quiesced from here on: it changes nothing until it is active
 * again.
 */
void request_quiesce (struct request *r);

/* The request is active again.  Returns 0, or -ESHUTDOWN if power was cut
 * meanwhile.
 */
int request_reactivate (struct request *r);

/* Ask the fault rules for a verdict on a request. */
void request_ask_faults (struct request *r);

/* Delay the request, or let it hang, as the verdict says.  Returns 0, or the
 * error that the request is to end with; or DEVICE_PARKED if it hangs, and the
 * caller is to have request_park keep it.
 */
int request_obey_verdict (struct request *r);

/* Have the front end keep a request that hangs, until device_resume_parked does
 * RESUME_OP.  Returns DEVICE_PARKED.
 */
int request_park (struct request *r, enum resume_op resume_op);

/* Do what is left of a request that was parked, and end it.  RESULT is 0, or
 * the error that it is to end with; BUF is the data of a read, write or append;
 * *OFFSET, of an append, is where that goes.
 */
int request_resume (struct request *r, int result, void *buf, uint64_t *offset);
int command_resume (struct request *r, int result);

/* Is the request to be acknowledged, and not done? */
static inline bool
request_is_skipped (const struct request *r)
{
  return r->is_judged && r->verdict.is_skipped;
}

static inline bool
request_is_corrupted (const struct request *r)
{
  return r->is_judged && r->verdict.corrupts;
}

static inline void
request_forget_verdict (struct request *r)
{
  if (__builtin_expect (r->is_judged, 0)) {
    faults_done (&r->verdict);
    r->is_judged = false;
  }
}

/* Tell whoever cuts power, or puts it back on, that a request is quiesced. */
void device_tell_quiesced (struct device *d);

/* Finish the power cut that was due at the request's change; no lock is held.
 * Returns -ESHUTDOWN, what comes of the request.
 */
int request_finish_cut (struct request *r);

static inline int
check_alignment (const struct settings *s, uint32_t count, uint64_t offset)
{
  return ((offset | count) & (s->block_size - 1)) != 0 ? -EINVAL : 0;
}

/* May the request, which CHANGES something or reads, be done at all?  Returns 0
 * or the error.
 */
static inline int
request_admit (const struct request *r, bool changes)
{
  if (request_admit_power (r) < 0)
    return -ESHUTDOWN;
  if (changes && r->version->s.read_only)
    return -EROFS;
  return check_alignment (&r->version->s, r->io.count, r->io.offset);
}

/*---------------------------------------------------------------------*/
/* Data.  The functions that most requests need are inline, to save the call. */

/* Every byte must be set: the buffer holds what an earlier request left. */
static inline void
read_data (struct device *d, void *buf, uint64_t count, uint64_t offset)
{
  if (d->store != NULL)
    store_read (d->store, d->number, buf, count, offset);
  else
    memset (buf, 0, count);
}

/* Answer a read with what is there.  If a rule corrupts the data it is read to
 * BUF, and not to another place of the front end's (answer_buffer), as
 * faults_corrupt changes it in BUF.
 */
static inline void
answer_with_data (const struct request *r, void *buf)
{
  struct device *d = r->connection->device;
  const struct front_end *front_end = r->connection->front_end;

  if (d->store != NULL && front_end->answer_buffer != NULL &&
      !request_is_corrupted (r))
    buf = front_end->answer_buffer (buf, r->io.count);
  read_data (d, buf, r->io.count, r->io.offset);
}

/* Do zeroes give memory back, rather than hold it? */
static inline bool
zeroes_are_holes (const struct settings *s, bool may_trim)
{
  return !s->zero_memory || (may_trim && s->discard);
}

/* Write step by step, and log each step where there is a log: data that is
 * longer than STORE_STEP, or a part of a write; where BUF is NULL, zeroes that
 * keep memory.  Other requests, and a power cut, come between two steps: so
 * where this returns an error, r->nr_done bytes are in place.
 */
int device_change_long (struct request *r, const char *buf);

/* Write r->nr_to_move bytes of BUF, or zeroes where it is NULL, to
 * request_place.  Returns what durability_write does; where that is an error,
 * r->nr_done bytes are in place if the device has zones.
 */
static inline int
change_store (struct request *r, const void *buf, bool may_trim)
{
  struct device *d = r->connection->device;
  const bool holes = buf == NULL && zeroes_are_holes (&r->version->s, may_trim);
  const uint32_t count = r->nr_to_move;
  const uint64_t offset = request_place (r);
  int result;

  /* Only the last part counts as a write for durability_cut_after. */
  if (__builtin_expect (r->has_more_parts, 0))
    return holes ? durability_trim (d->durability, count, offset, r->fua)
                 : device_change_long (r, buf);
  if (count > STORE_STEP && !holes &&
      (d->zones != NULL || durability_needs_lock (d->durability)))
    return device_change_long (r, buf);
  if (buf != NULL)
    result = durability_write (d->durability, buf, count, offset, r->fua);
  else
    result = durability_zero (d->durability, count, offset, r->fua, holes);
  if (result == -ENOSPC)
    atomic_store_explicit (&d->enospc_seen, true, memory_order_relaxed);
  return result;
}

/* These are for a device with a write log, which notes what they do. */

/* Do as change_store. */
int log_change (struct request *r, const void *buf, bool may_trim);
/* Trim. */
int log_trim (struct device *d, uint64_t count, uint64_t offset, bool fua);
/* Flush. */
int log_flush (struct device *d);
/* The sequential zone that begins at OFFSET, and had COUNT bytes, is reset. */
int log_reset (struct device *d, uint64_t count, uint64_t offset);
/* Do the first phase of a power cut. */
int log_begin_cut (struct device *d, const struct power_cut *cut);

/* Set the functions by which *cut, a cut now or later, tells the log what it
 * brings back.
 */
void log_prepare_cut (struct device *d, struct power_cut *cut);

static inline bool
has_log (const struct device *d)
{
  return __builtin_expect (d->log != NULL, 0);
}

/* Check the r->nr_to_move bytes at request_place.  Returns 0, or -EIO;
 * r->nr_to_move is what may still be moved then.  With 0, r->mends may be set.
 */
int device_check_badblocks (struct request *r);

/* Make all blocks of a request good.  No lock is held.  Returns 0 or -ENOMEM.
 */
int device_mend (struct request *r);

/* All data of a change has moved, with RESULT: do what is left for bad blocks
 * that the request has met.  Returns the result of the request.
 */
static inline int
end_change_of_data (struct request *r, int result)
{
  return __builtin_expect (r->mends, 0) && result == 0 ? device_mend (r)
                                                       : result;
}

static inline int
meet_badblocks (struct request *r)
{
  const struct device *d = r->connection->device;

  return __builtin_expect (badblocks_any (&d->badblocks), 0)
             ? device_check_badblocks (r)
             : 0;
}

static inline int
change_data (struct request *r, const void *buf, bool may_trim)
{
  return has_log (r->connection->device) ? log_change (r, buf, may_trim)
                                         : change_store (r, buf, may_trim);
}

/* Bad blocks are looked for last before the data is changed: change the data
 * that lies before the first of them.  *bad is 0, or the error of bad blocks.
 */
static inline int
change_good_data (struct request *r, const void *buf, bool may_trim, int *bad)
{
  *bad = meet_badblocks (r);
  return *bad < 0 && r->nr_to_move == 0 ? 0 : change_data (r, buf, may_trim);
}

static inline int
trim_data (struct device *d, uint64_t count, uint64_t offset, bool fua)
{
  return has_log (d) ? log_trim (d, count, offset, fua)
                     : durability_trim (d->durability, count, offset, fua);
}

static inline int
flush_data (struct device *d)
{
  return has_log (d) ? log_flush (d) : durability_flush (d->durability);
}

/* Data of a device with zones. */
int device_read_zones (struct request *r, char *buf);

/* device_write_zone returns this for a write that is ahead of the write pointer
 * of its zone, in two cases: WAITS is false, so that it does not wait on its
 * thread; or it has waited there, and there may be room by now to set it aside.
 * Of a write across zones only the first part can be ahead, as each other part
 * begins where its zone does.
 */
#define REQUEST_EARLY 2
int device_write_zone (struct request *r, const void *buf, bool may_trim,
                       bool waits);

/* Write r->nr_to_move bytes of BUF at the write pointer of the zone of
 * r->io.offset.  On success r->io.offset becomes the offset at which they were
 * written.  COPY is NULL, or a copy of BUF that is corrupted as the verdict has
 * it for that offset, and written instead.
 */
int device_append_zone (struct request *r, const void *buf, void *copy);

/* For a write for which device_write_zone has returned REQUEST_EARLY.
 * device_list_early has front_end.hasten called when the write is worth
 * another try, which may be at once; the request must stay where it is until
 * device_forget_early, after which hasten is not called any more.
 */
void device_list_early (struct request *r);
void device_forget_early (struct request *r);

int device_trim_zones (struct device *d, uint32_t count, uint64_t offset,
                       bool fua);

/* The result of a write that was set aside: request_when_due ends it. */
#define REQUEST_ASIDE 3

/* Write the data of a request, or zeroes where BUF is NULL.  Returns 0, an
 * error, or REQUEST_ASIDE.
 */
int request_write_data (struct request *r, const void *buf, bool may_trim);

/* The functions by which the zones of a device reach its data. */
struct zone_data_ops device_zone_data (struct device *d);

#endif /* NULLBLK_DEVICE_INTERNAL_H */
