/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Requests of a block device that hang by fault rules: each goes on by itself,
 * in any order, and is then what it would have been, and no thread waits.
 */

#include <config.h>

#include <pthread.h>

#include "rounds.h"

static struct message why;

static struct device *
device (void)
{
  return &devices->device[0];
}

/* Delete these rules: any thread. */
static void
delete_rule (const char *which)
{
  if (faults_change (&device ()->faults, which, NULL, clock_now (), &why) != 0)
    fail_msg ("%s", why.text);
}

/*---------------------------------------------------------------------*/
/* In any order */

#define HANGS(name, operation, range)                                          \
  "fault", "name=" name " op=" operation " range=" range " hang"

static void
ask_three (void)
{
  ask (0, UBLK_IO_OP_READ, 0, BLOCK);
  ask_filled (1, 'b', UBLK_IO_OP_WRITE, BLOCK, BLOCK);
  ask (2, UBLK_IO_OP_READ, 2 * BLOCK, BLOCK);
  ask (3, UBLK_IO_OP_READ, 3 * BLOCK, BLOCK);
}

static void
release_first (void)
{
  assert_int_equal (kernel.nr_answers, 1);
  check_block (BLOCK, 0);
  delete_rule ("first");
}

static void
release_second (void)
{
  assert_int_equal (kernel.nr_answers, 2);
  fill (1, 'c', BLOCK); /* its data is looked at when it goes on */
  delete_rule ("second");
}

static void
release_third (void)
{
  assert_int_equal (kernel.nr_answers, 3);
  delete_rule ("third");
}

static void
test_in_order (void **state)
{
  (void) state;
  BEGIN ("size", "64M", "memory-backed", "true",
         HANGS ("first", "read", "0+4K"), HANGS ("second", "write", "4K+4K"),
         HANGS ("third", "read", "8K+4K"));
  SERVE (ask_three, release_first, release_second, release_third);
  answered (0, 3, BLOCK);
  answered (1, 0, BLOCK);
  answered (2, 1, BLOCK);
  answered (3, 2, BLOCK);
  check_block (BLOCK, 'c');
  assert_int_equal (count_of (OP_WRITE), 1);
}

/* The rule that both hang by is deleted, and one hangs by another, too. */
static void
ask_twice (void)
{
  ask (0, UBLK_IO_OP_READ, 0, BLOCK);
  ask (1, UBLK_IO_OP_READ, BLOCK, BLOCK);
}

static void
release_both (void)
{
  assert_int_equal (kernel.nr_answers, 0);
  delete_rule ("both");
}

static void
release_other (void)
{
  assert_int_equal (kernel.nr_answers, 1);
  delete_rule ("one");
}

static void
test_two_rules (void **state)
{
  (void) state;
  BEGIN ("size", "64M", HANGS ("both", "read", "0+8K"),
         HANGS ("one", "read", "0+4K"));
  SERVE (ask_twice, release_both, release_other);
  answered (0, 1, BLOCK);
  answered (1, 0, BLOCK);
}

/* Another thread deletes it. */
static void *
delete_all (void *arg)
{
  (void) arg;
  delete_rule ("all");
  return NULL;
}

static void
release_beside (void)
{
  pthread_t other;

  assert_int_equal (pthread_create (&other, NULL, delete_all, NULL), 0);
  pthread_join (other, NULL);
}

/* All that there may be, at once: the thread keeps its stack. */
static void
ask_all (void)
{
  unsigned tag;

  for (tag = 0; tag < DEPTH; tag++)
    ask (tag, UBLK_IO_OP_FLUSH, 0, 0);
}

static void
release_all_beside (void)
{
  assert_int_equal (kernel.nr_answers, 0);
  release_beside ();
}

static void
test_all (void **state)
{
  unsigned i;

  (void) state;
  BEGIN ("size", "64M", "fault", "hang");
  SERVE (ask_all, release_all_beside);
  assert_int_equal (kernel.nr_answers, DEPTH);
  for (i = 0; i < DEPTH; i++)
    assert_int_equal (kernel.answers[i].result, 0);
  assert_int_equal (count_of (OP_FLUSH), DEPTH);
}

/*---------------------------------------------------------------------*/
/* What becomes of each operation */

static void
release (void)
{
  assert_int_equal (kernel.nr_answers, 0);
  delete_rule ("all");
}

static void
ask_each (void)
{
  add_rule ("hang");
  ask_filled (0, 'a', UBLK_IO_OP_WRITE | UBLK_IO_F_FUA, 0, BLOCK);
  ask (1, UBLK_IO_OP_DISCARD, 2 * MIB, BLOCK);
  ask (2, UBLK_IO_OP_WRITE_ZEROES, 3 * MIB, BLOCK);
  ask (3, UBLK_IO_OP_FLUSH, 0, 0);
  ask_filled (4, 'x', UBLK_IO_OP_READ, 4 * MIB, BLOCK);
}

static void
look_at_read (void)
{
  is_filled (4, 'r', BLOCK);
}

