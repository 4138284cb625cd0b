/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A disk, on moments made up here: by hand, and beside a head that is moved
 * from one request to the next when all that comes is known.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SIZE (UINT64_C (1) << 40)
#include "one-latency.h"

#define BLOCK 4096

/* The linker puts it in the place of the C library's (--wrap). */
void *__real_calloc (size_t n, size_t size);
void *__wrap_calloc (size_t n, size_t size);

static bool no_memory;

void *
__wrap_calloc (size_t n, size_t size)
{
  return no_memory ? NULL : __real_calloc (n, size);
}

static void
set_disk (const char *text)
{
  set_parts (&disk_parts, text, &s.drive.disk);
}

/* Moments are of the monotonic clock, as a rotation begins at its multiples. */
static uint64_t
enter_as (enum operation op, uint64_t offset, uint64_t when,
          struct latency_booking *booking)
{
  const struct latency_request r = {
      .op = op, .count = BLOCK, .offset = offset, .arrival = when};

  return latency_completion (&l, &s, &random_numbers, &r, booking);
}

static uint64_t
enter (uint64_t offset, uint64_t when, struct latency_booking *booking)
{
  return enter_as (OP_READ, offset, when, booking);
}

/* Ask whenever that is due. */
static uint64_t
ask_to_the_end (struct latency_booking *booking)
{
  uint64_t moment = booking->told;

  while (latency_asks (booking))
    moment = latency_ask (&l, &s, booking, moment);
  return moment;
}

/* 6000 rotations a minute are 10 ms each, in which 10 MiB pass. */
#define DISK "track:1ms,full:9ms,rpm:6000,mbps:1000"

static void
test_alone (void **state)
{
  struct latency_booking booking;
  const uint64_t t = START, byte_time = BLOCK * NSEC_PER_SEC / (1000 << 20);
  const uint64_t rotation = 10 << 20; /* bytes */

  (void) state;
  set_disk (DISK);
  assert_true (s.waits);
  /* The head is there. */
  assert_int_equal (enter (0, t, &booking), t + byte_time);
  assert_false (latency_asks (&booking));
  assert_int_equal (enter (BLOCK, t + MSEC, &booking), t + MSEC + byte_time);
  /* To a quarter of the disk: 1 + 8/2 ms, and there after half a rotation. */
  latency_reset (&l);
  assert_int_equal (enter (2 * BLOCK + SIZE / 4 / rotation * rotation,
                           t + 10 * MSEC, &booking) /
                        USEC,
                    (t + 20 * MSEC + 3 * byte_time) / USEC);
  /* And to a place that comes by after half a rotation more. */
  latency_reset (&l);
  assert_in_range (enter (rotation / 2, t + 100 * MSEC, &booking),
                   t + 105 * MSEC + byte_time - 2,
                   t + 105 * MSEC + byte_time + 2);
}

static void
test_latency_on_top (void **state)
{
  struct message why;
  struct latency_booking booking;

  (void) state;
  set_disk ("track:0,full:0,rpm:100000");
  assert_int_equal (
      distribution_parse ("2ms", OP_READ, &s.durations[OP_READ], &why), 0);
  latency_settings_complete (&s);
  assert_int_equal (enter (0, START, &booking), START + 2 * MSEC);
  /* A flush and a trim do not need the head. */
  assert_int_equal (enter_as (OP_FLUSH, 0, START, &booking), START);
  assert_int_equal (enter_as (OP_TRIM, 0, START, &booking), START);
  /* With a buffer, writes do not. */
  assert_int_equal (distribution_parse ("5ms", OP_WRITE, &s.drive.drain, &why),
                    0);
  s.drive.buffer.size = 1 << 20;
  latency_settings_complete (&s);
  assert_int_equal (enter_as (OP_WRITE, SIZE / 2, START, &booking), START);
  assert_int_equal (l.drive.disk.n, 0);
}

