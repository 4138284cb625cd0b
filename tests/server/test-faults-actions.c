/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What fault rules do to requests, on a real server: what a client sees of
 * errors, delays and corruption, and what it finds afterwards.  Those that hang
 * or disconnect are in test-faults-hang.c, which requests are hit in
 * test-faults.c.
 */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "faulty.h"

/*---------------------------------------------------------------------*/
/* error= */

/* Every error that NBD carries arrives as it is, from every operation, and
 * nothing is done.
 */
static void
check_error (const char *name, int error)
{
  char rule[40];
  unsigned op;

  snprintf (rule, sizeof rule, "error=%s", name);
  SERVE_ZONED ("seed=1");
  assert_done (nbd_pwrite (h, other_buf, BLOCK, 0, 0));
  assert_done (nbd_pwrite (h, other_buf, BLOCK, ZONE, 0));
  set_rule (rule);
  for (op = 0; op < NR_OPERATIONS; op++)
    assert_refused (error, request (op));
  assert_refused (error, nbd_pwrite (h, buf, BLOCK, 0, LIBNBD_CMD_FLAG_FUA));
  assert_refused (error, nbd_zero (h, BLOCK, 0, LIBNBD_CMD_FLAG_FUA));
  assert_refused (error, nbd_trim (h, BLOCK, 0, LIBNBD_CMD_FLAG_FUA));
  assert_refused (error, write_at (ZONE + BLOCK));
  assert_refused (error, nbd_trim (h, ZONE, ZONE, 0));
  assert_done (nbd_cache (h, BLOCK, 0, 0));
  assert_rule (stats, 1, NR_OPERATIONS + 5, NR_OPERATIONS + 5);
  change_settings (config, "fault-delete=all\n");
  assert_reads (h, other_buf, BLOCK, 0);
  assert_reads (h, other_buf, BLOCK, ZONE);
  assert_int_equal (write_pointer (1), BLOCK);
}

