/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Who has a zone while something takes long: others of the same zone wait for
 * it, in order, and other zones do not, also those whose lock is the same.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <string.h>

#include "zoned.h"
#include "zones/zones-internal.h"

#define BLOCK UINT64_C (4096)
#define ZONE (UINT64_C (16) << 20)
#define LONG (2 * STORE_STEP)
#define CHUNK 131072
#define STEPS 3

/* These two have one lock. */
#define OURS 1
#define OTHER (OURS + MAX_ZONE_STRIPES)

static struct zoned d;
static char out[LONG + BLOCK], block[BLOCK];

static void
create_limited (uint64_t max_open)
{
  const struct zone_settings s = {.zone_size = ZONE, .max_open = max_open};

  zoned_create (&d, &s, 2 * MAX_ZONE_STRIPES * ZONE, true);
  memset (block, 7, sizeof block);
}

static void
create (void)
{
  create_limited (0);
}

static void
destroy (void)
{
  assert_null (zone_stripe (d.zones, OURS)->claims);
  zoned_destroy (&d);
}

static uint64_t
write_pointer (uint64_t zone)
{
  struct zone_descriptor r;

  zones_read_table (d.zones, zone, &r, 1);
  return (le64toh (r.wp) - le64toh (r.start)) * 512;
}

/* Everything that is short is done to another zone, by this same thread. */
static void
use (uint64_t zone)
{
  const uint64_t wp = write_pointer (zone), at = zone * ZONE + wp;

  assert_int_equal (zoned_write (&d, block, BLOCK, at), 0);
  assert_int_equal (zoned_read (&d, out, BLOCK, at), 0);
  assert_memory_equal (out, block, BLOCK);
  assert_int_equal (zones_command (d.zones, zone, ZONE_COND_CLOSED), 0);
}

static void
use_other (uint64_t offset)
{
  assert_int_equal (offset / ZONE, OURS);
  use (OTHER);
}

/*---------------------------------------------------------------------*/
/* What a thread does to our zone, which another request has. */

struct rival {
  pthread_t id;
  int (*act) (void);
  int r;
};

static int
write_block (void)
{
  return zoned_write (&d, block, BLOCK, OURS * ZONE + LONG);
}

static int
reset (void)
{
  return zones_command (d.zones, OURS, ZONE_COND_EMPTY);
}

static int
read_long (void)
{
  static char to[LONG];

  return zoned_read (&d, to, LONG, OURS * ZONE);
}

static void *
act (void *arg)
{
  struct rival *w = arg;

  w->r = w->act ();
  return NULL;
}

static unsigned
waiting (void)
{
  struct zone_stripe *stripe = zone_stripe (d.zones, OURS);
  const struct zone_claim *c;
  unsigned n = 0;

  zone_stripe_lock (stripe);
  for (c = stripe->claims; c != NULL; c = c->next)
    n += c->wake != NULL;
  zone_stripe_unlock (stripe);
  return n;
}

/* Begin, and return when it waits. */
static void
begin (struct rival *w, int (*what) (void))
{
  const unsigned before = waiting ();

  w->act = what;
  assert_int_equal (pthread_create (&w->id, NULL, act, w), 0);
  while (waiting () == before)
    sched_yield ();
}

static int
end (struct rival *w)
{
  assert_int_equal (pthread_join (w->id, NULL), 0);
  return w->r;
}

/*---------------------------------------------------------------------*/

static uint64_t went;

static int
append_block (void)
{
  went = OURS * ZONE;
  return zoned_append_cut (&d, block, BLOCK, &went, BLOCK);
}

/* They go behind what had the zone when they came, also where less of that was
 * written than was to be.
 */
static void
test_appends (void **state)
{
  struct zone_write w;
  struct rival rival;

  (void) state;
  create ();
  assert_int_equal (zones_begin_append (d.zones, &w, LONG, OURS * ZONE + 1), 0);
  assert_int_equal (w.offset, OURS * ZONE);
  use (OTHER);
  begin (&rival, append_block);
  zones_end_write (&w, LONG);
  assert_int_equal (end (&rival), 0);
  assert_int_equal (went, OURS * ZONE + LONG);

  assert_int_equal (zones_begin_append (d.zones, &w, LONG, OURS * ZONE), 0);
  begin (&rival, append_block);
  zones_end_write (&w, BLOCK);
  assert_int_equal (end (&rival), 0);
  assert_int_equal (went, OURS * ZONE + LONG + 2 * BLOCK);
  destroy ();
}