static void
test_each (void **state)
{
  unsigned i;

  (void) state;
  BEGIN ("size", "64M", "memory-backed", "true", "cache-size", "1M");
  put_block (2 * MIB, 'd');
  put_block (3 * MIB, 'z');
  put_block (4 * MIB, 'r');
  SERVE (ask_each, release, look_at_read);
  assert_int_equal (kernel.nr_answers, 5);
  for (i = 0; i < 5; i++)
    assert_true (kernel.answers[i].result >= 0);
  check_block (0, 'a');
  check_block (2 * MIB, 0);
  check_block (3 * MIB, 0);
}

/* A null device, whose reads have zeroes of which some were corrupted. */
static void
ask_null (void)
{
  ask_filled (0, 'x', UBLK_IO_OP_READ, 0, BLOCK);
  ask_filled (1, 'x', UBLK_IO_OP_READ, BLOCK, BLOCK);
}

static void
look_at_null (void)
{
  assert_int_equal (kernel.nr_answers, 2);
  is_filled (1, 0, BLOCK);
}

static void
test_null (void **state)
{
  (void) state;
  BEGIN ("size", "64M", "fault", "hang", "fault",
         "op=read range=0+4K corrupt=flip");
  SERVE (ask_null, release, look_at_null);
  answered (0, 0, BLOCK);
  answered (1, 1, BLOCK);
}

/* With an error, one that is lost, and one that takes its time, which has
 * passed meanwhile.
 */
static void
ask_others (void)
{
  ask (0, UBLK_IO_OP_READ, 0, BLOCK);
  ask_filled (1, 'a', UBLK_IO_OP_WRITE, 0, BLOCK);
  ask (2, UBLK_IO_OP_FLUSH, 0, 0);
}

static void
test_others (void **state)
{
  (void) state;
  BEGIN ("size", "64M", "memory-backed", "true", "fault", "hang", "fault",
         "op=read error=ENOMEM", "fault", "op=write corrupt=stale", "fault",
         "op=flush delay=10ms");
  SERVE (ask_others, release);
  answered (0, 0, -ENOMEM);
  answered (1, 1, BLOCK);
  answered (2, 2, 0);
  check_block (0, 0);
}

/*---------------------------------------------------------------------*/
/* Zones */

#define ZONES                                                                  \
  "size", "8M", "zoned", "true", "zone-size", "1M", "memory-backed", "true",   \
      "zone-nr-conv", "1", "zone-reorder-wait", "100s"

static enum zone_cond
condition_of (uint64_t zone)
{
  struct zone_descriptor z;

  assert_int_equal (zones_read_table (device ()->zones, zone, &z, 1), 1);
  return z.cond;
}

/* The second write is early when both go on. */
static void
ask_zones (void)
{
  ask_filled (0, '1', UBLK_IO_OP_WRITE, ZONE + BLOCK, BLOCK);
  ask_filled (1, '0', UBLK_IO_OP_WRITE, ZONE, BLOCK);
  ask_filled (2, 'a', UBLK_IO_OP_ZONE_APPEND, 2 * ZONE, BLOCK);
  ask_filled (3, 'b', UBLK_IO_OP_ZONE_APPEND, 2 * ZONE, BLOCK);
  ask (4, UBLK_IO_OP_ZONE_FINISH, 3 * ZONE, 0);
  ask (5, UBLK_IO_OP_ZONE_OPEN, 4 * ZONE, 0);
}

static void
look_at_zones (void)
{
  unsigned i;

  assert_int_equal (kernel.nr_answers, 6);
  for (i = 0; i < 6; i++) {
    assert_true (kernel.answers[i].result >= 0);
    if (kernel.answers[i].tag == 2 || kernel.answers[i].tag == 3)
      check_block (kernel.answers[i].sector * 512,
                   kernel.answers[i].tag == 2 ? 'a' : 'b');
  }
  check_block (ZONE, '0');
  check_block (ZONE + BLOCK, '1');
  assert_int_equal (condition_of (3), ZONE_COND_FULL);
  assert_int_equal (condition_of (4), ZONE_COND_EXP_OPEN);
  add_rule ("op=zone hang");
  ask (0, UBLK_IO_OP_ZONE_RESET, 3 * ZONE, 0);
  ask (1, UBLK_IO_OP_ZONE_RESET_ALL, 0, 0);
}

static void
release_resets (void)
{
  assert_int_equal (kernel.nr_answers, 6);
  assert_int_equal (condition_of (3), ZONE_COND_FULL);
  delete_rule ("all");
}

static void
test_zones (void **state)
{
  (void) state;
  BEGIN (ZONES, "fault", "hang");
  SERVE (ask_zones, release, look_at_zones, release_resets);
  answered (6, 0, 0);
  answered (7, 1, 0);
  assert_int_equal (condition_of (2), ZONE_COND_EMPTY);
  assert_int_equal (condition_of (3), ZONE_COND_EMPTY);
}

/*---------------------------------------------------------------------*/
/* The end */

static void
cut_power (void)
{
  assert_int_equal (kernel.nr_answers, 0);
  device_cut_power (device (), LOSE_ALL, 0);
}

