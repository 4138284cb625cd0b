/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A write-back buffer that drains to a disk in the order of offsets, and what
 * writes that are cancelled leave behind, on moments made up here.
 */

#include <config.h>

#include <math.h>
#include <string.h>

#define SIZE (UINT64_C (1) << 40)
#include "one-latency.h"

#define BLOCK 4096

/* 6000 rotations a minute are 10 ms each, in which 10 MiB pass. */
#define DISK "track:1ms,full:9ms,rpm:6000,mbps:1000"
#define ROTATION (UINT64_C (10) << 20)

static const double byte_time = BLOCK * 1e3 / (1000 << 20); /* ms of a block */

/* A disk, and a buffer of N blocks that drains to it. */
static void
set_disk (const char *text, uint64_t n)
{
  s.drive.buffer.size = n * BLOCK;
  set_parts (&disk_parts, text, &s.drive.disk);
}

static void
set_drain (const char *text)
{
  struct message why;

  distribution_unref (s.drive.drain);
  if (distribution_parse (text, OP_WRITE, &s.drive.drain, &why) != 0)
    fail_msg ("%s", why.text);
  latency_settings_complete (&s);
}

static uint64_t
put_bytes (uint64_t offset, uint32_t count, uint64_t when,
           struct latency_booking *booking)
{
  const struct latency_request r = {
      .op = OP_WRITE, .count = count, .offset = offset, .arrival = when};

  return latency_completion (&l, &s, &random_numbers, &r, booking);
}

static uint64_t
put (uint64_t offset, uint64_t when)
{
  struct latency_booking booking;

  return put_bytes (offset, BLOCK, when, &booking);
}

/* How long a flush takes at WHEN. */
static uint64_t
flush (uint64_t when)
{
  const struct latency_request r = {.op = OP_FLUSH, .arrival = when};
  struct latency_booking booking;

  return latency_completion (&l, &s, &random_numbers, &r, &booking) - when;
}

/* Places that no two of some thousand numbers share. */
static uint64_t
place (unsigned i)
{
  return (uint64_t) (i + 1) * 7919 % 65536 * (SIZE / 65536);
}

/* A buffer that has no drain of its own drains to the disk, in the order of
 * offsets: n of them are 0.886 of the disk's root, over n + 3/4, apart.
 */
static double
sweep_msec (double n)
{
  return n * (1 + 5 + 8 * 0.886227 / sqrt (n + 0.75));
}

static void
assert_near (uint64_t nsec, double msec)
{
  if (fabs ((double) nsec / MSEC - msec) > msec / 1000)
    fail_msg ("%g ms, and not %g", (double) nsec / MSEC, msec);
}

static void
test_sweep (void **state)
{
  uint64_t now = START, next;
  struct message why;
  unsigned n, i;

  (void) state;
  set_disk (DISK, 16);
  for (n = 1; n <= 16; n *= 2) {
    now += NSEC_PER_SEC;
    for (i = 0; i < n; i++)
      assert_int_equal (put ((i + n) * SIZE / 64, now), now);
    assert_near (flush (now), sweep_msec (n) + n * byte_time);
  }
  /* Half of them are left at half the time. */
  next = now + (uint64_t) (sweep_msec (16) / 2 * MSEC);
  put (0, next);
  assert_near (flush (next), sweep_msec (9) + 9 * byte_time);
  /* What goes on where the last one ended needs only its bytes. */
  now += NSEC_PER_SEC;
  for (i = 0; i < 16; i++)
    put (SIZE / 2 + i * BLOCK, now);
  assert_near (flush (now), sweep_msec (1) + 16 * byte_time);
  /* While it is full, one goes for each that comes. */
  now += NSEC_PER_SEC;
  for (i = 0; i < 40; i++)
    now = put (SIZE / 80 + i * SIZE / 40, now);
  next = put (SIZE / 2, now);
  assert_near (next - now, sweep_msec (16) / 16 + byte_time);
  /* With a drain of its own it has nothing to do with the disk. */
  s.drive.buffer.bytes_per_sec = 1 << 30;
  latency_settings_complete (&s);
  now += NSEC_PER_SEC;
  put (0, now);
  assert_true (flush (now) < MSEC);
  s.drive.buffer.bytes_per_sec = 0;
  assert_int_equal (distribution_parse ("1us", OP_WRITE, &s.drive.pause, &why),
                    0);
  latency_settings_complete (&s);
  now += NSEC_PER_SEC;
  put (0, now);
  assert_true (flush (now) < MSEC);
}

