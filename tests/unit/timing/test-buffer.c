/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The write-back buffer: when writes are in it, and when it has drained, on
 * moments made up here, by hand and beside a list of single writes.
 */

#include <config.h>

#include <math.h>
#include <string.h>

#define SIZE (UINT64_C (1) << 30)
#include "one-latency.h"

#define BLOCK 4096

static struct latency_booking booking; /* of the last request */

static void
set_distribution (struct distribution **d, enum operation op, const char *text)
{
  struct message why;

  distribution_unref (*d);
  if (distribution_parse (text, op, d, &why) != 0)
    fail_msg ("%s", why.text);
}

/* A buffer of N blocks, of which each takes so long to drain. */
static void
set_buffer (uint64_t n, const char *drain)
{
  s.drive.buffer.size = n * BLOCK;
  if (drain != NULL)
    set_distribution (&s.drive.drain, OP_WRITE, drain);
  latency_settings_complete (&s);
  latency_install (&l, &s);
}

/* After START and from then on. */
static uint64_t
ask (enum operation op, uint32_t count, bool fua, uint64_t when)
{
  const struct latency_request r = {
      .op = op, .count = count, .fua = fua, .arrival = START + when};

  return latency_completion (&l, &s, &random_numbers, &r, &booking) - START;
}

static uint64_t
put (uint64_t when)
{
  return ask (OP_WRITE, BLOCK, false, when);
}

static uint64_t
flush (uint64_t when)
{
  return ask (OP_FLUSH, 0, false, when);
}

/* What drains in no time is no buffer, and takes none. */
static void
test_off (void **state)
{
  (void) state;
  set_buffer (0, "9ms");
  assert_false (s.waits);
  set_buffer (8, "0");
  assert_false (s.waits);
  set_buffer (8, "9ms");
  assert_true (s.waits);
  assert_true (s.remembers);
}

/* "28 + 9.4 n ms" */
static void
test_flush (void **state)
{
  unsigned i;

  (void) state;
  set_buffer (1000, "9400us");
  set_distribution (&s.durations[OP_FLUSH], OP_FLUSH, "28ms");
  latency_settings_complete (&s);
  assert_int_equal (flush (0), 28 * MSEC);
  for (i = 0; i < 8; i++)
    assert_int_equal (put (0), 0);
  assert_int_equal (flush (0), 28 * MSEC + 8 * 9400 * USEC);
  assert_int_equal (flush (0), 28 * MSEC + 8 * 9400 * USEC); /* goes on */
  assert_int_equal (flush (47 * MSEC), 28 * MSEC + 8 * 9400 * USEC);
  assert_int_equal (ask (OP_READ, BLOCK, false, 5), 5); /* is not in the way */
  assert_int_equal (flush (200 * MSEC), 228 * MSEC);
  for (i = 0; i < 64; i++)
    assert_int_equal (put (NSEC_PER_SEC), NSEC_PER_SEC);
  assert_int_equal (flush (NSEC_PER_SEC),
                    NSEC_PER_SEC + 28 * MSEC + 64 * 9400 * USEC);
}

/* As many commits of so many writes and a flush as databases make, one after
 * the other.  Returns how long each takes.
 */
static uint64_t
commit_time (unsigned writes)
{
  static uint64_t now;
  const uint64_t begin = now += NSEC_PER_SEC;
  unsigned i, j;

  for (i = 0; i < 200; i++) {
    for (j = 0; j < writes; j++)
      now = put (now);
    now = flush (now);
  }
  return (now - begin) / 200;
}

/* What bench/database.sh measures: with power-loss protection a commit does not
 * wait for what drains, and sqlite3 makes 16.5 times as many, pg_test_fsync 9.5
 * times.
 */
static void
test_commits (void **state)
{
  (void) state;
  set_distribution (&s.durations[OP_WRITE], OP_WRITE, "100us");
  set_distribution (&s.durations[OP_FLUSH], OP_FLUSH, "1ms");
  set_buffer (16384, "9400us");
  assert_int_equal (commit_time (2), 19800 * USEC);
  assert_int_equal (commit_time (1), 10400 * USEC);
  s.drive.buffer.plp = true;
  assert_int_equal (commit_time (2), 1200 * USEC);
  assert_int_equal (commit_time (1), 1100 * USEC);
}

