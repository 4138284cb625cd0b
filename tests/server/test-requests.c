/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Requests over the wire: what each does to data and extents, what its flags
 * change, and which errno a bad one gets, having changed nothing.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "client.h"

#define NO_HOLE LIBNBD_CMD_FLAG_NO_HOLE
#define FAST_ZERO LIBNBD_CMD_FLAG_FAST_ZERO
#define FUA LIBNBD_CMD_FLAG_FUA

/* The largest length of a request that is a multiple of 512. */
#define LONGEST UINT64_C (0xfffffe00)

/* The longest extent that every nbdkit tells of; those before 1.48 tell of
 * 4 GiB less 1.
 */
#define MAX_EXTENT UINT64_C (0xffff0000)

static unsigned char data[MIB], other[MIB];

/*---------------------------------------------------------------------*/
/* Errors */

/* Every request that has an offset and a length, with one that must fail. */
static void
assert_all_refused (struct nbd_handle *h, uint64_t count, uint64_t offset,
                    int read_errno, int write_errno)
{
  assert_refused (read_errno, nbd_pread (h, other, count, offset, 0));
  assert_refused (write_errno, nbd_pwrite (h, other, count, offset, 0));
  assert_refused (write_errno, nbd_pwrite (h, other, count, offset, FUA));
  assert_refused (read_errno, nbd_trim (h, count, offset, 0));
  assert_refused (write_errno, nbd_zero (h, count, offset, 0));
  assert_refused (write_errno, nbd_zero (h, count, offset, NO_HOLE));
  assert_refused (write_errno, nbd_zero (h, count, offset, FAST_ZERO));
  assert_refused (read_errno, nbd_cache (h, count, offset, 0));
  assert_refused (read_errno, ask_extents (h, count, offset, 0));
}

/* As the plugin decides. */
static void
misaligned_is_einval (void **state)
{
  static const struct {
    uint64_t count, offset;
  } bad[] = {
      {4096, 512}, {512, 4096}, {1, 1}, {2, 4095}, {4097, 0}, {8192, 8191},
  };
  uint64_t seed = new_seed ("misaligned_is_einval");
  struct nbd_handle *h =
      serve_with_connection ("1M", "memory-backed=true", "block-size=4096");
  size_t i;

  (void) state;
  fill_random (data, 64 * KIB, &seed);
  fill_random (other, 64 * KIB, &seed);
  assert_done (nbd_pwrite (h, data, 64 * KIB, 0, 0));
  for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    assert_all_refused (h, bad[i].count, bad[i].offset, EINVAL, EINVAL);
    assert_reads (h, data, 64 * KIB, 0);
    assert_extents (h, MIB, 0, "65536 data, 983040 hole");
  }
  /* What is aligned works. */
  assert_done (nbd_pwrite (h, other, 4096, 4096, 0));
  assert_reads (h, other, 4096, 4096);
}

/* Null mode has no data, but the same rules. */
static void
misaligned_is_einval_in_null_mode (void **state)
{
  struct nbd_handle *h = serve_with_connection ("1M", "block-size=4096");

  (void) state;
  assert_all_refused (h, 4096, 512, EINVAL, EINVAL);
  assert_all_refused (h, 512, 4096, EINVAL, EINVAL);
  assert_done (nbd_pread (h, other, 4096, 4096, 0));
}

/* As nbdkit decides, before the plugin is asked: ENOSPC for what would write,
 * EINVAL for the rest.
 */
static void
past_the_end (void **state)
{
  static const struct {
    uint64_t count, offset;
  } bad[] = {
      {1024, MIB - 512},
      {512, MIB},
      {512, INT64_MAX - 511},
      {512, UINT64_MAX - 511}, /* ends at 0 */
  };
  uint64_t seed = new_seed ("past_the_end");
  struct nbd_handle *h = serve_with_connection ("1M", "memory-backed=true");
  size_t i;

  (void) state;
  fill_random (data, MIB, &seed);
  fill_random (other, 4096, &seed);
  assert_done (nbd_pwrite (h, data, MIB, 0, 0));
  for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    assert_all_refused (h, bad[i].count, bad[i].offset, EINVAL, ENOSPC);
    assert_reads (h, data, MIB, 0);
    assert_extents (h, MIB, 0, "1048576 data");
  }
  assert_done (nbd_pwrite (h, other, 512, MIB - 512, 0));
  assert_reads (h, other, 512, MIB - 512);
}

