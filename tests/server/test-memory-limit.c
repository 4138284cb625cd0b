/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * memory-limit: what does not fit gets ENOSPC and changes nothing, what needs
 * no more memory goes on working, and room that is given back can be used.
 */

#include <config.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "client.h"

#define LIMIT MIB
#define LIMIT_ARG "memory-limit=1M"
#define NO_HOLE LIBNBD_CMD_FLAG_NO_HOLE
#define FUA LIBNBD_CMD_FLAG_FUA

static unsigned char data[LIMIT], other[LIMIT];

/* A device that holds all that the limit allows, at 0, and would hold more for
 * zeroes with NO_HOLE.
 */
static struct nbd_handle *
full_device (uint64_t *seed)
{
  struct nbd_handle *h;

  serve ("1G", "memory-backed=true", "zero-memory=true", LIMIT_ARG);
  h = connect_to ("");
  fill_random (data, sizeof data, seed);
  fill_random (other, sizeof other, seed);
  assert_done (nbd_pwrite (h, data, LIMIT, 0, 0));
  return h;
}

static void
assert_full_and_unchanged (struct nbd_handle *h)
{
  assert_extents (h, GIB, 0, "1048576 data, 1072693248 hole");
  assert_reads (h, data, LIMIT, 0);
  assert_reads_zero (h, LIMIT, LIMIT);
}

static void
more_is_enospc (void **state)
{
  uint64_t seed = new_seed ("more_is_enospc");
  struct nbd_handle *h = full_device (&seed);

  (void) state;
  assert_refused (ENOSPC, nbd_pwrite (h, other, 512, LIMIT, 0));
  assert_refused (ENOSPC, nbd_pwrite (h, other, 512, GIB - 512, FUA));
  assert_refused (ENOSPC, nbd_zero (h, 4096, LIMIT, NO_HOLE));
  assert_refused (ENOSPC, nbd_zero (h, GIB, 0, NO_HOLE));
  assert_full_and_unchanged (h);
}

/* A write that begins where there is room, and would end where there is
 * none: within one chunk of the store (128 KiB), and over several.
 */
static void
no_part_of_a_refused_write_is_done (void **state)
{
  uint64_t seed = new_seed ("no_part_of_a_refused_write_is_done");
  struct nbd_handle *h = full_device (&seed);

  (void) state;
  assert_refused (ENOSPC, nbd_pwrite (h, other, 8192, LIMIT - 4096, 0));
  assert_refused (ENOSPC, nbd_pwrite (h, other, LIMIT, LIMIT / 2, 0));
  assert_refused (ENOSPC, nbd_zero (h, LIMIT, LIMIT / 2, NO_HOLE));
  assert_full_and_unchanged (h);

  /* With room for a half of it in the middle. */
  assert_done (nbd_trim (h, 64 * KIB, 512 * KIB, 0));
  memset (data + 512 * KIB, 0, 64 * KIB);
  assert_refused (ENOSPC,
                  nbd_pwrite (h, other, 640 * KIB + 4096, 448 * KIB, 0));
  assert_extents (h, GIB, 0,
                  "524288 data, 65536 hole, 458752 data, 1072693248 hole");
  assert_reads (h, data, LIMIT, 0);
}

static void
what_needs_no_more_goes_on (void **state)
{
  uint64_t seed = new_seed ("what_needs_no_more_goes_on");
  struct nbd_handle *h = full_device (&seed);

  (void) state;
  assert_refused (ENOSPC, nbd_pwrite (h, other, 512, LIMIT, 0));
  assert_done (nbd_pwrite (h, other, LIMIT, 0, 0));
  assert_reads (h, other, LIMIT, 0);
  assert_done (nbd_pwrite (h, data, 512, 1024, FUA));
  memcpy (other + 1024, data, 512);
  assert_done (nbd_zero (h, 8192, 8192, NO_HOLE));
  memset (other + 8192, 0, 8192);
  assert_done (nbd_zero (h, 4096, LIMIT, 0)); /* of a hole, to a hole */
  assert_done (nbd_trim (h, 4096, LIMIT, 0));
  assert_done (nbd_cache (h, GIB, 0, 0));
  assert_done (nbd_flush (h, 0));
  assert_reads (h, other, LIMIT, 0);
  assert_extents (h, GIB, 0, "1048576 data, 1072693248 hole");
}

