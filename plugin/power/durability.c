/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The volatile write cache and power loss; durability.h says what they promise.
 *
 *     what is durable <-- change 1 <-- change 2 <-- change 3 = the store
 *                     undo         undo         undo
 *
 * The store has what is durable and all changes after that; the undo records,
 * the newest first, lead back.
 *
 *     oldest                                              newest
 *       | undo | -> | undo | -> | DURABLE | -> | undo | -> | undo |
 *       evicted                                            added
 *       from here                                          here
 *
 * The records of a device stand in one list, by age.  The blocks of a record
 * lie in one region (128 KiB).  The record has what they held before a change:
 *
 *     UNDO_DATA     these bytes
 *     UNDO_HOLE     zeroes; no data is kept
 *     UNDO_DURABLE  anything: a change with FUA of these blocks was durable,
 *                   and what is older no longer matters
 *
 * To make a change durable is to forget its record.  As it is always the
 * oldest that go first, no record needs to be searched for: eviction takes from
 * one end, a flush takes all, to be freed when the lock is let go.  Only a
 * power cut looks at what the records hold (durability-cut.c).
 *
 * In sequential zones blocks are written once, in order, and are lost from some
 * block on.  There FUA needs no such record: struct zone_durability has the
 * place up to which the zone is durable.  A reset is durable at once: it makes
 * records of the zone stale, which stay until it is their turn.
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "durability-internal.h"

/*---------------------------------------------------------------------*/
/* Changes */

static int
apply (struct durability *d, const struct change *c)
{
  struct store *store = d->o.store;

  if (store == NULL)
    return 0;
  if (c->reservation != NULL)
    return store_write_reserved_step (store, c->reservation, c->buf);
  switch (c->kind) {
  case CHANGE_WRITE:
    return store_write (store, d->o.volume, c->buf, c->count, c->offset);
  case CHANGE_ZERO:
    return store_zero (store, d->o.volume, c->count, c->offset);
  case CHANGE_TRIM:
    store_trim (store, d->o.volume, c->count, c->offset);
  }
  return 0;
}

/* Would a change lack memory even if all records were evicted?  Then it fails,
 * and none is.  The lock is held.
 */
static bool
is_hopeless (struct durability *d, const struct change *c)
{
  return d->o.store != NULL && c->kind != CHANGE_TRIM &&
         c->reservation == NULL &&
         !store_could_hold (d->o.store, d->o.volume, c->count, c->offset);
}

/* Where memory is short, evict the oldest changes, which makes them durable. */
static int
apply_with_room (struct durability *d, const struct change *c)
{
  int r;

  do {
    r = apply (d, c);
  } while (r == -ENOSPC && undo_evict_memory (d, c->count) > 0);
  return r;
}

/* Make everything durable that is volatile. */
static void
make_durable (struct durability *d)
{
  undo_forget (d, &d->list);
}

static int
change_durably (struct durability *d, const struct change *c)
{
  struct zone_durability *zone = zone_at (d, c->offset);
  int r = apply_with_room (d, c);

  if (r < 0)
    return r;
  if (zone != NULL) {
    if (c->offset + c->count > zone->durable)
      zone->durable = c->offset + c->count;
  }
  else if (undo_mark_durable (d, c) < 0)
    make_durable (d);
  return 0;
}

/* The last change before power is cut (IS_LAST) is recorded whatever the size
 * of the cache: nothing is evicted to keep within that.
 */
static int
change_volatile (struct durability *d, const struct change *c, bool is_last)
{
  const uint64_t size = is_last ? UINT64_MAX : d->o.cache_size;
  struct undo_list list = {NULL, NULL, 0, 0};
  int r;

  r = undo_record (d, c, size, &list);
  if (r == 0) {
    if (!is_last)
      undo_evict_for_room (d, list.cache_bytes);
    r = apply_with_room (d, c);
    if (r == 0) {
      undo_append_all (&d->list, &list);
      return 0;
    }
  }
  /* There is no room to record this change: make it and all before it durable.
   * Without its records there may be memory for it.
   */
  undo_forget (d, &list);
  make_durable (d);
  return apply (d, c);
}

