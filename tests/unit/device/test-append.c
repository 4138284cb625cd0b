/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Zone append through the path of a request: where it goes, what stops it, and
 * what counts, delays, corrupts, logs or loses it.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "device/device.h"
#include "log-file.h"
#include "unit.h"

#define BLOCK 4096
#define ZONE (16 * BLOCK)
#define CAPACITY (12 * BLOCK)
#define NOWHERE UINT64_MAX

static uint8_t data[2 * ZONE], out[ZONE];

/* Eight zones, of which the first is conventional. */
#define CREATE(...)                                                            \
  create_with ((const char *const[]){"size", "512K", "memory-backed", "1",     \
                                     "block-size", "4K", "zoned", "1",         \
                                     "zone-size", "64K", "zone-capacity",      \
                                     "48K", "zone-nr-conv", "1", __VA_ARGS__,  \
                                     NULL},                                    \
               &noted)

static int
setup (void **state)
{
  nap_result = 0;
  napped = 0;
  return begin_log (state);
}

/* Append blocks to a zone, by D or another connection; *went is where. */
static int
append_by (struct connection *c, uint64_t zone, unsigned blocks, char byte,
           bool fua, uint64_t *went)
{
  *went = NOWHERE;
  memset (data, byte, sizeof data);
  return device_append (c, data, blocks * BLOCK, zone * ZONE, fua, went);
}

static int
append (uint64_t zone, unsigned blocks, char byte)
{
  uint64_t went;

  return append_by (d, zone, blocks, byte, false, &went);
}

/* It succeeds, and goes to a block of its zone. */
static void
check_append (uint64_t zone, unsigned blocks, char byte, unsigned place)
{
  uint64_t went;

  assert_int_equal (append_by (d, zone, blocks, byte, false, &went), 0);
  assert_int_equal (went, zone * ZONE + place * BLOCK);
}

static struct zone_descriptor
zone_is (uint64_t zone)
{
  struct zone_descriptor z;

  assert_int_equal (zones_read_table (d->device->zones, zone, &z, 1), 1);
  return z;
}

/* The write pointer, in blocks from the zone's start. */
static void
check_zone (uint64_t zone, enum zone_cond cond, uint64_t wp)
{
  const struct zone_descriptor z = zone_is (zone);

  assert_int_equal (z.cond, cond);
  assert_int_equal ((le64toh (z.wp) - le64toh (z.start)) * 512, wp * BLOCK);
}

static void
check_data (uint64_t zone, unsigned block, unsigned blocks, char byte)
{
  unsigned i;

  for (i = block; i < block + blocks; i++)
    check_block (zone * ZONE + i * BLOCK, byte);
}

/*---------------------------------------------------------------------*/
/* Zones */

static void
test_places (void **state)
{
  (void) state;
  CREATE ("seed", "1");
  check_append (1, 1, 'a', 0);
  check_append (1, 3, 'b', 1);
  check_append (2, 1, 'c', 0);
  check_append (1, 1, 'd', 4);
  check_zone (1, ZONE_COND_IMP_OPEN, 5);
  check_data (1, 0, 1, 'a');
  check_data (1, 1, 3, 'b');
  check_data (1, 4, 1, 'd');
  check_data (2, 0, 1, 'c');

  /* Among writes. */
  put_block (ZONE + 5 * BLOCK, 'e');
  check_append (1, 1, 'f', 6);
  assert_int_equal (command_zone (1, ZONE_COND_EMPTY), 0);
  check_append (1, 2, 'g', 0);
  check_data (1, 0, 2, 'g');
  check_data (1, 2, 5, 0);
}

static void
test_null_mode (void **state)
{
  (void) state;
  create_with ((const char *const[]){"size", "512K", "zoned", "1", "zone-size",
                                     "64K", NULL},
               &noted);
  check_append (1, 1, 'a', 0);
  check_append (1, 15, 'b', 1);
  check_zone (1, ZONE_COND_FULL, 16);
  assert_int_equal (append (1, 1, 'c'), -EIO);
}

