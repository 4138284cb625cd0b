/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What a device makes of the functions of struct front_end: requests that have
 * arrived before they begin, replies that are sent together or deferred, and
 * buffers that are the front end's.
 */

#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "buffers.h"
#include "common/common.h"
#include "control/control.h"
#include "device/device.h"

static uint64_t arrived;

static uint64_t
arrival (void)
{
  return arrived;
}

/* A request's time begins when it arrived, where that is known.  No machine is
 * too young for these moments: one is just after its start, the other is still
 * to come.
 */
static void
test_arrived_before (void **state)
{
  const uint64_t now = clock_now ();

  (void) state;
  CREATE ("read-latency", "20s", "write-latency", "1us");
  devices->front_end.arrival = arrival;
  nap_result = -ESHUTDOWN; /* nobody waits */
  arrived = 1;
  assert_int_equal (device_write (d, out, 512, 0, false), 0);
  assert_true (counted_by (d)->op[OP_WRITE].served.longest >= now - arrived);

  arrived = now + 50 * NSEC_PER_SEC;
  assert_int_equal (device_read (d, out, 512, 0), -ESHUTDOWN);
  assert_true (napped > 20 * NSEC_PER_SEC);

  arrived = 0;
  assert_int_equal (device_read (d, out, 512, 0), -ESHUTDOWN);
  assert_in_range (napped, 10 * NSEC_PER_SEC, 20 * NSEC_PER_SEC);
}

/* Replies that are sent together: a server's part. */
static struct {
  bool holds;
  void (*end) (void *arg);
  void *arg;
} open_requests;

static bool
hold_reply (void (*end) (void *arg), void *arg)
{
  if (!open_requests.holds)
    return false;
  assert_true (open_requests.end == NULL || open_requests.arg == arg);
  open_requests.end = end;
  open_requests.arg = arg;
  return true;
}

/* Requests arrive at `arrived`, and end together. */
static void
hold_replies (void)
{
  devices->front_end.arrival = arrival;
  devices->front_end.before_reply = hold_reply;
  memset (&open_requests, 0, sizeof open_requests);
  open_requests.holds = true;
}

static uint64_t
served (enum operation op)
{
  return histogram_total (&counted_by (d)->op[op].served);
}

/* Requests that arrived together end together, each with its own result.  Who
 * asks for statistics before that gets all of them, up to that moment.
 */
static void
test_ends_with_others (void **state)
{
  uint64_t before;
  unsigned i;

  (void) state;
  CREATE ("badblocks", "+8-8");
  hold_replies ();
  arrived = 1; /* no machine is younger */
  before = clock_now ();
  for (i = 0; i < 3; i++)
    assert_int_equal (device_read (d, out, 512, 0), 0);
  assert_int_equal (device_write (d, out, 512, 0, false), 0);
  assert_int_equal (device_write (d, out, 512, 4096, false), -EIO);
  assert_int_equal (d->in_flight, 0);
  assert_int_equal (d->counts.nr, 0);
  open_requests.end (open_requests.arg);
  assert_int_equal (d->counts.nr, 2);
  assert_int_equal (served (OP_READ), 3);
  assert_int_equal (served (OP_WRITE), 2);
  assert_int_equal (counted_by (d)->op[OP_READ].bytes, 3 * 512);
  assert_int_equal (counted_by (d)->op[OP_WRITE].bytes, 512);
  assert_int_equal (counted_by (d)->op[OP_WRITE].errors[ERROR_EIO], 1);
  assert_in_range (counted_by (d)->op[OP_READ].served.longest, before - arrived,
                   clock_now () - arrived);

  assert_int_equal (device_read (d, out, 512, 0), 0);
  assert_int_equal (served (OP_READ), 4);
  open_requests.end (open_requests.arg); /* there is none any more */
  assert_int_equal (served (OP_READ), 4);

  /* Those of before end when one ends by itself. */
  assert_int_equal (device_read (d, out, 512, 0), 0);
  open_requests.holds = false;
  assert_int_equal (device_flush (d), 0);
  assert_int_equal (d->counts.nr_open, 0);
  assert_int_equal (served (OP_READ), 5);
  assert_int_equal (served (OP_FLUSH), 1);
}

