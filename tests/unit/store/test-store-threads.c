/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The store under many threads at once: no block is seen half written, the
 * limit is kept to the byte, and nothing is lost or counted twice.  Also run
 * under ThreadSanitizer.
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "store/store.h"
#include "unit.h"

#define NR_THREADS 6
#define KIB UINT64_C (1024)
#define LAST_BYTE ((uint64_t) INT64_MAX)

struct thread {
  pthread_t id;
  unsigned nr;
  struct store *store;
  uint64_t random;
  uint64_t count; /* what the test counts */
};

static struct store *
new_store (uint64_t limit, bool hugepages)
{
  const struct arena_options o = {
      .limit = limit,
      .volumes = 64,
      .volume_size = LAST_BYTE,
      .hugepages = hugepages,
      .kernel_page = 4096,
  };
  struct store *store;

  if (store_create (&store, &o) != 0) {
    if (hugepages)
      skip ();
    fail_msg ("store_create failed");
  }
  return store;
}

static uint64_t
run_threads (struct store *store, void *(*body) (void *), const char *what)
{
  struct thread threads[NR_THREADS];
  const uint64_t seed = new_seed (what);
  uint64_t count = 0;
  unsigned i;

  for (i = 0; i < NR_THREADS; i++) {
    threads[i] = (struct thread){
        .nr = i, .store = store, .random = seed + i * 0x123456789};
    assert_int_equal (pthread_create (&threads[i].id, NULL, body, &threads[i]),
                      0);
  }
  for (i = 0; i < NR_THREADS; i++) {
    assert_int_equal (pthread_join (threads[i].id, NULL), 0);
    count += threads[i].count;
  }
  return count;
}

/* Bytes in written pages, by asking for extents. */
static uint64_t
count_extents (struct store *store, uint32_t volume, uint64_t end)
{
  uint64_t offset, run_end, bytes = 0;
  bool written;

  for (offset = 0; offset < end; offset = run_end) {
    run_end = store_extent (store, volume, offset, end, &written);
    if (written)
      bytes += run_end - offset;
  }
  return bytes;
}

/*---------------------------------------------------------------------*/
/* Blocks that everybody writes, trims, zeroes and reads, on both sides of a
 * border between chunks.  A block holds one number many times over, or zeroes;
 * a reader that finds two different ones has seen a block torn.
 */

#define NR_BLOCKS UINT64_C (24)
#define FIRST_BLOCK UINT64_C (20) /* of 32 in a chunk */

static uint64_t
count_torn (const uint64_t *buf, size_t nr_blocks)
{
  uint64_t torn = 0;
  size_t i;

  for (i = 0; i < nr_blocks; i++, buf += PAGE / sizeof *buf)
    torn += memcmp (buf, buf + 1, PAGE - sizeof *buf) != 0;
  return torn;
}

static void *
tear (void *arg)
{
  struct thread *t = arg;
  uint64_t *buf = malloc (NR_BLOCKS * PAGE);
  uint64_t first, nr, offset, value;
  unsigned i, j;

  for (i = 0; i < 20000; i++) {
    nr = 1 + random_below (&t->random, 4);
    first = random_below (&t->random, NR_BLOCKS - nr + 1);
    offset = (FIRST_BLOCK + first) * PAGE;
    store_expect (t->store, 0, first % 2 != 0, offset);
    switch (random_below (&t->random, 8)) {
    case 0:
      store_trim (t->store, 0, nr * PAGE, offset);
      break;
    case 1:
      if (store_zero (t->store, 0, nr * PAGE, offset) != 0)
        t->count++;
      break;
    case 2:
    case 3:
    case 4:
      value = next_random (&t->random);
      for (j = 0; j < nr * PAGE / sizeof value; j++)
        buf[j] = value;
      if (store_write (t->store, 0, buf, nr * PAGE, offset) != 0)
        t->count++;
      break;
    default:
      store_read (t->store, 0, buf, nr * PAGE, offset);
      t->count += count_torn (buf, nr);
    }
  }
  free (buf);
  return NULL;
}

static void
test_no_block_is_torn (void **state)
{
  struct store *store = new_store (1024 * KIB, false);

  (void) state;
  assert_int_equal (run_threads (store, tear, "no block is torn"), 0);
  assert_int_equal (store_charged (store), count_extents (store, 0, 512 * KIB));
  store_destroy (store);
}

static void
test_no_block_is_torn_hugepages (void **state)
{
  struct store *store = new_store (8192 * KIB, true);

  (void) state;
  assert_int_equal (run_threads (store, tear, "the same, huge pages"), 0);
  store_destroy (store);
}

/*---------------------------------------------------------------------*/
/* Everybody takes fresh pages until there are none.  The count of successes
 * must be the limit exactly: a refusal while there is room, and a page too
 * many, both show.
 */

#define LIMIT_PAGES 3000

