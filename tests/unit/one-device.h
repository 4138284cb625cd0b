/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * For tests that have one device at a time: how a case begins and ends, and
 * what most do with the device.
 */

#ifndef NULLBLK_TESTS_ONE_DEVICE_H
#define NULLBLK_TESTS_ONE_DEVICE_H

#include <string.h>

#include "devices.h"

/* The devices of the case, NULL if it has made none, and a connection to
 * nullb0.
 */
static struct devices *devices;
static struct connection *d;

/* `noted` is for connections whose long waits, those of more than 9 ms, take no
 * time and return nap_result; `napped` is how long the last would have been.
 */
static uint64_t napped;
static int nap_result;

static inline int
note_nap (void *opaque, uint64_t nsec)
{
  (void) opaque;
  napped = nsec;
  return nap_result;
}

static const struct wait_ops noted = {.sleep_for = note_nap};

static inline int
forget_devices (void **state)
{
  (void) state;
  devices = NULL;
  return 0;
}

static inline int
destroy_devices (void **state)
{
  (void) state;
  if (devices != NULL)
    devices_destroy (devices);
  return 0;
}

/* Make devices by make_devices, begin their logs, and make the connection. */
static inline void
create_with (const char *const *given, const struct wait_ops *wait)
{
  struct message why;

  if (make_devices (&devices, given, wait, &why) != 0)
    fail_msg ("%s", why.text);
  assert_int_equal (devices_open_logs (devices, &why), 0);
  assert_int_equal (devices_start_logs (devices, &why), 0);
  d = device_connect (&devices->device[0], NULL);
  assert_non_null (d);
}

/* Write up to 128 KiB, each byte of which is BYTE. */
static inline int
write_with (struct connection *c, uint64_t offset, uint32_t count, char byte,
            bool fua)
{
  static _Thread_local char full[131072];

  memset (full, byte, count);
  return device_write (c, full, count, offset, fua);
}

/* Write a block of 4 KiB, each byte of which is BYTE, and check one. */
static inline void
put_block (uint64_t offset, char byte)
{
  assert_int_equal (write_with (d, offset, 4096, byte, false), 0);
}

static inline void
check_block (uint64_t offset, char byte)
{
  static _Thread_local char block[4096];

  assert_int_equal (device_read (d, block, sizeof block, offset), 0);
  assert_int_equal (block[0], byte);
  assert_int_equal (block[sizeof block - 1], byte);
}

/* Give the connection's device one more fault rule. */
static inline void
add_rule (const char *text)
{
  struct fault_rule *rule;
  struct message why;

  if (fault_rule_new (text, &rule, &why) != 0 ||
      faults_change (&d->device->faults, NULL, rule, clock_now (), &why) != 0)
    fail_msg ("'%s': %s", text, why.text);
}

static inline void
delete_rules (void)
{
  struct message why;

  assert_int_equal (faults_change (&d->device->faults, "all", NULL, 0, &why),
                    0);
}

static inline int
command_zone (uint64_t zone, enum zone_cond cond)
{
  const struct zone_descriptor descriptor = {.cond = cond};
  uint64_t done;

  return device_zone_commands (d, zone, &descriptor, 1, &done);
}

#endif /* NULLBLK_TESTS_ONE_DEVICE_H */
