/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The plugin's side of batched socket I/O (plugin/batch/batch.h), with a
 * library of ours in the place of libnullblk-batch.so: this program shows the
 * symbol that the plugin looks for.
 */

#include <config.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "devices.h"

#include "batch/batch-functions-internal.h"
#include "batch/batch.h"

/* The library, and what it was told last. */
static unsigned depth;
static bool serial, any_waits;

static void
set_serial (bool value)
{
  serial = value;
}

static void
set_waits (bool value)
{
  any_waits = value;
}

static unsigned
tell_depth (void)
{
  return depth;
}

static uint64_t
arrival (void)
{
  return 1;
}

static bool
before_reply (void (*end) (void *arg), void *arg)
{
  (void) end;
  (void) arg;
  return false;
}

static bool
still_zero (const void *buf, size_t n)
{
  (void) buf;
  (void) n;
  return false;
}

static void *
answer_buffer (void *buf, size_t n)
{
  (void) n;
  return buf;
}

static const void *
payload (const void *buf, size_t n)
{
  return (const char *) buf + n;
}

static bool
defer (uint64_t due_at, uint64_t spin, batch_due *due, const void *request,
       size_t size, size_t data)
{
  (void) due_at;
  (void) spin;
  (void) due;
  (void) request;
  (void) size;
  (void) data;
  return false;
}

static bool deferred;

static bool
has_deferred (void)
{
  return deferred;
}

static void
defer_cancel (void)
{
}

/* What was offered last. */
static struct {
  const struct batch_device *device;
  void *arg;
  bool is_write;
  uint32_t count;
  uint64_t offset;
} offered;

static void
offer (const struct batch_device *device, void *arg, bool is_write,
       uint32_t count, uint64_t offset)
{
  offered.device = device;
  offered.arg = arg;
  offered.is_write = is_write;
  offered.count = count;
  offered.offset = offset;
}

static unsigned told_to_wait;

static void
before_wait (void)
{
  told_to_wait++;
}

extern struct batch_functions nullblk_batch_functions;
struct batch_functions nullblk_batch_functions;

static int
set_up (void **state)
{
  (void) state;
  nullblk_batch_functions =
      (struct batch_functions){.version = BATCH_VERSION,
                               .set_serial = set_serial,
                               .set_waits = set_waits,
                               .depth = tell_depth,
                               .arrival = arrival,
                               .before_reply = before_reply,
                               .still_zero = still_zero,
                               .payload = payload,
                               .answer_buffer = answer_buffer,
                               .defer = defer,
                               .has_deferred = has_deferred,
                               .defer_cancel = defer_cancel,
                               .before_wait = before_wait,
                               .offer = offer};
  depth = 64;
  serial = any_waits = false;
  return 0;
}

/* Devices, as the plugin makes them where requests are not served by threads.
 */
static struct devices *
start (const char *const *given)
{
  static const struct wait_ops no_nap;
  struct devices *d;
  struct message why;

  assert_int_equal (make_devices (&d, given, &no_nap, &why), 0);
  batch_plugin_find (d);
  batch_plugin_tell (d);
  return d;
}

static void
test_found (void **state)
{
  char some = 0;
  struct devices *d;

  (void) state;
  d = start ((const char *const[]){"size", "1M", NULL});
  assert_true (d->front_end.batch);
  assert_ptr_equal (d->front_end.arrival, arrival);
  assert_ptr_equal (d->front_end.before_reply, before_reply);
  assert_ptr_equal (d->front_end.still_zero, still_zero);
  assert_ptr_equal (d->front_end.answer_buffer, answer_buffer);
  assert_ptr_equal (batch_plugin_payload (&some, 1), &some + 1);
  assert_ptr_equal (d->front_end.defer, defer);
  assert_int_equal (d->front_end.max_deferred, 64);
  assert_true (serial && d->front_end.holds_replies);
  assert_false (any_waits);
  devices_destroy (d);

  d = start ((const char *const[]){"size", "1M", "latency", "1ms", NULL});
  assert_true (serial && any_waits);
  devices_destroy (d);

  depth = 0;
  d = start ((const char *const[]){"size", "1M", "latency", "1ms", NULL});
  assert_null (d->front_end.defer);
  assert_true (!serial && any_waits);
  devices_destroy (d);
}

static bool
let_wait (void (*end) (void *arg), void *arg)
{
  (void) end;
  (void) arg;
  return true;
}

/* What the library gets for plain requests is the device of the connection. */
static void
test_offer (void **state)
{
  char data[512] = {1}, got[512] = {0};
  struct devices *d;
  struct connection *c;

  (void) state;
  d = start ((const char *const[]){"size", "1M", NULL});
  c = device_connect (&d->device[0], NULL);
  d->front_end.before_reply = let_wait;
  batch_plugin_offer (c, true, 512, 1024);
  assert_ptr_equal (offered.arg, c);
  assert_true (offered.is_write);
  assert_int_equal (offered.count, 512);
  assert_int_equal (offered.offset, 1024);
  assert_true (offered.device->is_zero);
  assert_true (offered.device->read (c, NULL, 512, 0));
  assert_false (offered.device->read (c, NULL, 512, 1 << 20));
  assert_true (offered.device->write (c, NULL, 512, 0));
  assert_false (offered.device->write (c, NULL, 511, 0));
  devices_destroy (d);

  d = start ((const char *const[]){"size", "1M", "memory-backed", "1", NULL});
  c = device_connect (&d->device[0], NULL);
  d->front_end.before_reply = let_wait;
  batch_plugin_offer (c, false, 512, 0);
  assert_false (offered.is_write || offered.device->is_zero);
  assert_true (offered.device->write (c, data, 512, 512));
  assert_true (offered.device->read (c, got, 512, 512));
  assert_memory_equal (got, data, 512);
  devices_destroy (d);
}

