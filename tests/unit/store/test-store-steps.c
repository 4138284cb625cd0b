/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Long writes and zeroes of the store, which are taken step by step: how much
 * is locked at once, and that they are refused as a whole or not at all,
 * whatever comes in between.
 */

#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "store/store.h"
#include "unit.h"

#define MIB (UINT64_C (1) << 20)
#define LAST_BYTE ((uint64_t) INT64_MAX)
#define LONG (16 * MIB)

static char data[LONG], out[LONG];

static struct store *
new_store (uint64_t limit, bool whole)
{
  const struct arena_options o = {
      .limit = limit,
      .volumes = 2,
      .volume_size = LAST_BYTE,
      .kernel_page = whole ? 65536 : 4096,
  };
  struct store *store;
  uint64_t i;

  for (i = 0; i < LONG; i++)
    data[i] = (char) (i >> 9 | 1);
  assert_int_equal (store_create (&store, &o), 0);
  return store;
}

static void
assert_holds (struct store *store, const char *what, uint64_t offset)
{
  store_read (store, 0, out, LONG, offset);
  assert_memory_equal (out, what, LONG);
}

/* No more is locked than a step, whatever is asked, and whether it begins with
 * one or not.
 */
static void
test_steps (void **state)
{
  struct store *store = new_store (64 * MIB, false);

  (void) state;
  assert_int_equal (store_write (store, 0, data, LONG, 512), 0);
  assert_holds (store, data, 512);
  assert_int_equal (store_write (store, 0, data, LONG, 512), 0);
  assert_int_equal (store_charged (store), LONG + PAGE);
  assert_int_equal (store_zero (store, 0, LONG, 512), 0);
  assert_int_equal (store_charged (store), LONG + PAGE);
  memset (out, 1, sizeof out);
  store_read (store, 0, out, LONG, 512);
  assert_int_equal (out[0], 0);
  assert_memory_equal (out, out + 1, LONG - 1);
  assert_int_equal (store_zero (store, 1, 2 * LONG, MIB), 0);
  assert_int_equal (store_charged (store), 3 * LONG + PAGE);
  assert_true (store_most_locked (store) > STORE_STEP / 2);
  assert_true (store_most_locked (store) <= STORE_STEP);
  store_destroy (store);
}

/* What passes the limit is refused before a byte has changed. */
static void
test_refused (void **state)
{
  struct store *store = new_store (LONG - PAGE, false);

  (void) state;
  assert_int_equal (store_write (store, 0, data, PAGE, LONG), 0);
  assert_int_equal (store_write (store, 0, data, LONG, MIB), -ENOSPC);
  assert_int_equal (store_zero (store, 0, 4096 * MIB, 0), -ENOSPC);
  assert_int_equal (store_charged (store), PAGE);
  assert_int_equal (store_written_pages (store, 0), 1);
  store_read (store, 0, out, LONG, 0);
  assert_true (out[0] == 0 && memcmp (out, out + 1, LONG - 1) == 0);
  store_read (store, 0, out, PAGE, LONG);
  assert_memory_equal (out, data, PAGE);
  store_destroy (store);
}

/* One that nothing comes of gives back all that it was charged for. */
static void
test_given_up (void **state)
{
  struct store *store = new_store (LONG, false);
  struct store_reservation p;

  (void) state;
  store_begin_reservation (store, &p, 0, LONG, 0);
  assert_int_equal (store_charge_reservation (store, &p), 0);
  assert_false (store_could_hold (store, 1, PAGE, 0));
  store_end_reservation (store, &p);
  assert_int_equal (store_charged (store), 0);
  assert_true (store_could_hold (store, 1, LONG, 0));
  assert_int_equal (store_write (store, 1, data, LONG, 0), 0);
  store_destroy (store);
}

/* Trims that come between the steps of a write take nothing from it, and what
 * they would have given back is not there for others until it is done.
 */
static void
reservation_meets_trims (bool whole, const void *buf)
{
  struct store *store = new_store (LONG, whole);
  struct store_reservation p;
  uint64_t steps = 0;

  assert_int_equal (store_write (store, 0, data, LONG, 0), 0);
  store_begin_reservation (store, &p, 0, LONG, 0);
  assert_int_equal (store_charge_reservation (store, &p), 0);
  while (p.offset < p.end) {
    store_trim (store, 0, LONG - p.offset, p.offset);
    store_trim (store, 0, PAGE, p.offset + MIB);
    assert_int_equal (store_charged (store), LONG);
    store_read (store, 0, out, LONG - p.offset, p.offset);
    assert_true (out[0] == 0);
    assert_memory_equal (out, out + 1, LONG - p.offset - 1);
    assert_int_equal (store_write (store, 1, "x", 1, p.offset), -ENOSPC);
    assert_int_equal (store_write_reserved_step (
                          store, &p, buf != NULL ? data + p.offset : NULL),
                      0);
    steps++;
  }
  assert_int_equal (steps, LONG / STORE_STEP);
  store_end_reservation (store, &p);
  if (buf != NULL)
    assert_holds (store, data, 0);
  assert_int_equal (store_charged (store), LONG);
  store_trim (store, 0, LONG, 0);
  assert_int_equal (store_charged (store), 0);
  assert_int_equal (store_written_pages (store, 0), 0);
  store_destroy (store);
}