/* The last one fills the zone; one that does not fit changes nothing. */
static void
test_room (void **state)
{
  (void) state;
  CREATE ("seed", "1");
  assert_int_equal (append (1, 13, 'a'), -EIO);
  assert_int_equal (append (1, 32, 'a'), -EIO);
  check_zone (1, ZONE_COND_EMPTY, 0);
  check_append (1, 11, 'a', 0);
  assert_int_equal (append (1, 2, 'b'), -EIO);
  check_zone (1, ZONE_COND_IMP_OPEN, 11);
  check_append (1, 1, 'c', 11);
  check_zone (1, ZONE_COND_FULL, 12);
  assert_int_equal (append (1, 1, 'd'), -EIO);
  check_data (1, 0, 11, 'a');
  check_data (1, 11, 1, 'c');

  /* The last zone, and one that was finished. */
  check_append (7, 12, 'e', 0);
  assert_int_equal (append (7, 1, 'f'), -EIO);
  check_append (6, 1, 'g', 0);
  assert_int_equal (command_zone (6, ZONE_COND_FULL), 0);
  assert_int_equal (append (6, 1, 'h'), -EIO);
  check_data (6, 1, 11, 0);
}

static void
test_conditions (void **state)
{
  (void) state;
  CREATE ("zone-readonly", "2", "zone-offline", "3");
  assert_int_equal (append (0, 1, 'a'), -EIO); /* conventional */
  check_block (0, 0);
  assert_int_equal (append (2, 1, 'a'), -EROFS);
  assert_int_equal (append (3, 1, 'a'), -EIO);

  assert_int_equal (command_zone (4, ZONE_COND_EXP_OPEN), 0);
  check_append (4, 1, 'a', 0);
  check_zone (4, ZONE_COND_EXP_OPEN, 1);
  assert_int_equal (command_zone (4, ZONE_COND_CLOSED), 0);
  check_append (4, 1, 'b', 1);
  check_zone (4, ZONE_COND_IMP_OPEN, 2);
}

static void
test_limits (void **state)
{
  (void) state;
  CREATE ("zone-max-open", "2", "zone-max-active", "3");
  check_append (1, 1, 'a', 0);
  check_append (2, 1, 'b', 0);
  check_append (3, 1, 'c', 0); /* it takes the place of zone 1 */
  check_zone (1, ZONE_COND_CLOSED, 1);
  check_zone (3, ZONE_COND_IMP_OPEN, 1);
  assert_int_equal (append (4, 1, 'd'), -ENOSPC);
  check_zone (4, ZONE_COND_EMPTY, 0);
  check_append (3, 11, 'e', 1);
  check_append (4, 1, 'f', 0); /* as zone 3 is full */

  /* Two that are open explicitly. */
  assert_int_equal (command_zone (1, ZONE_COND_EMPTY), 0);
  assert_int_equal (command_zone (2, ZONE_COND_EXP_OPEN), 0);
  assert_int_equal (command_zone (4, ZONE_COND_EXP_OPEN), 0);
  assert_int_equal (append (5, 1, 'g'), -ENOSPC);
  check_append (4, 1, 'h', 1);
}

static void
test_refused (void **state)
{
  uint64_t went;

  (void) state;
  CREATE ("memory-limit", "64K");
  assert_int_equal (device_append (d, data, 512, ZONE, false, &went), -EINVAL);
  assert_int_equal (device_append (d, data, BLOCK + 512, ZONE, false, &went),
                    -EINVAL);
  check_append (1, 12, 'a', 0);
  assert_int_equal (append (2, 12, 'b'), -ENOSPC);
  check_zone (2, ZONE_COND_IMP_OPEN, 0);
  device_cut_power (d->device, LOSE_NONE, 0);
  assert_int_equal (append (2, 1, 'c'), -ESHUTDOWN);
  device_power_on (d->device);
  check_append (2, 1, 'c', 0);
}

