/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * How often a trim asks the kernel to take memory back, which interrupts every
 * CPU: it is to be seldom whatever was trimmed and written before.  The linker
 * puts madvise here in the place of the C library's (--wrap).
 */

#include <config.h>

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store/store.h"
#include "unit.h"

#define KIB UINT64_C (1024)
#define MIB (1024 * KIB)
#define CHUNK (UINT64_C (1) << CHUNK_SHIFT)

int __real_madvise (void *address, size_t len, int advice);
int __wrap_madvise (void *address, size_t len, int advice);

static unsigned taken_back;

int
__wrap_madvise (void *address, size_t len, int advice)
{
  taken_back += advice == MADV_DONTNEED;
  return __real_madvise (address, len, advice);
}

static struct store *
new_store (void)
{
  const struct arena_options o = {
      .limit = 256 * MIB,
      .volumes = 1,
      .volume_size = UINT64_C (1) << 40,
      .kernel_page = 4096,
  };
  struct store *store;

  assert_int_equal (store_create (&store, &o), 0);
  return store;
}

static void
write_page (struct store *store, uint64_t offset)
{
  char page[4096];

  memset (page, 'x', sizeof page);
  assert_int_equal (store_write (store, 0, page, sizeof page, offset), 0);
}

/* Write N pages that are STRIDE apart, do BETWEEN, and trim them one by one.
 * Returns how often memory was taken back then.
 */
static unsigned
trim_pages (void (*between) (struct store *), uint64_t n, uint64_t stride)
{
  struct store *store = new_store ();
  uint64_t i;

  for (i = 0; i < n; i++)
    write_page (store, i * stride);
  if (between != NULL)
    between (store);
  taken_back = 0;
  for (i = 0; i < n; i++)
    store_trim (store, 0, 4 * KIB, i * stride);
  assert_int_equal (store_written_pages (store, 0), 0);
  store_destroy (store);
  return taken_back;
}

/* Before it the disk is written, as a file system does it to places that it
 * has trimmed.
 */
static void
rewrite_one_place (struct store *store)
{
  unsigned i;

  for (i = 0; i < 3000; i++) {
    store_trim (store, 0, 4 * KIB, 0);
    write_page (store, 0);
  }
}

static void
rewrite_many_places (struct store *store)
{
  unsigned i;

  for (i = 0; i < 3000; i++) {
    store_trim (store, 0, 4 * KIB, i % 500 * CHUNK);
    write_page (store, i % 500 * CHUNK);
  }
}

static void
test_history (void **state)
{
  const uint64_t n = 64 * MIB / (4 * KIB);
  const unsigned fresh = trim_pages (NULL, n, 4 * KIB);

  (void) state;
  /* A call gives back what 8 chunks of 32 pages had. */
  assert_in_range (fresh, 1, n / 100);
  assert_in_range (trim_pages (rewrite_one_place, n, 4 * KIB), 1, n / 100);
  assert_in_range (trim_pages (rewrite_many_places, n, 4 * KIB), 1, n / 100);
}

/* Chunks with a page each fill the list before there are too many pages. */
static void
test_lonely_pages (void **state)
{
  const uint64_t n = 5000; /* a 32-bit machine has room for 8,000 */

  (void) state;
  assert_in_range (trim_pages (NULL, n, CHUNK), 1, n / 4);
  assert_in_range (trim_pages (rewrite_many_places, n, CHUNK), 1, n / 4);
}

/* A place that is trimmed and written again and again needs no call at all. */
static void
test_one_place (void **state)
{
  struct store *store = new_store ();

  (void) state;
  write_page (store, 0);
  taken_back = 0;
  rewrite_one_place (store);
  assert_int_equal (taken_back, 0);
  store_destroy (store);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_history),
      cmocka_unit_test (test_lonely_pages),
      cmocka_unit_test (test_one_place),
  };

  if (sysconf (_SC_PAGESIZE) != 4096) {
    printf ("1..0 # SKIP needs a kernel with pages of 4 KiB\n");
    return 0;
  }
  return RUN_TESTS (tests);
}
