/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Zones: what reads, trims and extents find, read-only and offline zones, null
 * mode, and early writes as far as one thread can tell.
 */

#include <config.h>

#include <string.h>
#include <errno.h>

#include "eight-zones.h"

/*---------------------------------------------------------------------*/
/* Read-only and offline */

static void
test_readonly_keeps_data (void **state)
{
  struct zone_settings s = usual;

  (void) state;
  s.past_wp = PAST_WP_ONES;
  begin (&s);
  put (Z, READONLY);
  assert_data (Z, 0, BLOCK);
  assert_bytes (Z * ZONE + BLOCK, ZONE - BLOCK, 0);
  end ();
}

static void
test_readonly_twice_is_empty_without_data (void **state)
{
  (void) state;
  begin (&usual);
  put (Z, READONLY);
  assert_int_equal (command (Z, READONLY), 0);
  assert_zone (Z, EMPTY, 0);
  assert_int_equal (store_charged (d.store), 0);
  assert_int_equal (write_at (Z, 0, BLOCK), 0);
  end ();
}

static void
test_offline_twice_is_empty_without_data (void **state)
{
  (void) state;
  begin (&usual);
  put (Z, OFFLINE);
  assert_int_equal (command (Z, OFFLINE), 0);
  assert_zone (Z, EMPTY, 0);
  assert_int_equal (store_charged (d.store), 0);
  end ();
}

static void
test_readonly_then_offline_and_back (void **state)
{
  (void) state;
  begin (&usual);
  put (Z, READONLY);
  assert_int_equal (command (Z, OFFLINE), 0);
  assert_zone (Z, OFFLINE, 0);
  assert_int_equal (command (Z, READONLY), 0);
  assert_zone (Z, READONLY, 0);
  assert_data (Z, 0, BLOCK);
  end ();
}

static void
test_readonly_and_offline_give_their_place (void **state)
{
  static const enum zone_cond before[] = {IMP_OPEN, EXP_OPEN, CLOSED};
  static const enum zone_cond asked[] = {READONLY, OFFLINE};
  size_t i, j;

  (void) state;
  for (i = 0; i < 3; i++) {
    for (j = 0; j < 2; j++) {
      begin_with_limits (1, 1);
      put (Z, before[i]);
      assert_int_equal (command (Z, asked[j]), 0);
      assert_zone (Z, asked[j], 0);
      assert_int_equal (command (3, EXP_OPEN), 0);
      end ();
    }
  }
}

/* They are finished first, which takes a place, but need not succeed. */
static void
test_readonly_finishes_first (void **state)
{
  (void) state;
  begin_with_limits (1, 0);
  put (3, IMP_OPEN);
  assert_int_equal (command (Z, READONLY), 0);
  assert_zone (Z, READONLY, 0);
  assert_zone (3, CLOSED, BLOCK);
  put (5, EXP_OPEN);
  assert_int_equal (command (6, OFFLINE), 0);
  assert_zone (6, OFFLINE, 0);
  assert_zone (5, EXP_OPEN, BLOCK);
  end ();
}

/*---------------------------------------------------------------------*/
/* Reads */

static void
test_read_offline_zone (void **state)
{
  (void) state;
  begin (&usual);
  put (Z, OFFLINE);
  assert_int_equal (zoned_read (&d, back, BLOCK, Z * ZONE), -EIO);
  assert_int_equal (zoned_read (&d, back, BLOCK, Z * ZONE + ZONE - BLOCK),
                    -EIO);
  /* A read that touches it gets nothing at all. */
  memset (back, 'X', sizeof back);
  assert_int_equal (zoned_read (&d, back, SIZE, 0), -EIO);
  assert_int_equal (back[0], 'X');
  assert_int_equal (zoned_read (&d, back, ZONE + BLOCK, (Z - 1) * ZONE), -EIO);
  assert_int_equal (zoned_read (&d, back, ZONE, (Z - 1) * ZONE), 0);
  assert_int_equal (zoned_read (&d, back, ZONE, (Z + 1) * ZONE), 0);
  end ();
}

