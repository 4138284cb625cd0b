/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Limits, to the nanosecond on a clock of their own: exact rates, no debt and
 * no burst, what counts where, and clients that take their time.
 */

#include <config.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "timing/timing.h"
#include "unit.h"

#define START (1000 * NSEC_PER_SEC)
#define MIB (UINT64_C (1) << 20)

static struct throttle t;
static struct throttle_limits limits;

static int
setup (void **state)
{
  (void) state;
  throttle_reset (&t);
  memset (&limits, 0, sizeof limits);
  return 0;
}

static int
teardown (void **state)
{
  (void) state;
  throttle_destroy (&t);
  return 0;
}

static struct booking booking; /* of the last */

static uint64_t
pass (enum operation op, uint32_t count, uint64_t now)
{
  return throttle_pass (&t, &limits, op, count, 1, now, &booking) - START;
}

static void
cancel (enum operation op, struct booking which, uint64_t now)
{
  throttle_cancel (&t, t.generation, op, which, now);
}

static void
test_no_limit (void **state)
{
  (void) state;
  assert_int_equal (pass (OP_READ, UINT32_MAX, START), 0);
  assert_int_equal (pass (OP_WRITE, UINT32_MAX, START + 5), 5);
}

/* All at once: one every millisecond. */
static void
test_operations (void **state)
{
  int i;

  (void) state;
  limits.operations_per_sec[THROTTLE_ALL] = 1000;
  for (i = 1; i <= 1000; i++)
    assert_int_equal (pass (OP_READ, 4096, START), i * NSEC_PER_MSEC);
}

/* Nanoseconds do not divide: after so many bytes the time is right
 * nevertheless, at any limit and size of request.
 */
static void
test_exact (void **state)
{
  static const uint64_t rates[] = {
      1, 3, MIB, 7 * MIB - 1, 100 * MIB, 999, 4099 * MIB, MAX_BYTES_PER_SEC};
  uint64_t random = new_seed ("exact"), bytes, through, exact;
  uint32_t count;
  size_t r;
  int i;

  (void) state;
  for (r = 0; r < sizeof rates / sizeof rates[0]; r++) {
    setup (NULL);
    limits.bytes_per_sec[THROTTLE_ALL] = rates[r];
    bytes = 0;
    for (i = 0; i < 10000; i++) {
      count = random_below (&random, i % 3 == 0 ? 1 << 20 : 4096) + 1;
      through = pass (OP_WRITE, count, START);
      bytes += count;
      /* no more than 4 * 10^9 bytes, 10^9 a second: within 64 bits */
      exact = bytes * NSEC_PER_SEC / rates[r];
      assert_in_range (through, exact - 1 - exact / 1000000000000,
                       exact + 1 + exact / 1000000000000);
    }
  }
}

/* 512 bytes are 11.92 ns at 40 GiB/s; a million of them are 11.92 ms. */
static void
test_highest_limit (void **state)
{
  uint64_t through = 0;
  int i;

  (void) state;
  limits.bytes_per_sec[THROTTLE_ALL] = MAX_BYTES_PER_SEC;
  for (i = 0; i < 1000000; i++)
    through = pass (OP_READ, 512, START);
  assert_int_equal (through, 11920928);
}

/* One request of any size goes through at any limit, and time ends at its end.
 */
static void
test_large (void **state)
{
  uint64_t last = 0, through;
  int i;

  (void) state;
  limits.bytes_per_sec[THROTTLE_WRITES] = MIB;
  assert_int_equal (pass (OP_ZERO, UINT32_MAX, START), 4095999999046);
  assert_int_equal (pass (OP_WRITE, MIB, START), 4096999999046);

  setup (NULL);
  limits.bytes_per_sec[THROTTLE_WRITES] = 1;
  for (i = 0; i < 10; i++) {
    through =
        throttle_pass (&t, &limits, OP_ZERO, UINT32_MAX, 1, START, &booking);
    assert_true (through >= last);
    last = through;
  }
  assert_true (last == UINT64_MAX);
}

