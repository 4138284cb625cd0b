/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A device with a volatile write cache, and power that is cut: what each kind
 * of request makes durable, what requests get while power is off, and what
 * becomes of zones.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "device/device.h"
#include "one-device.h"
#include "unit.h"

#define ZONE 65536
#define BLOCK 4096

static uint8_t out[65536];

/* A wait cuts the power if it is told to. */
static bool cut_in_nap;

static int
nap (void *opaque, uint64_t nsec)
{
  (void) opaque;
  (void) nsec;
  if (cut_in_nap)
    device_cut_power (&devices->device[0], LOSE_ALL, 0);
  return 0;
}

static const struct wait_ops how = {.sleep_for = nap};

#define CREATE(...)                                                            \
  create_with ((const char *const[]){"size", "1M", "memory-backed", "1",       \
                                     "block-size", "4K", __VA_ARGS__, NULL},   \
               &how)
#define CREATE_ZONED(...)                                                      \
  CREATE ("cache-size", "1M", "zoned", "1", "zone-size", "64K",                \
          "zone-nr-conv", "1", "zone-reorder-wait", "0", __VA_ARGS__)

static int
setup (void **state)
{
  (void) state;
  devices = NULL;
  cut_in_nap = false;
  return 0;
}

static void
cut (enum lose lose)
{
  device_cut_power (d->device, lose, 0);
}

/* Cut the power and put it back on. */
static void
lose_power (enum lose lose)
{
  cut (lose);
  device_power_on (d->device);
}

static void
check_zone (uint64_t zone, enum zone_cond cond, uint64_t wp)
{
  struct zone_descriptor z;

  assert_int_equal (zones_read_table (d->device->zones, zone, &z, 1), 1);
  assert_int_equal (z.cond, cond);
  assert_int_equal (le64toh (z.wp), (zone * ZONE + wp) / 512);
}

/*---------------------------------------------------------------------*/

/* Of what is not flushed nothing is left, of what is all. */
static void
test_flush (void **state)
{
  struct connection *other;

  (void) state;
  CREATE ("cache-size", "1M");
  other = device_connect (d->device, NULL);
  put_block (0, 'a');
  assert_int_equal (write_with (other, BLOCK, BLOCK, 'b', false), 0);
  assert_int_equal (device_flush (d), 0); /* for both connections */
  put_block (0, 'c');
  assert_int_equal (device_zero (d, BLOCK, BLOCK, true, false), 0);
  put_block (2 * BLOCK, 'd');
  check_block (0, 'c');
  lose_power (LOSE_ALL);
  check_block (0, 'a');
  check_block (BLOCK, 'b');
  check_block (2 * BLOCK, 0);
}

/* Each change with FUA is durable by itself, and others are not. */
static void
test_fua (void **state)
{
  (void) state;
  CREATE ("cache-size", "1M");
  assert_int_equal (write_with (d, 0, 5 * BLOCK, 'a', false), 0);
  assert_int_equal (device_flush (d), 0);
  assert_int_equal (write_with (d, 0, BLOCK, 'b', true), 0);
  assert_int_equal (device_zero (d, BLOCK, BLOCK, true, true), 0);
  assert_int_equal (device_zero (d, BLOCK, 2 * BLOCK, false, true), 0);
  assert_int_equal (device_trim (d, BLOCK, 3 * BLOCK, true), 0);
  put_block (4 * BLOCK, 'c');
  lose_power (LOSE_ALL);
  check_block (0, 'b');
  check_block (BLOCK, 0);
  check_block (2 * BLOCK, 0);
  check_block (3 * BLOCK, 0);
  check_block (4 * BLOCK, 'a');

  /* Without FUA they are not. */
  assert_int_equal (device_zero (d, BLOCK, 0, true, false), 0);
  assert_int_equal (device_trim (d, BLOCK, 4 * BLOCK, false), 0);
  lose_power (LOSE_ALL);
  check_block (0, 'b');
  check_block (4 * BLOCK, 'a');
}

static void
test_eviction (void **state)
{
  (void) state;
  CREATE ("cache-size", "8K");
  put_block (0, 'a');
  put_block (BLOCK, 'b');
  put_block (2 * BLOCK, 'c');
  lose_power (LOSE_ALL);
  check_block (0, 'a');
  check_block (BLOCK, 0);
  check_block (2 * BLOCK, 0);
}