/* Power is on, the lock is held. */
static int
change_now (struct durability *d, const struct change *c)
{
  const bool is_last =
      d->writes_left == 1 && (c->counts_as_write || c->reservation != NULL);
  int r;

  if (is_hopeless (d, c))
    return -ENOSPC;
  if (c->fua && !is_last)
    r = change_durably (d, c);
  else
    r = change_volatile (d, c, is_last);
  d->change_nr++;
  d->has_volatile_fua |= c->fua && is_last;
  if (d->writes_left > 0 && r == 0 && c->counts_as_write) {
    d->writes_left--;
    if (is_last) {
      durability_take_power (d, &d->next_cut, d->change_nr - 1);
      r = DURABILITY_CUT;
    }
  }
  return r;
}

/* A change has returned R, and records are gone.  Let go of the lock and free
 * them, or leave them to the caller.  The store may have lacked chunks until
 * they were freed: then this returns true, for the change to be tried once
 * more, unless R is of such a SECOND_TRY.
 */
static bool
free_what_is_gone (struct durability *d, int r, bool second_try)
{
  const bool retry = r == -ENOSPC && !second_try;

  if (retry)
    undo_unlock_and_free (d);
  else
    undo_unlock_or_defer (d);
  return retry;
}

/* Evict old changes of each device in turn until BYTES of memory are back.  The
 * devices after that are only locked and unlocked.  So for each device there is
 * a moment at which all its records are in its list: a change that has made
 * records, and has not listed them yet, holds the lock.  Returns whether any
 * memory is back.
 */
static bool
evict_everywhere (struct durability_pool *pool, uint64_t bytes)
{
  struct durability *d;
  uint64_t back = 0;

  for (d = pool->first; d != NULL; d = d->next) {
    lock (&d->lock);
    back += undo_evict_memory (d, back < bytes ? bytes - back : 0);
    unlock (&d->lock);
  }
  return back > 0;
}

/* How a change looks for memory once its own device has no record left. */
struct search {
  uint64_t bytes;      /* of records of other devices, to be evicted first */
  bool blocks_records; /* it counts in pool.searches: nobody makes records */
};

/* For a change of COUNT bytes, which may begin and end within a page. */
static struct search
new_search (uint64_t count)
{
  return (struct search){.bytes = count + 2 * PAGE};
}

/* A change has found no memory.  Returns whether to try it once more.  Where
 * memory cannot be had by evicting records, other devices may be taking it for
 * new ones: so from then on, until end_search, nobody makes records.  D's lock
 * is not held.
 */
static bool
search_memory (struct durability *d, struct search *s)
{
  const uint64_t bytes = min (s->bytes, STORE_STEP);

  if (d->o.pool == NULL)
    return false;
  if (s->blocks_records)
    return evict_everywhere (d->o.pool, STORE_STEP);
  s->bytes -= bytes;
  if (bytes > 0 && evict_everywhere (d->o.pool, bytes))
    return true;
  s->blocks_records = true;
  atomic_fetch_add (&d->o.pool->searches, 1);
  evict_everywhere (d->o.pool, STORE_STEP);
  return true;
}

static void
end_search (struct durability *d, const struct search *s)
{
  if (s->blocks_records)
    atomic_fetch_sub (&d->o.pool->searches, 1);
}

static int
change (struct durability *d, const struct change *c)
{
  struct search search = new_search (c->count);
  bool second_try = false, retry, hopeless;
  int r;

  do {
    lock (&d->lock);
    r = is_on (d) ? change_now (d, c) : -ESHUTDOWN;
    hopeless = r == -ENOSPC && is_hopeless (d, c);
    retry = false;
    if (d->gone.oldest == NULL)
      unlock (&d->lock);
    else
      retry = second_try = free_what_is_gone (d, r, second_try);
    if (r == -ENOSPC && !retry && !hopeless)
      retry = search_memory (d, &search);
  } while (retry);
  end_search (d, &search);
  return r;
}

