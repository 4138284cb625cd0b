/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A power cut loses what is volatile; durability.c has the diagram of the
 * records that it works with.
 *
 * It sorts them by region, the newest first, and so sees all former contents of
 * a block in a row, each of which is lost, until one survives or a record of
 * kind UNDO_DURABLE is met.  The fate of one of them is not drawn in order but
 * mixed from the seed, the block and the number of the change: so it depends on
 * nothing else.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "durability-internal.h"

/* Between BEGIN and END of a power_cut come records of so many bytes, lost or
 * not, or of up to REGION more.
 */
#define GROUP (UINT64_C (2) << 20)

static uint64_t
lost_from (const struct zone_durability *zone)
{
  return zone->loss != 0 ? zone->loss - 1 : UINT64_MAX;
}

/* Order records by region, and the newest first within one.  A and B are sorted
 * so, and what is in A is newer.
 */
static struct undo *
merge (struct undo *a, struct undo *b)
{
  struct undo *first, **to = &first;

  while (a != NULL && b != NULL) {
    if (a->offset >> REGION_SHIFT <= b->offset >> REGION_SHIFT) {
      *to = a;
      a = a->next;
    }
    else {
      *to = b;
      b = b->next;
    }
    to = &(*to)->next;
  }
  *to = a != NULL ? a : b;
  return first;
}

/* Sorted lists of 1, 2, 4, ... records are merged as they come; longer ones are
 * of older records.
 */
static struct undo *
sort (struct undo *oldest)
{
  struct undo *sorted[64] = {NULL}, *u;
  unsigned i;

  while (oldest != NULL) {
    u = oldest;
    oldest = oldest->next;
    u->next = NULL;
    for (i = 0; sorted[i] != NULL; i++) {
      u = merge (u, sorted[i]);
      sorted[i] = NULL;
    }
    sorted[i] = u;
  }
  u = NULL;
  for (i = 0; i < 64; i++)
    u = merge (u, sorted[i]);
  return u;
}

struct cutting {
  struct durability *d;
  const struct power_cut *cut;
  uint64_t loss_threshold; /* hashes below this are losses */

  uint64_t lost, kept;
  uint64_t charged; /* for the record at hand, and not used yet */

  /* The fates of the blocks of one region. */
  uint64_t region;
  enum fate { UNKNOWN, UNDONE, SETTLED } fate[MAX_BLOCKS];
};

/* Does the version of a block that U undoes get lost? */
static bool
hash_is_loss (const struct cutting *k, const struct undo *u, uint64_t block)
{
  uint64_t n;

  if (k->cut->lose != LOSE_RANDOM)
    return k->cut->lose == LOSE_ALL;
  n = random_mix (k->cut->seed + block * RANDOM_STEP);
  return random_mix (n ^ random_mix (u->change_nr + RANDOM_STEP)) <
         k->loss_threshold;
}

/* May the block at AT become what it was before U? */
static bool
is_volatile (const struct durability *d, const struct undo *u, uint64_t at)
{
  const struct zone_durability *zone = zone_at (d, at);

  if (zone != NULL)
    return u->change_nr >= zone->since && at >= zone->durable;
  return u->kind != UNDO_DURABLE;
}

/* Find where each zone begins to lose. */
static void
lose_in_zones (struct cutting *k, const struct undo *u)
{
  struct zone_durability *zone;
  uint64_t at;

  for (; u != NULL; u = u->next) {
    zone = zone_at (k->d, u->offset);
    if (zone == NULL)
      continue;
    for (at = u->offset; at < u->offset + u->len; at += k->d->o.block_size) {
      if (at < lost_from (zone) && is_volatile (k->d, u, at) &&
          hash_is_loss (k, u, at))
        zone->loss = at + 1;
    }
  }
}

static bool
is_lost (const struct cutting *k, const struct undo *u, uint64_t at)
{
  const struct zone_durability *zone = zone_at (k->d, at);

  return zone != NULL ? at >= lost_from (zone) : hash_is_loss (k, u, at);
}

static int
put_back (struct cutting *k, const struct undo *u, uint64_t from, uint64_t to)
{
  const struct durability_options *o = &k->d->o;
  int r = 0;

  if (u->kind == UNDO_DATA)
    r = store_restore (o->store, o->volume, u->data + (from - u->offset),
                       to - from, from, &k->charged);
  else
    store_trim (o->store, o->volume, to - from, from);
  if (r == 0 && k->cut->undone != NULL)
    k->cut->undone (k->cut->arg, from, to - from);
  return r;
}

/* The end of the blocks from AT on that lose the version which U undoes; the
 * fate of the block there, if any is left, is settled.
 */
static uint64_t
end_of_loss (struct cutting *k, const struct undo *u, uint64_t at)
{
  const uint64_t block_size = k->d->o.block_size;
  enum fate *fate;

  for (; at < u->offset + u->len; at += block_size) {
    fate = &k->fate[(at & (REGION - 1)) / block_size];
    if (*fate == SETTLED)
      break;
    if (!is_volatile (k->d, u, at) || !is_lost (k, u, at)) {
      k->kept += *fate == UNKNOWN && is_volatile (k->d, u, at);
      *fate = SETTLED;
      break;
    }
  }
  return at;
}