/* Conventional, half, full, empty. */
static void
read_all_with (enum zone_past_wp past_wp, unsigned char past)
{
  struct zone_settings s = usual;

  s.past_wp = past_wp;
  begin (&s);
  assert_int_equal (write_at (1, 0, BLOCK), 0);
  assert_int_equal (write_at (2, 0, 5 * BLOCK), 0);
  put (3, FULL);
  assert_int_equal (zoned_read (&d, back, 4 * ZONE, ZONE), 0);
  assert_memory_equal (back, data, BLOCK);
  assert_int_equal (back[BLOCK], 0);
  assert_int_equal (back[ZONE - 1], 0);
  assert_memory_equal (back + ZONE, data, 5 * BLOCK);
  assert_int_equal ((unsigned char) back[ZONE + 5 * BLOCK], past);
  assert_int_equal ((unsigned char) back[2 * ZONE - 1], past);
  assert_memory_equal (back + 2 * ZONE, data, CAPACITY);
  assert_bytes (2 * ZONE + 5 * BLOCK, ZONE - 5 * BLOCK, past);
  assert_bytes (3 * ZONE + CAPACITY, ZONE - CAPACITY, past);
  assert_bytes (4 * ZONE, ZONE, past);
  end ();
}

static void
test_read_past_wp_zero (void **state)
{
  (void) state;
  read_all_with (PAST_WP_ZERO, 0);
}

static void
test_read_past_wp_ones (void **state)
{
  (void) state;
  read_all_with (PAST_WP_ONES, 0xff);
}

static void
test_read_past_wp_error (void **state)
{
  struct zone_settings s = usual;

  (void) state;
  s.past_wp = PAST_WP_ERROR;
  begin (&s);
  assert_int_equal (write_at (2, 0, 5 * BLOCK), 0);
  assert_int_equal (zoned_read (&d, back, 2 * ZONE + 5 * BLOCK, 0), 0);
  assert_memory_equal (back + 2 * ZONE, data, 5 * BLOCK);
  memset (back, 'X', sizeof back);
  assert_int_equal (zoned_read (&d, back, 2 * ZONE + 6 * BLOCK, 0), -EIO);
  assert_int_equal (back[0], 'X');
  assert_int_equal (zoned_read (&d, back, BLOCK, 2 * ZONE + 5 * BLOCK), -EIO);
  put (3, FULL);
  assert_int_equal (zoned_read (&d, back, CAPACITY, 3 * ZONE), 0);
  assert_int_equal (zoned_read (&d, back, ZONE, 3 * ZONE), -EIO);
  assert_int_equal (command (4, FULL), 0);
  assert_int_equal (zoned_read (&d, back, ZONE, 4 * ZONE), 0);
  put (5, READONLY);
  assert_int_equal (zoned_read (&d, back, 2 * ZONE, 4 * ZONE), 0);
  end ();
}

/* A read that can be done at once leaves the zone locked, for others that read;
 * any other leaves no lock, or else a command would wait for ever.
 */
static void
test_lock_data (void **state)
{
  struct zone_stripe *locked, *other;

  (void) state;
  d.step = 4 * BLOCK;
  begin (&usual);
  d.step = 0;
  assert_int_equal (write_at (Z, 0, 5 * BLOCK), 0);
  put (Z + 1, OFFLINE);
  locked = zones_lock_data (d.zones, 4 * BLOCK, Z * ZONE + BLOCK);
  assert_non_null (locked);
  other = zones_lock_data (d.zones, BLOCK, Z * ZONE);
  assert_ptr_equal (other, locked);
  zones_unlock_data (other);
  zones_unlock_data (locked);

  assert_null (zones_lock_data (d.zones, BLOCK, 0));
  assert_null (zones_lock_data (d.zones, 5 * BLOCK, Z * ZONE));
  assert_null (zones_lock_data (d.zones, 2 * BLOCK, Z * ZONE + 4 * BLOCK));
  assert_null (zones_lock_data (d.zones, BLOCK, (Z + 1) * ZONE));
  assert_null (zones_lock_data (d.zones, 2 * BLOCK, (Z + 1) * ZONE - BLOCK));
  assert_int_equal (command (Z, EMPTY), 0);
  assert_int_equal (command (Z + 1, OFFLINE), 0);
  end ();

  zoned_create (&d, &usual, SIZE, false);
  assert_int_equal (write_at (Z, 0, BLOCK), 0);
  assert_null (zones_lock_data (d.zones, BLOCK, Z * ZONE));
  end ();
}

