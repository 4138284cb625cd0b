/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The rules of zones, each as a case of its own: what null_blk does, and what
 * is different over NBD.
 */

#include <config.h>

#include <endian.h>
#include <string.h>
#include <errno.h>

#include "eight-zones.h"

/*---------------------------------------------------------------------*/
/* Layout */

static void
test_table_is_byte_exact (void **state)
{
  /* Conventional, open with 3 sectors written, and the last one, full. */
  static const unsigned char conventional[64] = {
      [0] = 32, [8] = 32, [16] = 64, [24] = 1, [25] = 0, [32] = 32};
  static const unsigned char open[64] = {
      [0] = 64, [8] = 32, [16] = 67, [24] = 2, [25] = 2, [32] = 24};
  static const unsigned char full[64] = {
      [0] = 224, [8] = 32, [16] = 0, [17] = 1, [24] = 2, [25] = 14, [32] = 24};
  struct zone_descriptor r[NR_ZONES + 1];

  (void) state;
  begin (&usual);
  assert_int_equal (write_at (2, 0, 3 * BLOCK), 0);
  assert_int_equal (command (7, FULL), 0);
  memset (r, 'X', sizeof r);
  assert_int_equal (zones_read_table (d.zones, 0, r, NR_ZONES + 1), NR_ZONES);
  assert_memory_equal (&r[1], conventional, 64);
  assert_memory_equal (&r[2], open, 64);
  assert_memory_equal (&r[7], full, 64);
  assert_int_equal (*(char *) &r[8], 'X');
  end ();
}

static void
test_table_from_the_middle_and_past_the_end (void **state)
{
  struct zone_descriptor r[NR_ZONES];

  (void) state;
  begin (&usual);
  assert_int_equal (zones_total (d.zones), NR_ZONES);
  assert_int_equal (zones_read_table (d.zones, 6, r, 1), 1);
  assert_int_equal (le64toh (r[0].start), 6 * ZONE / 512);
  assert_int_equal (zones_read_table (d.zones, 6, r, NR_ZONES), 2);
  assert_int_equal (zones_read_table (d.zones, 8, r, NR_ZONES), 0);
  assert_int_equal (zones_read_table (d.zones, UINT64_MAX, r, NR_ZONES), 0);
  end ();
}

/* null_blk's zone_full: the write pointer is at the capacity. */
static void
test_zone_full (void **state)
{
  struct zone_settings s = usual;
  uint64_t zone;

  (void) state;
  s.full = true;
  begin (&s);
  for (zone = NR_CONV; zone < NR_ZONES; zone++)
    assert_zone (zone, FULL, CAPACITY);
  assert_int_equal (descriptor (1).cond, ZONE_COND_NOT_WP);
  assert_bytes (Z * ZONE, CAPACITY, 0);
  assert_int_equal (command (Z, EMPTY), 0);
  assert_zone (Z, EMPTY, 0);
  end ();
}

static void
test_lists_of_readonly_and_offline_zones (void **state)
{
  struct zone_settings s = usual;
  struct message why;

  (void) state;
  s.full = true;
  assert_int_equal (zone_list_parse ("3,6-7", &s.readonly, &why), 0);
  assert_int_equal (zone_list_parse ("2", &s.offline, &why), 0);
  begin (&s);
  assert_zone (2, OFFLINE, 0);
  assert_zone (3, READONLY, 0);
  assert_zone (4, FULL, CAPACITY);
  assert_zone (5, FULL, CAPACITY);
  assert_zone (6, READONLY, 0);
  assert_zone (7, READONLY, 0);
  assert_bytes (6 * ZONE, 2 * ZONE, 0);
  assert_int_equal (command (2, OFFLINE), 0);
  assert_zone (2, EMPTY, 0);
  end ();
}

