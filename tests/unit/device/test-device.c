/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The path of a request: alignment, read-only, null and memory mode, discard,
 * several devices in one store, and how exports are found and described.
 */

#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "buffers.h"
#include "common/common.h"
#include "control/control.h"
#include "device/device.h"

#define MIB (UINT64_C (1) << 20)

/* [OFFSET, END) of a device is one extent, of this kind. */
static void
check_extent (struct connection *device, uint64_t offset, uint64_t end,
              bool data)
{
  enum extent extent;
  uint64_t run_end;

  assert_int_equal (
      device_extent (device, end - offset, offset, &extent, &run_end), 0);
  assert_int_equal (extent, data ? EXTENT_DATA : EXTENT_ZERO);
  assert_int_equal (run_end, end);
}

static void
test_null_mode (void **state)
{
  const uint64_t end = INT64_MAX - 511;

  (void) state;
  CREATE ("size", "9223372036854775807");
  assert_int_equal (devices->settings.size, end);
  assert_int_equal (device_write (d, buf, 4096, end - 4096, false), 0);
  assert_int_equal (device_read (d, out, 4096, end - 4096), 0);
  assert_true (all_zero (out, 4096));
  assert_int_equal (device_zero (d, 0xfffffe00, 512, false, false), 0);
  assert_int_equal (device_trim (d, 0xfffffe00, 512, false), 0);
  assert_int_equal (device_cache (d, 512, end - 512), 0);
  assert_int_equal (device_flush (d), 0);
  check_extent (d, 0, 0xfffffe00, false);
}

static void
test_memory_mode (void **state)
{
  (void) state;
  CREATE ("size", "1G", "memory-backed", "1");
  assert_int_equal (device_write (d, buf, 8192, 4096, false), 0);
  assert_int_equal (device_read (d, out, 16384, 0), 0);
  assert_true (all_zero (out, 4096));
  assert_memory_equal (out + 4096, buf, 8192);
  assert_true (all_zero (out + 12288, 4096));
  check_extent (d, 4096, 12288, true);

  /* Zeroes make a hole. */
  assert_int_equal (device_zero (d, 4096, 4096, true, false), 0);
  check_extent (d, 0, 8192, false);
  check_extent (d, 8192, 12288, true);
  assert_int_equal (device_zero (d, 4096, 8192, false, false), 0);
  check_extent (d, 0, 1 << 30, false);
  assert_int_equal (device_read (d, out, 16384, 0), 0);
  assert_true (all_zero (out, 16384));

  assert_int_equal (device_write (d, buf, 8192, 4096, false), 0);
  assert_int_equal (device_trim (d, 12288, 0, false), 0);
  check_extent (d, 0, 1 << 30, false);
}

static void
test_without_discard (void **state)
{
  (void) state;
  CREATE ("size", "1G", "memory-backed", "1", "discard", "0");
  assert_int_equal (device_write (d, buf, 8192, 0, false), 0);
  assert_int_equal (device_trim (d, 4096, 0, false), 0);
  assert_int_equal (device_read (d, out, 8192, 0), 0);
  assert_memory_equal (out, buf, 8192);
  assert_int_equal (device_zero (d, 8192, 4096, true, false), 0);
  assert_int_equal (device_read (d, out, 8192, 0), 0);
  assert_memory_equal (out, buf, 4096);
  assert_true (all_zero (out + 4096, 4096));
  check_extent (d, 0, 4096, true);
  check_extent (d, 4096, 12288, false);
}

/* Each request, with its place or its length off by a sector. */
static void
test_misaligned (void **state)
{
  static const struct {
    uint32_t count;
    uint64_t offset;
  } wrong[] = {{512, 4096}, {4096, 512}, {4608, 0}, {1, 1}, {4095, 0}};
  enum extent extent;
  uint64_t run_end;
  size_t i;

  (void) state;
  CREATE ("size", "1G", "memory-backed", "1", "block-size", "4K");
  assert_int_equal (device_write (d, buf, 65536, 0, false), 0);
  for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    const uint32_t count = wrong[i].count;
    const uint64_t offset = wrong[i].offset;

    assert_int_equal (device_read (d, out, count, offset), -EINVAL);
    assert_int_equal (device_write (d, out, count, offset, false), -EINVAL);
    assert_int_equal (device_zero (d, count, offset, true, false), -EINVAL);
    assert_int_equal (device_zero (d, count, offset, false, false), -EINVAL);
    assert_int_equal (device_trim (d, count, offset, false), -EINVAL);
    assert_int_equal (device_cache (d, count, offset), -EINVAL);
    assert_int_equal (device_extent (d, count, offset, &extent, &run_end),
                      -EINVAL);
  }
  assert_int_equal (out[0], 0x55);
  assert_int_equal (device_read (d, out, 65536, 0), 0);
  assert_memory_equal (out, buf, 65536);
}

