/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A device with a write log: which requests leave which entries, and that a
 * replay has what the device has, also after faults, power cuts and resets of
 * zones.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "device/device.h"
#include "log-file.h"
#include "replay.h"
#include "unit.h"

#define KIB UINT64_C (1024)
#define SIZE (256 * KIB)
#define BLOCK 4096
#define ZONE (64 * KIB)

/* What a wait does, once. */
static void (*in_nap) (void);

static int
nap (void *opaque, uint64_t nsec)
{
  void (*once) (void) = in_nap;

  (void) opaque;
  (void) nsec;
  in_nap = NULL;
  if (once != NULL)
    once ();
  return 0;
}

static const struct wait_ops how = {.sleep_for = nap};

#define CREATE(...)                                                            \
  create_with ((const char *const[]){"size", "256K", "block-size", "4K",       \
                                     "write-log", log_path, __VA_ARGS__,       \
                                     NULL},                                    \
               &how)
#define CREATE_MEMORY(...) CREATE ("memory-backed", "1", __VA_ARGS__)
#define CREATE_ZONED(...)                                                      \
  CREATE_MEMORY ("zoned", "1", "zone-size", "64K", "zone-nr-conv", "1",        \
                 __VA_ARGS__)

static int
setup (void **state)
{
  in_nap = NULL;
  return begin_log (state);
}

static uint64_t
entries (void)
{
  struct writelog_status s;

  writelog_status (d->device->log, &s);
  return s.entries;
}

/* The next entry is this one, and its data, if any, is BYTE. */
static void
expect (uint64_t flags, uint64_t offset, uint64_t count, int byte)
{
  static char buf[SIZE];
  struct writelog_entry e;

  expect_entry (&e, flags, offset, count);
  if (e.has_data) {
    assert_int_equal (writelog_read_data (reader, buf, count, 0), 0);
    assert_int_equal (buf[0], byte);
    assert_int_equal (buf[count - 1], byte);
  }
}

static void
expect_mark (const char *mark)
{
  struct writelog_entry e;

  assert_int_equal (writelog_read_next (reader, &e, &wrong), 1);
  assert_int_equal (e.flags, WRITELOG_MARK);
  assert_string_equal (e.mark, mark);
}

/* A replay of N entries has what the device has now. */
static void
check_replay (uint64_t n)
{
  static uint8_t replayed[SIZE], now[SIZE];

  assert_int_equal (device_flush (d), 0); /* so that the log says how many */
  replay_to (log_path, n, replayed, SIZE);
  assert_int_equal (device_read (d, now, SIZE, 0), 0);
  assert_memory_equal (replayed, now, SIZE);
}

/*---------------------------------------------------------------------*/

static void
make_each (void)
{
  struct message why;

  put_block (0, 'a');
  assert_int_equal (write_with (d, BLOCK, BLOCK, 'b', true), 0);
  assert_int_equal (device_zero (d, 2 * BLOCK, 0, false, false), 0);
  assert_int_equal (device_zero (d, BLOCK, BLOCK, true, true), 0);
  assert_int_equal (device_trim (d, 4 * BLOCK, 0, false), 0);
  assert_int_equal (device_trim (d, BLOCK, BLOCK, true), 0);
  assert_int_equal (device_flush (d), 0);
  assert_int_equal (device_mark (d->device, "here", &why), 0);
}

static void
expect_each (void)
{
  expect (0, 0, BLOCK, 'a');
  expect (WRITELOG_FUA, BLOCK, BLOCK, 'b');
  expect (0, 0, 2 * BLOCK, 0);
  expect (WRITELOG_FUA, BLOCK, BLOCK, 0);
  expect (WRITELOG_DISCARD, 0, 4 * BLOCK, 0);
  expect (WRITELOG_DISCARD | WRITELOG_FUA, BLOCK, BLOCK, 0);
  expect (WRITELOG_FLUSH, 0, 0, 0);
  expect_mark ("here");
  expect_end ();
}

static void
test_each_request (void **state)
{
  (void) state;
  CREATE_MEMORY ("cache-size", "1M");
  make_each ();
  assert_int_equal (device_read (d, (char[BLOCK]){0}, BLOCK, 0), 0);
  close_log ();
  expect_each ();
}

static void
test_null_mode (void **state)
{
  (void) state;
  CREATE ("cache-size", "1M");
  make_each ();
  close_log ();
  expect_each ();
}

