/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Early writes that are listed: in which order they are woken, how many steps
 * that takes, and what counts as progress (zones-early.c, zones-order.c).
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "unit.h"
#include "zoned.h"
#include "zones/zones-internal.h"

#define BLOCK 4096
#define ZONE (UINT64_C (64) << 20)

/* Zones 1 and 1 + MAX_ZONE_STRIPES have one stripe. */
#define NR_ZONES (2 * MAX_ZONE_STRIPES)

static struct zoned d;

static void
begin (uint64_t reorder_wait)
{
  const struct zone_settings s = {.zone_size = ZONE,
                                  .reorder_wait = reorder_wait};

  zoned_create (&d, &s, NR_ZONES * ZONE, false);
}

/*---------------------------------------------------------------------*/
/* Order and work */

#define MANY 6400

/* So many steps each of MANY writes may take, of a list, a wake and a removal
 * together: 13 is the logarithm.  A list would take thousands.
 */
#define STEPS 150

static struct zone_early early[MANY];
static unsigned woken, in_order;

static void
reached (struct zone_early *e)
{
  in_order += e == &early[woken];
  woken++;
}

static void
begin_with_none (void)
{
  begin (MAX_DURATION);
  memset (early, 0, sizeof early);
}

static void
list (struct zone_early *e, uint64_t zone, uint64_t block)
{
  e->reached = reached;
  zones_list_early (d.zones, e, BLOCK, zone * ZONE + block * BLOCK);
}

enum order { FORTH, BACK, ANY, NR_ORDERS };

static void
make_order (unsigned *of, enum order order, uint64_t *random)
{
  unsigned i, k;

  for (i = 0; i < MANY; i++)
    of[i] = order == BACK ? MANY - 1 - i : i;
  for (i = MANY - 1; i > 0 && order == ANY; i--) {
    k = random_below (random, i + 1);
    if (k != i) {
      of[i] ^= of[k];
      of[k] ^= of[i];
      of[i] ^= of[k];
    }
  }
}

static uint64_t
steps_in (uint64_t zone)
{
  return zone_stripe (d.zones, zone)->early.steps;
}

/* Half of them are in each of two zones of one stripe, behind the first block;
 * writes that come in order wake them in order.
 */
static void
test_wakes (void **state)
{
  uint64_t random = new_seed ("early writes");
  static unsigned of[MANY];
  unsigned i, order;

  (void) state;
  for (order = 0; order < NR_ORDERS; order++) {
    begin_with_none ();
    make_order (of, order, &random);
    for (i = 0; i < MANY; i++)
      list (&early[of[i]], of[i] < MANY / 2 ? 1 : 1 + MAX_ZONE_STRIPES,
            1 + of[i] % (MANY / 2));
    woken = in_order = 0;
    for (i = 0; i < MANY; i++) {
      assert_int_equal (woken, i);
      assert_int_equal (
          zoned_write (&d, NULL, BLOCK,
                       (i < MANY / 2 ? 1 : 1 + MAX_ZONE_STRIPES) * ZONE +
                           i % (MANY / 2) * BLOCK),
          0);
    }
    assert_int_equal (woken, MANY);
    assert_int_equal (in_order, MANY);
    assert_in_range (steps_in (1), MANY, STEPS * MANY);
    zoned_destroy (&d);
  }
}

/* Those of one place, and all that one write passes. */
static void
test_passes (void **state)
{
  unsigned i;

  (void) state;
  begin_with_none ();
  for (i = 0; i < 4; i++)
    list (&early[i], 1, 3);
  list (&early[4], 1, 4);
  list (&early[5], 1, 5);
  list (&early[6], 2, 1);
  woken = 0;
  assert_int_equal (zoned_write (&d, NULL, 2 * BLOCK, ZONE), 0);
  assert_int_equal (woken, 0);
  assert_int_equal (zoned_write (&d, NULL, 2 * BLOCK, ZONE + 2 * BLOCK), 0);
  assert_int_equal (woken, 5);
  assert_false (early[0].is_listed || early[4].is_listed);
  assert_true (early[5].is_listed && early[6].is_listed);
  zones_wake_all (d.zones);
  assert_int_equal (woken, 7);
  zoned_destroy (&d);
}

static void
test_removals (void **state)
{
  uint64_t random = new_seed ("early writes that go");
  static unsigned of[MANY];
  unsigned i, order;

  (void) state;
  for (order = 0; order < NR_ORDERS; order++) {
    begin_with_none ();
    for (i = 0; i < MANY; i++)
      list (&early[i], 1, 1 + i);
    make_order (of, order, &random);
    woken = 0;
    for (i = 0; i < MANY; i++)
      zones_unlist_early (d.zones, &early[of[i]]);
    zones_unlist_early (d.zones, &early[0]);
    assert_null (zone_stripe (d.zones, 1)->early.root);
    assert_in_range (steps_in (1), MANY, STEPS * MANY);
    assert_int_equal (zoned_write (&d, NULL, BLOCK, ZONE), 0);
    assert_int_equal (woken, 0);
    zoned_destroy (&d);
  }
}

/*---------------------------------------------------------------------*/
/* Progress */

