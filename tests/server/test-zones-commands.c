/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Commands to zones over the wire, and the zone table byte for byte.
 */

#include <config.h>

#include <errno.h>

#include "zoned-server.h"

/* What a command makes of zones in all conditions: a condition, or -errno. */
static void
check_command (unsigned cond, const int expected[8])
{
  static const unsigned from[8] = {EM, OI, OE, CL, FU, RO, OL, NW};
  uint64_t nr;
  unsigned i;

  SERVE ();
  for (i = 0; i < 8; i++) {
    nr = from[i] == NW ? 0 : 2 + i;
    if (from[i] != NW)
      put (nr, from[i]);
    if (expected[i] < 0) {
      assert_refused (-expected[i], command (nr, cond));
      assert_int_equal (zone (nr).cond, from[i]);
    }
    else {
      assert_done (command (nr, cond));
      assert_int_equal (zone (nr).cond, expected[i]);
    }
    if (zone (nr).cond == EM) {
      assert_zone (nr, EM, 0);
      assert_reads_zero (data, ZONE, nr * ZONE);
    }
  }
}

static void
reset_by_condition (void **state)
{
  (void) state;
  check_command (EM, (int[]){EM, EM, EM, EM, EM, -EIO, -EIO, -EIO});
}

static void
open_by_condition (void **state)
{
  (void) state;
  check_command (OE, (int[]){OE, OE, OE, OE, -EIO, -EIO, -EIO, -EIO});
}

static void
close_by_condition (void **state)
{
  (void) state;
  check_command (CL, (int[]){-EIO, CL, CL, CL, -EIO, -EIO, -EIO, -EIO});
  assert_done (command (11, OE));
  assert_done (command (11, CL));
  assert_zone (11, EM, 0);
}

static void
finish_by_condition (void **state)
{
  (void) state;
  check_command (FU, (int[]){FU, FU, FU, FU, FU, -EIO, -EIO, -EIO});
  assert_zone (2, FU, ZONE);
  assert_reads_zero (data, ZONE, 2 * ZONE);
  assert_reads (data, buf, BLOCK, 3 * ZONE);
}

static void
readonly_by_condition (void **state)
{
  (void) state;
  check_command (RO, (int[]){RO, RO, RO, RO, RO, EM, RO, -EINVAL});
  assert_reads (data, buf, BLOCK, 3 * ZONE);
  assert_int_equal (zone (2).wp, ZONE_NO_WP);
}

static void
offline_by_condition (void **state)
{
  (void) state;
  check_command (OL, (int[]){OL, OL, OL, OL, OL, OL, EM, -EINVAL});
  assert_int_equal (zone (2).wp, ZONE_NO_WP);
}

static void
no_such_command (void **state)
{
  unsigned cond;

  (void) state;
  SERVE ();
  for (cond = 0; cond < 256; cond++) {
    if (cond != EM && cond != OE && cond != CL && cond != FU && cond != RO &&
        cond != OL)
      assert_refused (EINVAL, command (2, cond));
  }
  assert_zone (2, EM, 0);
}

static void
commands_at_the_limits (void **state)
{
  (void) state;
  SERVE ("zone-max-open=2", "zone-max-active=3");
  put (2, CL);
  put (3, OE);
  put (4, OI);
  assert_refused (ENOSPC, command (5, OE));
  assert_refused (ENOSPC, command (5, FU));
  assert_refused (ENOSPC, command (2, OE));
  assert_zone (2, CL, BLOCK);
  assert_zone (4, OI, BLOCK);
  assert_done (command (3, EM));
  assert_done (command (2, OE));
  assert_done (command (5, FU));
  assert_zone (5, FU, ZONE);
}

static void
bad_requests_to_the_table (void **state)
{
  struct zone_descriptor d[16] = {{.cond = FU}};

  (void) state;
  SERVE ();
  assert_int_equal (nbd_get_size (zones), sizeof d);
  assert_int_equal (nbd_get_block_size (zones, LIBNBD_SIZE_MINIMUM), 64);
  assert_int_equal (nbd_can_trim (zones), 0);
  assert_int_equal (nbd_can_multi_conn (zones), 0);
  assert_int_equal (nbd_pread (zones, d, 32, 0, 0), -1);
  assert_int_equal (nbd_pread (zones, d, 64, 32, 0), -1);
  assert_int_equal (nbd_pread (zones, d, 128, 15 * 64, 0), -1);
  d[0].cond = FU;
  assert_int_equal (nbd_pwrite (zones, d, 63, 128, 0), -1);
  assert_int_equal (nbd_pwrite (zones, d, 64, 130, 0), -1);
  assert_int_equal (nbd_pwrite (zones, d, sizeof d, 64, 0), -1);
  assert_zone (2, EM, 0);
  assert_int_equal (nbd_trim (zones, 64, 128, 0), -1);
}

