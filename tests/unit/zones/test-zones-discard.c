/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What was in a zone that is reset: it goes step by step, and whoever is to
 * change the zone meanwhile sees to the rest first, so that nothing of before
 * can be read again.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "zoned.h"
#include "zones/zones-internal.h"

#define ZONE (UINT64_C (16) << 20)
#define CHUNK 131072
#define STEPS 3

static struct zoned d;
static unsigned char out[4096];

/* As of a client that is in the middle of a reset of zone 1. */
static struct zone_discard left;

static void
create (void)
{
  const struct zone_settings s = {.zone_size = ZONE, .past_wp = PAST_WP_ZERO};

  zoned_create (&d, &s, 8 * ZONE, true);
}

/* In each chunk a page, so that there are so many steps. */
static void
fill (uint64_t zone)
{
  uint64_t i;

  for (i = 0; i < STEPS * STORE_STEP / CHUNK; i++)
    assert_int_equal (store_write (d.store, 0, "x", 1, zone * ZONE + i * CHUNK),
                      0);
}

static void
leave_some (void)
{
  fill (1);
  d.steps = 0;
  left = (struct zone_discard){NULL, 1, ZONE, 2 * ZONE};
  zone_stripe (d.zones, 1)->discards = &left;
}

static void
check_nothing_left (void)
{
  assert_null (zone_stripe (d.zones, 1)->discards);
  assert_int_equal (d.steps, STEPS);
  assert_int_equal (left.offset, left.end);
}

/* The zone is locked for a step at a time. */
static void
test_steps (void **state)
{
  (void) state;
  create ();
  fill (1);
  assert_int_equal (zones_command (d.zones, 1, ZONE_COND_FULL), 0);
  assert_int_equal (zones_command (d.zones, 1, ZONE_COND_EMPTY), 0);
  assert_int_equal (d.steps, STEPS);
  assert_int_equal (store_held (d.store), 0);
  zoned_destroy (&d);
}

/* What costs nothing is one step, and what is empty none. */
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
  zoned_destroy (&d);
}

static void
test_write_joins_in (void **state)
{
  static unsigned char page[4096];

  (void) state;
  create ();
  leave_some ();
  memset (page, 7, sizeof page);
  assert_int_equal (zoned_write (&d, page, sizeof page, ZONE), 0);
  check_nothing_left ();
  assert_int_equal (store_held (d.store), sizeof page);
  assert_int_equal (zoned_read (&d, out, sizeof out, ZONE), 0);
  assert_memory_equal (out, page, sizeof page);
  zoned_destroy (&d);
}

/* Each of these would show what was there. */
static void
test_commands_join_in (void **state)
{
  static const enum zone_cond conditions[] = {
      ZONE_COND_FULL, ZONE_COND_READONLY, ZONE_COND_EMPTY};
  unsigned i;

  (void) state;
  for (i = 0; i < 3; i++) {
    create ();
    leave_some ();
    assert_int_equal (zones_command (d.zones, 1, conditions[i]), 0);
    check_nothing_left ();
    assert_int_equal (zoned_read (&d, out, sizeof out, ZONE), 0);
    assert_int_equal (out[0], 0);
    zoned_destroy (&d);
  }
}

/* Others of the same stripe do not. */
static void
test_others_do_not (void **state)
{
  (void) state;
  create ();
  leave_some ();
  assert_int_equal (zoned_write (&d, out, sizeof out, 2 * ZONE), 0);
  left.zone = 9;
  assert_int_equal (zoned_write (&d, out, sizeof out, ZONE), 0);
  assert_int_equal (zoned_read (&d, out, sizeof out, ZONE), 0);
  assert_int_equal (d.steps, 0);
  zone_stripe (d.zones, 1)->discards = NULL;
  zoned_destroy (&d);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_steps),
      cmocka_unit_test (test_empty_steps),
      cmocka_unit_test (test_write_joins_in),
      cmocka_unit_test (test_commands_join_in),
      cmocka_unit_test (test_others_do_not),
  };

  return RUN_TESTS (tests);
}