/* Without a buffer, writes need the head as reads do. */
static void
test_writes (void **state)
{
  static const enum operation ops[] = {OP_WRITE, OP_ZERO};
  struct latency_booking a, b;
  uint64_t free;
  unsigned i;

  (void) state;
  set_disk ("track:1ms,full:9ms,rpm:100000");
  for (i = 0; i < 2; i++) {
    latency_reset (&l);
    free = enter_as (ops[i], SIZE / 2, START, &a);
    assert_true (free >= START + MSEC);
    assert_int_equal (enter_as (ops[i], 0, START, &b), free);
    assert_true (latency_asks (&b));
    assert_true (ask_to_the_end (&b) >= free + MSEC);
    l.drive.disk.position = 0;
  }
}

/* Three wait.  The nearest is first, though it came last. */
static void
test_order (void **state)
{
  struct latency_booking a, b, c, d;
  uint64_t free, moment;

  (void) state;
  set_disk ("track:1ms,full:9ms,rpm:100000,queue:8");
  free = enter (SIZE / 2, START, &a);
  assert_false (latency_asks (&a));
  assert_int_equal (enter (SIZE - BLOCK, START, &b), free);
  assert_int_equal (enter (0, START + USEC, &c), free);
  assert_int_equal (enter (SIZE / 2 + 2 * BLOCK, START + 2 * USEC, &d), free);
  assert_true (latency_asks (&b) && latency_asks (&c) && latency_asks (&d));
  moment = latency_ask (&l, &s, &b, free);
  assert_true (latency_asks (&b));
  assert_int_equal (latency_ask (&l, &s, &d, free), moment);
  assert_false (latency_asks (&d));
  /* About 1 ms, and a rotation of 0.6 ms at the most. */
  assert_in_range (moment, free + MSEC, free + 1600 * USEC + USEC);
  ask_to_the_end (&b);
  ask_to_the_end (&c);
  assert_int_equal (l.drive.disk.n, 0);
}

/* First come, first served, where fewer than `from` wait, and without queue. */
static void
test_in_order (void **state)
{
  static const char *const texts[] = {
      "track:1ms,full:9ms,rpm:100000",
      "track:1ms,full:9ms,rpm:100000,queue:8,from:3",
      "track:1ms,full:9ms,rpm:100000,queue:1,from:1"};
  struct latency_booking a, b, c;
  uint64_t free;
  unsigned i;

  (void) state;
  for (i = 0; i < 3; i++) {
    set_disk (texts[i]);
    latency_reset (&l);
    free = enter (SIZE / 2, START, &a);
    enter (SIZE - BLOCK, START, &b);
    enter (SIZE / 2 + 2 * BLOCK, START, &c);
    assert_true (latency_ask (&l, &s, &b, free) <
                     latency_ask (&l, &s, &c, free) ||
                 latency_asks (&c));
    assert_false (latency_asks (&b));
    ask_to_the_end (&c);
  }
}

/* One who is cancelled is not served, and a cut ends all. */
static void
test_cancel (void **state)
{
  struct latency_booking a, b, c;
  uint64_t free, moment;

  (void) state;
  set_disk ("track:1ms,full:9ms,rpm:100000");
  free = enter (SIZE / 2, START, &a);
  enter (0, START, &b);
  enter (SIZE / 2 + BLOCK, START, &c);
  latency_cancel (&l, &b, START);
  assert_int_equal (latency_ask (&l, &s, &c, free), free);
  free = enter (0, START + NSEC_PER_SEC, &a);
  moment = enter (SIZE / 2, START + NSEC_PER_SEC, &b);
  assert_int_equal (moment, free);
  latency_reset (&l);
  assert_int_equal (latency_ask (&l, &s, &b, free), free);
  assert_false (latency_asks (&b));
  latency_cancel (&l, &b, free);
}

