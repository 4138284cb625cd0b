/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Requests that hang without a thread: each is woken once, when its rule goes
 * or its wait is over, wherever it stands in the list.
 */

#include <config.h>

#include <string.h>

#include "judged.h"

#define MOST 5

static struct waiting {
  struct fault_parked parked;
  struct fault_verdict verdict;
  bool is_over;
  unsigned woken;
} waiting[MOST];

static bool
is_over (const void *opaque)
{
  const struct waiting *w = opaque;

  return w->is_over;
}

static void
wake (struct fault_parked *h)
{
  struct waiting *w = (struct waiting *) h;

  w->woken++;
}

static void
park (unsigned i)
{
  const struct io_info r = request (OP_WRITE, 0, 512);
  struct waiting *w = &waiting[i];

  faults_judge (&faults, &r, &w->verdict);
  assert_true (w->verdict.hangs);
  w->parked = (struct fault_parked){.verdict = &w->verdict,
                                    .is_needless = is_over,
                                    .opaque = w,
                                    .woken = wake};
  w->woken = 0;
  faults_park (&faults, &w->parked);
}

/* A bit for each that was woken, which each is once. */
static unsigned
woken (void)
{
  unsigned i, r = 0;

  for (i = 0; i < MOST; i++) {
    assert_in_range (waiting[i].woken, 0, 1);
    r |= waiting[i].woken << i;
  }
  return r;
}

static void
done (void)
{
  unsigned i;

  assert_null (faults.parked);
  assert_ptr_equal (faults.last_parked, &faults.parked);
  for (i = 0; i < MOST; i++)
    faults_done (&waiting[i].verdict);
  memset (waiting, 0, sizeof waiting);
}

static void
test_order (void **state)
{
  (void) state;
  add ("hang");
  park (0);
  park (1);
  park (2);
  faults_wake (&faults);
  assert_int_equal (woken (), 0);

  /* One between others goes, then the last, and others come behind it. */
  waiting[1].is_over = true;
  faults_wake (&faults);
  assert_int_equal (woken (), 1 << 1);
  park (3);
  waiting[3].is_over = true;
  faults_wake (&faults);
  assert_int_equal (woken (), 1 << 1 | 1 << 3);
  park (4);

  /* Who is forgotten, woken before or not, is not woken any more. */
  faults_forget (&faults, &waiting[0].parked);
  faults_forget (&faults, &waiting[0].parked);
  faults_forget (&faults, &waiting[1].parked);
  del ("all");
  assert_int_equal (woken (), 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4);
  faults_wake (&faults);
  assert_int_equal (woken (), 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4);
  done ();
}

/* What would end at once does: the list has it for no moment. */
static void
test_at_once (void **state)
{
  (void) state;
  add ("hang");
  waiting[0].is_over = true;
  park (0);
  assert_int_equal (woken (), 1);
  done ();
}

/* A request hangs by all of its rules. */
static void
test_two_rules (void **state)
{
  (void) state;
  add ("hang name=a");
  add ("hang name=b");
  park (0);
  del ("a");
  assert_int_equal (woken (), 0);
  del ("b");
  assert_int_equal (woken (), 1);
  done ();
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      CASE (test_order),
      CASE (test_at_once),
      CASE (test_two_rules),
  };

  return RUN_TESTS (tests);
}
