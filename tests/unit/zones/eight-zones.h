/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A device of eight zones for tests, and what is asked of it.
 */

#ifndef NULLBLK_TESTS_EIGHT_ZONES_H
#define NULLBLK_TESTS_EIGHT_ZONES_H

#include <errno.h>

#include "zoned.h"

#define KIB UINT64_C (1024)
#define BLOCK UINT64_C (512)

/* Eight zones, two of them conventional.  Z is where most happens. */
#define ZONE (16 * KIB)
#define CAPACITY (12 * KIB)
#define NR_CONV 2
#define NR_ZONES 8
#define SIZE (NR_ZONES * ZONE)
#define Z 4

#define EMPTY ZONE_COND_EMPTY
#define IMP_OPEN ZONE_COND_IMP_OPEN
#define EXP_OPEN ZONE_COND_EXP_OPEN
#define CLOSED ZONE_COND_CLOSED
#define FULL ZONE_COND_FULL
#define READONLY ZONE_COND_READONLY
#define OFFLINE ZONE_COND_OFFLINE

extern const struct zone_settings usual;
extern struct zoned d;
extern char data[SIZE], back[SIZE];

/* Make the zones.  The device has memory, unless a test says otherwise. */
void begin (const struct zone_settings *s);

void begin_with_limits (uint64_t max_open, uint64_t max_active);

void end (void);

struct zone_descriptor descriptor (uint64_t zone);

/* The write pointer, in bytes from the zone's start. */
uint64_t wp_of (uint64_t zone);

/* A zone is in this condition and, unless that has no write pointer, has this
 * one.
 */
#define assert_zone(zone, condition, write_pointer)                            \
  do {                                                                         \
    assert_int_equal (descriptor (zone).cond, condition);                      \
    if (condition == READONLY || condition == OFFLINE)                         \
      assert_true (descriptor (zone).wp == UINT64_MAX);                        \
    else                                                                       \
      assert_int_equal (wp_of (zone), write_pointer);                          \
  } while (0)

int write_at (uint64_t zone, uint64_t offset, uint64_t count);

int command (uint64_t zone, enum zone_cond cond);

/* Bring an empty zone into a condition; unless that is empty or full, one block
 * is written first.
 */
void put (uint64_t zone, enum zone_cond cond);

void assert_bytes (uint64_t offset, uint64_t count, unsigned char byte);

void assert_data (uint64_t zone, uint64_t offset, uint64_t count);

#endif /* NULLBLK_TESTS_EIGHT_ZONES_H */