/* Those who are cancelled leave their slots to others. */
static void
test_cancel_many (void **state)
{
  struct latency_booking a, b;
  const struct disk_slots *slots;
  unsigned i;

  (void) state;
  set_disk ("track:1ms,full:9ms,rpm:100000");
  enter (SIZE / 2, START, &a);
  slots = l.drive.disk.slots;
  for (i = 0; i < 1000; i++) {
    enter (0, START, &b);
    assert_true (latency_asks (&b));
    latency_cancel (&l, &b, START);
    assert_int_equal (l.drive.disk.n, 0);
    /* Again, when the slot is nobody's, that is nothing. */
    latency_cancel (&l, &b, START);
    assert_int_equal (l.drive.disk.n, 0);
  }
  assert_ptr_equal (l.drive.disk.slots, slots);
}

/* Without memory for slots requests are served as they come, and none asks. */
static void
test_no_memory (void **state)
{
  struct latency_booking a, b;
  uint64_t free;

  (void) state;
  set_disk ("track:1ms,full:9ms,rpm:100000,queue:8");
  no_memory = true;
  free = enter (SIZE / 2, START, &a);
  enter (0, START, &b);
  no_memory = false;
  assert_false (latency_asks (&a));
  assert_false (latency_asks (&b));
  assert_true (b.told >= free + MSEC);
  assert_int_equal (b.drive.ticket.number, 0);
  latency_cancel (&l, &b, START);
  assert_int_equal (l.drive.disk.n, 0);
  /* Later there is some. */
  enter (SIZE / 2, START, &a);
  assert_true (latency_asks (&a));
  ask_to_the_end (&a);
}

/* Where another has asked when the head was free, one that still waits is told
 * when that is again, without a look at the head.
 */
static void
test_in_vain (void **state)
{
  struct latency_booking a, waiting[3];
  uint64_t free, next, *at = &l.drive.disk.free_at;
  unsigned i, in_vain = 0;

  (void) state;
  set_disk ("track:1ms,full:9ms,rpm:100000,queue:8");
  free = enter (SIZE / 2, START, &a);
  for (i = 0; i < 3; i++)
    assert_int_equal (enter (i * SIZE / 3, START, &waiting[i]), free);
  latency_ask (&l, &s, &waiting[0], free);
  next = *at;
  for (i = 1; i < 3; i++) {
    if (!disk_waits (waiting[i].drive.ticket))
      continue;
    ++*at;
    assert_int_equal (latency_ask (&l, &s, &waiting[i], free), next);
    --*at;
    in_vain++;
  }
  assert_true (in_vain > 0);
  for (i = 0; i < 3; i++)
    ask_to_the_end (&waiting[i]);
  assert_int_equal (l.drive.disk.n, 0);
}

/* After a power cut another may have what was one's ticket. */
static void
test_in_vain_reset (void **state)
{
  struct latency_booking a, b[3], later[3];
  unsigned i;

  (void) state;
  set_disk ("track:1ms,full:9ms,rpm:100000");
  enter (SIZE / 2, START, &a);
  for (i = 0; i < 3; i++)
    enter (0, START, &b[i]);
  latency_reset (&l);
  enter (SIZE / 2, START + NSEC_PER_SEC, &a);
  for (i = 0; i < 3; i++)
    enter (0, START + NSEC_PER_SEC, &later[i]);
  for (i = 0; i < 3; i++) {
    assert_int_equal (latency_ask (&l, &s, &b[i], START + 100 * MSEC),
                      START + 100 * MSEC);
    assert_false (latency_asks (&b[i]));
  }
  for (i = 0; i < 3; i++)
    ask_to_the_end (&later[i]);
  assert_int_equal (l.drive.disk.n, 0);
}

/* A limit that lets it through later. */
static void
test_limit (void **state)
{
  struct latency_booking a, b;

  (void) state;
  s.limits.operations_per_sec[THROTTLE_ALL] = 1;
  set_disk ("track:0,full:0,rpm:100000");
  enter (0, START, &a);
  assert_int_equal (enter (SIZE / 2, START, &b), START + 2 * NSEC_PER_SEC);
  assert_int_equal (ask_to_the_end (&b), START + 2 * NSEC_PER_SEC);
}

