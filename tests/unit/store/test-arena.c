/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * How the arena divides its address space, that it makes it usable little by
 * little, and what the store does where the system refuses more.  The linker
 * puts mprotect here in the place of the C library's (--wrap).
 */

#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "store/store-internal.h"
#include "unit.h"

#define KIB UINT64_C (1024)
#define MIB (1024 * KIB)
#define CHUNK (UINT64_C (1) << CHUNK_SHIFT)
#define HUGE_CHUNK (UINT64_C (1) << HUGE_CHUNK_SHIFT)
#define STEP (64 * MIB) /* made usable at a time */

int __real_mprotect (void *address, size_t len, int protection);
int __wrap_mprotect (void *address, size_t len, int protection);

static unsigned calls; /* of mprotect, since the test has set it to 0 */
static bool refuses;

int
__wrap_mprotect (void *address, size_t len, int protection)
{
  calls++;
  if (refuses) {
    errno = ENOMEM;
    return -1;
  }
  return __real_mprotect (address, len, protection);
}

static struct arena_options
options (uint64_t limit, bool hugepages)
{
  return (struct arena_options){.limit = limit,
                                .volumes = 2,
                                .volume_size = INT64_MAX,
                                .hugepages = hugepages,
                                .kernel_page = 4096};
}

/* A header is its fields and two maps, and no longer; all headers stand before
 * all data, which begins with a huge page, and both are in the mapping.
 */
static void
check_layout (bool hugepages)
{
  const struct arena_options o = options (STEP, hugepages);
  const size_t map = (hugepages ? HUGE_CHUNK : CHUNK) / PAGE / 8;
  struct arena a;
  char *end;

  if (arena_create (&a, &o) != 0) {
    if (hugepages)
      skip ();
    fail_msg ("arena_create failed");
  }
  assert_int_equal (a.header_size, (offsetof (struct chunk, written) + 2 * map +
                                    _Alignof(struct chunk) - 1) &
                                       -_Alignof(struct chunk));
  assert_ptr_equal ((char *) arena_stale (&a, 1),
                    (char *) arena_chunk (&a, 1)->written + map);
  assert_true ((char *) arena_chunk (&a, 0) >= a.map);
  assert_true ((char *) arena_chunk (&a, a.last_chunk + 1) <=
               arena_data (&a, 1));
  assert_true (arena_data (&a, 1) -
                   (char *) arena_chunk (&a, a.last_chunk + 1) <
               (ptrdiff_t) HUGE_CHUNK);
  assert_int_equal ((uintptr_t) arena_data (&a, 1) % HUGE_CHUNK, 0);
  end = a.map + a.map_size;
  assert_true (arena_data (&a, a.last_chunk + 1) <= end);
  assert_true (end - arena_data (&a, a.last_chunk + 1) <=
               (ptrdiff_t) HUGE_CHUNK);
  arena_destroy (&a);
}

static void
test_layout (void **state)
{
  (void) state;
  check_layout (false);
}

static void
test_layout_of_huge_pages (void **state)
{
  (void) state;
  check_layout (true);
}

/* Units of memory that stand alone have a chunk each, beside the spare ones;
 * but never more than all devices have, unless there are copies.
 */
static void
test_number_of_chunks (void **state)
{
  struct arena_options o = options (STEP, false);
  struct arena a;

  (void) state;
  if (SIZE_MAX < UINT64_MAX)
    skip (); /* no address space for so many */
  assert_int_equal (arena_create (&a, &o), 0);
  assert_int_equal (a.last_chunk, STEP / PAGE + 1 + SPARE_CHUNKS);
  arena_destroy (&a);

  o.volume_size = 3 * CHUNK + 1;
  assert_int_equal (arena_all_chunks (&o), 2 * 4);
  assert_int_equal (arena_create (&a, &o), 0);
  assert_int_equal (a.last_chunk, 2 * 4 + SPARE_CHUNKS);
  arena_destroy (&a);
  o.copies = true;
  assert_int_equal (arena_create (&a, &o), 0);
  assert_int_equal (a.last_chunk, STEP / PAGE + 1 + SPARE_CHUNKS);
  arena_destroy (&a);

  o.volume_size = 3 * CHUNK;
  assert_int_equal (arena_all_chunks (&o), 2 * 3);
  o.volume_size = INT64_MAX;
  o.volumes = UINT64_MAX / 2;
  assert_int_equal (arena_all_chunks (&o), UINT64_MAX);
}

/* A limit that an arena was made for can be had again; a larger one than the
 * largest that was named only where there is address space for it, as for an
 * arena whose memory is taken by pages, but not where a chunk is the least that
 * is taken.
 */
static void
test_limits (void **state)
{
  struct arena_options o = options (STEP, false);
  struct arena a;
  unsigned i;

  (void) state;
  for (i = 0; i < 2; i++) {
    o.kernel_page = i == 0 ? 4096 : 65536;
    o.max_limit = STEP + CHUNK;
    assert_int_equal (arena_create (&a, &o), 0);
    assert_int_equal (arena_set_limit (&a, CHUNK), 0);
    assert_int_equal (arena_set_limit (&a, STEP), 0);
    assert_int_equal (arena_set_limit (&a, STEP + CHUNK), 0);
    assert_int_equal (arena_set_limit (&a, STEP + 2 * CHUNK),
                      i == 0 ? 0 : -ENOMEM);
    assert_int_equal (arena_set_limit (&a, STEP * PAGE), -ENOMEM);
    arena_destroy (&a);
    o.max_limit = 0;
    assert_int_equal (arena_create (&a, &o), 0);
    assert_int_equal (arena_set_limit (&a, CHUNK), 0);
    assert_int_equal (arena_set_limit (&a, STEP), 0);
    arena_destroy (&a);
  }
}