/*---------------------------------------------------------------------*/
/* Long changes */

/* Evict old changes for memory, with the lock held for no more than that. */
static bool
make_room (struct durability *d)
{
  uint64_t back;

  lock (&d->lock);
  back = undo_evict_memory (d, STORE_STEP);
  unlock (&d->lock);
  return back > 0;
}

int
durability_begin_long_change (struct durability *d,
                              struct durability_long_change *l, uint64_t count,
                              uint64_t offset, bool has_more_parts)
{
  struct search search = new_search (count);
  int r;

  l->at = offset;
  l->end = offset + count;
  l->has_more_parts = has_more_parts;
  if (d->o.store == NULL)
    return 0;
  store_begin_reservation (d->o.store, &l->reservation, d->o.volume, count,
                           offset);
  if (!is_on (d))
    return -ESHUTDOWN;
  do {
    r = store_charge_reservation (d->o.store, &l->reservation);
  } while (r == -ENOSPC &&
           store_could_charge_reservation (d->o.store, &l->reservation) &&
           (make_room (d) || search_memory (d, &search)));
  end_search (d, &search);
  return r;
}

uint64_t
durability_long_step_end (const struct durability *d,
                          const struct durability_long_change *l)
{
  return d->o.store != NULL
             ? store_reserved_step_limit (d->o.store, &l->reservation)
             : min (l->end, l->at + STORE_STEP);
}

/* When power is to be cut at this write, each step is kept as one that can be
 * lost (change_now takes a step with a reservation for the last change), so all
 * of the write can be.
 */
int
durability_step_long_change (struct durability *d,
                             struct durability_long_change *l, const void *buf,
                             bool fua)
{
  const uint64_t to = durability_long_step_end (d, l);
  const struct change c = {
      .kind = buf != NULL ? CHANGE_WRITE : CHANGE_ZERO,
      .buf = buf,
      .count = to - l->at,
      .offset = l->at,
      .fua = fua,
      .counts_as_write = to == l->end && !l->has_more_parts,
      .reservation = d->o.store != NULL ? &l->reservation : NULL,
  };
  const int r = durability_needs_lock (d) ? change (d, &c) : apply (d, &c);

  if (r == 0)
    l->at = to;
  return r;
}

void
durability_end_long_change (struct durability *d,
                            struct durability_long_change *l)
{
  if (d->o.store != NULL)
    store_end_reservation (d->o.store, &l->reservation);
}

static int
change_long (struct durability *d, const char *buf, uint64_t count,
             uint64_t offset, bool fua)
{
  struct durability_long_change l;
  int r;

  r = durability_begin_long_change (d, &l, count, offset, false);
  while (r == 0 && l.at < l.end) {
    r = durability_step_long_change (
        d, &l, buf != NULL ? buf + (l.at - offset) : NULL, fua);
    if (r == 0 && l.at < l.end)
      sched_yield (); /* or else this thread locks it again at once */
  }
  durability_end_long_change (d, &l);
  return r;
}

int
durability_write_slow (struct durability *d, const void *buf, uint64_t count,
                       uint64_t offset, bool fua)
{
  const struct change c = {.kind = CHANGE_WRITE,
                           .buf = buf,
                           .count = count,
                           .offset = offset,
                           .fua = fua,
                           .counts_as_write = true};

  return count > STORE_STEP ? change_long (d, buf, count, offset, fua)
                            : change (d, &c);
}

int
durability_zero_slow (struct durability *d, uint64_t count, uint64_t offset,
                      bool fua)
{
  const struct change c = {.kind = CHANGE_ZERO,
                           .count = count,
                           .offset = offset,
                           .fua = fua,
                           .counts_as_write = true};

  return count > STORE_STEP ? change_long (d, NULL, count, offset, fua)
                            : change (d, &c);
}

/*---------------------------------------------------------------------*/