/* Of thousands that wait few ask more than once, and all are served. */
static void
test_many (void **state)
{
  enum { N = 4000 };
  static struct latency_booking bookings[N];
  uint64_t seed = new_seed ("many that wait"), next = 0, last = 0;
  unsigned i, asked = 0, best, left = N;

  (void) state;
  set_disk ("track:1ms,full:9ms,rpm:6000,mbps:200,queue:32");
  for (i = 0; i < N; i++) {
    enter (random_below (&seed, SIZE / BLOCK) * BLOCK, START, &bookings[i]);
    left -= !latency_asks (&bookings[i]);
  }
  assert_true (l.drive.disk.nr_waiting < MAX_DISK_QUEUE);
  while (left > 0) {
    best = N;
    for (i = 0; i < N; i++) {
      if (latency_asks (&bookings[i]) &&
          (best == N || bookings[i].told < bookings[best].told))
        best = i;
    }
    assert_true (best < N && bookings[best].told >= next);
    next = bookings[best].told;
    latency_ask (&l, &s, &bookings[best], next);
    assert_true (bookings[best].told >= next);
    last = max (last, bookings[best].told);
    left -= !latency_asks (&bookings[best]);
    asked++;
  }
  assert_int_equal (last, l.drive.disk.free_at);
  assert_int_equal (l.drive.disk.n, 0);
  assert_true (asked < N + MAX_DISK_QUEUE * MAX_DISK_QUEUE);
}

/* Of two that the head reaches at the same moment the older is first, though it
 * is farther away; and what goes on where the head is comes before both.
 */
static void
test_same_moment (void **state)
{
  const uint64_t rotation = 10 << 20; /* bytes */
  const uint64_t at = SIZE / 2 / rotation * rotation;
  struct latency_booking a, b, c, d;
  uint64_t free;

  (void) state;
  set_disk (DISK ",queue:8");
  free = enter (at, START, &a);
  enter (at + 2000 * rotation, START, &b);
  enter (at + 1000 * rotation, START, &c);
  enter (at + BLOCK, START, &d);
  latency_ask (&l, &s, &d, free);
  assert_false (latency_asks (&d));
  assert_true (d.told < free + MSEC);
  latency_ask (&l, &s, &c, d.told);
  assert_true (latency_asks (&c));
  latency_ask (&l, &s, &b, d.told);
  assert_false (latency_asks (&b));
  ask_to_the_end (&c);
}

/* Of two where the head is, the older is first. */
static void
test_same_place (void **state)
{
  struct latency_booking a, b, c;
  uint64_t free;

  (void) state;
  set_disk (DISK ",queue:8");
  free = enter (SIZE / 2, START, &a);
  enter (SIZE / 2 + BLOCK, START, &b);
  enter (SIZE / 2 + BLOCK, START, &c);
  latency_ask (&l, &s, &b, free);
  assert_false (latency_asks (&b));
  ask_to_the_end (&c);
}

/* A live change makes the queue shorter, and then longer again. */
static void
test_queue_live (void **state)
{
  static struct latency_booking bookings[100];
  uint64_t seed = new_seed ("a queue that changes"), last = 0, now = START;
  unsigned i, j, waiting;

  (void) state;
  set_disk (DISK ",queue:64");
  for (i = 0; i < 100; i++)
    enter (random_below (&seed, SIZE / BLOCK) * BLOCK, START, &bookings[i]);
  for (i = 0; i < 400; i++) {
    s.drive.disk.queue = 1 + random_below (&seed, 100);
    now = max (now, l.drive.disk.free_at);
    j = i % 100;
    if (!latency_asks (&bookings[j]))
      continue;
    waiting = l.drive.disk.nr_waiting;
    latency_ask (&l, &s, &bookings[j], now);
    if (l.drive.disk.nr_waiting < waiting)
      assert_true (l.drive.disk.nr_near <= s.drive.disk.queue);
    assert_true (l.drive.disk.nr_near <= l.drive.disk.nr_waiting);
    if (i == 50)
      latency_cancel (&l, &bookings[(j + 50) % 100], now);
  }
  for (i = 0; i < 100; i++)
    last = max (last, ask_to_the_end (&bookings[i]));
  assert_int_equal (l.drive.disk.n, 0);
  assert_int_equal (l.drive.disk.nr_waiting, 0);
  assert_true (last <= l.drive.disk.free_at);
}