/* Nor is a length of 0 valid, to nbdkit. */
static void
nothing_at_all (void **state)
{
  struct nbd_handle *h = serve_with_connection ("1M", "memory-backed=true");

  (void) state;
  assert_all_refused (h, 0, 0, EINVAL, ENOSPC);
}

static void
read_only_is_eperm (void **state)
{
  struct nbd_handle *h =
      serve_with_connection ("1M", "memory-backed=true", "read-only=true");

  (void) state;
  assert_int_equal (nbd_is_read_only (h), 1);
  assert_refused (EPERM, nbd_pwrite (h, data, 4096, 0, 0));
  assert_refused (EPERM, nbd_pwrite (h, data, 4096, 0, FUA));
  assert_refused (EPERM, nbd_trim (h, 4096, 0, 0));
  assert_refused (EPERM, nbd_zero (h, 4096, 0, 0));
  assert_refused (EPERM, nbd_zero (h, 4096, 0, NO_HOLE));
  assert_refused (EPERM, nbd_zero (h, 4096, 0, FAST_ZERO));
  assert_reads_zero (h, MIB, 0);
  assert_extents (h, MIB, 0, "1048576 hole");
  assert_done (nbd_cache (h, 4096, 0, 0));
}

/* What the server has not offered, it refuses. */
static void
trim_that_is_not_offered (void **state)
{
  uint64_t seed = new_seed ("trim_that_is_not_offered");
  struct nbd_handle *h =
      serve_with_connection ("1M", "memory-backed=true", "discard=false");

  (void) state;
  fill_random (data, 64 * KIB, &seed);
  assert_done (nbd_pwrite (h, data, 64 * KIB, 0, 0));
  assert_refused (EINVAL, nbd_trim (h, 64 * KIB, 0, 0));
  assert_reads (h, data, 64 * KIB, 0);

  /* A zero clears, and holds nothing. */
  assert_done (nbd_zero (h, 64 * KIB, 0, 0));
  assert_reads_zero (h, MIB, 0);
  assert_extents (h, MIB, 0, "1048576 hole");
}

/* A thick device. */
static void
no_trim_and_memory_for_zeroes (void **state)
{
  struct nbd_handle *h = serve_with_connection (
      "1M", "memory-backed=true", "discard=false", "zero-memory=true");

  (void) state;
  assert_done (nbd_pwrite (h, data, 64 * KIB, 0, 0));
  assert_done (nbd_zero (h, 128 * KIB, 0, 0));
  assert_reads_zero (h, MIB, 0);
  assert_extents (h, MIB, 0, "131072 data, 917504 hole");
}

/*---------------------------------------------------------------------*/
/* What requests do */

static void
null_mode_keeps_nothing (void **state)
{
  struct nbd_handle *h = serve_with_connection ("8G");

  (void) state;
  memset (data, 0xaa, sizeof data);
  assert_done (nbd_pwrite (h, data, MIB, 0, 0));
  assert_done (nbd_pwrite (h, data, MIB, GIB, FUA));
  assert_reads_zero (h, 2 * MIB, 0);
  assert_reads_zero (h, 2 * MIB, GIB - 4096);
  assert_done (nbd_trim (h, LONGEST, 512, 0));
  assert_done (nbd_zero (h, LONGEST, 512, 0));
  assert_done (nbd_zero (h, LONGEST, 512, NO_HOLE));
  assert_done (nbd_cache (h, LONGEST, 512, 0));
  assert_done (nbd_flush (h, 0));
  assert_extents (h, MAX_EXTENT, 0, "4294901760 hole");
  assert_extents (h, 512, 8 * GIB - 512, "512 hole");
}