/* Two devices share the memory, and each makes room for the other. */
static void
test_eviction_for_another_device (void **state)
{
  struct connection *other;
  unsigned i;

  (void) state;
  CREATE ("cache-size", "1M", "devices", "2", "memory-limit", "64K");
  other = device_connect (&devices->device[1], NULL);
  for (i = 0; i < 2; i++)
    assert_int_equal (write_with (d, 0, 7 * BLOCK, 'a', false), 0);
  assert_int_equal (write_with (other, 0, 7 * BLOCK, 'b', false), 0);
  assert_int_equal (write_with (other, 0, 10 * BLOCK, 'b', false), -ENOSPC);
  assert_int_equal (write_with (d, 0, 9 * BLOCK, 'a', false), 0);
}

static void
test_lose_none (void **state)
{
  (void) state;
  CREATE ("cache-size", "1M");
  put_block (0, 'a');
  lose_power (LOSE_NONE);
  check_block (0, 'a');
}

static void
test_without_cache (void **state)
{
  (void) state;
  CREATE ("cache-size", "0");
  put_block (0, 'a');
  lose_power (LOSE_ALL);
  check_block (0, 'a');
}

/* A device's seed and its cuts decide, nothing else. */
static void
test_random_loss_by_seed (void **state)
{
  uint8_t kept[3][2][256];
  unsigned run, round, i;

  (void) state;
  for (run = 0; run < 3; run++) {
    CREATE ("cache-size", "1M", "seed", run < 2 ? "1" : "2");
    for (round = 0; round < 2; round++) {
      for (i = 0; i < 256; i++)
        put_block (i * BLOCK, 'a' + round);
      lose_power (LOSE_RANDOM);
      for (i = 0; i < 256; i++) {
        assert_int_equal (device_read (d, out, BLOCK, i * BLOCK), 0);
        kept[run][round][i] = out[0];
      }
    }
    devices_destroy (devices);
  }
  devices = NULL;
  assert_memory_equal (kept[0], kept[1], sizeof kept[0]);
  assert_memory_not_equal (kept[0], kept[2], sizeof kept[0]);
}

/* Everything, and then nothing any more. */
static void
test_off (void **state)
{
  enum extent extent;
  uint64_t end;

  (void) state;
  CREATE_ZONED ("read-only", "0");
  cut (LOSE_ALL);
  assert_int_equal (device_read (d, out, BLOCK, 0), -ESHUTDOWN);
  assert_int_equal (write_with (d, 0, BLOCK, 'a', false), -ESHUTDOWN);
  assert_int_equal (device_zero (d, BLOCK, 0, true, false), -ESHUTDOWN);
  assert_int_equal (device_trim (d, BLOCK, 0, false), -ESHUTDOWN);
  assert_int_equal (device_flush (d), -ESHUTDOWN);
  assert_int_equal (device_cache (d, BLOCK, 0), -ESHUTDOWN);
  assert_int_equal (device_extent (d, BLOCK, 0, &extent, &end), -ESHUTDOWN);
  assert_int_equal (command_zone (1, ZONE_COND_FULL), -ESHUTDOWN);
  device_power_on (d->device);
  check_block (0, 0);
  check_zone (1, ZONE_COND_EMPTY, 0);
}

static void
test_off_in_null_mode (void **state)
{
  (void) state;
  create_with ((const char *const[]){"cache-size", "1M", NULL}, &how);
  cut (LOSE_RANDOM);
  assert_int_equal (device_read (d, out, 512, 0), -ESHUTDOWN);
  device_power_on (d->device);
  assert_int_equal (device_read (d, out, 512, 0), 0);
  device_cut_power_after (d->device, 1, LOSE_RANDOM, 1);
  assert_int_equal (device_write (d, out, 512, 0, false), -ESHUTDOWN);
  assert_int_equal (device_flush (d), -ESHUTDOWN);
}

static unsigned disconnects;

static void
disconnect (void)
{
  disconnects++;
}

static void
use_power_off_reply (unsigned what)
{
  struct settings_version *now = device_hold_settings (d->device);
  struct settings_version *set = settings_version_new (&now->s);

  set->s.power_off_reply = what;
  device_install (d->device, set);
  device_drop_settings (d->device, now);
}