static void
test_trim_that_does_nothing (void **state)
{
  (void) state;
  CREATE_MEMORY ("discard", "0");
  put_block (0, 'a');
  assert_int_equal (device_trim (d, BLOCK, 0, false), 0);
  close_log ();
  expect (0, 0, BLOCK, 'a');
  expect_end ();
}

/* What failed is not there. */
static void
test_failed_requests (void **state)
{
  (void) state;
  CREATE_MEMORY (
      "memory-limit", "8K", "fault", "op=write range=64K+4K error=EIO", "fault",
      "op=flush count=1 error=EIO", "fault", "op=trim,zero error=EPERM");
  put_block (0, 'a');
  assert_int_equal (write_with (d, 512, BLOCK, 'b', false), -EINVAL);
  assert_int_equal (write_with (d, 0, 64 * KIB, 'b', false), -ENOSPC);
  assert_int_equal (write_with (d, 64 * KIB, BLOCK, 'b', false), -EIO);
  assert_int_equal (device_flush (d), -EIO);
  assert_int_equal (device_trim (d, BLOCK, 0, false), -EPERM);
  assert_int_equal (device_zero (d, BLOCK, 0, false, false), -EPERM);
  put_block (BLOCK, 'c');
  check_replay (2);
  close_log ();
  expect (0, 0, BLOCK, 'a');
  expect (0, BLOCK, BLOCK, 'c');
  expect (WRITELOG_FLUSH, 0, 0, 0);
  expect_end ();
}

static void
test_read_only (void **state)
{
  (void) state;
  CREATE_MEMORY ("read-only", "1");
  assert_int_equal (write_with (d, 0, BLOCK, 'b', false), -EROFS);
  close_log ();
  expect_end ();
}

/* Of a request that meets bad blocks, what was written before them. */
static void
test_bad_blocks (void **state)
{
  (void) state;
  CREATE_MEMORY ("badblocks", "+24-24", "badblocks-partial-io", "1");
  assert_int_equal (write_with (d, 0, 8 * BLOCK, 'a', true), -EIO);
  assert_int_equal (write_with (d, 3 * BLOCK, BLOCK, 'b', false), -EIO);
  check_block (2 * BLOCK, 'a');
  close_log ();
  expect (WRITELOG_FUA, 0, 3 * BLOCK, 'a');
  expect_end ();
}

/* What was corrupted on its way in is logged as it came in; what a device only
 * claims to have done is not logged.
 */
static void
test_corrupting_faults (void **state)
{
  (void) state;
  CREATE_MEMORY ("fault", "op=write range=0+4K corrupt=flip", "fault",
                 "op=write range=4K+4K corrupt=zero", "fault",
                 "op=write range=8K+4K corrupt=stale", "fault",
                 "op=flush count=1 corrupt=stale", "fault",
                 "op=trim,zero corrupt=stale", "seed", "1");
  assert_int_equal (write_with (d, 0, 4 * BLOCK, 'a', false), 0); /* skipped */
  put_block (0, 'a');
  put_block (BLOCK, 'b');
  assert_int_equal (device_flush (d), 0);
  assert_int_equal (device_trim (d, BLOCK, 0, false), 0);
  assert_int_equal (device_zero (d, BLOCK, 0, false, false), 0);
  assert_int_equal (entries (), 2);
  check_replay (2);
  close_log ();
  expect (0, 0, BLOCK, 'a'); /* but for a bit inside */
  expect (0, BLOCK, BLOCK, 0);
  expect (WRITELOG_FLUSH, 0, 0, 0);
  expect_end ();
}

/*---------------------------------------------------------------------*/
/* Random requests */

static uint64_t
random_range (uint64_t *seed, uint32_t *count)
{
  const uint64_t first = random_below (seed, SIZE / BLOCK);

  *count = (1 + random_below (seed, SIZE / BLOCK - first) % 8) * BLOCK;
  return first * BLOCK;
}

static void
request_at_random (struct connection *c, uint64_t *seed)
{
  const bool fua = random_below (seed, 4) == 0;
  uint32_t count;
  const uint64_t offset = random_range (seed, &count);
  const char byte = random_below (seed, 256);

  switch (random_below (seed, 8)) {
  case 0:
    device_zero (c, count, offset, random_below (seed, 2), fua);
    break;
  case 1:
    device_trim (c, count, offset, fua);
    break;
  case 2:
    device_flush (c);
    break;
  default:
    write_with (c, offset, count, byte, fua);
  }
}