/* Chunks become usable 64 MiB at a time, the last ones together with their
 * headers; where there is no more chunk, or no more memory, there is none.
 */
static void
test_steps (void **state)
{
  struct arena_options o = options (STEP, false);
  const uint32_t step = STEP / CHUNK;
  uint32_t nr, last;
  struct arena a;

  (void) state;
  o.volumes = 1;
  o.volume_size = 2 * STEP;
  assert_int_equal (arena_create (&a, &o), 0);
  last = 2 * step + SPARE_CHUNKS;
  assert_int_equal (a.last_chunk, last);

  calls = 0;
  refuses = true;
  assert_int_equal (arena_take (&a), 0);
  assert_int_equal (atomic_load (&a.usable), 1);
  refuses = false;
  calls = 0;
  for (nr = 1; nr <= last; nr++) {
    assert_int_equal (arena_take (&a), nr);
    assert_int_equal (atomic_load (&a.usable),
                      min (last, (nr - 1) / step * step + step) + 1);
    assert_int_equal (calls, 2 * ((nr - 1) / step + 1));
    memset (arena_data (&a, nr) + CHUNK - 1, 1, 1);
    arena_chunk (&a, nr)->key = nr;
    arena_stale (&a, nr)[0] = ~nr;
  }
  assert_int_equal (arena_take (&a), 0);
  for (nr = 1; nr <= last; nr++) {
    assert_int_equal (arena_chunk (&a, nr)->key, nr);
    assert_int_equal (arena_stale (&a, nr)[0], ~nr);
  }

  /* The one given back last is taken first. */
  arena_give (&a, 7);
  arena_give (&a, 5);
  assert_int_equal (arena_take (&a), 5);
  assert_int_equal (arena_take (&a), 7);
  assert_int_equal (arena_take (&a), 0);
  assert_int_equal (calls, 6);
  arena_destroy (&a);
}

static void
assert_empty (struct store *store, uint32_t volume)
{
  bool written;

  assert_int_equal (store_extent (store, volume, 0, INT64_MAX, &written),
                    INT64_MAX);
  assert_false (written);
  assert_int_equal (store_written_pages (store, volume), 0);
}

/* Which of the first three chunks of volume 1 are there?  A bit for each. */
static unsigned
chunks_there (const struct store *store)
{
  unsigned i, r = 0;

  for (i = 0; i < 3; i++)
    r |= (table_find (&store->table,
                      piece_at (store, 1, i * CHUNK, INT64_MAX).key) != 0)
         << i;
  return r;
}

/* A write or a zero for whose last chunk the system has nothing is refused as a
 * whole: the chunks that it did get go back, and those that were there stay,
 * also one that is empty and on the backlog.
 */
static void
test_refused (void **state)
{
  const struct arena_options o = options (256 * MIB, false);
  static char data[3 * CHUNK], out[3 * CHUNK];
  const uint64_t left = 3 * CHUNK; /* of what is usable */
  struct store *store;
  uint64_t charged, at;

  (void) state;
  memset (data, 7, sizeof data);
  assert_int_equal (store_create (&store, &o), 0);
  for (at = 0; at < STEP - left; at += CHUNK)
    assert_int_equal (store_write (store, 0, "x", 1, at), 0);
  assert_int_equal (store_write (store, 1, data, PAGE, CHUNK), 0);
  store_trim (store, 1, PAGE, CHUNK);
  assert_empty (store, 1);
  assert_int_equal (store_write (store, 0, "x", 1, at), 0);

  refuses = true;
  assert_int_equal (chunks_there (store), 1 << 1);
  assert_int_equal (store_write (store, 1, data, 3 * CHUNK, 0), -ENOSPC);
  assert_int_equal (chunks_there (store), 1 << 1);
  assert_int_equal (store_zero (store, 1, 3 * CHUNK, 0), -ENOSPC);
  charged = 3 * CHUNK;
  assert_int_equal (store_charge (store, charged), 0);
  assert_int_equal (
      store_restore (store, 1, data, 3 * CHUNK - PAGE, PAGE, &charged),
      -ENOSPC);
  assert_int_equal (charged, 3 * CHUNK);
  store_uncharge (store, charged);
  assert_empty (store, 1);
  assert_int_equal (store_charged (store), (at / CHUNK + 1) * PAGE);
  assert_int_equal (store_written_pages (store, 0), at / CHUNK + 1);

  /* What is there is enough for two. */
  assert_int_equal (store_write (store, 1, data, 2 * CHUNK, CHUNK / 2),
                    -ENOSPC);
  assert_int_equal (store_write (store, 1, data, CHUNK + PAGE, 0), 0);
  store_read (store, 1, out, 2 * CHUNK, 0);
  assert_memory_equal (out, data, CHUNK + PAGE);
  assert_true (out[CHUNK + PAGE] == 0);
  assert_memory_equal (out + CHUNK + PAGE, out + CHUNK + PAGE + 1,
                       CHUNK - PAGE - 1);

  refuses = false;
  assert_int_equal (store_write (store, 1, data, 3 * CHUNK, 0), 0);
  store_trim (store, 1, 3 * CHUNK, 0);
  store_trim (store, 0, STEP, 0);
  assert_int_equal (store_charged (store), 0);
  store_destroy (store);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_layout),
      cmocka_unit_test (test_layout_of_huge_pages),
      cmocka_unit_test (test_number_of_chunks),
      cmocka_unit_test (test_limits),
      cmocka_unit_test (test_steps),
      cmocka_unit_test (test_refused),
  };

  return RUN_TESTS (tests);
}