/* Nothing is saved while idle but the grace; nothing is owed afterwards. */
static void
test_idle (void **state)
{
  uint64_t now = START;
  int i;

  (void) state;
  limits.operations_per_sec[THROTTLE_ALL] = 1000;
  assert_int_equal (pass (OP_READ, 1, now), NSEC_PER_MSEC);

  /* 5 at once, for the grace, and then one after the other. */
  now += 3600 * NSEC_PER_SEC;
  for (i = 0; i < 5; i++)
    assert_int_equal (pass (OP_READ, 1, now), now - START);
  for (i = 1; i < 100; i++)
    assert_int_equal (pass (OP_READ, 1, now), now - START + i * NSEC_PER_MSEC);
}

/* The clock may be young. */
static void
test_early (void **state)
{
  (void) state;
  limits.operations_per_sec[THROTTLE_ALL] = 1000;
  assert_int_equal (throttle_pass (&t, &limits, OP_READ, 1, 1, 0, &booking),
                    1000000);
  assert_int_equal (throttle_pass (&t, &limits, OP_READ, 1, 1, 3, &booking),
                    2000000);
}

/* A new limit holds from then on, for what is booked already, too: what comes
 * then has what that leaves of it.
 */
static void
test_change (void **state)
{
  int i;

  (void) state;
  limits.bytes_per_sec[THROTTLE_ALL] = MIB;
  for (i = 1; i <= 64; i++)
    assert_int_equal (pass (OP_READ, MIB, START), i * NSEC_PER_SEC);
  limits.bytes_per_sec[THROTTLE_ALL] = 1000 * MIB;
  assert_int_equal (pass (OP_READ, 999 * MIB, START), NSEC_PER_SEC);
  assert_int_equal (pass (OP_WRITE, 999 * MIB, START), 2 * NSEC_PER_SEC);
  limits.bytes_per_sec[THROTTLE_ALL] = 0;
  assert_int_equal (pass (OP_READ, MIB, START), 0);
  limits.bytes_per_sec[THROTTLE_ALL] = 1000 * MIB;
  assert_int_equal (pass (OP_READ, 999 * MIB, START), 3 * NSEC_PER_SEC);

  /* Less than what is booked a second: it has to wait. */
  limits.bytes_per_sec[THROTTLE_ALL] = MIB / 2;
  assert_int_equal (pass (OP_WRITE, MIB, START), 66 * NSEC_PER_SEC);
  /* Nobody is left of before. */
  assert_int_equal (pass (OP_READ, MIB, START + 100 * NSEC_PER_SEC) / 1000,
                    101995000);
}

/* However often limits change. */
static void
test_many_changes (void **state)
{
  int i;

  (void) state;
  for (i = 1; i <= 100; i++) {
    limits.bytes_per_sec[THROTTLE_ALL] = (100 + i) * MIB;
    pass (i % 2 ? OP_READ : OP_WRITE, MIB, START);
  }
  assert_in_range (t.nr_former, 1, MAX_FORMER);
  /* All of 101 MiB at the widest limit that there was. */
  assert_true (pass (OP_READ, MIB, START) >= NSEC_PER_SEC / 2);
  assert_true (pass (OP_READ, MIB, START) < 2 * NSEC_PER_SEC);
}

/* However many of reads there are, writes stay writes. */
static void
test_many_changes_of_one (void **state)
{
  int i;

  (void) state;
  limits.bytes_per_sec[THROTTLE_READS] = MIB;
  limits.bytes_per_sec[THROTTLE_WRITES] = MIB;
  for (i = 1; i <= 2 * MAX_FORMER; i++) {
    limits.operations_per_sec[THROTTLE_ALL] = 1000000 + i;
    pass (OP_READ, 64 * MIB, START);
  }
  limits.operations_per_sec[THROTTLE_ALL]++;
  assert_int_equal (pass (OP_WRITE, MIB, START), NSEC_PER_SEC);
  limits.operations_per_sec[THROTTLE_ALL]++;
  assert_int_equal (pass (OP_WRITE, MIB, START), 2 * NSEC_PER_SEC);
  assert_in_range (t.nr_former, 2, MAX_FORMER);
}

