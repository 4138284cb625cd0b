/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What a queue of a block device does with the kernel's requests: data, errors,
 * waits, and zones.
 */

#include <config.h>

#include <endian.h>

#include "rounds.h"

/*---------------------------------------------------------------------*/
/* Data */

static void
write_two (void)
{
  ask_filled (0, 'a', UBLK_IO_OP_WRITE, 0, BLOCK);
  ask_filled (1, 'b', UBLK_IO_OP_WRITE | UBLK_IO_F_FUA, BLOCK, 3 * BLOCK);
}

static void
read_two (void)
{
  ask (2, UBLK_IO_OP_READ, 0, BLOCK);
  ask (3, UBLK_IO_OP_READ, BLOCK, 3 * BLOCK);
  ask (4, UBLK_IO_OP_FLUSH, 0, 0);
}

static void
clear_two (void)
{
  is_filled (2, 'a', BLOCK);
  is_filled (3, 'b', 3 * BLOCK);
  ask (2, UBLK_IO_OP_DISCARD, 0, BLOCK);
  ask (3, UBLK_IO_OP_WRITE_ZEROES | UBLK_IO_F_NOUNMAP, BLOCK, BLOCK);
}

static void
read_all (void)
{
  ask (5, UBLK_IO_OP_READ, 0, 2 * BLOCK);
  ask (6, UBLK_IO_OP_READ, 2 * BLOCK, 2 * BLOCK);
  ask (7, 99, 0, BLOCK);
  ask (8, UBLK_IO_OP_ZONE_RESET, 0, 0);
}

static void
has_served_data (void)
{
  SERVE (write_two, read_two, clear_two, read_all);
  answered (0, 0, BLOCK);
  answered (1, 1, 3 * BLOCK);
  answered (2, 2, BLOCK);
  answered (3, 3, 3 * BLOCK);
  answered (4, 4, 0);
  answered (5, 2, 0);
  answered (6, 3, 0);
  answered (7, 5, 2 * BLOCK);
  answered (8, 6, 2 * BLOCK);
  answered (9, 7, -EOPNOTSUPP);
  answered (10, 8, -EOPNOTSUPP);
  assert_int_equal (kernel.nr_answers, 11);
  check_block (0, 0);
  check_block (2 * BLOCK, 'b');
  assert_int_equal (count_of (OP_WRITE), 2);
  assert_int_equal (count_of (OP_FLUSH), 1);
}

static void
test_data (void **state)
{
  (void) state;
  BEGIN ("size", "64M", "memory-backed", "true");
  has_served_data ();
}

/* Parts of a device that look at its data: it goes by a buffer. */
static void
test_data_by_bad_blocks (void **state)
{
  (void) state;
  BEGIN ("size", "64M", "memory-backed", "true", "badblocks", "+32768-32768");
  has_served_data ();
}

static void
test_data_by_cache (void **state)
{
  (void) state;
  BEGIN ("size", "64M", "memory-backed", "true", "cache-size", "1M");
  has_served_data ();
}

/* What is corrupted is what passes, and not what the device has. */
static void
read_one (void)
{
  ask (1, UBLK_IO_OP_READ, 0, BLOCK);
}

static void
read_one_again (void)
{
  is_filled (1, 0, BLOCK);
  ask (2, UBLK_IO_OP_READ, 0, BLOCK);
}

static void
look_at_one (void)
{
  is_filled (2, 'a', BLOCK);
}

static void
test_damage (void **state)
{
  (void) state;
  BEGIN ("size", "64M", "memory-backed", "true", "fault",
         "op=read corrupt=zero count=1");
  SERVE (write_two, read_one, read_one_again, look_at_one);
  answered (2, 1, BLOCK);
  answered (3, 2, BLOCK);
}

/* What has FUA survives a power cut that loses all else. */
static void
write_durably (void)
{
  ask_filled (0, 'a', UBLK_IO_OP_WRITE | UBLK_IO_F_FUA, 0, 3 * BLOCK);
  ask_filled (1, 'b', UBLK_IO_OP_WRITE, 3 * BLOCK, BLOCK);
}