/* Each request leaves one entry; after each of them the device is kept. */
static void
test_replay_to_each (void **state)
{
  enum { REQUESTS = 100 };
  static uint8_t then[REQUESTS + 1][SIZE], replayed[SIZE];
  uint64_t seed = new_seed ("replay to each"), i;

  (void) state;
  CREATE_MEMORY ("cache-size", "64K");
  for (i = 1; i <= REQUESTS; i++) {
    request_at_random (d, &seed);
    assert_int_equal (entries (), i);
    assert_int_equal (device_read (d, then[i], SIZE, 0), 0);
  }
  close_log ();
  for (i = 0; i <= REQUESTS; i++) {
    replay_to (log_path, i, replayed, SIZE);
    assert_memory_equal (replayed, then[i], SIZE);
  }
}

static uint64_t threads_seed;

static void *
run_thread (void *number)
{
  uint64_t seed = threads_seed + *(unsigned *) number, i;
  struct connection *c = device_connect (d->device, NULL);
  struct message why;

  for (i = 0; i < 500; i++) {
    request_at_random (c, &seed);
    if (random_below (&seed, 32) == 0)
      assert_int_equal (device_mark (d->device, "mark", &why), 0);
  }
  device_disconnect (c);
  return NULL;
}

/* Whoever writes the same blocks at the same time, the log has the same order
 * as the store.
 */
static void
test_threads (void **state)
{
  const char *const caches[] = {"0", "64K"};
  unsigned number[4], i, cache;
  pthread_t thread[4];
  struct message why;

  (void) state;
  threads_seed = new_seed ("threads");
  for (cache = 0; cache < 2; cache++) {
    CREATE_MEMORY ("cache-size", caches[cache]);
    for (i = 0; i < 4; i++) {
      number[i] = i;
      assert_int_equal (
          pthread_create (&thread[i], NULL, run_thread, &number[i]), 0);
    }
    for (i = 0; i < 4; i++)
      pthread_join (thread[i], NULL);
    check_replay (entries ());
    assert_int_equal (devices_close_logs (devices, &why), 0);
    devices_destroy (devices);
    devices = NULL;
  }
}

/*---------------------------------------------------------------------*/
/* Power */

static void
test_power_cut (void **state)
{
  (void) state;
  CREATE_MEMORY ("cache-size", "64K");
  put_block (0, 'a');
  assert_int_equal (device_flush (d), 0);
  put_block (0, 'b');
  put_block (BLOCK, 'c');
  device_cut_power (d->device, LOSE_ALL, 0);
  device_cut_power (d->device, LOSE_ALL, 0); /* is so */
  assert_int_equal (write_with (d, 0, BLOCK, 'd', false), -ESHUTDOWN);
  assert_int_equal (device_flush (d), -ESHUTDOWN);
  device_power_on (d->device);
  check_block (0, 'a');
  check_block (BLOCK, 0);
  assert_int_equal (entries (), 7);
  check_replay (7);
  close_log ();
  expect (0, 0, BLOCK, 'a');
  expect (WRITELOG_FLUSH, 0, 0, 0);
  expect (0, 0, BLOCK, 'b');
  expect (0, BLOCK, BLOCK, 'c');
  expect (0, BLOCK, BLOCK, 0); /* the newest first */
  expect (0, 0, BLOCK, 'a');
  expect_mark ("power cut");
}

/* The write that power is cut at is there, and then what is left of it. */
static void
test_power_cut_after (void **state)
{
  (void) state;
  CREATE_MEMORY ("cache-size", "0");
  device_cut_power_after (d->device, 2, LOSE_ALL, 0);
  put_block (0, 'a');
  assert_int_equal (write_with (d, 0, BLOCK, 'b', true), -ESHUTDOWN);
  device_power_on (d->device);
  check_replay (4);
  close_log ();
  expect (0, 0, BLOCK, 'a');
  expect (WRITELOG_FUA, 0, BLOCK, 'b');
  expect (0, 0, BLOCK, 'a');
  expect_mark ("power cut");
}

/* In null mode nothing can be lost. */
static void
test_power_cut_in_null_mode (void **state)
{
  (void) state;
  CREATE ("cache-size", "1M");
  device_cut_power_after (d->device, 1, LOSE_ALL, 0);
  assert_int_equal (write_with (d, 0, BLOCK, 'b', false), -ESHUTDOWN);
  device_power_on (d->device);
  device_cut_power (d->device, LOSE_ALL, 0);
  close_log ();
  expect (0, 0, BLOCK, 'b');
  expect_mark ("power cut");
  expect_mark ("power cut");
  expect_end ();
}

