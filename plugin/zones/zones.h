/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The zones of a device: conventional ones first, which take any write, then
 * sequential ones, which are written at their write pointer only.  The rules
 * are those of Linux's null_blk.  This room moves no data, except that a reset
 * or a trim has it discarded: for a read or a write, the caller asks here
 * first, moves the data itself, and calls the function that ends the read or
 * write.
 *
 *     zone      |0 conventional|1 sequential     |2 sequential     |3
 *                              |#########|       |###|             |
 *               start          start     wp  |   end
 *                                            start + capacity
 *
 * How it is built is drawn at the top of zones.c.  Every function may be
 * called by any thread at any time; all sizes are bytes, and counts and
 * offsets are multiples of the block size within the device, counts not 0.
 * Functions that return int give 0 or a negative errno:
 *
 *     -EIO     a rule is broken: a write that is not at the write pointer, goes
 *              beyond the capacity, or crosses a boundary; a read beyond the
 *              write pointer, or a trim, if the settings forbid it; a command
 *              that the zone's condition does not allow, or to a conventional
 *              zone; an offline zone
 *     -EROFS   a write to a read-only zone, or a trim that would reset one
 *     -ENOSPC  as many zones are open or active as the limits allow
 *     -EINVAL  there is no such command or no such zone, or a conventional
 *              zone is to become read-only or offline
 *     -ESHUTDOWN  power is off: for all that changes a zone
 */

#ifndef NULLBLK_ZONES_H
#define NULLBLK_ZONES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/common.h"
#include "zone-descriptor.h"
#include "zones-settings.h"

struct zones;

/* A request that has a zone, or waits for it.  Only code in zones/ looks into
 * it.  The lock of the zone's stripe guards `next` and `wake`; no thread but
 * that of the request uses the other members while they change.
 */
struct zone_claim {
  struct zone_claim *next;
  struct zone_stripe *stripe;
  uint64_t zone;
  void *wake; /* while it waits, the semaphore that wakes it; or NULL */
  bool is_shared, is_listed;
  bool is_locked; /* this request has locked the stripe */
};

/* How zones reach their data.
 *
 * TRIM trims COUNT bytes at OFFSET, which are conventional.  RESET is called
 * before the sequential zone at OFFSET is reset, if COUNT, the bytes below its
 * write pointer, is not 0.  Both return 0, or a negative errno, with which the
 * request fails; only with -ESHUTDOWN is the zone not reset.  After the reset,
 * DISCARD is called until all of the zone's data is gone: it makes a step of
 * the bytes from OFFSET to END zero, which takes about a millisecond, frees
 * their memory, and returns where the step ends.  While RESET or DISCARD runs,
 * no other request has the zone, and its stripe is not locked.
 */
struct zone_data_ops {
  bool has_data;       /* false: zones have conditions and write pointers
                        * alone, as in null mode */
  bool write_may_wait; /* for a file: so the stripe is not locked while any
                        * bytes are written */
  uint64_t step;       /* the stripe is not locked while more bytes than these
                        * are read or written */
  int (*trim) (void *opaque, uint64_t count, uint64_t offset);
  int (*reset) (void *opaque, uint64_t count, uint64_t offset);
  uint64_t (*discard) (void *opaque, uint64_t offset, uint64_t end);
  void *opaque;
  const _Atomic uint32_t *epoch; /* odd while power is off; NULL: it is always
                                  * on */
};

/* Make the zones of a device of SIZE bytes, by settings that
 * zone_settings_complete has been through.  Returns 0 or -ENOMEM.
 */
int zones_create (struct zones **zones, const struct zone_settings *s,
                  uint64_t size, const struct zone_data_ops *data);

/* Free zones that no thread uses any more. */
void zones_destroy (struct zones *z);

/* How many zones there are. */
uint64_t zones_total (const struct zones *z);

/*---------------------------------------------------------------------*/
/* Data */

/* A write, a write of zeroes or an append, from the function that begins it
 * (zones_begin_write, zones_try_write, zones_begin_append) until
 * zones_end_write.
 */
struct zone_write {
  struct zones *zones;
  uint64_t zone;
  uint64_t count, offset;
  bool is_sequential; /* then CLAIM has the zone */
  struct zone_claim claim;
};

/* Where do COUNT bytes at OFFSET lie?  Bytes in one conventional zone are
 * written as if there were no zones.
 */
