/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Zones over the wire: reads, writes and trims, each row of the man page's
 * tables (ZONES) with its error, and extents.
 */

#include <config.h>

#include <errno.h>

#include "zoned-server.h"

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
};

MAIN (tests)