static void
clear_durably (void)
{
  ask (2, UBLK_IO_OP_DISCARD | UBLK_IO_F_FUA, BLOCK, BLOCK);
  ask (3, UBLK_IO_OP_WRITE_ZEROES | UBLK_IO_F_FUA, 2 * BLOCK, BLOCK);
}

static void
lose_what_is_volatile (void)
{
  device_cut_power (&devices->device[0], LOSE_ALL, 0);
  device_power_on (&devices->device[0]);
}

static void
test_fua (void **state)
{
  (void) state;
  BEGIN ("size", "64M", "memory-backed", "true", "cache-size", "1M");
  SERVE (write_durably, clear_durably);
  lose_what_is_volatile ();
  check_block (0, 'a');
  check_block (BLOCK, 0);
  check_block (2 * BLOCK, 0);
  check_block (3 * BLOCK, 0);
}

/* A null device: reads have zeroes, whatever was in the buffer, also after one
 * whose data was corrupted.
 */
static void
read_damaged (void)
{
  ask_filled (0, 'x', UBLK_IO_OP_READ, 0, BLOCK);
}

static void
read_after (void)
{
  static char data[BLOCK];
  unsigned i, set = 0;

  assert_int_equal (pread (kernel.fd, data, BLOCK, place_of_data (0)), BLOCK);
  for (i = 0; i < BLOCK; i++)
    set += data[i] != 0;
  assert_int_not_equal (set, 0);
  ask_filled (1, 'x', UBLK_IO_OP_READ, MIB, 2 * BLOCK);
  ask (2, UBLK_IO_OP_WRITE, 0, BLOCK);
}

static void
test_null (void **state)
{
  (void) state;
  BEGIN ("size", "64M", "fault", "op=read corrupt=flip count=1");
  SERVE (read_damaged, read_after);
  answered (0, 0, BLOCK);
  answered (1, 1, 2 * BLOCK);
  answered (2, 2, BLOCK);
}

static void
ask_one_each (void)
{
  ask (0, UBLK_IO_OP_WRITE, 0, BLOCK);
  ask (1, UBLK_IO_OP_DISCARD, 0, BLOCK);
  ask (2, UBLK_IO_OP_READ, 0, BLOCK);
}

static void
test_read_only (void **state)
{
  (void) state;
  BEGIN ("size", "64M", "read-only", "true");
  SERVE (ask_one_each);
  answered (0, 0, -EREMOTEIO);
  answered (1, 1, -EREMOTEIO);
  answered (2, 2, BLOCK);
}

/* Bad blocks, and other errors that the kernel knows. */
static void
test_errors (void **state)
{
  (void) state;
  BEGIN ("size", "64M", "badblocks", "+0-0", "fault", "op=trim error=ENOMEM");
  SERVE (ask_one_each);
  assert_int_equal (reports, 3);
  answered (0, 0, -EIO);
  answered (1, 1, -ENOMEM);
  answered (2, 2, -EIO);
}

/*---------------------------------------------------------------------*/
/* Waiting */

/* The last one asked is due first. */
static void
ask_slow_and_fast (void)
{
  ask (0, UBLK_IO_OP_FLUSH, 0, 0);
  ask (1, UBLK_IO_OP_WRITE, 0, BLOCK);
  ask (2, UBLK_IO_OP_READ, 0, BLOCK);
}

static void
test_latency (void **state)
{
  (void) state;
  BEGIN ("size", "64M", "read-latency", "1ms", "write-latency", "40ms",
         "flush-latency", "80ms");
  SERVE (ask_slow_and_fast);
  answered (0, 2, BLOCK);
  answered (1, 1, BLOCK);
  answered (2, 0, 0);
  assert_int_equal (kernel.nr_answers, 3);
}