/* A zone that changes for the worse between two parts of a read. */
static void
test_read_meets_a_zone_that_goes_offline (void **state)
{
  struct zone_read part;

  (void) state;
  begin (&usual);
  put (2, FULL);
  assert_int_equal (zones_begin_read (d.zones, &part, 2 * ZONE, 2 * ZONE), 0);
  assert_int_equal (zones_read_part (&part), 1);
  assert_true (part.is_data);
  assert_int_equal (part.offset, 2 * ZONE);
  assert_int_equal (part.count, CAPACITY);
  assert_int_equal (zones_read_part (&part), 1);
  assert_false (part.is_data);
  assert_int_equal (part.offset, 2 * ZONE + CAPACITY);
  assert_int_equal (part.count, ZONE - CAPACITY);
  assert_int_equal (command (3, OFFLINE), 0);
  assert_int_equal (zones_read_part (&part), -EIO);
  /* No lock is left. */
  assert_int_equal (command (2, EMPTY), 0);
  assert_int_equal (command (3, OFFLINE), 0);
  end ();
}

/*---------------------------------------------------------------------*/
/* Null mode */

static void
test_null_mode (void **state)
{
  struct zone_settings s = usual;

  (void) state;
  s.past_wp = PAST_WP_ONES;
  zoned_create (&d, &s, SIZE, false);
  assert_int_equal (write_at (Z, 0, BLOCK), 0);
  assert_int_equal (write_at (Z, 0, BLOCK), -EIO);
  assert_zone (Z, IMP_OPEN, BLOCK);
  assert_bytes (0, SIZE, 0);
  assert_int_equal (zones_trim (d.zones, SIZE, 0), 0);
  assert_zone (Z, EMPTY, 0);
  put (Z, OFFLINE);
  assert_int_equal (zoned_read (&d, back, BLOCK, Z * ZONE), -EIO);
  end ();

  s.past_wp = PAST_WP_ERROR;
  zoned_create (&d, &s, SIZE, false);
  assert_int_equal (write_at (Z, 0, BLOCK), 0);
  assert_int_equal (zoned_read (&d, back, BLOCK, Z * ZONE), 0);
  assert_int_equal (zoned_read (&d, back, 2 * BLOCK, Z * ZONE), -EIO);
  end ();
}

/*---------------------------------------------------------------------*/
/* Trims */

static void
test_trim_resets_whole_zones (void **state)
{
  uint64_t zone;

  (void) state;
  begin_with_limits (3, 4);
  for (zone = NR_CONV; zone < NR_ZONES; zone++)
    put (zone, FULL);
  assert_int_equal (zones_trim (d.zones, 3 * ZONE, 3 * ZONE - BLOCK), 0);
  assert_zone (2, FULL, CAPACITY);
  assert_zone (3, EMPTY, 0);
  assert_zone (4, EMPTY, 0);
  assert_zone (5, FULL, CAPACITY);
  assert_int_equal (store_charged (d.store), 4 * CAPACITY);
  end ();
}

static void
test_trim_of_parts_does_nothing (void **state)
{
  (void) state;
  begin (&usual);
  put (Z, FULL);
  put (Z + 1, READONLY);
  assert_int_equal (zones_trim (d.zones, ZONE - BLOCK, Z * ZONE), 0);
  assert_int_equal (zones_trim (d.zones, ZONE - BLOCK, Z * ZONE + BLOCK), 0);
  assert_int_equal (
      zones_trim (d.zones, 2 * ZONE - 2 * BLOCK, Z * ZONE + BLOCK), 0);
  assert_data (Z, 0, CAPACITY);
  assert_zone (Z, FULL, CAPACITY);
  end ();
}

static void
test_trim_of_conventional_zones (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (write_at (0, 0, ZONE), 0);
  assert_int_equal (write_at (1, 0, ZONE), 0);
  put (2, FULL);
  assert_int_equal (zones_trim (d.zones, 3 * ZONE - 4096, 4096), 0);
  assert_data (0, 0, 4096);
  assert_bytes (4096, 2 * ZONE - 4096, 0);
  assert_zone (2, EMPTY, 0);
  assert_int_equal (store_charged (d.store), 4096);
  end ();
}

static void
test_trim_meets_readonly_and_offline (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (write_at (1, 0, BLOCK), 0);
  put (2, FULL);
  put (3, READONLY);
  assert_int_equal (zones_trim (d.zones, 3 * ZONE, ZONE), -EROFS);
  assert_data (1, 0, BLOCK);
  assert_zone (2, FULL, CAPACITY);
  assert_int_equal (command (3, OFFLINE), 0);
  assert_int_equal (zones_trim (d.zones, SIZE, 0), -EIO);
  assert_data (1, 0, BLOCK);
  assert_zone (2, FULL, CAPACITY);
  end ();
}