/* However many are open, none is lost; and a reset forgets them. */
static void
test_many_end_with_others (void **state)
{
  unsigned i;

  (void) state;
  CREATE ("size", "1M");
  hold_replies ();
  arrived = clock_now ();
  for (i = 0; i < 200000; i++) {
    /* Now and then they are of another moment. */
    arrived += i % 50 == 0;
    assert_int_equal (
        i % 3 == 0 ? device_flush (d) : device_read (d, out, 512, 0), 0);
    if (i % 1000 == 999)
      open_requests.end (open_requests.arg);
  }
  assert_int_equal (served (OP_FLUSH) + served (OP_READ), 200000);

  arrived += NSEC_PER_SEC;
  for (i = 0; i < 100000; i++)
    assert_int_equal (device_read (d, out, 512, 0), 0);
  pthread_mutex_lock (&devices->lock);
  device_reset_stats (&devices->device[0]);
  pthread_mutex_unlock (&devices->lock);
  open_requests.end (open_requests.arg);
  assert_int_equal (served (OP_READ), 0);
}

/* What was deferred: a server's part, which keeps one request. */
static struct {
  bool takes;
  uint64_t due_at, spin;
  size_t data;
  int (*due) (void *request, uint64_t *moment, bool gone);
  _Alignas(max_align_t) uint8_t request[MAX_REQUEST_COPY];
} deferred;

static bool
keep_one (uint64_t due_at, uint64_t spin,
          int (*due) (void *request, uint64_t *moment, bool gone),
          const void *request, size_t size, size_t data)
{
  if (!deferred.takes)
    return false;
  deferred.data = data;
  assert_in_range (size, 1, sizeof deferred.request);
  deferred.due_at = due_at;
  deferred.spin = spin;
  deferred.due = due;
  memcpy (deferred.request, request, size);
  return true;
}

static int
fall_due (bool gone)
{
  uint64_t moment = gone ? clock_now () : deferred.due_at;
  const int r = deferred.due (deferred.request, &moment, gone);

  if (r == DUE_AGAIN)
    deferred.due_at = moment;
  return r;
}

static void
defer_all (void)
{
  memset (&deferred, 0, sizeof deferred);
  deferred.takes = true;
  devices->front_end.defer = keep_one;
  devices->front_end.max_deferred = 3;
  nap_result = -ESHUTDOWN; /* nobody waits by himself */
}

/* A deferred request is answered at once, and in service until it is due. */
static void
test_deferred (void **state)
{
  const uint64_t before = clock_now ();

  (void) state;
  CREATE ("latency", "20s", "latency-spin", "3us");
  defer_all ();
  assert_int_equal (device_read (d, out, 512, 0), 0);
  assert_true (all_zero (out, 512));
  assert_in_range (deferred.due_at, before + 20 * NSEC_PER_SEC,
                   clock_now () + 20 * NSEC_PER_SEC);
  assert_int_equal (deferred.spin, 3 * NSEC_PER_USEC);
  assert_int_equal (deferred.data, 512);
  assert_int_equal (d->in_flight, 1);
  assert_int_equal (histogram_total (&counted_by (d)->op[OP_READ].served), 0);

  assert_int_equal (fall_due (false), 0);
  assert_int_equal (d->in_flight, 0);
  assert_int_equal (histogram_total (&counted_by (d)->op[OP_READ].served), 1);
  assert_int_equal (counted_by (d)->op[OP_READ].served.longest,
                    20 * NSEC_PER_SEC);
  assert_int_equal (counted_by (d)->op[OP_READ].bytes, 512);
}

/* All requests that a connection may have are its threads. */
static void
test_deferred_depth (void **state)
{
  static struct device_stats sum;
  unsigned i;

  (void) state;
  CREATE ("latency", "20s");
  defer_all ();
  for (i = 0; i < 3; i++)
    assert_int_equal (device_read (d, out, 512, 0), 0);
  device_stats (&devices->device[0], &sum);
  assert_int_equal (sum.in_flight, 3);
  assert_int_equal (sum.places, 3);
  assert_int_equal (sum.began_saturated, 1);
}

/* An error waits like a success, and stays what it was. */
static void
test_deferred_error (void **state)
{
  (void) state;
  CREATE ("latency", "20s", "badblocks", "+0-0");
  defer_all ();
  assert_int_equal (device_read (d, out, 512, 0), -EIO);
  assert_int_equal (d->in_flight, 1);
  assert_int_equal (fall_due (false), 0);
  assert_int_equal (counted_by (d)->op[OP_READ].errors[ERROR_EIO], 1);
}