static void
test_fua (void **state)
{
  (void) state;
  set_buffer (1000, "10ms");
  set_distribution (&s.durations[OP_FLUSH], OP_FLUSH, "2ms");
  set_distribution (&s.durations[OP_WRITE], OP_WRITE, "1ms");
  latency_settings_complete (&s);
  assert_int_equal (put (0), MSEC);
  assert_int_equal (ask (OP_WRITE, BLOCK, true, 0), 22 * MSEC);
  assert_int_equal (ask (OP_ZERO, BLOCK, true, 0), 32 * MSEC);
  assert_int_equal (ask (OP_TRIM, BLOCK, true, 0), 32 * MSEC);
  s.drive.buffer.plp = true;
  assert_int_equal (ask (OP_WRITE, BLOCK, true, 0), 3 * MSEC);
  assert_int_equal (flush (0), 2 * MSEC);
}

/* Bytes take the medium time, too. */
static void
test_bytes (void **state)
{
  (void) state;
  s.drive.buffer.bytes_per_sec = UINT64_C (1) << 20;
  set_buffer (1000, NULL);
  assert_int_equal (put (0), 0);
  assert_int_equal (flush (0), NSEC_PER_SEC / 256);
  set_buffer (1000, "1ms");
  assert_int_equal (put (0), 0);
  assert_int_equal (flush (0), 2 * NSEC_PER_SEC / 256 + MSEC);
}

/* 4 blocks fit; then it goes as fast as it drains. */
static void
test_full (void **state)
{
  unsigned i;

  (void) state;
  set_buffer (4, "10ms");
  set_distribution (&s.durations[OP_WRITE], OP_WRITE, "1ms");
  latency_settings_complete (&s);
  for (i = 0; i < 4; i++)
    assert_int_equal (put (0), MSEC);
  assert_int_equal (put (0), 10 * MSEC);
  assert_int_equal (put (0), 20 * MSEC);
  assert_int_equal (put (10 * MSEC), 30 * MSEC); /* behind those that wait */
  /* Two blocks have drained since. */
  assert_int_equal (put (50 * MSEC), 51 * MSEC);
  assert_int_equal (put (50 * MSEC), 51 * MSEC);
  assert_int_equal (put (50 * MSEC), 60 * MSEC);
  /* As large as the buffer: it has to be empty.  Larger: the rest, too. */
  assert_int_equal (ask (OP_WRITE, 4 * BLOCK, false, NSEC_PER_SEC),
                    1001 * MSEC);
  assert_int_equal (ask (OP_WRITE, 8 * BLOCK, false, NSEC_PER_SEC),
                    1015 * MSEC);
  assert_int_equal (flush (NSEC_PER_SEC), 1020 * MSEC);
}

/* A full one takes nothing until half of it is free: one of two stalls. */
static void
test_batch (void **state)
{
  (void) state;
  s.drive.buffer.drain_batch = 2 * BLOCK;
  set_buffer (4, "10ms");
  put (0);
  put (0);
  put (0);
  assert_int_equal (put (0), 0);
  assert_int_equal (put (0), 20 * MSEC);
  assert_int_equal (put (20 * MSEC), 20 * MSEC);
  assert_int_equal (put (20 * MSEC), 40 * MSEC);
  s.drive.buffer.drain_batch = 100 * BLOCK; /* all of it */
  assert_int_equal (put (40 * MSEC), 40 * MSEC);
  assert_int_equal (put (40 * MSEC), 80 * MSEC);
}

/* A pause of 10 ms for each N blocks; 0: as many as the buffer has. */
static void
set_pause (uint64_t n)
{
  s.drive.pause_every = n * BLOCK;
  set_distribution (&s.drive.pause, OP_WRITE, "10ms");
  latency_settings_complete (&s);
}

