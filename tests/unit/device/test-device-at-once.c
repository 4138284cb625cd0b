/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Reads and writes that are done at once, or not at all
 * (plugin/device/device-at-once.c): when they are done, what they count, and
 * that nothing has happened when they are not.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "buffers.h"
#include "common/common.h"
#include "device/device.h"

#define MIB (UINT64_C (1) << 20)

static bool holds;
static void (*end) (void *arg);

static bool
hold_reply (void (*f) (void *arg), void *arg)
{
  (void) arg;
  end = f;
  return holds;
}

static uint64_t
arrival (void)
{
  return 1; /* no machine is younger */
}

#define CREATE_AT_ONCE(...)                                                    \
  do {                                                                         \
    CREATE (__VA_ARGS__);                                                      \
    devices->front_end.before_reply = hold_reply;                              \
    devices->front_end.arrival = arrival;                                      \
    holds = true;                                                              \
  } while (0)

static uint64_t
served (enum operation op)
{
  return histogram_total (&counted_by (d)->op[op].served);
}

/* A read, or a write, of a good block is done at once, or is not. */
static void
expect (bool reads, bool writes)
{
  const uint64_t before = served (OP_READ) + served (OP_WRITE);

  assert_int_equal (device_read_at_once (d, out, 4096, 8192), reads);
  assert_int_equal (device_write_at_once (d, buf, 4096, 8192), writes);
  assert_int_equal (d->in_flight, 0);
  assert_int_equal (d->version_users, 0);
  assert_int_equal (served (OP_READ) + served (OP_WRITE),
                    before + reads + writes);
}

static void
test_memory (void **state)
{
  (void) state;
  CREATE_AT_ONCE ("size", "1M", "memory-backed", "1");
  assert_false (device_reads_zeroes (d->device));
  assert_true (device_write_at_once (d, buf, 8192, 4096));
  assert_int_equal (device_read (d, out, 8192, 4096), 0);
  assert_memory_equal (out, buf, 8192);
  memset (out, 0x55, sizeof out);
  assert_true (device_read_at_once (d, out, 16384, 0));
  assert_true (all_zero (out, 4096));
  assert_memory_equal (out + 4096, buf, 8192);
  assert_true (all_zero (out + 12288, 4096));
  assert_int_equal (out[16384], 0x55);
}

/* Expect reads and writes, of which some would be refused. */
static void
expect_many (void)
{
  static const uint64_t offsets[] = {0,          4096,           MIB - 1,   MIB,
                                     1ULL << 47, UINT64_MAX / 2, UINT64_MAX};
  unsigned i;

  for (i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
    device_expect (d, false, offsets[i]);
    device_expect (d, true, offsets[i]);
  }
}

/* That a request is expected changes nothing. */
static void
test_expect (void **state)
{
  (void) state;
  CREATE_AT_ONCE ("size", "1M", "memory-backed", "1");
  expect_many ();
  assert_true (device_write_at_once (d, buf, 4096, 4096));
  expect_many ();
  assert_int_equal (device_read (d, out, 12288, 0), 0);
  assert_true (all_zero (out, 4096));
  assert_memory_equal (out + 4096, buf, 4096);
  assert_true (all_zero (out + 8192, 4096));
  assert_int_equal (served (OP_READ) + served (OP_WRITE), 2);
}

static void
test_null (void **state)
{
  (void) state;
  CREATE_AT_ONCE ("size", "1M");
  assert_true (device_reads_zeroes (d->device));
  expect_many ();
  assert_true (device_write_at_once (d, NULL, 4096, 0));
  assert_true (device_read_at_once (d, NULL, 1 << 20, 0));
}

