/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Undo records: how old content is recorded, evicted and freed; durability.c
 * has the diagram.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "durability-internal.h"

/* The bytes that a record counts for against memory-limit: its own memory; and
 * where the change may give back pages of the store, all of these pages, since
 * a power cut may need them again and must not meet the limit.
 */
uint64_t
undo_charge (const struct undo *u)
{
  const uint64_t begin = u->frees_pages ? u->offset & -PAGE : u->offset;
  uint64_t end = u->offset + u->len;

  if (u->kind != UNDO_DATA)
    return sizeof *u;
  if (u->frees_pages)
    end = (end + PAGE - 1) & -PAGE;
  else if (u->len >= PAGE)
    end = begin + ((u->len + PAGE - 1) & -PAGE);
  return sizeof *u + (end - begin);
}

void
undo_free (struct durability *d, struct undo *u, bool now)
{
  if (u->is_copy)
    store_give_copy (d->o.store, &d->copies, u->data, u->len, now);
  free (u);
}

/*---------------------------------------------------------------------*/
/* Lists of records */

static uint64_t
occupied_by (const struct durability *d, const struct undo *u)
{
  return u->kind == UNDO_DURABLE ? d->o.block_size : u->len;
}

static void
append (struct durability *d, struct undo_list *list, struct undo *u)
{
  u->next = NULL;
  if (list->newest == NULL)
    list->oldest = u;
  else
    list->newest->next = u;
  list->newest = u;
  list->cache_bytes += occupied_by (d, u);
  list->memory_bytes += undo_charge (u);
}

/* Put all records of FROM behind those of TO.  FROM stays as it is. */
void
undo_append_all (struct undo_list *to, const struct undo_list *from)
{
  if (from->oldest == NULL)
    return;
  if (to->newest == NULL)
    to->oldest = from->oldest;
  else
    to->newest->next = from->oldest;
  to->newest = from->newest;
  to->cache_bytes += from->cache_bytes;
  to->memory_bytes += from->memory_bytes;
}

/* No record of a list is needed any more.  Pay the store back for all of them,
 * so that the next request finds that memory.
 */
void
undo_forget (struct durability *d, struct undo_list *list)
{
  if (list->oldest != NULL)
    store_uncharge (d->o.store, list->memory_bytes);
  undo_append_all (&d->gone, list);
  memset (list, 0, sizeof *list);
}

void
undo_free_all (struct durability *d, struct undo *u)
{
  struct undo *next;

  for (; u != NULL; u = next) {
    next = u->next;
    undo_free (d, u, false);
  }
}

/* Let go of the lock, and free what is gone. */
void
undo_unlock_and_free (struct durability *d)
{
  struct undo *gone = d->gone.oldest;

  memset (&d->gone, 0, sizeof d->gone);
  unlock (&d->lock);
  undo_free_all (d, gone);
}

/* Let go of the lock, and free what is gone, unless the caller frees that later
 * (durability_defer_frees).
 */
void
undo_unlock_or_defer (struct durability *d)
{
  if (d->defers_frees)
    unlock (&d->lock);
  else
    undo_unlock_and_free (d);
}

void
durability_defer_frees (struct durability *d)
{
  lock (&d->lock);
  d->defers_frees = true;
  unlock (&d->lock);
}

void
durability_free_deferred (struct durability *d)
{
  lock (&d->lock);
  undo_unlock_and_free (d);
}

/* Forget the oldest record of a list, and free it; NOW is as for undo_free. */
static void
forget_oldest (struct durability *d, struct undo_list *list, bool now)
{
  struct undo *u = list->oldest;

  list->oldest = u->next;
  if (u->next == NULL)
    list->newest = NULL;
  list->cache_bytes -= occupied_by (d, u);
  list->memory_bytes -= undo_charge (u);
  store_uncharge (d->o.store, undo_charge (u));
  undo_free (d, u, now);
}

static void
evict_oldest (struct durability *d)
{
  forget_oldest (d, &d->list, false);
}

void
undo_drain (struct durability *d, uint64_t bytes, uint64_t nr)
{
  struct undo_list *list = &d->undoing;

  while (list->oldest != NULL && list->cache_bytes > bytes &&
         list->oldest->change_nr < nr) {
    atomic_fetch_sub (&d->memory_bytes, undo_charge (list->oldest));
    forget_oldest (d, list, true);
  }
}

/* Evict the oldest records until this many bytes of memory are back, or none is
 * left.  Returns how many are back.
 */
uint64_t
undo_evict_memory (struct durability *d, uint64_t bytes)
{
  const uint64_t before = d->list.memory_bytes;

  while (d->list.oldest != NULL && before - d->list.memory_bytes < bytes)
    evict_oldest (d);
  return before - d->list.memory_bytes;
}

void
undo_evict_for_room (struct durability *d, uint64_t cache_bytes)
{
  while (d->list.oldest != NULL &&
         d->list.cache_bytes + cache_bytes > d->o.cache_size)
    evict_oldest (d);
}

