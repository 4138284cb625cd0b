/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Zones: commands to them, of each condition, and what is left of them after a
 * power cut.
 */

#include <config.h>

#include <errno.h>

#include "eight-zones.h"

/*---------------------------------------------------------------------*/
/* Commands: one to a zone in each condition */

struct row {
  enum zone_cond before;
  int r;
  enum zone_cond after;
  uint64_t wp;
};

/* With and without limits that are not in the way. */
static void
check_command (enum zone_cond asked, const struct row *rows, size_t n)
{
  int with_limits;
  size_t i;

  for (with_limits = 0; with_limits < 2; with_limits++) {
    for (i = 0; i < n; i++) {
      begin_with_limits (with_limits * 3, with_limits * 4);
      put (Z, rows[i].before);
      assert_int_equal (command (Z, asked), rows[i].r);
      assert_zone (Z, rows[i].after, rows[i].wp);
      end ();
    }
  }
}

#define CHECK_COMMAND(asked, rows)                                             \
  check_command (asked, rows, sizeof (rows) / sizeof (rows)[0])

static void
test_open_of_each_condition (void **state)
{
  static const struct row rows[] = {
      {EMPTY, 0, EXP_OPEN, 0},        {IMP_OPEN, 0, EXP_OPEN, BLOCK},
      {EXP_OPEN, 0, EXP_OPEN, BLOCK}, {CLOSED, 0, EXP_OPEN, BLOCK},
      {FULL, -EIO, FULL, CAPACITY},   {READONLY, -EIO, READONLY, 0},
      {OFFLINE, -EIO, OFFLINE, 0},
  };

  (void) state;
  CHECK_COMMAND (EXP_OPEN, rows);
}

static void
test_close_of_each_condition (void **state)
{
  static const struct row rows[] = {
      {EMPTY, -EIO, EMPTY, 0},      {IMP_OPEN, 0, CLOSED, BLOCK},
      {EXP_OPEN, 0, CLOSED, BLOCK}, {CLOSED, 0, CLOSED, BLOCK},
      {FULL, -EIO, FULL, CAPACITY}, {READONLY, -EIO, READONLY, 0},
      {OFFLINE, -EIO, OFFLINE, 0},
  };

  (void) state;
  CHECK_COMMAND (CLOSED, rows);
}

static void
test_close_without_data_is_empty (void **state)
{
  (void) state;
  begin_with_limits (1, 1);
  assert_int_equal (command (Z, EXP_OPEN), 0);
  assert_int_equal (command (Z, CLOSED), 0);
  assert_zone (Z, EMPTY, 0);
  assert_int_equal (zoned_write_cut (&d, data, BLOCK, Z * ZONE, 0), -EIO);
  assert_int_equal (command (Z, CLOSED), 0);
  assert_zone (Z, EMPTY, 0);
  assert_int_equal (command (3, EXP_OPEN), 0);
  end ();
}

static void
test_finish_of_each_condition (void **state)
{
  static const struct row rows[] = {
      {EMPTY, 0, FULL, ZONE},        {IMP_OPEN, 0, FULL, ZONE},
      {EXP_OPEN, 0, FULL, ZONE},     {CLOSED, 0, FULL, ZONE},
      {READONLY, -EIO, READONLY, 0}, {OFFLINE, -EIO, OFFLINE, 0},
  };

  (void) state;
  CHECK_COMMAND (FULL, rows);
}

/* Nothing happens with limits; without, null_blk does not even look. */
static void
test_finish_of_a_full_zone (void **state)
{
  (void) state;
  begin_with_limits (1, 1);
  put (Z, FULL);
  assert_int_equal (command (Z, FULL), 0);
  assert_zone (Z, FULL, CAPACITY);
  end ();
  begin (&usual);
  put (Z, FULL);
  assert_int_equal (command (Z, FULL), 0);
  assert_zone (Z, FULL, ZONE);
  end ();
}