static void
test_read_only (void **state)
{
  (void) state;
  CREATE ("size", "1G", "memory-backed", "1", "read-only", "1");
  assert_int_equal (device_write (d, buf, 4096, 0, false), -EROFS);
  assert_int_equal (device_zero (d, 4096, 0, true, false), -EROFS);
  assert_int_equal (device_zero (d, 4096, 0, false, false), -EROFS);
  assert_int_equal (device_trim (d, 4096, 0, false), -EROFS);
  assert_int_equal (device_flush (d), 0);
  assert_int_equal (device_cache (d, 4096, 0), 0);
  assert_int_equal (device_read (d, out, 4096, 0), 0);
  assert_true (all_zero (out, 4096));
  check_extent (d, 0, 4096, false);
}

static void
test_limit_is_shared (void **state)
{
  struct connection *e;

  (void) state;
  CREATE ("size", "1G", "memory-backed", "1", "memory-limit", "64K", "devices",
          "2");
  e = device_connect (&devices->device[1], NULL);
  assert_int_equal (device_write (d, buf, 65536 - 4096, 4096, false), 0);
  assert_int_equal (device_write (e, buf, 8192, 0, false), -ENOSPC);
  assert_int_equal (device_zero (e, 8192, 0, false, false), 0);
  assert_int_equal (device_write (e, buf, 4096, 0, false), 0);
  assert_int_equal (device_write (d, buf, 512, 0, false), -ENOSPC);
  assert_int_equal (device_write (d, buf, 512, 4608, false), 0);

  /* Each has its own data. */
  assert_int_equal (device_read (e, out, 8192, 0), 0);
  assert_memory_equal (out, buf, 4096);
  assert_true (all_zero (out + 4096, 4096));
  assert_int_equal (device_trim (e, 4096, 0, false), 0);
  assert_int_equal (device_write (d, buf, 512, 0, false), 0);
}

