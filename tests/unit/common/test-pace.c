/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Does polling pay (plugin/common/pace.h)?  Clients and machines are models
 * here, and time is what the models say.
 */

#include <config.h>

#include "unit.h"

#include "common/common.h"

#define US 1000
#define POLL (50 * US) /* the longest */

/* What one request takes, in ns. */
struct model {
  uint64_t think; /* of the client */
  uint64_t wake;  /* from a request to a thread that sleeps */
  uint64_t sleep; /* the CPU of falling asleep and waking up */
  uint64_t serve; /* time and CPU of the request itself */
  uint64_t
      slice; /* of CPU: one that polls loses it then for three times as long */
  unsigned hurts;  /* by what factor it all takes longer while one polls */
  unsigned hiccup; /* of so many requests one takes much longer */
  unsigned polls_to_loss; /* of so many polls one loses its CPU, if any */
  uint64_t others;        /* CPU that other threads use meanwhile */
};

static struct {
  uint64_t now, cpu;
  uint64_t slices;
  uint64_t served, polled;
  unsigned polls, in_vain; /* of the last ones */
} sum = {.now = 1, .cpu = 1};

static uint64_t
used (void)
{
  return sum.cpu;
}

static void
serve (struct pace *p, const struct model *m, unsigned n)
{
  const uint64_t factor = m->hurts > 0 ? m->hurts : 1;
  uint64_t time, poll;
  bool polls, in_vain, loses;

  sum.polls = sum.in_vain = 0;
  while (n-- > 0) {
    polls = p != NULL && pace_polls (p);
    time = m->serve + m->think;
    poll = (polls ? factor : 0) * m->think;
    in_vain = polls && poll >= POLL;
    loses = polls && m->slice > 0 && sum.cpu / m->slice != sum.slices;
    if (loses) {
      sum.slices = sum.cpu / m->slice;
      sum.now += 3 * m->slice;
    }
    sum.polled += polls;
    if (polls && m->polls_to_loss > 0 && sum.polled % m->polls_to_loss == 0) {
      loses = true;
      sum.now += 1000 * US;
    }
    if (m->hiccup > 0 && ++sum.served % m->hiccup == 0)
      sum.now += 300 * US;
    if (polls) {
      time *= factor;
      poll = poll < POLL ? poll : POLL;
    }
    if (!polls || in_vain) {
      time += m->wake;
      sum.cpu += m->sleep;
    }
    sum.cpu += m->serve + poll + m->others;
    sum.now += time;
    sum.polls += polls;
    sum.in_vain += in_vain;
    if (p != NULL)
      pace_count (p, sum.now,
                  loses     ? POLL_LOST_CPU
                  : in_vain ? POLL_IN_VAIN
                            : POLL_CAME,
                  used);
  }
}

#define MANY 20000

/* Of requests of this kind, no more than a tenth of CPU is added, unless as
 * much of the time is saved; nor of the product of both, in which time counts
 * WEIGHT times.
 */
static void
expect_weighed (struct pace *p, const struct model *m, unsigned weight)
{
  uint64_t now = sum.now, cpu = sum.cpu, time, of_sleeps;
  double ratio;

  serve (NULL, m, MANY);
  time = sum.now - now;
  of_sleeps = sum.cpu - cpu;
  now = sum.now;
  cpu = sum.cpu;
  serve (p, m, MANY);
  if (sum.now - now > time - time / 10)
    assert_true (sum.cpu - cpu <= of_sleeps + of_sleeps / 10);
  ratio = (double) (sum.now - now) / time;
  if (weight == 2)
    ratio *= ratio;
  assert_true (ratio * (sum.cpu - cpu) <= 1.1 * of_sleeps);
}

static void
expect_pays (struct pace *p, const struct model *m)
{
  expect_weighed (p, m, 1);
}

static struct model
client (uint64_t think_us)
{
  const struct model m = {.think = think_us * US,
                          .wake = 15 * US,
                          .sleep = 8 * US,
                          .serve = 10 * US};

  return m;
}

static void
test_pays (void **state)
{
  static const unsigned factors[] = {1, 2, 5, 20};
  struct model m;
  struct pace p;
  unsigned i, think, weight;

  (void) state;
  for (i = 0; i < 4; i++) {
    for (think = 0; think <= 200; think++) {
      m = client (think);
      m.hurts = factors[i];
      for (weight = 1; weight <= 2; weight++) {
        pace_init (&p, weight);
        expect_weighed (&p, &m, weight);
      }
    }
  }
}