static void
test_shorter_last_zone (void **state)
{
  struct zone_settings s = usual;
  const uint64_t len = 5 * BLOCK;

  (void) state;
  s.capacity = 0;
  memset (data, 'd', sizeof data);
  zoned_create (&d, &s, SIZE + len, true);
  assert_int_equal (zones_total (d.zones), NR_ZONES + 1);
  assert_int_equal (le64toh (descriptor (8).len), 5);
  assert_int_equal (le64toh (descriptor (8).capacity), 5);
  assert_int_equal (zones_end_of_zone (d.zones, 8 * ZONE), SIZE + len);
  assert_int_equal (write_at (8, 0, len + BLOCK), -EIO);
  assert_int_equal (write_at (8, 0, len), 0);
  assert_zone (8, FULL, len);
  assert_bytes (8 * ZONE, len, 'd');
  assert_int_equal (zones_trim (d.zones, len - BLOCK, 8 * ZONE), 0);
  assert_zone (8, FULL, len);
  assert_int_equal (zones_trim (d.zones, len, 8 * ZONE), 0);
  assert_zone (8, EMPTY, 0);
  assert_int_equal (command (8, FULL), 0);
  assert_zone (8, FULL, len);
  end ();
}

static void
test_places (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (zones_place (d.zones, ZONE, 0), ZONE_PLACE_CONVENTIONAL);
  assert_int_equal (zones_place (d.zones, BLOCK, 2 * ZONE - BLOCK),
                    ZONE_PLACE_CONVENTIONAL);
  assert_int_equal (zones_place (d.zones, 2 * ZONE, 0), ZONE_PLACE_ACROSS);
  assert_int_equal (zones_place (d.zones, 2 * BLOCK, 2 * ZONE - BLOCK),
                    ZONE_PLACE_ACROSS);
  assert_int_equal (zones_place (d.zones, ZONE, 2 * ZONE),
                    ZONE_PLACE_SEQUENTIAL);
  assert_int_equal (zones_place (d.zones, BLOCK, SIZE - BLOCK),
                    ZONE_PLACE_SEQUENTIAL);
  assert_int_equal (zones_end_of_zone (d.zones, 0), ZONE);
  assert_int_equal (zones_end_of_zone (d.zones, ZONE - BLOCK), ZONE);
  assert_int_equal (zones_end_of_zone (d.zones, Z * ZONE), (Z + 1) * ZONE);

  assert_int_equal (zones_append_offset (d.zones, ZONE + BLOCK), ZONE);
  assert_int_equal (zones_append_offset (d.zones, Z * ZONE), Z * ZONE);
  assert_int_equal (write_at (Z, 0, 3 * BLOCK), 0);
  assert_int_equal (zones_append_offset (d.zones, Z * ZONE),
                    Z * ZONE + 3 * BLOCK);
  put (Z + 1, FULL);
  assert_int_equal (zones_append_offset (d.zones, (Z + 1) * ZONE),
                    (Z + 1) * ZONE);
  end ();
}

/* As large as a device can be, and as many zones as there may be. */
static void
test_largest (void **state)
{
  struct zone_settings s = {.zone_size = UINT64_C (1) << 62};
  uint64_t counts[NR_ZONE_CONDS];

  (void) state;
  zoned_create (&d, &s, (UINT64_C (1) << 63) - 512, true);
  assert_int_equal (zones_total (d.zones), 2);
  assert_int_equal (command (1, FULL), 0);
  assert_int_equal (le64toh (descriptor (1).wp), (UINT64_C (1) << 54) - 1);
  assert_bytes ((UINT64_C (1) << 63) - 1024, 512, 0);
  zoned_destroy (&d);

  s.zone_size = 4096;
  s.max_open = 1;
  zoned_create (&d, &s, MAX_ZONES * 4096, false);
  assert_int_equal (zones_total (d.zones), MAX_ZONES);
  assert_int_equal (zoned_write (&d, data, 512, (MAX_ZONES - 1) * 4096), 0);
  assert_int_equal (zoned_write (&d, data, 512, 0), 0);
  assert_int_equal (descriptor (MAX_ZONES - 1).cond, CLOSED);
  zones_count_by_condition (d.zones, counts);
  assert_int_equal (counts[EMPTY], MAX_ZONES - 2);
  assert_int_equal (counts[IMP_OPEN], 1);
  assert_int_equal (counts[CLOSED], 1);
  zoned_destroy (&d);
}

