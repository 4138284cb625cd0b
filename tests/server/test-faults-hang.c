/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Fault rules on a real server that leave a client without an answer: those
 * that hang, until they are deleted, the client goes or the server ends, and
 * those that disconnect.
 */

#include <config.h>

#include <errno.h>

#include "faulty.h"

/* For conditions, in ms: much longer than they take. */
#define BOUND 60000

/*---------------------------------------------------------------------*/
/* hang */

static int64_t
send_write (uint64_t offset)
{
  const int64_t cookie =
      nbd_aio_pwrite (h, buf, BLOCK, offset, NBD_NULL_COMPLETION, 0);

  assert_true (cookie >= 0);
  return cookie;
}

/* Send one to the beginning of the device, and see it in service. */
static int64_t
hang_a_write (void)
{
  const int64_t cookie = send_write (0);

  wait_for_depth (stats, 1);
  return cookie;
}

/* Returns what the request did, 0 or -1. */
static int
wait_for (struct nbd_handle *from, int64_t cookie)
{
  int r;

  while ((r = nbd_aio_command_completed (from, cookie)) == 0)
    assert_true (nbd_poll (from, BOUND) == 1);
  return r == 1 ? 0 : -1;
}

static int64_t
send_request (enum operation op)
{
  static const struct zone_descriptor empty = {.cond = ZONE_COND_EMPTY};
  const nbd_completion_callback none = NBD_NULL_COMPLETION;

  switch (op) {
  case OP_READ:
    return nbd_aio_pread (h, out, BLOCK, 0, none, 0);
  case OP_WRITE:
    return send_write (0);
  case OP_FLUSH:
    return nbd_aio_flush (h, none, 0);
  case OP_TRIM:
    return nbd_aio_trim (h, BLOCK, 0, none, 0);
  case OP_ZERO:
    return nbd_aio_zero (h, BLOCK, 0, none, 0);
  default:
    return nbd_aio_pwrite (zones, &empty, sizeof empty, sizeof empty, none, 0);
  }
}

/* Every operation waits for its rule to be deleted, and goes on. */
static void
hang_of_each_operation (void **state)
{
  struct nbd_handle *from;
  unsigned op;
  int64_t cookie;

  (void) state;
  SERVE_ZONED ("fault=hang");
  for (op = 0; op < NR_OPERATIONS; op++) {
    from = op == OP_ZONE ? zones : h;
    set_rule ("name=h hang");
    cookie = send_request (op);
    assert_true (cookie >= 0);
    wait_for_depth (stats, 1);
    assert_int_equal (nbd_aio_command_completed (from, cookie), 0);
    change_settings (config, "fault-delete=h\n");
    assert_done (wait_for (from, cookie));
    wait_for_depth (stats, 0);
  }
}

/* Nothing is done before the rule is deleted, and all of it then; meanwhile
 * other requests of the same connection go on.
 */
static void
hang_until_deleted (void **state)
{
  struct nbd_handle *other;
  int64_t cookie;

  (void) state;
  SERVE ("64M", "fault=name=h op=write range=0+4K hang");
  other = connect_to ("");
  cookie = hang_a_write ();
  assert_reads_zero (other, BLOCK, 0);
  assert_done (write_at (MIB));
  assert_reads (h, buf, BLOCK, MIB);
  assert_int_equal (nbd_aio_command_completed (h, cookie), 0);
  change_settings (config, "fault-delete=h\n");
  assert_done (wait_for (h, cookie));
  assert_reads (other, buf, BLOCK, 0);
  assert_stats_have (stats, "\"faults\": [],");
}

/* All that hang must go; then what the other rules say counts. */
static void
hang_and_then_error (void **state)
{
  int64_t cookie;

  (void) state;
  SERVE ("64M", "fault=op=write error=EPERM", "fault=name=h op=write hang",
         "fault=name=g op=write hang");
  cookie = hang_a_write ();
  change_settings (config, "fault-delete=h\n");
  assert_int_equal (nbd_poll (h, 200), 0); /* nothing comes */
  change_settings (config, "fault-delete=g\n");
  assert_refused (EPERM, wait_for (h, cookie));
  assert_reads_zero (h, BLOCK, 0);
}

/* Neither count nor for ends it.  Should the machine be so slow that the window
 * is over before the request comes, once more.
 */
