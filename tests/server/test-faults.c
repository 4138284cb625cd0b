/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Bad blocks and fault rules on a real server: what a client sees of each
 * action and condition, rules that come and go, and that what was counted
 * proves it.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"

#define ZONE (64 * KIB)

/* For conditions: much longer than they take. */
#define BOUND 60

static uint8_t buf[64 * KIB], out[64 * KIB];
static struct nbd_handle *h, *config, *stats;

static void
serve_and_connect (const char *const *args)
{
  serve_with_control (args, &h, &config, &stats);
  memset (buf, 0xaa, sizeof buf);
}

#define SERVE(...) serve_and_connect ((const char *const[]){__VA_ARGS__, NULL})

static void
wait_for_depth (unsigned depth)
{
  char what[64];
  int i;

  snprintf (what, sizeof what, "\"queue_depth\": {\"now\": %u,", depth);
  for (i = 0; i < BOUND * 20; i++) {
    if (strstr (read_stats (stats), what) != NULL)
      return;
    usleep (50000);
  }
  fail_msg ("the depth is never %u: %.500s", depth, read_stats (stats));
}

static int
write_at (uint64_t offset)
{
  return nbd_pwrite (h, buf, 4096, offset, 0);
}

/* Every error that NBD carries arrives as it is. */
static void
errors (void **state)
{
  static const struct {
    const char *name;
    int error;
  } all[] = {{"EPERM", EPERM},   {"EIO", EIO},       {"ENOMEM", ENOMEM},
             {"EINVAL", EINVAL}, {"ENOSPC", ENOSPC}, {"ESHUTDOWN", ESHUTDOWN}};
  char lines[80];
  unsigned i;

  (void) state;
  SERVE ("64M", "memory-backed=true");
  for (i = 0; i < sizeof all / sizeof all[0]; i++) {
    snprintf (lines, sizeof lines, "fault-delete=all\nfault=error=%s\n",
              all[i].name);
    change_settings (config, lines);
    assert_refused (all[i].error, nbd_pread (h, out, 4096, 0, 0));
    assert_refused (all[i].error, nbd_pwrite (h, buf, 4096, 0, 0));
    assert_refused (all[i].error,
                    nbd_pwrite (h, buf, 4096, 0, LIBNBD_CMD_FLAG_FUA));
    assert_refused (all[i].error, nbd_flush (h, 0));
    assert_refused (all[i].error, nbd_trim (h, 4096, 0, 0));
    assert_refused (all[i].error, nbd_zero (h, 4096, 0, 0));
    assert_done (nbd_cache (h, 4096, 0, 0));
  }
  change_settings (config, "fault-delete=all\n");
  assert_reads_zero (h, MIB, 0);
}

/* By operation, place, and number; on the command line. */
static void
conditions (void **state)
{
  unsigned i;

  (void) state;
  SERVE ("64M", "memory-backed=true", "fault=op=write range=1M+64K error=EIO",
         "fault=name=third op=flush after=2 every=2 count=2 error=ENOSPC");
  assert_done (write_at (MIB - 4096));
  assert_refused (EIO, write_at (MIB));
  assert_refused (EIO, nbd_pwrite (h, buf, 8192, MIB - 4096, 0));
  assert_refused (EIO, write_at (MIB + 60 * KIB));
  assert_done (write_at (MIB + 64 * KIB));
  assert_done (nbd_pread (h, out, 4096, MIB, 0));
  for (i = 1; i <= 9; i++) {
    if (i == 4 || i == 6)
      assert_refused (ENOSPC, nbd_flush (h, 0));
    else
      assert_done (nbd_flush (h, 0));
  }
  assert_stats_have (stats, "\"rule\": \"op=write range=1M+64K error=EIO\", "
                            "\"evaluated\": 3, \"hits\": 3, \"spent\": false}");
  assert_stats_have (stats, "{\"id\": 2, \"name\": \"third\", ");
  assert_stats_have (stats, "\"evaluated\": 9, \"hits\": 2, \"spent\": true}");
}

/* The same requests meet the same faults in every run, not with another seed.
 */
static void
same_seed_same_hits (void **state)
{
  static const char *const seeds[] = {"seed=5", "seed=5", "seed=6"};
  char hits[3][201];
  unsigned run, i;

  for (run = 0; run < 3; run++) {
    SERVE ("64M", "memory-backed=true", seeds[run],
           "fault=op=write rate=20% error=EIO",
           "fault=op=write rate=50% corrupt=flip");
    for (i = 0; i < 200; i++)
      hits[run][i] = write_at (4096 * i) == 0 ? '.' : '!';
    hits[run][200] = '\0';
    assert_done (nbd_pread (h, out, sizeof out, 0, 0));
    stop_server (state);
  }
  assert_string_equal (hits[0], hits[1]);
  assert_string_not_equal (hits[0], hits[2]);
  assert_non_null (strchr (hits[0], '!'));
  assert_non_null (strchr (hits[0], '.'));
}

static unsigned
count_flipped (void)
{
  unsigned r = 0;
  size_t i;

  for (i = 0; i < sizeof out; i++)
    r += __builtin_popcount (out[i] ^ buf[i]);
  return r;
}