static void
test_counts (void **state)
{
  uint64_t counts[NR_ZONE_CONDS], i, sum = 0;

  (void) state;
  begin (&usual);
  put (2, IMP_OPEN);
  put (3, EXP_OPEN);
  put (4, CLOSED);
  put (5, FULL);
  put (6, READONLY);
  put (7, OFFLINE);
  zones_count_by_condition (d.zones, counts);
  for (i = 0; i < NR_ZONE_CONDS; i++)
    sum += counts[i];
  assert_int_equal (sum, NR_ZONES);
  assert_int_equal (counts[ZONE_COND_NOT_WP], 2);
  assert_int_equal (counts[IMP_OPEN], 1);
  assert_int_equal (counts[EXP_OPEN], 1);
  assert_int_equal (counts[CLOSED], 1);
  assert_int_equal (counts[FULL], 1);
  assert_int_equal (counts[READONLY], 1);
  assert_int_equal (counts[OFFLINE], 1);
  end ();
}

/*---------------------------------------------------------------------*/
/* Writes: the list of decisions */

static void
test_write_conventional_anywhere (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (write_at (1, 5 * BLOCK, BLOCK), 0);
  assert_int_equal (write_at (1, 2 * BLOCK, 4 * BLOCK), 0);
  assert_int_equal (write_at (1, ZONE - BLOCK, BLOCK), 0);
  assert_data (1, 2 * BLOCK, 4 * BLOCK);
  assert_int_equal (descriptor (1).cond, ZONE_COND_NOT_WP);
  assert_int_equal (wp_of (1), ZONE);
  end ();
}

static void
test_write_not_at_write_pointer (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (write_at (Z, BLOCK, BLOCK), -EIO);
  assert_zone (Z, EMPTY, 0);
  assert_int_equal (write_at (Z, 0, 2 * BLOCK), 0);
  assert_int_equal (write_at (Z, 0, BLOCK), -EIO);
  assert_int_equal (write_at (Z, BLOCK, BLOCK), -EIO);
  assert_int_equal (write_at (Z, 3 * BLOCK, BLOCK), -EIO);
  assert_zone (Z, IMP_OPEN, 2 * BLOCK);
  end ();
}

static void
test_write_full_zone (void **state)
{
  (void) state;
  begin (&usual);
  put (Z, FULL);
  assert_int_equal (write_at (Z, 0, BLOCK), -EIO);
  assert_int_equal (write_at (Z, CAPACITY, BLOCK), -EIO);
  assert_int_equal (command (Z + 1, FULL), 0);
  assert_int_equal (write_at (Z + 1, 0, BLOCK), -EIO);
  assert_int_equal (write_at (Z + 1, ZONE - BLOCK, BLOCK), -EIO);
  end ();
}

static void
test_write_readonly_zone (void **state)
{
  (void) state;
  begin (&usual);
  put (Z, READONLY);
  assert_int_equal (write_at (Z, BLOCK, BLOCK), -EROFS);
  assert_int_equal (write_at (Z, 0, ZONE), -EROFS);
  assert_zone (Z, READONLY, 0);
  end ();
}

static void
test_write_offline_zone (void **state)
{
  (void) state;
  begin (&usual);
  put (Z, OFFLINE);
  assert_int_equal (write_at (Z, BLOCK, BLOCK), -EIO);
  assert_zone (Z, OFFLINE, 0);
  end ();
}

static void
test_write_beyond_capacity_writes_nothing (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (write_at (Z, 0, CAPACITY + BLOCK), -EIO);
  assert_zone (Z, EMPTY, 0);
  assert_int_equal (write_at (Z, 0, CAPACITY - BLOCK), 0);
  assert_int_equal (write_at (Z, CAPACITY - BLOCK, 2 * BLOCK), -EIO);
  assert_zone (Z, IMP_OPEN, CAPACITY - BLOCK);
  assert_bytes (Z * ZONE + CAPACITY - BLOCK, BLOCK, 0);
  end ();
}