/* Which operation counts at which limit: bytes, then operations. */
static void
test_what_counts (void **state)
{
  static const struct {
    enum operation op;
    int bytes[NR_THROTTLE_CLASSES], operations[NR_THROTTLE_CLASSES];
  } cases[] = {
      {OP_READ, {1, 1, 0}, {1, 1, 0}}, {OP_WRITE, {1, 0, 1}, {1, 0, 1}},
      {OP_ZERO, {1, 0, 1}, {1, 0, 1}}, {OP_TRIM, {0, 0, 0}, {1, 0, 1}},
      {OP_ZONE, {0, 0, 0}, {1, 0, 1}}, {OP_FLUSH, {0, 0, 0}, {1, 0, 0}},
  };
  size_t i, which;

  (void) state;
  for (i = 0; i < NR_OPERATIONS; i++) {
    for (which = 0; which < NR_THROTTLE_CLASSES; which++) {
      setup (NULL);
      limits.bytes_per_sec[which] = MIB;
      assert_int_equal (pass (cases[i].op, MIB, START),
                        cases[i].bytes[which] ? NSEC_PER_SEC : 0);
      setup (NULL);
      limits.operations_per_sec[which] = 1000;
      assert_int_equal (pass (cases[i].op, MIB, START),
                        cases[i].operations[which] ? NSEC_PER_MSEC : 0);
    }
  }
}

/* The narrowest of all limits counts, and others get the rest of the wider
 * ones.
 */
static void
test_several (void **state)
{
  (void) state;
  limits.bytes_per_sec[THROTTLE_ALL] = 4 * MIB;
  limits.bytes_per_sec[THROTTLE_WRITES] = MIB;
  limits.operations_per_sec[THROTTLE_ALL] = 1001;
  limits.operations_per_sec[THROTTLE_READS] = 1;
  assert_int_equal (pass (OP_WRITE, MIB, START), NSEC_PER_SEC);
  assert_int_equal (pass (OP_FLUSH, 0, START), NSEC_PER_MSEC);
  /* 3 MiB a second are left, but one read a second is allowed. */
  assert_int_equal (pass (OP_READ, 512, START) / 1000, 1001000);
  /* Its bytes have waited for that, and have the grace: 3 MiB a second for the
   * 4 ms until the write is through, and then 4.
   */
  assert_int_equal ((pass (OP_READ, 6 * MIB, START) + 5) / 1000, 2497000);
}

/* Reads have booked their rate, writes get the rest until there are none. */
static void
test_rest (void **state)
{
  int i;

  (void) state;
  limits.bytes_per_sec[THROTTLE_ALL] = 20 * MIB;
  limits.bytes_per_sec[THROTTLE_READS] = 15 * MIB;
  for (i = 1; i <= 15; i++)
    assert_int_equal ((pass (OP_READ, MIB, START) + 5) / 1000,
                      i * 1000000 / 15);
  assert_int_equal ((pass (OP_WRITE, 4 * MIB, START) + 5) / 1000, 800000);
  assert_int_equal ((pass (OP_WRITE, 11 * MIB, START) + 5) / 1000, 1500000);
  /* Writes have all of it until then. */
  assert_int_equal ((pass (OP_READ, 3 * MIB, START) + 5) / 1000, 1700000);
}

/* Slow ones count by what they are, be it less than one a second. */
static void
test_rest_of_slow_ones (void **state)
{
  (void) state;
  limits.bytes_per_sec[THROTTLE_ALL] = 4 * MIB;
  limits.bytes_per_sec[THROTTLE_READS] = MIB;
  assert_int_equal (pass (OP_READ, 4 * MIB, START), 4 * NSEC_PER_SEC);
  assert_int_equal (pass (OP_WRITE, 3 * MIB, START), NSEC_PER_SEC);
}

/* What was booked for fast requests is free again once slow ones come. */
static void
test_rest_after_fast_ones (void **state)
{
  uint64_t now = START;

  (void) state;
  limits.bytes_per_sec[THROTTLE_ALL] = MIB;
  limits.operations_per_sec[THROTTLE_ALL] = 100;
  assert_int_equal (pass (OP_READ, 1, now), 10 * NSEC_PER_MSEC);
  for (; now < START + 30 * NSEC_PER_SEC; now += 10 * NSEC_PER_SEC)
    pass (OP_READ, MIB, now);
  assert_int_equal (pass (OP_FLUSH, 0, now - 10 * NSEC_PER_SEC) / 1000,
                    20000000 + (1000000 / 99 - 5000));
}

/* b and c of a, b, c and d are cancelled, in any order: what comes then has
 * their time, as far as it fits; and where d is cancelled, too, there is
 * nothing to wait for.
 */
