/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Bad blocks on a real server: which requests fail at them, what is done of
 * those, how they heal, and live changes of the list.
 */

#include <config.h>

#include <errno.h>

#include "faulty.h"

#define SECTOR 512

/* Those that touch data, as null_blk's.  One of COUNT bytes. */
static const enum operation touching[] = {OP_READ, OP_WRITE, OP_TRIM, OP_ZERO};

#define NR_TOUCHING (sizeof touching / sizeof touching[0])

static int
touch (enum operation op, uint64_t count, uint64_t offset)
{
  return request_at (h, op, op == OP_READ ? out : buf, count, offset);
}

/* These sectors are bad, both included, and their neighbours are not. */
static void
check_bad (uint64_t first, uint64_t last)
{
  unsigned i;

  for (i = 0; i < NR_TOUCHING; i++) {
    assert_done (touch (touching[i], SECTOR, (first - 1) * SECTOR));
    assert_refused (EIO, touch (touching[i], SECTOR, first * SECTOR));
    assert_refused (EIO, touch (touching[i], SECTOR, last * SECTOR));
    assert_done (touch (touching[i], SECTOR, (last + 1) * SECTOR));
    assert_refused (EIO, touch (touching[i], 2 * SECTOR, (first - 1) * SECTOR));
    assert_refused (EIO, touch (touching[i], 2 * SECTOR, last * SECTOR));
    assert_refused (EIO, touch (touching[i], (last - first + 3) * SECTOR,
                                (first - 1) * SECTOR));
  }
}

static void
fail_where_they_are (void **state)
{
  (void) state;
  SERVE ("64M", "badblocks=+8-15,+0x800-0X800,+010000-010001");
  check_bad (8, 15);
  check_bad (2048, 2048);
  check_bad (4096, 4097);
  assert_stats_have (stats, "\"badblocks\": \"+8-15,+2048-2048,+4096-4097\"");
}

static void
fail_in_null_mode (void **state)
{
  (void) state;
  SERVE_NULL ("64M", "badblocks=+8-15");
  check_bad (8, 15);
}

/* Nothing is done of what fails. */
static void
change_nothing (void **state)
{
  (void) state;
  SERVE ("64M");
  assert_done (nbd_pwrite (h, other_buf, sizeof other_buf, 0, 0));
  change_settings (config, "badblocks=+64-64\n");
  assert_refused (EIO, nbd_pwrite (h, buf, sizeof buf, 0, 0));
  assert_refused (EIO, nbd_pwrite (h, buf, sizeof buf, 0, LIBNBD_CMD_FLAG_FUA));
  assert_refused (EIO, nbd_trim (h, sizeof buf, 0, 0));
  assert_refused (EIO, nbd_zero (h, sizeof buf, 0, 0));
  change_settings (config, "badblocks=none\n");
  assert_reads (h, other_buf, sizeof other_buf, 0);
}

/* What touches no data. */
static void
do_not_concern_the_others (void **state)
{
  (void) state;
  SERVE ("1M", "zoned=true", "zone-size=64K", "badblocks=+0-2047");
  zones = connect_to ("nullb0.zones");
  assert_done (nbd_flush (h, 0));
  assert_done (nbd_cache (h, 4096, 0, 0));
  assert_done (ask_extents (h, 4096, 0, 0));
  assert_done (request_in_zone (h, zones, OP_ZONE, 1));
  assert_refused (EIO, nbd_pread (h, out, 512, 0, 0));
}

/* Each operation heals the whole range that it meets first, and no other. */
static void
once_heals (void **state)
{
  unsigned i;

  (void) state;
  SERVE ("64M", "badblocks-once=true");
  for (i = 0; i < NR_TOUCHING; i++) {
    change_settings (config, "badblocks=none,+8-11,+12-15,+100-107\n");
    assert_refused (EIO, touch (touching[i], sizeof buf, 5120));
    assert_stats_have (stats, "\"badblocks\": \"+100-107\"");
    assert_done (touch (touching[i], 8 * SECTOR, 8 * SECTOR));
    assert_refused (EIO, touch (touching[i], sizeof buf, 4096));
    assert_stats_have (stats, "\"badblocks\": \"none\"");
    assert_done (touch (touching[i], sizeof buf, 4096));
  }
}