/* As many as there may be. */
static unsigned asked;

static void
ask_all (void)
{
  unsigned tag;

  for (tag = 0; tag < DEPTH; tag++) {
    if (kernel.fetches[tag] != NULL) {
      ask (tag, UBLK_IO_OP_READ, tag * BLOCK, BLOCK);
      asked++;
    }
  }
}

static void
test_many (void **state)
{
  (void) state;
  BEGIN ("size", "64M", "latency", "uniform:0-5ms");
  asked = 0;
  SERVE (ask_all, ask_all, ask_all, ask_all);
  assert_in_range (asked, DEPTH, 4 * DEPTH);
  assert_int_equal (kernel.nr_answers, asked);
  assert_int_equal (count_of (OP_READ), asked);
}

/* Those that wait for the head of a disk ask for it again and again. */
static void
test_disk (void **state)
{
  (void) state;
  BEGIN ("size", "64M", "disk",
         "track:100us,full:300us,rpm:100000,mbps:40,queue:8");
  asked = 0;
  SERVE (ask_all, ask_all);
  assert_in_range (asked, DEPTH, 2 * DEPTH);
  assert_int_equal (kernel.nr_answers, asked);
  assert_int_equal (count_of (OP_READ), asked);
}

/* One hangs, and another is served meanwhile; until nothing is any more. */
static void
ask_to_hang (void)
{
  ask (0, UBLK_IO_OP_READ, 0, BLOCK);
}

static void
ask_beside (void)
{
  ask_filled (1, 'b', UBLK_IO_OP_WRITE, 0, BLOCK);
}

static void
fail_all (void)
{
  assert_int_equal (kernel.nr_answers, 1);
  ublk_queue_fail_all (ublk_queue_of_thread ());
}

static void
test_hang (void **state)
{
  (void) state;
  BEGIN ("size", "64M", "memory-backed", "true", "fault",
         "op=read hang count=1");
  SERVE (ask_to_hang, ask_beside, fail_all, ask_beside);
  answered (0, 1, BLOCK);
  answered (1, 0, -EIO);
  answered (2, 1, -EIO);
  check_block (0, 'b');
}

/* Those that wait fail, too, and what comes after that is refused. */
static void
fail_waiting (void)
{
  assert_int_equal (kernel.nr_answers, 0);
  ublk_queue_fail_all (ublk_queue_of_thread ());
}

static void
test_fail_all (void **state)
{
  unsigned i;

  (void) state;
  BEGIN ("size", "64M", "latency", "100s");
  SERVE (ask_slow_and_fast, fail_waiting, ask_beside);
  assert_int_equal (kernel.nr_answers, 4);
  for (i = 0; i < 4; i++)
    assert_int_equal (kernel.answers[i].result, -EIO);
}

/* Power goes off under requests that wait, and comes back. */
static void
cut_power (void)
{
  device_cut_power (&devices->device[0], LOSE_ALL, 0);
}

static void
restore_power (void)
{
  device_power_on (&devices->device[0]);
}

static void
test_power (void **state)
{
  (void) state;
  BEGIN ("size", "64M", "memory-backed", "true", "latency", "30ms");
  SERVE (ask_beside, cut_power, ask_to_hang, restore_power);
  answered (0, 0, -EIO); /* it does not wait */
  answered (1, 1, -EIO);
  assert_int_equal (kernel.nr_answers, 2);
}

/* By this the kernel would be dropped, if it could be. */
static void
test_disconnect (void **state)
{
  (void) state;
  BEGIN ("size", "64M", "power-off-reply", "disconnect", "latency", "30ms");
  SERVE (ask_beside, cut_power, ask_to_hang, restore_power, ask_to_hang);
  answered (0, 0, -EIO);
  assert_int_equal (kernel.nr_answers, 3);
  assert_int_equal (kernel.answers[1].result + kernel.answers[2].result,
                    BLOCK - EIO);
}

/*---------------------------------------------------------------------*/
/* Zones */

