/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Zones over the wire: each row of the man page's tables (ZONES) with its
 * error, the zone table byte for byte, commands, extents, trims, and queued
 * writes in all ways that requests may be served.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "client.h"
#include "zones/zones.h"

#define ZONE MIB
#define CAPACITY (768 * KIB)
#define BLOCK 4096

enum {
  EM = ZONE_COND_EMPTY,
  OI = ZONE_COND_IMP_OPEN,
  OE = ZONE_COND_EXP_OPEN,
  CL = ZONE_COND_CLOSED,
  RO = ZONE_COND_READONLY,
  FU = ZONE_COND_FULL,
  OL = ZONE_COND_OFFLINE,
  NW = ZONE_COND_NOT_WP
};

static struct nbd_handle *data, *zones;
static unsigned char buf[ZONE], zeroes[ZONE];

/* Two conventional zones and 14 others. */
#define SERVE(...)                                                             \
  (serve ("16M", "memory-backed=true", "zoned=true", "zone-size=1M",           \
          "zone-nr-conv=2", "zone-capacity=768K", "zone-reorder-wait=0",       \
          ##__VA_ARGS__),                                                      \
   begin ())

static void
begin (void)
{
  memset (buf, 0xa5, sizeof buf);
  data = connect_to ("");
  zones = connect_to ("nullb0.zones");
}

static struct zone_descriptor
zone (uint64_t nr)
{
  struct zone_descriptor d;

  assert_done (nbd_pread (zones, &d, sizeof d, nr * sizeof d, 0));
  return d;
}

#define assert_zone(nr, cond_, written)                                        \
  do {                                                                         \
    assert_int_equal (zone (nr).cond, cond_);                                  \
    assert_int_equal (le64toh (zone (nr).wp) * 512, (nr) *ZONE + (written));   \
  } while (0)

static int
command (uint64_t nr, unsigned cond)
{
  const struct zone_descriptor d = {.cond = cond};

  return nbd_pwrite (zones, &d, sizeof d, nr * sizeof d, 0);
}

static int
write_at (uint64_t nr, uint64_t offset, uint64_t count)
{
  return nbd_pwrite (data, buf, count, nr * ZONE + offset, 0);
}

static int
read_at (uint64_t nr, uint64_t offset, uint64_t count)
{
  return nbd_pread (data, zeroes, count, nr * ZONE + offset, 0);
}

static int
trim (uint64_t nr, uint64_t offset, uint64_t count)
{
  return nbd_trim (data, count, nr * ZONE + offset, 0);
}

/* Bring an empty zone into a condition, with a block in it where it can. */
static void
put (uint64_t nr, unsigned cond)
{
  if (cond == OI || cond == OE || cond == CL)
    assert_done (write_at (nr, 0, BLOCK));
  if (cond != EM && cond != OI)
    assert_done (command (nr, cond));
  assert_int_equal (zone (nr).cond, cond);
}

/*---------------------------------------------------------------------*/
/* Requests */

static void
write_across_a_border (void **state)
{
  (void) state;
  SERVE ("zone-cross=error");
  assert_refused (EIO, write_at (0, ZONE - BLOCK, 2 * BLOCK));
  assert_refused (EIO, write_at (1, ZONE - BLOCK, 2 * BLOCK));
  assert_refused (EIO, write_at (2, 0, ZONE + BLOCK));
  assert_refused (EIO, nbd_zero (data, 2 * BLOCK, ZONE - BLOCK, 0));
  assert_zone (2, EM, 0);
  assert_reads_zero (data, 16 * MIB, 0);
  stop_server (NULL);

  /* By default it is taken zone by zone, up to the first that fails. */
  SERVE ();
  assert_done (write_at (0, ZONE - BLOCK, 2 * BLOCK));
  assert_done (write_at (1, ZONE - BLOCK, 2 * BLOCK));
  assert_zone (2, OI, BLOCK);
  assert_reads (data, buf, 2 * BLOCK, 2 * ZONE - BLOCK);
  assert_refused (EIO, write_at (1, ZONE - BLOCK, 2 * BLOCK));
  /* This is beyond zone 3's capacity. */
  assert_refused (EIO, write_at (3, 0, ZONE + BLOCK));
  assert_zone (3, EM, 0);
  assert_done (nbd_zero (data, ZONE + BLOCK, 0, 0));
  assert_reads_zero (data, ZONE + BLOCK, 0);
  assert_done (nbd_zero (data, 12 * BLOCK, 2 * ZONE + BLOCK, 0));
  assert_zone (2, OI, 13 * BLOCK);
}

static void
write_to_a_readonly_zone (void **state)
{
  (void) state;
  SERVE ("zone-readonly=3");
  assert_refused (EPERM, write_at (3, 0, BLOCK));
  assert_refused (EPERM, write_at (3, BLOCK, BLOCK));
  assert_refused (EPERM, nbd_zero (data, BLOCK, 3 * ZONE, 0));
  assert_reads_zero (data, ZONE, 3 * ZONE);
}

static void
write_to_an_offline_zone (void **state)
{
  (void) state;
  SERVE ("zone-offline=3");
  assert_refused (EIO, write_at (3, 0, BLOCK));
  assert_refused (EIO, nbd_zero (data, BLOCK, 3 * ZONE, 0));
}

static void
write_off_the_write_pointer (void **state)
{
  (void) state;
  SERVE ();
  assert_refused (EIO, write_at (2, BLOCK, BLOCK));
  assert_done (write_at (2, 0, BLOCK));
  assert_refused (EIO, write_at (2, 0, BLOCK));
  assert_refused (EIO, write_at (2, 512, BLOCK));
  assert_refused (EIO, write_at (2, BLOCK + 512, BLOCK));
  assert_refused (EIO, nbd_zero (data, BLOCK, 2 * ZONE, 0));
  assert_zone (2, OI, BLOCK);
  assert_done (command (2, FU));
  assert_refused (EIO, write_at (2, BLOCK, BLOCK));
}

static void
write_beyond_the_capacity (void **state)
{
  (void) state;
  SERVE ();
  assert_refused (EIO, write_at (2, 0, CAPACITY + 512));
  assert_zone (2, EM, 0);
  assert_done (write_at (2, 0, CAPACITY - 512));
  assert_refused (EIO, write_at (2, CAPACITY - 512, 1024));
  assert_zone (2, OI, CAPACITY - 512);
  assert_done (write_at (2, CAPACITY - 512, 512));
  assert_zone (2, FU, CAPACITY);
  assert_refused (EIO, write_at (2, CAPACITY, 512));
}

static void
write_at_the_limit_of_open_zones (void **state)
{
  (void) state;
  SERVE ("zone-max-open=2");
  put (2, CL);
  put (3, OE);
  put (4, OE);
  assert_refused (ENOSPC, write_at (5, 0, BLOCK));
  assert_refused (ENOSPC, write_at (2, BLOCK, BLOCK));
  assert_zone (5, EM, 0);
  assert_zone (2, CL, BLOCK);
  /* One that is implicitly open makes room. */
  assert_done (command (4, CL));
  assert_done (write_at (2, BLOCK, BLOCK));
  assert_done (write_at (5, 0, BLOCK));
  assert_zone (2, CL, 2 * BLOCK);
  assert_zone (5, OI, BLOCK);
}

static void
write_at_the_limit_of_active_zones (void **state)
{
  (void) state;
  SERVE ("zone-max-active=2");
  put (2, CL);
  put (3, OI);
  assert_refused (ENOSPC, write_at (4, 0, BLOCK));
  assert_zone (4, EM, 0);
  assert_done (write_at (2, BLOCK, BLOCK));
  assert_done (command (3, EM));
  assert_done (write_at (4, 0, BLOCK));
}

static void
write_moves_the_write_pointer (void **state)
{
  (void) state;
  SERVE ();
  assert_done (write_at (2, 0, BLOCK));
  assert_zone (2, OI, BLOCK);
  assert_done (nbd_zero (data, BLOCK, 2 * ZONE + BLOCK, 0));
  assert_done (
      nbd_zero (data, BLOCK, 2 * ZONE + 2 * BLOCK, LIBNBD_CMD_FLAG_NO_HOLE));
  assert_zone (2, OI, 3 * BLOCK);
  assert_reads (data, buf, BLOCK, 2 * ZONE);
  assert_reads_zero (data, 2 * BLOCK, 2 * ZONE + BLOCK);

  assert_done (command (3, OE));
  assert_done (write_at (3, 0, CAPACITY - 512));
  assert_zone (3, OE, CAPACITY - 512);
  assert_done (write_at (3, CAPACITY - 512, 512));
  assert_zone (3, FU, CAPACITY);
  assert_reads (data, buf, CAPACITY, 3 * ZONE);

  put (4, CL);
  assert_done (write_at (4, BLOCK, BLOCK));
  assert_zone (4, OI, 2 * BLOCK);

  /* A conventional zone takes anything. */
  assert_done (write_at (0, ZONE - BLOCK, BLOCK));
  assert_done (write_at (0, 512, BLOCK));
  assert_zone (0, NW, ZONE);
}

static void
write_without_memory (void **state)
{
  (void) state;
  SERVE ("memory-limit=1M");
  assert_done (write_at (2, 0, CAPACITY));
  assert_refused (ENOSPC, write_at (3, 0, CAPACITY));
  assert_zone (3, OI, 0);
  assert_done (command (2, EM));
  assert_done (write_at (3, 0, CAPACITY));
}

static void
read_of_an_offline_zone (void **state)
{
  (void) state;
  SERVE ("zone-offline=3");
  assert_refused (EIO, read_at (3, 0, 512));
  assert_refused (EIO, read_at (2, ZONE - 512, 1024));
  assert_refused (EIO, read_at (3, ZONE - 512, 1024));
  assert_done (read_at (2, ZONE - 512, 512));
}

/* From a block in zone 2 to one in zone 3. */
static void
check_past_wp (unsigned char fill)
{
  memset (buf + BLOCK, fill, ZONE - BLOCK);
  assert_reads (data, buf, ZONE, 2 * ZONE);
  memmove (buf + ZONE / 2, buf, ZONE / 2);
  memset (buf, fill, ZONE / 2);
  assert_reads (data, buf, ZONE, 2 * ZONE + ZONE / 2);
}

static void
read_past_the_write_pointer (void **state)
{
  (void) state;
  SERVE ("zone-read-past-wp=zero");
  put (2, OI);
  put (3, OI);
  check_past_wp (0);
  stop_server (NULL);

  SERVE ("zone-read-past-wp=ones");
  put (2, OI);
  put (3, OI);
  check_past_wp (0xff);
  stop_server (NULL);

  SERVE ("zone-read-past-wp=error");
  put (2, OI);
  assert_done (read_at (2, 0, BLOCK));
  assert_refused (EIO, read_at (2, BLOCK - 512, 1024));
  assert_refused (EIO, read_at (2, BLOCK, 512));
  assert_refused (EIO, read_at (3, 0, 512));
  assert_done (command (2, FU));
  assert_done (read_at (2, 0, ZONE));
}

static void
trim_of_zones (void **state)
{
  (void) state;
  SERVE ("zone-readonly=8", "zone-offline=11");
  put (2, OI);
  put (3, FU);
  put (4, CL);
  assert_done (write_at (1, 0, ZONE));
  /* Parts of a zone stay as they are. */
  assert_done (trim (2, 0, BLOCK));
  assert_done (trim (2, BLOCK, ZONE));
  assert_zone (2, OI, BLOCK);
  assert_reads (data, buf, BLOCK, 2 * ZONE);
  assert_done (trim (1, BLOCK, 3 * ZONE));
  assert_zone (2, EM, 0);
  assert_zone (3, EM, 0);
  assert_zone (4, CL, BLOCK);
  assert_reads (data, buf, BLOCK, ZONE);
  assert_reads_zero (data, 3 * ZONE - BLOCK, ZONE + BLOCK);
  assert_reads (data, buf, BLOCK, 4 * ZONE);

  /* All or nothing. */
  put (7, OI);
  put (10, OI);
  assert_refused (EPERM, trim (7, 0, 2 * ZONE));
  assert_refused (EIO, trim (10, 0, 2 * ZONE));
  assert_zone (7, OI, BLOCK);
  assert_zone (10, OI, BLOCK);
  assert_done (trim (7, 0, 2 * ZONE - BLOCK));
  assert_zone (7, EM, 0);
}

static void
trim_that_is_ignored (void **state)
{
  (void) state;
  SERVE ("zone-trim=ignore");
  put (2, OI);
  assert_done (write_at (1, 0, BLOCK));
  assert_done (trim (0, 0, 16 * ZONE));
  assert_zone (2, OI, BLOCK);
  assert_reads (data, buf, BLOCK, 2 * ZONE);
  assert_reads_zero (data, ZONE, ZONE);
}

static void
trim_that_is_an_error (void **state)
{
  (void) state;
  SERVE ("zone-trim=error");
  put (2, OI);
  assert_done (write_at (1, 0, BLOCK));
  assert_refused (EIO, trim (1, 0, ZONE + 512));
  assert_refused (EIO, trim (3, 0, ZONE));
  assert_zone (2, OI, BLOCK);
  assert_reads (data, buf, BLOCK, ZONE);
  assert_done (trim (0, 0, 2 * ZONE));
  assert_reads_zero (data, 2 * ZONE, 0);
}

static void
extents_follow_write_pointers (void **state)
{
  (void) state;
  SERVE ();
  assert_done (write_at (0, 2 * BLOCK, BLOCK));
  put (2, OI);
  put (3, FU);
  put (4, OI);
  put (5, RO);
  assert_extents (data, 7 * ZONE, 0,
                  "8192 hole, 4096 data, 2084864 hole, 4096 data, "
                  "1044480 hole, 1052672 data, 1044480 hole, 1048576 data, "
                  "1048576 hole");
  assert_extents (data, 8192, 2 * ZONE, "4096 data, 4096 hole");
  stop_server (NULL);

  SERVE ("zone-read-past-wp=ones");
  put (2, OI);
  assert_extents (data, 2 * ZONE, 2 * ZONE,
                  "4096 data, 2093056 hole that is not zero");
  stop_server (NULL);

  SERVE ("zone-read-past-wp=error");
  put (2, OI);
  assert_extents (data, 2 * ZONE, 2 * ZONE,
                  "4096 data, 2093056 hole that is not zero");
}

static void
read_only_device (void **state)
{
  (void) state;
  SERVE ("read-only=true");
  assert_int_equal (nbd_is_read_only (data), 1);
  assert_refused (EPERM, command (2, FU));
  assert_refused (EPERM, command (2, EM));
  assert_refused (EPERM, write_at (2, 0, BLOCK));
  assert_refused (EPERM, trim (2, 0, ZONE));
  assert_zone (2, EM, 0);
  assert_reads_zero (data, ZONE, 2 * ZONE);
}

static void
null_mode (void **state)
{
  (void) state;
  serve ("1P", "zoned=true", "zone-size=1G", "zone-reorder-wait=0");
  begin ();
  assert_int_equal (nbd_get_size (zones), 64 * (1 << 20));
  assert_done (nbd_pwrite (data, buf, MIB, GIB, 0));
  assert_refused (EIO, nbd_pwrite (data, buf, MIB, GIB, 0));
  assert_int_equal (zone (1).cond, OI);
  assert_int_equal (le64toh (zone (1).wp) * 512, GIB + MIB);
  assert_extents (data, 2 * GIB, 0,
                  "1073741824 hole, 1048576 data, "
                  "1072693248 hole");
  assert_reads_zero (data, MIB, GIB);
  assert_done (command ((1 << 20) - 1, FU));
  assert_int_equal (zone ((1 << 20) - 1).cond, FU);
}

/*---------------------------------------------------------------------*/
/* Commands */

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

/* As bytes: what wire.h promises to clients that have not seen it. */
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

/*---------------------------------------------------------------------*/
/* Queued writes */

#define DEPTH 64

static int
count_result (void *opaque, int *error)
{
  unsigned *results = opaque;

  results[*error == 0 ? 0 : 1]++;
  return 1;
}

/* Fill zone 2 in blocks, DEPTH of them under way, turn by turn on N
 * connections; the rest of the zone with another size.
 */
static void
queue_writes (unsigned n)
{
  uint64_t seed = new_seed ("queued writes"), offset = 0;
  unsigned results[2] = {0, 0}, sent = 0, i;
  struct nbd_handle *h[4];
  nbd_completion_callback done = {.callback = count_result,
                                  .user_data = results};
  size_t len;

  fill_random (buf, sizeof buf, &seed);
  for (i = 0; i < n; i++)
    h[i] = connect_to ("");
  while (offset < CAPACITY || results[0] + results[1] < sent) {
    while (offset < CAPACITY && sent - results[0] - results[1] < DEPTH) {
      len = offset < CAPACITY / 2 ? 4096 : 1536;
      assert_true (nbd_aio_pwrite (h[sent % n], buf + offset, len,
                                   2 * ZONE + offset, done, 0) != -1);
      offset += len;
      sent++;
    }
    for (i = 0; i < n; i++)
      assert_done (nbd_poll (h[i], n > 1 ? 1 : -1));
  }
  assert_int_equal (results[1], 0);
  assert_int_equal (sent, CAPACITY / 2 / 4096 + CAPACITY / 2 / 1536);
  assert_zone (2, FU, CAPACITY);
  assert_reads (data, buf, CAPACITY, 2 * ZONE);
  for (i = 0; i < n; i++)
    disconnect (h[i]);
}

/* The wait is long, so that a busy machine does not matter. */
#define SERVE_QUEUES(...)                                                      \
  (serve ("16M", "memory-backed=true", "zoned=true", "zone-size=1M",           \
          "zone-capacity=768K", "zone-reorder-wait=60s", __VA_ARGS__),         \
   begin ())

static void
queue_of_one_connection_in_order (void **state)
{
  (void) state;
  SERVE_QUEUES ("parallel=off");
  queue_writes (1);
}

static void
queue_of_one_connection_side_by_side (void **state)
{
  (void) state;
  SERVE_QUEUES ("parallel=on");
  queue_writes (1);
}

static void
queue_of_four_connections_in_order (void **state)
{
  (void) state;
  SERVE_QUEUES ("parallel=off");
  queue_writes (4);
}

static void
queue_of_four_connections_side_by_side (void **state)
{
  (void) state;
  SERVE_QUEUES ("parallel=on");
  queue_writes (4);
}

static void
queue_with_latency (void **state)
{
  (void) state;
  SERVE_QUEUES ("write-latency=uniform:0-2ms");
  queue_writes (1);
}

/* Zones 2 to 5 are filled in blocks, SHUFFLED of which come in any order at a
 * time, by two connections.
 */
#define SHUFFLED 12
#define SHUFFLED_ZONES 4
#define BLOCKS_OF_ZONE (CAPACITY / BLOCK)

static void
shuffle_blocks (uint64_t *order, uint64_t *seed)
{
  unsigned next[SHUFFLED_ZONES] = {0}, n = 0, nr, i, k;
  uint64_t swap;

  while (n < SHUFFLED_ZONES * BLOCKS_OF_ZONE) {
    nr = random_below (seed, SHUFFLED_ZONES);
    if (next[nr] < BLOCKS_OF_ZONE)
      order[n++] = nr * ZONE + BLOCK * next[nr]++;
  }
  for (; n > 0; n -= SHUFFLED) {
    for (i = SHUFFLED - 1; i > 0; i--) {
      k = random_below (seed, i + 1);
      swap = order[n - SHUFFLED + i];
      order[n - SHUFFLED + i] = order[n - SHUFFLED + k];
      order[n - SHUFFLED + k] = swap;
    }
  }
}

static void
write_shuffled (void)
{
  static uint64_t order[SHUFFLED_ZONES * BLOCKS_OF_ZONE];
  static unsigned char all[SHUFFLED_ZONES * ZONE];
  const unsigned total = sizeof order / sizeof order[0];
  uint64_t seed = new_seed ("shuffled writes");
  unsigned results[2] = {0, 0}, sent = 0, i;
  struct nbd_handle *h[2] = {connect_to (""), connect_to ("")}, *to;
  nbd_completion_callback done = {.callback = count_result,
                                  .user_data = results};

  fill_random (all, sizeof all, &seed);
  shuffle_blocks (order, &seed);
  while (results[0] + results[1] < total) {
    while (sent < total && sent - results[0] - results[1] < SHUFFLED + 2) {
      to = h[random_below (&seed, 2)];
      if (random_below (&seed, 8) == 0) {
        memset (all + order[sent], 0, BLOCK);
        assert_true (
            nbd_aio_zero (to, BLOCK, 2 * ZONE + order[sent], done, 0) != -1);
      }
      else
        assert_true (nbd_aio_pwrite (to, all + order[sent], BLOCK,
                                     2 * ZONE + order[sent], done, 0) != -1);
      sent++;
    }
    for (i = 0; i < 2; i++)
      assert_done (nbd_poll (h[i], 1));
  }
  assert_int_equal (results[1], 0);
  for (i = 0; i < SHUFFLED_ZONES; i++) {
    assert_zone (2 + i, FU, CAPACITY);
    assert_reads (data, all + i * ZONE, CAPACITY, (2 + i) * ZONE);
  }
  for (i = 0; i < 2; i++)
    disconnect (h[i]);
}

static void
shuffled_writes (void **state)
{
  (void) state;
  SERVE_QUEUES ("parallel=auto");
  write_shuffled ();
  stop_server (NULL);
  SERVE_QUEUES ("write-latency=uniform:0-2ms");
  write_shuffled ();
}

/* An early write that nothing comes before waits in vain. */
static void
early_write_waits_and_fails (void **state)
{
  (void) state;
  serve ("16M", "memory-backed=true", "zoned=true", "zone-size=1M",
         "zone-reorder-wait=5ms", "parallel=on");
  begin ();
  assert_refused (EIO, write_at (2, BLOCK, BLOCK));
  assert_zone (2, EM, 0);
  assert_done (write_at (2, 0, BLOCK));
  assert_done (write_at (2, BLOCK, BLOCK));
}

static const struct CMUnitTest tests[] = {
    CASE (write_across_a_border),
    CASE (write_to_a_readonly_zone),
    CASE (write_to_an_offline_zone),
    CASE (write_off_the_write_pointer),
    CASE (write_beyond_the_capacity),
    CASE (write_at_the_limit_of_open_zones),
    CASE (write_at_the_limit_of_active_zones),
    CASE (write_moves_the_write_pointer),
    CASE (write_without_memory),
    CASE (read_of_an_offline_zone),
    CASE (read_past_the_write_pointer),
    CASE (trim_of_zones),
    CASE (trim_that_is_ignored),
    CASE (trim_that_is_an_error),
    CASE (extents_follow_write_pointers),
    CASE (read_only_device),
    CASE (null_mode),
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
    CASE (queue_of_one_connection_in_order),
    CASE (queue_of_one_connection_side_by_side),
    CASE (queue_of_four_connections_in_order),
    CASE (queue_of_four_connections_side_by_side),
    CASE (queue_with_latency),
    CASE (shuffled_writes),
    CASE (early_write_waits_and_fails),
};

MAIN (tests)
