/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The store's memory: what goes back to the system, and what is used again.
 */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "new-store.h"

#if defined(__SANITIZE_ADDRESS__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#ifndef HAS_SANITIZER
#define HAS_SANITIZER 0
#endif

/* What this process has in memory, in bytes. */
static uint64_t
resident (void)
{
  FILE *f = fopen ("/proc/self/statm", "r");
  unsigned long pages;

  if (f == NULL)
    skip ();
  assert_int_equal (fscanf (f, "%*u %lu", &pages), 1);
  fclose (f);
  return pages * sysconf (_SC_PAGESIZE);
}

/* What is trimmed goes back to the system but for 1 MiB, whichever way it is
 * trimmed.  Tables and headers stay, and with AddressSanitizer some MiB more:
 * since gcc 13 it has a copy of each frame of the stack, so as to find uses
 * after the return of a function.
 */
static void
test_memory_goes_back (void **state)
{
  static const struct {
    uint64_t len, step; /* trims of LEN bytes, one each STEP */
  } trims[] = {{PAGE, PAGE},
               {16 * PAGE, 16 * PAGE},
               {PAGE, 2 * PAGE},
               {3 * PAGE, 64 * PAGE},
               {64 * MIB, 64 * MIB}};
  const uint64_t size = 64 * MIB;
  const uint64_t slack = (HAS_SANITIZER ? 9 : 1) * MIB + 512 * KIB;
  struct store *store = new_store (&by_page, size, 1, size);
  uint64_t start, stays, at;
  char *buf = malloc (MIB);
  size_t i;

  (void) state;
  memset (buf, 5, MIB);
  start = resident ();
  for (i = 0; i < sizeof trims / sizeof trims[0]; i++) {
    for (at = 0; at < size; at += MIB)
      assert_int_equal (store_write (store, 0, buf, MIB, at), 0);
    assert_true (resident () - start > size - slack);
    for (at = 0; at < size; at += trims[i].step)
      store_trim (store, 0, trims[i].len, at);
    stays = size - size / trims[i].step * trims[i].len;
    assert_int_equal (store_charged (store), stays);
    assert_in_range (resident () - start, stays > slack ? stays - slack : 0,
                     stays + slack);
    store_trim (store, 0, size, 0);
  }
  store_destroy (store);
  free (buf);
}

/* Zeroes that keep memory count, but the system has it until it is written. */
static void
test_zeroes_touch_nothing (void **state)
{
  const uint64_t size = 64 * MIB;
  struct store *store = new_store (&by_page, size, 1, size);
  const uint64_t start = resident ();

  (void) state;
  assert_int_equal (store_zero (store, 0, size, 0), 0);
  assert_int_equal (store_zero (store, 0, size, 0), 0);
  assert_int_equal (store_charged (store), size);
  assert_in_range (resident () - start, 0, 8 * MIB);
  store_destroy (store);
}

/* Memory that is used again shows nothing of what was in it. */
static void
test_nothing_comes_back (void **state)
{
  static const struct kind *const kinds[] = {&by_page, &by_chunk, &huge};
  static uint8_t buf[4 * PAGE], out[4 * PAGE];
  struct store *store;
  size_t i;

  (void) state;
  memset (buf, 0xab, sizeof buf);
  for (i = 0; i < 3; i++) {
    store = new_store (kinds[i], 8 * MIB, 1, 8 * MIB);
    assert_int_equal (store_write (store, 0, buf, 4 * PAGE, 0), 0);
    assert_int_equal (store_write (store, 0, buf, PAGE, 9 * PAGE), 0);
    store_trim (store, 0, 4 * PAGE, 0);
    store_read (store, 0, out, 4 * PAGE, 0);
    assert_true (all_bytes_are (out, 0, 4 * PAGE));
    assert_int_equal (store_write (store, 0, buf, 10, PAGE - 5), 0);
    assert_int_equal (store_zero (store, 0, 10, 2 * PAGE), 0);
    store_read (store, 0, out, 4 * PAGE, 0);
    assert_true (all_bytes_are (out, 0, PAGE - 5));
    assert_true (all_bytes_are (out + PAGE - 5, 0xab, 10));
    assert_true (all_bytes_are (out + PAGE + 5, 0, 3 * PAGE - 5));
    store_destroy (store);
  }
}