/* Nothing splits requests for us. */
static void
test_write_across_a_border (void **state)
{
  struct zone_settings s = usual;

  (void) state;
  s.capacity = ZONE;
  begin (&s);
  assert_int_equal (write_at (Z, 0, ZONE + BLOCK), -EIO);
  assert_int_equal (write_at (Z, 0, 2 * ZONE), -EIO);
  assert_int_equal (write_at (0, ZONE - BLOCK, 2 * BLOCK), -EIO);
  assert_int_equal (write_at (1, ZONE - BLOCK, 2 * BLOCK), -EIO);
  assert_int_equal (write_at (7, 0, ZONE + BLOCK), -EIO);
  assert_int_equal (write_at (8, 0, BLOCK), -EIO);
  assert_zone (2, EMPTY, 0);
  assert_zone (Z, EMPTY, 0);
  assert_bytes (0, SIZE, 0);
  end ();
}

static void
test_write_opens_empty_and_closed (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (write_at (Z, 0, BLOCK), 0);
  assert_zone (Z, IMP_OPEN, BLOCK);
  assert_int_equal (command (Z, CLOSED), 0);
  assert_int_equal (write_at (Z, BLOCK, BLOCK), 0);
  assert_zone (Z, IMP_OPEN, 2 * BLOCK);
  end ();
}

static void
test_write_keeps_explicitly_open (void **state)
{
  (void) state;
  begin_with_limits (2, 3);
  assert_int_equal (command (Z, EXP_OPEN), 0);
  assert_int_equal (write_at (Z, 0, BLOCK), 0);
  assert_zone (Z, EXP_OPEN, BLOCK);
  end ();
}

static void
test_write_that_fails_leaves_zone_open (void **state)
{
  (void) state;
  begin_with_limits (1, 1);
  assert_int_equal (zoned_write_cut (&d, data, 4 * BLOCK, Z * ZONE, 0), -EIO);
  assert_zone (Z, IMP_OPEN, 0);
  assert_int_equal (write_at (Z, 0, BLOCK), 0);
  assert_zone (Z, IMP_OPEN, BLOCK);
  end ();
}

static void
test_write_without_memory_leaves_zone_open (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (store_set_limit (d.store, 4096), 0);
  assert_int_equal (write_at (Z, 0, 16 * BLOCK), -ENOSPC);
  assert_zone (Z, IMP_OPEN, 0);
  assert_int_equal (write_at (Z, 0, 8 * BLOCK), 0);
  assert_int_equal (write_at (Z, 8 * BLOCK, BLOCK), -ENOSPC);
  assert_zone (Z, IMP_OPEN, 8 * BLOCK);
  end ();
}

static void
test_write_in_part_advances_by_the_part (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (zoned_write_cut (&d, data, 4 * BLOCK, Z * ZONE, 3 * BLOCK),
                    -EIO);
  assert_zone (Z, IMP_OPEN, 3 * BLOCK);
  assert_data (Z, 0, 3 * BLOCK);
  end ();
}

/* ... and gives its place to another zone. */
static void
test_write_up_to_capacity_fills (void **state)
{
  (void) state;
  begin_with_limits (1, 1);
  assert_int_equal (write_at (Z, 0, CAPACITY - BLOCK), 0);
  assert_zone (Z, IMP_OPEN, CAPACITY - BLOCK);
  assert_int_equal (write_at (Z, CAPACITY - BLOCK, BLOCK), 0);
  assert_zone (Z, FULL, CAPACITY);
  assert_int_equal (command (3, EXP_OPEN), 0);
  assert_int_equal (write_at (3, 0, CAPACITY), 0);
  assert_zone (3, FULL, CAPACITY);
  assert_int_equal (command (2, EXP_OPEN), 0);
  assert_data (Z, 0, CAPACITY);
  end ();
}

static void
test_zeroes_obey_the_write_pointer (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (zoned_write (&d, NULL, BLOCK, Z * ZONE + BLOCK), -EIO);
  assert_int_equal (zoned_write (&d, NULL, BLOCK, Z * ZONE), 0);
  assert_zone (Z, IMP_OPEN, BLOCK);
  end ();
}

