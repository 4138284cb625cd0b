/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The table of chunks: where keys have their buckets.
 */

#include <config.h>

#include <string.h>

#include "store/table-internal.h"
#include "unit.h"

#define KEYS 1000
#define ROW 1024

static const struct arena_options options = {
    .limit = UINT64_C (1) << 28,
    .volumes = 1,
    .volume_size = UINT64_C (1) << 62,
    .kernel_page = 4096,
};

/* Keys that a client has found to share a bucket do so in one server only. */
static void
test_secret (void **state)
{
  static uint8_t met[1 << 20];
  static uint64_t keys[KEYS];
  uint64_t key, bucket, most = 0;
  struct arena arena;
  struct table one, other;
  unsigned n = 0;

  (void) state;
  assert_int_equal (arena_create (&arena, &options), 0);
  assert_int_equal (table_create (&one, &arena, &options, ROW), 0);
  assert_int_equal (table_create (&other, &arena, &options, ROW), 0);
  assert_true (other.bucket_mask < sizeof met);
  for (key = 0; n < KEYS; key += ROW) {
    if (table_bucket (&one, key) == table_bucket (&one, 0))
      keys[n++] = key;
  }
  for (n = 0; n < KEYS; n++) {
    bucket = table_bucket (&other, keys[n]);
    met[bucket]++;
    if (met[bucket] > most)
      most = met[bucket];
    assert_true (most < 100);
  }
  table_destroy (&other);
  table_destroy (&one);
  arena_destroy (&arena);
}

/* A large request meets each bucket once. */
static void
test_rows (void **state)
{
  static uint8_t met[1 << 20];
  uint64_t random = new_seed ("rows"), key;
  struct arena arena;
  struct table table;
  unsigned i, k;

  (void) state;
  assert_int_equal (arena_create (&arena, &options), 0);
  assert_int_equal (table_create (&table, &arena, &options, ROW), 0);
  for (i = 0; i < 100; i++) {
    memset (met, 0, sizeof met);
    key = random_below (&random, UINT64_C (1) << 34) * ROW;
    for (k = 0; k < ROW; k++)
      assert_int_equal (met[table_bucket (&table, key + k)]++, 0);
  }
  table_destroy (&table);
  arena_destroy (&arena);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_secret),
      cmocka_unit_test (test_rows),
  };

  return RUN_TESTS (tests);
}