enum zone_place {
  ZONE_PLACE_CONVENTIONAL, /* in one conventional zone */
  ZONE_PLACE_SEQUENTIAL,   /* in one sequential zone */
  ZONE_PLACE_ACROSS        /* in several zones */
};
enum zone_place zones_place (const struct zones *z, uint64_t count,
                             uint64_t offset);

/* Returns the offset at which the zone of OFFSET ends. */
uint64_t zones_end_of_zone (const struct zones *z, uint64_t offset);

/* May COUNT bytes be written at OFFSET?  If so, returns 0: the zone has been
 * opened, and no other request changes it until zones_end_write, which must
 * follow.  The caller moves the data between the two, and calls nothing else
 * here meanwhile.
 *
 * With reorder_wait, a write ahead of the write pointer waits for those before
 * it, until the moment that zones_early_until returns.  Before it waits, and
 * now and then meanwhile (wait_slice), it naps 0 ns by wait->ops: if that
 * fails, the write fails with the same error; but if it fails with -EAGAIN, by
 * which the caller says that it may be able to set the write aside now,
 * zones_begin_write returns ZONE_WRITE_EARLY.  Nothing is locked then.
 */
struct zone_wait {
  const struct wait_ops *ops; /* or NULL */
  uint64_t since; /* 0 for a new write: since when it has been early */
};
int zones_begin_write (struct zones *z, struct zone_write *w, uint64_t count,
                       uint64_t offset, struct zone_wait *wait);

/* Begin a write as zones_begin_write does, but never wait as an early write:
 * where that would wait, return ZONE_WRITE_EARLY, with nothing locked.
 */
#define ZONE_WRITE_EARLY 1
int zones_try_write (struct zones *z, struct zone_write *w, uint64_t count,
                     uint64_t offset);

/* Begin an append: a write of COUNT bytes at the write pointer of the zone that
 * OFFSET lies in, which w->offset says.  It is never early: appends to a zone
 * are done one after the other, in any order.  A conventional zone takes none
 * (-EIO).  All else is as for zones_try_write.
 */
int zones_begin_append (struct zones *z, struct zone_write *w, uint64_t count,
                        uint64_t offset);

/* Returns the offset to which an append to the zone of OFFSET would go now; the
 * zone's start, if it takes no append.  Locks nothing.
 */
uint64_t zones_append_offset (const struct zones *z, uint64_t offset);

/* A write that is early, in memory of the caller's, which stays where it is
 * until zones_unlist_early.  When the write pointer has reached the write or
 * has passed it, or power is off, the write is taken out of the list, and
 * REACHED is called, on any thread and with the stripe locked: REACHED may only
 * have another thread try the write again.  Where the write need not wait,
 * zones_list_early itself calls REACHED.
 */
struct zone_early {
  void (*reached) (struct zone_early *e);

  /* 0 for a new write; from its first listing on: since when it has been early.
   */
  uint64_t since;

  /* Private, guarded by the lock of the zone's stripe. */
  struct zone_early *left, *right; /* see zones-order.c */
  uint64_t zone, wp;               /* the write pointer that it waits for */
  uint32_t priority;
  bool is_listed;
};
void zones_list_early (struct zones *z, struct zone_early *e, uint64_t count,
                       uint64_t offset);

/* Returns the moment until which a write that was listed is to wait:
 * reorder_wait after the last progress of its zone.  Progress is a move of the
 * write pointer while a write of the stripe is listed, or a write that is
 * listed for the first time.  So the wait goes on as long as writes of the zone
 * arrive and are done, however slow the network is.  A write that is tried
 * again and again is no progress.
 */
uint64_t zones_early_until (const struct zones *z, const struct zone_early *e);

/* Take a write out of the list, if it is there.  When this returns, REACHED is
 * not running, and will not be called.
 */
void zones_unlist_early (struct zones *z, struct zone_early *e);

/* End a write.  Its first WRITTEN bytes were written: all, a part, or none. */
void zones_end_write (struct zone_write *w, uint64_t written);

/* A read is done in parts.  While a part of a sequential zone is read, no other
 * request changes its data.
 */
struct zone_read {
  /* The part that is to be read now. */
  uint64_t count, offset;
  bool is_data;       /* the part is to be read from the store */
  unsigned char fill; /* otherwise, the value of each of its bytes */

  /* Private. */
  struct zones *zones;
  uint64_t end;                /* of the read */
  uint64_t zone_end, data_end; /* of the bytes that are read of this zone */
  struct zone_stripe *locked;  /* the zone's, while it is locked; or NULL */
  struct zone_claim claim;     /* for a read of more than a step */
  bool has_claim;              /* does CLAIM have the zone? */
};

