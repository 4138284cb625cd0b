/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A queue of nullblk-ublk: what it asks of the server, and tells the kernel.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "queue-world.h"

static void
test_read (void **state)
{
  (void) state;
  make_device (false);
  RUN (one_read);
  assert_int_equal (kernel.nr_answers, 1);
  answered (0, 3, 8192);
  assert_int_equal (server.nr_asked, 1);
  assert_int_equal (server.asked[0].offset, 4096);
}

static void
no_memory (void)
{
  say (3, -ENOMEM);
}

static void
not_now (void)
{
  say (3, -EAGAIN);
}

/* An answer that the kernel cannot take is told again, and so is a fetch. */
static void
test_told_again (void **state)
{
  (void) state;
  make_device (false);
  RUN (one_read, no_memory, not_now, one_read);
  assert_int_equal (kernel.nr_answers, 4);
  answered (1, 3, 8192);
  answered (2, 3, 8192);
  answered (3, 3, 8192);
  make_device (false);
  RUN (no_memory, one_read);
  assert_int_equal (kernel.nr_answers, 1);
}

static bool went_on;

static void
not_taken (void)
{
  say (3, -EINVAL);
}

static void
go_on (void)
{
  went_on = true;
}

/* Where the kernel refuses an answer for good, the queue ends. */
static void
test_not_taken (void **state)
{
  (void) state;
  make_device (false);
  RUN (one_read, not_taken, go_on);
  assert_int_equal (kernel.nr_answers, 1);
  assert_false (went_on);
}

#define GIB_SECTORS 2097152

static void
one_discard (void)
{
  ask (0, UBLK_IO_OP_DISCARD, 2048, GIB_SECTORS);
}

static void
one_zeroing (void)
{
  ask (0, UBLK_IO_OP_WRITE_ZEROES, 0, 40 * MIB / 512);
}

/* What is too large for the server is sent in parts. */
static void
test_clearing (void **state)
{
  uint64_t at = MIB;
  unsigned i;

  (void) state;
  make_device (false);
  server.max_discard = 1024 * MIB;
  RUN (one_discard);
  assert_int_equal (server.nr_asked, 1);
  answered (0, 0, 0);

  make_device (false);
  server.max_discard = 32 * MIB;
  RUN (one_discard, one_zeroing);
  assert_int_equal (kernel.nr_answers, 2);
  answered (0, 0, 0);
  answered (1, 0, 0);
  assert_int_equal (server.nr_asked, 1 + 32 + 2);
  for (i = 1; i <= 32; i++) {
    assert_int_equal (server.asked[i].kind, IO_TRIM);
    assert_int_equal (server.asked[i].offset, at);
    at += server.asked[i].count;
  }
  assert_int_equal (at, 1025 * MIB);
  /* The server is not asked for too much again. */
  assert_int_equal (server.asked[33].kind, IO_ZERO);
  assert_int_equal (server.asked[33].count, 32 * MIB);
  assert_int_equal (server.asked[34].count, 8 * MIB);

  /* Nothing is small enough. */
  make_device (false);
  RUN (one_discard);
  assert_int_equal (kernel.nr_answers, 1);
  answered (0, 0, -EIO);
  assert_int_equal (server.nr_asked, 2);
}

static void
many_writes (void)
{
  unsigned i;

  for (i = 0; i < DEPTH; i++)
    ask (i, UBLK_IO_OP_WRITE, i % NR_ZONES * ZONE_SECTORS, 8);
}

static void
count_reads (unsigned wanted, uint64_t size)
{
  unsigned i, n = 0;

  for (i = 0; i < server.nr_asked; i++) {
    if (server.asked[i].link == &zones) {
      assert_int_equal (server.asked[i].count, size);
      n++;
    }
  }
  assert_int_equal (n, wanted);
}

/* Many writes that limits may have refused share the table. */
static void
test_limits (void **state)
{
  unsigned i;

  (void) state;
  make_device (true);
  plan.params.max_active_zones = 2;
  table[6].cond = table[7].cond = ZONE_COND_CLOSED;
  server.write_error = -ENOSPC;
  RUN (many_writes);
  assert_int_equal (kernel.nr_answers, DEPTH);
  for (i = 0; i < DEPTH; i++)
    assert_int_equal (kernel.answers[i].result,
                      kernel.answers[i].tag % NR_ZONES < 6 ? -EOVERFLOW
                                                           : -ENOSPC);
  count_reads (2, sizeof table); /* the first one's, and that of all others */

  /* Other failures are about one zone. */
  make_device (true);
  plan.params.max_active_zones = 2;
  table[7].cond = ZONE_COND_READONLY;
  server.write_error = -EIO;
  RUN (many_writes);
  assert_int_equal (kernel.nr_answers, DEPTH);
  for (i = 0; i < DEPTH; i++)
    assert_int_equal (kernel.answers[i].result,
                      kernel.answers[i].tag % NR_ZONES == 7 ? -EREMOTEIO
                                                            : -EIO);
  count_reads (DEPTH, sizeof table[0]);
}

static void
one_report (void)
{
  ask (0, UBLK_IO_OP_REPORT_ZONES, 2 * ZONE_SECTORS, 100);
}

/* A report, and an append, where zone 2 is not what it was. */
static void
answers_to_lies (int report, int append)
{
  const struct zone_descriptor lie = table[2];

  make_device (true);
  table[2] = lie;
  RUN (one_report);
  assert_int_equal (kernel.nr_answers, 1);
  answered (0, 0, report);
  make_device (true);
  table[2] = lie;
  RUN (one_append);
  assert_int_equal (kernel.nr_answers, 1);
  answered (0, 0, append);
}

static void
test_lies (void **state)
{
  (void) state;
  set_zones ();
  answers_to_lies (4 * MIB, 4096);
  assert_int_equal (kernel.answers[0].sector, 2 * ZONE_SECTORS);
  set_zones ();
  table[2].len = 0;
  answers_to_lies (-EIO, -EIO);
  set_zones ();
  table[2].wp = htole64 (ZONE_SECTORS);
  table[2].cond = ZONE_COND_CLOSED;
  answers_to_lies (-EIO, -EIO);
  set_zones ();
  table[2].start = table[3].start;
  table[2].wp = table[3].wp;
  answers_to_lies (-EIO, -EIO);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_read),      cmocka_unit_test (test_told_again),
      cmocka_unit_test (test_not_taken), cmocka_unit_test (test_clearing),
      cmocka_unit_test (test_limits),    cmocka_unit_test (test_lies),
  };

  return RUN_TESTS (tests);
}