/* Writes in sequence that take turns are two runs, and one that is written
 * again is one.
 */
static void
test_runs (void **state)
{
  uint64_t now = START;
  unsigned i;

  (void) state;
  set_disk (DISK, 64);
  for (i = 0; i < 32; i++) {
    put (SIZE / 4 + i * BLOCK, now);
    put (SIZE / 2 + i * BLOCK, now);
  }
  assert_near (flush (now), sweep_msec (2) + 64 * byte_time);
  now += NSEC_PER_SEC;
  for (i = 0; i < 64; i++)
    put (SIZE / 8, now);
  assert_near (flush (now), sweep_msec (1) + 64 * byte_time);
  /* Eight runs are known, and a ninth is another. */
  now += NSEC_PER_SEC;
  for (i = 0; i < 16; i++)
    put ((i % 8 + 1) * SIZE / 16 + i / 8 * BLOCK, now);
  assert_near (flush (now), sweep_msec (8) + 16 * byte_time);
  now += NSEC_PER_SEC;
  for (i = 0; i < 18; i++)
    put ((i % 9 + 1) * SIZE / 16 + i / 9 * BLOCK, now);
  assert_near (flush (now), sweep_msec (18) + 18 * byte_time);
}

/* Streams in sequence through a full buffer cost nearly a seek each while the
 * disk writes all that the buffer has; one stream alone costs none.
 */
static void
test_streams (void **state)
{
  const double left = 63.0 / 64; /* of the buffer, when a write comes */
  uint64_t now = START, before = START;
  unsigned i, n;
  double seeks;

  (void) state;
  set_disk (DISK, 64);
  for (n = 1; n <= 8; n *= 2) {
    for (i = 0; i < 4096; i++) {
      before = now;
      now = put ((i % n + 1) * SIZE / 16 + i / n * BLOCK, now);
    }
    seeks = n == 1 ? 0 : (1 - pow (left, n)) / (1 - left);
    assert_near (now - before, sweep_msec (seeks) / 64 + byte_time);
  }
}

/* Runs of which a part is left have no more than that to give to a write that
 * joins them.
 */
static void
test_drained_runs (void **state)
{
  uint64_t now = START;
  double before;
  unsigned i;

  (void) state;
  set_disk (DISK, 64);
  put (SIZE / 2, now);
  put (SIZE / 2 + 2 * BLOCK, now);
  for (i = 0; i < 4; i++)
    put (place (i), now);
  now += flush (now) * 3 / 4;
  put (place (4), now);
  before = l.drive.dirty.seeks;
  assert_true (fabs (before - 2.5) < 1e-2);
  put (SIZE / 2 + BLOCK, now);
  assert_true (fabs (l.drive.dirty.seeks - before - 0.5) < 1e-2);
}

/* Writes in sequence of which neighbours have changed places are one run. */
static void
test_swapped (void **state)
{
  uint64_t now = START;
  unsigned i;

  (void) state;
  set_disk (DISK, 64);
  for (i = 0; i < 64; i++)
    put (SIZE / 4 + (i ^ 1) * BLOCK, now);
  assert_near (flush (now), sweep_msec (1) + 64 * byte_time);
  assert_true (fabs (l.drive.dirty.seeks - 1) < 1e-9);
  now += NSEC_PER_SEC;
  for (i = 0; i < 64; i++)
    put (SIZE / 2 + (i ^ 7) * BLOCK, now);
  assert_true (fabs (l.drive.dirty.seeks - 1) < 1e-9);
  /* Downwards, while a few are dirty at a time. */
  now += NSEC_PER_SEC;
  set_disk (DISK, 4);
  for (i = 0; i < 64; i++)
    put (SIZE / 8 - i * BLOCK, now);
  assert_true (flush (now) < 2 * sweep_msec (1) * MSEC);
}