/* Who has a request meanwhile is dropped, whatever it is, but for those that
 * control the device.
 */
static void
test_off_disconnects (void **state)
{
  enum extent extent;
  struct message why;
  uint64_t end;

  (void) state;
  CREATE_ZONED ("power-off-reply", "disconnect", "latency", "100ms");
  assert_int_equal (
      devices_check_power_off_reply (devices, &devices->settings, &why),
      -EINVAL);
  assert_string_equal (why.text,
                       "power-off-reply=disconnect: this plugin cannot "
                       "disconnect clients: it was built with nbdkit before "
                       "1.34");
  devices->front_end.disconnect = disconnect;
  assert_int_equal (
      devices_check_power_off_reply (devices, &devices->settings, &why), 0);

  disconnects = 0;
  put_block (0, 'a');
  assert_int_equal (disconnects, 0);
  cut_in_nap = true;
  assert_int_equal (write_with (d, 0, BLOCK, 'b', false), -ESHUTDOWN);
  assert_int_equal (disconnects, 1);
  assert_int_equal (device_read (d, out, BLOCK, 0), -ESHUTDOWN);
  assert_int_equal (disconnects, 2);
  assert_int_equal (device_flush (d), -ESHUTDOWN);
  assert_int_equal (disconnects, 3);
  assert_int_equal (device_cache (d, BLOCK, 0), -ESHUTDOWN);
  assert_int_equal (disconnects, 4);
  assert_int_equal (device_extent (d, BLOCK, 0, &extent, &end), -ESHUTDOWN);
  assert_int_equal (disconnects, 5);

  use_power_off_reply (POWER_OFF_REPLY_ERROR);
  assert_int_equal (device_read (d, out, BLOCK, 0), -ESHUTDOWN);
  assert_int_equal (device_cache (d, BLOCK, 0), -ESHUTDOWN);
  assert_int_equal (disconnects, 5);
  use_power_off_reply (POWER_OFF_REPLY_DISCONNECT);
  assert_int_equal (device_trim (d, BLOCK, 0, false), -ESHUTDOWN);
  assert_int_equal (disconnects, 6);
  cut_in_nap = false;
  device_power_on (d->device);
  put_block (0, 'c');
  check_block (0, 'c');
  assert_int_equal (disconnects, 6);
}

/* Power goes while a request waits: its answer is no answer, even if power is
 * back.
 */
static void
test_cut_under_a_request (void **state)
{
  (void) state;
  CREATE ("cache-size", "1M", "latency", "100ms");
  cut_in_nap = true;
  assert_int_equal (write_with (d, 0, BLOCK, 'a', false), -ESHUTDOWN);
  assert_int_equal (counted_by (d)->op[OP_WRITE].errors[ERROR_ESHUTDOWN], 1);
  cut_in_nap = false;
  device_power_on (d->device);
  check_block (0, 0);
}

/* As long as blocks have not drained they are volatile. */
static void
test_buffer (void **state)
{
  struct durability_status status;
  unsigned i;

  (void) state;
  CREATE ("cache-size", "1M", "buffer-size", "16K", "drain-latency", "100s");
  for (i = 0; i < 4; i++)
    put_block (i * BLOCK, 'a');
  device_power_status (d->device, &status);
  assert_int_equal (status.volatile_bytes, 4 * BLOCK);
  lose_power (LOSE_ALL);
  for (i = 0; i < 4; i++)
    check_block (i * BLOCK, 0);
  put_block (0, 'b'); /* the buffer is empty again */
  check_block (0, 'b');
}

/* What has drained is not lost. */
static void
test_drained (void **state)
{
  struct durability_status status;

  (void) state;
  CREATE ("cache-size", "1M", "buffer-size", "16K", "drain-latency", "1us");
  put_block (0, 'a');
  do
    device_power_status (d->device, &status);
  while (status.volatile_bytes != 0);
  lose_power (LOSE_ALL);
  check_block (0, 'a');
}

static void
test_plp (void **state)
{
  (void) state;
  CREATE ("cache-size", "1M", "plp", "true");
  put_block (0, 'a');
  lose_power (LOSE_ALL);
  check_block (0, 'a');
}