/* Short reads of what the zone has go on as well. */
static void
test_long_write (void **state)
{
  struct zone_write w;

  (void) state;
  create ();
  assert_int_equal (zoned_write (&d, block, BLOCK, OURS * ZONE), 0);
  assert_int_equal (
      zones_begin_write (d.zones, &w, LONG, OURS * ZONE + BLOCK, NULL), 0);
  use (OTHER);
  assert_int_equal (zoned_read (&d, out, BLOCK, OURS * ZONE), 0);
  assert_memory_equal (out, block, BLOCK);
  assert_int_equal (write_pointer (OURS), BLOCK);
  zones_end_write (&w, LONG);
  assert_int_equal (write_pointer (OURS), BLOCK + LONG);
  destroy ();
}

/* A write that a log is told of lets go of the lock, however short it is. */
static void
test_slow_write (void **state)
{
  struct zone_write w;

  (void) state;
  d.write_may_wait = true;
  create ();
  d.write_may_wait = false;
  assert_int_equal (zones_begin_write (d.zones, &w, BLOCK, OURS * ZONE, NULL),
                    0);
  use (OTHER);
  zones_end_write (&w, BLOCK);
  use (OURS);
  destroy ();
}

/* A long read has our zone, and its first part. */
static void
create_with_long_read (struct zone_read *r)
{
  create ();
  assert_int_equal (zoned_write (&d, NULL, LONG, OURS * ZONE), 0);
  assert_int_equal (zones_begin_read (d.zones, r, LONG, OURS * ZONE), 0);
  assert_int_equal (zones_read_part (r), 1);
}

static void
test_long_read (void **state)
{
  struct zone_read r;

  (void) state;
  create_with_long_read (&r);
  assert_int_equal (r.count, LONG);
  assert_true (r.is_data);
  use (OTHER);
  assert_int_equal (read_long (), 0);
  assert_int_equal (zones_read_part (&r), 0);
  destroy ();
}

/* Telling of a reset, and each step of what it discards. */
static void
test_reset (void **state)
{
  uint64_t i;

  (void) state;
  create ();
  for (i = 0; i < STEPS * STORE_STEP / CHUNK; i++)
    assert_int_equal (store_write (d.store, 0, "x", 1, OURS * ZONE + i * CHUNK),
                      0);
  assert_int_equal (zones_command (d.zones, OURS, ZONE_COND_FULL), 0);
  d.during_reset = use_other;
  assert_int_equal (zones_command (d.zones, OURS, ZONE_COND_EMPTY), 0);
  d.during_reset = NULL;
  assert_int_equal (d.steps, STEPS);
  assert_int_equal (write_pointer (OTHER), (1 + STEPS) * BLOCK);
  assert_int_equal (store_charged (d.store), (1 + STEPS) * BLOCK);
  destroy ();
}

/* What costs nothing to discard is one step, and what is empty none. */
static void
test_empty_steps (void **state)
{
  uint64_t zone;

  (void) state;
  create ();
  for (zone = 0; zone < 8; zone++)
    assert_int_equal (zones_command (d.zones, zone, ZONE_COND_FULL), 0);
  assert_int_equal (zones_reset_all (d.zones), 0);
  assert_int_equal (d.steps, 8);
  assert_int_equal (zones_reset_all (d.zones), 0);
  assert_int_equal (d.steps, 8);
  destroy ();
}

/* A long write has our zone. */
static void
create_with_long_write (struct zone_write *w)
{
  create ();
  assert_int_equal (zones_begin_write (d.zones, w, LONG, OURS * ZONE, NULL), 0);
}

static struct rival writer, resetter, last;

/* The same; a write waits for it, a reset, and then WHAT. */
static void
create_with_rivals (struct zone_write *w, int (*what) (void))
{
  create_with_long_write (w);
  begin (&writer, write_block);
  begin (&resetter, reset);
  begin (&last, what);
}

/* A write and a reset wait for a long write, and come in their order. */
static void
test_others_wait_in_order (void **state)
{
  struct zone_write w;

  (void) state;
  create_with_rivals (&w, write_block);
  assert_int_equal (write_pointer (OURS), 0);
  zones_end_write (&w, LONG);
  assert_int_equal (end (&writer), 0);
  assert_int_equal (end (&resetter), 0);
  assert_int_equal (end (&last), -EIO);
  assert_int_equal (write_pointer (OURS), 0);
  assert_int_equal (store_charged (d.store), 0);
  destroy ();
}

static struct rival late;
static bool has_begun;

static void
write_during_reset (uint64_t offset)
{
  static char zero[BLOCK];

  (void) offset;
  if (!has_begun)
    begin (&late, write_block);
  has_begun = true;
  /* It is empty, or yet to be. */
  assert_int_equal (zoned_read (&d, out, BLOCK, OURS * ZONE), 0);
  if (d.steps > 0)
    assert_memory_equal (out, zero, BLOCK);
}

