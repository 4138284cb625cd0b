/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Devices with a volatile write cache that share the memory of a store: the
 * cache of one does not make requests to another fail.  Also run under
 * ThreadSanitizer.
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

#define KIB (UINT64_C (1) << 10)
#define MIB (UINT64_C (1) << 20)
#define BLOCK 4096
#define DEVICES 3

static struct store *store;
static struct durability_pool pool;
static struct durability *device[DEVICES];

static void
begin (uint64_t limit)
{
  const struct arena_options a = {.limit = limit,
                                  .volumes = DEVICES,
                                  .volume_size = 64 * MIB,
                                  .copies = true,
                                  .kernel_page = 4096};
  struct durability_options o = {
      .pool = &pool, .block_size = BLOCK, .cache_size = 64 * MIB};

  assert_int_equal (store_create (&store, &a), 0);
  o.store = store;
  for (o.volume = 0; o.volume < DEVICES; o.volume++)
    assert_int_equal (durability_create (&device[o.volume], &o), 0);
}

/* Nothing that was counted against the limit may be left. */
static void
end (void)
{
  uint32_t i;

  for (i = 0; i < DEVICES; i++) {
    assert_int_equal (atomic_load (&pool.searches), 0);
    durability_destroy (device[(i + 1) % DEVICES]);
    store_trim (store, i, 64 * MIB, 0);
  }
  assert_null (pool.first);
  assert_int_equal (store_charged (store), 0);
  store_destroy (store);
}

static int
write_to (unsigned nr, uint64_t offset, uint64_t count, char byte)
{
  static _Thread_local char full[8 * MIB];

  memset (full, byte, count);
  return durability_write (device[nr], full, count, offset, false);
}

static uint64_t
volatile_bytes (unsigned nr)
{
  struct durability_status s;

  durability_status (device[nr], &s);
  return s.volatile_bytes;
}

/* Fill the memory of 16 MiB with as much data as old content of a device. */
static void
fill (unsigned nr)
{
  assert_int_equal (write_to (nr, 0, 7 * MIB, 'a'), 0);
  assert_int_equal (durability_flush (device[nr]), 0);
  assert_int_equal (write_to (nr, 0, 7 * MIB, 'b'), 0);
  assert_int_equal (volatile_bytes (nr), 7 * MIB);
}

/* No more becomes durable than the others write, and the oldest first. */
static void
test_evicts_of_others (void **state)
{
  char byte;

  (void) state;
  begin (16 * MIB);
  fill (1);
  assert_int_equal (write_to (0, 0, 2 * MIB, 'c'), 0);
  assert_int_equal (write_to (2, 0, 2 * MIB, 'c'), 0);
  assert_in_range (volatile_bytes (1), 3 * MIB, 5 * MIB);
  assert_int_equal (
      durability_begin_cut (device[1], &(struct power_cut){.lose = LOSE_ALL}),
      0);
  durability_finish_cut (device[1]);
  store_read (store, 1, &byte, 1, 0);
  assert_int_equal (byte, 'b');
  store_read (store, 1, &byte, 1, 7 * MIB - 1);
  assert_int_equal (byte, 'a');
  end ();
}

/* A long write needs memory for all of it before it begins. */
static void
test_long_write (void **state)
{
  (void) state;
  begin (16 * MIB);
  fill (1);
  assert_int_equal (write_to (0, 0, 8 * MIB, 'c'), 0);
  assert_in_range (volatile_bytes (1), 0, MIB);
  end ();
}