#define ZONES                                                                  \
  "size", "8M", "zoned", "true", "zone-size", "1M", "memory-backed", "true",   \
      "zone-nr-conv", "1", "zone-max-open", "2", "zone-max-active", "4"

/* zone_is: its condition, and where its write pointer is (bytes). */
static void
zone_is (uint64_t zone, enum zone_cond cond, uint64_t written)
{
  struct zone_descriptor z;

  assert_int_equal (zones_read_table (devices->device[0].zones, zone, &z, 1),
                    1);
  assert_int_equal (z.cond, cond);
  if (cond != ZONE_COND_FULL)
    assert_int_equal (le64toh (z.wp) * 512, zone * ZONE + written);
}

static void
ask_zones (void)
{
  ask_filled (0, 'a', UBLK_IO_OP_WRITE, ZONE, BLOCK);
  ask (1, UBLK_IO_OP_WRITE, 0, BLOCK);
  ask (2, UBLK_IO_OP_ZONE_OPEN, 2 * ZONE, 0);
  ask (3, UBLK_IO_OP_ZONE_FINISH, 3 * ZONE, 0);
  ask (4, UBLK_IO_OP_WRITE, ZONE + 2 * BLOCK,
       BLOCK); /* it has to be in order */
}

static void
ask_limits (void)
{
  zone_is (3, ZONE_COND_FULL, 0);
  ask (5, UBLK_IO_OP_ZONE_OPEN, 4 * ZONE, 0);
  ask (6, UBLK_IO_OP_ZONE_OPEN, 5 * ZONE, 0);
  ask (7, UBLK_IO_OP_ZONE_CLOSE, 2 * ZONE, 0);
  ask (8, UBLK_IO_OP_WRITE, ZONE + BLOCK, BLOCK);
}

static void
ask_report (void)
{
  zone_is (4, ZONE_COND_EXP_OPEN, 0);
  ask_for (9, UBLK_IO_OP_REPORT_ZONES, 2 * ZONE, 3);
  ask_for (10, UBLK_IO_OP_REPORT_ZONES, 8 * ZONE, 1);
  ask (11, UBLK_IO_OP_ZONE_RESET, 3 * ZONE, 0);
}

static void
look_at_report (void)
{
  struct {
    uint64_t start, len, wp;
    uint8_t type, cond, other[6];
    uint64_t capacity;
    uint8_t reserved[24];
  } zones[3];
  unsigned i;

  _Static_assert(sizeof zones == 3 * 64, "as the kernel has it");
  assert_int_equal (pread (kernel.fd, zones, sizeof zones, place_of_data (9)),
                    sizeof zones);
  for (i = 0; i < 3; i++) {
    assert_int_equal (zones[i].start, (2 + i) * (ZONE / 512));
    assert_int_equal (zones[i].len, ZONE / 512);
    assert_int_equal (zones[i].capacity, ZONE / 512);
    assert_int_equal (zones[i].type, ZONE_TYPE_SEQUENTIAL);
  }
  assert_int_equal (zones[0].cond, ZONE_COND_EMPTY);
  assert_int_equal (zones[1].cond, ZONE_COND_FULL);
  assert_int_equal (zones[2].cond, ZONE_COND_EXP_OPEN);
  zone_is (3, ZONE_COND_EMPTY, 0);
  ask (12, UBLK_IO_OP_ZONE_RESET_ALL, 0, 0);
}

static void
test_zones (void **state)
{
  (void) state;
  BEGIN (ZONES, "zone-reorder-wait", "0");
  SERVE (ask_zones, ask_limits, ask_report, look_at_report);
  answered (0, 0, BLOCK);
  answered (1, 1, BLOCK);
  answered (2, 2, 0);
  answered (3, 3, 0);
  answered (4, 4, -EIO);
  answered (5, 5, 0); /* the zone that a write opened gives way */
  answered (6, 6, -ETOOMANYREFS);
  answered (7, 7, 0);
  answered (8, 8, BLOCK);
  answered (9, 9, MAX_IO);
  answered (10, 10, -EIO);
  answered (11, 11, 0);
  answered (12, 12, 0);
  zone_is (1, ZONE_COND_EMPTY, 0);
  check_block (ZONE, 0);
}

