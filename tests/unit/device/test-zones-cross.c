/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Writes and zeroes across zones: what is written of one that fails in a later
 * zone, and that it is one request for latencies, rules, counts, power and FUA.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "log-file.h"
#include "replay.h"

#define ZONE (64 * 1024)
#define ZONES 8
#define SIZE (ZONES * ZONE)
#define BLOCK 4096

/* Zones 0 and 1 are conventional. */
#define ZONED                                                                  \
  "size", "512K", "memory-backed", "1", "zoned", "1", "zone-size", "64K",      \
      "zone-nr-conv", "2", "zone-reorder-wait", "0"

#define CREATE(...)                                                            \
  create_with ((const char *const[]){ZONED, ##__VA_ARGS__, NULL}, &skips)

static uint8_t data[SIZE], device_has[SIZE], log_has[SIZE];

static void
fill (void)
{
  uint32_t i;

  for (i = 0; i < SIZE; i++)
    data[i] = 1 + i % 251;
}

static int
write_all (uint64_t offset, uint32_t count, bool fua)
{
  return device_write (d, data + offset, count, offset, fua);
}

static void
check_zone (uint64_t zone, enum zone_cond cond, uint64_t written)
{
  struct zone_descriptor is;

  assert_int_equal (zones_read_table (d->device->zones, zone, &is, 1), 1);
  assert_int_equal (is.cond, cond);
  assert_int_equal (le64toh (is.wp) * 512 - zone * ZONE, written);
}

/* From OFFSET on, the device has what was written up to END, and nothing behind
 * it.
 */
static void
check_data (uint64_t offset, uint64_t end)
{
  uint64_t i;

  assert_int_equal (device_read (d, device_has, SIZE, 0), 0);
  assert_memory_equal (device_has + offset, data + offset, end - offset);
  for (i = end; i < SIZE; i++)
    assert_int_equal (device_has[i], 0);
}

static void
test_split (void **state)
{
  (void) state;
  CREATE ();
  /* Between conventional zones, from those to others, and between those. */
  assert_int_equal (write_all (BLOCK, ZONE, false), 0);
  assert_int_equal (write_all (2 * ZONE - BLOCK, 2 * ZONE, false), 0);
  check_zone (2, ZONE_COND_FULL, ZONE);
  check_zone (3, ZONE_COND_IMP_OPEN, ZONE - BLOCK);
  assert_int_equal (write_all (4 * ZONE - BLOCK, 3 * ZONE, false), 0);
  check_zone (3, ZONE_COND_FULL, ZONE);
  check_zone (5, ZONE_COND_FULL, ZONE);
  check_zone (6, ZONE_COND_IMP_OPEN, ZONE - BLOCK);
  check_data (2 * ZONE - BLOCK, 7 * ZONE - BLOCK);
  /* Zeroes, with and without memory. */
  assert_int_equal (device_zero (d, 2 * BLOCK, 7 * ZONE - BLOCK, true, false),
                    0);
  check_zone (7, ZONE_COND_IMP_OPEN, BLOCK);
  assert_int_equal (device_zero (d, 2 * ZONE, 0, false, false), 0);
  memset (data, 0, 2 * ZONE);
  check_data (0, 7 * ZONE - BLOCK);
}

static void
test_error (void **state)
{
  struct settings_version *now, *set;

  (void) state;
  CREATE ("zone-cross", "error");
  assert_int_equal (write_all (ZONE - BLOCK, 2 * BLOCK, false), -EIO);
  assert_int_equal (write_all (2 * ZONE, 2 * ZONE, false), -EIO);
  assert_int_equal (device_zero (d, 2 * ZONE, 2 * ZONE, true, false), -EIO);
  check_zone (2, ZONE_COND_EMPTY, 0);
  check_data (0, 0);

  /* It is live. */
  now = device_hold_settings (d->device);
  set = settings_version_new (&now->s);
  assert_non_null (set);
  set->s.zones.cross = ZONE_CROSS_SPLIT;
  device_drop_settings (d->device, now);
  pthread_mutex_lock (&devices->change_lock);
  device_install (d->device, set);
  pthread_mutex_unlock (&devices->change_lock);
  assert_int_equal (write_all (2 * ZONE, 2 * ZONE, false), 0);
  check_data (2 * ZONE, 4 * ZONE);
}

/* What was written before the part that fails stays. */
static void
test_first_that_fails (void **state)
{
  (void) state;
  CREATE ("zone-readonly", "4", "zone-offline", "6");
  assert_int_equal (write_all (ZONE, 4 * ZONE, false), -EROFS);
  check_zone (3, ZONE_COND_FULL, ZONE);
  assert_int_equal (command_zone (6, ZONE_COND_OFFLINE), 0);
  check_data (ZONE, 4 * ZONE);
  assert_int_equal (device_zero (d, 2 * ZONE, 5 * ZONE, true, false), 0);
  assert_int_equal (command_zone (5, ZONE_COND_EMPTY), 0);
  /* Zone 6 is full. */
  assert_int_equal (write_all (5 * ZONE, 2 * ZONE, false), -EIO);
  check_zone (5, ZONE_COND_FULL, ZONE);
}

static void
test_beyond_the_capacity (void **state)
{
  (void) state;
  CREATE ("zone-capacity", "32K");
  assert_int_equal (write_all (ZONE, 2 * ZONE, false), -EIO);
  check_zone (2, ZONE_COND_EMPTY, 0);
  check_data (ZONE, 2 * ZONE);
  assert_int_equal (write_all (ZONE + BLOCK, ZONE, false), 0);
  check_zone (2, ZONE_COND_IMP_OPEN, BLOCK);
  assert_int_equal (write_all (2 * ZONE + BLOCK, ZONE, false), -EIO);
  check_zone (2, ZONE_COND_IMP_OPEN, BLOCK);
}

static void
test_limits (void **state)
{
  (void) state;
  CREATE ("zone-max-active", "2");
  assert_int_equal (write_all (2 * ZONE, BLOCK, false), 0);
  assert_int_equal (write_all (3 * ZONE, BLOCK, false), 0);
  assert_int_equal (write_all (3 * ZONE + BLOCK, 2 * ZONE, false), 0);
  check_zone (5, ZONE_COND_IMP_OPEN, BLOCK);
  assert_int_equal (write_all (ZONE, BLOCK, false), 0);
  /* Zones 2 and 5 are active. */
  assert_int_equal (write_all (6 * ZONE, 2 * BLOCK, false), -ENOSPC);
}

static void
mark_bad (const char *text)
{
  struct badblocks_change *c;
  struct message why;

  assert_int_equal (badblocks_parse (text, &c, &why), 0);
  assert_int_equal (badblocks_reserve (&d->device->badblocks, c), 0);
  badblocks_apply (&d->device->badblocks, c, &d->version->s.badblocks);
  badblocks_change_free (c);
}

/* Sector 520 is the ninth of zone 4. */
static void
test_bad_blocks (void **state)
{
  (void) state;
  CREATE ();
  mark_bad ("+520-520");
  assert_int_equal (write_all (3 * ZONE, 3 * ZONE, false), -EIO);
  check_zone (3, ZONE_COND_FULL, ZONE);
  check_zone (4, ZONE_COND_IMP_OPEN, 0);
  check_zone (5, ZONE_COND_EMPTY, 0);
  devices_destroy (devices);

  CREATE ("badblocks-partial-io", "1", "badblocks-once", "1");
  mark_bad ("+520-520");
  assert_int_equal (write_all (3 * ZONE, 3 * ZONE, false), -EIO);
  check_zone (4, ZONE_COND_IMP_OPEN, 8 * 512);
  assert_int_equal (write_all (4 * ZONE + 8 * 512, 2 * ZONE, false), 0);
}

/* Rules, latencies and counts see one request. */
static void
test_one_request (void **state)
{
  const struct stats *stats;

  (void) state;
  CREATE ("write-latency", "100ms", "fault", "error=EPERM op=write every=2");

  assert_int_equal (write_all (ZONE, 4 * ZONE, false), 0);
  assert_int_equal (write_all (6 * ZONE, 2 * ZONE, false), -EPERM);
  check_zone (6, ZONE_COND_EMPTY, 0);
  assert_int_equal (write_all (6 * ZONE, 2 * ZONE, false), 0);
  stats = counted_by (d);
  assert_int_equal (histogram_total (&stats->op[OP_WRITE].served), 3);
  assert_int_equal (stats->op[OP_WRITE].bytes, 6 * ZONE);
}

/* One write for power-cut-after, of which all may be lost. */
static void
cut_at_a_write (const char *cache, bool zero, enum lose lose, bool fua)
{
  struct durability_status s;

  CREATE ("cache-size", cache, "zero-memory", "1");
  device_cut_power_after (d->device, 2, lose, 1);
  assert_int_equal (zero ? device_zero (d, 2 * ZONE, ZONE, false, fua)
                         : write_all (ZONE, 2 * ZONE, fua),
                    0);
  durability_status (d->device->durability, &s);
  assert_true (s.on);
  assert_int_equal (s.writes_left, 1);
  assert_int_equal (write_all (3 * ZONE, 3 * ZONE, fua), -ESHUTDOWN);
  device_power_on (d->device);
  check_zone (3, lose == LOSE_ALL ? ZONE_COND_EMPTY : ZONE_COND_FULL,
              lose == LOSE_ALL ? 0 : ZONE);
  check_zone (5, lose == LOSE_ALL ? ZONE_COND_EMPTY : ZONE_COND_FULL,
              lose == LOSE_ALL ? 0 : ZONE);
  devices_destroy (devices);
  devices = NULL;
}

static void
test_cut_at_a_write (void **state)
{
  (void) state;
  cut_at_a_write ("0", false, LOSE_ALL, false);
  cut_at_a_write ("0", true, LOSE_NONE, false);
  cut_at_a_write ("1M", false, LOSE_ALL, true);
  cut_at_a_write ("1M", true, LOSE_NONE, true);
}

static void
test_fua (void **state)
{
  (void) state;
  CREATE ("cache-size", "1M");
  assert_int_equal (write_all (ZONE, 2 * ZONE, true), 0);
  assert_int_equal (write_all (3 * ZONE, 2 * ZONE, false), 0);
  device_cut_power (d->device, LOSE_ALL, 1);
  device_power_on (d->device);
  check_zone (2, ZONE_COND_FULL, ZONE);
  check_zone (3, ZONE_COND_EMPTY, 0);
  check_data (ZONE, 3 * ZONE);
}

static void *
write_across (void *result)
{
  *(int *) result = write_all (2 * ZONE, 3 * ZONE, false);
  return NULL;
}

static void *
cut (void *arg)
{
  device_cut_power (d->device, LOSE_NONE, 1);
  return arg;
}

/* Power is cut while the second part waits for its zone. */
static void
test_cut_between_parts (void **state)
{
  pthread_t writer, cutter;
  struct zone_descriptor is;
  struct zone_read read;
  unsigned tries;
  int result;

  (void) state;
  CREATE ("cache-size", "1M");
  assert_int_equal (zones_begin_read (d->device->zones, &read, BLOCK, 3 * ZONE),
                    0);
  assert_int_equal (zones_read_part (&read), 1);
  assert_int_equal (pthread_create (&writer, NULL, write_across, &result), 0);
  is.cond = ZONE_COND_EMPTY;
  for (tries = 0; tries < 300000 && is.cond != ZONE_COND_FULL; tries++) {
    usleep (100);
    zones_read_table (d->device->zones, 2, &is, 1);
  }
  assert_int_equal (is.cond, ZONE_COND_FULL);
  assert_int_equal (pthread_create (&cutter, NULL, cut, NULL), 0);
  while ((durability_epoch (d->device->durability) & 1) == 0)
    usleep (100);
  assert_int_equal (zones_read_part (&read), 0);
  pthread_join (writer, NULL);
  pthread_join (cutter, NULL);
  assert_int_equal (result, -ESHUTDOWN);
  device_power_on (d->device);
  check_zone (2, ZONE_COND_FULL, ZONE);
  check_zone (3, ZONE_COND_EMPTY, 0);
  check_data (2 * ZONE, 3 * ZONE);
}

/* An entry for each part that was done, and none for others. */
static void
test_log (void **state)
{
  struct writelog_status s;
  struct writelog_entry e;

  (void) state;
  CREATE ("write-log", log_path, "zone-readonly", "5");
  assert_int_equal (write_all (ZONE, 2 * ZONE, true), 0);
  assert_int_equal (write_all (3 * ZONE, 3 * ZONE, false), -EROFS);
  assert_int_equal (device_zero (d, 2 * ZONE, 0, true, false), 0);
  memset (data, 0, 2 * ZONE);
  check_data (0, 5 * ZONE);
  writelog_status (d->device->log, &s);
  close_log ();
  replay_to (log_path, s.entries, log_has, SIZE);
  assert_memory_equal (device_has, log_has, SIZE);
  expect_entry (&e, WRITELOG_FUA, ZONE, ZONE);
  expect_entry (&e, WRITELOG_FUA, 2 * ZONE, ZONE);
  expect_entry (&e, 0, 3 * ZONE, ZONE);
  expect_entry (&e, 0, 4 * ZONE, ZONE);
  expect_entry (&e, 0, 0, ZONE);
  expect_entry (&e, 0, ZONE, ZONE);
  expect_end ();
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, begin_log, end_log)

/* What resets and trims free is not counted any more; what is finished, and
 * trimmed without discard, is.
 */
static void
test_collection (void **state)
{
  const struct collection *c;

  (void) state;
  CREATE ("collection", "after:1,factor:2");
  c = &d->device->latency.drive.collection;
  assert_int_equal (write_all (0, SIZE, false), 0);
  assert_int_equal (c->used, SIZE);
  assert_int_equal (command_zone (2, ZONE_COND_FULL), 0);
  assert_int_equal (c->used, SIZE);
  assert_int_equal (command_zone (2, ZONE_COND_EMPTY), 0);
  assert_int_equal (c->used, SIZE - ZONE);
  assert_int_equal (device_trim (d, 2 * ZONE, 3 * ZONE, false), 0);
  assert_int_equal (c->used, SIZE - 3 * ZONE);
  assert_int_equal (device_reset_zones (d), 0);
  assert_int_equal (c->used, 0);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_collection),
      TEST (test_split),
      TEST (test_error),
      TEST (test_first_that_fails),
      TEST (test_beyond_the_capacity),
      TEST (test_limits),
      TEST (test_bad_blocks),
      TEST (test_one_request),
      TEST (test_cut_at_a_write),
      TEST (test_fua),
      TEST (test_cut_between_parts),
      TEST (test_log),
  };

  fill ();
  return RUN_TESTS (tests);
}
