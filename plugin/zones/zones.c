/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * How zones are made, and looked at: reads, extents, the zone table.  zones.h
 * says what they promise.
 *
 * A zone is one word, its state (zones-internal.h).  Zone N belongs to stripe N
 * modulo the number of stripes, which is at most 1024.  A stripe has a
 * reader-writer lock, and its states side by side, on cache lines that no other
 * stripe has:
 *
 *     stripes    | lock |  early, claims       states
 *     0          |   L  |  -                   | 0 | 1024 | 2048 | ...
 *     1          |   L  |  -> zone 1, wp       | 1 | 1025 | 2049 | ...
 *     ...        |  ... |                      | ...
 *     1023       |   L  |  -                   | 1023 | 2047 | ...
 *
 * The lock is held shared to read a zone's data, and exclusively to write any
 * or to change the state: so a read finds a zone as it was before a reset or a
 * write, or after it.  It is held while at most a step of data moves.  A
 * request that takes longer, or waits for something, has a place in the list of
 * claims instead (zones-claim.c): a read or a write of more than a step, a
 * write that goes into a write log, and a reset, except when it changes the
 * state.  With limits, there are other changes of the state without the lock,
 * but none that moves the write pointer back (zones-limits.c).  Two zones
 * rarely have the same lock: those that do are 1024 zones apart.  A request has
 * one zone at a time; a read of many zones goes from one to the next.  Requests
 * to conventional zones lock nothing here: the store has locks of its own.
 *
 * Lock order: a claim, a stripe, then limits.open_lock and limits.lock
 * (zones-limits.c), or waiting_write.lock (zones-early.c), or the store's.
 *
 * States are atomics so that tables, extents and counts need no lock: a zone's
 * state changes at one moment.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "zones-internal.h"

static uint64_t
zone_at (const struct zones *z, uint64_t offset)
{
  return offset >> z->shift;
}

static uint64_t
conventional_end (const struct zones *z)
{
  return z->nr_conv << z->shift;
}

/*---------------------------------------------------------------------*/
/* Locks */

void
stripe_lock_shared (struct zone_stripe *stripe)
{
  fairlock_shared (&stripe->lock);
}

void
zone_stripe_lock (struct zone_stripe *stripe)
{
  fairlock_exclusive (&stripe->lock);
}

void
zone_stripe_unlock (struct zone_stripe *stripe)
{
  fairlock_release (&stripe->lock);
}

static void
create_stripes (struct zones *z)
{
  uint64_t i;

  for (i = 0; i < z->nr_stripes; i++) {
    fairlock_init (&z->stripes[i].lock);
    z->stripes[i].early = (struct zone_order){0};
    z->stripes[i].claims = NULL;
  }
}

/*---------------------------------------------------------------------*/

/* Decide how the states lie: a row for each stripe, of whole cache lines. */
static void
lay_out (struct zones *z)
{
  const uint64_t line = 64 / sizeof *z->states;

  z->stripe_bits = 0;
  while (UINT64_C (1) << z->stripe_bits < min (z->nr_zones, MAX_ZONE_STRIPES))
    z->stripe_bits++;
  z->nr_stripes = UINT64_C (1) << z->stripe_bits;
  z->row = ((z->nr_zones - 1) / z->nr_stripes / line + 1) * line;
}

static void
begin_in (struct zones *z, const struct zone_list *list, enum zone_cond cond)
{
  uint64_t zone;
  unsigned i;

  for (i = 0; i < list->count; i++) {
    for (zone = list->ranges[i].first; zone <= list->ranges[i].last; zone++)
      zone_set_state (z, zone, cond, zone_len (z, zone));
  }
}

/* Empty zones need nothing: their states are zero, and not even there yet. */
static void
begin_states (struct zones *z, const struct zone_settings *s)
{
  uint64_t zone;

  if (s->full) {
    for (zone = z->nr_conv; zone < z->nr_zones; zone++)
      zone_set_state (z, zone, ZONE_COND_FULL, zone_capacity (z, zone));
  }
  begin_in (z, &s->readonly, ZONE_COND_READONLY);
  begin_in (z, &s->offline, ZONE_COND_OFFLINE);
}

/* As the store's table does: what nobody touches costs nothing. */
static int
create_states (struct zones *z)
{
  const uint64_t n = z->nr_stripes * z->row;
  void *map;

  z->map_size = n * (sizeof *z->states + sizeof *z->progress);
  map = mmap (NULL, z->map_size, PROT_READ | PROT_WRITE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED)
    return -ENOMEM;
  madvise (map, z->map_size, MADV_NOHUGEPAGE);
  z->states = map;
  z->progress = z->states + n;
  return 0;
}