static void
check_power_cuts_at_random (void)
{
  uint64_t seed = new_seed ("power cuts"), i, cuts;

  for (cuts = 0; cuts < 50; cuts++) {
    if (random_below (&seed, 2))
      device_cut_power_after (d->device, 1 + random_below (&seed, 10),
                              LOSE_RANDOM, 1 + next_random (&seed) / 2);
    for (i = 0; i < 20; i++)
      request_at_random (d, &seed);
    device_cut_power (d->device, LOSE_RANDOM, 1 + next_random (&seed) / 2);
    device_power_on (d->device);
    check_replay (entries ());
  }
}

static void
test_power_cuts_at_random (void **state)
{
  (void) state;
  CREATE_MEMORY ("cache-size", "128K", "seed", "1");
  check_power_cuts_at_random ();
}

/* Blocks larger than pages: what a piece has may be part data and part hole. */
static void
test_power_cuts_with_large_blocks (void **state)
{
  (void) state;
  create_with ((const char *const[]){"size", "256K", "block-size", "64K",
                                     "memory-backed", "1", "cache-size", "256K",
                                     "write-log", log_path, NULL},
               &how);
  assert_int_equal (write_with (d, 0, 64 * KIB, 'a', true), 0);
  assert_int_equal (write_with (d, 0, 128 * KIB, 'b', false), 0);
  assert_int_equal (device_trim (d, 64 * KIB, 0, false), 0);
  device_cut_power (d->device, LOSE_ALL, 0);
  device_power_on (d->device);
  check_replay (entries ());
}

/*---------------------------------------------------------------------*/
/* Zones */

static void
append_to_zone (uint64_t zone, uint64_t wp, char byte)
{
  put_block (zone * ZONE + wp, byte);
}

static void
check_resets (void)
{
  append_to_zone (1, 0, 'a');
  append_to_zone (1, BLOCK, 'b');
  assert_int_equal (write_with (d, ZONE + BLOCK, BLOCK, 'x', false), -EIO);
  assert_int_equal (command_zone (1, ZONE_COND_EMPTY), 0);
  append_to_zone (2, 0, 'c');
  append_to_zone (3, 0, 'd');
  assert_int_equal (device_trim (d, 2 * ZONE, ZONE, false), 0);
  assert_int_equal (device_trim (d, BLOCK, 0, true), 0);
  assert_int_equal (device_reset_zones (d), 0);
  append_to_zone (3, 0, 'e');
  assert_int_equal (command_zone (3, ZONE_COND_FULL), 0);
  assert_int_equal (command_zone (3, ZONE_COND_OFFLINE), 0);
  assert_int_equal (command_zone (3, ZONE_COND_OFFLINE), 0); /* it is empty */
}

static void
expect_resets (void)
{
  const uint64_t reset = WRITELOG_DISCARD | WRITELOG_FUA;

  expect (0, ZONE, BLOCK, 'a');
  expect (0, ZONE + BLOCK, BLOCK, 'b');
  expect (reset, ZONE, 2 * BLOCK, 0);
  expect (0, 2 * ZONE, BLOCK, 'c');
  expect (0, 3 * ZONE, BLOCK, 'd');
  expect (reset, 2 * ZONE, BLOCK, 0); /* zone 1 is empty */
  expect (WRITELOG_DISCARD, 0, BLOCK, 0);
  expect (WRITELOG_FLUSH, 0, 0, 0);
  expect (reset, 3 * ZONE, BLOCK, 0);
  expect (0, 3 * ZONE, BLOCK, 'e');
  expect (reset, 3 * ZONE, ZONE, 0);
}

static void
test_zones (void **state)
{
  (void) state;
  CREATE_ZONED ("cache-size", "1M", "zone-reorder-wait", "0");
  check_resets ();
  check_replay (entries ());
  close_log ();
  expect_resets ();
}

static void
test_zones_in_null_mode (void **state)
{
  (void) state;
  CREATE ("zoned", "1", "zone-size", "64K", "zone-nr-conv", "1",
          "zone-reorder-wait", "0");
  check_resets ();
  close_log ();
  expect_resets ();
  expect_end ();
}

