/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Declarations that the files of durability share.  Each file calls only those
 * that stand below it:
 *
 *     durability.c       makes changes (with the diagram)
 *     durability-cut.c   cuts the power
 *     durability-undo.c  records of old content
 */

#ifndef NULLBLK_DURABILITY_INTERNAL_H
#define NULLBLK_DURABILITY_INTERNAL_H

#include <pthread.h>

#include "common/common.h"
#include "durability.h"

#define REGION_SHIFT 17
#define REGION (UINT64_C (1) << REGION_SHIFT)
#define MAX_BLOCKS (REGION / 512) /* in a region */

enum undo_kind { UNDO_DATA, UNDO_HOLE, UNDO_DURABLE };

struct undo {
  struct undo *next; /* the next newer record; while a cut is finished, the next
                      * of the region, newest first, or of the next region */
  uint64_t change_nr; /* of the change that it undoes */
  uint64_t offset;
  uint32_t len;
  uint8_t kind;     /* enum undo_kind */
  bool frees_pages; /* the change may have given the memory here back */
  bool is_copy;     /* `data` is memory of store_take_copy, or behind this */
  char *data;
};

struct undo_list {
  struct undo *oldest, *newest;
  uint64_t cache_bytes;  /* that the records take of the cache */
  uint64_t memory_bytes; /* that the records take of memory-limit */
};

struct zone_durability {
  uint64_t since;   /* records of changes with lower numbers are stale, as the
                     * zone was reset */
  uint64_t durable; /* the offset below which FUA has made all durable */
  uint64_t loss;    /* (*) 1 + the offset from which on the last cut lost all;
                     * 0: it lost nothing */
};

struct durability {
  struct durability_fastpath fastpath; /* first: see durability_fastpath */
  struct durability_options o;
  struct durability *next;    /* in o.pool */
  struct store_copies copies; /* data of records; has a lock of its own */

  /* Guards all that follows, and the order of changes in the store.  It is held
   * for a step of STORE_STEP at most, and while records are evicted to make
   * room for it; not while a list is freed or a cut is finished.
   */
  pthread_mutex_t lock;
  struct undo_list list;
  struct undo_list gone; /* not needed any more, to be freed */
  bool defers_frees;     /* see durability_defer_frees */
  uint64_t change_nr;    /* of the next change */
  struct zone_durability *zones;
  uint64_t writes_left;
  bool has_volatile_fua; /* a change with FUA is volatile, as power was to be
                          * cut at it */
  struct power_cut next_cut; /* when writes_left are done */
  uint64_t cuts, lost, kept;

  /* Power is cut, and the volatile changes, now in `undoing`, are being lost.
   * While `cutting` is set, only the thread that finishes the cut touches what
   * is marked (*).
   */
  bool cutting;
  pthread_cond_t cut_over;
  struct power_cut cut;          /* (*) */
  uint64_t dirty;                /* (*) bytes that the cut may lose */
  uint64_t last_change;          /* (*) may be lost whatever `dirty` is */
  struct undo_list undoing;      /* (*) */
  _Atomic uint64_t memory_bytes; /* of memory-limit, still in `undoing` */
};

enum change_kind { CHANGE_WRITE, CHANGE_ZERO, CHANGE_TRIM };
struct change {
  enum change_kind kind;
  const void *buf; /* of a write */
  uint64_t count, offset;
  bool fua;

  /* For durability_cut_after; of a long write the last step. */
  bool counts_as_write;

  struct store_reservation
      *reservation; /* of a step of a long write, or NULL */
};

static inline bool
is_on (const struct durability *d)
{
  return (atomic_load (&d->fastpath.epoch) & 1) == 0;
}

static inline void
update_needs_lock (struct durability *d)
{
  atomic_store (&d->fastpath.needs_lock,
                d->o.cache_size > 0 || d->writes_left > 0 || !is_on (d));
}

/* The sequential zone that OFFSET lies in, or NULL. */
static inline struct zone_durability *
zone_at (const struct durability *d, uint64_t offset)
{
  uint64_t nr;

  if (d->o.nr_zones == 0 || offset < d->o.zones_start)
    return NULL;
  nr = (offset - d->o.zones_start) / d->o.zone_size;
  return nr < d->o.nr_zones ? &d->zones[nr] : NULL;
}

/* Returns how many bytes a record takes of memory-limit. */
uint64_t undo_charge (const struct undo *u);

/* Free a record.  NOW: as for store_give_copy. */
void undo_free (struct durability *d, struct undo *u, bool now);

/* The lock is held for all of the following but undo_free_all and undo_drain.
 *
 * Put all records of FROM behind those of TO.  FROM stays as it is.
 */
void undo_append_all (struct undo_list *to, const struct undo_list *from);

/* The records of a list are not needed any more: uncharge their memory, and
 * leave them in d->gone, to be freed.
 */
void undo_forget (struct durability *d, struct undo_list *list);

/* Free U and all records behind it. */
void undo_free_all (struct durability *d, struct undo *u);

/* Release the lock, and free what is in d->gone; the second function leaves
 * that to durability_free_deferred after durability_defer_frees.
 */
void undo_unlock_and_free (struct durability *d);
void undo_unlock_or_defer (struct durability *d);

/* Evict the oldest records until BYTES of memory are back, or none is left.
 * Returns how many bytes are back.
 */
uint64_t undo_evict_memory (struct durability *d, uint64_t bytes);

/* Evict the oldest records until the cache has room for CACHE_BYTES. */
void undo_evict_for_room (struct durability *d, uint64_t cache_bytes);

/* Record the content that a change replaces, in LIST.  Returns 0, or -ENOSPC
 * when LIST would have more than SIZE bytes of the cache or there is no memory.
 */
int undo_record (struct durability *d, const struct change *c, uint64_t size,
                 struct undo_list *list);

/* Record that older records of the blocks of a change no longer matter.
 * Returns 0, or -ENOSPC when there is no memory for that, or the change is
 * larger than the cache.
 */
int undo_mark_durable (struct durability *d, const struct change *c);

/* While power is off, forget the oldest records until the others take BYTES of
 * the cache, but none of the change NR or a later one.  Called by the thread
 * that finishes the cut, without the lock: until the cut is over, nobody else
 * uses `undoing`.
 */
void undo_drain (struct durability *d, uint64_t bytes, uint64_t nr);

/* Do the first phase of a power cut, which may lose the change NR whatever is
 * dirty, and those after it.  Power is on, and the lock is held.
 */
void durability_take_power (struct durability *d, const struct power_cut *cut,
                            uint64_t nr);

#endif /* NULLBLK_DURABILITY_INTERNAL_H */