static void
test_read_only (void **state)
{
  (void) state;
  CREATE ("read-only", "1");
  assert_int_equal (append (1, 1, 'a'), -EROFS);
  check_zone (1, ZONE_COND_EMPTY, 0);
}

/* A write that is early, on another connection that sets it aside. */
static struct {
  bool (*retry) (void *request, const void *payload, uint64_t *moment);
  int (*due) (void *request, uint64_t *moment, bool gone);
  unsigned hastened;
  _Alignas(max_align_t) char copy[MAX_REQUEST_COPY];
} early;

static void *
set_aside (uint64_t until, uint64_t spin,
           bool (*retry) (void *request, const void *payload, uint64_t *moment),
           int (*due) (void *request, uint64_t *moment, bool gone),
           const void *request, size_t size, const void *payload, size_t n)
{
  (void) until;
  (void) spin;
  (void) payload;
  (void) n;
  assert_true (size <= sizeof early.copy);
  early.retry = retry;
  early.due = due;
  early.hastened = 0;
  return memcpy (early.copy, request, size);
}

static void
hasten (void *request)
{
  assert_ptr_equal (request, early.copy);
  early.hastened++;
}

static int
end_early (void)
{
  uint64_t moment;

  assert_true (early.retry (early.copy, data, &moment));
  moment = clock_now ();
  return early.due (early.copy, &moment, false);
}

static void
test_early_write (void **state)
{
  static const struct front_end front_end = {.wait = {.sleep_for = note_nap},
                                             .set_aside = set_aside,
                                             .hasten = hasten};
  struct connection *c;

  (void) state;
  CREATE ("zone-reorder-wait", "100s");
  c = device_connect (d->device, &front_end);
  assert_int_equal (write_with (c, ZONE + 2 * BLOCK, BLOCK, 'c', false), 0);
  check_append (1, 1, 'a', 0);
  assert_int_equal (early.hastened, 0);
  check_append (1, 1, 'b', 1);
  assert_int_equal (early.hastened, 1);
  assert_int_equal (end_early (), 0);
  check_append (1, 1, 'd', 3);

  /* It is passed. */
  assert_int_equal (write_with (c, ZONE + 5 * BLOCK, BLOCK, 'c', false), 0);
  check_append (1, 3, 'e', 4);
  assert_int_equal (early.hastened, 1);
  assert_int_equal (end_early (), -EIO);
}

/*---------------------------------------------------------------------*/
/* Statistics, and time */

static void
test_counted (void **state)
{
  const struct op_stats *s;

  (void) state;
  CREATE ("zone-readonly", "2");
  check_append (1, 3, 'a', 0);
  assert_int_equal (append (2, 1, 'a'), -EROFS);
  assert_int_equal (append (1, 12, 'a'), -EIO);
  s = &counted_by (d)->op[OP_WRITE];
  assert_int_equal (histogram_total (&s->served), 3);
  assert_int_equal (s->bytes, 3 * BLOCK);
  assert_int_equal (s->errors[ERROR_EIO], 1);
  assert_int_equal (histogram_total (&counted_by (d)->op[OP_ZONE].served), 0);
}

static void
test_latency (void **state)
{
  (void) state;
  CREATE ("latency", "100s", "read-latency", "0");
  nap_result = -ESHUTDOWN; /* nobody waits */
  assert_int_equal (append (1, 1, 'a'), -ESHUTDOWN);
  assert_in_range (napped, 99 * NSEC_PER_SEC, 100 * NSEC_PER_SEC);
  check_zone (1, ZONE_COND_IMP_OPEN, 1);
}

/* Where it went is known before the reply is deferred. */
static uint64_t deferred_went, went_at_defer;
static int (*deferred_due) (void *request, uint64_t *moment, bool gone);
static _Alignas(max_align_t) char deferred[MAX_REQUEST_COPY];