static void
test_cancel (void **state)
{
  struct booking bookings[4];
  int i, order;

  (void) state;
  for (order = 0; order < 2; order++) {
    setup (NULL);
    limits.bytes_per_sec[THROTTLE_ALL] = MIB;
    for (i = 0; i < 4; i++) {
      pass (OP_READ, MIB, START);
      bookings[i] = booking;
    }
    cancel (OP_READ, bookings[1 + order], START);
    cancel (OP_READ, bookings[2 - order], START);
    assert_int_equal (pass (OP_READ, 3 * MIB, START), 7 * NSEC_PER_SEC);
    cancel (OP_READ, booking, START);
    assert_int_equal (pass (OP_READ, MIB, START), 2 * NSEC_PER_SEC);
    cancel (OP_READ, booking, START);
    cancel (OP_READ, bookings[3], START);
    assert_int_equal (pass (OP_READ, 3 * MIB, START), 4 * NSEC_PER_SEC);
    cancel (OP_READ, booking, START);

    /* a has half of its time behind it: others may have the rest. */
    cancel (OP_READ, bookings[0], START + NSEC_PER_SEC / 2);
    assert_int_equal (t.flows[FLOW_READS].bookings.gaps.count, 0);
    assert_int_equal (pass (OP_READ, MIB, START + NSEC_PER_SEC / 2),
                      NSEC_PER_SEC * 3 / 2);
  }
}

/* What comes then may fit exactly. */
static void
test_cancel_what_fits (void **state)
{
  struct booking third;
  int i;

  (void) state;
  limits.operations_per_sec[THROTTLE_ALL] = 1000;
  for (i = 1; i <= 5; i++) {
    pass (OP_READ, 4096, START);
    if (i == 3)
      third = booking;
  }
  cancel (OP_READ, third, START);
  assert_int_equal (pass (OP_READ, 4096, START), 3 * NSEC_PER_MSEC);
  assert_int_equal (pass (OP_READ, 4096, START), 6 * NSEC_PER_MSEC);
}

/* Also those that were booked by limits that have changed since. */
static void
test_cancel_former (void **state)
{
  struct booking bookings[8];
  uint32_t generation;
  int i, order;

  (void) state;
  for (order = 0; order < 3; order++) {
    setup (NULL);
    limits.bytes_per_sec[THROTTLE_ALL] = MIB;
    for (i = 0; i < 8; i++) {
      pass (OP_READ, MIB, START);
      bookings[i] = booking;
    }
    generation = t.generation;
    limits.operations_per_sec[THROTTLE_ALL] = 1000000;
    assert_int_equal (pass (OP_WRITE, MIB, START), 9 * NSEC_PER_SEC);
    cancel (OP_WRITE, booking, START);
    for (i = 0; i < 8; i++)
      throttle_cancel (&t, generation, OP_READ,
                       bookings[order == 0   ? i
                                : order == 1 ? 7 - i
                                             : (i * 3) % 8],
                       START);
    assert_int_equal (t.former[0].gaps.count, 0);
    assert_int_equal (pass (OP_WRITE, MIB, START), NSEC_PER_SEC);

    /* Limits that nobody knows any more. */
    throttle_cancel (&t, generation - 1, OP_WRITE, booking, START);
    assert_true (booking.to == t.flows[FLOW_WRITES].bookings.front);
  }
}

/*---------------------------------------------------------------------*/
/* Clients */

#define MAX_DEPTH 64
#define MAX_DONE 200000

struct client {
  unsigned depth;
  enum operation op;
  uint32_t count;
  uint64_t arrivals[MAX_DEPTH]; /* of the next request of each */
  uint64_t done[MAX_DONE];
  size_t nr_done;
};

static struct client clients[2];

/* Clients keep so many requests under way each, and need from 0 to GAP
 * nanoseconds from the end of one to the next.  Whoever comes first is served
 * first.
 */
static void
run (unsigned nr_clients, uint64_t gap, uint64_t nsec, uint64_t *random)
{
  struct client *c, *first_client;
  uint64_t *arrival, *first, through;
  unsigned i, j;

  for (i = 0; i < nr_clients; i++) {
    clients[i].nr_done = 0;
    for (j = 0; j < clients[i].depth; j++)
      clients[i].arrivals[j] = START + random_below (random, gap + 1);
  }
  for (;;) {
    first = &clients[0].arrivals[0];
    first_client = &clients[0];
    for (i = 0; i < nr_clients; i++) {
      c = &clients[i];
      for (j = 0; j < c->depth; j++) {
        arrival = &c->arrivals[j];
        if (*arrival < *first) {
          first = arrival;
          first_client = c;
        }
      }
    }
    if (*first >= START + nsec)
      return;
    c = first_client;
    through = throttle_pass (&t, &limits, c->op, c->count, 1, *first, &booking);
    assert_true (c->nr_done < MAX_DONE);
    c->done[c->nr_done++] = through;
    *first = through + random_below (random, gap + 1);
  }
}