/*---------------------------------------------------------------------*/
/* Limits */

static void
test_limit_active_from_empty (void **state)
{
  (void) state;
  begin_with_limits (0, 2);
  put (2, IMP_OPEN);
  put (3, CLOSED);
  assert_int_equal (write_at (4, 0, BLOCK), -ENOSPC);
  assert_int_equal (command (4, EXP_OPEN), -ENOSPC);
  assert_int_equal (command (4, FULL), -ENOSPC);
  assert_zone (4, EMPTY, 0);
  /* Those that are active already may go on. */
  assert_int_equal (write_at (2, BLOCK, BLOCK), 0);
  assert_int_equal (write_at (3, BLOCK, BLOCK), 0);
  end ();
}

static void
test_limit_active_counts_all_kinds (void **state)
{
  (void) state;
  begin_with_limits (0, 3);
  put (2, IMP_OPEN);
  put (3, EXP_OPEN);
  put (4, CLOSED);
  assert_int_equal (write_at (5, 0, BLOCK), -ENOSPC);
  assert_int_equal (command (4, EMPTY), 0);
  assert_int_equal (write_at (5, 0, BLOCK), 0);
  assert_int_equal (write_at (6, 0, BLOCK), -ENOSPC);
  assert_int_equal (command (3, FULL), 0);
  assert_int_equal (write_at (6, 0, BLOCK), 0);
  end ();
}

static void
test_limit_open_closes_an_implicitly_open_zone (void **state)
{
  (void) state;
  begin_with_limits (2, 0);
  put (2, IMP_OPEN);
  put (3, IMP_OPEN);
  assert_int_equal (write_at (4, 0, BLOCK), 0);
  assert_zone (2, CLOSED, BLOCK);
  assert_zone (3, IMP_OPEN, BLOCK);
  assert_zone (4, IMP_OPEN, BLOCK);
  end ();
}

static void
test_limit_open_explicit_zones_stay (void **state)
{
  (void) state;
  begin_with_limits (2, 0);
  put (2, EXP_OPEN);
  put (3, EXP_OPEN);
  assert_int_equal (write_at (4, 0, BLOCK), -ENOSPC);
  assert_int_equal (command (4, EXP_OPEN), -ENOSPC);
  assert_int_equal (command (4, FULL), -ENOSPC);
  assert_zone (4, EMPTY, 0);
  assert_zone (2, EXP_OPEN, BLOCK);
  assert_zone (3, EXP_OPEN, BLOCK);
  end ();
}

/* Nobody's place is taken where no more may be active, even for a zone that is
 * active already.
 */
static void
test_limit_open_no_victim_while_active_is_full (void **state)
{
  (void) state;
  begin_with_limits (1, 2);
  put (2, CLOSED);
  put (3, IMP_OPEN);
  assert_int_equal (write_at (2, BLOCK, BLOCK), -ENOSPC);
  assert_int_equal (command (2, EXP_OPEN), -ENOSPC);
  assert_int_equal (command (2, FULL), -ENOSPC);
  assert_zone (2, CLOSED, BLOCK);
  assert_zone (3, IMP_OPEN, BLOCK);
  end ();
}

static void
test_limit_open_from_closed_looks_at_open_only (void **state)
{
  (void) state;
  begin_with_limits (2, 2);
  put (2, CLOSED);
  put (3, IMP_OPEN);
  assert_int_equal (write_at (2, BLOCK, BLOCK), 0);
  assert_zone (2, IMP_OPEN, 2 * BLOCK);
  end ();
}

static void
test_victim_without_data_is_empty (void **state)
{
  (void) state;
  begin_with_limits (1, 0);
  assert_int_equal (zoned_write_cut (&d, data, BLOCK, Z * ZONE, 0), -EIO);
  assert_zone (Z, IMP_OPEN, 0);
  assert_int_equal (write_at (3, 0, BLOCK), 0);
  assert_zone (Z, EMPTY, 0);
  end ();
}