static void
test_trim_ignore (void **state)
{
  struct zone_settings s = usual;

  (void) state;
  s.trim = ZONE_TRIM_IGNORE;
  begin (&s);
  assert_int_equal (write_at (1, 0, BLOCK), 0);
  put (2, FULL);
  put (3, OFFLINE);
  assert_int_equal (zones_trim (d.zones, SIZE, 0), 0);
  assert_bytes (ZONE, BLOCK, 0);
  assert_data (2, 0, CAPACITY);
  assert_zone (2, FULL, CAPACITY);
  end ();
}

static void
test_trim_error (void **state)
{
  struct zone_settings s = usual;

  (void) state;
  s.trim = ZONE_TRIM_ERROR;
  begin (&s);
  assert_int_equal (write_at (1, 0, BLOCK), 0);
  put (2, FULL);
  assert_int_equal (zones_trim (d.zones, SIZE, 0), -EIO);
  assert_int_equal (zones_trim (d.zones, BLOCK, 2 * ZONE), -EIO);
  assert_data (1, 0, BLOCK);
  assert_zone (2, FULL, CAPACITY);
  assert_int_equal (zones_trim (d.zones, 2 * ZONE, 0), 0);
  assert_bytes (ZONE, BLOCK, 0);
  end ();
}

/* Asked before the trim. */
static void
test_trim_would_reset (void **state)
{
  struct zone_settings s = usual;

  (void) state;
  begin (&s);
  assert_true (zones_trim_would_reset (d.zones, ZONE, Z * ZONE));
  assert_true (zones_trim_would_reset (d.zones, SIZE, 0));
  assert_false (zones_trim_would_reset (d.zones, ZONE - BLOCK, Z * ZONE));
  assert_false (zones_trim_would_reset (d.zones, ZONE, Z * ZONE + BLOCK));
  assert_false (zones_trim_would_reset (d.zones, NR_CONV * ZONE, 0));
  end ();
  s.trim = ZONE_TRIM_IGNORE;
  begin (&s);
  assert_false (zones_trim_would_reset (d.zones, SIZE, 0));
  end ();
}

/*---------------------------------------------------------------------*/
/* Extents */

static void
assert_extent (uint64_t offset, uint64_t end_of_request,
               enum zone_extent extent, uint64_t end_of_extent)
{
  uint64_t end_of_run;

  assert_int_equal (zones_extent (d.zones, offset, end_of_request, &end_of_run),
                    extent);
  assert_int_equal (end_of_run, end_of_extent);
}

static void
test_extents (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (write_at (2, 0, 5 * BLOCK), 0);
  assert_int_equal (command (4, FULL), 0);
  put (5, OFFLINE);
  assert_extent (0, SIZE, ZONE_EXTENT_CONVENTIONAL, 2 * ZONE);
  assert_extent (ZONE, ZONE + BLOCK, ZONE_EXTENT_CONVENTIONAL, ZONE + BLOCK);
  assert_extent (2 * ZONE, SIZE, ZONE_EXTENT_DATA, 2 * ZONE + 5 * BLOCK);
  assert_extent (2 * ZONE + 4 * BLOCK, 2 * ZONE + 5 * BLOCK, ZONE_EXTENT_DATA,
                 2 * ZONE + 5 * BLOCK);
  assert_extent (2 * ZONE + 5 * BLOCK, SIZE, ZONE_EXTENT_ZERO, 4 * ZONE);
  assert_extent (4 * ZONE, SIZE, ZONE_EXTENT_DATA, 6 * ZONE);
  assert_extent (6 * ZONE, SIZE, ZONE_EXTENT_ZERO, SIZE);
  assert_extent (6 * ZONE, 7 * ZONE, ZONE_EXTENT_ZERO, 7 * ZONE);
  end ();
}

/* A hole must not be called zero where it does not read as zero. */
static void
test_extents_of_holes (void **state)
{
  struct zone_settings s = usual;

  (void) state;
  s.past_wp = PAST_WP_ONES;
  begin (&s);
  assert_extent (3 * ZONE, SIZE, ZONE_EXTENT_HOLE, SIZE);
  end ();
  zoned_create (&d, &s, SIZE, false);
  assert_extent (3 * ZONE, SIZE, ZONE_EXTENT_ZERO, SIZE);
  end ();
  s.past_wp = PAST_WP_ERROR;
  begin (&s);
  assert_extent (3 * ZONE, SIZE, ZONE_EXTENT_HOLE, SIZE);
  end ();
}

