/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * How many records there are, for tests of nullblk-ublk.
 */

#ifndef NULLBLK_TESTS_RECORDS_H
#define NULLBLK_TESTS_RECORDS_H

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

#endif /* NULLBLK_TESTS_RECORDS_H */
