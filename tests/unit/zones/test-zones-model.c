/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Zones and store against the naive model, by random operations on random
 * devices: every result, every descriptor after every operation, and all data
 * now and then must be the same.  NULLBLK_OPERATIONS in the environment is how
 * many there are.
 */

#include <config.h>

#include <string.h>

#include "random-model.h"
#include "zoned.h"

#ifdef __SANITIZE_ADDRESS__
#define DEFAULT_OPERATIONS 200000
#else
#define DEFAULT_OPERATIONS 2000000
#endif

static struct zoned d;
static struct model m;
static unsigned char data[MODEL_MAX_SIZE], back[MODEL_MAX_SIZE],
    model_back[MODEL_MAX_SIZE];

/* What was done last, for whoever reads a failure. */
static char last[128];

static void
create (uint64_t *random, bool limits)
{
  struct zone_settings s = {.zoned = true};
  struct message why;
  uint64_t zones, short_by = 0;

  s.zone_size = UINT64_C (4096) << random_below (random, 3);
  zones = 1 + random_below (random, 16);
  s.capacity = s.zone_size;
  if (random_below (random, 2) == 0)
    s.capacity = BLOCK * (1 + random_below (random, s.zone_size / BLOCK));
  else if (random_below (random, 2) == 0)
    short_by = BLOCK * random_below (random, s.zone_size / BLOCK);
  if (zones == 1)
    short_by = 0;
  m.size = zones * s.zone_size - short_by;
  s.nr_conv = random_below (random, zones < 4 ? zones : 4);
  if (limits) {
    s.max_open = random_below (random, 6);
    s.max_active = random_below (random, 6);
  }
  s.full = random_below (random, 8) == 0;
  s.past_wp = random_below (random, 3);
  s.trim = random_below (random, 3);
  m.memory = random_below (random, 3) == 0;
  if (zone_settings_complete (&s, m.size, BLOCK, &why) != 0)
    fail_msg ("%s", why.text);
  zoned_create (&d, &s, m.size, m.memory);

  m.zone_size = s.zone_size;
  m.capacity = s.capacity;
  m.nr_conv = (int) s.nr_conv;
  m.max_open = (int) s.max_open;
  m.max_active = (int) s.max_active;
  m.full = s.full;
  m.past_wp = (int) s.past_wp;
  m.trim = (int) s.trim;
  model_begin (&m);
}

static void
compare_table (void)
{
  struct zone_descriptor r[MODEL_MAX_ZONES];
  uint64_t counts[NR_ZONE_CONDS];
  int i;

  assert_int_equal (zones_read_table (d.zones, 0, r, MODEL_MAX_ZONES),
                    m.nr_zones);
  compare_descriptors (&m, r, last);
  zones_count_by_condition (d.zones, counts);
  for (i = 0; i < m.nr_zones; i++)
    counts[m.zones[i].cond]--;
  for (i = 0; i < NR_ZONE_CONDS; i++)
    assert_int_equal (counts[i], 0);
}

static void
compare_results (int r, int model_r)
{
  if (r != model_r)
    fail_msg ("%s: %d, not %d", last, r, model_r);
}

static void
compare_read (uint64_t count, uint64_t offset)
{
  int r, model_r;

  snprintf (last, sizeof last, "read of %llu at %llu",
            (unsigned long long) count, (unsigned long long) offset);
  r = zoned_read (&d, back, count, offset);
  model_r = model_read (&m, model_back, count, offset);
  compare_results (r, model_r);
  if (r == 0 && memcmp (back, model_back, count) != 0)
    fail_msg ("%s: other data", last);
}

static void
compare_extents (uint64_t count, uint64_t offset)
{
  static const char letters[] = "cdzh";
  const uint64_t end = offset + count;
  uint64_t run_end;
  char letter;

  snprintf (last, sizeof last, "extents of %llu at %llu",
            (unsigned long long) count, (unsigned long long) offset);
  while (offset < end) {
    letter = letters[zones_extent (d.zones, offset, end, &run_end)];
    if (run_end <= offset || run_end > end)
      fail_msg ("%s: a run to %llu", last, (unsigned long long) run_end);
    if (run_end < end && model_extent (&m, run_end) == letter)
      fail_msg ("%s: a run ends early at %llu", last,
                (unsigned long long) run_end);
    for (; offset < run_end; offset += BLOCK) {
      if (model_extent (&m, offset) != letter)
        fail_msg ("%s: %c at %llu", last, letter, (unsigned long long) offset);
    }
  }
}

