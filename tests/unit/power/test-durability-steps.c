/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Long changes of a device with a volatile cache, which are made step by step:
 * that the lock is free between them, and what becomes of one in which power is
 * cut.
 */

#include <config.h>

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "power/power.h"
#include "unit.h"

#define MIB (UINT64_C (1) << 20)
#define BLOCK 4096
#define LONG (4 * STORE_STEP)
#define BESIDE (64 * MIB) /* where others write */

static struct store *store;
static struct durability *d;
static char old[LONG], new[LONG], out[LONG];

/* Whoever goes step by step lets others in by this. */
static unsigned yields;
static void (*others) (void);

int
sched_yield (void)
{
  yields++;
  if (others != NULL)
    others ();
  return 0;
}

static void
begin (uint64_t limit, uint64_t cache_size)
{
  const struct arena_options a = {.limit = limit,
                                  .volumes = 1,
                                  .volume_size = 128 * MIB,
                                  .copies = true,
                                  .kernel_page = 4096};
  struct durability_options o = {.block_size = BLOCK, .cache_size = cache_size};

  memset (old, 1, sizeof old);
  memset (new, 2, sizeof new);
  assert_int_equal (store_create (&store, &a), 0);
  o.store = store;
  assert_int_equal (durability_create (&d, &o), 0);
  others = NULL;
  yields = 0;
}

/* A sanitizer may yield, too, when the program is over. */
static void
end (void)
{
  others = NULL;
  durability_destroy (d);
  assert_int_equal (store_written_pages (store, 0) * PAGE,
                    store_charged (store));
  store_destroy (store);
}

static void
cut (void)
{
  const struct power_cut all = {.lose = LOSE_ALL};

  assert_int_equal (durability_begin_cut (d, &all), 0);
}

static void
finish_cut (void)
{
  durability_finish_cut (d);
  assert_int_equal (durability_restore_power (d), 0);
}

static void
assert_holds (const char *what, uint64_t offset, uint64_t count)
{
  store_read (store, 0, out, count, offset);
  assert_memory_equal (out, what, count);
}

static struct durability_status
status (void)
{
  struct durability_status s;

  durability_status (d, &s);
  return s;
}

static void
write_beside (void)
{
  static uint64_t offset;

  assert_int_equal (durability_write (d, new, BLOCK, BESIDE + offset, false),
                    0);
  offset = (offset + BLOCK) % (8 * BLOCK);
}

/* Others write between the steps; what is cut goes back, of all of them. */
static void
test_writes (void **state)
{
  (void) state;
  begin (128 * MIB, 32 * MIB);
  assert_int_equal (store_write (store, 0, old, LONG, 0), 0);
  others = write_beside;
  assert_int_equal (durability_write (d, new, LONG, 0, false), 0);
  assert_int_equal (yields, LONG / STORE_STEP - 1);
  assert_int_equal (status ().volatile_bytes, LONG + yields * BLOCK);
  assert_holds (new, 0, LONG);
  cut ();
  finish_cut ();
  assert_holds (old, 0, LONG);
  assert_int_equal (store_charged (store), LONG);
  end ();
}

static void
test_zeroes (void **state)
{
  static const char zeroes[LONG];

  (void) state;
  begin (128 * MIB, 32 * MIB);
  assert_int_equal (store_write (store, 0, old, LONG / 2, 0), 0);
  others = write_beside;
  assert_int_equal (durability_zero (d, LONG, 0, false, false), 0);
  assert_int_equal (yields, LONG / STORE_STEP - 1);
  assert_int_equal (status ().volatile_bytes, LONG / 2 + yields * BLOCK);
  assert_holds (zeroes, 0, LONG);
  cut ();
  finish_cut ();
  assert_holds (old, 0, LONG / 2);
  assert_holds (zeroes, LONG / 2, LONG / 2);
  end ();
}

/* It makes room for itself as it goes. */
static void
test_small_cache (void **state)
{
  (void) state;
  begin (128 * MIB, 3 * MIB);
  assert_int_equal (store_write (store, 0, old, LONG, 0), 0);
  assert_int_equal (durability_write (d, new, LONG, 0, false), 0);
  assert_int_equal (status ().volatile_bytes, 3 * MIB);
  cut ();
  finish_cut ();
  assert_holds (new, 0, LONG - 3 * MIB);
  assert_holds (old, LONG - 3 * MIB, 3 * MIB);
  end ();
}