static void
test_finish_may_take_a_place (void **state)
{
  (void) state;
  begin_with_limits (1, 0);
  put (3, IMP_OPEN);
  assert_int_equal (command (Z, FULL), 0);
  assert_zone (3, CLOSED, BLOCK);
  assert_zone (Z, FULL, ZONE);
  end ();
}

static void
test_finish_gives_its_place (void **state)
{
  static const enum zone_cond conds[] = {IMP_OPEN, EXP_OPEN, CLOSED};
  size_t i;

  (void) state;
  for (i = 0; i < 3; i++) {
    begin_with_limits (1, 1);
    put (Z, conds[i]);
    assert_int_equal (command (3, EXP_OPEN), -ENOSPC);
    assert_int_equal (command (Z, FULL), 0);
    assert_int_equal (command (3, EXP_OPEN), 0);
    end ();
  }
}

static void
test_finish_tail_reads_as_zeroes (void **state)
{
  struct zone_settings s = usual;

  (void) state;
  s.past_wp = PAST_WP_ONES;
  begin (&s);
  put (Z, IMP_OPEN);
  assert_bytes (Z * ZONE + BLOCK, ZONE - BLOCK, 0xff);
  assert_int_equal (command (Z, FULL), 0);
  assert_data (Z, 0, BLOCK);
  assert_bytes (Z * ZONE + BLOCK, ZONE - BLOCK, 0);
  end ();
}

static void
test_reset_of_each_condition (void **state)
{
  static const struct row rows[] = {
      {EMPTY, 0, EMPTY, 0},        {IMP_OPEN, 0, EMPTY, 0},
      {EXP_OPEN, 0, EMPTY, 0},     {CLOSED, 0, EMPTY, 0},
      {FULL, 0, EMPTY, 0},         {READONLY, -EIO, READONLY, 0},
      {OFFLINE, -EIO, OFFLINE, 0},
  };

  (void) state;
  CHECK_COMMAND (EMPTY, rows);
}

static void
test_reset_gives_its_place (void **state)
{
  static const enum zone_cond conds[] = {IMP_OPEN, EXP_OPEN, CLOSED};
  size_t i;

  (void) state;
  for (i = 0; i < 3; i++) {
    begin_with_limits (1, 1);
    put (Z, conds[i]);
    assert_int_equal (command (Z, EMPTY), 0);
    assert_int_equal (command (3, EXP_OPEN), 0);
    end ();
  }
}

static void
test_reset_frees_memory (void **state)
{
  (void) state;
  begin (&usual);
  put (Z, FULL);
  put (Z + 1, FULL);
  assert_int_equal (store_charged (d.store), 2 * CAPACITY);
  assert_int_equal (command (Z, EMPTY), 0);
  assert_int_equal (store_charged (d.store), CAPACITY);
  assert_int_equal (command (Z, FULL), 0);
  assert_bytes (Z * ZONE, ZONE, 0);
  assert_data (Z + 1, 0, CAPACITY);
  end ();
}

static void
test_reset_all (void **state)
{
  (void) state;
  begin_with_limits (3, 4);
  assert_int_equal (write_at (1, 0, BLOCK), 0);
  put (2, READONLY);
  put (3, OFFLINE);
  put (4, FULL);
  put (5, EXP_OPEN);
  put (6, CLOSED);
  put (7, IMP_OPEN);
  zones_reset_all (d.zones);
  assert_data (1, 0, BLOCK);
  assert_data (2, 0, BLOCK);
  assert_zone (2, READONLY, 0);
  assert_zone (3, OFFLINE, 0);
  assert_zone (4, EMPTY, 0);
  assert_zone (5, EMPTY, 0);
  assert_zone (6, EMPTY, 0);
  assert_zone (7, EMPTY, 0);
  /* One, that of the read-only and of the offline zone are left. */
  assert_int_equal (store_charged (d.store), 3 * 4096);
  end ();
}

