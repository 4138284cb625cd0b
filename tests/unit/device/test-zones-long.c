/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Long writes to a sequential zone, under which power is cut between two steps:
 * what was written is a prefix, which the write pointer is at the end of.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "log-file.h"
#include "replay.h"

#define SIZE (UINT64_C (16) << 20)
#define LONG (3 * STORE_STEP)

static uint8_t data[LONG], device_has[SIZE], finished[SIZE], log_has[SIZE];

static enum lose lose;
static bool is_cutting;
static pthread_t cutter;

static void *
cut (void *arg)
{
  device_cut_power (d->device, lose, 1);
  return arg;
}

/* Whoever goes step by step lets others in by this: once, when one step is
 * done, one who cuts the power, and who waits for the write then.
 */
int
sched_yield (void)
{
  if (is_cutting)
    return 0;
  is_cutting = true;
  assert_int_equal (pthread_create (&cutter, NULL, cut, NULL), 0);
  while ((durability_epoch (d->device->durability) & 1) == 0)
    usleep (100);
  return 0;
}

static void
check (const char *const *given, enum lose how, const void *buf, bool fua,
       uint32_t kept)
{
  struct writelog_status s;
  enum extent extent;
  uint64_t end;
  uint32_t i;

  create_with (given, &skips);
  memset (data, 'x', sizeof data);
  lose = how;
  is_cutting = false;
  if (buf != NULL)
    assert_int_equal (device_write (d, buf, LONG, 0, fua), -ESHUTDOWN);
  else
    assert_int_equal (device_zero (d, LONG, 0, false, fua), -ESHUTDOWN);
  assert_int_equal (pthread_join (cutter, NULL), 0);
  device_power_on (d->device);

  /* Nothing is above the write pointer, which a finished zone shows. */
  assert_int_equal (device_read (d, device_has, SIZE, 0), 0);
  if (buf != NULL)
    assert_memory_equal (device_has, buf, kept);
  for (i = kept; i < SIZE; i++)
    assert_int_equal (device_has[i], 0);
  assert_int_equal (device_extent (d, SIZE, 0, &extent, &end), 0);
  assert_int_equal (extent, kept > 0 ? EXTENT_DATA : EXTENT_ZERO);
  assert_int_equal (end, kept > 0 ? kept : SIZE);
  assert_int_equal (command_zone (0, ZONE_COND_FULL), 0);
  assert_int_equal (device_read (d, finished, SIZE, 0), 0);
  assert_memory_equal (finished, device_has, SIZE);

  /* What a replay has is what can be read. */
  if (d->device->log != NULL) {
    writelog_status (d->device->log, &s);
    close_log ();
    assert_string_equal (replay_to (log_path, s.entries, log_has, SIZE),
                         "power cut");
    assert_memory_equal (device_has, log_has, SIZE);
  }
  assert_int_equal (command_zone (0, ZONE_COND_EMPTY), 0);
  assert_int_equal (store_charged (devices->store), 0);
}

#define ZONED                                                                  \
  "size", "16M", "block-size", "4K", "memory-backed", "1", "zoned", "1",       \
      "zone-size", "16M", "zero-memory", "1"

static void
test_log (void **state)
{
  (void) state;
  check ((const char *const[]){ZONED, "write-log", log_path, NULL}, LOSE_ALL,
         data, false, STORE_STEP);
}

static void
test_cache_kept (void **state)
{
  (void) state;
  check ((const char *const[]){ZONED, "cache-size", "8M", NULL}, LOSE_NONE,
         data, false, STORE_STEP);
}

static void
test_cache_lost (void **state)
{
  (void) state;
  check ((const char *const[]){ZONED, "cache-size", "8M", NULL}, LOSE_ALL, data,
         false, 0);
}

static void
test_fua (void **state)
{
  (void) state;
  check ((const char *const[]){ZONED, "cache-size", "8M", NULL}, LOSE_ALL, data,
         true, STORE_STEP);
}

static void
test_zeroes (void **state)
{
  (void) state;
  check ((const char *const[]){ZONED, "cache-size", "8M", NULL}, LOSE_NONE,
         NULL, false, STORE_STEP);
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, begin_log, end_log)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_log), TEST (test_cache_kept), TEST (test_cache_lost),
      TEST (test_fua), TEST (test_zeroes),
  };

  return RUN_TESTS (tests);
}