/* As bytes: what zone-descriptor.h promises to clients that do not know it. */
static void
descriptors_byte_for_byte (void **state)
{
  /* Zone 3, at 3 MiB: 6144 sectors, 2048 long, 1536 of them to be written, 9 of
   * them written.  Zone 15 is half a MiB short.
   */
  static const unsigned char third[64] = {
      0x00, 0x18, 0,    0,    0,    0,    0, 0, 0x00, 0x08, 0, 0, 0, 0,
      0,    0,    0x09, 0x18, 0,    0,    0, 0, 0,    0,    2, 2, 0, 0,
      0,    0,    0,    0,    0x00, 0x06, 0, 0, 0,    0,    0, 0};
  static const unsigned char fourth[64] = {
      0x00, 0x20, 0, 0, 0,    0,    0,    0,    0x00, 0x08, 0,    0,
      0,    0,    0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
      2,    13,   0, 0, 0,    0,    0,    0,    0x00, 0x06};
  static const unsigned char first[64] = {
      0x00, 0x08, 0,    0,    0,    0,    0, 0, 0x00, 0x08, 0, 0, 0, 0,
      0,    0,    0x00, 0x10, 0,    0,    0, 0, 0,    0,    1, 0, 0, 0,
      0,    0,    0,    0,    0x00, 0x08, 0, 0, 0,    0,    0, 0};
  static const unsigned char last[64] = {
      0x00, 0x78, 0,    0,    0,    0,    0, 0, 0x00, 0x04, 0, 0,  0, 0,
      0,    0,    0x00, 0x7c, 0,    0,    0, 0, 0,    0,    2, 14, 0, 0,
      0,    0,    0,    0,    0x00, 0x04, 0, 0, 0,    0,    0, 0};
  unsigned char table[16][64];

  (void) state;
  SERVE ("zone-readonly=4");
  assert_done (write_at (3, 0, 9 * 512));
  memset (table, 0x55, sizeof table);
  assert_done (nbd_pread (zones, table, sizeof table, 0, 0));
  assert_memory_equal (table[1], first, 64);
  assert_memory_equal (table[3], third, 64);
  assert_memory_equal (table[4], fourth, 64);
  stop_server (NULL);

  serve ("15872K", "zoned=true", "zone-size=1M", "zone-nr-conv=2");
  begin ();
  assert_int_equal (nbd_get_size (zones), sizeof table);
  assert_done (command (15, FU));
  assert_done (nbd_pread (zones, table[0], 64, 15 * 64, 0));
  assert_memory_equal (table[0], last, 64);
}

static void
several_commands_in_one_write (void **state)
{
  const struct zone_descriptor d[] = {{.cond = EM}, {.cond = OE}, {.cond = CL},
                                      {.cond = FU}, {.cond = RO}, {.cond = OL},
                                      {.cond = CL}, {.cond = FU}, {.cond = FU}};

  (void) state;
  SERVE ();
  put (2, FU);
  put (4, OI);
  /* The zone of the seventh is empty. */
  assert_refused (EIO, nbd_pwrite (zones, d, sizeof d, 2 * 64, 0));
  assert_zone (2, EM, 0);
  assert_zone (3, OE, 0);
  assert_zone (4, CL, BLOCK);
  assert_zone (5, FU, ZONE);
  assert_int_equal (zone (6).cond, RO);
  assert_int_equal (zone (7).cond, OL);
  assert_zone (8, EM, 0);
  assert_zone (9, EM, 0);
  assert_zone (10, EM, 0);
  assert_done (nbd_pwrite (zones, &d[7], 128, 9 * 64, 0));
  assert_zone (10, FU, ZONE);
}

#define MANY 10000

static void
ten_thousand_resets (void **state)
{
  static struct zone_descriptor d[MANY];
  static char text[MIB + 1];
  unsigned i;

  (void) state;
  serve ("40000K", "memory-backed=true", "zoned=true", "zone-size=4K");
  begin ();
  assert_int_equal (nbd_get_size (zones), sizeof d);
  for (i = 0; i < MANY; i++)
    assert_done (nbd_pwrite (data, buf, 4096, i * 4096, 0));
  assert_done (nbd_pread (zones, d, sizeof d, 0, 0));
  for (i = 0; i < MANY; i++) {
    assert_int_equal (d[i].cond, FU);
    d[i].cond = EM;
  }
  assert_done (nbd_pwrite (zones, d, sizeof d, 0, 0));
  assert_done (nbd_pread (zones, d, sizeof d, 0, 0));
  for (i = 0; i < MANY; i++)
    assert_int_equal (d[i].cond, EM);
  assert_reads_zero (data, MANY * 4096, 0);
  assert_done (nbd_pread (connect_to ("nullb0.stats"), text, MIB, 0, 0));
  assert_non_null (strstr (text, "\"written_blocks\": 0,"));
  assert_non_null (strstr (text, "\"zone\": {\"requests\": 1,"));
}

static void
reset_of_all (void **state)
{
  static const char line[] = "zones=reset\n";

  (void) state;
  SERVE ("zone-full=true", "zone-readonly=3", "zone-offline=4");
  assert_done (write_at (1, 0, BLOCK));
  assert_done (
      nbd_pwrite (connect_to ("nullb0.config"), line, strlen (line), 0, 0));
  assert_zone (2, EM, 0);
  assert_zone (15, EM, 0);
  assert_int_equal (zone (3).cond, RO);
  assert_int_equal (zone (4).cond, OL);
  assert_reads (data, buf, BLOCK, ZONE);
}

static const struct CMUnitTest tests[] = {
    CASE (reset_by_condition),
    CASE (open_by_condition),
    CASE (close_by_condition),
    CASE (finish_by_condition),
    CASE (readonly_by_condition),
    CASE (offline_by_condition),
    CASE (no_such_command),
    CASE (commands_at_the_limits),
    CASE (bad_requests_to_the_table),
    CASE (descriptors_byte_for_byte),
    CASE (several_commands_in_one_write),
    CASE (ten_thousand_resets),
    CASE (reset_of_all),
};

MAIN (tests)