/* A trim, or a zero that may trim, makes exactly as much room as it frees. */
static void
room_that_is_given_back (void **state)
{
  uint64_t seed = new_seed ("room_that_is_given_back");
  struct nbd_handle *h = full_device (&seed);
  int i;

  (void) state;
  for (i = 0; i < 2; i++) {
    if (i == 0)
      assert_done (nbd_trim (h, 64 * KIB, 128 * KIB, 0));
    else
      assert_done (nbd_zero (h, 64 * KIB, 128 * KIB, 0));
    assert_refused (ENOSPC, nbd_pwrite (h, other, 64 * KIB + 512, GIB / 2, 0));
    assert_done (nbd_pwrite (h, other, 64 * KIB, GIB / 2, 0));
    assert_reads (h, other, 64 * KIB, GIB / 2);
    assert_refused (ENOSPC, nbd_pwrite (h, other, 512, 128 * KIB, 0));
    assert_reads_zero (h, 64 * KIB, 128 * KIB);

    /* And back. */
    assert_done (nbd_trim (h, 64 * KIB, GIB / 2, 0));
    assert_done (nbd_pwrite (h, data + 128 * KIB, 64 * KIB, 128 * KIB, 0));
    assert_full_and_unchanged (h);
  }

  /* All of it, many times: nothing is lost on the way. */
  for (i = 0; i < 100; i++) {
    assert_done (nbd_trim (h, GIB, 0, 0));
    assert_done (nbd_pwrite (h, other, LIMIT, (i * LIMIT + 512) & -4096, 0));
  }
}

/* A 512-byte write alone on its page holds the page. */
static void
memory_is_counted_in_pages (void **state)
{
  struct nbd_handle *h =
      serve_with_connection ("1T", "memory-backed=true", "memory-limit=64K");
  uint64_t i;

  (void) state;
  memset (data, 1, sizeof data);
  for (i = 0; i < 16; i++)
    assert_done (nbd_pwrite (h, data, 512, i * GIB + 1024, 0));
  assert_refused (ENOSPC, nbd_pwrite (h, data, 512, 16 * GIB, 0));
  /* The rest of those pages is there. */
  for (i = 0; i < 16; i++)
    assert_done (nbd_pwrite (h, data, 4096, i * GIB, 0));
  assert_refused (ENOSPC, nbd_pwrite (h, data, 512, 16 * GIB, 0));
}

static void
devices_share_it (void **state)
{
  uint64_t seed = new_seed ("devices_share_it");
  struct nbd_handle *a, *b;

  (void) state;
  serve ("1G", "memory-backed=true", LIMIT_ARG, "devices=2");
  a = connect_to ("nullb0");
  b = connect_to ("nullb1");
  fill_random (data, sizeof data, &seed);
  assert_done (nbd_pwrite (a, data, 768 * KIB, 0, 0));
  assert_refused (ENOSPC, nbd_pwrite (b, data, 256 * KIB + 512, 0, 0));
  assert_done (nbd_pwrite (b, data, 256 * KIB, 0, 0));
  assert_refused (ENOSPC, nbd_pwrite (a, data, 512, 768 * KIB, 0));
  assert_refused (ENOSPC, nbd_pwrite (b, data, 512, 768 * KIB, 0));

  assert_done (nbd_trim (a, 4096, 0, 0));
  assert_done (nbd_pwrite (b, data, 512, 768 * KIB, 0));
  assert_refused (ENOSPC, nbd_pwrite (a, data, 512, 0, 0));
  assert_extents (b, MIB, 0,
                  "262144 data, 524288 hole, 4096 data, 258048 hole");
  assert_extents (a, MIB, 0, "4096 hole, 782336 data, 262144 hole");
}

static void
null_mode_has_none (void **state)
{
  struct nbd_handle *h = serve_with_connection ("1G", "memory-limit=4K");
  uint64_t i;

  (void) state;
  for (i = 0; i < 16; i++)
    assert_done (nbd_pwrite (h, data, LIMIT, i * LIMIT, 0));
  assert_done (nbd_zero (h, GIB, 0, NO_HOLE));
  assert_extents (h, GIB, 0, "1073741824 hole");
}

static const struct CMUnitTest tests[] = {
    CASE (more_is_enospc),
    CASE (no_part_of_a_refused_write_is_done),
    CASE (what_needs_no_more_goes_on),
    CASE (room_that_is_given_back),
    CASE (memory_is_counted_in_pages),
    CASE (devices_share_it),
    CASE (null_mode_has_none),
};

MAIN (tests)
