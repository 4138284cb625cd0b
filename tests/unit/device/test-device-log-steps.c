/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The write log of a device: long writes, trims, zeroes and resets, which are
 * taken step by step, and by what is there.
 */

#include <config.h>

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "device/device.h"
#include "log-file.h"
#include "unit.h"

#define KIB UINT64_C (1024)
#define BLOCK 4096

/* Whoever goes step by step lets others in by this. */
static unsigned yields;

int
sched_yield (void)
{
  yields++;
  return 0;
}

static void
put (uint64_t offset)
{
  static const char page[BLOCK] = "x";

  assert_int_equal (device_write (d, page, BLOCK, offset, false), 0);
}

/* The next entry is this one. */
static void
expect (uint64_t flags, uint64_t offset, uint64_t count)
{
  struct writelog_entry e;

  expect_entry (&e, flags, offset, count);
}

/* Zeroes that hold no memory go step by step, as trims do, but are one write.
 */
static void
test_long_zeroes (void **state)
{
  const uint32_t step = STORE_STEP;
  uint32_t at;

  (void) state;
  create_with ((const char *const[]){"size", "16M", "block-size", "4K",
                                     "write-log", log_path, "memory-backed",
                                     "1", NULL},
               &skips);
  for (at = 0; at < 3 * step; at += 128 * KIB)
    put (at);
  assert_int_equal (device_flush (d), 0);
  device_cut_power_after (d->device, 1, LOSE_NONE, 1);
  assert_int_equal (device_zero (d, 4 * step, 0, true, true), -ESHUTDOWN);
  close_log ();
  for (at = 0; at < 3 * step; at += 128 * KIB)
    expect (0, at, BLOCK);
  expect (WRITELOG_FLUSH, 0, 0);
  expect (0, 0, step);
  expect (0, step, step);
  expect (WRITELOG_FUA, 2 * step, 2 * step);
  expect (WRITELOG_MARK, 0, 0);
  expect_end ();
}

/* Of what is empty a trim or a reset is one entry, whatever its length is; an
 * entry with something in it is no longer than a replay may have to write.
 */
static void
test_long_trims (void **state)
{
  const uint64_t gib = UINT64_C (1) << 30, tib = gib << 10;
  const uint64_t most = WRITELOG_MAX_TRIM;
  const uint32_t count = 4 * gib - BLOCK;
  const struct zone_descriptor full[2] = {{.cond = ZONE_COND_FULL},
                                          {.cond = ZONE_COND_FULL}};
  uint64_t done;

  (void) state;
  create_with ((const char *const[]){"size", "8G", "block-size", "4K",
                                     "write-log", log_path, "memory-backed",
                                     "1", NULL},
               &skips);
  put (3 * gib);
  assert_int_equal (device_trim (d, count, 0, true), 0);
  assert_int_equal (device_trim (d, count, BLOCK, false), 0);
  close_log ();
  expect (0, 3 * gib, BLOCK);
  expect (WRITELOG_DISCARD, 0, 3 * gib);
  expect (WRITELOG_DISCARD, 3 * gib, most);
  expect (WRITELOG_DISCARD | WRITELOG_FUA, 3 * gib + most, gib - BLOCK - most);
  expect (WRITELOG_DISCARD, BLOCK, count);
  expect_end ();
  writelog_read_close (reader);
  reader = NULL;
  devices_destroy (devices);

  create_with ((const char *const[]){"size", "128T", "block-size", "4K",
                                     "write-log", log_path, "memory-backed",
                                     "1", "zoned", "1", "zone-size", "64T",
                                     NULL},
               &skips);
  put (64 * tib);
  assert_int_equal (device_zone_commands (d, 0, full, 2, &done), 0);
  assert_int_equal (device_reset_zones (d), 0);
  close_log ();
  expect (0, 64 * tib, BLOCK);
  expect (WRITELOG_DISCARD | WRITELOG_FUA, 0, 64 * tib);
  expect (WRITELOG_DISCARD, 64 * tib, most);
  expect (WRITELOG_DISCARD | WRITELOG_FUA, 64 * tib + most, 64 * tib - most);
  expect_end ();
}

/* Data has an entry for each step, in null mode, too, and so have zeroes that
 * keep memory.  A write that there is no memory for has none.
 */