/* The medium pauses each time that four blocks were written. */
static void
test_pause (void **state)
{
  (void) state;
  set_pause (4);
  assert_false (s.waits);
  set_buffer (1, "1ms");
  assert_int_equal (put (0), 0);
  assert_int_equal (put (0), 1 * MSEC);
  assert_int_equal (put (0), 2 * MSEC);
  assert_int_equal (put (0), 3 * MSEC); /* and the pause */
  assert_int_equal (put (0), 14 * MSEC);
  assert_int_equal (put (0), 15 * MSEC);
  assert_int_equal (flush (0), 16 * MSEC);
  /* Two are left: 9 are two pauses, and 3 are left. */
  assert_int_equal (ask (OP_WRITE, 9 * BLOCK, false, NSEC_PER_SEC) / MSEC,
                    1000 + 21 * 8 / 9);
  assert_int_equal (flush (NSEC_PER_SEC), 1021 * MSEC);
  assert_int_equal (put (2 * NSEC_PER_SEC), 2000 * MSEC);
  assert_int_equal (flush (2 * NSEC_PER_SEC), 2011 * MSEC);
  /* What had been written before a power cut does not count. */
  put (3 * NSEC_PER_SEC);
  latency_reset (&l);
  put (3 * NSEC_PER_SEC);
  put (3 * NSEC_PER_SEC);
  put (3 * NSEC_PER_SEC);
  assert_int_equal (flush (3 * NSEC_PER_SEC), 3003 * MSEC);
}

/* A live change makes no pauses of what was written before. */
static void
test_pause_live (void **state)
{
  unsigned i;

  (void) state;
  set_pause (1000);
  set_buffer (1000, "1ms");
  for (i = 0; i < 501; i++)
    put (0);
  set_pause (4); /* of which one has been written */
  put (NSEC_PER_SEC);
  put (NSEC_PER_SEC);
  assert_int_equal (flush (NSEC_PER_SEC), 1002 * MSEC);
  put (NSEC_PER_SEC);
  assert_int_equal (flush (NSEC_PER_SEC), 1013 * MSEC);
}

/* For as many blocks as the buffer has, alone, and where each costs twice as
 * much.
 */
static void
test_pause_alone (void **state)
{
  (void) state;
  set_pause (0);
  set_buffer (2, NULL);
  assert_true (s.waits);
  assert_int_equal (put (0), 0);
  assert_int_equal (flush (0), 0);
  assert_int_equal (put (0), 0);
  assert_int_equal (flush (0), 10 * MSEC);
  set_collection ("after:0,factor:2");
  put (NSEC_PER_SEC);
  assert_int_equal (flush (NSEC_PER_SEC), 1010 * MSEC);
}

/* Beside a medium that takes one write after another, of some blocks each, and
 * a buffer that is as large as one of them.  Each pause is drawn after what its
 * write takes.
 */
static void
test_pause_beside_medium (void **state)
{
  uint64_t seed = new_seed ("pauses beside a medium");
  const uint64_t blocks = 1 + random_below (&seed, 4);
  const uint64_t every = 1 + random_below (&seed, 100);
  uint64_t moment = 0, in, free = 0, pauses, left = 0;
  struct distribution *drain = NULL, *pause = NULL;
  struct random same;
  unsigned i;

  (void) state;
  set_distribution (&drain, OP_WRITE, "lognormal:p50=1ms,p99=4ms");
  set_distribution (&pause, OP_WRITE, "uniform:0-100ms");
  set_pause (every);
  set_distribution (&s.drive.pause, OP_WRITE, "uniform:0-100ms");
  set_buffer (blocks, "lognormal:p50=1ms,p99=4ms");
  random_init (&random_numbers, seed, 0);
  random_init (&same, seed, 0);
  for (i = 0; i < 10000; i++) {
    moment += random_below (&seed, 5 * MSEC);
    in = moment > free ? moment : free;
    assert_int_equal (ask (OP_WRITE, (uint32_t) blocks * BLOCK, false, moment),
                      in);
    free = in + distribution_draw (drain, random_next (&same), NULL);
    left += blocks;
    pauses = left / every;
    left = left % every;
    if (pauses > 0)
      free += pauses * distribution_draw (pause, random_next (&same), NULL);
    assert_int_equal (flush (moment), free > moment ? free : moment);
  }
  distribution_unref (drain);
  distribution_unref (pause);
}

/* It holds no more than the volatile write cache. */
static void
test_cache (void **state)
{
  (void) state;
  s.drive.cache_size = 2 * BLOCK;
  set_buffer (4, "10ms");
  put (0);
  assert_int_equal (put (0), 0);
  assert_int_equal (put (0), 10 * MSEC);
}

