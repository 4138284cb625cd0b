/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The volatile write cache: the memory that it takes, and zones.
 */

#include <config.h>

#include <errno.h>
#include <malloc.h>
#include <stdbool.h>

#include "blocks.h"

/*---------------------------------------------------------------------*/
/* Memory */

static void
test_undo_counts_against_limit (void **state)
{
  struct device dev = new_device (MIB, 64 * MIB, BLOCK);

  (void) state;
  write_blocks (&dev, 0, 4, 'a');
  /* Holes cost no data. */
  assert_in_range (status (&dev).undo_bytes, 1, 100);
  assert_int_equal (store_charged (dev.store),
                    4 * BLOCK + status (&dev).undo_bytes);
  write_blocks (&dev, 0, 4, 'b');
  assert_in_range (status (&dev).undo_bytes, 4 * BLOCK, 4 * BLOCK + 200);
  assert_int_equal (store_charged (dev.store),
                    4 * BLOCK + status (&dev).undo_bytes);
  flush (&dev);
  assert_int_equal (store_charged (dev.store), 4 * BLOCK);
  destroy_device (&dev);
}

/* A long trim is no single change: it lets others in, and passes through the
 * cache, where a write as large goes past it.
 */
static void
test_long_trim_goes_step_by_step (void **state)
{
  enum { STEP = STORE_STEP / BLOCK };
  struct device dev = new_device (2 * STORE_STEP, 64 * MIB, BLOCK);

  (void) state;
  write_blocks (&dev, 0, 4 * STEP, 'a');
  flush (&dev);
  assert_int_equal (durability_trim (dev.d, 4 * STORE_STEP, 0, false), 0);
  assert_int_equal (status (&dev).volatile_bytes, 2 * STORE_STEP);
  cut (&dev, &lose_all);
  assert_blocks (&dev, 0, 2 * STEP, 0);
  assert_blocks (&dev, 2 * STEP, 2 * STEP, 'a');

  /* Zeroes count as one write, at the end of which power may go. */
  durability_cut_after (dev.d, 1, &lose_all);
  assert_int_equal (durability_zero (dev.d, 4 * STORE_STEP, 0, true, true),
                    DURABILITY_CUT);
  durability_finish_cut (dev.d);
  assert_int_equal (durability_restore_power (dev.d), 0);
  assert_blocks (&dev, 0, 3 * STEP, 0);
  assert_blocks (&dev, 3 * STEP, STEP, 'a');
  destroy_device (&dev);
}

struct watch {
  struct device *dev;
  bool in_group;
  uint64_t groups, calls, in_this_group, most_in_group;
  uint64_t least_undo, most_held;
};

static void
begin_group (void *arg)
{
  struct watch *w = arg;

  assert_false (w->in_group);
  w->in_group = true;
  w->groups++;
  w->in_this_group = 0;
}

static void
end_group (void *arg)
{
  struct watch *w = arg;

  assert_true (w->in_group);
  w->in_group = false;
  w->most_in_group =
      w->in_this_group > w->most_in_group ? w->in_this_group : w->most_in_group;
}

/* The lock is free: others can ask what is going on. */
static void
watch_undone (void *arg, uint64_t offset, uint64_t count)
{
  struct watch *w = arg;
  const uint64_t held = store_charged (w->dev->store);

  (void) offset;
  assert_true (w->in_group);
  assert_true (status (w->dev).undo_bytes <= w->least_undo);
  w->least_undo = status (w->dev).undo_bytes;
  w->most_held = held > w->most_held ? held : w->most_held;
  w->in_this_group += count;
  w->calls++;
}

/* A cut gives back a record when it has brought back what that had, and holds
 * no more meanwhile than before.
 */
static void
test_cut_needs_no_memory (void **state)
{
  enum { MIBS = 8 };
  struct device dev = new_device (64 * MIB, (2 * MIBS + 1) * MIB, BLOCK);
  struct watch w = {.dev = &dev, .least_undo = UINT64_MAX};
  const struct power_cut c = {.lose = LOSE_ALL,
                              .begin = begin_group,
                              .undone = watch_undone,
                              .end = end_group,
                              .arg = &w};
  uint64_t before;

  (void) state;
  write_blocks (&dev, 0, MIBS * MIB / BLOCK, 'a');
  flush (&dev);
  assert_int_equal (durability_trim (dev.d, MIBS * MIB, 0, false), 0);
  before = store_charged (dev.store);
  assert_int_equal (before, status (&dev).undo_bytes);
  assert_int_equal (durability_begin_cut (dev.d, &c), 0);
  assert_int_equal (status (&dev).undo_bytes, before);
  durability_finish_cut (dev.d);
  assert_int_equal (status (&dev).undo_bytes, 0);
  assert_int_equal (w.calls, MIBS * MIB / (128 * 1024));
  assert_true (w.least_undo <= 128 * 1024 + 100);
  assert_true (w.most_held <= before);
  assert_int_equal (w.groups, MIBS / 2);
  assert_int_equal (w.most_in_group, 2 * MIB);
  assert_int_equal (durability_restore_power (dev.d), 0);
  assert_blocks (&dev, 0, MIBS * MIB / BLOCK, 'a');
  destroy_device (&dev);
}