static int
compare (const void *a, const void *b)
{
  const uint64_t *x = a, *y = b;

  return *x < *y ? -1 : *x > *y;
}

/* All of N come at once.  DONE becomes when they are done, in that order. */
static void
serve_at_once (uint64_t seed, struct latency_booking *bookings, uint64_t *done,
               unsigned n)
{
  unsigned i, next;

  latency_reset (&l);
  l.drive.disk.position = 0;
  for (i = 0; i < n; i++)
    enter (random_below (&seed, SIZE / BLOCK) * BLOCK, START, &bookings[i]);
  for (;;) {
    next = n;
    for (i = 0; i < n; i++) {
      if (latency_asks (&bookings[i]) &&
          (next == n || bookings[i].told < bookings[next].told))
        next = i;
    }
    if (next == n)
      break;
    latency_ask (&l, &s, &bookings[next], bookings[next].told);
  }
  for (i = 0; i < n; i++)
    done[i] = bookings[i].told;
  qsort (done, n, sizeof *done, compare);
}

/* The same requests are served in the same order, and eight at a time are
 * reported; the last ones as no other waits.
 */
static void
test_batch (void **state)
{
  enum { N = 60, BATCH = 8 };
  static struct latency_booking bookings[N];
  static uint64_t each[N], batches[N];
  const uint64_t seed = new_seed ("batches");
  unsigned i, last;

  (void) state;
  set_disk (DISK ",queue:256");
  serve_at_once (seed, bookings, each, N);
  set_disk (DISK ",queue:256,batch:8");
  serve_at_once (seed, bookings, batches, N);
  for (i = 0; i < N; i++) {
    last = (i / BATCH + 1) * BATCH - 1;
    assert_int_equal (batches[i], each[last < N ? last : N - 1]);
  }
  assert_int_equal (l.drive.disk.n, 0);
  assert_int_equal (l.drive.disk.nr_served, 0);
}

/* One that is served, but not complete, may be cancelled, and a request alone
 * is completed by itself.
 */
static void
test_cancel_batch (void **state)
{
  struct latency_booking a, b, c;
  uint64_t free;

  (void) state;
  set_disk (DISK ",queue:4,batch:3");
  free = enter (SIZE / 2, START, &a);
  assert_true (latency_asks (&a));
  enter (SIZE / 4, START, &b);
  enter (SIZE / 8, START, &c);
  latency_cancel (&l, &a, free);
  free = latency_ask (&l, &s, &b, free);
  assert_true (latency_asks (&b));
  latency_ask (&l, &s, &b, free);
  assert_false (latency_asks (&b));
  assert_int_equal (b.told, l.drive.disk.free_at);
  assert_int_equal (latency_ask (&l, &s, &c, free), b.told);
  assert_false (latency_asks (&c));
  free = enter (0, START + NSEC_PER_SEC, &a);
  assert_int_equal (latency_ask (&l, &s, &a, free), free);
  assert_false (latency_asks (&a));
  assert_int_equal (l.drive.disk.n, 0);
}

static void
test_from (void **state)
{
  struct message why;

  (void) state;
  assert_int_equal (parts_parse (&disk_parts,
                                 "track:1ms,full:9ms,rpm:6000,from:2",
                                 &s.drive.disk, &why),
                    -EINVAL);
  assert_non_null (strstr (why.text, "no more than after queue:"));
}

/* A stream in sequence, of which one always waits, does not stop another
 * request for ever.
 */