#define ERROR(name)                                                            \
  static void error_##name (void **state)                                      \
  {                                                                            \
    (void) state;                                                              \
    check_error (#name, name);                                                 \
  }

/* clang-format off */
ERROR (EPERM) ERROR (EIO) ERROR (ENOMEM)
ERROR (EINVAL) ERROR (ENOSPC) ERROR (ESHUTDOWN)
    /* clang-format on */

    /* There is none by default, and no other. */
    static void error_has_to_be_given (void **state)
{
  (void) state;
  SERVE ("1M");
  assert_change_refused (config, "fault=error\n",
                         "fault=error: 'error': allowed words are ");
  assert_change_refused (config, "fault=error=\n",
                         "fault=error=: 'error=': allowed after error= is "
                         "EPERM, EIO, ENOMEM, EINVAL, ENOSPC or ESHUTDOWN: ");
  assert_change_refused (config, "fault=error=ENOTSUP\n",
                         "fault=error=ENOTSUP: 'error=ENOTSUP': allowed ");
  assert_stats_have (stats, "\"faults\": [],");
}

/*---------------------------------------------------------------------*/
/* delay= */

/* A client waits at least as long, for every operation; what was asked for is
 * exact.
 */
static void
delay_of_each_operation (void **state)
{
  char rule[40];
  uint64_t begin, asked;
  unsigned op, i;

  (void) state;
  SERVE_ZONED ("fault=delay=0");
  for (op = 0; op < NR_OPERATIONS; op++) {
    snprintf (rule, sizeof rule, "op=%s delay=%ums", operation_words[op],
              20 + op);
    set_rule (rule);
    begin = monotonic_ns ();
    assert_done (request (op));
    assert_true (monotonic_ns () - begin >= (20 + op) * MSEC);
    for (i = 0; i < NR_OPERATIONS; i++) {
      asked = longest_asked (stats, operation_words[i]);
      assert_int_equal (asked, i <= op ? (20 + i) * MSEC : 0);
    }
  }
  if (!defers_replies (stats))
    assert_stats_have (stats, "\"parallel\": true");
}

static void
delay_adds_up (void **state)
{
  uint64_t begin;

  (void) state;
  SERVE ("1M", "latency=1ms", "fault=op=read delay=2ms",
         "fault=op=read,write delay=4ms", "fault=op=flush delay=30ms",
         "fault=op=flush error=EIO");
  assert_done (nbd_pread (h, out, 512, 0, 0));
  assert_int_equal (longest_asked (stats, "read"), 7 * MSEC);
  assert_done (write_at (0));
  assert_int_equal (longest_asked (stats, "write"), 5 * MSEC);
  /* What fails is late as well. */
  begin = monotonic_ns ();
  assert_refused (EIO, nbd_flush (h, 0));
  assert_true (monotonic_ns () - begin >= 30 * MSEC);
}

/* Any distribution, drawn for each request. */
static void
delay_by_distribution (void **state)
{
  unsigned i;

  (void) state;
  SERVE ("1M", "seed=1", "fault=op=read delay=uniform:2ms-4ms");
  for (i = 0; i < 20; i++)
    assert_done (nbd_pread (h, out, 512, 0, 0));
  assert_in_range (longest_asked (stats, "read"), 3 * MSEC, 4 * MSEC);
  assert_change_refused (config, "fault=delay=seek:1ms\n",
                         "fault=delay=seek:1ms: 'delay=seek:1ms': allowed is");
}

/* It only counts. */
static void
delay_of_nothing (void **state)
{
  (void) state;
  SERVE ("1M", "fault=op=read delay=0");
  assert_done (nbd_pread (h, out, 512, 0, 0));
  assert_int_equal (longest_asked (stats, "read"), 0);
  assert_rule (stats, 1, 1, 1);
}

/*---------------------------------------------------------------------*/
/* corrupt= */

/* One bit of each block within the range, the same ones each time, and not in
 * what the device keeps.
 */
static void
flip_on_read (void **state)
{
  size_t i;

  (void) state;
  SERVE ("64M", "block-size=4K", "seed=1");
  assert_done (nbd_pwrite (h, buf, sizeof buf, 0, 0));
  set_rule ("op=read range=8K+16K corrupt=flip");
  assert_done (nbd_pread (h, out, sizeof out, 0, 0));
  for (i = 0; i < sizeof buf; i += BLOCK)
    assert_int_equal (count_flipped (out + i, buf + i, BLOCK),
                      i >= 8 * KIB && i < 24 * KIB);
  assert_reads (h, out, sizeof out, 0);
  assert_reads (h, out + 12 * KIB, BLOCK, 12 * KIB);
  assert_done (nbd_pwrite (h, buf, sizeof buf, 0, 0));
  assert_reads (h, out, sizeof out, 0);
  change_settings (config, "fault-delete=all\n");
  assert_reads (h, buf, sizeof buf, 0);
}

static void
flip_on_write (void **state)
{
  static uint8_t corrupted[sizeof buf];
  size_t i;

  (void) state;
  SERVE ("64M", "block-size=4K", "seed=1");
  set_rule ("op=write range=8K+16K corrupt=flip");
  assert_done (nbd_pwrite (h, buf, sizeof buf, 0, 0));
  assert_done (nbd_pread (h, corrupted, sizeof corrupted, 0, 0));
  for (i = 0; i < sizeof buf; i += BLOCK)
    assert_int_equal (count_flipped (corrupted + i, buf + i, BLOCK),
                      i >= 8 * KIB && i < 24 * KIB);
  change_settings (config, "fault-delete=all\n");
  assert_reads (h, corrupted, sizeof corrupted, 0);
  assert_done (nbd_pwrite (h, buf, sizeof buf, 0, 0));
  assert_reads (h, buf, sizeof buf, 0);
}

/* A rule for both, and neither undoes the other. */
static void
flip_on_both (void **state)
{
  (void) state;
  SERVE ("64M", "block-size=4K", "fault=corrupt=flip");
  assert_done (nbd_pwrite (h, buf, sizeof buf, 0, 0));
  assert_done (nbd_flush (h, 0));
  assert_done (nbd_pread (h, out, sizeof out, 0, 0));
  assert_int_equal (count_flipped (out, buf, sizeof buf),
                    2 * sizeof buf / BLOCK);
  assert_rule (stats, 1, 2, 2);
}

static void
zero_on_read (void **state)
{
  (void) state;
  SERVE ("64M", "block-size=4K");
  assert_done (nbd_pwrite (h, buf, sizeof buf, 0, 0));
  set_rule ("op=read range=8K+4K corrupt=zero");
  assert_reads (h, buf, 8 * KIB, 0);
  assert_reads_zero (h, BLOCK, 8 * KIB);
  assert_reads (h, buf, 8 * KIB, 12 * KIB);
  assert_done (nbd_pread (h, out, sizeof out, 0, 0));
  memset (other_buf, 0xaa, sizeof other_buf);
  memset (other_buf + 8 * KIB, 0, BLOCK);
  assert_memory_equal (out, other_buf, sizeof out);
  change_settings (config, "fault-delete=all\n");
  assert_reads (h, buf, sizeof buf, 0);
}

static void
zero_on_write (void **state)
{
  (void) state;
  SERVE ("64M", "block-size=4K");
  assert_done (nbd_pwrite (h, other_buf, sizeof other_buf, 0, 0));
  set_rule ("op=write range=8K+4K corrupt=zero");
  assert_reads (h, other_buf, sizeof other_buf, 0);
  assert_done (nbd_pwrite (h, buf, sizeof buf, 0, 0));
  change_settings (config, "fault-delete=all\n");
  assert_reads (h, buf, 8 * KIB, 0);
  assert_reads_zero (h, BLOCK, 8 * KIB);
  assert_reads (h, buf, 8 * KIB, 12 * KIB);
}

/* Acknowledged as a whole, though but a block of it lies in the range. */
static void
stale_on_write (void **state)
{
  (void) state;
  SERVE ("64M", "block-size=4K");
  assert_done (nbd_pwrite (h, buf, sizeof buf, 0, 0));
  set_rule ("op=write range=8K+4K corrupt=stale");
  assert_done (nbd_pwrite (h, other_buf, sizeof other_buf, 0, 0));
  assert_reads (h, buf, sizeof buf, 0);
  assert_done (nbd_pwrite (h, other_buf, 8 * KIB, 0, 0));
  assert_reads (h, other_buf, 8 * KIB, 0);
  assert_rule (stats, 1, 1, 1);
}

static void
stale_on_trim_and_zero (void **state)
{
  (void) state;
  SERVE ("64M");
  assert_done (nbd_pwrite (h, buf, sizeof buf, 0, 0));
  set_rule ("op=trim,zero corrupt=stale");
  assert_done (nbd_trim (h, BLOCK, 0, 0));
  assert_done (nbd_zero (h, BLOCK, BLOCK, 0));
  assert_done (nbd_zero (h, BLOCK, 2 * BLOCK, LIBNBD_CMD_FLAG_NO_HOLE));
  assert_reads (h, buf, sizeof buf, 0);
  assert_rule (stats, 1, 3, 3);
}

static void
stale_on_zone_commands (void **state)
{
  (void) state;
  SERVE_ZONED ("fault=op=zone corrupt=stale");
  assert_done (write_at (ZONE));
  assert_done (request (OP_ZONE));
  assert_int_equal (write_pointer (1), BLOCK);
  assert_reads (h, buf, BLOCK, ZONE);
  change_settings (config, "zones=reset\n");
  assert_int_equal (write_pointer (1), BLOCK);
  set_rule ("op=write corrupt=stale");
  assert_done (write_at (ZONE + BLOCK));
  assert_int_equal (write_pointer (1), BLOCK);
}

/* What such a flush promised is lost with the power. */
static void
stale_on_flush (void **state)
{
  (void) state;
  SERVE ("64M", "cache-size=1M", "fault=op=flush count=1 corrupt=stale");
  assert_done (write_at (0));
  assert_done (nbd_flush (h, 0));
  assert_stats_have (stats, "\"volatile\": 4096,");
  change_settings (config, "power=cut\nlose=all\n");
  change_settings (config, "power=on\n");
  assert_reads_zero (h, BLOCK, 0);
  assert_done (write_at (0));
  assert_done (nbd_flush (h, 0));
  change_settings (config, "power=cut\nlose=all\n");
  change_settings (config, "power=on\n");
  assert_reads (h, buf, BLOCK, 0);
}

/* A rule without op= is not for reads, and one for reads is refused. */
static void
stale_on_read (void **state)
{
  (void) state;
  SERVE_ZONED ("fault=corrupt=stale");
  assert_done (nbd_pread (h, out, 512, 0, 0));
  assert_rule (stats, 1, 0, 0);
  assert_done (write_at (0));
  assert_rule (stats, 1, 1, 1);
  assert_change_refused (config, "fault=op=read corrupt=stale\n",
                         "fault=op=read corrupt=stale: 'corrupt=stale': "
                         "allowed with it in op= is write, flush, trim, zero, "
                         "zone");
  assert_change_refused (config, "fault=op=flush corrupt=flip\n",
                         "fault=op=flush corrupt=flip: 'corrupt=flip': "
                         "allowed with it in op= is read, write");
  assert_change_refused (config, "fault=op=all corrupt=much\n",
                         "fault=op=all corrupt=much: 'corrupt=much': allowed ");
}

static const struct CMUnitTest tests[] = {
    CASE (error_EPERM),
    CASE (error_EIO),
    CASE (error_ENOMEM),
    CASE (error_EINVAL),
    CASE (error_ENOSPC),
    CASE (error_ESHUTDOWN),
    CASE (error_has_to_be_given),
    CASE (delay_of_each_operation),
    CASE (delay_adds_up),
    CASE (delay_by_distribution),
    CASE (delay_of_nothing),
    CASE (flip_on_read),
    CASE (flip_on_write),
    CASE (flip_on_both),
    CASE (zero_on_read),
    CASE (zero_on_write),
    CASE (stale_on_write),
    CASE (stale_on_trim_and_zero),
    CASE (stale_on_zone_commands),
    CASE (stale_on_flush),
    CASE (stale_on_read),
};

MAIN (tests)
