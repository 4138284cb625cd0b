/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A device's latencies, reset for each test, at START.  A test defines
 * SIZE, the bytes of the device, before it includes this.
 */

#ifndef NULLBLK_ONE_LATENCY_H
#define NULLBLK_ONE_LATENCY_H

#include <string.h>

#include "common/common.h"
#include "timing/timing.h"
#include "unit.h"

#define START (5 * NSEC_PER_SEC)
#define USEC NSEC_PER_USEC
#define MSEC NSEC_PER_MSEC

static struct latency_state l;
static struct latency_settings s;
static struct random random_numbers;

static int
setup (void **state)
{
  (void) state;
  memset (&s, 0, sizeof s);
  s.size = s.drive.size = SIZE;
  random_init (&random_numbers, 1, 0);
  return latency_init (&l, START);
}

static int
teardown (void **state)
{
  (void) state;
  latency_settings_unref (&s);
  latency_destroy (&l);
  return 0;
}

/* Parse a drive's setting that has PARTS.  *VALUE is its place in `s`. */
static inline void
set_parts (const struct parts *parts, const char *text, void *value)
{
  struct message why;

  if (parts_parse (parts, text, value, &why) != 0)
    fail_msg ("%s", why.text);
  latency_settings_complete (&s);
}

static inline void
set_collection (const char *text)
{
  set_parts (&collection_parts, text, &s.drive.collection);
}

#endif /* NULLBLK_ONE_LATENCY_H */
