/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * For tests of requests to one device: buffers to write and to read, and how a
 * case begins.
 */

#ifndef NULLBLK_TESTS_BUFFERS_H
#define NULLBLK_TESTS_BUFFERS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "one-device.h"
#include "unit.h"

static uint8_t buf[65536], out[65536];

#define CREATE(...)                                                            \
  create_with ((const char *const[]){__VA_ARGS__, NULL}, &noted)

static inline int
setup (void **state)
{
  memset (buf, 0xaa, sizeof buf);
  memset (out, 0x55, sizeof out);
  return forget_devices (state);
}

static inline bool
all_zero (const uint8_t *b, size_t len)
{
  while (len > 0 && *b == 0)
    b++, len--;
  return len == 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, setup, destroy_devices)

#endif /* NULLBLK_TESTS_BUFFERS_H */
