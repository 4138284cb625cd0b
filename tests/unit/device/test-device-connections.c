/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What connections hold, and what is left of them: little while they are open,
 * and what they have counted when they are closed.
 */

#include <config.h>

#include <malloc.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "control/control.h"
#include "devices.h"

#define CONNECTIONS 200
#define MAX_HELD UINT64_C (8192) /* by one */

static struct devices *devices;
static struct connection *connections[CONNECTIONS];

static int
set_up (void **state)
{
  static const char *const given[] = {"size", "1M", NULL};
  static const struct wait_ops nap;
  struct message why;

  (void) state;
  return make_devices (&devices, given, &nap, &why);
}

static int
tear_down (void **state)
{
  (void) state;
  devices_destroy (devices);
  return 0;
}

/* Bytes that are allocated; nothing under sanitizers.  Some of what was freed
 * counts, too: the C library keeps up to 7 pieces of a size.
 */
#define MAX_VERSIONS_KEPT (7 * MAX_HELD)

static uint64_t
held (void)
{
  const struct mallinfo2 info = mallinfo2 ();

  return info.uordblks + info.hblkhd;
}

static void
open_all (const char *export)
{
  unsigned i;

  for (i = 0; i < CONNECTIONS; i++)
    assert_int_equal (control_connect (devices, export, true, &connections[i]),
                      0);
}

static void
close_all (void)
{
  unsigned i;

  for (i = 0; i < CONNECTIONS; i++)
    device_disconnect (connections[i]);
}

/* As nbdkit does: in pieces, from the beginning to the end. */
static void
read_document (struct connection *c)
{
  const uint64_t size = control_size (c->control);
  static char buf[65536];
  uint64_t at;

  for (at = 0; at < size; at += sizeof buf)
    assert_int_equal (control_read (c, buf, sizeof buf, at), 0);
}

static void
use_data (struct connection *c)
{
  char buf[512];
  unsigned i;

  for (i = 0; i < 3000; i++)
    assert_int_equal (device_read (c, buf, sizeof buf, 512 * (i % 100)), 0);
}

static void
check_held (const char *export, void (*use) (struct connection *))
{
  uint64_t before, open, after;
  unsigned i;

  /* What there is once, whatever comes. */
  open_all (export);
  use (connections[0]);
  close_all ();

  before = held ();
  open_all (export);
  for (i = 0; i < CONNECTIONS; i++)
    use (connections[i]);
  open = held ();
  close_all ();
  after = held ();
  assert_true (open <= before + CONNECTIONS * MAX_HELD);
  assert_true (after <= before + MAX_VERSIONS_KEPT);
  assert_null (devices->device[0].connections);
}

static void
test_data (void **state)
{
  (void) state;
  check_held ("nullb0", use_data);
}

static void
test_stats (void **state)
{
  (void) state;
  check_held ("nullb0.stats", read_document);
}

static void
test_config (void **state)
{
  (void) state;
  check_held ("nullb0.config", read_document);
}

/* How much of the device's statistics is there. */
static unsigned
pages_of_stats (void)
{
  const size_t page = (size_t) sysconf (_SC_PAGESIZE);
  unsigned char there[sizeof (struct stats) / 4096 + 1];
  unsigned r = 0;
  size_t i;

  assert_int_equal (
      mincore (devices->device[0].stats, sizeof (struct stats), there), 0);
  for (i = 0; i < (sizeof (struct stats) + page - 1) / page; i++)
    r += there[i] & 1;
  return r;
}

/* Who only connects, as for a list, leaves nothing; who reads, what he counts
 * in.
 */
static void
test_stats_are_sparse (void **state)
{
  (void) state;
  open_all ("nullb0");
  close_all ();
  assert_int_equal (pages_of_stats (), 0);
  open_all ("nullb0");
  use_data (connections[0]);
  close_all ();
  assert_in_range (pages_of_stats (), 1, sizeof (struct histogram) / 4096 + 2);
}

/* Also of those that close in the middle of others, and in any order. */
static void
test_counts_stay (void **state)
{
  struct device *d = &devices->device[0];
  static struct device_stats sum;
  uint64_t random = new_seed ("order"), requests = 0;
  struct connection *c;
  char buf[512];
  unsigned i, k, open = 0;

  (void) state;
  for (i = 0; i < 5000; i++) {
    k = (unsigned) random_below (&random, 20);
    c = connections[k];
    if (i < 20) {
      connections[i] = device_connect (d, NULL);
      assert_non_null (connections[i]);
      open++;
    }
    else if (random_below (&random, 4) == 0 && c != NULL) {
      device_disconnect (c);
      connections[k] = NULL;
      open--;
    }
    else if (c == NULL) {
      connections[k] = device_connect (d, NULL);
      open++;
    }
    else {
      assert_int_equal (device_read (c, buf, 512, 0), 0);
      requests++;
    }
  }
  sum = (struct device_stats){0};
  device_stats (d, &sum);
  assert_int_equal (sum.connections, open);
  assert_int_equal (sum.in_flight_most, 1);
  assert_int_equal (histogram_total (&sum.stats.op[OP_READ].served), requests);
  assert_int_equal (sum.stats.op[OP_READ].bytes, 512 * requests);
  for (k = 0; k < 20; k++) {
    if (connections[k] != NULL)
      device_disconnect (connections[k]);
  }
  device_stats (d, &sum);
  assert_int_equal (sum.connections, 0);
  assert_int_equal (sum.in_flight_most, 1);
  assert_int_equal (histogram_total (&sum.stats.op[OP_READ].served), requests);
  device_reset_stats (d);
  device_stats (d, &sum);
  assert_int_equal (sum.in_flight_most, 0);
  assert_int_equal (histogram_total (&sum.stats.op[OP_READ].served), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, set_up, tear_down)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_data),        TEST (test_stats),
      TEST (test_config),      TEST (test_stats_are_sparse),
      TEST (test_counts_stay),
  };

  return RUN_TESTS (tests);
}