/* Undo records give way to data, the oldest first. */
static void
test_little_memory_evicts (void **state)
{
  struct device dev = new_device (MIB, 8 * BLOCK, BLOCK);
  uint64_t i;

  (void) state;
  write_blocks (&dev, 0, 4, 'a');
  flush (&dev);
  for (i = 0; i < 3; i++)
    write_blocks (&dev, i, 1, 'b');
  assert_int_equal (status (&dev).volatile_bytes, 3 * BLOCK);
  write_blocks (&dev, 3, 1, 'b');
  assert_int_equal (status (&dev).volatile_bytes, 3 * BLOCK);
  write_blocks (&dev, 4, 2, 'c'); /* holes: two pages */
  assert_int_equal (status (&dev).volatile_bytes, 3 * BLOCK);
  assert_true (store_charged (dev.store) <= 8 * BLOCK);
  cut (&dev, &lose_all);
  assert_blocks (&dev, 0, 3, 'b');
  assert_blocks (&dev, 3, 1, 'a');
  assert_blocks (&dev, 4, 2, 0);
  destroy_device (&dev);
}

/* With no memory but for the data, everything is durable and nothing fails. */
static void
test_no_memory_means_durable (void **state)
{
  struct device dev = new_device (MIB, 8 * BLOCK, BLOCK);

  (void) state;
  write_blocks (&dev, 0, 8, 'a');
  assert_int_equal (status (&dev).volatile_bytes, 0);
  write_blocks (&dev, 0, 8, 'b');
  assert_int_equal (status (&dev).volatile_bytes, 0);
  write_fua (&dev, 0, 8, 'c');
  assert_int_equal (durability_trim (dev.d, BLOCK, 0, false), 0);
  cut (&dev, &lose_all);
  assert_blocks (&dev, 0, 1, 0);
  assert_blocks (&dev, 1, 7, 'c');
  destroy_device (&dev);
}

static void
test_enospc_changes_nothing (void **state)
{
  struct device dev = new_device (MIB, 8 * BLOCK, BLOCK);

  (void) state;
  write_blocks (&dev, 0, 4, 'a');
  flush (&dev);
  assert_int_equal (try_to_write (&dev, 2, 7, 'b', false), -ENOSPC);
  assert_int_equal (try_to_write (&dev, 2, 7, 'b', true), -ENOSPC);
  assert_int_equal (durability_zero (dev.d, 5 * BLOCK, 8 * BLOCK, false, false),
                    -ENOSPC);
  assert_blocks (&dev, 0, 4, 'a');
  assert_blocks (&dev, 4, 5, 0);
  assert_int_equal (store_charged (dev.store), 4 * BLOCK);
  destroy_device (&dev);
}

/* What a trim has freed comes back, though another device has taken all memory
 * that there was since; and no more is held then than may be, although the page
 * of a sector takes more than the record of it did.
 */
static void
test_trim_is_undone_within_limit (void **state)
{
  struct device dev = new_device (MIB, 8 * BLOCK, 512);
  char page[BLOCK] = "x";
  uint64_t i;

  (void) state;
  for (i = 0; i < 4; i++)
    write_blocks (&dev, i * 8, 1, 'a');
  flush (&dev);
  for (i = 0; i < 4; i++)
    assert_int_equal (durability_trim (dev.d, 512, i * BLOCK, false), 0);
  assert_int_equal (store_written_pages (dev.store, VOLUME), 0);
  for (i = 0; store_write (dev.store, 0, page, BLOCK, i * BLOCK) == 0; i++)
    ;
  assert_int_equal (i, 3);
  cut (&dev, &lose_all);
  for (i = 0; i < 4; i++)
    assert_blocks (&dev, i * 8, 1, 'a');
  assert_int_equal (store_charged (dev.store), 7 * BLOCK);
  destroy_device (&dev);
}

/* Old content of whole pages is in memory of the store, which goes back to the
 * system when it is not needed any more, and not in the C library's.
 */
static void
test_whose_memory (void **state)
{
  struct device dev = new_device (8 * MIB, 64 * MIB, BLOCK);
  const uint64_t nr = 4 * MIB / BLOCK;
  size_t before;
  uint64_t i;

  (void) state;
  write_blocks (&dev, 0, nr, 'a');
  flush (&dev);
  before = mallinfo2 ().uordblks;
  for (i = 0; i < nr; i++)
    write_blocks (&dev, i, 1, 'b');
  assert_int_equal (status (&dev).volatile_bytes, 4 * MIB);
  assert_in_range (mallinfo2 ().uordblks, 0, before + MIB);
  cut (&dev, &lose_all);
  assert_blocks (&dev, 0, nr, 'a');
  destroy_device (&dev);
}