/* It is told, and what was to be reset is. */
static void
test_failed_reset (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (write_at (Z, 0, BLOCK), 0);
  assert_int_equal (write_at (Z + 1, 0, BLOCK), 0);
  d.reset_error = -EDOM;
  assert_int_equal (command (Z, EMPTY), -EDOM);
  assert_zone (Z, EMPTY, 0);
  assert_int_equal (command (Z, EMPTY), 0);
  assert_int_equal (zones_reset_all (d.zones), -EDOM);
  assert_zone (Z + 1, EMPTY, 0);
  assert_int_equal (zones_reset_all (d.zones), 0);
  assert_int_equal (write_at (0, 0, BLOCK), 0);
  assert_int_equal (zones_trim (d.zones, BLOCK, 0), -EDOM);
  end ();
}

static void
test_commands_to_conventional_zones (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (command (1, EMPTY), -EIO);
  assert_int_equal (command (1, EXP_OPEN), -EIO);
  assert_int_equal (command (1, CLOSED), -EIO);
  assert_int_equal (command (1, FULL), -EIO);
  assert_int_equal (command (1, READONLY), -EINVAL);
  assert_int_equal (command (1, OFFLINE), -EINVAL);
  end ();
}

static void
test_commands_that_there_are_not (void **state)
{
  static const enum zone_cond unknown[] = {ZONE_COND_NOT_WP, IMP_OPEN, 5, 12};
  size_t i;

  (void) state;
  begin (&usual);
  for (i = 0; i < 4; i++) {
    assert_int_equal (command (Z, unknown[i]), -EINVAL);
    assert_int_equal (command (1, unknown[i]), -EINVAL);
  }
  assert_int_equal (command (Z, (enum zone_cond) 255), -EINVAL);
  assert_int_equal (command (NR_ZONES, EMPTY), -EINVAL);
  assert_int_equal (command (UINT64_MAX, EMPTY), -EINVAL);
  end ();
}

/* Neither commands nor trims of many zones go on without power, nor does
 * anything else begin.
 */
static void
test_power_goes (void **state)
{
  struct zone_write w;
  uint64_t zone;

  (void) state;
  begin (&usual);
  for (zone = Z; zone < Z + 4; zone++)
    put (zone, FULL);
  d.cut_after = 2;
  assert_int_equal (zones_reset_all (d.zones), -ESHUTDOWN);
  assert_zone (Z, EMPTY, 0);
  assert_zone (Z + 1, EMPTY, 0);
  assert_zone (Z + 2, FULL, CAPACITY);
  assert_int_equal (zones_trim (d.zones, 2 * ZONE, (Z + 2) * ZONE), -ESHUTDOWN);
  assert_int_equal (command (Z, EXP_OPEN), -ESHUTDOWN);
  assert_int_equal (command (Z, FULL), -ESHUTDOWN);
  assert_int_equal (command (Z + 2, EMPTY), -ESHUTDOWN);
  assert_int_equal (command (Z, READONLY), -ESHUTDOWN);
  assert_int_equal (zones_begin_write (d.zones, &w, BLOCK, Z * ZONE, NULL),
                    -ESHUTDOWN);
  assert_zone (Z, EMPTY, 0);
  assert_zone (Z + 2, FULL, CAPACITY);

  atomic_fetch_add (&d.epoch, 1);
  d.cut_after = 1;
  assert_int_equal (zones_trim (d.zones, 2 * ZONE, (Z + 2) * ZONE), -ESHUTDOWN);
  assert_zone (Z + 2, EMPTY, 0);
  assert_zone (Z + 3, FULL, CAPACITY);
  end ();
}

/* A reset that learns that power has gone is none. */
static void
test_reset_without_power (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (write_at (Z, 0, BLOCK), 0);
  d.reset_error = -ESHUTDOWN;
  assert_int_equal (command (Z, EMPTY), -ESHUTDOWN);
  assert_zone (Z, IMP_OPEN, BLOCK);
  assert_data (Z, 0, BLOCK);
  end ();
}

static void
restart (uint64_t zone, uint64_t lost)
{
  zones_recover_zone (d.zones, zone, lost, false);
  zones_recover_zone (d.zones, zone, lost, true);
}