/* What is volatile is in nobody's way; what there is no memory for is refused
 * before the first step.
 */
static void
test_limit (void **state)
{
  (void) state;
  begin (3 * LONG / 2, 64 * MIB);
  assert_int_equal (durability_write (d, old, LONG / 2, 0, false), 0);
  assert_int_equal (durability_write (d, new, LONG / 2, 0, false), 0);
  assert_int_equal (store_charged (store) > LONG, true);
  yields = 0;
  assert_int_equal (durability_write (d, new, LONG, LONG / 2, false), 0);
  assert_int_equal (yields, LONG / STORE_STEP - 1);
  yields = 0;
  assert_int_equal (durability_write (d, old, LONG, LONG, false), -ENOSPC);
  assert_int_equal (durability_zero (d, LONG, LONG, false, false), -ENOSPC);
  assert_int_equal (yields, 0);
  assert_holds (new, LONG / 2, LONG);
  assert_int_equal (store_charged (store), 3 * LONG / 2);
  end ();
}

/* Nothing is changed after a cut, and what was before it is volatile. */
static void
test_cut (void **state)
{
  (void) state;
  begin (128 * MIB, 32 * MIB);
  assert_int_equal (store_write (store, 0, old, LONG, 0), 0);
  others = cut;
  assert_int_equal (durability_write (d, new, LONG, 0, false), -ESHUTDOWN);
  assert_int_equal (yields, 1);
  assert_holds (new, 0, STORE_STEP);
  assert_holds (old, STORE_STEP, LONG - STORE_STEP);
  others = NULL;
  assert_int_equal (durability_write (d, new, LONG, 0, false), -ESHUTDOWN);
  finish_cut ();
  assert_holds (old, 0, LONG);
  end ();
}

/* With FUA each step is durable. */
static void
test_fua (void **state)
{
  (void) state;
  begin (128 * MIB, 32 * MIB);
  assert_int_equal (durability_write (d, old, LONG, 0, false), 0);
  assert_int_equal (durability_write (d, new, LONG, 0, true), 0);
  cut ();
  finish_cut ();
  assert_holds (new, 0, LONG);
  end ();
}

/* A write at which power is cut counts once, and all of it can be lost, cache
 * or not, FUA or not.
 */
static void
cut_at_write (uint64_t cache_size, bool fua)
{
  const struct power_cut all = {.lose = LOSE_ALL};

  begin (128 * MIB, cache_size);
  assert_int_equal (store_write (store, 0, old, LONG, 0), 0);
  durability_cut_after (d, 2, &all);
  assert_int_equal (durability_write (d, old, LONG, 0, true), 0);
  assert_int_equal (status ().writes_left, 1);
  assert_int_equal (durability_write (d, new, LONG, 0, fua), DURABILITY_CUT);
  finish_cut ();
  assert_holds (old, 0, LONG);
  end ();
}

static void
test_cut_at_write (void **state)
{
  (void) state;
  cut_at_write (0, false);
  cut_at_write (0, true);
  cut_at_write (64 * MIB, true);
}

static void
call_off (void)
{
  durability_cut_after (d, 0, NULL);
}

/* If it is called off meanwhile, nothing is volatile without a cache, or with
 * FUA.
 */
static void
called_off (uint64_t cache_size, bool fua)
{
  const struct power_cut all = {.lose = LOSE_ALL};

  begin (128 * MIB, cache_size);
  assert_int_equal (store_write (store, 0, old, LONG, 0), 0);
  durability_cut_after (d, 1, &all);
  others = call_off;
  assert_int_equal (durability_write (d, new, LONG, 0, fua), 0);
  assert_int_equal (status ().undo_bytes, 0);
  cut ();
  finish_cut ();
  assert_holds (new, 0, LONG);
  end ();
}

static void
test_called_off (void **state)
{
  (void) state;
  called_off (0, false);
  called_off (64 * MIB, true);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_writes),       cmocka_unit_test (test_zeroes),
      cmocka_unit_test (test_small_cache),  cmocka_unit_test (test_limit),
      cmocka_unit_test (test_cut),          cmocka_unit_test (test_fua),
      cmocka_unit_test (test_cut_at_write), cmocka_unit_test (test_called_off),
  };

  return RUN_TESTS (tests);
}