/* What is over fails, and limits no longer count it. */
static void
test_deferred_over (void **state)
{
  (void) state;
  CREATE ("iops", "1");
  defer_all ();
  assert_int_equal (device_read (d, out, 512, 0), 0);
  assert_int_equal (fall_due (true), -ESHUTDOWN);
  assert_int_equal (d->in_flight, 0);
  assert_int_equal (counted_by (d)->op[OP_READ].errors[ERROR_ESHUTDOWN], 1);
  assert_int_equal (device_read (d, out, 512, 0), 0);
  assert_true (deferred.due_at < clock_now () + 3 * NSEC_PER_SEC / 2);
  fall_due (true);
}

/* It is not known when the head of a disk is free for it.  A rule's delay comes
 * on top.
 */
static void
test_deferred_asks (void **state)
{
  uint64_t first;

  (void) state;
  CREATE ("disk", "track:1s,full:1s,rpm:60000", "fault", "after=1 delay=30s");
  defer_all ();
  assert_int_equal (device_read (d, out, 512, 1 << 20), 0);
  first = deferred.due_at;
  assert_int_equal (device_read (d, out, 512, 1 << 24), 0);
  assert_int_equal (deferred.due_at, first + 30 * NSEC_PER_SEC);
  assert_int_equal (fall_due (false), DUE_AGAIN);
  assert_in_range (deferred.due_at, first + 31 * NSEC_PER_SEC,
                   first + 31 * NSEC_PER_SEC + NSEC_PER_MSEC);
  assert_int_equal (d->in_flight, 2);
  assert_int_equal (fall_due (false), 0);
  assert_int_equal (d->in_flight, 1);
  /* Who is cancelled is not served. */
  assert_int_equal (device_read (d, out, 512, 1 << 26), 0);
  assert_int_equal (fall_due (true), -ESHUTDOWN);
  assert_int_equal (devices->device[0].latency.drive.disk.n, 0);
}

/* One that is to ask is lost in a power cut, whether it asks before power is
 * back or after that, and the head is free for others.
 */
static void
test_deferred_asks_after_cut (void **state)
{
  struct device *device;
  unsigned i;

  (void) state;
  CREATE ("memory-backed", "1", "cache-size", "1M", "disk",
          "track:1s,full:1s,rpm:60000");
  device = &devices->device[0];
  for (i = 0; i < 2; i++) {
    defer_all ();
    assert_int_equal (device_read (d, out, 512, 1 << 20), 0);
    assert_int_equal (device_read (d, out, 512, 1 << 24), 0);
    assert_true (device->latency.drive.disk.n > 0);
    device_cut_power (device, LOSE_ALL, 0);
    if (i == 0)
      assert_int_equal (fall_due (false), DUE_AGAIN);
    else
      device_power_on (device);
    assert_int_equal (fall_due (false), -ESHUTDOWN);
    if (i == 0)
      device_power_on (device);
    assert_int_equal (device->latency.drive.disk.n, 0);
    assert_int_equal (device_read (d, out, 512, 1 << 20), 0);
    assert_in_range (deferred.due_at, clock_now () + NSEC_PER_SEC / 2,
                     clock_now () + 3 * NSEC_PER_SEC / 2);
    assert_int_equal (fall_due (false), 0);
  }
}

/* Who is to ask asks by the settings that it began with, though the device has
 * no disk any more.
 */
static void
test_deferred_asks_after_change (void **state)
{
  struct device *device;
  struct settings_version *now;
  struct settings changed;
  uint64_t first;

  (void) state;
  CREATE ("disk", "track:1s,full:1s,rpm:60000");
  device = &devices->device[0];
  defer_all ();
  assert_int_equal (device_read (d, out, 512, 1 << 20), 0);
  first = deferred.due_at;
  assert_int_equal (fall_due (false), 0);
  assert_int_equal (device_read (d, out, 512, 1 << 24), 0);
  now = device_hold_settings (device);
  changed = now->s;
  changed.latency.drive.disk.rpm = 0;
  latency_settings_complete (&changed.latency);
  pthread_mutex_lock (&devices->change_lock);
  device_install (device, settings_version_new (&changed));
  pthread_mutex_unlock (&devices->change_lock);
  device_drop_settings (device, now);
  assert_int_equal (fall_due (false), DUE_AGAIN);
  assert_in_range (deferred.due_at, first + NSEC_PER_SEC,
                   first + NSEC_PER_SEC + NSEC_PER_MSEC);
  assert_int_equal (fall_due (false), 0);
  assert_int_equal (device->latency.drive.disk.n, 0);
  deferred.takes = false;
  assert_int_equal (device_read (d, out, 512, 1 << 25), 0); /* at once */
}