/* What finds nothing dirty that it could go on with waits for its block, if
 * the head is there; it is not where an earlier run was.
 */
static void
test_turn (void **state)
{
  const uint64_t now = START + NSEC_PER_SEC,
                 at = SIZE / ROTATION / 2 * ROTATION;

  (void) state;
  set_disk (DISK, 64);
  put (at, START);
  put (at, now + 2 * MSEC); /* its block has gone by 2 ms ago */
  assert_near (flush (now + 2 * MSEC), 8 + byte_time);
  put (SIZE / 4, now + NSEC_PER_SEC);
  put (at, now + 2 * NSEC_PER_SEC);
  assert_near (flush (now + 2 * NSEC_PER_SEC), sweep_msec (1) + byte_time);
}

/* A write that is larger than the buffer is in when its last byte is. */
static void
test_larger (void **state)
{
  struct latency_booking booking;

  (void) state;
  set_disk ("track:1ms,full:9ms,rpm:6000", 1);
  assert_near (put_bytes (SIZE / 2, 16 * BLOCK, START, &booking) - START,
               sweep_msec (1) * 15 / 16);
  assert_near (put_bytes (SIZE / 4, 16 * BLOCK, START, &booking) - START,
               sweep_msec (1) * 31 / 16);
}

/* Collection costs the disk so many times as much. */
static void
test_collection (void **state)
{
  uint64_t now = START;
  unsigned i;

  (void) state;
  set_collection ("after:0,factor:10");
  set_disk (DISK, 64);
  for (i = 0; i < 64; i++)
    put (place (i), now);
  assert_near (flush (now), 10 * (sweep_msec (64) + 64 * byte_time));
  assert_true (fabs (l.drive.dirty.extra - 9 * 64 * BLOCK) < 1);
  /* Half of what is dirty costs that. */
  now += 100 * NSEC_PER_SEC;
  for (i = 0; i < 32; i++)
    put (place (i), now);
  set_collection ("after:0,factor:1");
  for (; i < 64; i++)
    put (place (i), now);
  assert_near (flush (now), 5.5 * (sweep_msec (64) + 64 * byte_time));
  now += 100 * NSEC_PER_SEC;
  put (place (0), now);
  assert_near (flush (now), sweep_msec (1) + byte_time);
}

/* A write that goes on where one ended that cost the disk ten times as much
 * takes the time of its bytes, and saves none.
 */
static void
test_after_collection (void **state)
{
  uint64_t before;

  (void) state;
  set_collection ("after:0,factor:10");
  set_disk (DISK, 64);
  put (SIZE / 2, START);
  before = flush (START);
  set_collection ("after:0,factor:1");
  put (SIZE / 2 + BLOCK, START);
  assert_int_equal (flush (START),
                    before + BLOCK * NSEC_PER_SEC / (1000 << 20));
}

/* After a power cut nothing is dirty. */
static void
test_power_cut (void **state)
{
  unsigned i;

  (void) state;
  set_disk (DISK, 64);
  for (i = 0; i < 4; i++)
    put (place (i), START);
  latency_reset (&l);
  put (place (i), START);
  assert_true (fabs (l.drive.dirty.seeks - 1) < 1e-9);
  assert_near (flush (START), sweep_msec (1) + byte_time);
}

/* What is dirty is known when the buffer begins to drain to the disk. */
static void
test_live (void **state)
{
  uint64_t now = START;
  unsigned i;

  (void) state;
  set_disk (DISK, 1024);
  s.drive.buffer.bytes_per_sec = 1 << 20;
  latency_settings_complete (&s);
  for (i = 0; i < 512; i++)
    put (place (i), now);
  s.drive.buffer.bytes_per_sec = 0;
  latency_settings_complete (&s);
  put (place (i), now);
  assert_near (flush (now), sweep_msec (513) + 513 * byte_time);
  /* And forgotten, as it drains in another way. */
  s.drive.buffer.bytes_per_sec = UINT64_C (1) << 30;
  latency_settings_complete (&s);
  now += 100 * NSEC_PER_SEC;
  for (i = 0; i < 1024; i++)
    put (SIZE / 2 + i * BLOCK, now);
  s.drive.buffer.bytes_per_sec = 0;
  latency_settings_complete (&s);
  put (SIZE / 2 + 1024 * BLOCK, now);
  assert_near (flush (now), sweep_msec (1) + 1024 * byte_time);
}