/* A poll of 40 us saves a wake-up of 50 us, in which 10 us of CPU are used: it
 * pays if time counts twice.
 */
static void
test_weight (void **state)
{
  const struct model m = {
      .think = 40 * US, .wake = 50 * US, .sleep = 10 * US, .serve = 20 * US};
  struct pace p;

  (void) state;
  pace_init (&p, 1);
  serve (&p, &m, MANY);
  assert_true (sum.polls < MANY / 20);
  pace_init (&p, 2);
  serve (&p, &m, MANY);
  assert_true (sum.polls > MANY - MANY / 20);
}

/* No product is too large for its integer, whatever CPU other threads use. */
static void
test_others (void **state)
{
  struct model m = client (0);
  struct pace p;
  unsigned i;

  (void) state;
  m.wake = 300 * US;
  for (i = 0; i < 20; i++) {
    m.others = UINT64_C (1) << (20 + i);
    pace_init (&p, 2);
    serve (&p, &m, MANY);
    assert_true (sum.polls > MANY - MANY / 20);
  }
}

/* A machine that has more to do: who sleeps gets a CPU at once, and who polls
 * loses his.  Polls are better until then.
 */
static void
test_busy_machine (void **state)
{
  struct model m = client (0);
  struct pace p;

  (void) state;
  m.slice = 3000 * US;
  pace_init (&p, 1);
  expect_pays (&p, &m);
  assert_true (sum.polls < MANY / 10);

  /* Now it has not. */
  m.slice = 0;
  serve (&p, &m, MANY);
  serve (&p, &m, MANY);
  assert_true (sum.polls > MANY - MANY / 20);
}

/* A client that is quick is polled for, and nearly always. */
static void
test_quick_client (void **state)
{
  const struct model m = client (1);
  struct pace p;

  (void) state;
  pace_init (&p, 1);
  serve (&p, &m, MANY);
  assert_true (sum.polls > MANY - MANY / 20);
  assert_int_equal (sum.in_vain, 0);
}

/* One that is so slow that no poll can pay costs none. */
static void
test_slow_client (void **state)
{
  static const unsigned thinks[] = {160, 200, 1000, 100000};
  struct model m;
  struct pace p;
  unsigned i;

  (void) state;
  for (i = 0; i < 2 * sizeof thinks / sizeof thinks[0]; i++) {
    m = client (thinks[i / 2]);
    pace_init (&p, 1 + i % 2);
    serve (&p, &m, MANY);
    assert_int_equal (sum.polls, 0);

    /* It becomes a quick one. */
    m = client (0);
    serve (&p, &m, 2000);
    assert_true (sum.polls > 1000);
  }
}

/* One that could be quick enough costs some polls in vain, and ever fewer. */
static void
test_polls_in_vain (void **state)
{
  const struct model m = client (80);
  struct pace p;

  (void) state;
  pace_init (&p, 1);
  serve (&p, &m, MANY);
  assert_int_equal (sum.polls, sum.in_vain);
  assert_in_range (sum.polls, 4, 40);
  serve (&p, &m, MANY);
  assert_in_range (sum.polls, 0, 8);
}

/* Hiccups of the machine decide nothing, even where a poll saves little. */
static void
test_hiccups (void **state)
{
  struct model m = client (0);
  struct pace p;

  (void) state;
  m.wake = 3 * US;
  m.sleep = 2 * US;
  m.hiccup = 37;
  pace_init (&p, 1);
  serve (&p, &m, MANY);
  assert_true (sum.polls > MANY - MANY / 20);
}

/* Nor does a poll that loses its CPU once in a long time; but one that does so
 * all the time costs few.
 */
static void
test_lost_cpu (void **state)
{
  struct model m = client (0);
  struct pace p;

  (void) state;
  m.polls_to_loss = 2000;
  pace_init (&p, 1);
  serve (&p, &m, MANY);
  assert_true (sum.polls > MANY - MANY / 20);

  m.polls_to_loss = 200;
  serve (&p, &m, MANY);
  assert_in_range (sum.polls, 200, MANY / 10);
}