static void
test_cut_after (void **state)
{
  (void) state;
  CREATE ("cache-size", "1M");
  device_cut_power_after (d->device, 3, LOSE_ALL, 0);
  put_block (0, 'a');
  assert_int_equal (device_trim (d, BLOCK, BLOCK, false), 0);
  assert_int_equal (device_flush (d), 0);
  assert_int_equal (device_zero (d, BLOCK, BLOCK, true, false), 0);
  assert_int_equal (write_with (d, 2 * BLOCK, BLOCK, 'c', true), -ESHUTDOWN);
  assert_int_equal (device_read (d, out, BLOCK, 0), -ESHUTDOWN);
  device_power_on (d->device);
  check_block (0, 'a');
  check_block (2 * BLOCK, 0);
  device_cut_power_after (d->device, 1, LOSE_ALL, 0);
  device_cut_power_after (d->device, 0, LOSE_ALL, 0);
  put_block (0, 'b');
}

/* A flush that lies is acknowledged, and that is all: what shows that a test of
 * durability can fail.
 */
static void
test_flush_that_lies (void **state)
{
  (void) state;
  CREATE ("cache-size", "1M", "fault", "op=flush corrupt=stale");
  put_block (0, 'a');
  assert_int_equal (device_flush (d), 0);
  lose_power (LOSE_ALL);
  check_block (0, 0);
}

/* FUA takes a flush as well, where there is a cache. */
static void
test_latency_of_fua (void **state)
{
  (void) state;
  CREATE ("cache-size", "1M", "write-latency", "1us", "flush-latency", "5us");
  assert_int_equal (write_with (d, 0, BLOCK, 'a', false), 0);
  assert_int_equal (counted_by (d)->op[OP_WRITE].asked.longest, 1000);
  assert_int_equal (write_with (d, 0, BLOCK, 'a', true), 0);
  assert_int_equal (counted_by (d)->op[OP_WRITE].asked.longest, 6000);
  devices_destroy (devices);
  CREATE ("write-latency", "1us", "flush-latency", "5us");
  assert_int_equal (write_with (d, 0, BLOCK, 'a', true), 0);
  assert_int_equal (counted_by (d)->op[OP_WRITE].asked.longest, 1000);
}

/*---------------------------------------------------------------------*/
/* Zones */

/* The write pointer goes back to what a flush or FUA has promised, and no zone
 * is open.
 */
static void
test_zone_falls_back (void **state)
{
  (void) state;
  CREATE_ZONED ("seed", "1");
  put_block (ZONE, 'a');
  assert_int_equal (device_flush (d), 0);
  put_block (ZONE + BLOCK, 'b');
  put_block (2 * ZONE, 'c');
  assert_int_equal (write_with (d, 3 * ZONE, BLOCK, 'd', false), 0);
  assert_int_equal (write_with (d, 3 * ZONE + BLOCK, BLOCK, 'e', true), 0);
  assert_int_equal (write_with (d, 3 * ZONE + 2 * BLOCK, BLOCK, 'f', false), 0);
  lose_power (LOSE_ALL);
  check_zone (1, ZONE_COND_CLOSED, BLOCK);
  check_zone (2, ZONE_COND_EMPTY, 0);
  check_zone (3, ZONE_COND_CLOSED, 2 * BLOCK);
  check_block (ZONE, 'a');
  check_block (ZONE + BLOCK, 0);
  check_block (3 * ZONE, 'd');
  check_block (3 * ZONE + BLOCK, 'e');
  check_block (3 * ZONE + 2 * BLOCK, 0);
  put_block (ZONE + BLOCK, 'B');
}

static void
test_full_zone_falls_back (void **state)
{
  (void) state;
  CREATE_ZONED ("seed", "1");
  assert_int_equal (write_with (d, ZONE, ZONE, 'a', false), 0);
  put_block (2 * ZONE, 'b');
  put_block (3 * ZONE, 'd');
  assert_int_equal (device_flush (d), 0);
  assert_int_equal (command_zone (3, ZONE_COND_FULL), 0);
  put_block (2 * ZONE + BLOCK, 'c');
  assert_int_equal (command_zone (2, ZONE_COND_FULL), 0);
  lose_power (LOSE_ALL);
  check_zone (1, ZONE_COND_FULL, ZONE); /* the flush */
  check_zone (2, ZONE_COND_CLOSED, BLOCK);
  check_zone (3, ZONE_COND_FULL, ZONE);
}