/*---------------------------------------------------------------------*/
/* Early writes, as far as one thread can tell */

static int
count_naps (void *opaque, uint64_t nsec)
{
  int *left = opaque;

  assert_int_equal (nsec, 0);
  return --*left == 0 ? -ESHUTDOWN : 0;
}

static int
write_early (uint64_t zone, uint64_t offset, uint64_t count, int naps)
{
  const struct wait_ops ops = {.sleep_for = count_naps, .opaque = &naps};
  struct zone_wait wait = {.ops = &ops};
  struct zone_write w;
  int r;

  r = zones_begin_write (d.zones, &w, count, zone * ZONE + offset, &wait);
  if (r == 0)
    zones_end_write (&w, count);
  return r;
}

static void
test_early_write_times_out (void **state)
{
  struct zone_settings s = usual;

  (void) state;
  s.reorder_wait = 15 * NSEC_PER_MSEC;
  begin (&s);
  assert_int_equal (write_early (Z, BLOCK, BLOCK, 1000000), -EIO);
  assert_zone (Z, EMPTY, 0);
  assert_int_equal (write_at (Z, 0, BLOCK), 0);
  end ();
}

static void
test_early_write_of_a_client_that_is_gone (void **state)
{
  struct zone_settings s = usual;

  (void) state;
  s.reorder_wait = MAX_DURATION;
  begin (&s);
  assert_int_equal (write_early (Z, BLOCK, BLOCK, 2), -ESHUTDOWN);
  assert_zone (Z, EMPTY, 0);
  assert_int_equal (write_at (Z, 0, BLOCK), 0);
  end ();
}

/* What no other write can make right fails at once: the nap would say so. */
static void
test_write_that_cannot_come_right_does_not_wait (void **state)
{
  struct zone_settings s = usual;

  (void) state;
  s.reorder_wait = MAX_DURATION;
  begin (&s);
  assert_int_equal (write_early (Z, CAPACITY - BLOCK, 2 * BLOCK, 1), -EIO);
  assert_int_equal (write_early (Z, ZONE - BLOCK, BLOCK, 1), -EIO);
  put (Z, IMP_OPEN);
  assert_int_equal (write_early (Z, 0, BLOCK, 1), -EIO);
  put (3, FULL);
  assert_int_equal (write_early (3, BLOCK, BLOCK, 1), -EIO);
  put (5, READONLY);
  assert_int_equal (write_early (5, 2 * BLOCK, BLOCK, 1), -EROFS);
  put (6, OFFLINE);
  assert_int_equal (write_early (6, 2 * BLOCK, BLOCK, 1), -EIO);
  end ();
}

int
main (void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_readonly_keeps_data),
      cmocka_unit_test (test_readonly_twice_is_empty_without_data),
      cmocka_unit_test (test_offline_twice_is_empty_without_data),
      cmocka_unit_test (test_readonly_then_offline_and_back),
      cmocka_unit_test (test_readonly_and_offline_give_their_place),
      cmocka_unit_test (test_readonly_finishes_first),
      cmocka_unit_test (test_read_offline_zone),
      cmocka_unit_test (test_read_past_wp_zero),
      cmocka_unit_test (test_read_past_wp_ones),
      cmocka_unit_test (test_read_past_wp_error),
      cmocka_unit_test (test_lock_data),
      cmocka_unit_test (test_read_meets_a_zone_that_goes_offline),
      cmocka_unit_test (test_null_mode),
      cmocka_unit_test (test_trim_resets_whole_zones),
      cmocka_unit_test (test_trim_of_parts_does_nothing),
      cmocka_unit_test (test_trim_of_conventional_zones),
      cmocka_unit_test (test_trim_meets_readonly_and_offline),
      cmocka_unit_test (test_trim_ignore),
      cmocka_unit_test (test_trim_error),
      cmocka_unit_test (test_trim_would_reset),
      cmocka_unit_test (test_extents),
      cmocka_unit_test (test_extents_of_holes),
      cmocka_unit_test (test_early_write_times_out),
      cmocka_unit_test (test_early_write_of_a_client_that_is_gone),
      cmocka_unit_test (test_write_that_cannot_come_right_does_not_wait),
  };

  return RUN_TESTS (tests);
}
