/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The write log of a device: long trims, zeroes and resets, which are taken
 * step by step, and by what is there.
 */

#include <config.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "device/device.h"
#include "devices.h"
#include "unit.h"

#define KIB UINT64_C (1024)
#define BLOCK 4096

static struct devices *devices;
static struct connection *d; /* to nullb0 */
static struct writelog_reader *reader;
static char path[] = "/tmp/nullblk-log-XXXXXX";

static int
nap (void *opaque, uint64_t nsec)
{
  (void) opaque;
  (void) nsec;
  return 0;
}

static void
create (const char *const *given)
{
  static const struct nap how = {.nap = nap};
  struct message why;

  assert_int_equal (make_devices (&devices, given, &how, &why), 0);
  assert_int_equal (devices_open_logs (devices, &why), 0);
  d = device_connect (&devices->device[0], NULL);
  assert_non_null (d);
}

static int
setup (void **state)
{
  const int fd = mkstemp (path);

  (void) state;
  devices = NULL;
  reader = NULL;
  return fd == -1 ? -1 : close (fd);
}

static int
teardown (void **state)
{
  (void) state;
  if (reader != NULL)
    writelog_read_close (reader);
  if (devices != NULL)
    devices_destroy (devices);
  unlink (path);
  strcpy (path + strlen (path) - 6, "XXXXXX");
  return 0;
}

static void
put (uint64_t offset)
{
  static const char page[BLOCK] = "x";

  assert_int_equal (device_write (d, page, BLOCK, offset, false), 0);
}

static void
close_log (void)
{
  struct message why;

  assert_int_equal (devices_close_logs (devices, &why), 0);
  assert_int_equal (writelog_read_open (&reader, path, &why), 0);
}

/* The next entry is this one. */
static void
expect (uint64_t flags, uint64_t offset, uint64_t count)
{
  struct writelog_entry e;
  struct message why;

  assert_int_equal (writelog_read_next (reader, &e, &why), 1);
  assert_int_equal (e.flags, flags);
  assert_int_equal (e.offset, offset);
  assert_int_equal (e.count, count);
}

static void
expect_end (void)
{
  struct writelog_entry e;
  struct message why;

  assert_int_equal (writelog_read_next (reader, &e, &why), 0);
}

/* Zeroes that hold no memory go step by step, as trims do, but are one write.
 */
static void
test_long_zeroes (void **state)
{
  const uint32_t step = STORE_STEP;
  uint32_t at;

  (void) state;
  create ((const char *const[]){"size", "16M", "block-size", "4K", "write-log",
                                path, "memory-backed", "1", NULL});
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
  const uint64_t most = WRITELOG_LONGEST_TRIM;
  const uint32_t count = 4 * gib - BLOCK;
  const struct zone_descriptor full[2] = {{.cond = ZONE_COND_FULL},
                                          {.cond = ZONE_COND_FULL}};
  uint64_t done;

  (void) state;
  create ((const char *const[]){"size", "8G", "block-size", "4K", "write-log",
                                path, "memory-backed", "1", NULL});
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

  create ((const char *const[]){"size", "128T", "block-size", "4K", "write-log",
                                path, "memory-backed", "1", "zoned", "1",
                                "zone-size", "64T", NULL});
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

#define TEST(f) cmocka_unit_test_setup_teardown (f, setup, teardown)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_long_zeroes),
      TEST (test_long_trims),
  };

  return RUN_TESTS (tests);
}
