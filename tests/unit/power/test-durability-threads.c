/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The write cache under many threads: writers of the same blocks, one that
 * flushes, one that reads, and one that cuts the power while they run.  A write
 * has a number, and its blocks are full of it.  After a cut no block may hold a
 * write that was over before another one of that block began which a flush
 * or FUA had promised.  Also run under ThreadSanitizer.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "power/power.h"
#include "unit.h"

#define NR_WRITERS 4
#define BLOCK 512
#define BLOCKS 48 /* on both sides of a region's border */
#define OFFSET (128 * 1024 - 24 * BLOCK)
#define LONGEST 8
#define ROUNDS 60
#define WRITES_A_ROUND 400 /* before the cut */
#define MAX_A_ROUND (8 * WRITES_A_ROUND)

/* Each write takes two moments, and one more of each writer fails. */
#define MAX_NUMBERS (1 + ROUNDS * 2 * (MAX_A_ROUND + 2 * NR_WRITERS))

static struct store *store;
static struct durability *durability;

/* Moments, counted: a write's number is the one at which it began. */
static _Atomic uint64_t moment;
static _Atomic uint64_t ended[MAX_NUMBERS]; /* 0: not yet */

/* By block: the youngest write that is over, and that a flush or FUA has
 * promised.
 */
static _Atomic uint64_t done[BLOCKS], promised[BLOCKS];

static _Atomic uint64_t writes; /* in this round */
static _Atomic uint64_t flushes, torn;

static void
raise_to (_Atomic uint64_t *a, uint64_t n)
{
  uint64_t old = atomic_load (a);

  while (old < n && !atomic_compare_exchange_weak (a, &old, n))
    ;
}

/* The scheduler and the lock may both prefer the writers to who is to cut the
 * power.
 */
static void
wait_for_cut (void)
{
  while (atomic_load (&writes) >= MAX_A_ROUND &&
         durability_epoch (durability) % 2 == 0)
    sched_yield ();
}

static void *
write_body (void *arg)
{
  uint64_t random = *(uint64_t *) arg, buf[LONGEST * BLOCK / 8], number;
  unsigned first, nr, i;
  bool fua;
  int r;

  do {
    wait_for_cut ();
    nr = 1 + random_below (&random, LONGEST);
    first = random_below (&random, BLOCKS - nr + 1);
    fua = random_below (&random, 16) == 0;
    number = atomic_fetch_add (&moment, 1);
    assert_true (number < MAX_NUMBERS);
    for (i = 0; i < nr * BLOCK / 8; i++)
      buf[i] = number;
    r = durability_write (durability, buf, (uint64_t) nr * BLOCK,
                          OFFSET + first * BLOCK, fua);
    atomic_store (&ended[number], atomic_fetch_add (&moment, 1));
    if (r == 0) {
      for (i = first; i < first + nr; i++) {
        raise_to (&done[i], number);
        if (fua)
          raise_to (&promised[i], number);
      }
      atomic_fetch_add (&writes, 1);
    }
  } while (r == 0);
  assert_true (r == 1 || r == -ESHUTDOWN);
  if (r == 1)
    durability_finish_cut (durability);
  return NULL;
}

/* What was over when a flush began that succeeded. */
static void *
flush_body (void *arg)
{
  uint64_t before[BLOCKS];
  unsigned i;

  (void) arg;
  for (;;) {
    for (i = 0; i < BLOCKS; i++)
      before[i] = atomic_load (&done[i]);
    if (durability_flush (durability) != 0)
      return NULL;
    for (i = 0; i < BLOCKS; i++)
      raise_to (&promised[i], before[i]);
    atomic_fetch_add (&flushes, 1);
    for (i = 0; i < 50; i++)
      sched_yield ();
  }
}

/* Reads take no lock of the cache, and see whole blocks. */
static void *
read_body (void *arg)
{
  uint64_t buf[BLOCK / 8];
  unsigned i = 0;

  (void) arg;
  while (durability_epoch (durability) % 2 == 0) {
    store_read (store, 0, buf, BLOCK, OFFSET + i * BLOCK);
    if (memcmp (buf, buf + 1, BLOCK - 8) != 0)
      atomic_fetch_add (&torn, 1);
    i = (i + 1) % BLOCKS;
  }
  return NULL;
}