static void
test_victims_go_round (void **state)
{
  (void) state;
  begin_with_limits (3, 0);
  put (2, IMP_OPEN);
  put (4, IMP_OPEN);
  put (7, IMP_OPEN);
  put (3, IMP_OPEN); /* closes 2; the next is looked for from 3 on */
  assert_zone (2, CLOSED, BLOCK);
  put (5, IMP_OPEN); /* closes 3 */
  assert_zone (3, CLOSED, BLOCK);
  assert_int_equal (write_at (2, BLOCK, BLOCK), 0); /* closes 4 */
  assert_zone (4, CLOSED, BLOCK);
  assert_int_equal (write_at (3, BLOCK, BLOCK), 0); /* closes 5 */
  assert_zone (5, CLOSED, BLOCK);
  assert_int_equal (write_at (4, BLOCK, BLOCK), 0); /* closes 7, then round */
  assert_zone (7, CLOSED, BLOCK);
  assert_int_equal (write_at (5, BLOCK, BLOCK), 0); /* closes 2 */
  assert_zone (2, CLOSED, 2 * BLOCK);
  assert_zone (3, IMP_OPEN, 2 * BLOCK);
  assert_zone (4, IMP_OPEN, 2 * BLOCK);
  assert_zone (5, IMP_OPEN, 2 * BLOCK);
  end ();
}

/* A zone is not closed while it is being written. */
static void
test_victim_is_not_being_written (void **state)
{
  struct zone_write w;

  (void) state;
  begin_with_limits (2, 0);
  put (3, IMP_OPEN);
  assert_int_equal (zones_begin_write (d.zones, &w, BLOCK, 2 * ZONE, NULL), 0);
  assert_int_equal (write_at (5, 0, BLOCK), 0);
  assert_zone (2, IMP_OPEN, 0);
  assert_zone (3, CLOSED, BLOCK);
  zones_end_write (&w, BLOCK);
  assert_zone (2, IMP_OPEN, BLOCK);
  end ();
}

int
main (void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_table_is_byte_exact),
      cmocka_unit_test (test_table_from_the_middle_and_past_the_end),
      cmocka_unit_test (test_zone_full),
      cmocka_unit_test (test_lists_of_readonly_and_offline_zones),
      cmocka_unit_test (test_shorter_last_zone),
      cmocka_unit_test (test_places),
      cmocka_unit_test (test_largest),
      cmocka_unit_test (test_counts),
      cmocka_unit_test (test_write_conventional_anywhere),
      cmocka_unit_test (test_write_not_at_write_pointer),
      cmocka_unit_test (test_write_full_zone),
      cmocka_unit_test (test_write_readonly_zone),
      cmocka_unit_test (test_write_offline_zone),
      cmocka_unit_test (test_write_beyond_capacity_writes_nothing),
      cmocka_unit_test (test_write_across_a_border),
      cmocka_unit_test (test_write_opens_empty_and_closed),
      cmocka_unit_test (test_write_keeps_explicitly_open),
      cmocka_unit_test (test_write_that_fails_leaves_zone_open),
      cmocka_unit_test (test_write_without_memory_leaves_zone_open),
      cmocka_unit_test (test_write_in_part_advances_by_the_part),
      cmocka_unit_test (test_write_up_to_capacity_fills),
      cmocka_unit_test (test_zeroes_obey_the_write_pointer),
      cmocka_unit_test (test_limit_active_from_empty),
      cmocka_unit_test (test_limit_active_counts_all_kinds),
      cmocka_unit_test (test_limit_open_closes_an_implicitly_open_zone),
      cmocka_unit_test (test_limit_open_explicit_zones_stay),
      cmocka_unit_test (test_limit_open_no_victim_while_active_is_full),
      cmocka_unit_test (test_limit_open_from_closed_looks_at_open_only),
      cmocka_unit_test (test_victim_without_data_is_empty),
      cmocka_unit_test (test_victims_go_round),
      cmocka_unit_test (test_victim_is_not_being_written),
  };

  return RUN_TESTS (tests);
}