/* Another queue closes a zone between an error and the look at all zones. */
static bool closes_beside;

uint64_t __real_zones_read_table (struct zones *z, uint64_t first,
                                  struct zone_descriptor *descriptors,
                                  uint64_t n);
uint64_t __wrap_zones_read_table (struct zones *z, uint64_t first,
                                  struct zone_descriptor *descriptors,
                                  uint64_t n);
uint64_t
__wrap_zones_read_table (struct zones *z, uint64_t first,
                         struct zone_descriptor *descriptors, uint64_t n)
{
  if (closes_beside && n > 1)
    assert_int_equal (zones_command (z, 2, ZONE_COND_CLOSED), 0);
  return __real_zones_read_table (z, first, descriptors, n);
}

static void
ask_beside_close (void)
{
  closes_beside = true;
  ask (2, UBLK_IO_OP_ZONE_OPEN, 3 * ZONE, 0);
}

static void
ask_open (void)
{
  ask (0, UBLK_IO_OP_ZONE_OPEN, ZONE, 0);
  ask (1, UBLK_IO_OP_ZONE_OPEN, 2 * ZONE, 0);
}

/* A command needs no memory: so the limit has been full. */
static void
test_limit_beside (void **state)
{
  (void) state;
  BEGIN (ZONES);
  SERVE (ask_open, ask_beside_close);
  closes_beside = false;
  answered (1, 1, 0);
  answered (2, 2, -EOVERFLOW); /* which of the limits nobody can tell */
}

/* Appends tell where they have written, also where they wait. */
static void
ask_appends (void)
{
  ask_filled (0, 'a', UBLK_IO_OP_ZONE_APPEND, ZONE, BLOCK);
  ask_filled (1, 'b', UBLK_IO_OP_ZONE_APPEND | UBLK_IO_F_FUA, ZONE, 2 * BLOCK);
  ask (2, UBLK_IO_OP_ZONE_APPEND, 0, BLOCK);
}

static void
append_durably (void)
{
  ask (0, UBLK_IO_OP_ZONE_APPEND | UBLK_IO_F_FUA, ZONE, 2 * BLOCK);
  ask (1, UBLK_IO_OP_ZONE_APPEND, ZONE, BLOCK);
}

static void
test_appends_fua (void **state)
{
  (void) state;
  BEGIN (ZONES, "cache-size", "1M");
  SERVE (append_durably);
  zone_is (1, ZONE_COND_IMP_OPEN, 3 * BLOCK);
  lose_what_is_volatile ();
  zone_is (1, ZONE_COND_CLOSED, 2 * BLOCK);
}

static void
look_at_appends (void **state, const char *latency)
{
  unsigned i;

  (void) state;
  BEGIN (ZONES, "write-latency", latency);
  SERVE (ask_appends);
  assert_int_equal (kernel.nr_answers, 3);
  for (i = 0; i < 3; i++) {
    switch (kernel.answers[i].tag) {
    case 0:
      assert_int_equal (kernel.answers[i].result, BLOCK);
      assert_int_equal (kernel.answers[i].sector, ZONE / 512);
      break;
    case 1:
      assert_int_equal (kernel.answers[i].result, 2 * BLOCK);
      assert_int_equal (kernel.answers[i].sector, (ZONE + BLOCK) / 512);
      break;
    default:
      assert_int_equal (kernel.answers[i].result, -EIO);
      assert_int_equal (kernel.answers[i].sector, 0);
    }
  }
  zone_is (1, ZONE_COND_IMP_OPEN, 3 * BLOCK);
  check_block (ZONE, 'a');
  check_block (ZONE + 2 * BLOCK, 'b');
}