/* They are counted, and end with others. */
static void
test_counts (void **state)
{
  unsigned i;

  (void) state;
  CREATE_AT_ONCE ("size", "1M");
  assert_int_equal (d->in_flight_most, 0);
  assert_true (device_read_at_once (d, NULL, 4096, 0));
  assert_int_equal (d->in_flight_most, 1);
  assert_true (device_write_at_once (d, NULL, 512, 0));
  assert_int_equal (d->counts.nr_open, 2);
  assert_int_equal (d->counts.nr, 0);
  end (d);
  assert_int_equal (d->counts.nr_open, 0);
  assert_int_equal (served (OP_READ), 1);
  assert_int_equal (served (OP_WRITE), 1);
  assert_int_equal (counted_by (d)->op[OP_READ].bytes, 4096);
  assert_int_equal (counted_by (d)->op[OP_WRITE].bytes, 512);
  /* Their time began when they arrived. */
  assert_true (counted_by (d)->op[OP_READ].served.longest > NSEC_PER_MSEC);
  /* Beyond what a connection counts by itself. */
  for (i = 0; i < 3 * NR_SAMPLES; i++) {
    assert_true (device_read_at_once (d, NULL, 512, 0));
    end (d);
  }
  assert_int_equal (served (OP_READ), 1 + 3 * NR_SAMPLES);
}

/* The request itself is not one to be done. */
static void
test_requests (void **state)
{
  static const struct {
    uint32_t count;
    uint64_t offset;
  } bad[] = {{1, 0},
             {512, 1},
             {513, 512},
             {512, MIB},
             {1024, MIB - 512},
             {512, UINT64_MAX - 511},
             {512, UINT64_MAX - 1023},
             {UINT32_MAX - 511, 512}};
  unsigned i;

  (void) state;
  CREATE_AT_ONCE ("size", "1M", "memory-backed", "1");
  for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    assert_false (device_read_at_once (d, out, bad[i].count, bad[i].offset));
    assert_false (device_write_at_once (d, buf, bad[i].count, bad[i].offset));
  }
  assert_int_equal (served (OP_READ) + served (OP_WRITE), 0);
  assert_int_equal (out[0], 0x55);
  assert_true (device_write_at_once (d, buf, 512, MIB - 512));
  holds = false;
  expect (false, false);
  devices->front_end.before_reply = NULL;
  expect (false, false);
}

static void
test_devices (void **state)
{
  static const struct {
    const char *key, *value;
    bool reads, writes;
  } cases[] = {{"discard", "1", true, true},
               {"read-only", "1", true, false},
               {"cache-size", "1M", true, false},
               {"read-latency", "1us", false, false},
               {"iops", "1000000", false, false},
               {"zoned", "1", false, false},
               {"badblocks", "+800-800", false, false},
               {"fault", "op=flush error=EIO", false, false}};
  unsigned i;

  (void) state;
  for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    CREATE_AT_ONCE ("size", "1G", "memory-backed", "1", cases[i].key,
                    cases[i].value);
    expect (cases[i].reads, cases[i].writes);
    devices_destroy (devices);
    devices = NULL;
  }
}

static void
test_log (void **state)
{
  (void) state;
  CREATE_AT_ONCE ("size", "1M", "memory-backed", "1", "write-log", "log");
  expect (true, false);
  unlink ("log");
}

/* After a change of settings nbdkit has one request, with which the connection
 * takes the new ones.
 */
static void
test_live (void **state)
{
  struct settings_version *now;
  struct settings changed;

  (void) state;
  CREATE_AT_ONCE ("size", "1M");
  expect (true, true);
  now = device_hold_settings (d->device);
  changed = now->s;
  device_install (d->device, settings_version_new (&changed));
  expect (false, false);
  assert_int_equal (device_read (d, out, 512, 0), 0);
  expect (true, true);
  changed.read_only = true;
  device_install (d->device, settings_version_new (&changed));
  assert_int_equal (device_read (d, out, 512, 0), 0);
  expect (true, false);
  device_drop_settings (d->device, now);

  add_rule ("op=write error=EIO");
  expect (false, false);
  delete_rules ();
  expect (true, false);
}

static void
test_power (void **state)
{
  (void) state;
  CREATE_AT_ONCE ("size", "1M", "memory-backed", "1");
  device_cut_power (d->device, LOSE_ALL, 0);
  expect (false, false);
  device_power_on (d->device);
  expect (true, true);
  /* The next write is the last one. */
  device_cut_power_after (d->device, 2, LOSE_ALL, 0);
  expect (true, false);
  device_cut_power_after (d->device, 0, LOSE_ALL, 0);
  expect (true, true);
}

/* What happens while the data of a request moves: the store's functions are
 * wrapped.
 */
static void (*meanwhile) (void);

void __real_store_read (struct store *s, uint32_t volume, void *to,
                        uint64_t count, uint64_t offset);