/* Each operation that changes data makes good what it has changed. */
static void
writes_mend (void **state)
{
  unsigned i;

  (void) state;
  SERVE ("64M");
  change_settings (config, "badblocks=+8-15\nbadblocks-mend=true\n");
  for (i = 1; i < NR_TOUCHING; i++) {
    assert_refused (EIO, touch (OP_READ, 4096, 4096));
    assert_done (touch (touching[i], 2 * SECTOR, 10 * SECTOR));
    assert_stats_have (stats, "\"badblocks\": \"+8-9,+12-15\"");
    assert_done (touch (OP_READ, 2 * SECTOR, 10 * SECTOR));
    assert_refused (EIO, touch (OP_READ, 4096, 4096));
    change_settings (config, "badblocks=+8-15\n");
  }
}

static void
without_once_they_stay (void **state)
{
  unsigned i;

  (void) state;
  SERVE ("64M", "badblocks=+8-15");
  for (i = 0; i < 10; i++)
    assert_refused (EIO, touch (touching[i % NR_TOUCHING], 4096, 4096));
  change_settings (config, "badblocks-once=true\n");
  assert_refused (EIO, touch (OP_READ, 4096, 4096));
  assert_done (touch (OP_READ, 4096, 4096));
}

/* What is refused before does not heal. */
static void
once_is_for_what_meets_them (void **state)
{
  (void) state;
  SERVE ("64M", "badblocks=+8-15", "badblocks-once=true", "read-only=true");
  assert_refused (EPERM, touch (OP_WRITE, 4096, 4096));
  assert_refused (EINVAL, nbd_pread (h, out, 100, 4096, 0));
  assert_refused (EIO, touch (OP_READ, 4096, 4096));
  assert_done (touch (OP_READ, 4096, 4096));
}

/* Of those that meet it at the same time exactly one fails. */
static void
once_fails_one_of_many (void **state)
{
  enum { CLIENTS = 5, REQUESTS = 8, ROUNDS = 50 };
  struct nbd_handle *client[CLIENTS] = {NULL};
  int64_t cookie[CLIENTS][REQUESTS];
  unsigned round, i, j, failed;

  (void) state;
  SERVE ("64M", "parallel=on", "badblocks-once=true");
  for (i = 0; i < CLIENTS; i++)
    client[i] = i == 0 ? h : connect_to ("");
  for (round = 0; round < ROUNDS; round++) {
    change_settings (config, "badblocks=+8-15\n");
    for (i = 0; i < CLIENTS; i++) {
      for (j = 0; j < REQUESTS; j++) {
        cookie[i][j] =
            nbd_aio_pwrite (client[i], buf, 4096, 4096, NBD_NULL_COMPLETION, 0);
        assert_true (cookie[i][j] >= 0);
      }
    }
    for (i = failed = 0; i < CLIENTS; i++) {
      while (nbd_aio_in_flight (client[i]) > 0)
        assert_true (nbd_poll (client[i], 60000) == 1);
      for (j = 0; j < REQUESTS; j++)
        failed += nbd_aio_command_completed (client[i], cookie[i][j]) == -1;
    }
    assert_int_equal (failed, 1);
    assert_stats_have (stats, "\"badblocks\": \"none\"");
  }
}

/* Whole blocks before the first bad sector are done, and no more. */
static void
partial_io (void **state)
{
  (void) state;
  SERVE ("64M", "block-size=4K", "badblocks-partial-io=true");
  assert_done (nbd_pwrite (h, other_buf, sizeof other_buf, 0, 0));
  change_settings (config, "badblocks=+17-17,+90-90\n");
  assert_refused (EIO, nbd_pwrite (h, buf, sizeof buf, 0, 0));
  assert_refused (EIO, nbd_pwrite (h, buf, 8192, 8192, 0));
  assert_refused (EIO, nbd_pread (h, out, sizeof out, 0, 0));
  change_settings (config, "badblocks=none\n");
  assert_reads (h, buf, 8192, 0);
  assert_reads (h, other_buf, sizeof other_buf - 8192, 8192);

  change_settings (config, "badblocks=+17-17,+90-90\n");
  assert_refused (EIO, nbd_trim (h, 16384, 4096, 0));
  change_settings (config, "badblocks=none\n");
  assert_reads (h, buf, 4096, 0);
  assert_reads_zero (h, 4096, 4096);
  assert_reads (h, other_buf, sizeof other_buf - 8192, 8192);

  change_settings (config, "badblocks=+17-17,+90-90\n");
  assert_refused (EIO, nbd_zero (h, sizeof buf, 0, 0));
  change_settings (config, "badblocks=none\n");
  assert_reads_zero (h, 8192, 0);
  assert_reads (h, other_buf, sizeof other_buf - 8192, 8192);
}

