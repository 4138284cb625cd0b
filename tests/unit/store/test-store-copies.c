/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Memory for copies of data: they stay as they are, and memory goes back to the
 * system as they go, in whatever order.
 */

#include <config.h>

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "store/store-internal.h"
#include "unit.h"

#define MOST 400 /* copies at a time */
#define PAGES_IN_CHUNK 32

static struct store *store;
static struct store_copies copies;

struct copy {
  char *data;
  uint64_t bytes;
  uint8_t fill;
};
static struct copy held[MOST];
static unsigned nr_held;
static uint64_t pages_held;

static void
create (void)
{
  const struct arena_options o = {.limit = MOST * PAGES_IN_CHUNK * PAGE,
                                  .volumes = 1,
                                  .volume_size = PAGE,
                                  .copies = true,
                                  .kernel_page = PAGE};

  assert_int_equal (store_create (&store, &o), 0);
  store_copies_init (&copies);
  nr_held = 0;
  pages_held = 0;
}

/* How many pages of all chunks that there ever were have memory? */
static uint64_t
resident (void)
{
  const uint32_t end = atomic_load (&store->arena.next);
  unsigned char map[PAGES_IN_CHUNK];
  uint64_t n = 0;
  uint32_t nr;
  unsigned i;

  for (nr = 1; nr < end; nr++) {
    assert_int_equal (
        mincore (arena_data (&store->arena, nr), PAGES_IN_CHUNK * PAGE, map),
        0);
    for (i = 0; i < PAGES_IN_CHUNK; i++)
      n += map[i] & 1;
  }
  return n;
}

static uint64_t
pages_of (uint64_t bytes)
{
  return (bytes + PAGE - 1) / PAGE;
}

static void
take (uint64_t bytes, uint8_t fill)
{
  struct copy *c = &held[nr_held++];

  *c = (struct copy){store_take_copy (store, &copies, bytes), bytes, fill};
  assert_non_null (c->data);
  memset (c->data, fill, bytes);
  pages_held += pages_of (bytes);
}

static void
give (unsigned i, bool now)
{
  const struct copy c = held[i];

  assert_int_equal ((uint8_t) c.data[0], c.fill);
  assert_memory_equal (c.data, c.data + 1, c.bytes - 1);
  store_give_copy (store, &copies, c.data, c.bytes, now);
  memmove (&held[i], &held[i + 1], (--nr_held - i) * sizeof c);
  pages_held -= pages_of (c.bytes);
}

static uint64_t
random_bytes (uint64_t *random)
{
  return random_below (random, 3) == 0
             ? 1 + random_below (random, PAGES_IN_CHUNK * PAGE)
             : PAGE;
}

/* NOW, in any order: nothing is left but what there is. */
static void
test_now (void **state)
{
  uint64_t random = new_seed ("now");
  unsigned round;

  (void) state;
  create ();
  for (round = 0; round < 40; round++) {
    while (nr_held < MOST)
      take (random_bytes (&random), next_random (&random));
    assert_int_equal (resident (), pages_held);
    while (nr_held > 0) {
      give (random_below (&random, nr_held), true);
      if (nr_held % 50 == 0)
        assert_int_equal (resident (), pages_held);
    }
  }
  assert_int_equal (resident (), 0);
  store_copies_destroy (store, &copies);
  store_destroy (store);
}

/* In the order in which they came: a chunk or two more, and whoever fills them
 * again needs no other.
 */
static void
test_in_order (void **state)
{
  uint64_t random = new_seed ("in order");
  uint32_t chunks;
  unsigned i;

  (void) state;
  create ();
  while (nr_held < MOST)
    take (PAGE, next_random (&random));
  give (0, false);
  take (PAGE, 1);
  chunks = MOST / PAGES_IN_CHUNK + 2;
  for (i = 0; i < 20 * MOST; i++) {
    give (0, false);
    take (PAGE, next_random (&random));
    assert_true (atomic_load (&store->arena.next) <= 1 + chunks);
    if (i % 100 == 0)
      assert_true (resident () <= pages_held + 2 * PAGES_IN_CHUNK);
  }
  while (nr_held > 0)
    give (0, false);
  assert_true (resident () <= PAGES_IN_CHUNK);
  store_copies_destroy (store, &copies);
  assert_int_equal (resident (), 0);
  store_destroy (store);
}

/* Either way by chance: far more than there are chunks, so that all come back.
 */
static void
test_mixed (void **state)
{
  uint64_t random = new_seed ("mixed");
  unsigned i;

  (void) state;
  create ();
  for (i = 0; i < 100000; i++) {
    if (nr_held < MOST && (nr_held == 0 || random_below (&random, 2) == 0))
      take (random_bytes (&random), next_random (&random));
    else
      give (random_below (&random, nr_held), random_below (&random, 2));
  }
  while (nr_held > 0)
    give (0, false);
  store_copies_destroy (store, &copies);
  assert_int_equal (resident (), 0);
  store_destroy (store);
}

/* Small ones again and again keep a little. */
static void
test_little (void **state)
{
  unsigned i;

  (void) state;
  create ();
  for (i = 0; i < 100; i++) {
    take (2 * PAGE, i);
    give (0, false);
    assert_int_equal (resident (), 2);
  }
  take (PAGES_IN_CHUNK * PAGE, 1);
  give (0, false);
  assert_int_equal (resident (), 0);
  assert_null (store_take_copy (store, &copies, PAGES_IN_CHUNK * PAGE + 1));
  store_copies_destroy (store, &copies);
  store_destroy (store);
}

/* Copies that are still there are the caller's loss; all other memory goes. */
static void
test_end (void **state)
{
  unsigned i;

  (void) state;
  create ();
  for (i = 0; i < 2 * PAGES_IN_CHUNK + 1; i++)
    take (PAGE, i);
  for (i = 0; i < PAGES_IN_CHUNK; i++)
    give (0, false);
  assert_int_equal (resident (), 2 * PAGES_IN_CHUNK + 1);
  store_copies_destroy (store, &copies);
  assert_int_equal (resident (), PAGES_IN_CHUNK);
  store_destroy (store);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_now),   cmocka_unit_test (test_in_order),
      cmocka_unit_test (test_mixed), cmocka_unit_test (test_little),
      cmocka_unit_test (test_end),
  };

  return RUN_TESTS (tests);
}
