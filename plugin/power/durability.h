/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Durability: the volatile write cache of a device, and power loss.
 *
 * Changes (writes, writes of zeroes, trims) go straight to the store, so reads
 * cost nothing extra; the old content is kept as an undo record until the
 * change is durable.  How that is built is drawn at the top of durability.c.
 *
 * With a cache, a change is volatile until one of these makes it durable:
 *  - a flush: all changes that were in place when the flush began, of all
 *    connections, those included that still wait for their latency;
 *  - a change of the same blocks with FUA: that change is durable, and older
 *    volatile changes of these blocks no longer matter.  A FUA write to a
 *    sequential zone makes all before it in the zone durable;
 *  - eviction, oldest first, when the volatile bytes would pass the cache's
 *    size.  A block that is changed several times counts each time, as in a
 *    log.  Each step of a long change counts as a change.  A change that is
 *    larger than the cache makes everything durable, itself included.
 *
 * Outside of sequential zones some changes take other room in the cache than
 * their bytes:
 *  - zeroes and trims of blocks that were not written take none, as they change
 *    nothing;
 *  - a change with FUA takes one block for each region of 128 KiB that it
 *    touches, for its records of kind UNDO_DURABLE (durability.c), and none if
 *    nothing is volatile.
 *
 * The cache never makes a request fail: undo records count against
 * memory-limit, but where memory is missing the oldest are evicted, and when
 * none is left a change is durable at once.  If there still is no memory for
 * its data, records of the other devices that share the memory are evicted
 * (struct durability_pool).  Only the records of a power cut stay, until it is
 * over.  Where a write would lack memory even without any record, it fails, and
 * nothing is evicted.
 *
 * When power is cut, each volatile block by itself, whatever the request that
 * it came with, loses its newest change or keeps it; if it loses that, it may
 * lose the one before it as well, and so on down to its durable content.  So
 * any content may survive that the block has had since it was durable, and a
 * request may be torn between blocks, never within one.  In a sequential zone
 * all blocks behind a lost one are lost, too.  Which of the volatile blocks are
 * lost, a seed and the order of changes decide, and nothing else; but a trim
 * survives where there is no memory for what it had freed.
 *
 * A change, or a step of one, that finds power off is not made, and gets
 * -ESHUTDOWN.  By the epoch a request finds out whether power was cut under it:
 * see durability_epoch.  Power is put back on only after all requests that were
 * active (device-power.c) are quiesced: so a change that finds power on is of a
 * request that has begun since the cut.
 *
 * Any thread may call any of this at any time.  Each device has one lock, which
 * guards all of this, and is held while old content is copied and new content
 * written: with the cache on, changes of a device are done one at a time, each
 * for about a microsecond per 4 KiB, and for one step of STORE_STEP at most.
 * Records that are evicted to make room are freed under the lock; all others,
 * as after a flush, without it.  Without a cache (and no cut pending, and power
 * on) a change costs one branch more, and takes no lock here.  The lock comes
 * after the write log's lock and those of zones, and before the store's; a
 * thread that holds it waits for nothing but the store's locks and, when power
 * is cut, for latency.lock (power_cut.dirty).  No thread holds the locks of two
 * devices.
 */

#ifndef NULLBLK_DURABILITY_H
#define NULLBLK_DURABILITY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

struct durability;

/* The caches of all devices that take memory of one store.  It begins as
 * zeroes.  Members come and go (durability_create, durability_destroy) while
 * nobody makes changes.
 */
struct durability_pool {
  struct durability *first;

  /* How many changes are looking for the last memory there is.  While it is not
   * 0, no new undo records are made: so all memory is either of data, or of a
   * record in a list from which it can be evicted.
   */
  _Atomic uint32_t searches;
};

struct durability_options {
  struct store *store; /* NULL in null mode: no data, but power can be cut */
  struct durability_pool *pool; /* NULL: nobody else takes memory of STORE */
  uint32_t volume;
  uint32_t block_size; /* a block survives, or not, as a whole */
  uint64_t cache_size; /* bytes; 0: every change is durable at once */

  /* Sequential zones: where the first begins, the size of each, and how many
   * (0: not zoned).  Changes to a zone arrive in the order of its blocks.
   */
  uint64_t zones_start;
  uint64_t zone_size;
  uint64_t nr_zones;
};

/* How much of what is volatile a power cut loses. */
enum lose {
  LOSE_RANDOM, /* the seed decides how likely loss is, and by that which blocks
                * are lost */
  LOSE_ALL,    /* all of it: what is durable stays */
  LOSE_NONE,   /* nothing: the cache had enough charge left */
};