static bool
defer (uint64_t due_at, uint64_t spin,
       int (*due) (void *request, uint64_t *moment, bool gone),
       const void *request, size_t size, size_t n)
{
  (void) due_at;
  (void) spin;
  assert_int_equal (n, 0);
  went_at_defer = deferred_went;
  deferred_due = due;
  assert_true (size <= sizeof deferred);
  memcpy (deferred, request, size);
  return true;
}

static void
test_deferred (void **state)
{
  static const struct front_end front_end = {.wait = {.sleep_for = note_nap},
                                             .defer = defer};
  struct connection *c;
  uint64_t moment;

  (void) state;
  CREATE ("latency", "1s", "cache-size", "1M");
  c = device_connect (d->device, &front_end);
  assert_int_equal (append_by (c, 1, 2, 'a', false, &deferred_went), 0);
  assert_int_equal (went_at_defer, ZONE);
  assert_int_equal (c->in_flight, 1);
  moment = clock_now ();
  assert_int_equal (deferred_due (deferred, &moment, false), 0);
  assert_int_equal (c->in_flight, 0);

  /* Power goes off before it is answered. */
  assert_int_equal (append_by (c, 1, 2, 'a', false, &deferred_went), 0);
  assert_int_equal (went_at_defer, ZONE + 2 * BLOCK);
  device_cut_power (d->device, LOSE_NONE, 0);
  moment = clock_now ();
  assert_int_equal (deferred_due (deferred, &moment, false), -ESHUTDOWN);
  device_power_on (d->device);
  assert_int_equal (append_by (c, 1, 1, 'a', false, &deferred_went), 0);
  assert_int_equal (went_at_defer, ZONE + 4 * BLOCK);
  moment = clock_now ();
  assert_int_equal (deferred_due (deferred, &moment, false), 0);
}

/*---------------------------------------------------------------------*/
/* Bad blocks and faults */

/* Sectors 128 to 255 are zone 1. */
static void
test_bad_blocks (void **state)
{
  (void) state;
  CREATE ("badblocks", "+153-153");
  check_append (1, 2, 'a', 0);
  assert_int_equal (append (1, 2, 'b'), -EIO);
  check_zone (1, ZONE_COND_IMP_OPEN, 2);
  check_append (1, 1, 'c', 2);
  assert_int_equal (append (1, 1, 'd'), -EIO);
  check_zone (1, ZONE_COND_IMP_OPEN, 3);
}

static void
test_bad_blocks_partial (void **state)
{
  uint64_t went;

  (void) state;
  CREATE ("badblocks", "+153-153", "badblocks-partial-io", "1",
          "badblocks-once", "1");
  check_append (1, 1, 'a', 0);
  assert_int_equal (append_by (d, 1, 4, 'b', false, &went), -EIO);
  assert_int_equal (went, ZONE + BLOCK);
  check_zone (1, ZONE_COND_IMP_OPEN, 3);
  check_data (1, 1, 2, 'b');
  check_append (1, 2, 'c', 3); /* once */
  check_data (1, 3, 2, 'c');
}

static void
test_fault_errors (void **state)
{
  (void) state;
  CREATE ("fault", "op=write zones=2 count=1 error=ENOSPC", "fault",
          "op=write range=72K+4K count=1 error=EIO");
  check_append (1, 2, 'a', 0);
  assert_int_equal (append (1, 1, 'b'), -EIO);
  check_append (1, 1, 'c', 2);
  assert_int_equal (append (2, 1, 'd'), -ENOSPC);
  check_zone (2, ZONE_COND_EMPTY, 0);
  check_append (2, 1, 'e', 0);
}

/* It says where it would have gone. */
static void
test_fault_stale (void **state)
{
  (void) state;
  CREATE ("fault", "op=write after=1 count=1 corrupt=stale");
  check_append (1, 1, 'a', 0);
  check_append (1, 2, 'b', 1);
  check_zone (1, ZONE_COND_IMP_OPEN, 1);
  check_append (1, 2, 'c', 1);
  assert_int_equal (append (0, 1, 'd'), -EIO);
}