/* Where there really is no memory, a request fails and changes nothing. */
static void
test_no_memory (void **state)
{
  char byte;

  (void) state;
  begin (16 * MIB);
  fill (1);
  assert_int_equal (write_to (2, 0, 7 * MIB, 'a'), 0);
  assert_int_equal (write_to (0, 0, 3 * MIB, 'c'), -ENOSPC);
  assert_int_equal (write_to (0, 0, 2 * MIB + BLOCK, 'c'), -ENOSPC);
  assert_int_equal (write_to (0, 0, 2 * MIB, 'c'), 0);
  assert_int_equal (write_to (0, 2 * MIB, BLOCK, 'c'), -ENOSPC);
  store_read (store, 0, &byte, 1, 2 * MIB);
  assert_int_equal (byte, 0);
  assert_int_equal (store_charged (store), 16 * MIB);
  /* There is a cache again once there is memory. */
  assert_int_equal (durability_trim (device[1], MIB, 0, false), 0);
  assert_int_equal (durability_flush (device[1]), 0);
  assert_int_equal (write_to (2, 0, BLOCK, 'd'), 0);
  assert_int_equal (volatile_bytes (2), BLOCK);
  end ();
}

/* A write that data alone leaves no room for costs no device its cache, be it
 * in one step or long.
 */
static void
test_hopeless (void **state)
{
  static const uint64_t counts[] = {MIB + BLOCK, 3 * MIB};
  static const char block[BLOCK];
  unsigned i;

  (void) state;
  begin (12 * MIB);
  assert_int_equal (write_to (0, 0, 4 * MIB, 'a'), 0);
  assert_int_equal (write_to (1, 0, 7 * MIB, 'a'), 0);
  assert_int_equal (durability_flush (device[0]), 0);
  assert_int_equal (durability_flush (device[1]), 0);
  for (i = 0; i < 2; i++)
    assert_int_equal (write_to (i, 0, 64 * KIB, 'b'), 0);
  for (i = 0; i < 2; i++) {
    assert_int_equal (write_to (0, 4 * MIB, counts[i], 'c'), -ENOSPC);
    assert_int_equal (
        durability_zero (device[0], counts[i], 4 * MIB, false, false), -ENOSPC);
    assert_int_equal (volatile_bytes (0), 64 * KIB);
    assert_int_equal (volatile_bytes (1), 64 * KIB);
  }
  /* Neither does one after the limit was lowered below what data takes. */
  assert_int_equal (store_set_limit (store, 8 * MIB), 0);
  assert_int_equal (write_to (0, 4 * MIB, BLOCK, 'c'), -ENOSPC);
  assert_int_equal (durability_write (device[0], block, BLOCK, 4 * MIB, true),
                    -ENOSPC);
  assert_int_equal (volatile_bytes (0), 64 * KIB);
  assert_int_equal (volatile_bytes (1), 64 * KIB);
  /* What has memory already needs none, and is written all the same. */
  assert_int_equal (write_to (0, 0, BLOCK, 'd'), 0);
  assert_int_equal (durability_write (device[0], block, BLOCK, 0, true), 0);
  assert_int_equal (durability_zero (device[0], BLOCK, 0, false, false), 0);
  assert_int_equal (volatile_bytes (1), 64 * KIB);
  /* There is room for it exactly if all records give way. */
  assert_int_equal (store_set_limit (store, 12 * MIB), 0);
  assert_int_equal (write_to (0, 4 * MIB, MIB, 'c'), 0);
  assert_int_equal (volatile_bytes (0), 0);
  assert_int_equal (volatile_bytes (1), 0);
  end ();
}

/* A long write has to have the memory that it was found to lack, also where
 * another write has given some to its range meanwhile.
 */
static bool is_written_meanwhile;

int __real_store_charge_reservation (struct store *s,
                                     struct store_reservation *p);
int __wrap_store_charge_reservation (struct store *s,
                                     struct store_reservation *p);
int
__wrap_store_charge_reservation (struct store *s, struct store_reservation *p)
{
  static const char data[MIB];

  if (is_written_meanwhile)
    assert_int_equal (store_write (s, p->volume, data, MIB, p->offset), 0);
  is_written_meanwhile = false;
  return __real_store_charge_reservation (s, p);
}

static void
test_written_meanwhile (void **state)
{
  (void) state;
  begin (12 * MIB);
  assert_int_equal (write_to (1, 0, 4 * MIB, 'a'), 0);
  assert_int_equal (durability_flush (device[1]), 0);
  assert_int_equal (write_to (1, 0, 64 * KIB, 'b'), 0);
  is_written_meanwhile = true;
  assert_int_equal (write_to (0, 0, 7 * MIB + 512 * KIB, 'c'), -ENOSPC);
  assert_false (is_written_meanwhile);
  assert_int_equal (volatile_bytes (1), 64 * KIB);
  assert_int_equal (write_to (0, 0, 7 * MIB + 512 * KIB, 'c'), 0);
  end ();
}