static void
power_on (void)
{
  assert_int_equal (kernel.nr_answers, 4);
  device_power_on (device ());
}

static void
release_more (void)
{
  assert_int_equal (kernel.nr_answers, 4);
  delete_rule ("all");
}

/* The cut ends them, and what hangs afterwards is another one. */
static void
test_power (void **state)
{
  unsigned i;

  (void) state;
  BEGIN ("size", "64M", "memory-backed", "true", "fault", "hang");
  SERVE (ask_three, cut_power, power_on, ask_twice, release_more);
  for (i = 0; i < 4; i++)
    assert_int_equal (kernel.answers[i].result, -EIO);
  answered (4, 0, BLOCK);
  answered (5, 1, BLOCK);
  check_block (BLOCK, 0);
}

static void
fail_all (void)
{
  assert_int_equal (kernel.nr_answers, 0);
  delete_rule ("first"); /* it is about to go on */
  ublk_queue_fail_all (ublk_queue_of_thread ());
}

static void
test_fail_all (void **state)
{
  enum extent extent;
  uint64_t end;
  unsigned i;

  (void) state;
  BEGIN ("size", "64M", "memory-backed", "true", "latency", "100s",
         HANGS ("first", "read", "0+4K"), "fault", "hang");
  SERVE (ask_three, fail_all);
  assert_int_equal (kernel.nr_answers, 4);
  for (i = 0; i < 4; i++)
    assert_int_equal (kernel.answers[i].result, -EIO);
  assert_int_equal (device_extent (d, BLOCK, BLOCK, &extent, &end), 0);
  assert_int_not_equal (extent, EXTENT_DATA);
}

/*---------------------------------------------------------------------*/
/* Anything, while another thread deletes and makes rules, and cuts power */

#define ROUNDS 300

static uint64_t seed;
static atomic_bool is_enough;
static pthread_t troubler;
static unsigned asked, ended;

static void *
make_trouble (void *arg)
{
  uint64_t state = *(uint64_t *) arg;
  struct message message;
  struct fault_rule *fault;

  while (!atomic_load (&is_enough)) {
    switch (random_below (&state, 8)) {
    case 0:
      device_cut_power (device (), LOSE_RANDOM, 0);
      break;
    case 1:
    case 2:
      device_power_on (device ());
      break;
    case 3:
      if (fault_rule_new ("rate=50% hang", &fault, &message) == 0 &&
          faults_change (&device ()->faults, NULL, fault, clock_now (),
                         &message) != 0)
        fault_rule_free (fault);
      break;
    default:
      delete_rule ("all");
    }
  }
  delete_rule ("all");
  device_power_on (device ());
  return NULL;
}

static void
begin_trouble (void)
{
  static uint64_t state;

  state = next_random (&seed);
  assert_int_equal (pthread_create (&troubler, NULL, make_trouble, &state), 0);
}

static void
end_trouble (void)
{
  atomic_store (&is_enough, true);
  pthread_join (troubler, NULL);
}

static void
ask_something (void)
{
  static const unsigned operations[] = {UBLK_IO_OP_READ, UBLK_IO_OP_WRITE,
                                        UBLK_IO_OP_FLUSH, UBLK_IO_OP_DISCARD,
                                        UBLK_IO_OP_WRITE_ZEROES};
  unsigned tag, operation;

  ended += kernel.nr_answers;
  kernel.nr_answers = 0;
  for (tag = 0; tag < DEPTH; tag++) {
    if (kernel.fetches[tag] == NULL || random_below (&seed, 2) == 0)
      continue;
    operation = operations[random_below (&seed, 5)];
    ask (tag, operation, random_below (&seed, 64) * BLOCK,
         operation == UBLK_IO_OP_FLUSH ? 0 : BLOCK);
    asked++;
  }
}

static void
test_random (void **state)
{
  void (*rounds[ROUNDS + 3]) (void);
  unsigned i;

  (void) state;
  seed = new_seed ("requests that hang");
  asked = ended = 0;
  atomic_store (&is_enough, false);
  rounds[0] = begin_trouble;
  for (i = 1; i <= ROUNDS; i++)
    rounds[i] = ask_something;
  rounds[i++] = end_trouble;
  rounds[i] = NULL;
  BEGIN ("size", "1M", "memory-backed", "true", "cache-size", "64K", "latency",
         "uniform:0-1ms");
  serve (rounds);
  assert_int_equal (ended + kernel.nr_answers, asked);
  assert_int_not_equal (asked, 0);
}

#define CASE(name)                                                             \
  cmocka_unit_test_setup_teardown (name, forget_devices, destroy_devices)

int
main (void)
{
  static const struct CMUnitTest tests[] = {
      CASE (test_in_order), CASE (test_two_rules), CASE (test_all),
      CASE (test_each),     CASE (test_null),      CASE (test_others),
      CASE (test_zones),    CASE (test_power),     CASE (test_fail_all),
      CASE (test_random),
  };

  return RUN_TESTS (tests);
}