/* Where there is no memory for what a trim had freed, the trim survives. */
static void
undo_run (struct cutting *k, const struct undo *u, uint64_t from, uint64_t to)
{
  const uint64_t block_size = k->d->o.block_size;
  const bool is_undone = put_back (k, u, from, to) == 0;
  enum fate *fate;

  for (; from < to; from += block_size) {
    fate = &k->fate[(from & (REGION - 1)) / block_size];
    if (*fate == UNKNOWN) {
      k->lost += is_undone;
      k->kept += !is_undone;
    }
    *fate = is_undone ? UNDONE : SETTLED;
  }
}

static void
undo (struct cutting *k, const struct undo *u)
{
  const uint64_t end = u->offset + u->len;
  uint64_t from, to;

  for (from = u->offset; from < end; from = to + k->d->o.block_size) {
    to = end_of_loss (k, u, from);
    if (from < to)
      undo_run (k, u, from, to);
  }
}

void
durability_take_power (struct durability *d, const struct power_cut *cut,
                       uint64_t nr)
{
  atomic_fetch_add (&d->fastpath.epoch, 1);
  d->writes_left = 0;
  d->has_volatile_fua = false;
  update_needs_lock (d);
  d->cuts++;
  d->lost = d->kept = 0;
  d->cutting = true;
  d->cut = *cut;
  d->dirty = cut->dirty != NULL ? cut->dirty (cut->arg) : UINT64_MAX;
  d->last_change = nr;
  d->undoing = d->list;
  atomic_store (&d->memory_bytes, d->list.memory_bytes);
  memset (&d->list, 0, sizeof d->list);
}

int
durability_begin_cut (struct durability *d, const struct power_cut *cut)
{
  int r = -EALREADY;

  lock (&d->lock);
  if (is_on (d)) {
    durability_take_power (d, cut, UINT64_MAX);
    r = 0;
  }
  unlock (&d->lock);
  return r;
}

/* Undo one record and free it.  The bytes that it took of memory-limit are
 * there for what it brings back, and the rest is uncharged.
 */
static void
undo_and_free (struct cutting *k, struct undo *u)
{
  struct durability *d = k->d;

  if (u->offset >> REGION_SHIFT != k->region) {
    k->region = u->offset >> REGION_SHIFT;
    memset (k->fate, 0, sizeof k->fate);
  }
  k->charged = undo_charge (u);
  atomic_fetch_sub (&d->memory_bytes, k->charged);
  undo (k, u);
  undo_free (d, u, true);
  if (k->charged > 0)
    store_uncharge (d->o.store, k->charged);
}

/* Returns what is left. */
static struct undo *
undo_group (struct cutting *k, struct undo *u)
{
  struct undo *next;
  uint64_t bytes;

  if (k->cut->begin != NULL)
    k->cut->begin (k->cut->arg);
  for (bytes = 0; u != NULL && bytes < GROUP; u = next) {
    next = u->next;
    bytes += u->len;
    undo_and_free (k, u);
  }
  if (k->cut->end != NULL)
    k->cut->end (k->cut->arg);
  return u;
}

void
durability_finish_cut (struct durability *d)
{
  struct cutting k = {.d = d, .cut = &d->cut, .region = UINT64_MAX};
  struct undo *u;
  uint64_t i;

  for (i = 0; i < d->o.nr_zones; i++) {
    if (d->zones[i].loss != 0) /* or else its memory is not touched */
      d->zones[i].loss = 0;
  }
  k.loss_threshold = random_mix (random_mix (d->cut.seed));
  undo_drain (d, d->dirty, d->last_change);
  u = sort (d->undoing.oldest);
  lose_in_zones (&k, u);
  while (u != NULL)
    u = undo_group (&k, u);
  if (k.cut->finished != NULL)
    k.cut->finished (k.cut->arg);

  lock (&d->lock);
  d->lost = k.lost;
  d->kept = k.kept;
  d->cutting = false;
  pthread_cond_broadcast (&d->cut_over);
  unlock (&d->lock);
}

void
durability_await_cut (struct durability *d)
{
  lock (&d->lock);
  while (d->cutting)
    pthread_cond_wait (&d->cut_over, &d->lock);
  unlock (&d->lock);
}

int
durability_restore_power (struct durability *d)
{
  int r = -EALREADY;

  durability_await_cut (d);
  lock (&d->lock);
  if (!is_on (d)) {
    atomic_fetch_add (&d->fastpath.epoch, 1);
    update_needs_lock (d);
    r = 0;
  }
  unlock (&d->lock);
  return r;
}

uint64_t
durability_lost_from (struct durability *d, uint64_t offset)
{
  const struct zone_durability *zone = zone_at (d, offset);
  uint64_t from = UINT64_MAX;

  lock (&d->lock);
  if (zone != NULL)
    from = lost_from (zone);
  unlock (&d->lock);
  return from;
}