/* What a power cut brings back counts as data, too. */
static void
test_hopeless_after_cut (void **state)
{
  (void) state;
  begin (8 * MIB);
  assert_int_equal (write_to (0, 0, 6 * MIB, 'a'), 0);
  assert_int_equal (durability_flush (device[0]), 0);
  assert_int_equal (durability_trim (device[0], MIB, 0, false), 0);
  assert_int_equal (
      durability_begin_cut (device[0], &(struct power_cut){.lose = LOSE_ALL}),
      0);
  durability_finish_cut (device[0]);
  assert_int_equal (durability_restore_power (device[0]), 0);
  assert_int_equal (write_to (1, 0, BLOCK, 'a'), 0);
  assert_int_equal (durability_flush (device[1]), 0);
  assert_int_equal (write_to (1, 0, BLOCK, 'b'), 0);
  assert_int_equal (write_to (2, 0, 2 * MIB, 'c'), -ENOSPC);
  assert_int_equal (volatile_bytes (1), BLOCK);
  assert_int_equal (write_to (2, 0, 2 * MIB - BLOCK, 'c'), 0);
  assert_int_equal (volatile_bytes (1), 0);
  end ();
}

/*---------------------------------------------------------------------*/

static atomic_bool over;
static _Thread_local bool is_slow;

/* Old content is read while memory for it is held: others run meanwhile. */
void __real_store_read (struct store *s, uint32_t volume, void *buf,
                        uint64_t count, uint64_t offset);
void __wrap_store_read (struct store *s, uint32_t volume, void *buf,
                        uint64_t count, uint64_t offset);
void
__wrap_store_read (struct store *s, uint32_t volume, void *buf, uint64_t count,
                   uint64_t offset)
{
  if (is_slow)
    sched_yield ();
  __real_store_read (s, volume, buf, count, offset);
}

/* A change takes memory for old content, and gives it back when there is not
 * enough for all of it.
 */
static void *
overwrite (void *arg)
{
  const unsigned nr = *(unsigned *) arg;
  unsigned i;

  is_slow = true;
  for (i = 0; !atomic_load (&over); i++) {
    if (write_to (nr, i % 2 * 2 * MIB, 2 * MIB, 'b') != 0)
      return arg;
  }
  return NULL;
}

/* Memory is there for the data of all, and no more. */
static void
test_none_fails (void **state)
{
  enum { ROUNDS = 500 };
  unsigned nr[2] = {1, 2}, i, failed = 0;
  pthread_t thread[2];
  void *wrong;

  (void) state;
  begin (9 * MIB);
  for (i = 0; i < 2; i++)
    assert_int_equal (write_to (nr[i], 0, 4 * MIB, 'a'), 0);
  atomic_store (&over, false);
  for (i = 0; i < 2; i++)
    assert_int_equal (pthread_create (&thread[i], NULL, overwrite, &nr[i]), 0);
  for (i = 0; i < ROUNDS; i++) {
    failed += write_to (0, 0, MIB, 'c') != 0;
    assert_int_equal (durability_trim (device[0], MIB, 0, false), 0);
    assert_int_equal (durability_flush (device[0]), 0);
  }
  atomic_store (&over, true);
  for (i = 0; i < 2; i++) {
    assert_int_equal (pthread_join (thread[i], &wrong), 0);
    assert_null (wrong);
  }
  assert_int_equal (failed, 0);
  end ();
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_evicts_of_others),
      cmocka_unit_test (test_long_write),
      cmocka_unit_test (test_no_memory),
      cmocka_unit_test (test_hopeless),
      cmocka_unit_test (test_written_meanwhile),
      cmocka_unit_test (test_hopeless_after_cut),
      cmocka_unit_test (test_none_fails),
  };

  return RUN_TESTS (tests);
}
