/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The plugin's side of batched socket I/O (plugin/batched.h), with a library of
 * ours in the place of libnullblk-batch.so: this program shows the symbol that
 * the plugin looks for.
 */

#include <config.h>

#include "devices.h"

#include "../../plugin/batch-functions.h"
#include "../../plugin/batched.h"

/* The library, and what it was told last. */
static unsigned depth;
static bool serial, timed;

static void
set_serial (bool value)
{
  serial = value;
}

static void
set_timed (bool value)
{
  timed = value;
}

static unsigned
tell_depth (void)
{
  return depth;
}

static uint64_t
arrival (void)
{
  return 1;
}

static bool
still_zero (const void *buf, size_t n)
{
  (void) buf;
  (void) n;
  return false;
}

static bool
defer (uint64_t deadline, uint64_t spin, batch_due *due, const void *request,
       size_t size)
{
  (void) deadline;
  (void) spin;
  (void) due;
  (void) request;
  (void) size;
  return false;
}

static void
defer_cancel (void)
{
}

extern struct batch_functions nullblk_batch_functions;
struct batch_functions nullblk_batch_functions;

static int
set_up (void **state)
{
  (void) state;
  nullblk_batch_functions =
      (struct batch_functions){.version = BATCH_VERSION,
                               .set_serial = set_serial,
                               .set_timed = set_timed,
                               .depth = tell_depth,
                               .arrival = arrival,
                               .still_zero = still_zero,
                               .defer = defer,
                               .defer_cancel = defer_cancel};
  depth = 64;
  serial = timed = false;
  return 0;
}

/* Devices, as the plugin makes them where requests are not served by threads.
 */
static struct devices *
start (const char *const *given)
{
  static const struct nap no_nap;
  struct devices *d;
  struct message why;

  assert_int_equal (make_devices (&d, given, &no_nap, &why), 0);
  batched_find (d);
  batched_tell (d);
  return d;
}

static void
test_found (void **state)
{
  struct devices *d;

  (void) state;
  d = start ((const char *const[]){"size", "1M", NULL});
  assert_true (d->batch);
  assert_ptr_equal (d->arrival, arrival);
  assert_ptr_equal (d->still_zero, still_zero);
  assert_ptr_equal (d->defer, defer);
  assert_int_equal (d->depth, 64);
  assert_true (serial && d->holds_replies);
  assert_false (timed || d->is_timed);
  devices_destroy (d);

  d = start ((const char *const[]){"size", "1M", "latency", "1ms", NULL});
  assert_true (serial && timed && d->is_timed);
  devices_destroy (d);

  depth = 0;
  d = start ((const char *const[]){"size", "1M", "latency", "1ms", NULL});
  assert_null (d->defer);
  assert_true (!serial && timed);
  devices_destroy (d);
}

/* A library that means other things by these functions is left alone. */
static void
test_other_version (void **state)
{
  const uint32_t versions[] = {0, BATCH_VERSION - 1, BATCH_VERSION + 1,
                               UINT32_MAX};
  struct devices *d;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof versions / sizeof versions[0]; i++) {
    nullblk_batch_functions = (struct batch_functions){.version = versions[i]};
    assert_int_equal (batched_depth (), 0);
    d = start ((const char *const[]){"size", "1M", NULL});
    assert_false (d->batch);
    assert_null (d->arrival);
    assert_null (d->still_zero);
    assert_null (d->defer);
    assert_false (serial || d->holds_replies);
    batched_close ();
    devices_destroy (d);
  }
}

int
main (void)
{
#define CASE(f) cmocka_unit_test_setup (f, set_up)
  const struct CMUnitTest tests[] = {
      CASE (test_found),
      CASE (test_other_version),
  };

  return RUN_TESTS (tests);
}