static int
compare (const void *a, const void *b)
{
  const uint64_t *p = a, *q = b;

  return (*p > *q) - (*p < *q);
}

/* Every window of a second, from any completion on: within 1 % of WANTED, and
 * one request for its border.
 */
static void
check_windows (struct client *c, uint64_t wanted, uint64_t nsec)
{
  size_t first, last = 0;

  qsort (c->done, c->nr_done, sizeof c->done[0], compare);
  for (first = 0; c->done[first] + NSEC_PER_SEC <= START + nsec; first++) {
    while (c->done[last] < c->done[first] + NSEC_PER_SEC)
      last++;
    if ((last - first) * 100 > wanted * 101 + 100 ||
        (last - first) * 100 + 100 < wanted * 99)
      fail_msg ("%zu in the second after %llu ns; wanted were %llu",
                last - first, (unsigned long long) (c->done[first] - START),
                (unsigned long long) wanted);
  }
  assert_true (first > 0);
}

static void
test_windows (void **state)
{
  static const unsigned depths[] = {1, 2, 4, 16, 64};
  static const uint64_t rates[] = {100, 1000, 3000, 20000};
  const uint64_t nsec = 4 * NSEC_PER_SEC;
  uint64_t random = new_seed ("windows"), gap;
  size_t d, r;
  int bytes;

  (void) state;
  for (d = 0; d < sizeof depths / sizeof depths[0]; d++) {
    for (r = 0; r < sizeof rates / sizeof rates[0]; r++) {
      /* A client that can keep up, and a gap that the grace covers. */
      gap = NSEC_PER_SEC / rates[r] * depths[d] * 8 / 10;
      if (gap > 4 * NSEC_PER_MSEC)
        gap = 4 * NSEC_PER_MSEC;
      for (bytes = 0; bytes < 2; bytes++) {
        setup (NULL);
        clients[0].depth = depths[d];
        clients[0].op = OP_READ;
        clients[0].count = 4096;
        if (bytes)
          limits.bytes_per_sec[THROTTLE_READS] = rates[r] * 4096;
        else
          limits.operations_per_sec[THROTTLE_ALL] = rates[r];
        run (1, gap, nsec, &random);
        check_windows (&clients[0], rates[r], nsec);
      }
    }
  }
}

/* Two that are alike get the same; one with a single request under way is
 * served beside one with 63, and one with small requests beside one with large
 * ones.
 */
static void
test_fair (void **state)
{
  const uint64_t nsec = 4 * NSEC_PER_SEC;
  uint64_t random = new_seed ("fair");

  (void) state;
  limits.operations_per_sec[THROTTLE_ALL] = 2000;
  clients[0].op = OP_READ;
  clients[1].op = OP_WRITE;
  clients[0].depth = clients[1].depth = 8;
  run (2, 100000, nsec, &random);
  check_windows (&clients[0], 1000, nsec);
  check_windows (&clients[1], 1000, nsec);

  setup (NULL);
  limits.operations_per_sec[THROTTLE_ALL] = 6400;
  clients[0].depth = 1;
  clients[1].depth = 63;
  run (2, 0, nsec, &random);
  check_windows (&clients[0], 100, nsec);
  check_windows (&clients[1], 6300, nsec);

  setup (NULL);
  limits.bytes_per_sec[THROTTLE_ALL] = 100 * (MIB + 4096);
  clients[0].depth = clients[1].depth = 4;
  clients[0].count = 4096;
  clients[1].count = MIB;
  run (2, 0, nsec, &random);
  check_windows (&clients[0], 100, nsec);
  check_windows (&clients[1], 100, nsec);
}

/* Reads and writes with limits of their own do not see each other. */
static void
test_apart (void **state)
{
  const uint64_t nsec = 4 * NSEC_PER_SEC;
  uint64_t random = new_seed ("apart");

  (void) state;
  limits.operations_per_sec[THROTTLE_READS] = 500;
  limits.operations_per_sec[THROTTLE_WRITES] = 3000;
  clients[0].op = OP_READ;
  clients[1].op = OP_WRITE;
  clients[0].depth = 64;
  clients[1].depth = 2;
  run (2, 100000, nsec, &random);
  check_windows (&clients[0], 500, nsec);
  check_windows (&clients[1], 3000, nsec);
}