/* Who changes is found out. */
static void
test_changes (void **state)
{
  const unsigned thinks[] = {0, 40, 0, 100, 5, 1000, 0, 30};
  struct model m;
  struct pace p;
  unsigned i;

  (void) state;
  pace_init (&p, 1);
  for (i = 0; i < sizeof thinks / sizeof thinks[0]; i++) {
    m = client (thinks[i]);
    expect_pays (&p, &m);
  }
  m = client (0);
  serve (&p, &m, MANY);
  serve (&p, &m, MANY);
  assert_true (sum.polls > MANY - MANY / 20);
}

/* What is interrupted all the time is never compared. */
static void
test_interrupted (void **state)
{
  const struct model m = client (0);
  struct pace p;
  unsigned i;

  (void) state;
  pace_init (&p, 1);
  for (i = 0; i < 1000; i++) {
    serve (&p, &m, 20);
    assert_int_equal (sum.polls, 0);
    pace_interrupt (&p);
  }
}

/* Nothing is polled for while some requests come together, nor soon after. */
static void
test_together (void **state)
{
  const struct model m = client (0);
  struct pace p;
  unsigned i;

  (void) state;
  pace_init (&p, 1);
  serve (&p, &m, MANY);
  assert_true (pace_polls (&p));
  for (i = 0; i < 1000; i++) {
    pace_together (&p);
    serve (&p, &m, 50);
    assert_int_equal (sum.polls, 0);
  }
  serve (&p, &m, 200);
  assert_in_range (sum.polls, 100, 200);
}

/* A client that had nothing to ask for a while says nothing about polling. */
static void
test_pauses (void **state)
{
  const struct model m = client (0);
  struct model pause = client (0);
  struct pace p;
  unsigned i, polls = 0;

  (void) state;
  pause.think = UINT64_C (1000000) * US;
  pace_init (&p, 1);
  for (i = 0; i < 1000; i++) {
    serve (&p, &m, 100);
    polls += sum.polls;
    serve (&p, &pause, 1);
  }
  assert_true (polls > 80000);
}

/*---------------------------------------------------------------------*/
/* How many requests each phase has */

/* Sleeps and polls in turns, beginning with sleeps: so many of each. */
static void
expect_runs (struct pace *p, const struct model *m, const unsigned *runs,
             size_t n)
{
  bool polls = false;
  unsigned count = 0;
  size_t i = 0;

  while (i < n) {
    if (pace_polls (p) != polls) {
      assert_int_equal (count, runs[i]);
      polls = !polls;
      count = 0;
      i++;
      continue;
    }
    serve (p, m, 1);
    count++;
  }
}

#define EXPECT_RUNS(p, m, runs)                                                \
  expect_runs (p, m, runs, sizeof (runs) / sizeof (runs)[0])

/* Both windows have 32, and what goes on after them twice as many each time, up
 * to 8192.  The first request only begins a window.
 */
static void
test_runs_of_polls (void **state)
{
  static const unsigned runs[] = {
      1 + 32, 32 + 256 + 32, 32, 512 + 32,  32, 1024 + 32, 32, 2048 + 32,
      32,     4096 + 32,     32, 8192 + 32, 32, 8192 + 32, 32, 8192 + 32,
  };
  const struct model m = client (0);
  struct pace p;

  (void) state;
  pace_init (&p, 1);
  EXPECT_RUNS (&p, &m, runs);
}

/* Polls that are worse show it in 8, and those in vain in 4.  As good is not
 * better.
 */
static void
test_runs_of_sleeps (void **state)
{
  static const unsigned worse[] = {
      1 + 32,        8, 1 + 512 + 32,  8, 1 + 1024 + 32, 8, 1 + 2048 + 32, 8,
      1 + 4096 + 32, 8, 1 + 8192 + 32, 8, 1 + 8192 + 32, 8,
  };
  static const unsigned equal[] = {1 + 32, 32, 512 + 32, 32};
  static const unsigned vain[] = {1 + 32, 4, 1 + 512 + 32, 4, 1 + 1024 + 32, 4};
  static const unsigned less[] = {1 + 32, 32 + 256 + 32};
  struct model m = client (5);
  struct pace p;

  (void) state;
  m.hurts = 5;
  pace_init (&p, 1);
  EXPECT_RUNS (&p, &m, worse);
  m = client (5);
  m.wake = 0;
  m.sleep = m.think;
  pace_init (&p, 1);
  EXPECT_RUNS (&p, &m, equal);
  m = (struct model){0}; /* in no time */
  pace_init (&p, 1);
  EXPECT_RUNS (&p, &m, equal);
  m = client (80);
  pace_init (&p, 1);
  EXPECT_RUNS (&p, &m, vain);

  /* 2 ns of CPU are better than 3. */
  m = (struct model){.serve = 2, .sleep = 1};
  pace_init (&p, 1);
  EXPECT_RUNS (&p, &m, less);
}