/* The last step of a zero is what counts as a write. */
int
durability_trim_slow (struct durability *d, uint64_t count, uint64_t offset,
                      bool fua, bool is_zero)
{
  const uint64_t end = offset + count;
  struct change c = {.kind = CHANGE_TRIM, .offset = offset, .fua = fua};
  uint64_t to = end;
  int r = 0;

  for (; r == 0 && c.offset < end; c.offset = to) {
    if (!durability_needs_lock (d)) {
      if (d->o.store == NULL)
        return 0;
      to = store_trim_step (d->o.store, d->o.volume, c.offset, end);
      continue;
    }
    if (d->o.store != NULL)
      to = store_step_end (d->o.store, d->o.volume, c.offset, end);
    c.count = to - c.offset;
    c.counts_as_write = is_zero && to == end;
    r = change (d, &c);
    if (to < end)
      sched_yield (); /* or else this thread locks it again at once */
  }
  return r;
}

int
durability_flush_slow (struct durability *d)
{
  int r = -ESHUTDOWN;

  lock (&d->lock);
  if (is_on (d)) {
    make_durable (d);
    r = 0;
  }
  undo_unlock_or_defer (d);
  return r;
}

/* Parts of a write at which power is to be cut are volatile even without a
 * cache, and even with FUA.  If the cut is called off, they become durable
 * here.
 */
void
durability_cut_after (struct durability *d, uint64_t n,
                      const struct power_cut *cut)
{
  lock (&d->lock);
  d->writes_left = n;
  if (n > 0)
    d->next_cut = *cut;
  if (d->o.cache_size == 0 || d->has_volatile_fua)
    make_durable (d);
  d->has_volatile_fua = false;
  update_needs_lock (d);
  undo_unlock_and_free (d);
}

int
durability_reset_zone (struct durability *d, uint64_t offset)
{
  struct zone_durability *zone = zone_at (d, offset);
  int r = -ESHUTDOWN;

  assert (zone != NULL);
  lock (&d->lock);
  if (is_on (d)) {
    zone->since = d->change_nr;
    zone->durable = 0;
    r = 0;
  }
  unlock (&d->lock);
  return r;
}

/*---------------------------------------------------------------------*/

void
durability_status (struct durability *d, struct durability_status *s)
{
  lock (&d->lock);
  s->on = is_on (d);
  s->volatile_bytes = d->list.cache_bytes;
  s->undo_bytes = d->list.memory_bytes + atomic_load (&d->memory_bytes);
  s->writes_left = d->writes_left;
  s->cuts = d->cuts;
  s->lost = d->lost;
  s->kept = d->kept;
  unlock (&d->lock);
}

static void
join_pool (struct durability *d)
{
  if (d->o.pool == NULL)
    return;
  d->next = d->o.pool->first;
  d->o.pool->first = d;
}

static void
leave_pool (struct durability *d)
{
  struct durability **link;

  if (d->o.pool == NULL)
    return;
  for (link = &d->o.pool->first; *link != d; link = &(*link)->next)
    ;
  *link = d->next;
}

int
durability_create (struct durability **durability,
                   const struct durability_options *o)
{
  struct durability *d = calloc (1, sizeof *d);

  if (d == NULL)
    return -ENOMEM;
  d->fastpath.store = o->store;
  d->fastpath.volume = o->volume;
  d->o = *o;
  if (o->store == NULL)
    d->o.cache_size = 0;
  if (o->nr_zones > 0) {
    d->zones = calloc (o->nr_zones, sizeof *d->zones);
    if (d->zones == NULL) {
      free (d);
      return -ENOMEM;
    }
  }
  pthread_mutex_init (&d->lock, NULL);
  pthread_cond_init (&d->cut_over, NULL);
  store_copies_init (&d->copies);
  update_needs_lock (d);
  join_pool (d);
  *durability = d;
  return 0;
}

void
durability_destroy (struct durability *d)
{
  leave_pool (d);
  make_durable (d);
  undo_free_all (d, d->gone.oldest);
  store_copies_destroy (d->o.store, &d->copies);
  pthread_cond_destroy (&d->cut_over);
  pthread_mutex_destroy (&d->lock);
  free (d->zones);
  free (d);
}
