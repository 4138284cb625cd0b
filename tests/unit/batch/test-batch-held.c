/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What is held of a connection's replies, and in which pieces
 * (plugin/batch/batch-held-internal.h).
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "unit.h"

#include "batch/batch-held-internal.h"

#define FEW 1024           /* bytes that are copied rather than a piece */
#define ZEROES (64 * 1024) /* of a piece, at most */
#define LINE 64
#define HEAD 64         /* room for it behind what is placed */
#define MOST_PIECES 513 /* with that of the data behind them */

static struct held h;
static char bytes[MAX_HELD];

static void
begin (void)
{
  size_t i;

  for (i = 0; i < sizeof bytes; i++)
    bytes[i] = 1 + i % 255;
  memset (&h, 0, sizeof h);
  assert_true (held_begin (&h));
  assert_int_equal (h.n, 0);
  assert_int_equal (h.len, 0);
  assert_int_equal (h.copied, 0);
}

static void
end (void)
{
  held_end (&h);
  assert_null (h.piece);
  assert_null (h.copies);
  assert_int_equal (h.n + h.len + h.copied + h.placed_end, 0);
}

/* All that is held, in one; to be freed. */
static char *
all (void)
{
  char *r = malloc (h.len + 1), *to = r;
  size_t i;

  assert_non_null (r);
  for (i = 0; i < h.n; i++) {
    assert_true (to + h.piece[i].iov_len <= r + h.len);
    memcpy (to, h.piece[i].iov_base, h.piece[i].iov_len);
    to += h.piece[i].iov_len;
  }
  assert_ptr_equal (to, r + h.len);
  return r;
}

static void
test_copies_are_one_piece (void **state)
{
  char *held;

  (void) state;
  begin ();
  assert_true (held_add (&h, bytes, 10));
  assert_true (held_add (&h, bytes + 10, 5000));
  assert_true (held_add (&h, NULL, FEW - 1));
  assert_true (held_add (&h, bytes + 5010, 1));
  assert_int_equal (h.n, 1);
  assert_int_equal (h.len, 5011 + FEW - 1);
  assert_int_equal (h.copied, h.len);
  held = all ();
  assert_memory_equal (held, bytes, 5010);
  assert_int_equal (held[5010], 0);
  assert_int_equal (held[5010 + FEW - 2], 0);
  assert_int_equal (held[5010 + FEW - 1], bytes[5010]);
  free (held);

  held_clear (&h);
  assert_int_equal (h.n + h.len + h.copied, 0);
  assert_true (held_add (&h, bytes, 1));
  assert_ptr_equal (h.piece[0].iov_base, h.copies);
  end ();
}

static void
test_zeroes_are_not_copied (void **state)
{
  const size_t n = 3 * ZEROES + 5;
  char *held;
  size_t i;

  (void) state;
  begin ();
  assert_true (held_add (&h, bytes, 20));
  assert_true (held_add (&h, NULL, FEW));
  assert_true (held_add (&h, bytes, 20));
  assert_int_equal (h.n, 3);
  assert_int_equal (h.copied, 40);
  assert_int_equal (h.len, 40 + FEW);
  /* Where they are in a cache line is where they will be in a copy. */
  assert_int_equal ((uintptr_t) h.piece[1].iov_base % LINE, 20);
  held_clear (&h);

  assert_true (held_add (&h, NULL, ZEROES));
  assert_int_equal (h.n, 1);
  assert_true (held_add (&h, bytes, 7));
  assert_true (held_add (&h, NULL, n - ZEROES));
  assert_int_equal (h.n, 2 + 3);
  assert_int_equal (h.piece[4].iov_len, 5);
  held = all ();
  for (i = 0; i < n + 7; i++)
    assert_int_equal (held[i],
                      i >= ZEROES && i < ZEROES + 7 ? bytes[i - ZEROES] : 0);
  free (held);
  end ();
}

static void
test_room (void **state)
{
  unsigned i;

  (void) state;
  begin ();
  /* The replies to many large reads. */
  for (i = 0; i < 32; i++) {
    assert_true (held_add (&h, bytes, HEAD));
    assert_true (held_add (&h, NULL, 128 * 1024));
  }
  held_clear (&h);
  assert_false (held_add (&h, NULL, MAX_HELD_WITH_ZEROES + 1));
  assert_true (held_add (&h, NULL, MAX_HELD_WITH_ZEROES));
  assert_false (held_add (&h, NULL, 1));
  held_clear (&h);
  assert_true (held_add (&h, bytes, MAX_HELD - 1));
  assert_false (held_add (&h, bytes, 2));
  assert_int_equal (h.len, MAX_HELD - 1);
  assert_true (held_add (&h, bytes, 1));
  held_clear (&h);
  end ();
}