/*---------------------------------------------------------------------*/
/* Zones: blocks 1024 to 1279 are the first sequential one */

#define ZONE 1024
#define ZONE_BLOCKS 256

static uint64_t
lost_from (struct device *dev, uint64_t zone)
{
  const uint64_t lost =
      durability_lost_from (dev->d, (ZONE + zone * ZONE_BLOCKS) * BLOCK);

  return lost == UINT64_MAX ? lost : lost / BLOCK;
}

static void
test_zone_keeps_a_prefix (void **state)
{
  struct power_cut c = {.lose = LOSE_RANDOM, .seed = new_seed ("zone")};
  unsigned i, partly = 0, whole = 0;
  struct device dev;
  uint64_t lost;

  (void) state;
  for (i = 0; i < 200; i++, c.seed++) {
    dev = new_zoned_device (4 * MIB);
    write_blocks (&dev, ZONE, 10, 'a');
    flush (&dev);
    write_blocks (&dev, ZONE + 10, 40, 'b'); /* over a region's border */
    write_blocks (&dev, ZONE + 50, 3, 'c');
    cut (&dev, &c);
    lost = lost_from (&dev, 0);
    if (lost == UINT64_MAX) {
      whole++;
      lost = ZONE + 53;
    }
    else
      partly += lost > ZONE + 10;
    assert_in_range (lost, ZONE + 10, ZONE + 53);
    assert_blocks (&dev, ZONE, 10, 'a');
    assert_blocks (&dev, ZONE + 10, 1, lost > ZONE + 10 ? 'b' : 0);
    if (lost > ZONE + 50)
      assert_blocks (&dev, ZONE + 50, lost - ZONE - 50, 'c');
    assert_blocks (&dev, lost, ZONE + 60 - lost, 0);
    assert_int_equal (lost_from (&dev, 1), UINT64_MAX);
    destroy_device (&dev);
  }
  assert_in_range (partly, 20, 199);
  assert_in_range (whole, 0, 40);
}

static void
test_zone_never_beyond_flush (void **state)
{
  struct device dev = new_zoned_device (4 * MIB);

  (void) state;
  write_blocks (&dev, ZONE, 10, 'a');
  flush (&dev);
  write_blocks (&dev, ZONE + 10, 10, 'b');
  write_blocks (&dev, ZONE + ZONE_BLOCKS, 10, 'c');
  cut (&dev, &lose_all);
  assert_int_equal (lost_from (&dev, 0), ZONE + 10);
  assert_int_equal (lost_from (&dev, 1), ZONE + ZONE_BLOCKS);
  assert_blocks (&dev, ZONE, 10, 'a');
  assert_blocks (&dev, ZONE + 10, 10, 0);
  assert_blocks (&dev, ZONE + ZONE_BLOCKS, 10, 0);

  /* The next cut speaks for itself. */
  cut (&dev, &lose_all);
  assert_int_equal (lost_from (&dev, 0), UINT64_MAX);
  destroy_device (&dev);
}

/* A zone can be lost from the first byte of the device on. */
static void
test_zone_lost_from_byte_0 (void **state)
{
  struct device dev = new_zoned_device (4 * MIB);
  const struct durability_options o = {.store = dev.store,
                                       .volume = VOLUME,
                                       .block_size = BLOCK,
                                       .cache_size = 4 * MIB,
                                       .zone_size = MIB,
                                       .nr_zones = 4};

  (void) state;
  durability_destroy (dev.d);
  assert_int_equal (durability_create (&dev.d, &o), 0);
  write_blocks (&dev, 0, 10, 'a');
  cut (&dev, &lose_all);
  assert_int_equal (durability_lost_from (dev.d, 0), 0);
  destroy_device (&dev);
}

/* A zone of one block is lost from there on, or not at all. */
static void
test_zone_not_lost_behind (void **state)
{
  struct power_cut c = {.lose = LOSE_RANDOM, .seed = new_seed ("behind")};
  unsigned i, lost = 0;
  struct device dev;

  (void) state;
  for (i = 0; i < 100; i++, c.seed++) {
    dev = new_zoned_device (4 * MIB);
    write_blocks (&dev, ZONE, 1, 'a');
    cut (&dev, &c);
    if (lost_from (&dev, 0) != UINT64_MAX) {
      assert_int_equal (lost_from (&dev, 0), ZONE);
      lost++;
    }
    destroy_device (&dev);
  }
  assert_in_range (lost, 20, 80);
}