static void
test_stream (void **state)
{
  struct latency_booking other, reads[2];
  unsigned i, n = 0;

  (void) state;
  set_disk ("track:1ms,full:9ms,rpm:6000,mbps:200,queue:4");
  enter (0, START, &reads[0]);
  enter (BLOCK, START, &reads[1]);
  enter (SIZE / 2, START, &other);
  for (i = 2; i < 1000 && latency_asks (&other); i++) {
    ask_to_the_end (&reads[i % 2]);
    enter (i * BLOCK, reads[i % 2].told, &reads[i % 2]);
    if (other.told <= reads[i % 2].told)
      latency_ask (&l, &s, &other, reads[i % 2].told);
    n++;
  }
  assert_in_range (n, DISK_PASSES * 4 - 2, DISK_PASSES * 4 + 2);
}

/* Those that wait go in the order of offsets, and one that comes meanwhile is
 * not among them, though the head passes it.
 */
static void
test_sweep (void **state)
{
  struct latency_booking at, a, b, c, d;
  uint64_t moment;

  (void) state;
  set_disk ("track:1ms,full:9ms,rpm:100000,queue:3,sweep:1");
  moment = enter (SIZE / 2, START, &at);
  enter (SIZE / 8, START, &a);
  enter (SIZE / 4 * 3, START, &b);
  enter (SIZE / 16 * 9, START, &c);
  assert_true (latency_asks (&c));
  latency_ask (&l, &s, &c, moment);
  /* The upper end is nearer.  One more comes when the head is on its way. */
  enter (SIZE / 16 * 11, moment + 1, &d);
  moment = ask_to_the_end (&b);
  assert_true (moment < ask_to_the_end (&c));
  assert_true (ask_to_the_end (&c) < ask_to_the_end (&a));
  assert_true (ask_to_the_end (&a) < ask_to_the_end (&d));
}

/* From 1.0 to 1.9 s and so on the head stands still. */
static void
test_stall (void **state)
{
  const uint64_t t = START + 995 * MSEC;
  struct latency_booking a, b;

  (void) state;
  s.stall = (struct stall){NSEC_PER_SEC, 900 * MSEC};
  set_disk ("track:20ms,full:20ms,rpm:100000");
  enter (SIZE / 2, t, &a);
  assert_in_range (ask_to_the_end (&a), t + 920 * MSEC, t + 920600 * USEC);
  enter (0, t + 300 * MSEC, &b);
  assert_true (latency_asks (&b));
  assert_int_equal (l.drive.decides_at, 0); /* not known */
  assert_in_range (ask_to_the_end (&b), t + 940 * MSEC, t + 941200 * USEC);
  assert_int_equal (l.drive.disk.n, 0);
  /* Without stalls from the next moment on: what was done stays done. */
  s.stall = (struct stall){0, 0};
  enter (SIZE / 2, t + NSEC_PER_SEC, &a);
  assert_in_range (ask_to_the_end (&a), t + 1020 * MSEC, t + 1020600 * USEC);
  enter (0, t + 30 * NSEC_PER_SEC, &a);
  s.stall = (struct stall){NSEC_PER_SEC, 900 * MSEC};
  enter (SIZE / 2, t + 31 * NSEC_PER_SEC, &a);
  assert_in_range (ask_to_the_end (&a), t + 31920 * MSEC, t + 31920600 * USEC);
}

/*---------------------------------------------------------------------*/

#define REQUESTS 3000

/* What rounding to nanoseconds makes of a moment, in seconds. */
#define ROUNDED 1e-8

struct naive {
  double arrival, offset, done;
};

static struct naive requests[REQUESTS];

/* From the middle of nowhere: seconds. */
static double
positioning (const struct disk_settings *d, double from, double to, double now)
{
  const double nsec = floor (60e9 / (double) d->rpm), rotation = nsec / 1e9;
  const double bytes = floor (nsec * (double) d->bytes_per_sec / 1e9);
  double seek, wait;

  if (from == to)
    return 0;
  seek = ((double) d->track +
          (double) (d->full - d->track) * sqrt (fabs (to - from) / SIZE)) /
         1e9;
  wait = fmod (to, bytes) / bytes * rotation - fmod (now + seek, rotation);
  return seek + (wait < 0 ? wait + rotation : wait);
}