/* After a power cut no zone is open. */
static void
test_restart (void **state)
{
  static const enum zone_cond before[] = {FULL, CLOSED, IMP_OPEN, EXP_OPEN};
  size_t i;

  (void) state;
  begin (&usual);
  for (i = 0; i < 4; i++) {
    assert_int_equal (write_at (Z, 0, 2 * BLOCK), 0);
    if (before[i] == FULL)
      assert_int_equal (write_at (Z, 2 * BLOCK, CAPACITY - 2 * BLOCK), 0);
    else if (before[i] != IMP_OPEN)
      assert_int_equal (command (Z, before[i]), 0);
    restart (Z, Z * ZONE + BLOCK);
    assert_zone (Z, CLOSED, BLOCK);
    restart (Z, Z * ZONE);
    assert_zone (Z, EMPTY, 0);
  }
  end ();
}

static void
test_restart_of_what_lost_nothing (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (write_at (Z, 0, 2 * BLOCK), 0);
  restart (Z, Z * ZONE + 2 * BLOCK);
  assert_zone (Z, CLOSED, 2 * BLOCK);
  assert_int_equal (command (Z, EXP_OPEN), 0);
  restart (Z, UINT64_MAX);
  assert_zone (Z, CLOSED, 2 * BLOCK);
  assert_int_equal (command (Z, FULL), 0);
  restart (Z, UINT64_MAX);
  assert_zone (Z, FULL, ZONE);
  put (Z + 1, READONLY);
  restart (Z + 1, (Z + 1) * ZONE);
  assert_zone (Z + 1, READONLY, 0);
  put (Z + 2, OFFLINE);
  restart (Z + 2, (Z + 2) * ZONE);
  assert_zone (Z + 2, OFFLINE, 0);
  assert_int_equal (command (Z + 3, EXP_OPEN), 0);
  restart (Z + 3, UINT64_MAX);
  assert_zone (Z + 3, EMPTY, 0);
  end ();
}

/* What was full stays so where no more may be active. */
static void
test_restart_within_limits (void **state)
{
  uint64_t zone;

  (void) state;
  begin_with_limits (2, 2);
  for (zone = Z; zone < Z + 4; zone++) {
    assert_int_equal (write_at (zone, 0, 2 * BLOCK), 0);
    assert_int_equal (command (zone, FULL), 0);
  }
  restart (Z, Z * ZONE);
  assert_zone (Z, EMPTY, 0);
  for (zone = Z + 1; zone < Z + 4; zone++)
    restart (zone, zone * ZONE + BLOCK);
  assert_zone (Z + 1, CLOSED, BLOCK);
  assert_zone (Z + 2, CLOSED, BLOCK);
  assert_zone (Z + 3, FULL, ZONE);
  assert_int_equal (write_at (Z, 0, BLOCK), -ENOSPC);
  assert_int_equal (command (Z + 1, EMPTY), 0);
  assert_int_equal (write_at (Z, 0, BLOCK), 0);
  end ();
}

int
main (void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_open_of_each_condition),
      cmocka_unit_test (test_close_of_each_condition),
      cmocka_unit_test (test_close_without_data_is_empty),
      cmocka_unit_test (test_finish_of_each_condition),
      cmocka_unit_test (test_finish_of_a_full_zone),
      cmocka_unit_test (test_finish_may_take_a_place),
      cmocka_unit_test (test_finish_gives_its_place),
      cmocka_unit_test (test_finish_tail_reads_as_zeroes),
      cmocka_unit_test (test_reset_of_each_condition),
      cmocka_unit_test (test_reset_gives_its_place),
      cmocka_unit_test (test_reset_frees_memory),
      cmocka_unit_test (test_reset_all),
      cmocka_unit_test (test_failed_reset),
      cmocka_unit_test (test_commands_to_conventional_zones),
      cmocka_unit_test (test_commands_that_there_are_not),
      cmocka_unit_test (test_power_goes),
      cmocka_unit_test (test_reset_without_power),
      cmocka_unit_test (test_restart),
      cmocka_unit_test (test_restart_of_what_lost_nothing),
      cmocka_unit_test (test_restart_within_limits),
  };

  return RUN_TESTS (tests);
}