/* The same bits as of a write to the same place, in a copy. */
static void
test_fault_flip (void **state)
{
  static uint8_t written[2 * BLOCK];
  uint64_t went;

  (void) state;
  CREATE ("fault", "op=write corrupt=flip", "seed", "7");
  memset (data, 'a', sizeof data);
  assert_int_equal (device_write (d, data, 2 * BLOCK, ZONE, false), 0);
  assert_int_equal (device_write (d, data, 2 * BLOCK, ZONE + 2 * BLOCK, false),
                    0);
  assert_int_equal (device_read (d, written, sizeof written, ZONE + 2 * BLOCK),
                    0);
  assert_int_equal (count_flipped (written, data, sizeof written), 2);

  assert_int_equal (command_zone (1, ZONE_COND_EMPTY), 0);
  check_append (1, 2, 'a', 0);
  assert_int_equal (append_by (d, 1, 2, 'a', false, &went), 0);
  assert_int_equal (data[0], 'a');
  assert_memory_equal (data, data + 1, 2 * BLOCK - 1);
  assert_int_equal (went, ZONE + 2 * BLOCK);
  assert_int_equal (device_read (d, out, sizeof written, went), 0);
  assert_memory_equal (out, written, sizeof written);
}

/* While one hangs another one goes on; a rule of a range hits what was to go
 * there, and corrupts what does.
 */
static void (*in_hang) (void);

static int
hang (void *opaque, uint64_t nsec)
{
  void (*once) (void) = in_hang;

  (void) opaque;
  (void) nsec;
  in_hang = NULL;
  if (once != NULL)
    once ();
  return 0;
}

static void
append_another (void)
{
  static uint8_t other[2 * BLOCK];
  uint64_t went;

  delete_rules ();
  memset (other, 'b', sizeof other);
  assert_int_equal (device_append (d, other, 2 * BLOCK, ZONE, false, &went), 0);
  assert_int_equal (went, ZONE);
}

static void
test_fault_hang (void **state)
{
  static const struct front_end front_end = {.wait = {.sleep_for = hang}};
  struct connection *c;
  uint64_t went;

  (void) state;
  CREATE ("fault", "op=write count=1 hang", "fault",
          "op=write range=64K+12K corrupt=zero");
  c = device_connect (d->device, &front_end);
  in_hang = append_another;
  assert_int_equal (append_by (c, 1, 2, 'a', false, &went), 0);
  assert_int_equal (went, ZONE + 2 * BLOCK);
  check_data (1, 0, 2, 'b');
  check_data (1, 2, 1, 0);
  check_data (1, 3, 1, 'a');
}

static void
cut (void)
{
  device_cut_power (d->device, LOSE_ALL, 0);
}

static void
test_cut_in_hang (void **state)
{
  static const struct front_end front_end = {.wait = {.sleep_for = hang}};
  struct connection *c;
  uint64_t went;

  (void) state;
  CREATE ("seed", "1");
  add_rule ("op=write count=1 hang");
  c = device_connect (d->device, &front_end);
  in_hang = cut;
  assert_int_equal (append_by (c, 1, 2, 'a', false, &went), -ESHUTDOWN);
  device_power_on (d->device);
  check_append (1, 1, 'b', 0);
}

/*---------------------------------------------------------------------*/
/* Power, and the log */