/* Small requests wait for operations, and large ones for bytes: in turn they
 * pass as fast as either limit has it for all of them.
 */
static void
test_small_and_large (void **state)
{
  static const struct {
    uint64_t bytes, operations;
    uint32_t small, large;
  } cases[] = {
      {125 * MIB, 3000, 4096, 65536},   {125 * MIB, 3000, 4096, 131072},
      {125 * MIB, 3000, 4096, 32768},   {100 * MIB, 1000, 4096, MIB},
      {100 * MIB, 1000, 65536, 131072},
  };
  uint64_t bytes, wanted, through;
  size_t i;
  int n;

  (void) state;
  for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    setup (NULL);
    limits.bytes_per_sec[THROTTLE_ALL] = cases[i].bytes;
    limits.operations_per_sec[THROTTLE_READS] = cases[i].operations;
    bytes = through = 0;
    for (n = 0; n < 10000; n++) {
      const uint32_t count = n % 2 ? cases[i].large : cases[i].small;

      bytes += count;
      through = pass (OP_READ, count, START);
    }
    wanted = bytes * NSEC_PER_SEC / cases[i].bytes;
    if (wanted < n * NSEC_PER_SEC / cases[i].operations)
      wanted = n * NSEC_PER_SEC / cases[i].operations;
    assert_in_range (through, wanted - wanted / 100, wanted + wanted / 100);
  }
}

/*---------------------------------------------------------------------*/
/* Limits together */

#define MAX_EVENTS 20000
#define MAX_WAITING 64

static struct event {
  uint64_t through;
  enum operation op;
  uint32_t count;
} events[MAX_EVENTS];
static size_t nr_events;

static int
compare_events (const void *a, const void *b)
{
  const struct event *p = a, *q = b;

  return (p->through > q->through) - (p->through < q->through);
}

/* As in test_what_counts. */
static uint64_t
amount_of (const struct event *e, bool bytes, unsigned which)
{
  const bool reads = e->op == OP_READ;

  if ((bytes && e->op != OP_READ && e->op != OP_WRITE && e->op != OP_ZERO) ||
      (which == THROTTLE_READS && !reads) ||
      (which == THROTTLE_WRITES && (reads || e->op == OP_FLUSH)))
    return 0;
  return bytes ? e->count : 1;
}

/* In the second after each completion no limit lets more through than 1 % above
 * it, and one request of each kind, of LARGEST bytes.
 */
static void
check_limits (uint32_t largest, const char *what)
{
  uint64_t sum, limit;
  size_t first, last;
  unsigned which;
  int bytes;

  qsort (events, nr_events, sizeof events[0], compare_events);
  for (bytes = 0; bytes < 2; bytes++) {
    for (which = 0; which < NR_THROTTLE_CLASSES; which++) {
      limit = bytes ? limits.bytes_per_sec[which]
                    : limits.operations_per_sec[which];
      if (limit == 0)
        continue;
      sum = 0;
      for (first = last = 0; first < nr_events; first++) {
        while (last < nr_events &&
               events[last].through < events[first].through + NSEC_PER_SEC)
          sum += amount_of (&events[last++], bytes, which);
        if (sum > limit + limit / 100 + 4 * (bytes ? largest : 1))
          fail_msg ("%s: %s %u: %llu in the second after %llu ns; the limit is "
                    "%llu",
                    what, bytes ? "bytes" : "operations", which,
                    (unsigned long long) sum,
                    (unsigned long long) events[first].through,
                    (unsigned long long) limit);
        sum -= amount_of (&events[first], bytes, which);
      }
    }
  }
}

/* What two clients got: many reads that are there at the beginning, and writes
 * at a depth of 8 from then on.
 */