static void
hang_outlives_count_and_window (void **state)
{
  struct nbd_handle *other;
  int64_t cookie;
  unsigned tries;
  uint64_t end;

  (void) state;
  SERVE ("64M", "fault=op=write count=1 hang");
  other = connect_to ("");
  cookie = hang_a_write ();
  assert_stats_have (stats, "\"spent\": true}");
  assert_done (nbd_pwrite (other, buf, BLOCK, MIB, 0));
  assert_stats_have (stats, "\"queue_depth\": {\"now\": 1,");
  assert_int_equal (nbd_aio_command_completed (h, cookie), 0);
  change_settings (config, "fault-delete=1\n");
  assert_done (wait_for (h, cookie));

  for (tries = 0; tries < 100; tries++) {
    set_rule ("name=h op=write range=0+4K for=300ms hang");
    end = monotonic_ns () + 300 * MSEC;
    cookie = send_write (0);
    while (nbd_aio_command_completed (h, cookie) == 0 && monotonic_ns () < end)
      nbd_poll (h, 10);
    if (nbd_aio_command_completed (h, cookie) == 0)
      break;
  }
  assert_done (nbd_pwrite (other, buf, BLOCK, 0, 0)); /* the window is over */
  assert_stats_have (stats, "\"queue_depth\": {\"now\": 1,");
  change_settings (config, "fault-delete=h\n");
  assert_done (wait_for (h, cookie));
}

/* One thread: see NOTES in the man page. */
static void
hang_ends_with_the_connection (void **state)
{
  (void) state;
  SERVE ("-t", "1", "64M", "fault=op=write hang");
  hang_a_write ();
  abandon (h);
  wait_for_depth (stats, 0);
  assert_stats_have (stats, "\"errors\": {\"ESHUTDOWN\": 1}");
  h = connect_to ("");
  assert_reads_zero (h, BLOCK, 0);
}

/* A server that hangs ends all the same.  One thread, as before. */
static void
hang_ends_with_the_server (void **state)
{
  (void) state;
  SERVE ("-t", "1", "64M", "fault=op=write hang");
  hang_a_write ();
  terminate_server ();
}

/* As many rules as may hang or corrupt, but no more. */
static void
hang_of_too_many_rules (void **state)
{
  unsigned i;

  (void) state;
  SERVE ("64M");
  for (i = 0; i < 16; i++)
    change_settings (config, i % 2 == 0 ? "fault=op=trim hang\n"
                                        : "fault=op=write corrupt=flip\n");
  assert_change_refused (config, "fault=op=flush hang\n",
                         "fault: allowed are 16 rules with corrupt=flip, "
                         "corrupt=zero or hang on a device");
  change_settings (config, "fault-delete=3\nfault=op=flush corrupt=stale\n");
  change_settings (config, "fault=op=write corrupt=zero\n");
  assert_done (write_at (0));
  assert_reads_zero (h, BLOCK, 0);
}

/*---------------------------------------------------------------------*/
/* disconnect */

#if HAVE_DECL_NBDKIT_DISCONNECT

/* Only the client that is hit goes, without an answer, and its request was not
 * done.
 */
static void
disconnect_drops_the_client (void **state)
{
  struct nbd_handle *other;

  (void) state;
  SERVE ("64M", "fault=op=write range=0+4K count=1 disconnect");
  other = connect_to ("");
  assert_done (write_at (MIB));
  assert_refused (ENOTCONN, write_at (0));
  while (!nbd_aio_is_dead (h) && !nbd_aio_is_closed (h))
    assert_true (nbd_poll (h, BOUND) == 1);
  assert_reads_zero (other, BLOCK, 0);
  assert_reads (other, buf, BLOCK, MIB);
  assert_rule (stats, 1, 1, 1);
  abandon (h);
  h = connect_to ("");
  assert_done (write_at (0));
}

static void
disconnect_of_each_operation (void **state)
{
  unsigned op;

  (void) state;
  SERVE_ZONED ("fault=disconnect");
  for (op = 0; op < NR_OPERATIONS; op++) {
    assert_refused (ENOTCONN, request (op));
    assert_rule (stats, 1, op + 1, op + 1);
    abandon (op == OP_ZONE ? zones : h);
    if (op != OP_ZONE)
      h = connect_to ("");
  }
}

#else

/* A line says why; test-bad-parameters.sh has the command line. */
static void
disconnect_is_refused (void **state)
{
  (void) state;
  SERVE ("64M");
  assert_change_refused (config, "fault=op=write disconnect\n",
                         "fault=op=write disconnect: this plugin cannot "
                         "disconnect clients: it was built with nbdkit before "
                         "1.34\n");
  assert_stats_have (stats, "\"faults\": [],");
  assert_done (write_at (0));
}

#endif

static const struct CMUnitTest tests[] = {
    CASE (hang_of_each_operation),        CASE (hang_until_deleted),
    CASE (hang_and_then_error),           CASE (hang_outlives_count_and_window),
    CASE (hang_ends_with_the_connection), CASE (hang_ends_with_the_server),
    CASE (hang_of_too_many_rules),
#if HAVE_DECL_NBDKIT_DISCONNECT
    CASE (disconnect_drops_the_client),   CASE (disconnect_of_each_operation),
#else
    CASE (disconnect_is_refused),
#endif
};

MAIN (tests)
