/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Fault rules for tests, and what they say to requests.
 */

#ifndef NULLBLK_TESTS_JUDGED_H
#define NULLBLK_TESTS_JUDGED_H

#include <errno.h>

#include "faults/faults.h"
#include "unit.h"

#define NR(array) (sizeof (array) / sizeof ((array)[0]))

extern struct faults faults;

/* The time and the zone size for `judge`, which set_up sets anew. */
extern uint64_t now, zone_size;

void begin (uint64_t seed, uint32_t device);

int set_up (void **state);

int tear_down (void **state);

void begin_again (uint64_t seed, uint32_t device);

struct fault_rule *make (const char *text);

void add (const char *text);

void del (const char *which);

struct io_info request (enum operation op, uint64_t offset, uint64_t count);

/* Returns a verdict that keeps no rule. */
struct fault_verdict judge (enum operation op, uint64_t offset, uint64_t count);

/* Is a write of 4096 bytes at OFFSET hit by error=EIO? */
bool is_hit_at (uint64_t offset);

bool is_hit (void);

/* What pick, for faults_each, is to find: the rule with this number. */
struct wanted {
  uint32_t id;
  struct fault_info info;
};

void pick (void *opaque, const struct fault_info *info);

void check_counters (uint32_t id, uint64_t evaluated, uint64_t hits);

#define CASE(test) cmocka_unit_test_setup_teardown (test, set_up, tear_down)

#endif /* NULLBLK_TESTS_JUDGED_H */