struct power_cut {
  enum lose lose;
  uint64_t seed;

  /* Called at the moment of the cut, with the lock held, or NULL.  Returns N:
   * only the newest N bytes of changes are still volatile.  The write at which
   * a cut is due is volatile all the same.
   */
  uint64_t (*dirty) (void *arg);

  /* UNDONE is called for every piece of the device, after the piece has got
   * older content back; it may be NULL.  Pieces overlap where several changes
   * are undone: the content of the store after the last call counts.  The calls
   * come in groups, between a call of BEGIN and one of END, for records of
   * about 2 MiB each.  After the last group FINISHED is called, and power does
   * not come back before it returns.  No lock of the device's is held.
   */
  void (*undone) (void *arg, uint64_t offset, uint64_t count);
  void (*begin) (void *arg);
  void (*end) (void *arg);
  void (*finished) (void *arg);
  void *arg;
};

struct durability_status {
  bool on;
  uint64_t volatile_bytes; /* in the cache */
  uint64_t undo_bytes;     /* counted against memory-limit */
  uint64_t writes_left;    /* to the pending cut; 0: there is none */
  uint64_t cuts;
  uint64_t lost; /* blocks that the last cut took back */
  uint64_t kept; /* blocks that were volatile then, and survived */
};

/* Returns 0 or -ENOMEM.  Power is on. */
int durability_create (struct durability **durability,
                       const struct durability_options *o);

/* Free D.  The store keeps all changes, volatile ones, too. */
void durability_destroy (struct durability *d);

/* The beginning of struct durability: every request looks at this, and most
 * requests look at nothing else of it.
 */
struct durability_fastpath {
  struct store *store; /* or NULL */
  uint32_t volume;
  _Atomic uint32_t epoch;  /* written under the lock */
  _Atomic bool needs_lock; /* must changes take the lock?  Written under it. */
};

static inline const struct durability_fastpath *
durability_fastpath (const struct durability *d)
{
  return (const struct durability_fastpath *) d;
}

static inline bool
durability_needs_lock (const struct durability *d)
{
  return __builtin_expect (
      atomic_load_explicit (&durability_fastpath (d)->needs_lock,
                            memory_order_relaxed),
      0);
}

/* The functions below of the same names without "_slow" call these where a
 * change has to take the lock, or is a long trim.
 */
int durability_write_slow (struct durability *d, const void *buf,
                           uint64_t count, uint64_t offset, bool fua);
int durability_zero_slow (struct durability *d, uint64_t count, uint64_t offset,
                          bool fua);
int durability_trim_slow (struct durability *d, uint64_t count, uint64_t offset,
                          bool fua, bool is_zero);
int durability_flush_slow (struct durability *d);

/* The result of a change at which power was cut. */
#define DURABILITY_CUT 1

/* durability_write makes a change as store_write does, durability_trim as
 * store_trim does, and durability_zero as store_zero does, or as store_trim
 * where HOLES is set.  They fail as those do, having changed nothing, or
 * with -ESHUTDOWN while power is off.  They return DURABILITY_CUT for a write
 * or zero that was the last before a cut (durability_cut_after): it may be
 * there, or not, or in part, its request fails with -ESHUTDOWN, and the caller
 * is to call durability_finish_cut.
 *
 * They go step by step (store_step_end, store_reserved_step_limit), and other
 * changes come in between: so a part of a long change may be done when power is
 * cut, and each step is evicted by itself.
 */
static inline int
durability_write (struct durability *d, const void *buf, uint64_t count,
                  uint64_t offset, bool fua)
{
  const struct durability_fastpath *g = durability_fastpath (d);

  if (durability_needs_lock (d))
    return durability_write_slow (d, buf, count, offset, fua);
  return g->store != NULL
             ? store_write (g->store, g->volume, buf, count, offset)
             : 0;
}

static inline int
durability_trim (struct durability *d, uint64_t count, uint64_t offset,
                 bool fua)
{
  const struct durability_fastpath *g = durability_fastpath (d);

  if (durability_needs_lock (d) || count > STORE_STEP)
    return durability_trim_slow (d, count, offset, fua, false);
  if (g->store != NULL)
    store_trim (g->store, g->volume, count, offset);
  return 0;
}

