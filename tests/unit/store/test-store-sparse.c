/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A store with little data far apart, in volumes as large as they can be: what
 * is there is found, in order, and work on a range costs by what is there and
 * not by how long it is.
 */

#include <config.h>

#include <stdbool.h>
#include <string.h>

#include "store/store.h"
#include "unit.h"

#define END ((uint64_t) INT64_MAX & -PAGE)
#define CHUNK (UINT64_C (1) << CHUNK_SHIFT)
#define VOLUMES 3
#define MOST 200 /* pages of a volume */

/* The model: the places of the pages that are written, ascending. */
static struct {
  uint64_t at[MOST];
  unsigned nr;
} pages[VOLUMES];

static struct store *store;

static void
create (void)
{
  const struct arena_options o = {.limit = UINT64_C (64) << 20,
                                  .volumes = VOLUMES,
                                  .volume_size = INT64_MAX,
                                  .kernel_page = 4096};

  memset (pages, 0, sizeof pages);
  assert_int_equal (store_create (&store, &o), 0);
}

/* Many of them near powers of two and near one another, where trees branch. */
static uint64_t
random_place (uint64_t *random)
{
  const unsigned shift = 12 + random_below (random, 51);
  uint64_t at = UINT64_C (1) << shift;

  if (random_below (random, 2) == 0)
    at += at / 2;
  switch (random_below (random, 4)) {
  case 0:
    at -= PAGE * random_below (random, 40);
    break;
  case 1:
    at += CHUNK * random_below (random, 8);
    break;
  case 2:
    at = next_random (random) >> (1 + random_below (random, 40));
    break;
  }
  at &= -PAGE;
  return at < END ? at : END - PAGE;
}

/* The first in the model from AT on. */
static unsigned
first_from (uint32_t volume, uint64_t at)
{
  unsigned i;

  for (i = 0; i < pages[volume].nr && pages[volume].at[i] < at; i++)
    ;
  return i;
}

static void
write_page (uint32_t volume, uint64_t at)
{
  const unsigned i = first_from (volume, at);
  static const char page[PAGE] = "x";
  const size_t rest = pages[volume].nr - i;

  assert_int_equal (store_write (store, volume, page, sizeof page, at), 0);
  if (rest > 0 && pages[volume].at[i] == at)
    return;
  memmove (&pages[volume].at[i + 1], &pages[volume].at[i],
           rest * sizeof (uint64_t));
  pages[volume].at[i] = at;
  pages[volume].nr++;
}

/* From AT up to TO. */
static void
trim (uint32_t volume, uint64_t at, uint64_t to)
{
  const unsigned first = first_from (volume, at);
  const unsigned last = first_from (volume, to);
  const size_t rest = pages[volume].nr - last;

  store_trim (store, volume, to - at, at);
  memmove (&pages[volume].at[first], &pages[volume].at[last],
           rest * sizeof (uint64_t));
  pages[volume].nr -= last - first;
}

/* The extent at AT, and what is held. */
static void
check (uint32_t volume, uint64_t at)
{
  unsigned i = first_from (volume, at);
  const bool is_there = i < pages[volume].nr && pages[volume].at[i] == at;
  uint64_t end = i < pages[volume].nr ? pages[volume].at[i] : END;
  uint64_t held = 0;
  bool written;

  if (is_there) {
    for (end = at; i < pages[volume].nr && pages[volume].at[i] == end; i++)
      end += PAGE;
  }
  assert_int_equal (store_extent (store, volume, at, END, &written), end);
  assert_int_equal (written, is_there);
  assert_int_equal (store_written_pages (store, volume), pages[volume].nr);
  for (i = 0; i < VOLUMES; i++)
    held += pages[i].nr * PAGE;
  assert_int_equal (store_charged (store), held);
}

static void
test_model (void **state)
{
  uint64_t random = new_seed ("far apart"), at, to;
  uint32_t volume;
  unsigned i;

  (void) state;
  create ();
  for (i = 0; i < 60000; i++) {
    volume = random_below (&random, VOLUMES);
    at = random_place (&random);
    if (pages[volume].nr < MOST && random_below (&random, 3) > 0)
      write_page (volume, at);
    else if (pages[volume].nr > 0 && random_below (&random, 3) > 0) {
      at = pages[volume].at[random_below (&random, pages[volume].nr)];
      trim (volume, at, at + PAGE);
    }
    else if (random_below (&random, 8) == 0) {
      to = random_place (&random);
      if (at != to)
        trim (volume, at < to ? at : to, at < to ? to : at);
    }
    check (volume, random_place (&random));
    if (pages[volume].nr > 0)
      check (volume,
             pages[volume].at[random_below (&random, pages[volume].nr)]);
  }
  for (volume = 0; volume < VOLUMES; volume++)
    trim (volume, 0, END);
  check (0, 0);
  store_destroy (store);
}

/* How often is the next chunk looked for in a trim of this range? */
static uint64_t
looks_of_trim (uint64_t count, uint64_t offset)
{
  const uint64_t before = store_count_lookups (store, 0);

  store_trim (store, 0, count, offset);
  return store_count_lookups (store, 0) - before;
}

/* A page costs the same whatever the range is and whatever else there is. */
static void
test_work_is_by_content (void **state)
{
  const uint64_t before = 8; /* so much more that is known to be there */
  unsigned shift, i;
  uint64_t lookups;
  bool written;

  (void) state;
  create ();
  for (i = 0; i < 2000; i++)
    assert_int_equal (
        store_write (store, 0, "x", 1, i * (UINT64_C (1) << 50) + 7 * CHUNK),
        0);
  for (shift = 20; shift <= 49; shift++) {
    assert_int_equal (store_write (store, 0, "x", 1, UINT64_C (1) << shift), 0);
    assert_true (looks_of_trim (UINT64_C (1) << shift, UINT64_C (1) << shift) <=
                 3);
    lookups = store_count_lookups (store, 0);
    store_extent (store, 0, UINT64_C (1) << shift, END, &written);
    assert_true (store_count_lookups (store, 0) - lookups <= before);
  }
  assert_true (looks_of_trim (END, 0) <= 2 * 2000 + before);
  assert_int_equal (store_charged (store), 0);
  store_destroy (store);
}

/* A step has at most so much in it, and is as long as that makes it. */
static void
test_steps (void **state)
{
  const unsigned chunks = STORE_STEP / CHUNK;
  const uint64_t far = UINT64_C (1) << 60;
  uint64_t at;
  unsigned i;

  (void) state;
  create ();
  assert_int_equal (store_step_end (store, 0, 0, END), END);
  assert_int_equal (store_trim_step (store, 0, 0, END), END);
  for (i = 0; i < 2 * chunks; i++)
    assert_int_equal (store_write (store, 0, "x", 1, far + i * CHUNK), 0);

  at = far + chunks * CHUNK;
  assert_int_equal (store_step_end (store, 0, 0, END), at);
  assert_int_equal (store_step_end (store, 0, 0, at - 1), at - 1);
  assert_int_equal (store_step_end (store, 0, at, END), END);
  assert_int_equal (store_step_end (store, 0, at + 1, END), END);
  assert_int_equal (store_step_end (store, 1, 0, END), END);
  assert_int_equal (store_trim_step (store, 0, 0, END), at);
  assert_int_equal (store_charged (store), chunks * PAGE);
  assert_int_equal (store_trim_step (store, 0, at, END), END);
  assert_int_equal (store_charged (store), 0);
  store_destroy (store);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_model),
      cmocka_unit_test (test_work_is_by_content),
      cmocka_unit_test (test_steps),
  };

  return RUN_TESTS (tests);
}