/*---------------------------------------------------------------------*/
/* Writes that are cancelled */

#define WAITERS 1000

/* A full buffer of 64 blocks, and writes that wait for room.  Some are
 * cancelled while others come, and then all the others, in a random order.
 * What comes next finds the buffer as if none of them had ever come.
 */
static void
cancel_all (uint64_t *seed)
{
  static struct latency_booking waiting[WAITERS];
  struct drive before;
  unsigned i, n = 0;

  for (i = 0; i < 64; i++)
    assert_int_equal (put (place (i), START), START);
  before = l.drive;
  for (i = 0; i < WAITERS; i++) {
    assert_true (put_bytes (i % 3 == 0 ? i / 3 * BLOCK : place (64 + i), BLOCK,
                            START, &waiting[n++]) > START);
    if (random_below (seed, 3) == 0)
      latency_cancel (&l, &waiting[--n], START);
  }
  while (n > 0) {
    i = (unsigned) random_below (seed, n);
    latency_cancel (&l, &waiting[i], START);
    waiting[i] = waiting[--n];
  }
  assert_int_equal (l.drive.buffer.since, before.buffer.since);
  assert_int_equal (l.drive.buffer.empty_at, before.buffer.empty_at);
  assert_int_equal (l.drive.buffer.bytes, before.buffer.bytes);
  assert_true (fabs (l.drive.dirty.seeks - before.dirty.seeks) < 1e-6);
  assert_true (fabs (l.drive.dirty.extra - before.dirty.extra) < 1e-3);
}

static void
test_cancel_drain (void **state)
{
  uint64_t seed = new_seed ("cancelling a drain");

  (void) state;
  s.drive.buffer.size = 64 * BLOCK;
  set_drain ("9400us");
  cancel_all (&seed);
}

static void
test_cancel_drawn (void **state)
{
  uint64_t seed = new_seed ("cancelling a drain that is drawn");

  (void) state;
  s.drive.buffer.size = 64 * BLOCK;
  set_drain ("lognormal:p50=5ms,p99=20ms");
  cancel_all (&seed);
}

static void
test_cancel_sweep (void **state)
{
  uint64_t seed = new_seed ("cancelling a disk");

  (void) state;
  set_disk (DISK, 64);
  cancel_all (&seed);
}

static void
test_cancel_collection (void **state)
{
  uint64_t seed = new_seed ("cancelling a disk that costs more");

  (void) state;
  set_disk (DISK, 64);
  s.drive.size = 500 * BLOCK;
  set_collection ("after:1,factor:10");
  cancel_all (&seed);
}

/* A write that is in has drained, or will; one that was cancelled takes with it
 * what it cost, also where its cost was more than that of all others.
 */
static void
test_cancel_one (void **state)
{
  struct latency_booking slow, quick, other;

  (void) state;
  s.drive.buffer.size = BLOCK;
  set_drain ("1ms");
  put (0, START);
  set_drain ("1s");
  assert_int_equal (put_bytes (0, BLOCK, START, &slow), START + MSEC);
  set_drain ("1ms");
  assert_int_equal (put_bytes (0, BLOCK, START, &quick), START + 1001 * MSEC);
  latency_cancel (&l, &slow, START);
  assert_int_equal (flush (START), 2 * MSEC);
  assert_int_equal (put_bytes (0, BLOCK, START, &other), START + 2 * MSEC);
  latency_cancel (&l, &other, START + 2 * MSEC); /* is in */
  assert_int_equal (flush (START), 3 * MSEC);
}