static void
test_zone_fua_keeps_all_before (void **state)
{
  struct device dev = new_zoned_device (4 * MIB);

  (void) state;
  write_blocks (&dev, ZONE, 10, 'a');
  write_blocks (&dev, ZONE + ZONE_BLOCKS, 10, 'b');
  write_fua (&dev, ZONE + 10, 2, 'c');
  write_blocks (&dev, ZONE + 12, 5, 'd');
  cut (&dev, &lose_all);
  assert_blocks (&dev, ZONE, 10, 'a');
  assert_blocks (&dev, ZONE + 10, 2, 'c');
  assert_int_equal (lost_from (&dev, 0), ZONE + 12);
  assert_int_equal (lost_from (&dev, 1), ZONE + ZONE_BLOCKS);
  assert_int_equal (status (&dev).lost, 15);
  assert_int_equal (status (&dev).kept, 0);
  destroy_device (&dev);
}

static void
reset_zone (struct device *dev)
{
  assert_int_equal (durability_reset_zone (dev->d, ZONE * BLOCK), 0);
  store_trim (dev->store, VOLUME, 30 * BLOCK, ZONE * BLOCK);
}

/* A reset is durable at once, and what was volatile of the zone is gone. */
static void
test_zone_reset_is_durable (void **state)
{
  struct device dev = new_zoned_device (4 * MIB);

  (void) state;
  write_blocks (&dev, ZONE, 10, 'a');
  flush (&dev);
  write_blocks (&dev, ZONE + 10, 10, 'b');
  write_fua (&dev, ZONE + 20, 10, 'b');
  reset_zone (&dev);
  assert_blocks (&dev, ZONE, 30, 0);
  cut (&dev, &lose_all);
  assert_blocks (&dev, ZONE, 30, 0);
  assert_int_equal (lost_from (&dev, 0), UINT64_MAX);
  assert_int_equal (status (&dev).lost, 0);

  write_blocks (&dev, ZONE, 10, 'a');
  flush (&dev);
  write_blocks (&dev, ZONE + 10, 10, 'b');
  reset_zone (&dev);
  write_blocks (&dev, ZONE, 4, 'c');
  flush (&dev);
  write_blocks (&dev, ZONE + 4, 4, 'd');
  cut (&dev, &lose_all);
  assert_blocks (&dev, ZONE, 4, 'c');
  assert_blocks (&dev, ZONE + 4, 16, 0);
  assert_int_equal (lost_from (&dev, 0), ZONE + 4);
  destroy_device (&dev);
}

/* Zeroes move the write pointer though they change no data. */
static void
test_zone_zeroes_may_be_lost (void **state)
{
  struct device dev = new_zoned_device (4 * MIB);

  (void) state;
  assert_int_equal (
      durability_zero (dev.d, 4 * BLOCK, ZONE * BLOCK, false, true), 0);
  assert_int_equal (status (&dev).volatile_bytes, 4 * BLOCK);
  cut (&dev, &lose_all);
  assert_int_equal (lost_from (&dev, 0), ZONE);
  destroy_device (&dev);
}

/* Conventional zones lose blocks as any device does. */
static void
test_conventional_zones (void **state)
{
  struct device dev = new_zoned_device (4 * MIB);

  (void) state;
  write_blocks (&dev, 0, 8, 'a');
  write_fua (&dev, 4, 1, 'b');
  cut (&dev, &lose_all);
  assert_blocks (&dev, 0, 4, 0);
  assert_blocks (&dev, 4, 1, 'b');
  assert_blocks (&dev, 5, 3, 0);
  assert_int_equal (durability_lost_from (dev.d, 0), UINT64_MAX);
  assert_int_equal (durability_lost_from (dev.d, 63 * MIB), UINT64_MAX);
  destroy_device (&dev);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_undo_counts_against_limit),
      cmocka_unit_test (test_long_trim_goes_step_by_step),
      cmocka_unit_test (test_cut_needs_no_memory),
      cmocka_unit_test (test_little_memory_evicts),
      cmocka_unit_test (test_no_memory_means_durable),
      cmocka_unit_test (test_enospc_changes_nothing),
      cmocka_unit_test (test_trim_is_undone_within_limit),
      cmocka_unit_test (test_whose_memory),
      cmocka_unit_test (test_zone_keeps_a_prefix),
      cmocka_unit_test (test_zone_never_beyond_flush),
      cmocka_unit_test (test_zone_lost_from_byte_0),
      cmocka_unit_test (test_zone_not_lost_behind),
      cmocka_unit_test (test_zone_fua_keeps_all_before),
      cmocka_unit_test (test_zone_reset_is_durable),
      cmocka_unit_test (test_zone_zeroes_may_be_lost),
      cmocka_unit_test (test_conventional_zones),
  };

  return RUN_TESTS (tests);
}