/* Chunks are used again: far more of them come and go than there are. */
static void
test_chunks_come_back (void **state)
{
  const uint64_t limit = 4 * PAGE;
  struct store *store = new_store (&by_page, limit, 3, LAST_BYTE);
  uint64_t i, offset;
  uint64_t out;

  (void) state;
  for (i = 1; i < 100000; i++) {
    offset = i * 12345678912;
    assert_int_equal (store_write (store, 0, &i, sizeof i, offset), 0);
    store_read (store, 0, &out, sizeof out, offset);
    assert_int_equal (out, i);
    store_trim (store, 0, sizeof i, offset);
  }
  assert_int_equal (store_charged (store), 0);
  store_destroy (store);
}

/* Many chunks in few buckets: lists get long, and are taken apart from any
 * end.  Each is a chunk's address space, of which 32 bits have little.
 */
static void
test_long_lists (void **state)
{
  enum { N = SIZE_MAX > UINT32_MAX ? 20000 : 5000 };
  const uint64_t stride = 256 * MIB + 128 * KIB;
  struct store *store = new_store (&by_page, N * PAGE, 3, LAST_BYTE);
  uint64_t random = new_seed ("long lists");
  static uint32_t order[N];
  uint32_t i, j, t;
  uint64_t out;

  (void) state;
  for (i = 0; i < N; i++) {
    order[i] = i;
    out = i;
    assert_int_equal (store_write (store, 0, &out, sizeof out, i * stride), 0);
  }
  for (i = N - 1; i > 0; i--) {
    j = random_below (&random, i + 1);
    t = order[i];
    order[i] = order[j];
    order[j] = t;
  }
  for (i = 0; i < N; i++) {
    store_read (store, 0, &out, sizeof out, order[i] * stride);
    assert_int_equal (out, order[i]);
    store_trim (store, 0, PAGE, order[i] * stride);
    store_read (store, 0, &out, sizeof out, order[i] * stride);
    assert_int_equal (out, 0);
    assert_int_equal (store_charged (store), (N - 1 - i) * PAGE);
  }
  store_destroy (store);
}

/* A sanitizer needs terabytes of address space for itself, so that there is
 * none to ration.
 */
#if !HAS_SANITIZER
/* Where address space is rationed, less is reserved; where there is not even
 * enough for the limit, that is said; and the largest limit is that, with
 * nothing to spare.  There is so little that 32 bits are enough for it.
 */
static int
use_little_address_space (void)
{
  const struct rlimit one_gib = {1 << 30, 1 << 30};
  struct arena_options o = {
      .limit = 256 * MIB,
      .max_limit = 8192 * MIB,
      .volumes = 1,
      .volume_size = LAST_BYTE,
      .kernel_page = 4096,
  };
  struct store *store;

  if (setrlimit (RLIMIT_AS, &one_gib) == -1 || store_create (&store, &o) != 0)
    return 1;
  if (store_write (store, 0, "x", 1, LAST_BYTE - 1) != 0)
    return 2;
  if (store_set_limit (store, o.max_limit) != -ENOMEM ||
      store_set_limit (store, 128 * MIB) != 0)
    return 3;
  store_destroy (store);
  o.limit = arena_max_limit_here (false);
  if (o.limit < 400 * MIB || o.limit > 512 * MIB)
    return 4;
  if (store_create (&store, &o) != 0)
    return 5;
  store_destroy (store);
  o.limit += 128 * KIB;
  if (store_create (&store, &o) != -ENOMEM)
    return 6;
  o.limit = arena_max_limit_here (true);
  o.hugepages = true;
  if (o.limit > 512 * MIB)
    return 7;
  o.limit += 2 * MIB;
  return store_create (&store, &o) == -ENOMEM ? 0 : 8;
}

static void
test_little_address_space (void **state)
{
  int status;
  pid_t pid;

  (void) state;
  pid = fork ();
  if (pid == 0)
    _exit (use_little_address_space ());
  assert_int_equal (waitpid (pid, &status, 0), pid);
  assert_int_equal (status, 0);
}
#endif

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_memory_goes_back),
    cmocka_unit_test (test_zeroes_touch_nothing),
    cmocka_unit_test (test_nothing_comes_back),
    cmocka_unit_test (test_chunks_come_back),
    cmocka_unit_test (test_long_lists),
#if !HAS_SANITIZER
    cmocka_unit_test (test_little_address_space),
#endif
  };

  return RUN_TESTS (tests);
}
