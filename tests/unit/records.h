/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Records of devices, counted and removed, for tests of nullblk-ublk.
 */

#ifndef NULLBLK_TESTS_RECORDS_H
#define NULLBLK_TESTS_RECORDS_H

#include <stdio.h>
#include <unistd.h>

#include "ublkdrv/ublkdrv.h"

static inline bool
count_record (uint64_t cookie, void *arg)
{
  unsigned *n = arg;

  (void) cookie;
  ++*n;
  return true;
}

static inline unsigned
records (void)
{
  unsigned n = 0;

  device_record_for_each (count_record, &n);
  return n;
}

/* Remove the file of a device record, whatever process has it. */
static inline bool
remove_record (uint64_t cookie, void *arg)
{
  char path[64];

  (void) arg;
  snprintf (path, sizeof path, RECORDS "/%016llx", (unsigned long long) cookie);
  return unlink (path) == 0;
}

#endif /* NULLBLK_TESTS_RECORDS_H */