/* A message has no more than so many pieces. */
static void
test_pieces (void **state)
{
  struct iovec *iov;
  size_t n;

  (void) state;
  begin ();
  while (h.n < MOST_PIECES) {
    h.len = 0; /* as if there were room for any number of bytes */
    assert_true (held_add (&h, NULL, FEW));
  }
  h.len = 0;
  assert_false (held_add (&h, NULL, FEW));
  iov = held_with (&h, bytes, 9, &n);
  assert_int_equal (n, MOST_PIECES + 1);
  assert_ptr_equal (iov[n - 1].iov_base, bytes);
  assert_int_equal (iov[n - 1].iov_len, 9);
  held_clear (&h);

  while (h.n < MOST_PIECES - 1) {
    h.len = 0;
    assert_true (held_add (&h, NULL, FEW));
  }
  h.len = 0;
  assert_false (held_add (&h, NULL, ZEROES + 1)); /* two pieces */
  assert_true (held_add (&h, NULL, ZEROES));
  end ();
}

static void
test_placed (void **state)
{
  char *p, *held;

  (void) state;
  begin ();
  assert_true (held_add (&h, bytes, 20));
  assert_null (held_place (&h, FEW - 1));
  p = held_place (&h, 4 * FEW);
  assert_non_null (p);
  assert_ptr_equal (p, h.copies + LINE);
  memcpy (p, bytes + 20, 4 * FEW);
  assert_true (held_add (&h, bytes, 5)); /* the head of its reply */
  assert_true (held_add (&h, p, FEW));
  assert_ptr_equal (h.piece[h.n - 1].iov_base, p);
  assert_true (held_add (&h, p + FEW, FEW - 1)); /* so few are copied */
  assert_true (held_add (&h, p + 2 * FEW - 1, FEW));
  assert_ptr_equal (h.piece[h.n - 1].iov_base, p + 2 * FEW - 1);
  held_place_end (&h);
  /* Now it is like any other bytes. */
  assert_true (held_add (&h, p + 3 * FEW - 1, FEW));
  assert_true (h.piece[h.n - 1].iov_base != p + 3 * FEW - 1);
  assert_int_equal (h.n, 6);
  held = all ();
  assert_memory_equal (held, bytes, 20);
  assert_memory_equal (held + 20, bytes, 5);
  assert_memory_equal (held + 25, bytes + 20, 4 * FEW - 1);
  free (held);
  end ();
}

/* What is placed stays when all is sent that is held. */
static void
test_placed_stays (void **state)
{
  char *p;

  (void) state;
  begin ();
  p = held_place (&h, FEW);
  assert_ptr_equal (p, h.copies);
  memcpy (p, bytes, FEW);
  held_clear (&h);
  assert_int_equal (h.copied, FEW);
  assert_true (held_add (&h, bytes + 7, 100));
  assert_memory_equal (p, bytes, FEW);
  held_clear (&h);
  held_place_end (&h);
  assert_int_equal (h.copied, 0);
  end ();
}

static void
test_room_to_place (void **state)
{
  (void) state;
  begin ();
  assert_null (held_place (&h, MAX_HELD + 1));
  assert_null (held_place (&h, MAX_HELD - HEAD + 1));
  assert_non_null (held_place (&h, MAX_HELD - HEAD));
  assert_true (held_add (&h, bytes, HEAD));
  assert_false (held_add (&h, bytes, 1)); /* there is no room for a copy */
  held_place_end (&h);
  held_clear (&h);

  assert_true (held_add (&h, bytes, MAX_HELD - 2 * FEW - HEAD));
  assert_null (held_place (&h, 2 * FEW + 1));
  assert_ptr_equal (held_place (&h, 2 * FEW),
                    h.copies + MAX_HELD - 2 * FEW - HEAD);
  end ();

  begin ();
  assert_true (held_add (&h, bytes, LINE));
  assert_ptr_equal (held_place (&h, FEW), h.copies + LINE);
  held_place_end (&h);
  end ();
  begin ();
  assert_true (held_add (&h, bytes, LINE + 1));
  assert_ptr_equal (held_place (&h, FEW), h.copies + 2 * LINE);
  end ();
}

int
main (void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_copies_are_one_piece),
      cmocka_unit_test (test_zeroes_are_not_copied),
      cmocka_unit_test (test_room),
      cmocka_unit_test (test_pieces),
      cmocka_unit_test (test_placed),
      cmocka_unit_test (test_placed_stays),
      cmocka_unit_test (test_room_to_place),
  };

  return RUN_TESTS (tests);
}
