/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Requests in flight that slow down others: by hand, and against a model that
 * keeps all of them in a list.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#define SIZE (UINT64_C (1) << 30)
#include "one-latency.h"

#define KIB 1024
#define NR_REQUESTS 4000

static struct latency_booking bookings[NR_REQUESTS];
static unsigned nr;

static void
set_load (const char *read, const char *write)
{
  struct message why;

  assert_int_equal (size_latency_parse (read, &s.read_load_latency, &why), 0);
  assert_int_equal (size_latency_parse (write, &s.write_load_latency, &why), 0);
  latency_settings_complete (&s);
}

static void
set_latency (enum operation op, const char *text)
{
  struct message why;

  distribution_unref (s.durations[op]);
  assert_int_equal (distribution_parse (text, op, &s.durations[op], &why), 0);
  latency_settings_complete (&s);
}

/* After START and from then on.  The request's number is `nr` before that. */
static uint64_t
completion (enum operation op, uint32_t count, uint64_t when)
{
  const struct latency_request r = {
      .op = op, .count = count, .arrival = START + when};

  return latency_completion (&l, &s, &random_numbers, &r, &bookings[nr++]) -
         START;
}

static uint64_t
read_at (uint64_t when)
{
  return completion (OP_READ, 4 * KIB, when);
}

static void
cancel (unsigned i, uint64_t when)
{
  latency_cancel (&l, &bookings[i], START + when);
}

static int
begin (void **state)
{
  nr = 0;
  memset (bookings, 0, sizeof bookings);
  return setup (state);
}

/* Those of the diagram in load.h, and N always in flight. */
static void
test_reads (void **state)
{
  uint64_t ends[8] = {0};
  unsigned i;

  (void) state;
  assert_false (s.has_load);
  set_latency (OP_READ, "50us");
  assert_false (s.remembers);
  set_load ("7us", "none");
  assert_true (s.waits);
  assert_true (s.remembers);
  assert_int_equal (read_at (0), 50 * USEC);
  assert_int_equal (read_at (15 * USEC), 72 * USEC);
  assert_int_equal (read_at (30 * USEC), 94 * USEC);
  /* The first is complete at that moment. */
  assert_int_equal (read_at (50 * USEC), 114 * USEC);
  assert_int_equal (read_at (200 * USEC), 250 * USEC);

  /* In the end each takes 50 + 7 * 7 us. */
  for (i = 0; i < 8; i++)
    ends[i] = read_at (300 * USEC);
  for (i = 0; i < 100; i++)
    ends[i % 8] = read_at (ends[i % 8]);
  for (i = 0; i < 8; i++)
    assert_int_equal (read_at (ends[(4 + i) % 8]),
                      ends[(4 + i) % 8] + 99 * USEC);
}

/* Without any other setting. */
static void
test_alone (void **state)
{
  (void) state;
  set_load ("none", "10us");
  assert_true (s.waits);
  assert_int_equal (completion (OP_WRITE, 4 * KIB, 0), 0);
  assert_int_equal (completion (OP_WRITE, 4 * KIB, 0), 0);
  set_latency (OP_WRITE, "5us");
  assert_int_equal (completion (OP_WRITE, 4 * KIB, 0), 5 * USEC);
  assert_int_equal (completion (OP_WRITE, 4 * KIB, 0), 15 * USEC);
  assert_int_equal (completion (OP_WRITE, 4 * KIB, 0), 25 * USEC);
}

/* By the sizes of those in flight; and reads, writes and zeroes slow down each
 * other, and nothing else.
 */
static void
test_operations (void **state)
{
  unsigned op;

  (void) state;
  for (op = 0; op < NR_OPERATIONS; op++)
    set_latency ((enum operation) op, "1ms");
  set_load ("4K:7us,64K:37us", "4K:1us,8K:2us");
  assert_int_equal (completion (OP_READ, 64 * KIB, 0), MSEC);
  assert_int_equal (completion (OP_READ, 4 * KIB, 0), MSEC + 37 * USEC);
  assert_int_equal (completion (OP_WRITE, 8 * KIB, 0), MSEC + 44 * USEC);
  assert_int_equal (completion (OP_ZERO, 4 * KIB, 0), MSEC + 46 * USEC);
  for (op = 0; op < NR_OPERATIONS; op++) {
    if (op != OP_READ && op != OP_WRITE && op != OP_ZERO)
      assert_int_equal (completion ((enum operation) op, 4 * KIB, 0), MSEC);
  }
  assert_int_equal (completion (OP_READ, 34 * KIB, 0), MSEC + 47 * USEC);
  assert_int_equal (completion (OP_WRITE, 4 * KIB, 0), MSEC + 69 * USEC);
  /* If only one of the two is set, the others slow down nobody. */
  set_load ("none", "1us");
  assert_int_equal (completion (OP_READ, 4 * KIB, 5 * MSEC), 6 * MSEC);
  assert_int_equal (completion (OP_WRITE, 4 * KIB, 5 * MSEC), 6 * MSEC);
  assert_int_equal (completion (OP_READ, 4 * KIB, 5 * MSEC), 6 * MSEC + USEC);
}