int
zones_create (struct zones **zones, const struct zone_settings *s,
              uint64_t size, const struct zone_data_ops *data)
{
  struct zones *z;
  int r;

  z = calloc (1, sizeof *z);
  if (z == NULL)
    return -ENOMEM;
  z->size = size;
  z->shift = __builtin_ctzll (s->zone_size);
  z->nr_zones = (size - 1) / s->zone_size + 1;
  z->nr_conv = s->nr_conv;
  z->capacity = s->capacity;
  z->past_wp = s->past_wp;
  z->trim = s->trim;
  z->reorder_wait = s->reorder_wait;
  z->data = *data;

  lay_out (z);
  r = create_states (z);
  if (r < 0)
    goto free_zones;
  r = -ENOMEM;
  z->stripes = aligned_alloc (_Alignof(struct zone_stripe),
                              z->nr_stripes * sizeof *z->stripes);
  if (z->stripes == NULL)
    goto unmap;
  r = zone_limits_create (z, s);
  if (r < 0)
    goto free_stripes;
  create_stripes (z);
  begin_states (z, s);
  *zones = z;
  return 0;

free_stripes:
  free (z->stripes);
unmap:
  munmap (z->states, z->map_size);
free_zones:
  free (z);
  return r;
}

void
zones_destroy (struct zones *z)
{
  uint64_t i;

  zone_limits_destroy (z);
  for (i = 0; i < z->nr_stripes; i++)
    fairlock_destroy (&z->stripes[i].lock);
  free (z->stripes);
  munmap (z->states, z->map_size);
  free (z);
}

uint64_t
zones_total (const struct zones *z)
{
  return z->nr_zones;
}

/*---------------------------------------------------------------------*/
/* Reads */

/* May a zone in STATE be read up to END, counted from its start? */
static int
check_read (const struct zones *z, uint64_t state, uint64_t end)
{
  if (state_cond (state) == ZONE_COND_OFFLINE)
    return -EIO;
  if (z->past_wp == PAST_WP_ERROR && end > state_wp (state))
    return -EIO;
  return 0;
}

bool
zones_read_is_conventional (const struct zones *z, uint64_t count,
                            uint64_t offset)
{
  return offset + count <= conventional_end (z);
}

struct zone_stripe *
zones_lock_data (struct zones *z, uint64_t count, uint64_t offset)
{
  const uint64_t zone = zone_at (z, offset);
  const uint64_t end = offset + count - zone_start (z, zone);
  struct zone_stripe *stripe;
  uint64_t state;

  if (zone < z->nr_conv || !z->data.has_data || end > zone_len (z, zone) ||
      count > z->data.step)
    return NULL;
  stripe = zone_stripe (z, zone);
  stripe_lock_shared (stripe);
  state = zone_state (z, zone);
  if (end <= state_wp (state) && check_read (z, state, end) == 0)
    return stripe;
  zone_stripe_unlock (stripe);
  return NULL;
}

void
zones_unlock_data (struct zone_stripe *locked)
{
  zone_stripe_unlock (locked);
}

int
zones_begin_read (struct zones *z, struct zone_read *r, uint64_t count,
                  uint64_t offset)
{
  const uint64_t end = offset + count;
  uint64_t zone = zone_at (z, offset);
  int error = 0;

  for (zone = zone < z->nr_conv ? z->nr_conv : zone;
       error == 0 && zone < z->nr_zones && zone_start (z, zone) < end; zone++)
    error = check_read (z, zone_state (z, zone),
                        min (end - zone_start (z, zone), zone_len (z, zone)));
  r->zones = z;
  r->count = 0;
  r->offset = r->zone_end = offset;
  r->end = end;
  r->locked = NULL;
  r->has_claim = false;
  return error;
}

static void
leave_zone (struct zone_read *r)
{
  if (r->locked != NULL)
    zone_stripe_unlock (r->locked);
  if (r->has_claim)
    zone_give_back (&r->claim);
  r->locked = NULL;
  r->has_claim = false;
}

/* Lock the zone at r->offset, or take it to read more than a step, and find out
 * up to where it has data.  Without data the rest of the read is one part, and
 * so is all that lies in conventional zones.
 */
