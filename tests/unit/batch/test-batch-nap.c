/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Are naps short enough (plugin/batch/batch-nap-internal.h)?
 */

#include <config.h>

#include "unit.h"

#include "batch/batch-nap-internal.h"

#define US 1000

/* So many looks, each with a chance to nap; the client is BUSY after each, or,
 * where BUSY is not, only before it.  Returns how many naps there were;
 * *longest is the longest.
 */
static unsigned
nap (struct naps *p, unsigned n, bool busy, uint32_t *longest)
{
  unsigned naps = 0;
  uint32_t ns;

  for (*longest = 0; n > 0; n--) {
    naps_note_arrival (p, false, true);
    ns = naps_next (p);
    naps += ns > 0;
    *longest = ns > *longest ? ns : *longest;
    if (ns > 0)
      naps_note_arrival (p, true, busy);
  }
  return naps;
}

static void
test_naps (void **state)
{
  struct naps p;
  uint32_t longest;
  unsigned i;

  (void) state;
  naps_init (&p);
  assert_int_equal (naps_next (&p), 0);
  for (i = 0; i < 1000; i++) {
    naps_note_arrival (&p, false, false);
    assert_int_equal (naps_next (&p), 0);
  }

  /* One that is busy has naps that get longer, up to a limit. */
  assert_int_equal (nap (&p, 1000, true, &longest), 1000);
  assert_int_equal (longest, 20 * US);

  /* They get shorter, and none is left, but for a try now and then. */
  assert_true (nap (&p, 1000, false, &longest) < 200);
  assert_true (nap (&p, 100000, false, &longest) < 1000);
  assert_in_range (longest, 1, 10 * US);

  /* Until they are worth it again. */
  nap (&p, 1025, true, &longest);
  assert_int_equal (nap (&p, 1000, true, &longest), 1000);
}

/* Longer by a quarter each time, and shorter by an eighth; after 8 of the
 * shortest that were too long, none for 2 chances, for twice as many the next
 * time, and for 1024 at most, until naps have been worth it again.
 */
static void
test_lengths_of_naps (void **state)
{
  static const uint32_t longer[] = {10000, 12500, 15625, 19531, 20000, 20000};
  static const uint32_t shorter[] = {20000, 17500, 15313, 13399,
                                     11725, 10260, 10000};
  struct naps p;
  unsigned i, skip, round;
  uint32_t longest;

  (void) state;
  naps_init (&p);
  for (i = 0; i < sizeof longer / sizeof longer[0]; i++) {
    assert_int_equal (nap (&p, 1, true, &longest), 1);
    assert_int_equal (longest, longer[i]);
  }
  for (i = 0; i < sizeof shorter / sizeof shorter[0]; i++) {
    assert_int_equal (nap (&p, 1, false, &longest), 1);
    assert_int_equal (longest, shorter[i]);
  }
  skip = 2;
  for (round = 0; round < 12; round++) {
    assert_int_equal (nap (&p, round == 0 ? 7 : 8, false, &longest),
                      round == 0 ? 7 : 8);
    assert_int_equal (nap (&p, skip, false, &longest), 0);
    skip = skip < 1024 ? 2 * skip : 1024;
  }
  nap (&p, 3, true, &longest);
  assert_int_equal (p.skip_next, 2);
}

/* After a nap that found nothing, or none, nothing is known. */
static void
test_naps_in_vain (void **state)
{
  struct naps p;
  uint32_t first, ns;
  unsigned i;

  (void) state;
  naps_init (&p);
  naps_note_arrival (&p, false, true);
  first = naps_next (&p);
  assert_int_not_equal (first, 0);
  for (i = 0; i < 100; i++) {
    naps_note_arrival (&p, false, false);
    assert_int_equal (naps_next (&p), 0);
    naps_note_arrival (&p, false, true);
    ns = naps_next (&p);
    assert_int_equal (ns, first);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_naps),
      cmocka_unit_test (test_lengths_of_naps),
      cmocka_unit_test (test_naps_in_vain),
  };

  return RUN_TESTS (tests);
}
