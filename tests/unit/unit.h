/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What every unit test begins with: cmocka in the order it wants, TAP output,
 * an exit status that is 0 or 1 (cmocka's counts failures, and 77 of them
 * would look like a skip), and random numbers with a seed that is printed.
 * NULLBLK_SEED in the environment repeats a run.
 */

#ifndef NULLBLK_UNIT_H
#define NULLBLK_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* The linker puts a function of the test in the place of the C library's
 * (--wrap).  On a 32-bit machine the names of those that are for large files
 * end in 64 there: programs.sh knows them, and the declarations of __wrap_NAME
 * and __real_NAME have this behind them.
 */
#if defined _FILE_OFFSET_BITS && _FILE_OFFSET_BITS == 64
#define OF_LARGE_FILES(name) __asm__(name "64")
#else
#define OF_LARGE_FILES(name)
#endif

/* In cmocka 2 assert_in_range is deprecated, and this is its new name. */
#ifdef assert_uint_in_range
#undef assert_in_range
#define assert_in_range assert_uint_in_range
#endif

#define RUN_TESTS(tests)                                                       \
  (cmocka_set_message_output (CM_OUTPUT_TAP),                                  \
   cmocka_run_group_tests (tests, NULL, NULL) != 0)

/* The same in a directory of its own, which has to be empty at the end, but for
 * an empty directory "run" (RUN, where programs for root have their files).
 */
#define RUN_TESTS_IN_DIRECTORY(tests)                                          \
  ({                                                                           \
    char directory_[] = "/tmp/nullblk-test-XXXXXX";                            \
    int r_ = EXIT_FAILURE;                                                     \
                                                                               \
    if (mkdtemp (directory_) != NULL && chdir (directory_) == 0) {             \
      r_ = RUN_TESTS (tests);                                                  \
      rmdir ("run");                                                           \
      if (chdir ("/") == -1 || rmdir (directory_) == -1)                       \
        r_ = EXIT_FAILURE;                                                     \
    }                                                                          \
    r_;                                                                        \
  })

/* For other threads and processes than the test's own, where a failed assertion
 * of cmocka would not end the test: end the program, and say why.
 */
static inline void
must (bool condition, const char *what)
{
  if (!condition) {
    fprintf (stderr, "not so: %s\n", what);
    abort ();
  }
}

/* A seed for a random test, printed as a TAP comment. */
static inline uint64_t
new_seed (const char *what)
{
  const char *given = getenv ("NULLBLK_SEED");
  struct timespec now;
  uint64_t seed;

  clock_gettime (CLOCK_REALTIME, &now);
  seed = given != NULL ? strtoull (given, NULL, 0)
                       : (uint64_t) now.tv_sec * 1000000007 + now.tv_nsec;
  printf ("# %s: NULLBLK_SEED=%llu\n", what, (unsigned long long) seed);
  fflush (stdout);
  return seed;
}

/* How many operations a random test does: USUALLY, or NULLBLK_OPERATIONS of the
 * environment.
 */
static inline uint64_t
nr_operations (uint64_t usually)
{
  const char *given = getenv ("NULLBLK_OPERATIONS");

  return given != NULL ? strtoull (given, NULL, 0) : usually;
}

/* xorshift64*: the same numbers on every machine for the same seed. */
static inline uint64_t
next_random (uint64_t *state)
{
  *state += *state == 0;
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return *state * UINT64_C (0x2545f4914f6cdd1d);
}

/* Returns a number from 0 up to N, without N. */
static inline uint64_t
random_below (uint64_t *state, uint64_t n)
{
  return (next_random (state) >> 11) % n;
}

/* How many bits of LEN bytes are different? */
static inline unsigned
count_flipped (const uint8_t *a, const uint8_t *b, size_t len)
{
  unsigned r = 0;
  size_t i;

  for (i = 0; i < len; i++)
    r += __builtin_popcount (a[i] ^ b[i]);
  return r;
}

#endif /* NULLBLK_UNIT_H */