static void
test_power_cut (void **state)
{
  uint64_t went;

  (void) state;
  CREATE ("cache-size", "1M");
  assert_int_equal (append_by (d, 1, 2, 'a', true, &went), 0);
  check_append (1, 1, 'b', 2);
  check_append (2, 1, 'c', 0);
  device_cut_power (d->device, LOSE_ALL, 0);
  device_power_on (d->device);
  check_zone (1, ZONE_COND_CLOSED, 2);
  check_zone (2, ZONE_COND_EMPTY, 0);
  check_append (1, 1, 'd', 2);
  assert_int_equal (device_flush (d), 0);
  device_cut_power (d->device, LOSE_ALL, 0);
  device_power_on (d->device);
  check_zone (1, ZONE_COND_CLOSED, 3);
  check_data (1, 0, 2, 'a');
  check_data (1, 2, 1, 'd');
}

/* Power is cut under the second one. */
static void
test_power_cut_after (void **state)
{
  (void) state;
  CREATE ("cache-size", "1M");
  device_cut_power_after (d->device, 2, LOSE_NONE, 1);
  check_append (1, 1, 'a', 0);
  assert_int_equal (append (1, 1, 'b'), -ESHUTDOWN);
  assert_int_equal (append (1, 1, 'c'), -ESHUTDOWN);
  assert_int_equal (d->in_flight, 0);
  assert_int_equal (d->nr_quiesced, 0);
  device_power_on (d->device);
  assert_in_range (le64toh (zone_is (1).wp) * 512 - ZONE, BLOCK, 2 * BLOCK);
}

static void
test_log (void **state)
{
  struct writelog_entry e;
  uint64_t went;

  (void) state;
  CREATE ("write-log", log_path, "badblocks", "+153-153",
          "badblocks-partial-io", "1", "cache-size", "1M");
  check_append (1, 1, 'a', 0);
  assert_int_equal (append_by (d, 1, 1, 'b', true, &went), 0);
  assert_int_equal (append (1, 4, 'c'), -EIO); /* one block of it */
  assert_int_equal (append (1, 13, 'd'), -EIO);
  close_log ();
  expect_entry (&e, 0, ZONE, BLOCK);
  expect_entry (&e, WRITELOG_FUA, ZONE + BLOCK, BLOCK);
  assert_int_equal (writelog_read_data (reader, out, BLOCK, 0), 0);
  assert_int_equal (out[0], 'b');
  expect_entry (&e, 0, ZONE + 2 * BLOCK, BLOCK);
  expect_end ();
}

/* More than a step: its zone is held, and its stripe is not. */
static void
test_long (void **state)
{
  enum { LONG = 3 * STORE_STEP };
  static uint8_t buf[LONG], back[LONG];
  uint64_t went, i;

  (void) state;
  create_with ((const char *const[]){"size", "64M", "memory-backed", "1",
                                     "zoned", "1", "zone-size", "16M",
                                     "cache-size", "32M", "write-log", log_path,
                                     NULL},
               &noted);
  for (i = 0; i < sizeof buf; i++)
    buf[i] = i % 251;
  for (i = 0; i < 2; i++) {
    assert_int_equal (device_append (d, buf, LONG, 16 << 20, false, &went), 0);
    assert_int_equal (went, (16 << 20) + i * LONG);
    assert_int_equal (device_read (d, back, LONG, went), 0);
    assert_memory_equal (buf, back, LONG);
  }
  assert_int_equal (device_append (d, buf, LONG, 16 << 20, false, &went), -EIO);
}

#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, end_log)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_places),
      TEST (test_null_mode),
      TEST (test_room),
      TEST (test_conditions),
      TEST (test_limits),
      TEST (test_refused),
      TEST (test_read_only),
      TEST (test_early_write),
      TEST (test_counted),
      TEST (test_latency),
      TEST (test_deferred),
      TEST (test_bad_blocks),
      TEST (test_bad_blocks_partial),
      TEST (test_fault_errors),
      TEST (test_fault_stale),
      TEST (test_fault_flip),
      TEST (test_fault_hang),
      TEST (test_cut_in_hang),
      TEST (test_power_cut),
      TEST (test_power_cut_after),
      TEST (test_log),
      TEST (test_long),
  };

  return RUN_TESTS (tests);
}
