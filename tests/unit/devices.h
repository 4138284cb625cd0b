/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Devices for tests, made as the plugin makes them.
 */

#ifndef NULLBLK_TESTS_DEVICES_H
#define NULLBLK_TESTS_DEVICES_H

#include <errno.h>

#include "device/device.h"
#include "unit.h"

/* The memory limit, in bytes. */
#define DEVICES_MEMORY (UINT64_C (512) << 20)

/* `cancels` is for connections whose long waits, those of more than 9 ms, are
 * cancelled ...
 */
static inline int
cancel (void *opaque, uint64_t nsec)
{
  (void) opaque;
  (void) nsec;
  return -ESHUTDOWN;
}

static const struct wait_ops cancels = {.sleep_for = cancel};

/* ... and `skips` for those whose long waits take no time. */
static inline int
pass_by (void *opaque, uint64_t nsec)
{
  (void) opaque;
  (void) nsec;
  return 0;
}

static const struct wait_ops skips = {.sleep_for = pass_by};

/* Make devices with the parameters GIVEN: pairs of key and value, NULL at the
 * end.  Returns what devices_add_faults does; nothing else may fail.
 */
static inline int
make_devices (struct devices **devices, const char *const *given,
              const struct wait_ops *wait, struct message *why)
{
  const struct front_end front_end = {.wait = *wait};
  struct params p;
  int r;

  params_init (&p);
  for (; given[0] != NULL; given += 2)
    assert_int_equal (params_set (&p, given[0], given[1], why), 0);
  assert_int_equal (params_complete (&p, DEVICES_MEMORY, UINT64_MAX, 4096, why),
                    0);
  assert_int_equal (
      devices_create (devices, &p.settings, DEVICES_MEMORY, 4096, &front_end),
      0);
  r = devices_add_faults (*devices, p.badblocks, p.faults, why);
  params_clear (&p);
  return r;
}

/* What all connections to C's device have counted, until the next call. */
static inline const struct stats *
counted_by (struct connection *c)
{
  static struct device_stats sum;

  pthread_mutex_lock (&c->device->devices->lock);
  device_stats (c->device, &sum);
  pthread_mutex_unlock (&c->device->devices->lock);
  return &sum.stats;
}

#endif /* NULLBLK_TESTS_DEVICES_H */