/* It is in flight as long as a lane or a limit keeps it, and what it takes
 * longer is time of the lane.
 */
static void
test_lane_and_limit (void **state)
{
  (void) state;
  s.lanes = 1;
  set_latency (OP_READ, "100us");
  set_load ("10us", "none");
  assert_int_equal (read_at (0), 100 * USEC);
  assert_int_equal (read_at (0), 210 * USEC);
  assert_int_equal (read_at (150 * USEC), 320 * USEC);
  assert_int_equal (read_at (320 * USEC), 420 * USEC);

  s.lanes = 0;
  s.limits.operations_per_sec[THROTTLE_READS] = 1000;
  latency_settings_complete (&s);
  assert_int_equal (read_at (MSEC), 2 * MSEC);
  assert_int_equal (read_at (MSEC), 3 * MSEC);
  s.limits.operations_per_sec[THROTTLE_READS] = 0;
  latency_settings_complete (&s);
  assert_int_equal (read_at (2 * MSEC), 2 * MSEC + 110 * USEC);
}

/* A stall interrupts it. */
static void
test_stall (void **state)
{
  (void) state;
  s.stall.every = 100 * USEC;
  s.stall.length = 10 * USEC;
  set_latency (OP_READ, "60us");
  set_load ("40us", "none");
  assert_int_equal (read_at (0), 60 * USEC);
  assert_int_equal (read_at (0), 100 * USEC);
  assert_int_equal (read_at (0), 150 * USEC);
}

/* Cancelled requests slow down nobody any more. */
static void
test_cancel (void **state)
{
  (void) state;
  set_latency (OP_READ, "50us");
  set_load ("4K:1us,8K:2us", "none");
  assert_int_equal (read_at (0), 50 * USEC);
  assert_int_equal (completion (OP_READ, 8 * KIB, 0), 51 * USEC);
  assert_int_equal (read_at (0), 53 * USEC);
  cancel (1, USEC);
  assert_int_equal (read_at (USEC), 53 * USEC);
  cancel (1, USEC); /* there is no other of that kind */
  assert_int_equal (read_at (USEC), 54 * USEC);
  /* One that is complete leaves nothing. */
  assert_int_equal (read_at (52 * USEC), 105 * USEC);
  cancel (0, 53 * USEC);
  assert_int_equal (read_at (53 * USEC), 105 * USEC);
}

/* When power comes back, nothing is in flight, and a request of before that is
 * cancelled takes nothing away.
 */
static void
test_power (void **state)
{
  (void) state;
  set_latency (OP_READ, "50us");
  set_load ("1us", "none");
  assert_int_equal (read_at (0), 50 * USEC);
  assert_int_equal (read_at (0), 51 * USEC);
  latency_reset (&l);
  assert_int_equal (read_at (0), 50 * USEC);
  cancel (0, 0);
  assert_int_equal (read_at (0), 51 * USEC);
}

/* The head of a disk decides later when a read is complete.  Until then it is
 * in flight in any case.
 */
static void
test_disk (void **state)
{
  uint64_t end;
  unsigned i;

  (void) state;
  set_parts (&disk_parts, "track:1ms,full:1ms,rpm:60000,mbps:1,queue:4",
             &s.drive.disk);
  set_load ("10us", "none");
  for (i = 0; i < 3; i++) {
    assert_false (latency_asks (&bookings[i]));
    completion (OP_READ, 4 * KIB, 0);
  }
  assert_int_equal (l.load.nsec, 30 * USEC);
  assert_int_equal (l.load.n + latency_asks (&bookings[0]) +
                        latency_asks (&bookings[1]) +
                        latency_asks (&bookings[2]),
                    3);
  assert_true (latency_asks (&bookings[2]));
  cancel (2, 0);
  assert_int_equal (l.load.nsec, 20 * USEC);
  end = START;
  while (latency_asks (&bookings[1]))
    end = latency_ask (&l, &s, &bookings[1], end);
  assert_int_equal (load_at (&l.load, end - 1), 10 * USEC);
  assert_int_equal (load_at (&l.load, end), 0);
  /* Power comes back while one waits. */
  completion (OP_READ, 4 * KIB, MSEC * 100);
  i = nr;
  completion (OP_READ, 4 * KIB, MSEC * 100);
  assert_true (latency_asks (&bookings[i]));
  latency_reset (&l);
  cancel (i, MSEC * 100);
  assert_int_equal (l.load.nsec, 0);
}

