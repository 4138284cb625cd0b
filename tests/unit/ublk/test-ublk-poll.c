/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * When a queue of a block device looks for the next request instead of
 * sleeping, and what ends that.  Time is what the test says: a look takes 1 us,
 * and a sleep until the client asks, and the CPU has woken up.
 */

#include <config.h>

#include "rounds.h"

#define US NSEC_PER_USEC
#define POLL (100 * US)
#define WAKE (20 * US)      /* from a request to a thread that sleeps */
#define SLEEP_CPU (10 * US) /* of falling asleep and waking up */

static struct {
  uint64_t now, cpu;
  uint64_t think;     /* of the client, from its answers to its next requests */
  uint64_t waits_at;  /* when the queue began to wait for them */
  bool waits;         /* it does */
  unsigned operation; /* of all requests */
  unsigned at_a_time;
  unsigned left; /* times to ask */
  unsigned looks, sleeps;
  unsigned longest; /* looks in a row */
  unsigned in_row;
  void (*looks_on) (void); /* called at each look, where it is not NULL */
  void (*asks_on) (void);  /* and before the client asks */
} world;

/* Nobody polls while a request waits for its moment. */
static uint64_t
now (void)
{
  must (ublk_queue_of_thread ()->nr_in_heap == 0, "no request waits");
  return world.now;
}

static uint64_t
cpu (void)
{
  return world.cpu;
}

/* The last request waits for its moment, and not the queue for the next one. */
static bool
request_waits (void)
{
  return kernel.fetches[0] == NULL;
}

static void
begin_to_wait (void)
{
  if (!world.waits)
    world.waits_at = world.now;
  world.waits = true;
}

static void
ask_next (void)
{
  unsigned i;

  kernel.nr_answers = 0;
  if (world.asks_on != NULL)
    world.asks_on ();
  for (i = 0; i < world.at_a_time; i++)
    ask (i, world.operation, 0,
         world.operation == UBLK_IO_OP_FLUSH ? 0 : BLOCK);
  world.left--;
  world.in_row = 0;
  world.waits = false;
}

static void
look (void)
{
  if (request_waits ())
    return;
  begin_to_wait ();
  world.looks++;
  world.in_row++;
  if (world.in_row > world.longest)
    world.longest = world.in_row;
  world.now += US;
  world.cpu += US;
  if (world.looks_on != NULL)
    world.looks_on ();
  if (world.left > 0 && world.now - world.waits_at >= world.think)
    ask_next ();
}

/* A round: as often as the client asks, and once more. */
static void
sleep_once (void)
{
  if (request_waits ()) {
    kernel.rounds--;
    return;
  }
  begin_to_wait ();
  world.sleeps++;
  world.cpu += SLEEP_CPU;
  if (world.now < world.waits_at + world.think)
    world.now = world.waits_at + world.think;
  world.now += WAKE;
  if (world.left == 0)
    return;
  ask_next ();
  kernel.rounds--;
}

static void
begin_world (uint64_t think, unsigned at_a_time)
{
  memset (&world, 0, sizeof world);
  world.now = world.cpu = 1;
  world.think = think;
  world.at_a_time = at_a_time;
  world.operation = UBLK_IO_OP_FLUSH;
  poll_of.longest = POLL;
  poll_of.now = now;
  poll_of.cpu = cpu;
  looked = look;
}

static void
serve_times (unsigned n)
{
  world.left = n;
  SERVE (sleep_once);
}

/*---------------------------------------------------------------------*/
/* Whom it polls for */

/* A client that is quick, and has one request at a time. */
static void
test_quick_client (void **state)
{
  (void) state;
  BEGIN ("size", "64M");
  begin_world (3 * US, 1);
  serve_times (10000);
  assert_in_range (world.sleeps, 64, 1000);
  assert_in_range (world.longest, 3, POLL / US);
}

/* One that halves the time of a request if it is polled for, which costs twice
 * the CPU of sleeping.
 */
static void
test_saves_time (void **state)
{
  (void) state;
  BEGIN ("size", "64M");
  begin_world (WAKE, 1);
  assert_int_equal (SLEEP_CPU, WAKE / 2);
  serve_times (10000);
  assert_in_range (world.sleeps, 64, 1000);
}

/* Where the user says so, nobody. */
static void
test_never (void **state)
{
  (void) state;
  BEGIN ("size", "64M");
  begin_world (3 * US, 1);
  poll_of.longest = 0;
  serve_times (1000);
  assert_int_equal (world.looks, 0);
}

/* Several requests at a time. */
static void
test_together (void **state)
{
  (void) state;
  BEGIN ("size", "64M");
  begin_world (3 * US, 2);
  serve_times (1000);
  assert_int_equal (world.looks, 0);
}