static void
test_long_writes (void **state)
{
  const uint32_t step = STORE_STEP;
  static char data[4 * STORE_STEP];
  unsigned i;

  (void) state;
  yields = 0;
  create_with ((const char *const[]){"size", "16M", "block-size", "4K",
                                     "write-log", log_path, NULL},
               &skips);
  assert_int_equal (device_write (d, data, 3 * step, BLOCK, true), 0);
  assert_int_equal (yields, 2);
  close_log ();
  expect (0, BLOCK, step);
  expect (0, BLOCK + step, step);
  expect (WRITELOG_FUA, BLOCK + 2 * step, step);
  expect_end ();
  writelog_read_close (reader);
  reader = NULL;
  devices_destroy (devices);

  yields = 0;
  create_with ((const char *const[]){"size", "16M", "block-size", "4K",
                                     "write-log", log_path, "memory-backed",
                                     "1", "memory-limit", "8M", "zero-memory",
                                     "1", "cache-size", "1M", NULL},
               &skips);
  assert_int_equal (device_write (d, data, 3 * step, BLOCK, false), 0);
  assert_int_equal (device_write (d, data, 2 * step, 3 * step, false), -ENOSPC);
  assert_int_equal (device_zero (d, 3 * step, BLOCK, false, true), 0);
  assert_int_equal (yields, 6);
  close_log ();
  for (i = 0; i < 2; i++) {
    expect (0, BLOCK, step - BLOCK);
    expect (0, step, step);
    expect (0, 2 * step, step);
    expect (i == 0 ? 0 : WRITELOG_FUA, 3 * step, BLOCK);
  }
  expect_end ();
}

static char region[3 * STORE_STEP];

/* All bytes of the region at OFFSET are BYTE. */
static void
check_region (uint64_t offset, int byte)
{
  assert_int_equal (device_read (d, region, sizeof region, offset), 0);
  assert_int_equal (region[0], byte);
  assert_memory_equal (region, region + 1, sizeof region - 1);
}

/* With a cache, each step of a long change with FUA is durable when it is done,
 * and none of a long change without FUA.
 */
static void
test_long_fua (void **state)
{
  const uint32_t size = sizeof region;

  (void) state;
  create_with ((const char *const[]){"size", "32M", "block-size", "4K",
                                     "write-log", log_path, "memory-backed",
                                     "1", "cache-size", "32M", NULL},
               &skips);
  memset (region, 'a', size);
  assert_int_equal (device_write (d, region, size, 0, false), 0);
  assert_int_equal (device_write (d, region, size, size, false), 0);
  assert_int_equal (device_write (d, region, size, 2 * size, false), 0);
  assert_int_equal (device_write (d, region, size, 3 * size, false), 0);
  assert_int_equal (device_flush (d), 0);
  memset (region, 'b', size);
  assert_int_equal (device_write (d, region, size, 0, true), 0);
  assert_int_equal (device_zero (d, size, size, true, true), 0);
  assert_int_equal (device_trim (d, size, 2 * size, true), 0);
  assert_int_equal (device_write (d, region, size, 3 * size, false), 0);
  device_cut_power (d->device, LOSE_ALL, 1);
  device_power_on (d->device);
  check_region (0, 'b');
  check_region (size, 0);
  check_region (2 * size, 0);
  check_region (3 * size, 'a');
}

/* A reset that has many entries does not make them all at once. */
static void
test_long_reset (void **state)
{
  const uint64_t most = WRITELOG_MAX_TRIM;
  const unsigned entries = 1024;
  unsigned i;

  (void) state;
  yields = 0;
  create_with ((const char *const[]){"size", "128G", "block-size", "4K",
                                     "write-log", log_path, "zoned", "1",
                                     "zone-size", "128G", "zone-full", "1",
                                     NULL},
               &skips);
  assert_int_equal (device_reset_zones (d), 0);
  assert_int_equal (yields, 3);
  close_log ();
  for (i = 0; i < entries; i++)
    expect (WRITELOG_DISCARD | (i == entries - 1 ? WRITELOG_FUA : 0), i * most,
            most);
  expect_end ();
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, begin_log, end_log)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_long_zeroes), TEST (test_long_trims), TEST (test_long_writes),
      TEST (test_long_fua),    TEST (test_long_reset),
  };

  return RUN_TESTS (tests);
}