/* Once the head has decided, a request counts no longer than the disk takes,
 * though a fault rule lets it ask much later, or never.
 */
static void
test_disk_and_fault (void **state)
{
  uint64_t end[4];
  unsigned i;

  (void) state;
  set_parts (&disk_parts, "track:1ms,full:1ms,rpm:60000,mbps:100",
             &s.drive.disk);
  set_load ("10us", "none");
  for (i = 0; i < 4; i++)
    completion (OP_READ, 4 * KIB, 0);
  for (i = 1; i < 4; i++)
    assert_true (latency_asks (&bookings[i]));
  assert_int_equal (l.load.nsec, 40 * USEC);

  /* Nobody has asked by now.  The third is cancelled after it was told. */
  completion (OP_READ, 4 * KIB, 100 * MSEC);
  assert_int_equal (l.load.nsec, 10 * USEC);
  cancel (2, 100 * MSEC);
  assert_int_equal (l.load.nsec, 10 * USEC);
  for (i = 1; i < 4; i += 2) {
    end[i] = latency_ask (&l, &s, &bookings[i], START + 100 * MSEC) - START;
    assert_false (latency_asks (&bookings[i]));
    assert_in_range (end[i], MSEC, 10 * MSEC);
  }
  assert_int_equal (l.load.nsec, 10 * USEC);
  assert_int_equal (load_at (&l.load, START + 200 * MSEC), 0);

  /* One is told before it is complete, and cancelled then. */
  nr = 0;
  end[0] = completion (OP_READ, 4 * KIB, 200 * MSEC);
  completion (OP_READ, 4 * KIB, 200 * MSEC);
  assert_true (latency_asks (&bookings[1]));
  completion (OP_READ, 4 * KIB, end[0] + 1);
  assert_int_equal (l.load.nsec, 20 * USEC);
  cancel (1, end[0] + 1);
  assert_int_equal (l.load.nsec, 10 * USEC);
}

/* The client pauses PAUSE at most, and up to DEPTH requests are in flight, some
 * of which are cancelled, and the settings change.
 */
static void
test_model (void **state)
{
  static struct {
    uint64_t until, load;
  } list[NR_REQUESTS];
  uint64_t random = new_seed ("load"), when = 0, more, until, latency;
  uint64_t each[2] = {0, 0};
  unsigned i, n, run;
  enum operation op;
  char text[2][32];

  (void) state;
  for (run = 0; run < 20; run++) {
    n = nr = 0;
    latency_reset (&l);
    for (; nr < NR_REQUESTS; n++) {
      if (nr % 500 == 0) {
        for (i = 0; i < 2; i++) {
          each[i] = 1 + random_below (&random, 100);
          snprintf (text[i], sizeof text[i], "%uns", (unsigned) each[i]);
        }
        set_load (text[0], text[1]);
      }
      when += random_below (&random, 60);
      op = random_below (&random, 2) ? OP_READ : OP_WRITE;
      latency = random_below (&random, 2000);
      snprintf (text[0], sizeof text[0], "%uns", (unsigned) latency);
      set_latency (op, text[0]);
      for (i = 0, more = 0; i < n; i++)
        more += list[i].until > when ? list[i].load : 0;
      until = completion (op, 4 * KIB, when);
      assert_int_equal (until, when + latency + more);
      list[n].until = until;
      list[n].load = each[op == OP_WRITE];
      if (random_below (&random, 5) == 0) {
        i = (unsigned) random_below (&random, n + 1);
        if (list[i].until != 0)
          cancel (i, when);
        list[i].until = 0;
      }
    }
  }
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, begin, teardown)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_reads),          TEST (test_alone), TEST (test_operations),
      TEST (test_lane_and_limit), TEST (test_stall), TEST (test_cancel),
      TEST (test_power),          TEST (test_disk),  TEST (test_disk_and_fault),
      TEST (test_model),
  };

  return RUN_TESTS (tests);
}