static void
test_find (void **state)
{
  static const char *const unknown[] = {"nullb",   "nullb3",  "nullb00",
                                        "nullb-1", "nullb0 ", "NULLB0",
                                        "x",       "nullb0x", "0"};
  size_t i;

  (void) state;
  CREATE ("devices", "3");
  assert_ptr_equal (devices_find (devices, ""), &devices->device[0]);
  assert_ptr_equal (devices_find (devices, "nullb0"), &devices->device[0]);
  assert_ptr_equal (devices_find (devices, "nullb2"), &devices->device[2]);
  for (i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
    assert_null (devices_find (devices, unknown[i]));
}

static void
test_describe (void **state)
{
  char text[128];

  (void) state;
  CREATE ("size", "8G");
  device_describe (&devices->device[0], text, sizeof text);
  assert_string_equal (text, "null block device, 8G");
  devices_destroy (devices);

  CREATE ("size", "100M", "memory-backed", "1", "read-only", "1");
  device_describe (&devices->device[0], text, sizeof text);
  assert_string_equal (text, "memory-backed block device, 100M, read-only");
}

/*---------------------------------------------------------------------*/
/* Latency: what was asked for is exact, and is what waits wait for. */

static const struct histogram *
asked (enum operation op)
{
  return &counted_by (d)->op[op].asked;
}

static void
request_each (void)
{
  assert_int_equal (device_read (d, out, 512, 0), 0);
  assert_int_equal (device_write (d, buf, 512, 0, false), 0);
  assert_int_equal (device_flush (d), 0);
  assert_int_equal (device_trim (d, 512, 0, false), 0);
  assert_int_equal (device_zero (d, 512, 0, true, false), 0);
}

/* Every operation has its own, and those without one have that of all. */
static void
test_latency_of_operations (void **state)
{
  unsigned op;

  (void) state;
  CREATE ("latency", "1us", "read-latency", "2us", "write-latency", "3us",
          "flush-latency", "4us", "trim-latency", "5us", "zero-latency", "6us");
  request_each ();
  for (op = OP_READ; op <= OP_ZERO; op++) {
    assert_int_equal (histogram_total (asked (op)), 1);
    assert_int_equal (asked (op)->longest, (op + 2) * NSEC_PER_USEC);
  }
  devices_destroy (devices);

  CREATE ("latency", "7us", "flush-latency", "0");
  request_each ();
  for (op = OP_READ; op <= OP_ZERO; op++) {
    assert_int_equal (histogram_total (asked (op)), op != OP_FLUSH);
    assert_int_equal (asked (op)->longest,
                      op == OP_FLUSH ? 0 : 7 * NSEC_PER_USEC);
  }
}

/* The overhead of the client is subtracted, and no more than there is. */
static void
test_way (void **state)
{
  (void) state;
  CREATE ("latency", "7us", "flush-latency", "1us", "trim-latency", "3us",
          "client-overhead", "3us");
  d->device->latency.origin = 1;
  request_each ();
  assert_int_equal (asked (OP_READ)->longest, 4 * NSEC_PER_USEC);
  assert_int_equal (asked (OP_ZERO)->longest, 4 * NSEC_PER_USEC);
  assert_int_equal (histogram_total (asked (OP_FLUSH)), 0);
  assert_int_equal (histogram_total (asked (OP_TRIM)), 0);
  devices_destroy (devices);

  /* By size; a write of zeroes moves none. */
  CREATE ("latency", "7us", "client-overhead", "256:1us,1K:4us");
  d->device->latency.origin = 1;
  assert_int_equal (device_read (d, out, 512, 0), 0);
  assert_int_equal (asked (OP_READ)->longest, 5 * NSEC_PER_USEC);
  assert_int_equal (device_zero (d, 512, 0, true, false), 0);
  assert_int_equal (asked (OP_ZERO)->longest, 6 * NSEC_PER_USEC);
  devices_destroy (devices);

  /* Nothing has come before the device was there. */
  CREATE ("latency", "7us", "client-overhead", "100s");
  assert_int_equal (device_read (d, out, 512, 0), 0);
  assert_true (histogram_total (asked (OP_READ)) == 0 ||
               asked (OP_READ)->longest < 7 * NSEC_PER_USEC);
}

static void
test_no_latency (void **state)
{
  unsigned op;

  (void) state;
  CREATE ("latency", "0", "read-latency", "0", "lanes", "1");
  request_each ();
  for (op = 0; op < NR_OPERATIONS; op++)
    assert_int_equal (histogram_total (asked (op)), 0);
  assert_int_equal (histogram_total (&counted_by (d)->late), 0);
  assert_int_equal (d->began_saturated, 0);
}

/* What is refused does not wait: else this test would take minutes. */
static void
test_refused_at_once (void **state)
{
  (void) state;
  CREATE ("latency", "100s", "block-size", "4K", "read-only", "true");
  nap_result = 0;
  assert_int_equal (device_read (d, out, 512, 0), -EINVAL);
  assert_int_equal (device_write (d, buf, 4096, 0, false), -EROFS);
  assert_int_equal (device_trim (d, 4096, 0, false), -EROFS);
  assert_int_equal (device_zero (d, 4096, 0, true, false), -EROFS);
  assert_int_equal (device_cache (d, 4096, 0), 0);
  check_extent (d, 0, 4096, false);
}

/* A wait ends when nobody is left to wait for; the data has moved by then. */
static void
test_wait_is_cut_short (void **state)
{
  (void) state;
  CREATE ("write-latency", "100s", "memory-backed", "1");
  nap_result = -ESHUTDOWN;
  assert_int_equal (device_write (d, buf, 4096, 0, false), -ESHUTDOWN);
  assert_in_range (napped, 99 * NSEC_PER_SEC, 100 * NSEC_PER_SEC);
  assert_int_equal (device_read (d, out, 4096, 0), 0);
  assert_memory_equal (out, buf, 4096);
  assert_int_equal (counted_by (d)->op[OP_WRITE].errors[ERROR_ESHUTDOWN], 1);
  assert_int_equal (histogram_total (asked (OP_WRITE)), 0);
  assert_int_equal (d->in_flight, 0);
}

static void
draw (struct histogram *h)
{
  int i;

  device_reset_stats (d->device);
  for (i = 0; i < 200; i++)
    assert_int_equal (device_read (d, out, 512, 0), 0);
  *h = *asked (OP_READ);
}

static void
test_seed (void **state)
{
  static struct histogram first, second, third, other;

  (void) state;
  CREATE ("latency", "uniform:0-1us", "seed", "42");
  draw (&first);
  draw (&second);
  assert_memory_not_equal (&first, &second, sizeof first);
  device_seed (&devices->device[0]);
  draw (&third);
  assert_memory_equal (&first, &third, sizeof first);
  devices_destroy (devices);

  CREATE ("latency", "uniform:0-1us", "seed", "42", "devices", "2");
  draw (&second);
  assert_memory_equal (&first, &second, sizeof first);
  d = device_connect (&devices->device[1], NULL);
  draw (&other);
  assert_memory_not_equal (&first, &other, sizeof first);
}

/* Lanes and limits are the device's: its connections share them.  The first
 * byte of the limit is free, as the meter was idle before.
 */
static void
test_shared_by_connections (void **state)
{
  struct connection *first, *e;

  (void) state;
  CREATE ("latency", "100us", "lanes", "1");
  first = d;
  e = device_connect (&devices->device[0], NULL);
  first->device->latency.lanes.count = 1;
  first->device->latency.lanes.free_at[0] = clock_now () + 2 * NSEC_PER_MSEC;
  assert_int_equal (device_read (e, out, 512, 0), 0);
  d = e;
  assert_in_range (asked (OP_READ)->longest, NSEC_PER_MSEC, 3 * NSEC_PER_MSEC);
}

/* One thread is all that there is: each request begins on the last one. */
static void
test_threads_are_counted (void **state)
{
  struct device_stats *sum = malloc (sizeof *sum);

  (void) state;
  assert_non_null (sum);
  CREATE ("read-latency", "1ns");
  request_each ();
  device_stats (&devices->device[0], sum);
  assert_int_equal (sum->places, 1);
  assert_int_equal (sum->began_saturated, 5);
  device_disconnect (d);
  d = device_connect (&devices->device[0], NULL);
  device_stats (&devices->device[0], sum);
  assert_int_equal (sum->places, 1);
  device_reset_stats (&devices->device[0]);
  device_stats (&devices->device[0], sum);
  assert_int_equal (sum->places, 0);
  assert_int_equal (sum->began_saturated, 0);
  free (sum);
}

/*---------------------------------------------------------------------*/
/* Zones */

#define ZONE 65536

static void
check_extents_of_zone (enum extent first, uint64_t wp, enum extent second)
{
  enum extent extent;
  uint64_t end;

  if (wp > ZONE) {
    assert_int_equal (device_extent (d, ZONE, ZONE, &extent, &end), 0);
    assert_int_equal (extent, first);
    assert_int_equal (end, wp);
  }
  if (wp < 2 * ZONE) {
    assert_int_equal (device_extent (d, 2 * ZONE - wp, wp, &extent, &end), 0);
    assert_int_equal (extent, second);
    assert_int_equal (end, 2 * ZONE);
  }
}

static void
test_zoned (void **state)
{
  (void) state;
  CREATE ("size", "1M", "memory-backed", "1", "zoned", "1", "zone-size", "64K",
          "zone-nr-conv", "1", "zone-reorder-wait", "0", "zone-latency", "7us");
  /* A conventional zone takes anything, a sequential one only what comes next.
   */
  assert_int_equal (device_write (d, buf, 4096, 8192, false), 0);
  assert_int_equal (device_write (d, buf, 4096, ZONE + 4096, false), -EIO);
  assert_int_equal (device_write (d, buf, 4096, ZONE, false), 0);
  assert_int_equal (device_zero (d, 4096, ZONE + 4096, true, false), 0);
  assert_int_equal (device_write (d, buf, 4096, ZONE - 4096, false), 0);
  assert_int_equal (device_write (d, buf, 8192, ZONE - 4096, false), -EIO);
  check_extents_of_zone (EXTENT_DATA, ZONE + 8192, EXTENT_ZERO);

  /* A read crosses zone boundaries. */
  assert_int_equal (device_read (d, out, 16384, ZONE - 4096), 0);
  assert_memory_equal (out, buf, 8192);
  assert_true (all_zero (out + 8192, 8192));

  /* A reset frees the memory, and takes its own time. */
  assert_int_equal (store_written_pages (devices->store, 0), 3);
  assert_int_equal (command_zone (1, ZONE_COND_EMPTY), 0);
  assert_int_equal (store_written_pages (devices->store, 0), 2);
  assert_int_equal (asked (OP_ZONE)->longest, 7 * NSEC_PER_USEC);
  assert_int_equal (device_write (d, buf, 4096, ZONE, false), 0);
  assert_int_equal (device_trim (d, ZONE, ZONE, false), 0);
  assert_int_equal (asked (OP_TRIM)->longest, 7 * NSEC_PER_USEC);
  assert_int_equal (device_trim (d, 4096, ZONE, false), 0);
  assert_int_equal (histogram_total (asked (OP_TRIM)), 1);
  check_extents_of_zone (EXTENT_DATA, ZONE, EXTENT_ZERO);
  assert_int_equal (device_write (d, buf, 4096, ZONE, false), 0);

  assert_int_equal (command_zone (1, ZONE_COND_READONLY), 0);
  assert_int_equal (device_write (d, buf, 4096, ZONE + 4096, false), -EROFS);
  assert_int_equal (command_zone (2, ZONE_COND_OFFLINE), 0);
  assert_int_equal (device_read (d, out, 512, 2 * ZONE), -EIO);
}

/* What does not fit leaves the write pointer where it is. */
static void
test_zoned_without_memory (void **state)
{
  (void) state;
  CREATE ("size", "1M", "memory-backed", "1", "zoned", "1", "zone-size", "64K",
          "memory-limit", "8K", "zone-reorder-wait", "0");
  assert_int_equal (device_write (d, buf, 8192, 0, false), 0);
  assert_int_equal (device_write (d, buf, 4096, 8192, false), -ENOSPC);
  assert_int_equal (device_write (d, buf, 4096, 12288, false), -EIO);
  assert_int_equal (command_zone (0, ZONE_COND_EMPTY), 0);
  assert_int_equal (device_write (d, buf, 4096, 0, false), 0);
}

static void
test_zoned_null (void **state)
{
  (void) state;
  CREATE ("size", "1M", "zoned", "1", "zone-size", "64K", "zone-read-past-wp",
          "error", "zone-reorder-wait", "0", "discard", "0", "read-only", "0");
  assert_int_equal (device_write (d, buf, 4096, 4096, false), -EIO);
  assert_int_equal (device_write (d, buf, 4096, ZONE, false), 0);
  assert_int_equal (device_read (d, out, 4096, ZONE), 0);
  assert_true (all_zero (out, 4096));
  assert_int_equal (device_read (d, out, 4096, ZONE + 4096), -EIO);
  check_extents_of_zone (EXTENT_DATA, ZONE + 4096, EXTENT_HOLE);
  /* discard=false: nothing is trimmed. */
  assert_int_equal (device_trim (d, ZONE, ZONE, false), 0);
  assert_int_equal (device_write (d, buf, 4096, ZONE + 4096, false), 0);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_latency_of_operations),
      TEST (test_way),
      TEST (test_no_latency),
      TEST (test_refused_at_once),
      TEST (test_wait_is_cut_short),
      TEST (test_seed),
      TEST (test_shared_by_connections),
      TEST (test_threads_are_counted),
      TEST (test_zoned),
      TEST (test_zoned_without_memory),
      TEST (test_zoned_null),
      TEST (test_null_mode),
      TEST (test_memory_mode),
      TEST (test_without_discard),
      TEST (test_misaligned),
      TEST (test_read_only),
      TEST (test_limit_is_shared),
      TEST (test_find),
      TEST (test_describe),
  };

  return RUN_TESTS (tests);
}