/* Where a thread may wait for what the library does not see, no reply does, for
 * another or for its time.
 */
static void
test_waits_unseen (void **state)
{
  char path[] = "/tmp/nullblk-test-XXXXXX";
  const char *const given[] = {
      "size", "1M", "memory-backed", "true", "write-log", path, NULL};
  const int fd = mkstemp (path);
  struct devices *d;

  (void) state;
  assert_int_not_equal (fd, -1);
  d = start (given);
  assert_true (d->front_end.batch);
  assert_int_equal (batch_plugin_depth (&d->settings), 0);
  assert_null (d->front_end.defer);
  assert_false (serial || d->front_end.holds_replies);
  devices_destroy (d);

  /* What a control export is asked for is told of. */
  told_to_wait = 0;
  batch_plugin_before_wait ();
  assert_int_equal (told_to_wait, 1);

  deferred = true;
  assert_true (batch_plugin_has_deferred ());
  deferred = false;
  assert_false (batch_plugin_has_deferred ());
  close (fd);
  unlink (path);
}

/*---------------------------------------------------------------------*/
/* Two change something at the same time */

#define CHANGES 2000

static struct devices *changed;
static atomic_int in_library;

/* Another, whose change is older, may want to say so now. */
static void
set_waits_in_time (bool value)
{
  int i;

  must (in_library++ == 0, "one change at a time");
  for (i = 0; i < 10; i++)
    sched_yield ();
  any_waits = value;
  in_library--;
}

static void
change_latency (const char *text)
{
  struct device *device = &changed->device[0];
  struct message why;
  struct params p;

  params_init (&p);
  assert_int_equal (params_set (&p, "size", "1M", &why), 0);
  assert_int_equal (params_set (&p, "latency", text, &why), 0);
  assert_int_equal (
      params_complete (&p, DEVICES_MEMORY, UINT64_MAX, 4096, &why), 0);
  pthread_mutex_lock (&changed->change_lock);
  device_install (device, settings_version_new (&p.settings));
  pthread_mutex_unlock (&changed->change_lock);
  params_clear (&p);
}

static void *
change_often (void *arg)
{
  const char *const *texts = arg;
  unsigned i;

  for (i = 0; i < CHANGES; i++) {
    change_latency (texts[i % 2]);
    batch_plugin_tell (changed);
  }
  return NULL;
}

/* What was told last is how it is. */
static void
test_told_side_by_side (void **state)
{
  static const char *texts[] = {"0", "1ms", "0"};
  pthread_t threads[2];
  unsigned i, round;
  bool waits;

  (void) state;
  nullblk_batch_functions.set_waits = set_waits_in_time;
  changed = start ((const char *const[]){"size", "1M", NULL});
  for (round = 0; round < 4; round++) {
    for (i = 0; i < 2; i++)
      assert_int_equal (pthread_create (&threads[i], NULL, change_often,
                                        &texts[(i + round) % 2]),
                        0);
    for (i = 0; i < 2; i++)
      pthread_join (threads[i], NULL);
    waits = device_waits (&changed->device[0]);
    assert_int_equal (any_waits, waits);
  }
  devices_destroy (changed);
}

/* A library that means other things by these functions is left alone. */
static void
test_other_version (void **state)
{
  const uint32_t versions[] = {0, BATCH_VERSION - 1, BATCH_VERSION + 1,
                               UINT32_MAX};
  struct settings some_settings = {0};
  struct devices *d;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof versions / sizeof versions[0]; i++) {
    nullblk_batch_functions = (struct batch_functions){.version = versions[i]};
    assert_int_equal (batch_plugin_depth (&some_settings), 0);
    d = start ((const char *const[]){"size", "1M", NULL});
    assert_false (d->front_end.batch);
    assert_null (d->front_end.arrival);
    assert_null (d->front_end.before_reply);
    assert_null (d->front_end.still_zero);
    assert_null (d->front_end.answer_buffer);
    assert_ptr_equal (batch_plugin_payload (&i, 1), &i);
    assert_null (d->front_end.defer);
    assert_false (serial || d->front_end.holds_replies);
    batch_plugin_close ();
    devices_destroy (d);
  }
}

int
main (void)
{
#define CASE(f) cmocka_unit_test_setup (f, set_up)
  const struct CMUnitTest tests[] = {
      CASE (test_found),         CASE (test_offer),
      CASE (test_waits_unseen),  CASE (test_told_side_by_side),
      CASE (test_other_version),
  };

  return RUN_TESTS (tests);
}