static inline int
durability_zero (struct durability *d, uint64_t count, uint64_t offset,
                 bool fua, bool holes)
{
  const struct durability_fastpath *g = durability_fastpath (d);

  if (durability_needs_lock (d) || (holes && count > STORE_STEP))
    return holes ? durability_trim_slow (d, count, offset, fua, true)
                 : durability_zero_slow (d, count, offset, fua);
  if (holes)
    return durability_trim (d, count, offset, fua);
  return g->store != NULL ? store_zero (g->store, g->volume, count, offset) : 0;
}

/* Make durable what is in place.  Returns 0 or -ESHUTDOWN. */
static inline int
durability_flush (struct durability *d)
{
  return durability_needs_lock (d) ? durability_flush_slow (d) : 0;
}

/* A write, or a zero that keeps memory, of any length, for a caller that does
 * something of its own at each step.  The caller calls begin; then step, each
 * time from l->at up to durability_long_step_end, until l->at is l->end or a
 * step does not return 0; and always end.  Begin and step return what
 * durability_write does.  BUF is the data of the step, or NULL for zeroes.
 * HAS_MORE_PARTS: this is a part of a request, and another part follows.  So it
 * does not count as a write for durability_cut_after; but if power is to be cut
 * at the request's last part, this one can be lost, too.
 */
struct durability_long_change {
  uint64_t at, end;
  bool has_more_parts;
  struct store_reservation reservation; /* if there is a store */
};
int durability_begin_long_change (struct durability *d,
                                  struct durability_long_change *l,
                                  uint64_t count, uint64_t offset,
                                  bool has_more_parts);
uint64_t durability_long_step_end (const struct durability *d,
                                   const struct durability_long_change *l);
int durability_step_long_change (struct durability *d,
                                 struct durability_long_change *l,
                                 const void *buf, bool fua);
void durability_end_long_change (struct durability *d,
                                 struct durability_long_change *l);

/* After a flush, many records are no longer needed.  As a rule the thread that
 * has made a change or a flush frees them before it returns, without the lock.
 * After durability_defer_frees such a thread leaves most of them: then a caller
 * that holds a lock of its own calls durability_free_deferred after it has
 * released this lock.
 */
void durability_defer_frees (struct durability *d);
void durability_free_deferred (struct durability *d);

/* Note that the sequential zone that begins at OFFSET is reset: the caller
 * discards its data then, and no power cut brings it back.  Returns 0 or
 * -ESHUTDOWN.
 */
int durability_reset_zone (struct durability *d, uint64_t offset);

/* Cut the power, in two phases: begin_cut and finish_cut.  The first is over at
 * once.  After it no change is made, except by a thread which takes no lock, as
 * there is no cache, and found power on before.  So the second phase comes when
 * all requests are quiesced (device-power.c).  It loses volatile changes: its
 * time grows with their number.  It holds no lock meanwhile, and gives back the
 * memory of each record when it has used the record.  durability_restore_power
 * waits until the second phase is over, and puts power back on.  begin_cut
 * returns 0, or -EALREADY where power is off already; restore_power returns 0,
 * or -EALREADY where it is on already.
 */
int durability_begin_cut (struct durability *d, const struct power_cut *cut);
void durability_finish_cut (struct durability *d);
int durability_restore_power (struct durability *d);

/* Wait until the second phase of a cut is over. */
void durability_await_cut (struct durability *d);

/* Cut the power while the Nth write or zero from now on is served, when that is
 * in place.  It is volatile, even with FUA or without a cache, so that it may
 * be torn.  Without a cache, a write that is being made when this is called
 * takes no lock: if the Nth write changes the same blocks at the same time,
 * both may be lost.  N = 0 calls a cut off.
 */
void durability_cut_after (struct durability *d, uint64_t n,
                           const struct power_cut *cut);

/* Returns the epoch, which is odd while power is off, and grows by one when
 * power is cut and when it comes back.  A request looks at the epoch when it
 * begins, fails with -ESHUTDOWN if it is odd, and looks again before it is
 * answered: if the epoch has changed, power was cut under the request, and data
 * that it has read may be of before and after the cut.
 */
static inline uint32_t
durability_epoch (const struct durability *d)
{
  return atomic_load (&durability_fastpath (d)->epoch);
}

/* Returns the offset from which on a sequential zone has lost its data at the
 * last cut, which is over, or UINT64_MAX if it has lost nothing: the zone's
 * write pointer must not be beyond it.  OFFSET is anywhere in the zone.
 */
uint64_t durability_lost_from (struct durability *d, uint64_t offset);

/* The state of the cache and of the power at one moment. */
void durability_status (struct durability *d, struct durability_status *s);

#endif /* NULLBLK_DURABILITY_H */