static uint64_t
check_blocks (void)
{
  uint64_t buf[BLOCK / 8], lost = 0;
  unsigned i;

  for (i = 0; i < BLOCKS; i++) {
    store_read (store, 0, buf, BLOCK, OFFSET + i * BLOCK);
    assert_memory_equal (buf, buf + 1, BLOCK - 8);
    assert_true (buf[0] < atomic_load (&moment));
    if (atomic_load (&promised[i]) != 0) {
      assert_int_not_equal (buf[0], 0);
      assert_true (atomic_load (&ended[buf[0]]) > atomic_load (&promised[i]));
    }
    lost += buf[0] < atomic_load (&done[i]);
    /* What survived is durable. */
    atomic_store (&promised[i], buf[0]);
    atomic_store (&done[i], buf[0]);
  }
  return lost;
}

static void
start (pthread_t *id, void *(*body) (void *), void *arg)
{
  assert_int_equal (pthread_create (id, NULL, body, arg), 0);
}

static uint64_t
run_round (uint64_t *random, struct power_cut *cut, bool by_count)
{
  pthread_t ids[NR_WRITERS + 2];
  uint64_t seeds[NR_WRITERS];
  unsigned i;

  atomic_store (&writes, 0);
  if (by_count)
    durability_cut_after (durability, WRITES_A_ROUND, cut);
  for (i = 0; i < NR_WRITERS; i++) {
    seeds[i] = next_random (random);
    start (&ids[i], write_body, &seeds[i]);
  }
  start (&ids[i++], flush_body, NULL);
  start (&ids[i], read_body, NULL);
  if (!by_count) {
    while (atomic_load (&writes) < WRITES_A_ROUND)
      sched_yield ();
    assert_int_equal (durability_begin_cut (durability, cut), 0);
    durability_finish_cut (durability);
  }
  for (i = 0; i < NR_WRITERS + 2; i++)
    assert_int_equal (pthread_join (ids[i], NULL), 0);
  if (by_count)
    assert_int_equal (atomic_load (&writes), WRITES_A_ROUND - 1);
  assert_int_equal (durability_restore_power (durability), 0);
  return check_blocks ();
}

static void
run (const char *name, uint64_t cache_size)
{
  const struct arena_options a = {.limit = 1 << 26,
                                  .volumes = 1,
                                  .volume_size = 1 << 20,
                                  .kernel_page = 4096};
  struct durability_options o = {.block_size = BLOCK, .cache_size = cache_size};
  struct power_cut cut = {.lose = LOSE_RANDOM};
  uint64_t random = new_seed (name), lost = 0;
  unsigned i;

  atomic_store (&moment, 1);
  atomic_store (&flushes, 0);
  for (i = 0; i < BLOCKS; i++) {
    atomic_store (&done[i], 0);
    atomic_store (&promised[i], 0);
  }
  assert_int_equal (store_create (&store, &a), 0);
  o.store = store;
  assert_int_equal (durability_create (&durability, &o), 0);
  for (i = 0; i < ROUNDS; i++) {
    cut.lose = i % 3 == 0 ? LOSE_ALL : LOSE_RANDOM;
    cut.seed = next_random (&random);
    lost += run_round (&random, &cut, i % 2);
  }
  printf ("# %s: %u cuts, %llu flushes, %llu blocks lost\n", name, ROUNDS,
          (unsigned long long) atomic_load (&flushes),
          (unsigned long long) lost);
  assert_true (atomic_load (&flushes) > 0);
  assert_true (lost > ROUNDS);
  assert_int_equal (atomic_load (&torn), 0);
  durability_destroy (durability);
  store_destroy (store);
}

static void
test_large_cache (void **state)
{
  (void) state;
  run ("large cache", 1 << 24);
}

static void
test_small_cache (void **state)
{
  (void) state;
  run ("small cache", 32 * BLOCK);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_large_cache),
      cmocka_unit_test (test_small_cache),
  };

  return RUN_TESTS (tests);
}