static void
write_before (void)
{
  static char buf[BLOCK];

  memset (buf, 'a', BLOCK);
  assert_int_equal (device_write (d, buf, BLOCK, ZONE, false), 0);
}

/* A write that waits for the one before it does not keep that from the log. */
static void
test_early_write (void **state)
{
  (void) state;
  CREATE_ZONED ("zone-reorder-wait", "10s");
  in_nap = write_before;
  append_to_zone (1, BLOCK, 'b');
  close_log ();
  expect (0, ZONE, BLOCK, 'a');
  expect (0, ZONE + BLOCK, BLOCK, 'b');
  expect_end ();
}

static uint64_t
write_pointer (uint64_t zone)
{
  struct zone_descriptor z;

  assert_int_equal (zones_read_table (d->device->zones, zone, &z, 1), 1);
  return z.wp * 512;
}

/* Write pointers fall back with what is lost, and writes go on from there. */
static void
test_power_cuts_with_zones (void **state)
{
  uint64_t seed = new_seed ("power cuts with zones"), i, cuts, zone;

  (void) state;
  CREATE_ZONED ("cache-size", "128K", "zone-reorder-wait", "0");
  for (cuts = 0; cuts < 50; cuts++) {
    for (i = 0; i < 20; i++) {
      zone = 1 + random_below (&seed, 3);
      if (write_pointer (zone) == (zone + 1) * ZONE)
        assert_int_equal (command_zone (zone, ZONE_COND_EMPTY), 0);
      else if (random_below (&seed, 8) == 0)
        assert_int_equal (device_flush (d), 0);
      else
        assert_int_equal (write_with (d, write_pointer (zone), BLOCK,
                                      next_random (&seed) & 0x7f,
                                      random_below (&seed, 4) == 0),
                          0);
    }
    device_cut_power (d->device, LOSE_RANDOM, 1 + next_random (&seed) / 2);
    device_power_on (d->device);
    check_replay (entries ());
  }
}

/*---------------------------------------------------------------------*/
/* Files */

static struct rlimit old_limit;

static void
limit_files (uint64_t size)
{
  struct rlimit little;

  signal (SIGXFSZ, SIG_IGN);
  assert_int_equal (getrlimit (RLIMIT_FSIZE, &old_limit), 0);
  little = old_limit;
  little.rlim_cur = size;
  assert_int_equal (setrlimit (RLIMIT_FSIZE, &little), 0);
}

/* The log ends, once with an error, and then the device goes on without. */
static void
test_full (void **state)
{
  struct message why;

  (void) state;
  CREATE_MEMORY ("cache-size", "0");
  put_block (0, 'a');
  assert_int_equal (device_mark (d->device, "here", &why), 0);
  limit_files (4 * BLOCK);
  assert_int_equal (write_with (d, 0, BLOCK, 'b', false), -EIO);
  check_block (0, 'a');
  put_block (0, 'c');
  assert_int_equal (device_flush (d), 0);
  assert_int_equal (device_trim (d, BLOCK, 0, false), 0);
  assert_int_equal (setrlimit (RLIMIT_FSIZE, &old_limit), 0);
  assert_int_equal (device_mark (d->device, "late", &why), -EIO);
  assert_string_equal (why.text,
                       "mark=late: the write log has ended: File too large");
  assert_int_equal (entries (), 2);
  assert_int_equal (devices_close_logs (devices, &why), -EIO);
  assert_non_null (strstr (why.text, ": File too large"));
  assert_int_equal (writelog_read_open (&reader, log_path, &wrong), 0);
  expect (0, 0, BLOCK, 'a');
  expect_mark ("here");
  expect_end ();
}

/* Neither a reset nor a power cut can be called off. */
static void
test_full_at_reset (void **state)
{
  struct message why;

  (void) state;
  CREATE_ZONED ("cache-size", "1M", "zone-reorder-wait", "0");
  append_to_zone (1, 0, 'a');
  limit_files (3 * BLOCK);
  assert_int_equal (command_zone (1, ZONE_COND_EMPTY), -EIO);
  assert_int_equal (setrlimit (RLIMIT_FSIZE, &old_limit), 0);
  assert_int_equal (write_pointer (1), ZONE);
  append_to_zone (1, 0, 'b');
  assert_int_equal (devices_close_logs (devices, &why), -EIO);
  assert_int_equal (writelog_read_open (&reader, log_path, &wrong), 0);
  expect (0, ZONE, BLOCK, 'a');
  expect_end ();
}