/* The plugin's buffer is the one that an earlier request left. */
static void
null_mode_clears_the_whole_buffer (void **state)
{
  struct nbd_handle *h = serve_with_connection ("1M");
  size_t n;

  (void) state;
  memset (data, 0xaa, sizeof data);
  for (n = 512; n <= MIB; n *= 2) {
    assert_done (nbd_pwrite (h, data, MIB, 0, 0));
    assert_reads_zero (h, n, MIB - n);
  }
}

/* 2^63-1, rounded down to the block size. */
static void
assert_last_block (bool memory_backed, const char *block_size, uint64_t block)
{
  const uint64_t end = INT64_MAX - (block - 1);
  uint64_t seed = new_seed ("assert_last_block");
  struct nbd_handle *h;

  serve ("9223372036854775807", block_size,
         memory_backed ? "memory-backed=true" : "memory-backed=false");
  h = connect_to ("");
  assert_int_equal (nbd_get_size (h), end);
  fill_random (data, block, &seed);
  assert_done (nbd_pwrite (h, data, block, end - block, 0));
  if (memory_backed)
    assert_reads (h, data, block, end - block);
  else
    assert_reads_zero (h, block, end - block);
  assert_reads_zero (h, block, end - 2 * block);
  assert_reads_zero (h, block, 0);
  assert_all_refused (h, block, end, EINVAL, ENOSPC);
  assert_all_refused (h, 2 * block, end - block, EINVAL, ENOSPC);
  assert_done (nbd_trim (h, block, end - block, 0));
  assert_reads_zero (h, block, end - block);
}

static void
largest_null_device (void **state)
{
  (void) state;
  assert_last_block (false, "block-size=512", 512);
}

static void
largest_memory_device (void **state)
{
  (void) state;
  assert_last_block (true, "block-size=512", 512);
}

static void
largest_memory_device_with_large_blocks (void **state)
{
  (void) state;
  assert_last_block (true, "block-size=64K", 64 * KIB);
}

/* A device of 1 MiB of RAM; `data` is as much, and yet to be written. */
static struct nbd_handle *
serve_with_random_data (const char *what)
{
  uint64_t seed = new_seed (what);

  fill_random (data, MIB, &seed);
  return serve_with_connection ("1M", "memory-backed=true");
}

static void
write_fua_and_flush (void **state)
{
  struct nbd_handle *h = serve_with_random_data ("write_fua_and_flush");

  (void) state;
  assert_done (nbd_pwrite (h, data, 512, 0, FUA));
  assert_done (nbd_pwrite (h, data + 512, MIB - 512, 512, 0));
  assert_done (nbd_flush (h, 0));
  assert_reads (h, data, MIB, 0);
  /* A part of a page, between two parts that stay. */
  memset (data + 70144, 0x11, 512);
  assert_done (nbd_pwrite (h, data + 70144, 512, 70144, FUA));
  assert_reads (h, data, MIB, 0);
}

/* 64 MiB, the longest that nbdkit takes, over many chunks of the store. */
static void
longest_write_and_read (void **state)
{
  const size_t len = 64 * MIB;
  uint64_t seed = new_seed ("longest_write_and_read");
  unsigned char *written = malloc (len), *back = malloc (len);
  struct nbd_handle *h;

  (void) state;
  assert_non_null (written);
  assert_non_null (back);
  serve ("256M", "memory-backed=true");
  h = connect_to ("");
  fill_random (written, len, &seed);
  memset (back, 0x55, len);
  assert_done (nbd_pwrite (h, written, len, 512, 0));
  assert_reads (h, written, len, 512);
  assert_reads_zero (h, 512, 0);
  assert_reads_zero (h, 4096, 512 + len);

  /* With something else in nbdkit's buffer. */
  assert_done (nbd_pwrite (h, back, len, 128 * MIB, 0));
  assert_done (nbd_pread (h, back, len, 512, 0));
  assert_true (memcmp (back, written, len) == 0);
  free (written);
  free (back);
}