/* Polls go on for at least N more. */
static void
begin_polling (struct pace *p, unsigned n)
{
  const struct model m = client (0);

  pace_init (p, 1);
  while (p->interval[true] < 8192)
    serve (p, &m, 1);
  while (p->phase != 0 || !p->polls || p->left_of_phase < n)
    serve (p, &m, 1);
}

static void
lose (struct pace *p)
{
  pace_count (p, sum.now, POLL_LOST_CPU, used);
}

/* A CPU that is lost again counts if that comes within 512 polls. */
static void
test_lost_again (void **state)
{
  static const unsigned runs[] = {1 + 4096 + 32};
  const struct model m = client (0);
  struct pace p;
  uint32_t left;

  (void) state;
  begin_polling (&p, 2000);
  left = p.left_of_phase;
  lose (&p);
  assert_true (pace_polls (&p));
  serve (&p, &m, 1);
  assert_int_equal (p.left_of_phase, left - 1);
  begin_polling (&p, 2000);
  lose (&p);
  serve (&p, &m, 512);
  lose (&p);
  assert_true (pace_polls (&p));
  serve (&p, &m, 511);
  lose (&p);
  assert_false (pace_polls (&p));
  EXPECT_RUNS (&p, &m, runs);
}

/* Both are compared again where a request takes more than a quarter longer than
 * when polling was better, for two windows.
 */
static void
test_slower (void **state)
{
  struct model m = client (0);
  struct pace p;

  (void) state;
  begin_polling (&p, 2000);
  assert_int_equal (p.polled, 10 * US);
  serve (&p, &m, p.left_of_window);
  m.think = 2500;
  serve (&p, &m, 320);
  assert_int_equal (p.phase, 0);
  m.think = 2501;
  serve (&p, &m, 32);
  m.think = 0;
  serve (&p, &m, 32);
  m.think = 2501;
  serve (&p, &m, 63);
  assert_int_equal (p.phase, 0);
  serve (&p, &m, 1);
  assert_int_not_equal (p.phase, 0);
}

/* After requests that came together 64 have to come one at a time. */
static void
test_apart (void **state)
{
  const struct model m = client (0);
  struct pace p;

  (void) state;
  begin_polling (&p, 2000);
  pace_together (&p);
  serve (&p, &m, 63);
  assert_false (pace_polls (&p));
  serve (&p, &m, 1);
  assert_true (pace_polls (&p));
}

/* Polls in vain count only if nothing has come between them. */
static void
test_in_vain_and_interrupted (void **state)
{
  const struct model slow = client (80);
  struct pace p;

  (void) state;
  begin_polling (&p, 2000);
  serve (&p, &slow, 3);
  pace_interrupt (&p);
  serve (&p, &slow, 3);
  assert_true (pace_polls (&p));
  serve (&p, &slow, 1);
  assert_false (pace_polls (&p));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_busy_machine),
      cmocka_unit_test (test_pays),
      cmocka_unit_test (test_weight),
      cmocka_unit_test (test_others),
      cmocka_unit_test (test_quick_client),
      cmocka_unit_test (test_slow_client),
      cmocka_unit_test (test_polls_in_vain),
      cmocka_unit_test (test_hiccups),
      cmocka_unit_test (test_lost_cpu),
      cmocka_unit_test (test_together),
      cmocka_unit_test (test_changes),
      cmocka_unit_test (test_interrupted),
      cmocka_unit_test (test_pauses),
      cmocka_unit_test (test_runs_of_polls),
      cmocka_unit_test (test_runs_of_sleeps),
      cmocka_unit_test (test_lost_again),
      cmocka_unit_test (test_slower),
      cmocka_unit_test (test_apart),
      cmocka_unit_test (test_in_vain_and_interrupted),
  };

  return RUN_TESTS (tests);
}