/* What a power cut can lose. */
static void
test_dirty (void **state)
{
  (void) state;
  set_buffer (0, "10ms");
  assert_int_equal (latency_dirty (&l, START), UINT64_MAX);
  set_buffer (4, "10ms");
  assert_int_equal (latency_dirty (&l, START), 0);
  put (0);
  put (0);
  assert_int_equal (latency_dirty (&l, START), 2 * BLOCK);
  assert_int_equal (latency_dirty (&l, START + 5 * MSEC), 6144);
  assert_int_equal (latency_dirty (&l, START + 20 * MSEC - 1), 1);
  assert_int_equal (latency_dirty (&l, START + 20 * MSEC), 0);
  put (30 * MSEC);
  put (30 * MSEC);
  put (30 * MSEC);
  put (30 * MSEC);
  put (30 * MSEC); /* waits */
  assert_int_equal (latency_dirty (&l, START + 30 * MSEC), 5 * BLOCK);
  s.drive.buffer.plp = true;
  latency_install (&l, &s);
  assert_int_equal (latency_dirty (&l, START + 30 * MSEC), 0);
  s.drive.buffer.plp = false;
  latency_install (&l, &s);
  latency_reset (&l);
  assert_int_equal (latency_dirty (&l, START + 30 * MSEC), 0);
  assert_int_equal (put (30 * MSEC), 30 * MSEC);
}

/* Those who wait for room and are cancelled keep nobody waiting. */
static void
test_cancel (void **state)
{
  struct latency_booking first, second;

  (void) state;
  set_buffer (2, "10ms");
  put (0);
  put (0);
  assert_int_equal (put (0), 10 * MSEC);
  first = booking;
  assert_int_equal (put (0), 20 * MSEC);
  second = booking;
  latency_cancel (&l, &first, START + 10 * MSEC); /* is in */
  assert_int_equal (put (0), 30 * MSEC);
  latency_cancel (&l, &second, START + 5 * MSEC);
  assert_int_equal (put (5 * MSEC), 30 * MSEC);
  latency_reset (&l);
  latency_cancel (&l, &second, START);
  assert_int_equal (put (0), 0);
}

/* A draw for each write, and none for what is not buffered. */
static void
test_drawn (void **state)
{
  struct distribution *d = NULL;
  struct random same;
  uint64_t sum = 0;
  unsigned i;

  (void) state;
  set_buffer (1000000, "lognormal:p50=5ms,p99=20ms");
  set_distribution (&d, OP_WRITE, "lognormal:p50=5ms,p99=20ms");
  random_init (&same, 1, 0);
  for (i = 0; i < 1000; i++) {
    put (0);
    ask (OP_READ, BLOCK, false, 0);
    sum += distribution_draw (d, random_next (&same), NULL);
    assert_int_equal (flush (0), sum);
  }
  distribution_unref (d);
}

/* By the distance from the write that was buffered before. */
static void
test_seek (void **state)
{
  struct latency_request r = {.op = OP_WRITE, .count = BLOCK, .arrival = START};

  (void) state;
  set_buffer (1000, "seek:track=2ms,full=2ms,rpm=0");
  latency_completion (&l, &s, &random_numbers, &r, &booking);
  assert_int_equal (flush (0), 0);
  r.offset = BLOCK;
  latency_completion (&l, &s, &random_numbers, &r, &booking);
  assert_int_equal (flush (0), 0);
  r.offset = 3 * BLOCK;
  latency_completion (&l, &s, &random_numbers, &r, &booking);
  assert_int_equal (flush (0), 2 * MSEC);
}

/*---------------------------------------------------------------------*/

#define WRITES 3000

/* Writes as they stand in the buffer, one behind another, each of which drains
 * evenly from when its turn comes.
 */
static double starts[WRITES], ends[WRITES];
static unsigned n_writes;

static double
left_at (double moment, uint32_t count)
{
  double sum = 0;
  unsigned i;

  for (i = 0; i < n_writes; i++) {
    if (moment <= starts[i])
      sum += count;
    else if (moment < ends[i])
      sum += count * (ends[i] - moment) / (ends[i] - starts[i]);
  }
  return sum;
}

/* By halving, the first moment from FROM on at which BYTES are left at most. */
static double
find_moment (double from, double to, uint32_t count, double bytes)
{
  double middle;
  int i;

  if (left_at (from, count) <= bytes)
    return from;
  for (i = 0; i < 60; i++) {
    middle = (from + to) / 2;
    if (left_at (middle, count) <= bytes)
      to = middle;
    else
      from = middle;
  }
  return to;
}