/* A trim, with FUA and without, makes a hole and takes nothing beside it. */
static void
trim_makes_a_hole (void **state)
{
  struct nbd_handle *h = serve_with_random_data ("trim_makes_a_hole");

  (void) state;
  assert_done (nbd_pwrite (h, data, MIB, 0, 0));

  assert_done (nbd_trim (h, 8192, 4096, 0));
  memset (data + 4096, 0, 8192);
  assert_done (nbd_trim (h, 4096, 256 * KIB, FUA));
  memset (data + 256 * KIB, 0, 4096);
  assert_extents (h, MIB, 0,
                  "4096 data, 8192 hole, 249856 data, 4096 hole, 782336 data");

  /* Part of a page is cleared and keeps the page. */
  assert_done (nbd_trim (h, 512, 32768 + 512, 0));
  memset (data + 32768 + 512, 0, 512);
  assert_extents (h, 64 * KIB, 0, "4096 data, 8192 hole, 53248 data");
  assert_reads (h, data, MIB, 0);
}

struct zero_case {
  uint32_t flags;
  bool keeps; /* the memory, with zero-memory=true */
};

static const struct zero_case zero_cases[] = {
    {0, false},
    {FUA, false},
    {FAST_ZERO, false},
    {FAST_ZERO | FUA, false},
    {NO_HOLE, true},
    {NO_HOLE | FUA, true},
    {NO_HOLE | FAST_ZERO, true},
    {NO_HOLE | FAST_ZERO | FUA, true},
};

#define NR_ZERO_CASES (sizeof zero_cases / sizeof zero_cases[0])

static void
check_zero_of_data (bool zero_memory)
{
  uint64_t seed = new_seed ("zero_of_data");
  struct nbd_handle *h;
  size_t i;

  serve ("1M", "memory-backed=true",
         zero_memory ? "zero-memory=true" : "zero-memory=false");
  h = connect_to ("");
  for (i = 0; i < NR_ZERO_CASES; i++) {
    fill_random (data, MIB, &seed);
    assert_done (nbd_pwrite (h, data, MIB, 0, 0));
    assert_done (nbd_zero (h, 512 * KIB, 64 * KIB, zero_cases[i].flags));
    memset (data + 64 * KIB, 0, 512 * KIB);
    assert_reads (h, data, MIB, 0);
    assert_extents (h, MIB, 0,
                    zero_memory && zero_cases[i].keeps
                        ? "1048576 data"
                        : "65536 data, 524288 hole, 458752 data");
  }
}

static void
zero_of_data (void **state)
{
  (void) state;
  check_zero_of_data (false);
}

static void
zero_of_data_that_keeps_memory (void **state)
{
  (void) state;
  check_zero_of_data (true);
}

/* Where nothing was, nothing is; unless with NO_HOLE there is to be memory
 * afterwards.
 */
static void
check_zero_of_a_hole (bool zero_memory)
{
  struct nbd_handle *h;
  size_t i;

  serve ("1M", "memory-backed=true",
         zero_memory ? "zero-memory=true" : "zero-memory=false");
  h = connect_to ("");
  for (i = 0; i < NR_ZERO_CASES; i++) {
    assert_done (nbd_trim (h, MIB, 0, 0));
    assert_extents (h, MIB, 0, "1048576 hole");
    assert_done (nbd_zero (h, 512 * KIB, 64 * KIB, zero_cases[i].flags));
    assert_extents (h, MIB, 0,
                    zero_memory && zero_cases[i].keeps
                        ? "65536 hole, 524288 data, 458752 hole"
                        : "1048576 hole");
    assert_reads_zero (h, MIB, 0);
  }
}

static void
zero_of_a_hole (void **state)
{
  (void) state;
  check_zero_of_a_hole (false);
}

static void
zero_of_a_hole_that_takes_memory (void **state)
{
  (void) state;
  check_zero_of_a_hole (true);
}

/* More than 64 MiB at once: nbdkit 1.32's own way to do without .zero stops
 * there.
 */