static void
partial_io_and_once (void **state)
{
  (void) state;
  SERVE ("64M", "badblocks=+8-15,+20-20", "badblocks-once=true",
         "badblocks-partial-io=true");
  assert_refused (EIO, nbd_pwrite (h, buf, 16384, 0, 0));
  assert_reads (h, buf, 4096, 0);
  assert_reads_zero (h, 4096, 4096);
  assert_refused (EIO, nbd_pwrite (h, buf, 16384, 0, 0));
  assert_reads (h, buf, 10240, 0);
  assert_reads_zero (h, 6144, 10240);
  assert_done (nbd_pwrite (h, buf, 16384, 0, 0));
  assert_reads (h, buf, 16384, 0);
}

/* The write pointer moves with what is done. */
static void
partial_io_in_zones (void **state)
{
  (void) state;
  SERVE ("1M", "zoned=true", "zone-size=64K", "badblocks=+144-144",
         "badblocks-partial-io=true");
  zones = connect_to ("nullb0.zones");
  assert_refused (EIO, nbd_pwrite (h, buf, 16384, ZONE, 0));
  assert_int_equal (write_pointer (1), 8192);
  assert_reads (h, buf, 8192, ZONE);
  change_settings (config, "badblocks=none\nbadblocks-partial-io=false\n");
  assert_done (nbd_pwrite (h, buf, 4096, ZONE + 8192, 0));
  change_settings (config, "badblocks=+160-160\n");
  assert_refused (EIO, nbd_pwrite (h, buf, 16384, ZONE + 12288, 0));
  assert_int_equal (write_pointer (1), 12288);
}

/* What a rule has answered never gets to them. */
static void
come_after_rules (void **state)
{
  (void) state;
  SERVE ("64M", "badblocks=+8-15", "fault=count=1 error=ENOSPC");
  assert_refused (ENOSPC, touch (OP_READ, 4096, 4096));
  assert_rule (stats, 1, 1, 1);
  assert_refused (EIO, touch (OP_READ, 4096, 4096));
  assert_rule (stats, 1, 2, 1);
  assert_done (touch (OP_READ, 4096, 8192));
}

static void
change_live (void **state)
{
  (void) state;
  SERVE ("64M", "badblocks=+8-15");
  change_settings (config, "badblocks=-10-11,+100-100\n");
  assert_stats_have (stats, "\"badblocks\": \"+8-9,+12-15,+100-100\"");
  assert_done (touch (OP_WRITE, 2 * SECTOR, 10 * SECTOR));
  assert_refused (EIO, touch (OP_WRITE, 3 * SECTOR, 10 * SECTOR));
  assert_refused (EIO, touch (OP_WRITE, SECTOR, 100 * SECTOR));
  change_settings (config, "badblocks=+10-11\n"); /* without a gap: one */
  assert_stats_have (stats, "\"badblocks\": \"+8-15,+100-100\"");
  /* All of a list or nothing. */
  assert_change_refused (config, "badblocks=+200-200,+9-8\n",
                         "badblocks=+200-200,+9-8: '+9-8': allowed is ");
  assert_change_refused (config, "badblocks=+200-200\nsize=1\n", "size=1: ");
  assert_stats_have (stats, "\"badblocks\": \"+8-15,+100-100\"");
  assert_done (touch (OP_WRITE, SECTOR, 200 * SECTOR));
  change_settings (config, "badblocks=none,+5-6\n");
  check_bad (5, 6);
  assert_stats_have (stats, "\"badblocks\": \"+5-6\"");
  change_settings (config, "badblocks=\n");
  assert_stats_have (stats, "\"badblocks\": \"none\"");
  assert_done (touch (OP_READ, sizeof out, 0));
}

static void
belong_to_a_device (void **state)
{
  struct nbd_handle *other;

  (void) state;
  SERVE ("64M", "devices=2", "badblocks=+8-15", "badblocks-once=true");
  other = connect_to ("nullb1");
  assert_refused (EIO, touch (OP_READ, 4096, 4096));
  assert_done (touch (OP_READ, 4096, 4096));
  assert_refused (EIO, nbd_pread (other, out, 4096, 4096, 0));
  change_settings (config, "badblocks=+8-15\n");
  assert_done (nbd_pread (other, out, 4096, 4096, 0));
}

static const struct CMUnitTest tests[] = {
    CASE (fail_where_they_are),
    CASE (fail_in_null_mode),
    CASE (change_nothing),
    CASE (do_not_concern_the_others),
    CASE (once_heals),
    CASE (writes_mend),
    CASE (without_once_they_stay),
    CASE (once_is_for_what_meets_them),
    CASE (once_fails_one_of_many),
    CASE (partial_io),
    CASE (partial_io_and_once),
    CASE (partial_io_in_zones),
    CASE (come_after_rules),
    CASE (change_live),
    CASE (belong_to_a_device),
};

MAIN (tests)