static void
test_appends (void **state)
{
  look_at_appends (state, "0");
}

static void
test_appends_wait (void **state)
{
  look_at_appends (state, "10ms");
}

static void
fill_active (void)
{
  unsigned zone;

  for (zone = 1; zone < 6; zone++)
    ask (zone, UBLK_IO_OP_WRITE, zone * ZONE, BLOCK);
}

static void
test_active (void **state)
{
  (void) state;
  BEGIN (ZONES);
  SERVE (fill_active);
  answered (3, 4, BLOCK);
  answered (4, 5, -EOVERFLOW);
}

/* Writes that come early wait without a thread, and are written in order. */
static void
ask_early (void)
{
  ask_filled (0, '2', UBLK_IO_OP_WRITE, ZONE + 2 * BLOCK, BLOCK);
  ask_filled (1, '1', UBLK_IO_OP_WRITE, ZONE + BLOCK, BLOCK);
  ask (2, UBLK_IO_OP_READ, 0, BLOCK);
}

static void
ask_first (void)
{
  assert_int_equal (kernel.nr_answers, 1);
  ask_filled (3, '0', UBLK_IO_OP_WRITE, ZONE, BLOCK);
}

static void
test_early (void **state)
{
  (void) state;
  BEGIN (ZONES, "zone-reorder-wait", "100s");
  SERVE (ask_early, ask_first);
  answered (0, 2, BLOCK);
  answered (1, 3, BLOCK);
  answered (2, 1, BLOCK);
  answered (3, 0, BLOCK);
  check_block (ZONE, '0');
  check_block (ZONE + BLOCK, '1');
  check_block (ZONE + 2 * BLOCK, '2');
  assert_int_equal (reports, 0);
}

/* Another connection writes what they wait for. */
static void *
write_first (void *arg)
{
  (void) arg;
  put_block (ZONE, '0');
  return NULL;
}

static pthread_t other;

static void
begin_other (void)
{
  assert_int_equal (pthread_create (&other, NULL, write_first, NULL), 0);
}

static void
test_early_beside (void **state)
{
  (void) state;
  BEGIN (ZONES, "zone-reorder-wait", "100s");
  SERVE (ask_early, begin_other);
  pthread_join (other, NULL);
  answered (0, 2, BLOCK);
  answered (1, 1, BLOCK);
  answered (2, 0, BLOCK);
  check_block (ZONE + BLOCK, '1');
  check_block (ZONE + 2 * BLOCK, '2');
}

/* Nobody does. */
static void
test_early_in_vain (void **state)
{
  (void) state;
  BEGIN (ZONES, "zone-reorder-wait", "20ms");
  SERVE (ask_early);
  assert_int_equal (kernel.nr_answers, 3);
  answered (0, 2, BLOCK);
  assert_int_equal (kernel.answers[1].result, -EIO);
  assert_int_equal (kernel.answers[2].result, -EIO);
  assert_int_equal (reports, 2);
}

#define CASE(name)                                                             \
  cmocka_unit_test_setup_teardown (name, forget_devices, destroy_devices)

int
main (void)
{
  static const struct CMUnitTest tests[] = {
      CASE (test_data),          CASE (test_data_by_bad_blocks),
      CASE (test_data_by_cache), CASE (test_damage),
      CASE (test_fua),           CASE (test_appends_fua),
      CASE (test_null),          CASE (test_read_only),
      CASE (test_errors),        CASE (test_latency),
      CASE (test_disk),          CASE (test_many),
      CASE (test_hang),          CASE (test_fail_all),
      CASE (test_power),         CASE (test_disconnect),
      CASE (test_zones),         CASE (test_active),
      CASE (test_appends),       CASE (test_appends_wait),
      CASE (test_early),         CASE (test_early_beside),
      CASE (test_early_in_vain), CASE (test_limit_beside),
  };

  return RUN_TESTS (tests);
}