/* Are COUNT bytes at OFFSET all conventional?  Then they are read as if there
 * were no zones.
 */
bool zones_read_is_conventional (const struct zones *z, uint64_t count,
                                 uint64_t offset);

/* Are COUNT bytes at OFFSET all data of one sequential zone, and at most a
 * step, as those of most reads are?  If so, lock the zone's stripe, and return
 * it for zones_unlock_data, to be called when they are read; otherwise return
 * NULL.
 */
struct zone_stripe *zones_lock_data (struct zones *z, uint64_t count,
                                     uint64_t offset);
void zones_unlock_data (struct zone_stripe *locked);

/* May COUNT bytes be read at OFFSET?  If so, call zones_read_part until it does
 * not return 1.
 */
int zones_begin_read (struct zones *z, struct zone_read *r, uint64_t count,
                      uint64_t offset);

/* Returns 1 with the next part in *r, 0 after the last one, or -EIO where a
 * zone has become one that cannot be read.
 */
int zones_read_part (struct zone_read *r);

/* Reset the sequential zones that lie within COUNT bytes at OFFSET, or treat
 * them as enum zone_trim says; and trim the conventional zones there.  If one
 * that would be reset is read-only (-EROFS) or offline (-EIO), nothing is
 * changed.
 */
int zones_trim (struct zones *z, uint64_t count, uint64_t offset);

/* Would zones_trim fail before it changes anything, for a read-only or offline
 * zone, or as the settings let trims of sequential zones fail?  Returns its
 * error, or 0 if not.  Other requests, between this and zones_trim, may change
 * the answer.
 */
int zones_check_trim (const struct zones *z, uint64_t count, uint64_t offset);

/* Would zones_trim reset any zone? */
bool zones_trim_would_reset (const struct zones *z, uint64_t count,
                             uint64_t offset);

enum zone_extent {
  ZONE_EXTENT_CONVENTIONAL, /* ask the store */
  ZONE_EXTENT_DATA,
  ZONE_EXTENT_ZERO, /* a hole that reads as zeroes */
  ZONE_EXTENT_HOLE  /* a hole that does not */
};

/* Returns the kind of extent at OFFSET, and in *end_of_run the offset at which
 * it ends, at most END.
 */
enum zone_extent zones_extent (struct zones *z, uint64_t offset, uint64_t end,
                               uint64_t *end_of_run);

/*---------------------------------------------------------------------*/
/* Commands */

/* Bring a zone into condition COND: EMPTY resets it, EXP_OPEN opens it, CLOSED
 * closes and FULL finishes it.  READONLY and OFFLINE bring it into that
 * condition; if it is in that condition already, they make it empty.
 */
int zones_command (struct zones *z, uint64_t zone, enum zone_cond cond);

/* Reset all zones that are not empty, read-only or offline.  Returns 0,
 * -ESHUTDOWN if power is off at one of them, or the first error of a reset.
 */
int zones_reset_all (struct zones *z);

/* Have all early writes tried again, set aside or not, as power is off. */
void zones_wake_all (struct zones *z);

/* Before power comes back: bring a sequential zone into the state that it has
 * after the loss of all its data from the offset LOST_FROM on; UINT64_MAX: it
 * has lost nothing.  The write pointer goes back to LOST_FROM if it is beyond
 * that.  An open zone is closed, or empty if nothing of it is left.  A full
 * zone that has lost something is closed, too; but where no more zones may be
 * active, it stays full, as if it had been finished at LOST_FROM.  So full
 * zones come last: call this for all zones without FULL, and then for all with
 * FULL.  With FULL it does nothing to a zone that is not full, and without FULL
 * nothing to one that is.
 */
void zones_recover_zone (struct zones *z, uint64_t zone, uint64_t lost_from,
                         bool full);

/*---------------------------------------------------------------------*/
/* Looking at zones.  None of these functions takes a lock. */

/* Describe N zones from FIRST on, each as it was at one moment.  Returns how
 * many there were: fewer at the end of the device.
 */
uint64_t zones_read_table (struct zones *z, uint64_t first,
                           struct zone_descriptor *descriptors, uint64_t n);

/* How many zones are in each condition.  Looks at every zone. */
void zones_count_by_condition (struct zones *z, uint64_t counts[NR_ZONE_CONDS]);

#endif /* NULLBLK_ZONES_H */