/* Make a record like FROM.  Where there is a cache, old content of a page or
 * more goes into memory of the store, if that has any for it (store_take_copy),
 * and else into the C library's.
 */
static struct undo *
allocate (struct durability *d, const struct undo *from)
{
  const uint64_t len = from->kind == UNDO_DATA ? from->len : 0;
  struct undo *u;
  char *copy = NULL;

  if (len >= PAGE && d->o.cache_size > 0)
    copy = store_take_copy (d->o.store, &d->copies, len);
  u = malloc (sizeof *u + (copy == NULL ? len : 0));
  if (u != NULL) {
    *u = *from;
    u->is_copy = copy != NULL;
    u->data = copy != NULL ? copy : (char *) (u + 1);
  }
  else if (copy != NULL)
    store_give_copy (d->o.store, &d->copies, copy, len, false);
  return u;
}

/* Does a change look for the last memory there is? */
static bool
is_searched (const struct durability_pool *pool)
{
  return pool != NULL && atomic_load (&pool->searches) > 0;
}

/* Make a record of the next change.  Returns NULL when the limit is met with
 * nothing left to evict, or malloc fails, or the memory of records is wanted
 * for data.
 */
static struct undo *
new_undo (struct durability *d, enum undo_kind kind, bool frees_pages,
          uint64_t offset, uint64_t len)
{
  struct undo u = {.change_nr = d->change_nr,
                   .offset = offset,
                   .len = len,
                   .kind = kind,
                   .frees_pages = frees_pages};
  struct undo *r;

  if (is_searched (d->o.pool))
    return NULL;
  while (store_charge (d->o.store, undo_charge (&u)) < 0) {
    if (undo_evict_memory (d, undo_charge (&u)) == 0)
      return NULL;
  }
  r = allocate (d, &u);
  if (r == NULL)
    store_uncharge (d->o.store, undo_charge (&u));
  return r;
}

/* Where the data or hole at OFFSET ends, END at most.  A block counts as data
 * if any of it is data.
 */
static uint64_t
end_of_run (const struct durability *d, uint64_t offset, uint64_t end,
            bool *is_data)
{
  const uint64_t mask = d->o.block_size - 1;
  uint64_t run_end =
      store_extent (d->o.store, d->o.volume, offset, end, is_data);

  if (!*is_data && (run_end & ~mask) == offset)
    *is_data = true;
  return *is_data ? (run_end + mask) & ~mask : run_end & ~mask;
}

/* Does a change leave a hole as it is?  Zeroes in a hole change nothing, except
 * in a sequential zone, whose write pointer they move: there they can be lost.
 */
static bool
keeps_holes (const struct durability *d, const struct change *c)
{
  return c->kind != CHANGE_WRITE && zone_at (d, c->offset) == NULL;
}

/* Record what the run from AT to END holds now.  Returns 0, or -ENOSPC when
 * LIST would have more than SIZE bytes of the cache or there is no memory.
 */
static int
record_run (struct durability *d, const struct change *c, uint64_t at,
            uint64_t end, bool is_data, uint64_t size, struct undo_list *list)
{
  struct undo *u;
  uint64_t to;

  for (; at < end; at = to) {
    to = min (end, (at | (REGION - 1)) + 1);
    if (list->cache_bytes + (to - at) > size)
      return -ENOSPC;
    u = new_undo (d, is_data ? UNDO_DATA : UNDO_HOLE, c->kind == CHANGE_TRIM,
                  at, to - at);
    if (u == NULL)
      return -ENOSPC;
    if (is_data)
      store_read (d->o.store, d->o.volume, u->data, u->len, at);
    append (d, list, u);
  }
  return 0;
}

/* Record what a change takes the place of; returns as record_run. */
int
undo_record (struct durability *d, const struct change *c, uint64_t size,
             struct undo_list *list)
{
  const uint64_t end = c->offset + c->count;
  uint64_t at, to;
  bool is_data;
  int r = 0;

  if (d->o.store == NULL)
    return 0;
  for (at = c->offset; at < end && r == 0; at = to) {
    to = end_of_run (d, at, end, &is_data);
    if (is_data || !keeps_holes (d, c))
      r = record_run (d, c, at, to, is_data, size, list);
  }
  return r;
}

/* Record that older records of these blocks no longer matter.  Returns 0, or
 * -ENOSPC when there is no memory for that, or the change is larger than the
 * cache.
 */
int
undo_mark_durable (struct durability *d, const struct change *c)
{
  const uint64_t end = c->offset + c->count;
  uint64_t at, to;
  struct undo *u;

  if (c->count > d->o.cache_size)
    return -ENOSPC;
  for (at = c->offset; at < end && d->list.oldest != NULL; at = to) {
    to = min (end, (at | (REGION - 1)) + 1);
    undo_evict_for_room (d, d->o.block_size);
    u = new_undo (d, UNDO_DURABLE, false, at, to - at);
    if (u == NULL)
      return -ENOSPC;
    append (d, &d->list, u);
  }
  return 0;
}