static void
long_zero_clears_all (void **state)
{
  const uint64_t size = 80 * MIB;
  uint64_t seed = new_seed ("long_zero_clears_all");
  struct nbd_handle *h = serve_with_connection ("128M", "memory-backed=true");
  size_t i;
  uint64_t offset;

  (void) state;
  fill_random (data, MIB, &seed);
  for (i = 0; i < NR_ZERO_CASES; i++) {
    for (offset = 0; offset < size; offset += MIB)
      assert_done (nbd_pwrite (h, data, MIB, 512 + offset, 0));
    assert_done (nbd_zero (h, size - 1024, 1024, zero_cases[i].flags));
    assert_reads (h, data, 512, 512);
    assert_reads_zero (h, size - 1024, 1024);
    assert_reads (h, data + MIB - 512, 512, size);
  }
}

/* The longest there are: data at both ends and in the middle goes, and what
 * lies around them stays.
 */
static void
longest_trim_and_zero (void **state)
{
  const uint64_t end = 4096 + LONGEST;
  uint64_t seed = new_seed ("longest_trim_and_zero");
  struct nbd_handle *h = serve_with_connection ("1T", "memory-backed=true");
  int i;

  (void) state;
  fill_random (data, 8192, &seed);
  for (i = 0; i < 2; i++) {
    assert_done (nbd_pwrite (h, data, 8192, 0, 0));
    assert_done (nbd_pwrite (h, data, 4096, 3 * GIB, 0));
    assert_done (nbd_pwrite (h, data, 8192, end - 4096, 0));
    if (i == 0)
      assert_done (nbd_trim (h, LONGEST, 4096, 0));
    else
      assert_done (nbd_zero (h, LONGEST, 4096, 0));
    assert_reads (h, data, 4096, 0);
    assert_reads_zero (h, 4096, 4096);
    assert_reads_zero (h, 4096, 3 * GIB);
    assert_reads_zero (h, 4096, end - 4096);
    assert_reads (h, data + 4096, 4096, end);
    assert_extents (h, MAX_EXTENT, 0, "4096 data, 4294897664 hole");
    /* END is in the page at 4 GiB: the page stays. */
    assert_extents (h, 64 * KIB, 4 * GIB - 32 * KIB,
                    "32768 hole, 8192 data, 24576 hole");
  }
}

/* More than the limit holds is refused as a whole. */
static void
longest_zero_that_keeps_memory (void **state)
{
  struct nbd_handle *h = serve_with_connection (
      "1T", "memory-backed=true", "memory-limit=64M", "zero-memory=true");

  (void) state;
  assert_refused (ENOSPC, nbd_zero (h, LONGEST, 0, NO_HOLE));
  assert_extents (h, MAX_EXTENT, 0, "4294901760 hole");
  assert_done (nbd_zero (h, 64 * MIB, 0, NO_HOLE));
  assert_extents (h, MAX_EXTENT, 0, "67108864 data, 4227792896 hole");
}

/* Not so where it keeps none. */
static void
longest_zero_without_memory (void **state)
{
  struct nbd_handle *h =
      serve_with_connection ("1T", "memory-backed=true", "memory-limit=64K");

  (void) state;
  assert_done (nbd_pwrite (h, data, 64 * KIB, GIB, 0));
  assert_done (nbd_zero (h, LONGEST, 0, NO_HOLE));
  assert_extents (h, MAX_EXTENT, 0, "4294901760 hole");
  assert_done (nbd_pwrite (h, data, 64 * KIB, 0, 0));
}

static void
cache_reads_nothing_in (void **state)
{
  struct nbd_handle *h = serve_with_connection ("8G", "memory-backed=true");

  (void) state;
  assert_done (nbd_cache (h, LONGEST, 0, 0));
  assert_extents (h, MAX_EXTENT, 0, "4294901760 hole");
}

/*---------------------------------------------------------------------*/
/* Extents */