static void
check_narrow (uint64_t all, uint64_t reads, int nr_reads)
{
  uint64_t arrivals[8] = {0}, written = 0;
  int i;

  setup (NULL);
  limits.bytes_per_sec[THROTTLE_ALL] = all * MIB;
  limits.bytes_per_sec[THROTTLE_READS] = reads * MIB;
  nr_events = 0;
  for (i = 0; i < nr_reads; i++)
    events[nr_events++] =
        (struct event){pass (OP_READ, MIB, START), OP_READ, MIB};
  for (;;) {
    for (i = 1; i < 8; i++) {
      if (arrivals[i] < arrivals[0]) {
        const uint64_t later = arrivals[0];

        arrivals[0] = arrivals[i];
        arrivals[i] = later;
      }
    }
    if (arrivals[0] >= 20 * NSEC_PER_SEC)
      break;
    arrivals[0] = pass (OP_WRITE, MIB, START + arrivals[0]);
    events[nr_events++] = (struct event){arrivals[0], OP_WRITE, MIB};
    written += arrivals[0] < 20 * NSEC_PER_SEC;
  }
  check_limits (MIB, "narrow");
  /* All that there is goes through meanwhile. */
  i = (int) (20 * reads) < nr_reads ? (int) (20 * reads) : nr_reads;
  assert_in_range (written + i, 20 * all - 9, 20 * all + 1);
}

/* A queue at a narrow limit takes of the wider one only what it passes. */
static void
test_narrow (void **state)
{
  (void) state;
  check_narrow (20, 18, 256);
  check_narrow (20, 2, 64);
  check_narrow (20, 20, 64);
  check_narrow (20, 1000, 64);
}

/* Any limits, clients, sizes, and some that go away or come again. */
static void
test_together (void **state)
{
  static const enum operation ops[] = {OP_READ, OP_WRITE, OP_READ,
                                       OP_ZERO, OP_TRIM,  OP_FLUSH};
  struct {
    struct booking booking;
    struct event event;
  } waiting[MAX_WAITING];
  uint64_t random = new_seed ("together"), now;
  uint32_t largest;
  size_t n, i;
  unsigned which, depth;
  int round;
  char what[32];

  (void) state;
  for (round = 0; round < 300; round++) {
    setup (NULL);
    for (which = 0; which < NR_THROTTLE_CLASSES; which++) {
      if (random_below (&random, 2))
        limits.bytes_per_sec[which] = MIB * (1 + random_below (&random, 40));
      if (random_below (&random, 2))
        limits.operations_per_sec[which] = 1 + random_below (&random, 200);
    }
    largest = 4096 << random_below (&random, 9);
    depth = 1 + random_below (&random, MAX_WAITING);
    nr_events = n = 0;
    now = START;
    while (now < START + 10 * NSEC_PER_SEC && nr_events + n < MAX_EVENTS) {
      now += random_below (&random, NSEC_PER_SEC / (1 + nr_events % 200));
      for (i = n; i-- > 0;) {
        if (waiting[i].booking.to <= now) {
          events[nr_events++] = waiting[i].event;
          waiting[i] = waiting[--n];
        }
        else if (random_below (&random, 40) == 0) {
          cancel (waiting[i].event.op, waiting[i].booking, now);
          waiting[i] = waiting[--n];
        }
      }
      while (n < depth && nr_events + n < MAX_EVENTS) {
        waiting[n].event.op = ops[random_below (&random, 6)];
        waiting[n].event.count =
            random_below (&random, 2) ? largest : 512 + largest / 8;
        waiting[n].event.through =
            START + pass (waiting[n].event.op, waiting[n].event.count, now);
        waiting[n].booking = booking;
        assert_true (booking.to <= waiting[n].event.through);
        if (waiting[n].event.through == now)
          events[nr_events++] = waiting[n].event;
        else
          n++;
      }
    }
    snprintf (what, sizeof what, "round %d", round);
    check_limits (largest, what);
  }
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, setup, teardown)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_no_limit),
      TEST (test_operations),
      TEST (test_exact),
      TEST (test_highest_limit),
      TEST (test_large),
      TEST (test_idle),
      TEST (test_early),
      TEST (test_change),
      TEST (test_what_counts),
      TEST (test_several),
      TEST (test_windows),
      TEST (test_fair),
      TEST (test_apart),
      TEST (test_many_changes),
      TEST (test_cancel_former),
      TEST (test_rest),
      TEST (test_rest_of_slow_ones),
      TEST (test_rest_after_fast_ones),
      TEST (test_cancel),
      TEST (test_cancel_what_fits),
      TEST (test_narrow),
      TEST (test_together),
      TEST (test_small_and_large),
      TEST (test_many_changes_of_one),
  };

  return RUN_TESTS (tests);
}