static void
corruption (void **state)
{
  (void) state;
  SERVE ("64M", "memory-backed=true", "block-size=4K");
  assert_done (nbd_pwrite (h, buf, sizeof buf, 0, 0));
  change_settings (config, "fault=op=read corrupt=flip\n");
  assert_done (nbd_pread (h, out, sizeof out, 0, 0));
  assert_int_equal (count_flipped (), sizeof buf / 4096);
  change_settings (
      config, "fault-delete=all\nfault=range=4K+4K op=write corrupt=zero\n");
  assert_reads (h, buf, sizeof buf, 0);
  assert_done (nbd_pwrite (h, buf, sizeof buf, 0, 0));
  assert_reads (h, buf, 4096, 0);
  assert_reads_zero (h, 4096, 4096);
  change_settings (config, "fault-delete=all\nfault=corrupt=stale\n");
  memset (out, 0x33, sizeof out);
  assert_done (nbd_pwrite (h, out, 4096, 8192, 0));
  assert_done (nbd_trim (h, 4096, 8192, 0));
  assert_done (nbd_zero (h, 4096, 8192, 0));
  assert_done (nbd_flush (h, 0));
  assert_reads (h, buf, 4096, 8192);
}

/* Nothing is done before the rule is deleted, and all of it then. */
static void
hang (void **state)
{
  struct nbd_handle *other;
  int64_t cookie;

  (void) state;
  SERVE ("64M", "memory-backed=true", "fault=name=h op=write hang");
  other = connect_to ("");
  cookie = nbd_aio_pwrite (h, buf, 4096, 0, NBD_NULL_COMPLETION, 0);
  assert_true (cookie >= 0);
  wait_for_depth (1);
  assert_reads_zero (other, 4096, 0);
  change_settings (config, "fault-delete=h\n");
  while (nbd_aio_command_completed (h, cookie) == 0)
    assert_true (nbd_poll (h, BOUND * 1000) == 1);
  assert_reads (other, buf, 4096, 0);
  assert_stats_have (stats, "\"faults\": [],");
}

/* A server that hangs ends all the same.  One thread: see NOTES. */
static void
hang_ends_with_the_server (void **state)
{
  (void) state;
  SERVE ("-t", "1", "64M", "fault=op=write hang");
  assert_true (nbd_aio_pwrite (h, buf, 4096, 0, NBD_NULL_COMPLETION, 0) >= 0);
  wait_for_depth (1);
  terminate_server ();
}

static void
delay (void **state)
{
  (void) state;
  SERVE ("64M", "fault=op=read delay=30ms");
  assert_done (nbd_pread (h, out, 512, 0, 0));
  assert_stats_have (stats, "\"max\": 30000000}");
  assert_stats_have (stats, "\"parallel\": true");
}

static void
badblocks (void **state)
{
  (void) state;
  SERVE ("64M", "memory-backed=true", "badblocks=+8-15,+2048-2048",
         "badblocks-partial-io=true");
  assert_refused (EIO, nbd_pread (h, out, 512, 4096, 0));
  assert_refused (EIO, nbd_pwrite (h, buf, 16384, 0, 0));
  assert_reads (h, buf, 4096, 0);
  change_settings (config, "badblocks=-8-15\n");
  assert_reads_zero (h, 4096, 4096);
  assert_stats_have (stats, "\"badblocks\": \"+2048-2048\"");
  change_settings (config, "badblocks-once=1\n");
  assert_refused (EIO, nbd_trim (h, MIB + 512, 512, 0));
  assert_stats_have (stats, "\"badblocks\": \"none\"");
  assert_done (nbd_trim (h, MIB + 512, 512, 0));
}

/* The write pointer of zone 1 is in sectors at byte 16 of its descriptor. */
static uint64_t
write_pointer (struct nbd_handle *zones)
{
  uint8_t descriptor[64];

  assert_done (nbd_pread (zones, descriptor, 64, 64, 0));
  return descriptor[16] | descriptor[17] << 8;
}

static void
zones (void **state)
{
  uint8_t reset[128] = {[24] = 0, [64 + 25] = 1};
  struct nbd_handle *z;

  (void) state;
  SERVE ("1M", "memory-backed=true", "zoned=true", "zone-size=64K",
         "badblocks=+144-144", "badblocks-partial-io=true",
         "fault=op=zone zones=1 count=1 error=EPERM");
  z = connect_to ("nullb0.zones");
  assert_refused (EIO, nbd_pwrite (h, buf, 16384, ZONE, 0));
  assert_int_equal (write_pointer (z), 128 + 16);
  assert_reads (h, buf, 8192, ZONE);
  assert_refused (EPERM, nbd_pwrite (z, reset + 64, 64, 64, 0));
  assert_int_equal (write_pointer (z), 128 + 16);
  assert_done (nbd_pwrite (z, reset + 64, 64, 64, 0));
  assert_int_equal (write_pointer (z), 128);
  assert_stats_have (stats, "\"evaluated\": 2, \"hits\": 1, \"spent\": true}");
}

static const struct CMUnitTest tests[] = {
    CASE (errors),     CASE (conditions), CASE (same_seed_same_hits),
    CASE (corruption), CASE (hang),       CASE (hang_ends_with_the_server),
    CASE (delay),      CASE (badblocks),  CASE (zones),
};

MAIN (tests)