static void
test_trims (void **state)
{
  (void) state;
  reservation_meets_trims (false, data);
  reservation_meets_trims (false, NULL);
}

static void
test_trims_of_chunks (void **state)
{
  (void) state;
  reservation_meets_trims (true, data);
  reservation_meets_trims (true, NULL);
}

/* Beside what is reserved a trim gives back what it meets, in another volume,
 * before, behind, and where the write has been.
 */
static void
test_trims_beside (void **state)
{
  struct store *store = new_store (64 * MIB, false);
  struct store_reservation p;

  (void) state;
  assert_int_equal (store_write (store, 0, data, LONG, MIB - PAGE), 0);
  assert_int_equal (store_write (store, 1, data, LONG, MIB), 0);
  store_begin_reservation (store, &p, 0, 4 * MIB, MIB);
  assert_int_equal (store_charge_reservation (store, &p), 0);
  store_trim (store, 1, LONG, MIB);
  assert_int_equal (store_charged (store), LONG);
  store_trim (store, 0, MIB, 0);
  assert_int_equal (store_charged (store), LONG - PAGE);
  store_trim (store, 0, LONG, 5 * MIB);
  assert_int_equal (store_charged (store), 4 * MIB);
  assert_int_equal (store_write_reserved_step (store, &p, data), 0);
  store_trim (store, 0, 3 * MIB, 0);
  assert_int_equal (store_charged (store), 2 * MIB);
  store_end_reservation (store, &p);
  store_destroy (store);
}

/* What others write meanwhile need not be charged, and is uncharged; so is what
 * a reservation that is given up had.
 */
static void
test_paid_twice (void **state)
{
  struct store *store = new_store (64 * MIB, false);
  struct store_reservation p, q;

  (void) state;
  store_begin_reservation (store, &p, 0, LONG, 0);
  store_begin_reservation (store, &q, 0, LONG, MIB);
  assert_int_equal (store_charge_reservation (store, &p), 0);
  assert_int_equal (store_charge_reservation (store, &q), 0);
  assert_int_equal (store_charged (store), 2 * LONG);
  while (p.offset < p.end)
    assert_int_equal (store_write_reserved_step (store, &p, data + p.offset),
                      0);
  assert_int_equal (store_charged (store), 2 * LONG);
  store_end_reservation (store, &p);
  assert_int_equal (store_write_reserved_step (store, &q, NULL), 0);
  store_end_reservation (store, &q);
  assert_int_equal (store_charged (store), LONG);
  store_destroy (store);
}

/* Where there is too little it may be charged later; where nothing is missing,
 * it is charged even above the limit.
 */
static void
test_paid_later (void **state)
{
  struct store *store = new_store (LONG, false);
  struct store_reservation p;

  (void) state;
  assert_int_equal (store_write (store, 1, data, PAGE, 0), 0);
  store_begin_reservation (store, &p, 0, LONG, 0);
  assert_int_equal (store_charge_reservation (store, &p), -ENOSPC);
  store_trim (store, 1, PAGE, 0);
  assert_int_equal (store_charge_reservation (store, &p), 0);
  while (p.offset < p.end)
    assert_int_equal (store_write_reserved_step (store, &p, data + p.offset),
                      0);
  store_end_reservation (store, &p);
  assert_int_equal (store_set_limit (store, MIB), 0);
  assert_int_equal (store_write (store, 0, data, LONG, 0), 0);
  assert_int_equal (store_write (store, 0, data, LONG, PAGE), -ENOSPC);
  store_destroy (store);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_steps),
      cmocka_unit_test (test_refused),
      cmocka_unit_test (test_given_up),
      cmocka_unit_test (test_trims),
      cmocka_unit_test (test_trims_of_chunks),
      cmocka_unit_test (test_trims_beside),
      cmocka_unit_test (test_paid_twice),
      cmocka_unit_test (test_paid_later),
  };

  return RUN_TESTS (tests);
}