static void *
fill (void *arg)
{
  static const char buf[2 * PAGE];
  struct thread *t = arg;
  uint64_t i;

  /* Pairs of pages over the border of two chunks, then single pages. */
  for (i = 0; i < LIMIT_PAGES; i++) {
    if (store_write (t->store, t->nr, buf, 2 * PAGE,
                     (i + 1) * 128 * KIB - PAGE) != 0)
      break;
    t->count += 2;
  }
  for (i = 0; i < LIMIT_PAGES; i++) {
    if (store_write (t->store, NR_THREADS + t->nr, buf, PAGE, i * PAGE) != 0)
      break;
    t->count++;
  }
  return NULL;
}

static void
test_limit_is_exact (void **state)
{
  struct store *store = new_store (LIMIT_PAGES * PAGE, false);
  uint64_t bytes = 0;
  uint32_t volume;

  (void) state;
  assert_int_equal (run_threads (store, fill, "the limit is exact"),
                    LIMIT_PAGES);
  assert_int_equal (store_charged (store), LIMIT_PAGES * PAGE);
  for (volume = 0; volume < 2 * NR_THREADS; volume++)
    bytes += count_extents (store, volume, LIMIT_PAGES * 128 * KIB + PAGE);
  assert_int_equal (bytes, LIMIT_PAGES * PAGE);
  store_destroy (store);
}

/*---------------------------------------------------------------------*/
/* Half of the threads ask for more than there is, and are always refused: a
 * page too many, and more chunks than the arena has.  The others come and go
 * with the little that there is room for.  A refusal may not take, for however
 * short a time, what another could have.
 */

#define ROOM (NR_THREADS * PAGE)

static void *
ask_in_vain (void *arg)
{
  struct thread *t = arg;
  const bool greedy = t->nr % 2 == 0;
  unsigned i;

  for (i = 0; i < 50000; i++) {
    if (greedy && i % 2 == 0)
      t->count += store_zero (t->store, t->nr, ROOM + PAGE, 0) != -ENOSPC;
    else if (greedy)
      t->count += store_zero (t->store, t->nr, 40 * 128 * KIB, 0) != -ENOSPC;
    else {
      t->count += store_write (t->store, t->nr, "x", 1, i * PAGE) != 0;
      store_trim (t->store, t->nr, PAGE, i * PAGE);
    }
  }
  return NULL;
}

static void
test_refusals_take_nothing (void **state)
{
  struct store *store = new_store (ROOM, false);

  (void) state;
  assert_int_equal (run_threads (store, ask_in_vain, "asking in vain"), 0);
  assert_int_equal (store_charged (store), 0);
  store_destroy (store);
}

/*---------------------------------------------------------------------*/
/* Rewrites of a full store may not be refused, however many at a time. */

static void *
rewrite (void *arg)
{
  struct thread *t = arg;
  const uint64_t base = t->nr * 512 * KIB;
  char *buf = malloc (512 * KIB);
  unsigned i;

  memset (buf, 5, 512 * KIB);
  for (i = 0; i < 200; i++)
    t->count +=
        store_write (t->store, 0, buf, 512 * KIB - i * PAGE / 4, base) != 0;
  free (buf);
  return NULL;
}

static void
test_rewrites_of_a_full_store (void **state)
{
  const uint64_t size = NR_THREADS * 512 * KIB;
  struct store *store = new_store (size, false);

  (void) state;
  assert_int_equal (store_zero (store, 0, size, 0), 0);
  assert_int_equal (store_charged (store), size);
  assert_int_equal (run_threads (store, rewrite, "rewrites"), 0);
  assert_int_equal (store_charged (store), size);
  store_destroy (store);
}

/*---------------------------------------------------------------------*/
/* Chunks come and go in all threads at once, each thread's on its own pages of
 * chunks that it shares with the others.
 */

static void *
come_and_go (void *arg)
{
  struct thread *t = arg;
  uint64_t offset, value, out;
  unsigned i;

  for (i = 0; i < 30000; i++) {
    offset = random_below (&t->random, 50) * 999 * 128 * KIB + t->nr * PAGE;
    value = next_random (&t->random);
    if (store_write (t->store, 0, &value, sizeof value, offset) != 0)
      t->count++;
    store_read (t->store, 0, &out, sizeof out, offset);
    t->count += out != value;
    store_trim (t->store, 0, PAGE, offset);
    store_read (t->store, 0, &out, sizeof out, offset);
    t->count += out != 0;
  }
  return NULL;
}

static void
test_chunks_come_and_go (void **state)
{
  struct store *store = new_store (NR_THREADS * PAGE, false);
  bool written;

  (void) state;
  assert_int_equal (run_threads (store, come_and_go, "chunks come and go"), 0);
  assert_int_equal (store_charged (store), 0);
  assert_int_equal (store_extent (store, 0, 0, 8192 * 1024 * KIB, &written),
                    8192 * 1024 * KIB);
  assert_false (written);
  store_destroy (store);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_no_block_is_torn),
      cmocka_unit_test (test_no_block_is_torn_hugepages),
      cmocka_unit_test (test_limit_is_exact),
      cmocka_unit_test (test_refusals_take_nothing),
      cmocka_unit_test (test_rewrites_of_a_full_store),
      cmocka_unit_test (test_chunks_come_and_go),
  };

  return RUN_TESTS (tests);
}