/* The same on a thread that waits. */
static void
test_asks (void **state)
{
  uint64_t first;

  (void) state;
  CREATE ("disk", "track:1ms,full:1ms,rpm:60000");
  defer_all ();
  nap_result = 0;
  assert_int_equal (device_read (d, out, 512, 1 << 20), 0);
  first = deferred.due_at;
  deferred.takes = false;
  assert_int_equal (device_read (d, out, 512, 1 << 24), 0);
  assert_true (clock_now () >= first + NSEC_PER_MSEC / 2);
  assert_int_equal (devices->device[0].latency.drive.disk.n, 0);
}

/* The settings that it began with are there until the end. */
static void
test_deferred_keeps_settings (void **state)
{
  struct settings_version *now;

  (void) state;
  CREATE ("latency", "20s");
  defer_all ();
  assert_int_equal (device_read (d, out, 512, 0), 0);
  now = device_hold_settings (&devices->device[0]);
  pthread_mutex_lock (&devices->change_lock);
  device_install (&devices->device[0], settings_version_new (&now->s));
  pthread_mutex_unlock (&devices->change_lock);
  device_drop_settings (&devices->device[0], now);
  deferred.takes = false;
  assert_int_equal (device_flush (d), -ESHUTDOWN); /* with the new ones */
  assert_int_equal (fall_due (false), 0);
  assert_int_equal (counted_by (d)->op[OP_READ].served.longest,
                    20 * NSEC_PER_SEC);
}

/* A power cut meets what waits: the promise is not kept. */
static void
test_deferred_power_cut (void **state)
{
  (void) state;
  CREATE ("memory-backed", "1", "cache-size", "1M", "latency", "20s");
  defer_all ();
  assert_int_equal (device_write (d, buf, 4096, 0, false), 0);
  device_cut_power (&devices->device[0], LOSE_ALL, 0);
  assert_int_equal (fall_due (false), -ESHUTDOWN);
  assert_int_equal (counted_by (d)->op[OP_WRITE].errors[ERROR_ESHUTDOWN], 1);
}

static unsigned drops;

static void
count_drops (void)
{
  drops++;
}

static void
test_deferred_power_cut_drops (void **state)
{
  (void) state;
  CREATE ("memory-backed", "1", "cache-size", "1M", "latency", "20s",
          "power-off-reply", "disconnect");
  defer_all ();
  devices->front_end.disconnect = count_drops;
  drops = 0;
  assert_int_equal (device_write (d, buf, 4096, 0, false), 0);
  device_cut_power (&devices->device[0], LOSE_ALL, 0);
  assert_int_equal (fall_due (false), DUE_NO_ANSWER);
  assert_int_equal (drops, 1);
}

/* Whoever is not taken waits by himself, and so does who controls. */
static void
test_not_deferred (void **state)
{
  struct connection *control;

  (void) state;
  CREATE ("latency", "20s");
  defer_all ();
  deferred.takes = false;
  assert_int_equal (device_read (d, out, 512, 0), -ESHUTDOWN);
  assert_true (napped > 10 * NSEC_PER_SEC);
  assert_int_equal (d->in_flight, 0);

  deferred.takes = true;
  napped = 0;
  assert_int_equal (control_connect (devices, "nullb0.config", true, &control),
                    0);
  assert_int_equal (device_flush (control), -ESHUTDOWN);
  assert_true (napped > 10 * NSEC_PER_SEC);
  assert_null (deferred.due);
  device_disconnect (control);
}

static bool zero_answer;
static unsigned zero_questions;

static bool
still_zero (const void *answer, size_t n)
{
  assert_ptr_equal (answer, out);
  assert_int_equal (n, 512);
  zero_questions++;
  return zero_answer;
}

/* Who knows that a buffer is zero still is believed, and asked only where the
 * answer to the read is all zero.
 */