/* The disk sweeps, and NEXT is next: is it at the nearer end of what was looked
 * at when the last sweep was over?  FIRST is the oldest of those that wait.
 */
static void
check_sweep (const struct disk_settings *d, unsigned n, unsigned first,
             unsigned next, double now, double at)
{
  static bool is_in[REQUESTS];
  double low = SIZE, high = 0, wanted;
  unsigned i, left = 0, nr = 0;

  for (i = 0; i < n; i++)
    left += is_in[i];
  for (i = first; left == 0 && i < n && nr < d->queue; i++) {
    is_in[i] = requests[i].done > now && requests[i].arrival <= now;
    nr += is_in[i];
  }
  for (i = first; i < n; i++) {
    if (!is_in[i])
      continue;
    low = fmin (low, requests[i].offset);
    high = fmax (high, requests[i].offset);
  }
  wanted = fabs (at - low) <= fabs (high - at) ? low : high;
  if (!is_in[next] || requests[next].offset != wanted)
    fail_msg ("request %u was out of the sweep", next);
  is_in[next] = false;
}

/* All that comes is known.  The head goes from one request to the next, in the
 * order in which they were done: each took as long as it has to, and none of
 * those that were looked at was nearer by more than rounding makes it, unless
 * the oldest was next.
 */
static void
check_all (const struct disk_settings *d, unsigned n)
{
  const double data = (double) BLOCK / (double) d->bytes_per_sec;
  const double rotation = floor (60e9 / (double) d->rpm) / 1e9;
  double now = 0, at = 0, took, off;
  unsigned served, i, first, next, looked_at, oldest = n;
  uint64_t passed = 0;

  for (served = 0; served < n; served++) {
    first = next = n;
    for (i = 0; i < n; i++) {
      if (requests[i].done <= now)
        continue;
      first = first == n ? i : first;
      if (next == n || requests[i].done < requests[next].done)
        next = i;
    }
    now = fmax (now, requests[first].arrival);
    took = positioning (d, at, requests[next].offset, now);
    off = fabs (requests[next].done - now - took - data);
    /* What just comes by may be seen as just gone. */
    if (fmin (off, fabs (off - rotation)) > ROUNDED)
      fail_msg ("request %u took %g s, and not %g", next,
                requests[next].done - now, took + data);
    if (d->sweep != 0) {
      check_sweep (d, n, first, next, now, at);
      now = requests[next].done;
      at = requests[next].offset + BLOCK;
      continue;
    }
    if (first != oldest) {
      oldest = first;
      passed = 0;
    }
    looked_at = 0;
    if (passed++ >= DISK_PASSES * d->queue) {
      assert_int_equal (next, first);
      next += n;
      looked_at = (unsigned) d->queue;
    }
    for (i = first; i < n && looked_at < d->queue; i++) {
      if (requests[i].done <= now || requests[i].arrival > now)
        continue;
      looked_at++;
      if (fmax (positioning (d, at, requests[i].offset, now - ROUNDED),
                positioning (d, at, requests[i].offset, now + ROUNDED)) <
          requests[next < n ? next : next - n].done - now - data - 3 * ROUNDED)
        fail_msg ("request %u was nearer than %u", i, next);
      next = next == i ? n + i : next; /* was looked at */
    }
    if (next < n)
      fail_msg ("request %u was taken, beyond the queue", next);
    now = requests[next - n].done;
    at = requests[next - n].offset + BLOCK;
  }
}