static void
extents_are_pages (void **state)
{
  struct nbd_handle *h = serve_with_connection ("1M", "memory-backed=true");

  (void) state;
  assert_extents (h, MIB, 0, "1048576 hole");
  memset (data, 1, 4096);
  assert_done (nbd_pwrite (h, data, 512, 8192 + 1024, 0));
  assert_done (nbd_pwrite (h, data, 1024, 128 * KIB - 512, 0));
  assert_extents (h, MIB, 0,
                  "8192 hole, 4096 data, 114688 hole, 8192 data, 913408 hole");
}

static void
extents_are_clipped (void **state)
{
  struct nbd_handle *h = serve_with_connection ("1M", "memory-backed=true");

  (void) state;
  memset (data, 1, sizeof data);
  assert_done (nbd_pwrite (h, data, 256 * KIB, 256 * KIB, 0));
  assert_extents (h, 512, 0, "512 hole");
  assert_extents (h, 512, 256 * KIB - 512, "512 hole");
  assert_extents (h, 512, 256 * KIB, "512 data");
  assert_extents (h, 1024, 256 * KIB - 512, "512 hole, 512 data");
  assert_extents (h, 1024, 512 * KIB - 512, "512 data, 512 hole");
  assert_extents (h, 100 * KIB + 512, 300 * KIB, "102912 data");
  assert_extents (h, 512, MIB - 512, "512 hole");
}

static void
one_extent_when_one_is_asked (void **state)
{
  struct nbd_handle *h = serve_with_connection ("1M", "memory-backed=true");

  (void) state;
  memset (data, 1, 4096);
  assert_done (nbd_pwrite (h, data, 4096, 8192, 0));
  assert_string_equal (extents_of (h, MIB, 0, LIBNBD_CMD_FLAG_REQ_ONE),
                       "8192 hole");
  assert_string_equal (
      extents_of (h, MIB - 8192, 8192, LIBNBD_CMD_FLAG_REQ_ONE), "4096 data");
  assert_string_equal (extents_of (h, 512, 8192, LIBNBD_CMD_FLAG_REQ_ONE),
                       "512 data");
}

/* Far apart, on a device much larger than memory. */
static void
extents_of_a_sparse_device (void **state)
{
  struct nbd_handle *h = serve_with_connection ("1P", "memory-backed=true");

  (void) state;
  memset (data, 1, 4096);
  assert_done (nbd_pwrite (h, data, 4096, GIB, 0));
  assert_done (nbd_pwrite (h, data, 4096, 3 * GIB, 0));
  assert_extents (h, MAX_EXTENT, 0,
                  "1073741824 hole, 4096 data, 2147479552 hole, "
                  "4096 data, 1073672192 hole");
  assert_extents (h, MAX_EXTENT, UINT64_C (512) << 40, "4294901760 hole");
}

/*---------------------------------------------------------------------*/

static const struct CMUnitTest tests[] = {
    CASE (misaligned_is_einval),
    CASE (misaligned_is_einval_in_null_mode),
    CASE (past_the_end),
    CASE (nothing_at_all),
    CASE (read_only_is_eperm),
    CASE (trim_that_is_not_offered),
    CASE (no_trim_and_memory_for_zeroes),
    CASE (null_mode_keeps_nothing),
    CASE (null_mode_clears_the_whole_buffer),
    CASE (largest_null_device),
    CASE (largest_memory_device),
    CASE (largest_memory_device_with_large_blocks),
    CASE (write_fua_and_flush),
    CASE (longest_write_and_read),
    CASE (trim_makes_a_hole),
    CASE (zero_of_data),
    CASE (zero_of_data_that_keeps_memory),
    CASE (zero_of_a_hole),
    CASE (zero_of_a_hole_that_takes_memory),
    CASE (long_zero_clears_all),
    CASE (longest_trim_and_zero),
    CASE (longest_zero_that_keeps_memory),
    CASE (longest_zero_without_memory),
    CASE (cache_reads_nothing_in),
    CASE (extents_are_pages),
    CASE (extents_are_clipped),
    CASE (one_extent_when_one_is_asked),
    CASE (extents_of_a_sparse_device),
};

MAIN (tests)