static int
enter_zone (struct zone_read *r)
{
  struct zones *z = r->zones;
  const uint64_t zone = zone_at (z, r->offset);
  const uint64_t start = zone_start (z, zone);
  uint64_t state;
  int error;

  if (!z->data.has_data) {
    r->zone_end = r->end;
    r->data_end = r->offset;
    return 0;
  }
  if (zone < z->nr_conv) {
    r->zone_end = r->data_end = min (r->end, conventional_end (z));
    return 0;
  }
  r->zone_end = min (r->end, start + zone_len (z, zone));
  r->has_claim = r->zone_end - r->offset > z->data.step;
  if (r->has_claim)
    zone_take_shared (z, &r->claim, zone);
  else {
    r->locked = zone_stripe (z, zone);
    stripe_lock_shared (r->locked);
  }
  state = zone_state (z, zone);
  r->data_end = min (r->zone_end, start + state_wp (state));
  error = check_read (z, state, r->zone_end - start);
  if (error < 0)
    leave_zone (r);
  else if (r->has_claim)
    claim_unlock_stripe (&r->claim);
  return error;
}

int
zones_read_part (struct zone_read *r)
{
  int error;

  r->offset += r->count;
  r->count = 0;
  if (r->offset == r->zone_end) {
    leave_zone (r);
    if (r->offset == r->end)
      return 0;
    error = enter_zone (r);
    if (error < 0)
      return error;
  }
  r->is_data = r->offset < r->data_end;
  r->count = (r->is_data ? r->data_end : r->zone_end) - r->offset;
  r->fill =
      r->zones->data.has_data && r->zones->past_wp == PAST_WP_ONES ? 0xff : 0;
  return 1;
}

/*---------------------------------------------------------------------*/
/* Extents */

/* Returns the kind of extent at OFFSET, and in *end where it ends in its zone.
 */
static enum zone_extent
extent_in_zone (const struct zones *z, uint64_t offset, uint64_t *end)
{
  const uint64_t zone = zone_at (z, offset);
  const uint64_t start = zone_start (z, zone);
  uint64_t wp;

  if (zone < z->nr_conv) {
    *end = conventional_end (z);
    return ZONE_EXTENT_CONVENTIONAL;
  }
  wp = start + state_wp (zone_state (z, zone));
  if (offset < wp) {
    *end = wp;
    return ZONE_EXTENT_DATA;
  }
  *end = start + zone_len (z, zone);
  return z->past_wp == PAST_WP_ERROR ||
                 (z->past_wp == PAST_WP_ONES && z->data.has_data)
             ? ZONE_EXTENT_HOLE
             : ZONE_EXTENT_ZERO;
}

enum zone_extent
zones_extent (struct zones *z, uint64_t offset, uint64_t end,
              uint64_t *end_of_run)
{
  const enum zone_extent extent = extent_in_zone (z, offset, end_of_run);
  uint64_t next;

  while (*end_of_run < end && extent_in_zone (z, *end_of_run, &next) == extent)
    *end_of_run = next;
  *end_of_run = min (*end_of_run, end);
  return extent;
}

/*---------------------------------------------------------------------*/
/* The zone table */

static uint64_t
to_wire (uint64_t bytes)
{
  return htole64 (bytes >> ZONE_SECTOR_SHIFT);
}

static void
describe (const struct zones *z, uint64_t zone, struct zone_descriptor *d)
{
  const uint64_t start = zone_start (z, zone);
  uint64_t state;

  memset (d, 0, sizeof *d);
  d->start = to_wire (start);
  d->len = to_wire (zone_len (z, zone));
  d->capacity = to_wire (zone_capacity (z, zone));
  if (zone < z->nr_conv) {
    d->type = ZONE_TYPE_CONVENTIONAL;
    d->cond = ZONE_COND_NOT_WP;
    d->wp = to_wire (start + zone_len (z, zone));
    return;
  }
  state = zone_state (z, zone);
  d->type = ZONE_TYPE_SEQUENTIAL;
  d->cond = state_cond (state);
  d->wp = d->cond == ZONE_COND_READONLY || d->cond == ZONE_COND_OFFLINE
              ? htole64 (ZONE_NO_WP)
              : to_wire (start + state_wp (state));
}

uint64_t
zones_read_table (struct zones *z, uint64_t first,
                  struct zone_descriptor *descriptors, uint64_t n)
{
  uint64_t i;

  if (first >= z->nr_zones)
    return 0;
  n = min (n, z->nr_zones - first);
  for (i = 0; i < n; i++)
    describe (z, first + i, &descriptors[i]);
  return n;
}

/* Stripe by stripe, as the states lie. */
void
zones_count_by_condition (struct zones *z, uint64_t counts[NR_ZONE_CONDS])
{
  uint64_t stripe, zone;

  memset (counts, 0, NR_ZONE_CONDS * sizeof counts[0]);
  counts[ZONE_COND_NOT_WP] = z->nr_conv;
  for (stripe = 0; stripe < z->nr_stripes; stripe++) {
    for (zone = stripe; zone < z->nr_zones; zone += z->nr_stripes) {
      if (zone >= z->nr_conv)
        counts[state_cond (zone_state (z, zone))]++;
    }
  }
}
