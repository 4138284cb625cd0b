/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The same seed, the same run, on a real server: one random sequence of
 * requests on one connection meets everything that is drawn at once.  Each draw
 * has a region of the device of its own, so that what it did is seen there and
 * nowhere else.
 *
 *     0        1M           2M        3M
 *     | fails  | is wrong   | is lost |
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client.h"

#define STEPS 1000
#define CUTS 5
#define BLOCK 4096
#define REGION_SIZE MIB
#define MAX_BLOCKS 8 /* of a request */

enum region { FAILS, IS_WRONG, IS_LOST, NR_REGIONS };

static uint8_t buf[MAX_BLOCKS * BLOCK], region_data[REGION_SIZE];
static struct nbd_handle *h, *config, *stats;

/* What was seen in a run. */
struct run {
  char hits[STEPS + 1];          /* of the region that fails: '!' */
  uint64_t read;                 /* a hash of all that was read ... */
  uint64_t stored;               /* ... and of what there was at the end */
  uint64_t left[CUTS];           /* after each cut */
  uint64_t delay[NR_OPERATIONS]; /* the longest */
  char rules[2000];              /* with all that they counted */
};

/* FNV-1a */
static uint64_t
hash (uint64_t so_far, const uint8_t *data, size_t len)
{
  for (; len > 0; len--)
    so_far = (so_far ^ *data++) * UINT64_C (0x100000001b3);
  return so_far;
}

static uint64_t
hash_region (enum region region)
{
  assert_done (
      nbd_pread (h, region_data, REGION_SIZE, region * REGION_SIZE, 0));
  return hash (0, region_data, REGION_SIZE);
}

/* The next of the sequence. */
static void
step (struct run *run, unsigned i, uint64_t *random)
{
  static const enum operation operations[] = {
      OP_READ,  OP_READ,  OP_READ, OP_WRITE, OP_WRITE,
      OP_WRITE, OP_WRITE, OP_TRIM, OP_ZERO,  OP_FLUSH};
  const enum operation op = operations[random_below (random, 10)];
  const enum region region = random_below (random, NR_REGIONS);
  const uint64_t count = (1 + random_below (random, MAX_BLOCKS)) * BLOCK;
  const uint64_t place =
      random_below (random, (REGION_SIZE - count) / BLOCK + 1) * BLOCK;
  int r;

  fill_random (buf, count, random);
  r = request_at (h, op, buf, count, region * REGION_SIZE + place);
  run->hits[i] = r == -1 ? '!' : '.';
  if (region != FAILS || op == OP_FLUSH)
    assert_done (r);
  else if (r == -1)
    assert_int_equal (nbd_get_errno (), EIO);
  if (op == OP_READ && region == IS_WRONG)
    run->read = hash (run->read, buf, count);
}

static void
copy_rules (struct run *run)
{
  const char *begin = strstr (read_stats (stats), "\"faults\": [");
  const char *end = begin != NULL ? strchr (begin, ']') : NULL;

  assert_non_null (end);
  assert_true ((size_t) (end - begin) < sizeof run->rules);
  memcpy (run->rules, begin, end - begin);
  run->rules[end - begin] = '\0';
}

static void
do_run (struct run *run, uint64_t sequence, uint64_t seed, bool with_rules)
{
  char setting[40];
  unsigned i;

  memset (run, 0, sizeof *run);
  snprintf (setting, sizeof setting, "seed=%" PRIu64, seed);
  serve_with_control (
      (const char *const[]){
          "3M", "memory-backed=true", "block-size=4K", "cache-size=64M",
          setting, "fault=range=0+1M rate=20% error=EIO",
          "fault=range=1M+1M op=write rate=50% corrupt=flip",
          "fault=range=1M+1M op=read rate=1:3 corrupt=flip",
          "fault=range=1M+1M op=read,write rate=0.05 corrupt=zero",
          "fault=range=1M+1M rate=25% corrupt=stale",
          "fault=rate=10% after=5 delay=uniform:0-200us", NULL},
      &h, &config, &stats);
  if (!with_rules)
    change_settings (config, "fault-delete=all\n");
  for (i = 0; i < STEPS; i++) {
    step (run, i, &sequence);
    if (i % (STEPS / CUTS) == STEPS / CUTS - 1) {
      change_settings (config, "power=cut\nlose=random\n");
      change_settings (config, "power=on\n");
      run->left[i / (STEPS / CUTS)] = hash_region (IS_LOST);
    }
  }
  copy_rules (run);
  for (i = 0; i < OP_ZONE; i++)
    run->delay[i] = longest_asked (stats, operation_words[i]);
  change_settings (config, "fault-delete=all\n");
  run->stored = hash_region (IS_WRONG);
}

/* Twice with the same seed, and once with another. */
static struct run first, second, other;

static void
do_three_runs (void **state, bool with_rules)
{
  const uint64_t sequence = new_seed ("sequence");
  const uint64_t seed = new_seed ("server");

  do_run (&first, sequence, seed, with_rules);
  stop_server (state);
  do_run (&second, sequence, seed, with_rules);
  stop_server (state);
  do_run (&other, sequence, seed + 1, with_rules);
}

static void
same_seed_same_run (void **state)
{
  do_three_runs (state, true);

  assert_string_equal (first.hits, second.hits);
  assert_true (first.read == second.read);
  assert_true (first.stored == second.stored);
  assert_memory_equal (first.left, second.left, sizeof first.left);
  assert_memory_equal (first.delay, second.delay, sizeof first.delay);
  assert_string_equal (first.rules, second.rules);

  /* Each of them is drawn anew with another seed. */
  assert_non_null (strchr (first.hits, '!'));
  assert_string_not_equal (first.hits, other.hits);
  assert_true (first.read != other.read);
  assert_true (first.stored != other.stored);
  assert_memory_not_equal (first.delay, other.delay, sizeof first.delay);
  assert_string_not_equal (first.rules, other.rules);
}

/* What is lost also depends on how many changes were done, and so on what rules
 * hit.  Here there are none.  Two cuts that lose all, or nothing, are alike; of
 * five, some are not.
 */
static void
power_loss_is_drawn_by_seed (void **state)
{
  do_three_runs (state, false);
  assert_memory_equal (first.left, second.left, sizeof first.left);
  assert_memory_not_equal (first.left, other.left, sizeof first.left);
}

/* All draws of rules begin anew when that is asked for. */
static void
same_seed_given_live (void **state)
{
  char hits[3][201], line[40];
  const uint64_t seed = new_seed ("live");
  unsigned run, i;

  (void) state;
  serve_with_control (
      (const char *const[]){"3M", "fault=rate=50% error=EIO", NULL}, &h,
      &config, &stats);
  for (run = 0; run < 3; run++) {
    snprintf (line, sizeof line, "seed=%" PRIu64 "\nseed=reset\n",
              seed + run / 2);
    change_settings (config, line);
    for (i = 0; i < 200; i++)
      hits[run][i] = nbd_flush (h, 0) == -1 ? '!' : '.';
    hits[run][200] = '\0';
  }
  assert_string_equal (hits[0], hits[1]);
  assert_string_not_equal (hits[0], hits[2]);
}

static const struct CMUnitTest tests[] = {
    CASE (same_seed_same_run),
    CASE (power_loss_is_drawn_by_seed),
    CASE (same_seed_given_live),
};

MAIN (tests)
