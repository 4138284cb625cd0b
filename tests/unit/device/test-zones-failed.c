/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Writes to a sequential zone that fail when a part of their data, or all of
 * it, is in place: the write pointer is at the end of that, so that a reset
 * discards it.  The functions of the test take the place of the C library's
 * (--wrap).
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "log-file.h"

#define BLOCK 4096
#define MIB (UINT64_C (1) << 20)
#define ZONE (64 * MIB)
#define LONG (3 * STORE_STEP)

static char full[LONG];

/* The system gives no memory. */
static bool is_out_of_memory;

int __real_mprotect (void *address, size_t len, int protection);
int __wrap_mprotect (void *address, size_t len, int protection);
int
__wrap_mprotect (void *address, size_t len, int protection)
{
  if (is_out_of_memory) {
    errno = ENOMEM;
    return -1;
  }
  return __real_mprotect (address, len, protection);
}

/* The log's first sector cannot be written; its end can. */
static bool is_first_bad;

ssize_t __real_pwritev (int fd, const struct iovec *iov, int nr, off_t offset)
    OF_LARGE_FILES ("__real_pwritev");
ssize_t __wrap_pwritev (int fd, const struct iovec *iov, int nr, off_t offset)
    OF_LARGE_FILES ("__wrap_pwritev");
ssize_t
__wrap_pwritev (int fd, const struct iovec *iov, int nr, off_t offset)
{
  if (is_first_bad && offset == 0) {
    errno = ENOSPC;
    return -1;
  }
  return __real_pwritev (fd, iov, nr, offset);
}

static int
begin (void **state)
{
  is_out_of_memory = is_first_bad = false;
  memset (full, 'x', sizeof full);
  return begin_log (state);
}

static uint64_t
write_pointer (uint64_t zone)
{
  struct zone_descriptor z;

  assert_int_equal (zones_read_table (d->device->zones, zone, &z, 1), 1);
  return le64toh (z.wp) * 512 - zone * ZONE;
}

#define CREATE(...)                                                            \
  create_with ((const char *const[]){"size", "128M", "block-size", "4K",       \
                                     "memory-backed", "1", "zoned", "1",       \
                                     "zone-size", "64M", __VA_ARGS__, NULL},   \
               &skips)

/* What is below the write pointer is there, and a reset frees all. */
static void
check (uint64_t zone, uint64_t wp)
{
  const uint64_t before = store_charged (devices->store);

  assert_int_equal (write_pointer (zone), wp);
  if (wp > 0)
    check_block (zone * ZONE + wp - BLOCK, 'x');
  check_block (zone * ZONE + wp, 0);
  assert_int_equal (command_zone (zone, ZONE_COND_EMPTY), 0);
  assert_int_equal (store_charged (devices->store), before - wp);
  assert_int_equal (command_zone (zone, ZONE_COND_FULL), 0);
  check_block (zone * ZONE, 0);
}

/* The arena has its memory made usable 64 MiB at a time.  In zone 1 there is so
 * much data that one step of a long write to zone 0 finds room in that.
 */
static void
test_no_memory (void **state)
{
  uint64_t at;

  (void) state;
  CREATE ("cache-size", "0");
  for (at = ZONE; at < ZONE + 60 * MIB; at += 4 * MIB)
    assert_int_equal (device_write (d, full, 4 * MIB, at, false), 0);
  assert_int_equal (device_write (d, full, MIB, at, false), 0);
  is_out_of_memory = true;
  assert_int_equal (device_write (d, full, LONG, 0, false), -ENOSPC);
  assert_true (atomic_load (&d->device->enospc_seen));
  check (0, STORE_STEP);
}

/* A write with FUA renews the log's first sector at its end. */
static void
fail_in_log (const char *cache_size, uint32_t count, bool zeroes)
{
  int r;

  CREATE ("cache-size", cache_size, "write-log", log_path);
  is_first_bad = true;
  r = zeroes ? device_zero (d, count, 0, true, true)
             : device_write (d, full, count, 0, true);
  assert_int_equal (r, -EIO);
  assert_int_equal (write_pointer (0), count);
  /* Nothing that is written later counts as durable. */
  assert_int_equal (device_write (d, full, BLOCK, count, false), 0);
  device_cut_power (d->device, LOSE_ALL, 1);
  device_power_on (d->device);
  assert_int_equal (write_pointer (0),
                    count + (cache_size[0] == '0' ? BLOCK : 0));
  if (zeroes)
    check_block (0, 0);
  else if (cache_size[0] != '0')
    check (0, count);
}

static void
test_log_fails (void **state)
{
  (void) state;
  fail_in_log ("0", BLOCK, false);
  check (0, 2 * BLOCK);
}

static void
test_log_fails_with_cache (void **state)
{
  (void) state;
  fail_in_log ("1M", BLOCK, false);
}

static void
test_log_fails_at_long_write (void **state)
{
  (void) state;
  fail_in_log ("1M", LONG, false);
}

static void
test_log_fails_at_zeroes (void **state)
{
  (void) state;
  fail_in_log ("1M", BLOCK, true);
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, begin, end_log)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_no_memory),
      TEST (test_log_fails),
      TEST (test_log_fails_with_cache),
      TEST (test_log_fails_at_long_write),
      TEST (test_log_fails_at_zeroes),
  };

  return RUN_TESTS (tests);
}