static void
test_reset_stays (void **state)
{
  (void) state;
  CREATE_ZONED ("seed", "1");
  put_block (ZONE, 'a');
  assert_int_equal (device_flush (d), 0);
  assert_int_equal (command_zone (1, ZONE_COND_EMPTY), 0);
  put_block (2 * ZONE, 'b');
  assert_int_equal (device_flush (d), 0);
  assert_int_equal (device_trim (d, ZONE, 2 * ZONE, false), 0);
  lose_power (LOSE_ALL);
  check_zone (1, ZONE_COND_EMPTY, 0);
  check_zone (2, ZONE_COND_EMPTY, 0);
  check_block (ZONE, 0);
  assert_int_equal (command_zone (1, ZONE_COND_FULL), 0);
  check_block (ZONE, 0);
}

/* Conventional zones are as a device without zones. */
static void
test_conventional (void **state)
{
  (void) state;
  CREATE_ZONED ("seed", "1");
  put_block (0, 'a');
  put_block (BLOCK, 'b');
  assert_int_equal (device_flush (d), 0);
  put_block (0, 'c');
  assert_int_equal (device_trim (d, BLOCK, BLOCK, false), 0);
  lose_power (LOSE_ALL);
  check_block (0, 'a');
  check_block (BLOCK, 'b');
  assert_int_equal (device_trim (d, BLOCK, BLOCK, true), 0);
  lose_power (LOSE_ALL);
  check_block (BLOCK, 0);
}

/* The write that power was cut at is a prefix, or not there at all; what is
 * above the write pointer is never seen.
 */
static void
test_torn_in_zone (void **state)
{
  unsigned i, kept, torn = 0;

  (void) state;
  CREATE_ZONED ("seed", "5");
  for (i = 0; i < 64; i++) {
    put_block (ZONE, 'a');
    assert_int_equal (device_flush (d), 0);
    device_cut_power_after (d->device, 1, LOSE_RANDOM, 0);
    assert_int_equal (write_with (d, ZONE + BLOCK, 15 * BLOCK, 'b', false),
                      -ESHUTDOWN);
    device_power_on (d->device);
    check_block (ZONE, 'a');
    for (kept = 1; kept < 16; kept++) {
      assert_int_equal (device_read (d, out, BLOCK, ZONE + kept * BLOCK), 0);
      if (out[0] == 0)
        break;
      assert_int_equal (out[0], 'b');
    }
    check_zone (1, kept == 16 ? ZONE_COND_FULL : ZONE_COND_CLOSED,
                kept * BLOCK);
    torn += kept > 1 && kept < 16;
    assert_int_equal (command_zone (1, ZONE_COND_FULL), 0);
    for (; kept < 16; kept++)
      check_block (ZONE + kept * BLOCK, 0);
    assert_int_equal (command_zone (1, ZONE_COND_EMPTY), 0);
  }
  assert_in_range (torn, 10, 63);
}

/* A request that hangs need not go on after a cut: its rule is still there. */
static void
test_hang_ends_with_power (void **state)
{
  (void) state;
  CREATE ("fault", "op=write hang");
  cut_in_nap = true;
  assert_int_equal (write_with (d, 0, BLOCK, 'a', false), -ESHUTDOWN);
  cut_in_nap = false;
  device_power_on (&devices->device[0]);
  check_block (0, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, setup, destroy_devices)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_flush),
      TEST (test_fua),
      TEST (test_eviction),
      TEST (test_eviction_for_another_device),
      TEST (test_lose_none),
      TEST (test_without_cache),
      TEST (test_random_loss_by_seed),
      TEST (test_off),
      TEST (test_off_in_null_mode),
      TEST (test_off_disconnects),
      TEST (test_cut_under_a_request),
      TEST (test_buffer),
      TEST (test_drained),
      TEST (test_plp),
      TEST (test_cut_after),
      TEST (test_flush_that_lies),
      TEST (test_latency_of_fua),
      TEST (test_zone_falls_back),
      TEST (test_full_zone_falls_back),
      TEST (test_reset_stays),
      TEST (test_conventional),
      TEST (test_torn_in_zone),
      TEST (test_hang_ends_with_power),
  };

  return RUN_TESTS (tests);
}