/* To the zone of the place, which has to say where it would go. */
static void
do_append (const void *buf, uint64_t count, uint64_t offset, uint64_t cut)
{
  const uint64_t place = zones_append_offset (d.zones, offset);
  uint64_t went = offset, model_went = offset;
  int r;

  snprintf (last, sizeof last, "append of %llu at %llu, cut at %llu",
            (unsigned long long) count, (unsigned long long) offset,
            (unsigned long long) cut);
  r = zoned_append_cut (&d, buf, count, &went, cut);
  compare_results (r, model_append (&m, buf, count, &model_went, cut));
  if (r == 0 && (went != model_went || went != place))
    fail_msg ("%s: went to %llu, not %llu, and was to go to %llu", last,
              (unsigned long long) went, (unsigned long long) model_went,
              (unsigned long long) place);
  if (place / m.zone_size != offset / m.zone_size)
    fail_msg ("%s: was to go to %llu", last, (unsigned long long) place);
}

/* Mostly at a write pointer, mostly complete; sometimes zeroes, or an append.
 */
static void
do_write (uint64_t *random)
{
  uint64_t offset, count, cut, i;
  const void *buf = data;

  offset = random_write (&m, random, &count);
  cut = random_below (random, 10) == 0
            ? BLOCK * random_below (random, count / BLOCK + 1)
            : count;
  for (i = 0; i < count; i += sizeof *random)
    memcpy (&data[i], random, sizeof *random);
  if (random_below (random, 6) == 0)
    buf = NULL;
  if (random_below (random, 4) == 0) {
    do_append (buf, count, offset, cut);
    return;
  }
  snprintf (last, sizeof last, "write of %llu at %llu, cut at %llu",
            (unsigned long long) count, (unsigned long long) offset,
            (unsigned long long) cut);
  compare_results (zoned_write_cut (&d, buf, count, offset, cut),
                   model_write (&m, buf, count, offset, cut));
}

static void
do_trim (uint64_t *random)
{
  uint64_t offset, count;

  offset = random_trim (&m, random, &count);
  snprintf (last, sizeof last, "trim of %llu at %llu",
            (unsigned long long) count, (unsigned long long) offset);
  compare_results (zones_trim (d.zones, count, offset),
                   model_trim (&m, count, offset));
}

static void
do_command (uint64_t *random)
{
  const uint64_t zone = random_below (random, m.nr_zones + 1);
  const int cond = random_command (&m, random, zone);

  snprintf (last, sizeof last, "command %d to zone %llu", cond,
            (unsigned long long) zone);
  compare_results (zones_command (d.zones, zone, (enum zone_cond) cond),
                   model_command (&m, zone, cond));
}

static void
do_something (uint64_t *random)
{
  uint64_t offset, count;

  switch (random_below (random, 64)) {
  case 0:
    snprintf (last, sizeof last, "reset of all");
    zones_reset_all (d.zones);
    model_reset_all (&m);
    break;
  case 1:
  case 2:
    do_trim (random);
    break;
  case 3:
    offset = random_range (&m, random, m.size / BLOCK, &count);
    compare_extents (count, offset);
    break;
  case 4:
    offset = random_range (&m, random, m.size / BLOCK, &count);
    compare_read (count, offset);
    break;
  case 5:
  case 6:
  case 7:
  case 8:
  case 9:
  case 10:
    offset = random_range (&m, random, 12, &count);
    compare_read (count, offset);
    break;
  default:
    if (random_below (random, 3) == 0)
      do_command (random);
    else
      do_write (random);
  }
}

/* Whatever is reset holds nothing. */
static void
destroy (void)
{
  uint64_t i;
  int held;

  for (i = 0; i < (uint64_t) m.nr_zones; i++) {
    if (m.zones[i].wp == MODEL_NO_WP)
      zones_command (d.zones, i, (enum zone_cond) m.zones[i].cond);
  }
  zones_reset_all (d.zones);
  if (m.memory) {
    store_trim (d.store, 0, m.nr_conv * m.zone_size, 0);
    held = (int) store_charged (d.store);
    assert_int_equal (held, 0);
  }
  zoned_destroy (&d);
}

static const struct model_test test = {
    .create = create,
    .destroy = destroy,
    .operate = do_something,
    .compare_table = compare_table,
    .compare_read = compare_read,
    .each = 10000,
    .data_every = 500,
};

static void
test_without_limits (void **state)
{
  (void) state;
  run_model_test (&m, &test, nr_operations (DEFAULT_OPERATIONS) / 2, false);
}

static void
test_with_limits (void **state)
{
  (void) state;
  run_model_test (&m, &test, nr_operations (DEFAULT_OPERATIONS) / 2, true);
}

int
main (void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_without_limits),
      cmocka_unit_test (test_with_limits),
  };

  return RUN_TESTS (tests);
}