/* A write that has to wait leaves no bytes behind. */
static void
test_cancel_large (void **state)
{
  struct latency_booking booking;

  (void) state;
  s.drive.buffer.size = 64 * BLOCK;
  set_drain ("1ms");
  latency_install (&l, &s);
  put_bytes (0, 33 * BLOCK, START, &booking);
  assert_true (put_bytes (0, 32 * BLOCK, START, &booking) > START);
  latency_cancel (&l, &booking, START);
  assert_int_equal (latency_dirty (&l, START), 33 * BLOCK);
  assert_int_equal (put_bytes (0, 31 * BLOCK, START, &booking), START);
  assert_int_equal (flush (START), 2 * MSEC);
}

/* A buffer of four writes of 1 ms is full, and twenty more wait. */
static void
wait_behind_full (struct latency_booking waiting[20])
{
  unsigned i;

  s.drive.buffer.size = 4 * BLOCK;
  set_drain ("1ms");
  latency_install (&l, &s);
  for (i = 0; i < 4; i++)
    put (0, START);
  for (i = 0; i < 20; i++)
    put_bytes (0, BLOCK, START, &waiting[i]);
}

/* One whose time of the medium is over, as those before it were cancelled,
 * takes nothing from others.
 */
static void
test_cancel_late (void **state)
{
  static struct latency_booking waiting[20];
  unsigned i;

  (void) state;
  wait_behind_full (waiting);
  for (i = 0; i < 19; i++)
    latency_cancel (&l, &waiting[i], START);
  assert_int_equal (flush (START), 5 * MSEC);
  put (0, START + 10 * MSEC);
  put (0, START + 10 * MSEC);
  latency_cancel (&l, &waiting[19], START + 10 * MSEC);
  assert_int_equal (flush (START + 10 * MSEC), 2 * MSEC);
}

/* Ten of twenty are cancelled, and the others are in earlier than they were
 * told: as a write finds that none waits, they take nothing from it.
 */
static void
test_cancel_busy (void **state)
{
  static struct latency_booking waiting[20];
  const uint64_t now = START + 12 * MSEC;
  unsigned i;

  (void) state;
  wait_behind_full (waiting);
  for (i = 0; i < 10; i++)
    latency_cancel (&l, &waiting[i], START);
  assert_int_equal (flush (START), 14 * MSEC);
  assert_int_equal (put (0, now), now);
  assert_int_equal (put (0, now), now);
  for (i = 10; i < 20; i++)
    latency_cancel (&l, &waiting[i], now);
  assert_int_equal (flush (now), 4 * MSEC);
  assert_int_equal (latency_dirty (&l, now), 4 * BLOCK);
}

/* A write that finds the buffer empty, but behind others that wait, does not
 * keep these from giving back what they have.
 */
static void
test_cancel_empty (void **state)
{
  struct latency_booking waiting[5];
  unsigned i;

  (void) state;
  s.drive.buffer.size = 4 * BLOCK;
  s.drive.buffer.drain_batch = 4 * BLOCK;
  set_drain ("1ms");
  latency_install (&l, &s);
  for (i = 0; i < 4; i++)
    put (0, START);
  for (i = 0; i < 5; i++)
    assert_int_equal (put_bytes (0, BLOCK, START, &waiting[i]),
                      START + (i < 4 ? 4 : 8) * MSEC);
  for (i = 1; i < 4; i++)
    latency_cancel (&l, &waiting[i], START);
  assert_int_equal (put (0, START), START + 6 * MSEC);
  latency_cancel (&l, &waiting[0], START);
  latency_cancel (&l, &waiting[4], START);
  assert_int_equal (flush (START), 5 * MSEC);
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, setup, teardown)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_sweep),
      TEST (test_runs),
      TEST (test_streams),
      TEST (test_drained_runs),
      TEST (test_swapped),
      TEST (test_turn),
      TEST (test_larger),
      TEST (test_collection),
      TEST (test_after_collection),
      TEST (test_power_cut),
      TEST (test_live),
      TEST (test_cancel_drain),
      TEST (test_cancel_drawn),
      TEST (test_cancel_sweep),
      TEST (test_cancel_collection),
      TEST (test_cancel_one),
      TEST (test_cancel_large),
      TEST (test_cancel_late),
      TEST (test_cancel_busy),
      TEST (test_cancel_empty),
  };

  return RUN_TESTS (tests);
}