void __wrap_store_read (struct store *s, uint32_t volume, void *to,
                        uint64_t count, uint64_t offset);
void
__wrap_store_read (struct store *s, uint32_t volume, void *to, uint64_t count,
                   uint64_t offset)
{
  __real_store_read (s, volume, to, count, offset);
  if (meanwhile != NULL)
    meanwhile ();
}

int __real_store_write (struct store *s, uint32_t volume, const void *from,
                        uint64_t count, uint64_t offset);
int __wrap_store_write (struct store *s, uint32_t volume, const void *from,
                        uint64_t count, uint64_t offset);
int
__wrap_store_write (struct store *s, uint32_t volume, const void *from,
                    uint64_t count, uint64_t offset)
{
  const int r = __real_store_write (s, volume, from, count, offset);

  if (meanwhile != NULL)
    meanwhile ();
  return r;
}

static void
begin_cut (void)
{
  const struct power_cut cut = {.lose = LOSE_NONE, .seed = 1};

  meanwhile = NULL;
  assert_int_equal (durability_begin_cut (d->device->durability, &cut), 0);
}

/* Power goes off while the data moves: nbdkit gets the request, and refuses it.
 */
static void
test_cut_under_request (void **state)
{
  unsigned i;

  (void) state;
  CREATE_AT_ONCE ("size", "1M", "memory-backed", "1");
  for (i = 0; i < 2; i++) {
    meanwhile = begin_cut;
    if (i == 0)
      assert_false (device_read_at_once (d, out, 4096, 0));
    else
      assert_false (device_write_at_once (d, buf, 4096, 0));
    assert_null (meanwhile);
    assert_int_equal (served (OP_READ) + served (OP_WRITE), 2 * i);
    durability_finish_cut (d->device->durability);
    assert_int_equal (device_write (d, buf, 4096, 0, false), -ESHUTDOWN);
    device_power_on (d->device);
    assert_int_equal (device_read (d, out, 4096, 0), 0);
  }
}

/* A write for which there is no memory is nbdkit's. */
static void
test_no_memory (void **state)
{
  unsigned i, done = 0;

  (void) state;
  CREATE_AT_ONCE ("size", "1G", "memory-backed", "1", "memory-limit", "2M");
  for (i = 0; i < 100; i++)
    done += device_write_at_once (d, buf, 65536, i * MIB);
  assert_in_range (done, 1, 99);
  assert_int_equal (served (OP_WRITE), done);
  assert_int_equal (device_write (d, buf, 65536, 99 * MIB, false), -ENOSPC);
  assert_true (device_write_at_once (d, buf, 65536, 0));
}

/*---------------------------------------------------------------------*/

static atomic_bool is_over;
static atomic_uint nr_done;

static void *
write_often (void *arg)
{
  static const char data[4096] = {1};
  struct connection *c = arg;
  char got[4096];

  while (!atomic_load (&is_over)) {
    if (device_write_at_once (c, data, sizeof data, 4096))
      nr_done++;
    if (device_read_at_once (c, got, sizeof got, 4096))
      nr_done++;
  }
  return NULL;
}

/* Once a cut has returned nothing is done, until power is on again. */
static void
test_cut_meanwhile (void **state)
{
  pthread_t thread;
  unsigned i, before;

  (void) state;
  CREATE_AT_ONCE ("size", "1M", "memory-backed", "1");
  atomic_store (&is_over, false);
  assert_int_equal (pthread_create (&thread, NULL, write_often, d), 0);
  for (i = 0; i < 100; i++) {
    for (before = nr_done; nr_done < before + 20;)
      sched_yield ();
    device_cut_power (d->device, LOSE_ALL, 0);
    before = nr_done;
    sched_yield ();
    /* One may have been done before the cut, and not yet counted here. */
    assert_in_range (nr_done, before, before + 1);
    device_power_on (d->device);
  }
  atomic_store (&is_over, true);
  pthread_join (thread, NULL);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_memory),
      TEST (test_expect),
      TEST (test_null),
      TEST (test_counts),
      TEST (test_requests),
      TEST (test_devices),
      TEST (test_log),
      TEST (test_live),
      TEST (test_power),
      TEST (test_no_memory),
      TEST (test_cut_under_request),
      TEST (test_cut_meanwhile),
  };

  return RUN_TESTS_IN_DIRECTORY (tests);
}