/* First, then one at a time, and then both by turns. */
static unsigned looks_between;

static void
change_number (void)
{
  world.at_a_time = world.left > 6000   ? 2
                    : world.left > 1000 ? 1
                                        : 1 + world.left % 2;
  if (world.left == 1000)
    looks_between = world.looks;
}

static void
test_together_again (void **state)
{
  (void) state;
  BEGIN ("size", "64M");
  begin_world (3 * US, 2);
  world.asks_on = change_number;
  serve_times (7000);
  assert_true (looks_between > 0);
  assert_in_range (world.looks, looks_between, looks_between + POLL / US);
}

/* One that takes so long that no poll can pay. */
static void
test_slow_client (void **state)
{
  (void) state;
  BEGIN ("size", "64M");
  begin_world (1000 * US, 1);
  serve_times (1000);
  assert_int_equal (world.looks, 0);
}

/* One for which a poll could pay, but ends in vain: 4 show it, each time. */
static void
test_in_vain (void **state)
{
  (void) state;
  BEGIN ("size", "64M");
  begin_world (POLL + 5 * US, 1);
  serve_times (1000);
  assert_int_equal (world.longest, POLL / US);
  assert_in_range (world.looks, 4 * world.longest, 8 * world.longest);
}

/* Between requests that wait, each for 20 us of the real time. */
static void
test_latency (void **state)
{
  (void) state;
  BEGIN ("size", "64M", "read-latency", "20us");
  begin_world (3 * US, 1);
  world.operation = UBLK_IO_OP_READ;
  serve_times (500);
  assert_true (world.looks > 0);
}

/*---------------------------------------------------------------------*/
/* What ends a poll */

static struct ublk_queue *other = (struct ublk_queue *) &other;

/* Where no queue polls, none says that it has had the last request. */
static void
have_another_ask (void)
{
  if (world.left == 10)
    atomic_store (&poll_of.last, other);
}

static void
test_last_of_together (void **state)
{
  (void) state;
  BEGIN ("size", "64M");
  begin_world (3 * US, 2);
  world.asks_on = have_another_ask;
  serve_times (20);
  assert_ptr_equal (atomic_load (&poll_of.last), other);
}

/* The client would go on to think for nearly all of the poll. */
static void
ask_another (void)
{
  if (world.left >= 100)
    return;
  world.think = POLL - US;
  atomic_store (&poll_of.last, other);
}

/* Another queue has had a request. */
static void
test_another_queue (void **state)
{
  (void) state;
  BEGIN ("size", "64M");
  begin_world (3 * US, 1);
  world.looks_on = ask_another;
  serve_times (5000);
  assert_in_range (world.longest, 3, 10);
}

static void
end_server (void)
{
  if (world.left >= 100)
    return;
  world.think = POLL - US;
  ublk_queue_fail_all (ublk_queue_of_thread ());
}

/* Now and then a look takes so much longer, as the CPU does something else. */
static uint64_t jump;

static void
jump_ahead (void)
{
  if (world.left % 100 == 0 && world.in_row == 1)
    world.now += jump;
}

/* Less than a millisecond is what any machine has. */
static void
test_short_jumps (void **state)
{
  (void) state;
  BEGIN ("size", "64M");
  begin_world (3 * US, 1);
  jump = 900 * US;
  world.looks_on = jump_ahead;
  serve_times (10000);
  assert_in_range (world.sleeps, 64, 1000);
}

/* Where it is more, other threads want the CPU. */
static void
test_long_jumps (void **state)
{
  (void) state;
  BEGIN ("size", "64M");
  begin_world (3 * US, 1);
  jump = 1100 * US;
  world.looks_on = jump_ahead;
  serve_times (10000);
  assert_true (world.looks > 0);
  assert_in_range (world.sleeps, 8000, 10000);
}

/* The server ends. */
static void
test_end (void **state)
{
  (void) state;
  BEGIN ("size", "64M");
  begin_world (3 * US, 1);
  world.looks_on = end_server;
  serve_times (5000);
  answered (0, 0, -EIO);
  assert_in_range (world.longest, 3, 10);
}

#define CASE(name)                                                             \
  cmocka_unit_test_setup_teardown (name, forget_devices, destroy_devices)

int
main (void)
{
  static const struct CMUnitTest tests[] = {
      CASE (test_quick_client),
      CASE (test_saves_time),
      CASE (test_never),
      CASE (test_together),
      CASE (test_together_again),
      CASE (test_slow_client),
      CASE (test_in_vain),
      CASE (test_latency),
      CASE (test_another_queue),
      CASE (test_last_of_together),
      CASE (test_short_jumps),
      CASE (test_long_jumps),
      CASE (test_end),
  };

  return RUN_TESTS (tests);
}