static void
test_still_zero (void **state)
{
  static const unsigned char zeroes[512];
  unsigned char sixes[512];

  (void) state;
  memset (sixes, 6, sizeof sixes);
  zero_questions = 0;
  CREATE ("size", "1M");
  devices->front_end.still_zero = still_zero;
  zero_answer = true;
  memset (out, 6, 512);
  assert_int_equal (device_read (d, out, 512, 0), 0);
  assert_memory_equal (out, sixes, 512);
  zero_answer = false;
  assert_int_equal (device_read (d, out, 512, 0), 0);
  assert_int_equal (zero_questions, 2);
  assert_memory_equal (out, zeroes, 512);
  devices_destroy (devices);

  CREATE ("size", "1M", "memory-backed", "1");
  devices->front_end.still_zero = still_zero;
  zero_answer = true;
  memset (out, 6, 512);
  assert_int_equal (device_read (d, out, 512, 0), 0);
  assert_memory_equal (out, zeroes, 512);
  devices_destroy (devices);

  CREATE ("size", "1M", "fault", "op=read corrupt=flip");
  devices->front_end.still_zero = still_zero;
  memset (out, 6, 512);
  assert_int_equal (device_read (d, out, 512, 0), 0);
  assert_memory_not_equal (out, sixes, 512);
  devices_destroy (devices);

  CREATE ("size", "1M", "zoned", "1", "zone-size", "4K");
  devices->front_end.still_zero = still_zero;
  memset (out, 6, 512);
  assert_int_equal (device_read (d, out, 512, 0), 0);
  assert_memory_equal (out, zeroes, 512);
  assert_int_equal (zero_questions, 2);
}

static unsigned char elsewhere[4096], ours[4096], other[4096];
static unsigned elsewhere_questions;

static void *
answer_elsewhere (void *place, size_t n)
{
  assert_true (place == out && n <= sizeof elsewhere);
  elsewhere_questions++;
  return elsewhere;
}

/* A read of a device with data puts it where the front end wants it, but not
 * where it is to be corrupted: then it is looked at in its buffer.
 */
static void
test_answer_elsewhere (void **state)
{
  (void) state;
  memset (ours, 6, sizeof ours);
  memset (other, 9, sizeof other);
  elsewhere_questions = 0;
  CREATE ("size", "1M", "memory-backed", "1");
  devices->front_end.answer_buffer = answer_elsewhere;
  assert_int_equal (device_write (d, ours, 4096, 0, false), 0);
  memset (out, 9, 4096);
  assert_int_equal (device_read (d, out, 4096, 0), 0);
  assert_memory_equal (elsewhere, ours, 4096);
  assert_memory_equal (out, other, 4096);
  devices_destroy (devices);

  CREATE ("size", "1M", "memory-backed", "1", "fault", "op=read corrupt=flip");
  devices->front_end.answer_buffer = answer_elsewhere;
  assert_int_equal (device_write (d, ours, 4096, 0, false), 0);
  assert_int_equal (device_read (d, out, 4096, 0), 0);
  assert_memory_not_equal (out, other, 4096);
  devices_destroy (devices);

  CREATE ("size", "1M", "memory-backed", "1", "zoned", "1", "zone-size", "64K",
          "zone-nr-conv", "1");
  devices->front_end.answer_buffer = answer_elsewhere;
  assert_int_equal (device_write (d, ours, 4096, 0, false), 0);
  assert_int_equal (device_write (d, other, 4096, 64 << 10, false), 0);
  assert_int_equal (device_read (d, out, 4096, 0), 0);
  assert_memory_equal (elsewhere, ours, 4096);
  assert_int_equal (device_read (d, out, 4096, 64 << 10), 0);
  assert_memory_equal (elsewhere, other, 4096);
  assert_int_equal (elsewhere_questions, 3);
  devices_destroy (devices);

  CREATE ("size", "1M");
  devices->front_end.answer_buffer = answer_elsewhere;
  assert_int_equal (device_read (d, out, 4096, 0), 0);
  assert_int_equal (elsewhere_questions, 3);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_arrived_before),
      TEST (test_ends_with_others),
      TEST (test_many_end_with_others),
      TEST (test_deferred),
      TEST (test_deferred_depth),
      TEST (test_deferred_error),
      TEST (test_deferred_over),
      TEST (test_deferred_asks),
      TEST (test_deferred_asks_after_cut),
      TEST (test_deferred_asks_after_change),
      TEST (test_asks),
      TEST (test_deferred_keeps_settings),
      TEST (test_deferred_power_cut),
      TEST (test_deferred_power_cut_drops),
      TEST (test_not_deferred),
      TEST (test_still_zero),
      TEST (test_answer_elsewhere),
  };

  return RUN_TESTS (tests);
}
