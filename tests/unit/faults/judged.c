/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Fault rules; see judged.h.
 */

#include <config.h>

#include <errno.h>

#include "judged.h"

struct faults faults;

uint64_t now, zone_size;

void
begin (uint64_t seed, uint32_t device)
{
  assert_int_equal (faults_init (&faults, seed, device), 0);
  now = 1000 * NSEC_PER_SEC;
  zone_size = 0;
}

int
set_up (void **state)
{
  (void) state;
  begin (1, 0);
  return 0;
}

int
tear_down (void **state)
{
  (void) state;
  faults_destroy (&faults);
  return 0;
}

void
begin_again (uint64_t seed, uint32_t device)
{
  faults_destroy (&faults);
  begin (seed, device);
}

struct fault_rule *
make (const char *text)
{
  struct fault_rule *rule;
  struct message why;

  if (fault_rule_new (text, &rule, &why) != 0)
    fail_msg ("'%s': %s", text, why.text);
  return rule;
}

void
add (const char *text)
{
  struct message why;

  if (faults_change (&faults, NULL, make (text), now, &why) != 0)
    fail_msg ("'%s': %s", text, why.text);
}

void
del (const char *which)
{
  struct message why;

  if (faults_change (&faults, which, NULL, 0, &why) != 0)
    fail_msg ("'%s': %s", which, why.text);
}

struct io_info
request (enum operation op, uint64_t offset, uint64_t count)
{
  const struct io_info r = {.op = op,
                            .offset = offset,
                            .count = count,
                            .arrival = now,
                            .zone_size = zone_size};

  return r;
}

struct fault_verdict
judge (enum operation op, uint64_t offset, uint64_t count)
{
  const struct io_info r = request (op, offset, count);
  struct fault_verdict v;

  faults_judge (&faults, &r, &v);
  faults_done (&v);
  return v;
}

bool
is_hit_at (uint64_t offset)
{
  const int error = judge (OP_WRITE, offset, 4096).error;

  assert_true (error == 0 || error == -EIO);
  return error != 0;
}

bool
is_hit (void)
{
  return is_hit_at (0);
}

void
pick (void *opaque, const struct fault_info *info)
{
  struct wanted *w = opaque;

  if (info->id == w->id)
    w->info = *info;
}

void
check_counters (uint32_t id, uint64_t evaluated, uint64_t hits)
{
  struct wanted w = {.id = id};

  faults_each (&faults, pick, &w);
  assert_int_equal (w.info.id, id);
  assert_int_equal (w.info.evaluated, evaluated);
  assert_int_equal (w.info.hits, hits);
}