/* Nothing of before a reset is there when the zone is written again. */
static void
test_write_waits_for_reset (void **state)
{
  (void) state;
  create ();
  assert_int_equal (zoned_write (&d, block, BLOCK, OURS * ZONE), 0);
  d.during_reset = write_during_reset;
  has_begun = false;
  assert_int_equal (reset (), 0);
  d.during_reset = NULL;
  assert_int_equal (end (&late), -EIO); /* not at the write pointer */
  assert_int_equal (store_charged (d.store), 0);
  destroy ();
}

/* Long reads share a zone; but those that come after a reset wait behind it. */
static void
test_reset_among_long_reads (void **state)
{
  struct rival reader;
  struct zone_read r;

  (void) state;
  create_with_long_read (&r);
  begin (&resetter, reset);
  begin (&reader, read_long);
  assert_int_equal (write_pointer (OURS), LONG);
  assert_int_equal (zones_read_part (&r), 0);
  assert_int_equal (end (&resetter), 0);
  assert_int_equal (end (&reader), 0);
  assert_int_equal (write_pointer (OURS), 0);
  destroy ();
}

/* Power is cut while a long write has the zone: those that wait find it off
 * when their turn comes, and change nothing.
 */
static void
test_power_cut (void **state)
{
  struct zone_write w;

  (void) state;
  create_with_rivals (&w, read_long);
  atomic_fetch_add (&d.epoch, 1);
  zones_end_write (&w, STORE_STEP);
  assert_int_equal (end (&writer), -ESHUTDOWN);
  assert_int_equal (end (&resetter), -ESHUTDOWN);
  assert_int_equal (end (&last), 0);
  assert_int_equal (write_pointer (OURS), STORE_STEP);
  atomic_fetch_add (&d.epoch, 1);
  use (OURS);
  destroy ();
}

/* There is no memory for a long write that has let go of the lock already: the
 * zone is as it was, and is the next one's.
 */
static void
test_no_memory (void **state)
{
  struct rival late_writer;
  struct zone_write w;
  uint64_t i;

  (void) state;
  create ();
  memset (out, 1, LONG);
  for (i = 0; i < (UINT64_C (64) << 20) / LONG; i++)
    assert_int_equal (zoned_write (&d, out, LONG, OTHER * ZONE + i * LONG), 0);
  assert_int_equal (zones_begin_write (d.zones, &w, LONG, OURS * ZONE, NULL),
                    0);
  begin (&writer, write_block);
  begin (&late_writer, write_block);
  assert_int_equal (store_write (d.store, 0, out, LONG, OURS * ZONE), -ENOSPC);
  zones_end_write (&w, 0);
  assert_int_equal (end (&writer), -EIO); /* not at the write pointer */
  assert_int_equal (end (&late_writer), -EIO);
  assert_int_equal (write_pointer (OURS), 0);
  assert_int_equal (zones_command (d.zones, OTHER, ZONE_COND_EMPTY), 0);
  use (OURS);
  destroy ();
}

static sem_t may_end;

static int
read_until_told (void)
{
  struct zone_read r;

  assert_int_equal (zones_begin_read (d.zones, &r, LONG, OURS * ZONE), 0);
  assert_int_equal (zones_read_part (&r), 1);
  while (sem_wait (&may_end) == -1)
    ;
  return zones_read_part (&r);
}

/* Long reads that wait side by side have the zone side by side, and who waits
 * behind them goes on waiting.
 */
static void
test_shared_woken_at_once (void **state)
{
  struct rival readers[3];
  struct zone_write w;
  unsigned i;

  (void) state;
  create ();
  sem_init (&may_end, 0, 0);
  assert_int_equal (zones_begin_write (d.zones, &w, LONG, OURS * ZONE, NULL),
                    0);
  for (i = 0; i < 2; i++)
    begin (&readers[i], read_until_told);
  begin (&resetter, reset);
  begin (&readers[2],
         read_long); /* not beside the first two: after the reset */
  assert_int_equal (waiting (), 4);
  zones_end_write (&w, LONG);
  assert_int_equal (waiting (), 2);
  assert_int_equal (write_pointer (OURS), LONG);
  sem_post (&may_end);
  sem_post (&may_end);
  assert_int_equal (end (&readers[0]), 0);
  assert_int_equal (end (&readers[1]), 0);
  assert_int_equal (end (&resetter), 0);
  assert_int_equal (end (&readers[2]), 0);
  assert_int_equal (write_pointer (OURS), 0);
  sem_destroy (&may_end);
  destroy ();
}

