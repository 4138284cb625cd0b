/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Requests that wait, on a real server: which operation waits for what, how
 * many wait at once, and what ends a wait.  What was asked for is read from the
 * statistics, exactly; nothing here looks at a clock.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "client.h"

#define CONFIG_SIZE (64 * KIB)
#define STATS_SIZE MIB

/* For conditions: much longer than they take, and shorter than the waits. */
#define BOUND 60

/* To nullb0 and to two of its control exports. */
static struct nbd_handle *h, *config, *stats;

#define SERVE(...)                                                             \
  serve_with_control ((const char *const[]){__VA_ARGS__, NULL}, &h, &config,   \
                      &stats)

static char text[STATS_SIZE + 1];
static char block[512];

static const char *
read_text (struct nbd_handle *from, uint64_t size)
{
  assert_done (nbd_pread (from, text, size, 0, 0));
  text[size] = '\0';
  return text;
}

/* The number after WHAT, which comes somewhere after AFTER. */
static uint64_t
number (const char *after, const char *what)
{
  const char *at = strstr (text, after);

  if (at != NULL)
    at = strstr (at + strlen (after), what);
  if (at == NULL)
    fail_msg ("no '%s' and '%s' in: %.2000s", after, what, text);
  return strtoull (at + strlen (what), NULL, 10);
}

/* Send N reads, and do not wait for them. */
static void
send_reads (int n)
{
  static char buf[64][512];
  int i;

  assert_true (n <= 64);
  for (i = 0; i < n; i++)
    assert_done (nbd_aio_pread (h, buf[i], sizeof buf[i], 512 * i,
                                NBD_NULL_COMPLETION, 0));
}

static void
each_operation_has_its_own (void **state)
{
  (void) state;
  SERVE ("1G", "memory-backed=true", "latency=1us", "read-latency=20us",
         "write-latency=30us", "flush-latency=40us", "trim-latency=50us",
         "zero-latency=60us");
  assert_done (nbd_pread (h, block, sizeof block, 0, 0));
  assert_int_equal (longest_asked (stats, "read"), 20000);
  assert_int_equal (longest_asked (stats, "write"), 0);
  assert_done (nbd_pwrite (h, block, sizeof block, 0, LIBNBD_CMD_FLAG_FUA));
  assert_int_equal (longest_asked (stats, "write"), 30000);
  assert_int_equal (longest_asked (stats, "flush"), 0);
  assert_done (nbd_flush (h, 0));
  assert_int_equal (longest_asked (stats, "flush"), 40000);
  assert_done (nbd_trim (h, 4096, 0, 0));
  assert_int_equal (longest_asked (stats, "trim"), 50000);
  assert_int_equal (longest_asked (stats, "zero"), 0);
  assert_done (nbd_zero (h, 4096, 0, 0));
  assert_int_equal (longest_asked (stats, "zero"), 60000);
  assert_int_equal (longest_asked (stats, "read"), 20000);
  assert_int_equal (longest_asked (stats, "zone"), 0);
}

/* As many as there are threads, or as nullblk-serve allows, and the statistics
 * tell when they were too few.  Threads are counted when they come.
 */
static void
waits_side_by_side (void **state)
{
  (void) state;
  SERVE ("-t", "8", "1G", "latency=100s");
  send_reads (8);
  wait_for_depth (stats, 8);
  read_text (stats, STATS_SIZE);
  assert_int_equal (number ("queue_depth", "\"threads\": "), 8);
  assert_int_equal (number ("queue_depth", "\"saturated\": "),
                    defers_replies (stats) ? 1 : 8);
  terminate_server ();
}

/* Unless replies are deferred. */
static void
waits_in_order_when_started_serial (void **state)
{
  const char change[] = "latency=100s\n";
  bool deferred;

  (void) state;
  SERVE ("1G");
  assert_null (strstr (read_text (config, CONFIG_SIZE), "# note:"));
  assert_done (nbd_pwrite (config, change, strlen (change), 0, 0));
  send_reads (8);
  deferred = defers_replies (stats);
  wait_for_depth (stats, deferred ? 8 : 1);
  read_text (stats, STATS_SIZE);
  assert_int_equal (number ("queue_depth", "\"largest\": "), deferred ? 8 : 1);
  assert_non_null (strstr (text, "\"parallel\": false"));
  assert_int_equal (
      strstr (read_text (config, CONFIG_SIZE),
              "# note: requests of a connection wait one after") == NULL,
      deferred);
  terminate_server ();
}

static void
waits_side_by_side_as_null_blk (void **state)
{
  (void) state;
  SERVE ("1G", "irqmode=2", "completion_nsec=1000");
  read_text (stats, STATS_SIZE);
  if (!defers_replies (stats))
    assert_non_null (strstr (text, "\"parallel\": true"));
}

static void
waits_side_by_side_when_planned (void **state)
{
  const char change[] = "latency=100s\n";

  (void) state;
  SERVE ("1G", "parallel=on");
  assert_done (nbd_pwrite (config, change, strlen (change), 0, 0));
  send_reads (8);
  wait_for_depth (stats, 8);
  assert_null (strstr (read_text (config, CONFIG_SIZE), "# note:"));
  terminate_server ();
}

/* With one thread, since nbdkit 1.32 may abort otherwise when a client goes. */
static void
a_wait_ends_with_its_connection (void **state)
{
  (void) state;
  SERVE ("-t", "1", "1G", "latency=100s");
  send_reads (3);
  wait_for_depth (stats, 1);
  abandon (h);
  wait_for_depth (stats, 0);
  read_text (stats, STATS_SIZE);
  assert_int_equal (number ("\n    \"read\": {", "\"ESHUTDOWN\": "), 1);
}

/* stop_server, which ends each case, is more patient than it need be, and less
 * than the wait.
 */
static void
a_wait_ends_with_the_server (void **state)
{
  (void) state;
  SERVE ("-t", "16", "1G", "latency=100s");
  send_reads (16);
  wait_for_depth (stats, 16);
  terminate_server ();
  while (nbd_aio_in_flight (h) > 0 && nbd_poll (h, BOUND * 1000) == 1)
    ;
  assert_int_equal (nbd_aio_in_flight (h), 0);
}

static const struct CMUnitTest tests[] = {
    CASE (each_operation_has_its_own),
    CASE (waits_side_by_side),
    CASE (waits_in_order_when_started_serial),
    CASE (waits_side_by_side_as_null_blk),
    CASE (waits_side_by_side_when_planned),
    CASE (a_wait_ends_with_its_connection),
    CASE (a_wait_ends_with_the_server),
};

MAIN (tests)