/* Writes of one length and cost at random moments are in when a list of them
 * says so.
 */
static void
test_beside_list (void **state)
{
  uint64_t seed = new_seed ("buffer beside a list");
  const uint32_t count = BLOCK * (1 + (uint32_t) random_below (&seed, 4));
  const uint64_t cost = 1000 + random_below (&seed, 1000000);
  const uint64_t room = 3 + random_below (&seed, 20);
  const uint64_t batch = random_below (&seed, 2) * random_below (&seed, room);
  const struct buffer_settings settings = {.drain_batch = batch * count};
  double now = 0, in, left, last_in = 0, end = 0;
  struct buffer b = {0};
  uint64_t moment = 0, r;
  struct buffer_booking in_booking;
  unsigned i;

  (void) state;
  n_writes = 0;
  for (i = 0; i < WRITES; i++) {
    if (random_below (&seed, 10) == 0)
      moment += random_below (&seed, 30 * cost);
    else
      moment += random_below (&seed, cost / 2);
    now = (double) moment;
    in = now > last_in ? now : last_in;
    buffer_enter (&b, &settings, room * count, count, moment, &in_booking);
    r = buffer_set_cost (&b, room * count, count, cost, 0, 0, &in_booking);
    /* Where it is full but for rounding, of a byte a write, either is right. */
    left = left_at (in, count) - (double) (room - 1) * count;
    if (fabs (left) < (double) room + 3
            ? (double) r - in > 0.01 * (double) cost + 2
            : left > 0)
      in = find_moment (in, end, count,
                        (double) (room - 1 - (batch > 0 ? batch - 1 : 0)) *
                            count);
    last_in = in;
    starts[n_writes] = in > end ? in : end;
    end = ends[n_writes] = starts[n_writes] + (double) cost;
    n_writes++;
    if (fabs ((double) r - in) > 0.01 * (double) cost + 2)
      fail_msg ("write %u: %.1f, not %.1f", i, (double) r, in);
    if (fabs ((double) buffer_drained (&b, moment) - end) >
        0.01 * (double) cost + 2)
      fail_msg ("write %u: empty at another moment", i);
  }
}

/* Of all lengths and costs: in by the order of arrival, never more dirty than
 * there is room, and it drains as long as all together cost.
 */
static void
test_all_lengths (void **state)
{
  uint64_t seed = new_seed ("buffer with all lengths");
  const struct buffer_settings settings = {0};
  const uint64_t size = 64 * BLOCK;
  uint64_t moment = 0, last = 0, empty = 0, cost, in;
  struct buffer b = {0};
  struct buffer_booking in_booking;
  uint32_t count;
  unsigned i;

  (void) state;
  for (i = 0; i < 100000; i++) {
    moment += random_below (&seed, 400 * USEC);
    count = BLOCK * (1 + (uint32_t) random_below (&seed, 40));
    cost = random_below (&seed, 300 * USEC);
    buffer_enter (&b, &settings, size, count, moment, &in_booking);
    in = buffer_set_cost (&b, size, count, cost, 0, 0, &in_booking);
    assert_true (in >= moment && in >= last);
    last = in;
    empty = (empty > in ? empty : in) + cost;
    assert_int_equal (buffer_drained (&b, moment), empty);
    assert_true (buffer_dirty (&b, in) <= size);
  }
}

/* What costs the medium no time has drained at once. */
static void
test_no_cost (void **state)
{
  (void) state;
  set_buffer (4, "0");
  assert_int_equal (put (0), 0);
  assert_int_equal (latency_dirty (&l, START), 0);
  assert_int_equal (put (10), 10);
  assert_int_equal (latency_dirty (&l, START + 10), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, setup, teardown)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_off),
      TEST (test_flush),
      TEST (test_commits),
      TEST (test_fua),
      TEST (test_bytes),
      TEST (test_full),
      TEST (test_batch),
      TEST (test_pause),
      TEST (test_pause_live),
      TEST (test_pause_alone),
      TEST (test_pause_beside_medium),
      TEST (test_cache),
      TEST (test_dirty),
      TEST (test_cancel),
      TEST (test_drawn),
      TEST (test_seek),
      TEST (test_beside_list),
      TEST (test_all_lengths),
      TEST (test_no_cost),
  };

  return RUN_TESTS (tests);
}
