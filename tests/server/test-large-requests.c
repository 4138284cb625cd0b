/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Requests of 4 MiB, which Linux 7 sends to an nbd device: latencies, lanes,
 * limits and faults take them as they take 4 KiB, and their data is whole.
 * What was asked for is read from the statistics, exactly.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "faulty.h"

#define LARGE (4 * MIB)
#define N 8

/* For replies: much longer than they take, in ms. */
#define BOUND 60000

static uint8_t data[N][LARGE], got[N][LARGE];

static void
fill_data (void)
{
  uint64_t seed = new_seed ("large requests");

  fill_random (data, sizeof data, &seed);
}

static int
write_large (unsigned i)
{
  return nbd_pwrite (h, data[i], LARGE, i * LARGE, 0);
}

static int
read_large (unsigned i)
{
  return nbd_pread (h, got[i], LARGE, i * LARGE, 0);
}

/* All N at once, and wait for them. */
static void
transfer (bool writes)
{
  int64_t cookie[N];
  unsigned i;

  for (i = 0; i < N; i++) {
    cookie[i] = writes ? nbd_aio_pwrite (h, data[i], LARGE, i * LARGE,
                                         NBD_NULL_COMPLETION, 0)
                       : nbd_aio_pread (h, got[i], LARGE, i * LARGE,
                                        NBD_NULL_COMPLETION, 0);
    assert_done (cookie[i]);
  }
  while (nbd_aio_in_flight (h) > 0)
    assert_int_equal (nbd_poll (h, BOUND), 1);
  for (i = 0; i < N; i++)
    assert_int_equal (nbd_aio_command_completed (h, cookie[i]), 1);
}

static void
write_and_read_all (void)
{
  fill_data ();
  transfer (true);
  memset (got, 0, sizeof got);
  transfer (false);
  assert_memory_equal (got, data, sizeof data);
}

/*---------------------------------------------------------------------*/
/* Time */

/* Its size makes it no longer. */
static void
latency (void **state)
{
  (void) state;
  SERVE ("-t", "16", "64M", "read-latency=3ms", "write-latency=5ms");
  write_and_read_all ();
  assert_int_equal (longest_asked (stats, "read"), 3 * MSEC);
  assert_int_equal (longest_asked (stats, "write"), 5 * MSEC);
}

/* One after the other: the last of those that came in time waits for all. */
static void
lanes (void **state)
{
  uint64_t asked;

  (void) state;
  SERVE ("-t", "16", "64M", "latency=2ms", "lanes=1");
  write_and_read_all ();
  asked = longest_asked (stats, "write");
  assert_in_range (asked, 2 * MSEC, N * 2 * MSEC);
  asked = longest_asked (stats, "read");
  assert_in_range (asked, 2 * MSEC, N * 2 * MSEC);
}

/* By bytes it takes 4 MiB's time; by requests it is one, and the first passes
 * at once.
 */
static void
limits (void **state)
{
  (void) state;
  SERVE ("-t", "16", "64M", "write-mbps=1000", "read-iops=500");
  fill_data ();
  assert_done (write_large (0));
  assert_int_equal (longest_asked (stats, "write"), 4 * MSEC);
  assert_done (read_large (0));
  assert_int_equal (longest_asked (stats, "read"), 0);
  assert_memory_equal (got[0], data[0], LARGE);
  transfer (true);
  transfer (false);
  assert_memory_equal (got, data, sizeof data);
}

/*---------------------------------------------------------------------*/
/* Faults */

/* A rule with a range hits what touches it by a block, at either end. */
static void
error_in_range (void **state)
{
  (void) state;
  SERVE ("64M", "fault=op=write range=4092K+4K error=ENOSPC",
         "fault=op=read range=8M+512 error=EIO");
  fill_data ();
  assert_refused (ENOSPC, write_large (0));
  assert_reads_zero (h, LARGE, 0);
  assert_done (write_large (1));
  assert_reads (h, data[1], LARGE, LARGE);
  assert_done (write_large (2));
  assert_refused (EIO, read_large (2));
  assert_rule (stats, 1, 1, 1);
  assert_rule (stats, 2, 1, 1);
}

/* As many bits as blocks of the range. */
static void
flip (void **state)
{
  unsigned bits = 0;
  size_t i;

  (void) state;
  SERVE ("64M", "block-size=4K");
  fill_data ();
  assert_done (write_large (0));
  set_rule ("op=read range=1M+2M corrupt=flip");
  assert_done (read_large (0));
  assert_memory_equal (got[0], data[0], MIB);
  assert_memory_equal (got[0] + 3 * MIB, data[0] + 3 * MIB, MIB);
  for (i = MIB; i < 3 * MIB; i++)
    bits += __builtin_popcount (got[0][i] ^ data[0][i]);
  assert_int_equal (bits, 2 * MIB / BLOCK);
}

static void
zero_and_stale (void **state)
{
  (void) state;
  SERVE ("64M", "block-size=4K",
         "fault=op=write range=2M+2M count=1 corrupt=zero",
         "fault=op=write range=4M+4M count=1 corrupt=stale");
  fill_data ();
  assert_done (write_large (0));
  assert_reads (h, data[0], 2 * MIB, 0);
  assert_reads_zero (h, 2 * MIB, 2 * MIB);
  assert_done (write_large (1));
  assert_reads_zero (h, LARGE, LARGE);
}

/* The last sector is bad; what comes before it is written if that is asked. */
static void
bad_block (void **state)
{
  (void) state;
  SERVE ("64M", "badblocks=+8191-8191", "badblocks-partial-io=true");
  fill_data ();
  assert_refused (EIO, write_large (0));
  assert_reads (h, data[0], LARGE - 512, 0);
  assert_done (write_large (1));
  assert_done (read_large (1));
  assert_memory_equal (got[1], data[1], LARGE);
}

/* A write of half of the cache comes back as a whole, or not at all. */
static void
power_cut (void **state)
{
  (void) state;
  SERVE ("64M", "cache-size=8M");
  fill_data ();
  assert_done (write_large (0));
  assert_done (nbd_flush (h, 0));
  assert_done (nbd_pwrite (h, data[1], LARGE, 0, 0));
  assert_done (nbd_pwrite (h, data[2], LARGE, LARGE, LIBNBD_CMD_FLAG_FUA));
  change_settings (config, "power=cut\nlose=all\n");
  change_settings (config, "power=on\n");
  assert_reads (h, data[0], LARGE, 0);
  assert_reads (h, data[2], LARGE, LARGE);
}

static const struct CMUnitTest tests[] = {
    CASE (latency),        CASE (lanes),     CASE (limits),
    CASE (error_in_range), CASE (flip),      CASE (zero_and_stale),
    CASE (bad_block),      CASE (power_cut),
};

MAIN (tests)
