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

#include "device.h"
#include "unit.h"

#define MIB (UINT64_C (1) << 20)

static struct devices *devices;
static struct connection *d; /* to nullb0 */
static uint8_t buf[65536], out[65536];

/* Devices from a command line: pairs of key and value, NULL at the end. */
static void
create (const char *const *given)
{
  struct message why;
  struct params p;

  params_init (&p);
  for (; given[0] != NULL; given += 2)
    assert_int_equal (params_set (&p, given[0], given[1], &why), 0);
  assert_int_equal (params_complete (&p, 512 * MIB, 4096, &why), 0);
  assert_int_equal (devices_create (&devices, &p.settings, 512 * MIB, 4096), 0);
  d = device_connect (&devices->device[0], NULL);
  assert_non_null (d);
}

#define CREATE(...) create ((const char *const[]){__VA_ARGS__, NULL})

static int
setup (void **state)
{
  (void) state;
  devices = NULL;
  memset (buf, 0xaa, sizeof buf);
  memset (out, 0x55, sizeof out);
  return 0;
}

static int
teardown (void **state)
{
  (void) state;
  if (devices != NULL)
    devices_destroy (devices);
  return 0;
}

static bool
all_zero (const uint8_t *b, size_t len)
{
  while (len > 0 && *b == 0)
    b++, len--;
  return len == 0;
}

/* [OFFSET, END) of a device is one extent, of this kind. */
static void
check_extent (struct connection *device, uint64_t offset, uint64_t end,
              bool data)
{
  uint64_t run_end;
  bool is_data;

  assert_int_equal (
      device_extent (device, end - offset, offset, &is_data, &run_end), 0);
  assert_int_equal (is_data, data);
  assert_int_equal (run_end, end);
}

static void
test_null_mode (void **state)
{
  const uint64_t end = INT64_MAX - 511;

  (void) state;
  CREATE ("size", "9223372036854775807");
  assert_int_equal (devices->settings.size, end);
  assert_int_equal (device_write (d, buf, 4096, end - 4096), 0);
  assert_int_equal (device_read (d, out, 4096, end - 4096), 0);
  assert_true (all_zero (out, 4096));
  assert_int_equal (device_zero (d, 0xfffffe00, 512, false), 0);
  assert_int_equal (device_trim (d, 0xfffffe00, 512), 0);
  assert_int_equal (device_cache (d, 512, end - 512), 0);
  assert_int_equal (device_flush (d), 0);
  check_extent (d, 0, 0xfffffe00, false);
}

static void
test_memory_mode (void **state)
{
  (void) state;
  CREATE ("size", "1G", "memory-backed", "1");
  assert_int_equal (device_write (d, buf, 8192, 4096), 0);
  assert_int_equal (device_read (d, out, 16384, 0), 0);
  assert_true (all_zero (out, 4096));
  assert_memory_equal (out + 4096, buf, 8192);
  assert_true (all_zero (out + 12288, 4096));
  check_extent (d, 4096, 12288, true);

  /* Zero that may trim makes a hole, zero that may not keeps the memory. */
  assert_int_equal (device_zero (d, 4096, 4096, true), 0);
  assert_int_equal (device_zero (d, 4096, 8192, false), 0);
  check_extent (d, 0, 8192, false);
  check_extent (d, 8192, 12288, true);
  assert_int_equal (device_read (d, out, 16384, 0), 0);
  assert_true (all_zero (out, 16384));

  assert_int_equal (device_trim (d, 12288, 0), 0);
  check_extent (d, 0, 1 << 30, false);
}

static void
test_without_discard (void **state)
{
  (void) state;
  CREATE ("size", "1G", "memory-backed", "1", "discard", "0");
  assert_int_equal (device_write (d, buf, 8192, 0), 0);
  assert_int_equal (device_trim (d, 4096, 0), 0);
  assert_int_equal (device_read (d, out, 8192, 0), 0);
  assert_memory_equal (out, buf, 8192);
  assert_int_equal (device_zero (d, 8192, 4096, true), 0);
  assert_int_equal (device_read (d, out, 8192, 0), 0);
  assert_memory_equal (out, buf, 4096);
  assert_true (all_zero (out + 4096, 4096));
  check_extent (d, 0, 12288, true);
}

/* Each request, with its place or its length off by a sector. */
static void
test_misaligned (void **state)
{
  static const struct {
    uint32_t count;
    uint64_t offset;
  } wrong[] = {{512, 4096}, {4096, 512}, {4608, 0}, {1, 1}, {4095, 0}};
  uint64_t run_end;
  bool data;
  size_t i;

  (void) state;
  CREATE ("size", "1G", "memory-backed", "1", "block-size", "4K");
  assert_int_equal (device_write (d, buf, 65536, 0), 0);
  for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    const uint32_t count = wrong[i].count;
    const uint64_t offset = wrong[i].offset;

    assert_int_equal (device_read (d, out, count, offset), -EINVAL);
    assert_int_equal (device_write (d, out, count, offset), -EINVAL);
    assert_int_equal (device_zero (d, count, offset, true), -EINVAL);
    assert_int_equal (device_zero (d, count, offset, false), -EINVAL);
    assert_int_equal (device_trim (d, count, offset), -EINVAL);
    assert_int_equal (device_cache (d, count, offset), -EINVAL);
    assert_int_equal (device_extent (d, count, offset, &data, &run_end),
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
  assert_int_equal (device_write (d, buf, 4096, 0), -EROFS);
  assert_int_equal (device_zero (d, 4096, 0, true), -EROFS);
  assert_int_equal (device_zero (d, 4096, 0, false), -EROFS);
  assert_int_equal (device_trim (d, 4096, 0), -EROFS);
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
  assert_int_equal (device_write (d, buf, 65536 - 4096, 4096), 0);
  assert_int_equal (device_write (e, buf, 8192, 0), -ENOSPC);
  assert_int_equal (device_zero (e, 8192, 0, false), -ENOSPC);
  assert_int_equal (device_zero (e, 8192, 0, true), 0);
  assert_int_equal (device_write (e, buf, 4096, 0), 0);
  assert_int_equal (device_write (d, buf, 512, 0), -ENOSPC);
  assert_int_equal (device_write (d, buf, 512, 4608), 0);

  /* Each has its own data. */
  assert_int_equal (device_read (e, out, 8192, 0), 0);
  assert_memory_equal (out, buf, 4096);
  assert_true (all_zero (out + 4096, 4096));
  assert_int_equal (device_trim (e, 4096, 0), 0);
  assert_int_equal (device_write (d, buf, 512, 0), 0);
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

#define TEST(f) cmocka_unit_test_setup_teardown (f, setup, teardown)

int
main (void)
{
  const struct CMUnitTest tests[] = {
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