/*---------------------------------------------------------------------*/
/* A write that waits for room among the open zones. */

static int
write_ours (void)
{
  return zoned_write (&d, block, BLOCK, OURS * ZONE);
}

static int
write_next (void)
{
  return zoned_write (&d, block, BLOCK, (OURS + 1) * ZONE);
}

static bool
is_claimed (uint64_t zone)
{
  struct zone_stripe *stripe = zone_stripe (d.zones, zone);
  const struct zone_claim *c;

  zone_stripe_lock (stripe);
  for (c = stripe->claims; c != NULL && c->zone != zone; c = c->next)
    ;
  zone_stripe_unlock (stripe);
  return c != NULL;
}

/* Begin, and return when ZONE is claimed. */
static void
begin_holding (struct rival *w, int (*what) (void), uint64_t zone)
{
  w->act = what;
  assert_int_equal (pthread_create (&w->id, NULL, act, w), 0);
  while (!is_claimed (zone))
    sched_yield ();
}

/* Neither one that waits for room nor one that waits for its turn to do so
 * keeps a stripe locked: the write that they wait for is of one of these.
 */
static void
test_waits_for_room (void **state)
{
  struct rival first, second;
  struct zone_write w;

  (void) state;
  create_limited (1);
  assert_int_equal (zones_begin_write (d.zones, &w, LONG, OTHER * ZONE, NULL),
                    0);
  begin_holding (&first, write_ours, OURS);
  begin_holding (&second, write_next, OURS + 1);
  assert_int_equal (zoned_read (&d, out, BLOCK, OTHER * ZONE), 0);
  assert_int_equal (zoned_read (&d, out, BLOCK, (OTHER + 1) * ZONE), 0);
  assert_int_equal (zones_command (d.zones, OTHER + 1, ZONE_COND_EMPTY), 0);
  zones_end_write (&w, LONG);
  assert_int_equal (end (&first), 0);
  assert_int_equal (end (&second), 0);
  assert_int_equal (write_pointer (OURS), BLOCK);
  assert_int_equal (write_pointer (OURS + 1), BLOCK);
  destroy ();
}

static int
finish_ours (void)
{
  return zones_command (d.zones, OURS, ZONE_COND_FULL);
}

static atomic_uint times_reached;

static void
reached (struct zone_early *e)
{
  (void) e;
  atomic_fetch_add (&times_reached, 1);
}

/* One that has waited for room finishes its zone while a short read has locked
 * the stripe: the read goes on as it began, and a write that was listed as
 * early meanwhile is woken when the stripe can be locked.
 */
static void
test_finishes_unlocked (void **state)
{
  struct zone_early early = {.reached = reached};
  struct rival finisher;
  struct zone_write w;
  struct zone_read r;

  (void) state;
  create_limited (1);
  use (OURS);
  assert_int_equal (
      zones_begin_write (d.zones, &w, LONG, (OURS + 1) * ZONE, NULL), 0);
  begin_holding (&finisher, finish_ours, OURS);
  atomic_store (&times_reached, 0);
  zones_list_early (d.zones, &early, BLOCK, OURS * ZONE + 2 * BLOCK);
  assert_int_equal (zones_begin_read (d.zones, &r, 2 * BLOCK, OURS * ZONE), 0);
  assert_int_equal (zones_read_part (&r), 1);
  assert_true (r.is_data);

  zones_end_write (&w, LONG);
  while (write_pointer (OURS) != ZONE)
    sched_yield ();
  assert_int_equal (zones_read_part (&r), 1);
  assert_int_equal (r.count, BLOCK);
  assert_false (r.is_data);
  assert_int_equal (atomic_load (&times_reached), 0);
  assert_int_equal (zones_read_part (&r), 0);
  assert_int_equal (end (&finisher), 0);
  assert_int_equal (atomic_load (&times_reached), 1);
  zones_unlist_early (d.zones, &early);
  destroy ();
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_appends),
      cmocka_unit_test (test_long_write),
      cmocka_unit_test (test_slow_write),
      cmocka_unit_test (test_long_read),
      cmocka_unit_test (test_reset),
      cmocka_unit_test (test_empty_steps),
      cmocka_unit_test (test_others_wait_in_order),
      cmocka_unit_test (test_write_waits_for_reset),
      cmocka_unit_test (test_reset_among_long_reads),
      cmocka_unit_test (test_power_cut),
      cmocka_unit_test (test_no_memory),
      cmocka_unit_test (test_shared_woken_at_once),
      cmocka_unit_test (test_waits_for_room),
      cmocka_unit_test (test_finishes_unlocked),
  };

  return RUN_TESTS (tests);
}