static void
test_full_at_power_cut (void **state)
{
  struct message why;

  (void) state;
  CREATE_MEMORY ("cache-size", "1M");
  put_block (0, 'a');
  limit_files (3 * BLOCK);
  device_cut_power (d->device, LOSE_ALL, 0);
  assert_int_equal (setrlimit (RLIMIT_FSIZE, &old_limit), 0);
  device_power_on (d->device);
  check_block (0, 0);
  assert_int_equal (devices_close_logs (devices, &why), -EIO);
  assert_int_equal (writelog_read_open (&reader, log_path, &wrong), 0);
  expect (0, 0, BLOCK, 'a');
  expect_end ();
}

static void
test_wrong_marks (void **state)
{
  struct message why;
  static char longest[BLOCK];

  (void) state;
  CREATE ("devices", "1");
  assert_int_equal (device_mark (d->device, "", &why), -EINVAL);
  assert_string_equal (why.text, "mark: allowed is a text");
  memset (longest, 'm', sizeof longest);
  longest[BLOCK - 32] = '\0';
  assert_int_equal (device_mark (d->device, longest, &why), -EINVAL);
  assert_non_null (
      strstr (why.text, ": allowed is a text of at most 4063 bytes"));
  longest[BLOCK - 33] = '\0';
  assert_int_equal (device_mark (d->device, longest, &why), 0);
  close_log ();
  expect_mark (longest);
  expect_end ();
  assert_int_equal (device_mark (d->device, "late", &why), -EINVAL);
  assert_string_equal (why.text,
                       "mark: the device has no write log (write-log=FILE)");
}

static void
test_several_devices (void **state)
{
  struct connection *second;
  char name[64];

  (void) state;
  CREATE_MEMORY ("devices", "2");
  second = device_connect (&devices->device[1], NULL);
  assert_non_null (second);
  put_block (0, 'a');
  assert_int_equal (write_with (second, BLOCK, BLOCK, 'b', false), 0);
  assert_int_equal (device_flush (d), 0);
  assert_int_equal (device_flush (second), 0);
  snprintf (name, sizeof name, "%s.nullb0", log_path);
  assert_int_equal (writelog_read_open (&reader, name, &wrong), 0);
  unlink (name);
  expect (0, 0, BLOCK, 'a');
  expect (WRITELOG_FLUSH, 0, 0, 0);
  expect_end ();
  writelog_read_close (reader);
  snprintf (name, sizeof name, "%s.nullb1", log_path);
  assert_int_equal (writelog_read_open (&reader, name, &wrong), 0);
  unlink (name);
  expect (0, BLOCK, BLOCK, 'b');
  expect (WRITELOG_FLUSH, 0, 0, 0);
  expect_end ();
}

static void
refuse (const char *file, const char *reason)
{
  const char *const given[] = {"size", "1M", "write-log", file, NULL};
  struct message why;

  assert_int_equal (make_devices (&devices, given, &how, &why), 0);
  assert_true (devices_open_logs (devices, &why) < 0);
  assert_string_equal (why.text, reason);
  devices_destroy (devices);
  devices = NULL;
}

static void
test_wrong_files (void **state)
{
  (void) state;
  refuse ("/nonexistent/log",
          "write-log=/nonexistent/log: No such file or directory");
  refuse ("/dev/null",
          "write-log=/dev/null: it is a character device: allowed is a regular "
          "file, or a name for a new one");
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, setup, end_log)

int
main (void)
{
  static const struct CMUnitTest tests[] = {
      TEST (test_each_request),
      TEST (test_null_mode),
      TEST (test_trim_that_does_nothing),
      TEST (test_failed_requests),
      TEST (test_read_only),
      TEST (test_bad_blocks),
      TEST (test_corrupting_faults),
      TEST (test_replay_to_each),
      TEST (test_threads),
      TEST (test_power_cut),
      TEST (test_power_cut_after),
      TEST (test_power_cut_in_null_mode),
      TEST (test_power_cuts_at_random),
      TEST (test_power_cuts_with_large_blocks),
      TEST (test_zones),
      TEST (test_zones_in_null_mode),
      TEST (test_early_write),
      TEST (test_power_cuts_with_zones),
      TEST (test_full),
      TEST (test_full_at_reset),
      TEST (test_full_at_power_cut),
      TEST (test_wrong_marks),
      TEST (test_several_devices),
      TEST (test_wrong_files),
  };

  return RUN_TESTS (tests);
}