static void
await_later_clock (void)
{
  const uint64_t now = clock_now ();

  while (clock_now () == now)
    ;
}

/* Has the end of its wait moved since this was called before? */
static bool
has_more_time (const struct zone_early *e)
{
  static uint64_t before;
  const uint64_t until = zones_early_until (d.zones, e);
  const bool r = until > before;

  assert_true (until >= before);
  before = until;
  await_later_clock ();
  return r;
}

static void
test_progress (void **state)
{
  struct zone_early *e = &early[0];

  (void) state;
  begin_with_none ();
  list (e, 1, 8);
  assert_true (has_more_time (e));
  assert_false (has_more_time (e));

  /* The write pointer moves, but not by a write that fails. */
  assert_int_equal (zoned_write (&d, NULL, BLOCK, ZONE), 0);
  assert_true (has_more_time (e));
  assert_int_equal (zoned_write (&d, NULL, BLOCK, ZONE), -EIO);
  assert_int_equal (zoned_write_cut (&d, NULL, BLOCK, ZONE + BLOCK, 0), -EIO);
  assert_false (has_more_time (e));

  /* Another write comes, or is listed once more. */
  list (&early[1], 1, 9);
  assert_true (has_more_time (e));
  zones_unlist_early (d.zones, &early[1]);
  list (&early[1], 1, 9);
  zones_unlist_early (d.zones, e);
  list (e, 1, 8);
  assert_false (has_more_time (e));

  /* In another zone of the stripe. */
  list (&early[2], 1 + MAX_ZONE_STRIPES, 9);
  assert_int_equal (
      zoned_write (&d, NULL, BLOCK, (1 + MAX_ZONE_STRIPES) * ZONE), 0);
  assert_false (has_more_time (e));

  /* A command moves it, or does not. */
  assert_int_equal (zones_command (d.zones, 1, ZONE_COND_CLOSED), 0);
  assert_false (has_more_time (e));
  assert_int_equal (zones_command (d.zones, 1, ZONE_COND_EMPTY), 0);
  assert_true (has_more_time (e));
  assert_int_equal (zones_command (d.zones, 1, ZONE_COND_EMPTY), 0);
  assert_false (has_more_time (e));
  zones_wake_all (d.zones);
  zoned_destroy (&d);
}

/* On a thread: its time is up before its first nap ends, but for a progress
 * that lies far ahead, so that this does not depend on any speed.
 */
static unsigned naps;

static int
make_progress (void *opaque, uint64_t nsec)
{
  const uint64_t until = clock_now () + NSEC_PER_MSEC;

  (void) opaque;
  (void) nsec;
  if (++naps == 1) {
    d.zones->progress[zone_index (d.zones, 1)] =
        clock_now () + 3600 * NSEC_PER_SEC;
    while (clock_now () <= until)
      ;
  }
  else if (naps == 2)
    assert_int_equal (zoned_write (&d, NULL, BLOCK, ZONE), 0);
  return naps < 1000 ? 0 : -ESHUTDOWN;
}

static void
test_progress_on_a_thread (void **state)
{
  const struct wait_ops ops = {.sleep_for = make_progress};
  struct zone_wait wait = {.ops = &ops};
  struct zone_write w;

  (void) state;
  begin (NSEC_PER_MSEC);
  naps = 0;
  assert_int_equal (zones_begin_write (d.zones, &w, BLOCK, ZONE + BLOCK, &wait),
                    0);
  zones_end_write (&w, BLOCK);
  assert_int_equal (naps, 2);
  assert_true (wait.since != 0);
  zoned_destroy (&d);
}

/* The nap calls the wait off.  A write that goes on with its wait later makes
 * no progress, and has no more time than it had.
 */
static int
call_off (void *opaque, uint64_t nsec)
{
  (void) opaque;
  (void) nsec;
  return -EAGAIN;
}

static void
test_called_off (void **state)
{
  const struct wait_ops ops = {.sleep_for = call_off};
  struct zone_wait wait = {.ops = &ops};
  struct zone_write w;
  uint64_t since;

  (void) state;
  begin (3 * NSEC_PER_MSEC);
  assert_int_equal (zones_begin_write (d.zones, &w, BLOCK, ZONE + BLOCK, &wait),
                    ZONE_WRITE_EARLY);
  since = wait.since;
  assert_true (since != 0);
  while (zones_begin_write (d.zones, &w, BLOCK, ZONE + BLOCK, &wait) ==
         ZONE_WRITE_EARLY)
    assert_int_equal (wait.since, since);
  assert_true (clock_now () >= since + 3 * NSEC_PER_MSEC);
  assert_int_equal (zoned_write (&d, NULL, BLOCK, ZONE), 0);
  wait.since = clock_now ();
  assert_int_equal (zones_begin_write (d.zones, &w, BLOCK, ZONE + BLOCK, &wait),
                    0);
  zones_end_write (&w, BLOCK);
  zoned_destroy (&d);
}

int
main (void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_wakes),
      cmocka_unit_test (test_passes),
      cmocka_unit_test (test_removals),
      cmocka_unit_test (test_progress),
      cmocka_unit_test (test_progress_on_a_thread),
      cmocka_unit_test (test_called_off),
  };

  return RUN_TESTS (tests);
}
