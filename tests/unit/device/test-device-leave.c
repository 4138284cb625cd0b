/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Requests of a device that are cancelled, and commands that are not done: what
 * lanes and limits had for them is there for those that come next.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "device/device.h"
#include "one-device.h"
#include "unit.h"

#define MIB (UINT64_C (1) << 20)

static uint8_t out[512];

#define CREATE(...)                                                            \
  create_with ((const char *const[]){__VA_ARGS__, NULL}, &noted)

static int
setup (void **state)
{
  nap_result = -ESHUTDOWN;
  return forget_devices (state);
}

/* What is cancelled keeps nobody waiting. */
static void
test_limits_forget_who_left (void **state)
{
  const struct throttle *throttle;

  (void) state;
  CREATE ("mbps", "1", "iops", "1000");
  throttle = &devices->device[0].latency.throttle;
  assert_int_equal (device_zero (d, 256 * MIB, 0, true, false), -ESHUTDOWN);
  assert_true (throttle->flows[FLOW_WRITES].bookings.front <= clock_now ());
  assert_int_equal (device_read (d, out, 512, 0), 0);
}

/* When the only lane is free, in seconds from now. */
static uint64_t
lane_is_busy_for (void)
{
  const struct lanes *lanes = &devices->device[0].latency.lanes;
  const uint64_t now = clock_now ();

  assert_int_equal (lanes->count, 1);
  return lanes->free_at[0] > now ? (lanes->free_at[0] - now) / NSEC_PER_SEC + 1
                                 : 0;
}

/* The first is in service, the others never were. */
static void
test_lanes_forget_who_left (void **state)
{
  int i;

  (void) state;
  CREATE ("latency", "10s", "lanes", "1");
  for (i = 0; i < 64; i++)
    assert_int_equal (device_read (d, out, 512, 0), -ESHUTDOWN);
  assert_in_range (lane_is_busy_for (), 1, 10);
}

/* So with each command of one request. */
static void
test_lanes_forget_commands (void **state)
{
  struct zone_descriptor commands[63];
  uint64_t done;

  (void) state;
  CREATE ("size", "1M", "zoned", "1", "zone-size", "4K", "lanes", "1",
          "zone-latency", "1s", "iops", "2");
  memset (commands, 0, sizeof commands);
  for (done = 0; done < 63; done++)
    commands[done].cond = ZONE_COND_EMPTY;
  assert_int_equal (device_zone_commands (d, 0, commands, 63, &done),
                    -ESHUTDOWN);
  assert_int_equal (done, 63);
  assert_in_range (lane_is_busy_for (), 1, 1);
  assert_true (
      devices->device[0].latency.throttle.flows[FLOW_TRIMS].bookings.front <=
      clock_now ());
}

/* Nobody waits for those that were in service when power was cut, or when there
 * were other lanes.
 */
static void
test_lanes_begin_anew (void **state)
{
  struct settings_version *now, *set;
  struct device *device;

  (void) state;
  CREATE ("latency", "10s", "lanes", "1", "iops", "1");
  device = &devices->device[0];
  assert_int_equal (device_read (d, out, 512, 0), -ESHUTDOWN);
  assert_in_range (lane_is_busy_for (), 1, 10);
  device_cut_power (device, LOSE_ALL, 0);
  device_power_on (device);
  assert_int_equal (device->latency.lanes.count, 0);
  assert_int_equal (
      device->latency.throttle.limits.operations_per_sec[THROTTLE_ALL], 0);

  assert_int_equal (device_read (d, out, 512, 0), -ESHUTDOWN);
  now = device_hold_settings (device);
  pthread_mutex_lock (&devices->change_lock);
  device_install (device, settings_version_new (&now->s)); /* the same */
  assert_in_range (lane_is_busy_for (), 1, 10);
  set = settings_version_new (&now->s);
  set->s.latency.lanes = 0;
  device_install (device, set);
  device_install (device, settings_version_new (&now->s));
  pthread_mutex_unlock (&devices->change_lock);
  device_drop_settings (device, now);
  assert_int_equal (device->latency.lanes.count, 0);
}

/* Commands that are not done take no time: else this would take minutes. */
static void
test_time_of_commands (void **state)
{
  struct zone_descriptor commands[64];
  uint64_t done;

  (void) state;
  CREATE ("size", "1M", "zoned", "1", "zone-size", "4K", "lanes", "1",
          "zone-latency", "5ms");
  memset (commands, 0, sizeof commands);
  commands[0].cond = ZONE_COND_EMPTY;
  commands[1].cond = ZONE_COND_CLOSED;
  nap_result = 0;
  assert_int_equal (device_zone_commands (d, 0, commands, 64, &done), -EIO);
  assert_int_equal (done, 1);
  assert_true (devices->device[0].latency.lanes.free_at[0] <
               clock_now () + 5 * NSEC_PER_MSEC);
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, setup, destroy_devices)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_limits_forget_who_left), TEST (test_lanes_forget_who_left),
      TEST (test_lanes_forget_commands),  TEST (test_lanes_begin_anew),
      TEST (test_time_of_commands),
  };

  return RUN_TESTS (tests);
}