/* Requests come at random, and ask when it is due, in the order of time. */
static void
run_beside_all_known (const char *name, uint64_t sweep)
{
  static struct latency_booking bookings[REQUESTS];
  uint64_t seed = new_seed (name);
  const uint64_t mean = (3 + random_below (&seed, 9)) * MSEC;
  const struct disk_settings settings = {
      .track = (1 + random_below (&seed, 2)) * MSEC,
      .full = (10 + random_below (&seed, 10)) * MSEC,
      .rpm = 5400 + random_below (&seed, 10000),
      .bytes_per_sec = UINT64_C (200) << 20,
      .queue = 1 + random_below (&seed, 32),
      .sweep = sweep};
  uint64_t now = START, next;
  unsigned i, came = 0, best;

  s.drive.disk = settings;
  latency_settings_complete (&s);
  for (i = 0; i < REQUESTS; i++) {
    now += random_below (&seed, 2 * mean);
    requests[i].arrival = (double) now / 1e9;
    requests[i].offset = (double) (random_below (&seed, SIZE / BLOCK) * BLOCK);
    /* Some go on where another one ended, and some are where it is. */
    if (i > 0 && random_below (&seed, 4) == 0)
      requests[i].offset =
          requests[i - 1].offset + (double) (random_below (&seed, 2) * BLOCK);
    if (requests[i].offset >= SIZE)
      requests[i].offset = 0;
  }
  for (;;) {
    /* Whose turn is it: one that asks, or one that comes? */
    next = UINT64_MAX;
    best = came;
    for (i = 0; i < came; i++) {
      if (latency_asks (&bookings[i]) && bookings[i].told < next) {
        next = bookings[i].told;
        best = i;
      }
    }
    if (came < REQUESTS && requests[came].arrival <= (double) next / 1e9) {
      now = (uint64_t) (requests[came].arrival * 1e9 + 0.5);
      enter ((uint64_t) requests[came].offset, now, &bookings[came]);
      came++;
    }
    else if (next == UINT64_MAX)
      break;
    else
      latency_ask (&l, &s, &bookings[best], next);
  }
  for (i = 0; i < REQUESTS; i++)
    requests[i].done = (double) bookings[i].told / 1e9;
  check_all (&settings, REQUESTS);
  assert_int_equal (l.drive.disk.n, 0);
}

static void
test_beside_all_known (void **state)
{
  (void) state;
  run_beside_all_known ("a disk beside one that knows all", 0);
}

static void
test_sweep_beside_all_known (void **state)
{
  (void) state;
  run_beside_all_known ("a disk that sweeps", 1);
}

/* Reads of random blocks wait for any part of a rotation: Kolmogorov and
 * Smirnov's distance.
 */
static void
test_turns_are_uniform (void **state)
{
  enum { N = 2000 };
  static uint64_t waits[N];
  uint64_t seed = new_seed ("parts of a rotation");
  struct latency_booking booking;
  double most = 0, share;
  uint64_t now = START;
  unsigned i;

  (void) state;
  set_disk ("track:0,full:0,rpm:6000,mbps:40960");
  for (i = 0; i < N; i++) {
    waits[i] =
        enter (random_below (&seed, SIZE / BLOCK) * BLOCK, now, &booking);
    waits[i] -= now;
    now += waits[i];
  }
  qsort (waits, N, sizeof waits[0], compare);
  for (i = 0; i < N; i++) {
    share = (double) waits[i] / (10 * MSEC);
    most = fmax (most, fabs (share - (double) i / N));
    most = fmax (most, fabs (share - (double) (i + 1) / N));
  }
  /* One of 100,000 seeds has more. */
  if (most > 2.47 / sqrt (N))
    fail_msg ("%g from a uniform distribution", most);
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, setup, teardown)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_alone),
      TEST (test_latency_on_top),
      TEST (test_writes),
      TEST (test_order),
      TEST (test_same_moment),
      TEST (test_same_place),
      TEST (test_queue_live),
      TEST (test_batch),
      TEST (test_cancel_batch),
      TEST (test_in_order),
      TEST (test_cancel),
      TEST (test_cancel_many),
      TEST (test_no_memory),
      TEST (test_in_vain),
      TEST (test_in_vain_reset),
      TEST (test_limit),
      TEST (test_stall),
      TEST (test_from),
      TEST (test_many),
      TEST (test_stream),
      TEST (test_beside_all_known),
      TEST (test_sweep),
      TEST (test_sweep_beside_all_known),
      TEST (test_turns_are_uniform),
  };

  return RUN_TESTS (tests);
}
