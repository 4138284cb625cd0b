/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Requests that meet bad blocks and fault rules: what is done of them, what
 * they return, how long they take, and what becomes of zones.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "device/device.h"
#include "one-device.h"
#include "unit.h"

#define MIB (UINT64_C (1) << 20)
#define ZONE 65536

static uint8_t buf[65536], out[65536];

/* A wait of more than 9 ms, or 10 ms of a request that hangs.  It takes no
 * time, and the last but one deletes what is in the way.
 */
static int naps, naps_until_deleted;
static uint64_t napped;

static int
nap (void *opaque, uint64_t nsec)
{
  struct message why;

  (void) opaque;
  naps++;
  napped = nsec;
  if (naps_until_deleted == 0)
    return -ESHUTDOWN;
  if (--naps_until_deleted == 0)
    assert_int_equal (faults_change (&d->device->faults, "all", NULL, 0, &why),
                      0);
  return 0;
}

static const struct wait_ops how = {.sleep_for = nap};

/* A small memory-backed device. */
#define CREATE(...)                                                            \
  create_with ((const char *const[]){"size", "1M", "memory-backed", "1",       \
                                     __VA_ARGS__, NULL},                       \
               &how)

#define CREATE_ZONED(...)                                                      \
  CREATE ("zoned", "1", "zone-size", "64K", "zone-nr-conv", "1",               \
          "zone-reorder-wait", "0", __VA_ARGS__)

static int
setup (void **state)
{
  size_t i;

  (void) state;
  devices = NULL;
  naps = naps_until_deleted = 0;
  for (i = 0; i < sizeof buf; i++)
    buf[i] = i / 512 + 1;
  memset (out, 0x55, sizeof out);
  return 0;
}

/* Do COUNT bytes at OFFSET hold what EXPECTED says?  NULL is zeroes. */
static void
check (const uint8_t *expected, uint32_t count, uint64_t offset)
{
  static const uint8_t zeroes[sizeof out];

  assert_int_equal (device_read (d, out, count, offset), 0);
  assert_memory_equal (out, expected != NULL ? expected : zeroes, count);
}

static const struct op_stats *
counted (enum operation op)
{
  return &counted_by (d)->op[op];
}

/* The write pointer, from the zone's start. */
static uint64_t
wp (uint64_t zone)
{
  struct zone_descriptor z;

  assert_int_equal (zones_read_table (d->device->zones, zone, &z, 1), 1);
  return (le64toh (z.wp) - le64toh (z.start)) * 512;
}

/*---------------------------------------------------------------------*/
/* Bad blocks */

/* All that touch data fail, and change nothing. */
static void
test_bad_operations (void **state)
{
  (void) state;
  CREATE ("badblocks", "+8-8,+100-199");
  assert_int_equal (device_write (d, buf, 4096, 0, false), 0);
  assert_int_equal (device_read (d, out, 8192, 0), -EIO);
  assert_int_equal (device_write (d, buf, 512, 4096, false), -EIO);
  assert_int_equal (device_write (d, buf, 8192, 4096 - 512, false), -EIO);
  assert_int_equal (device_zero (d, 8192, 0, true, false), -EIO);
  assert_int_equal (device_zero (d, 8192, 0, false, false), -EIO);
  assert_int_equal (device_trim (d, 8192, 0, false), -EIO);
  assert_int_equal (device_trim (d, MIB, 0, false), -EIO);
  assert_int_equal (device_flush (d), 0);
  check (buf, 4096, 0);
  check (NULL, 4096, 4608);
  assert_int_equal (counted (OP_WRITE)->errors[ERROR_EIO], 2);
  assert_int_equal (counted (OP_TRIM)->errors[ERROR_EIO], 2);
}

static void
test_bad_in_null_mode (void **state)
{
  (void) state;
  create_with ((const char *const[]){"badblocks", "+8-8", NULL}, &how);
  assert_int_equal (device_read (d, out, 512, 4096), -EIO);
  assert_int_equal (device_write (d, buf, 512, 4096, false), -EIO);
  assert_int_equal (device_write (d, buf, 512, 4608, false), 0);
}

static void
test_bad_once (void **state)
{
  (void) state;
  CREATE ("badblocks", "+8-15,+30-30", "badblocks-once", "1");
  assert_int_equal (device_read (d, out, 512, 15 * 512), -EIO);
  assert_int_equal (device_write (d, buf, 4096, 4096, false), 0);
  check (buf, 4096, 4096);
  assert_int_equal (device_trim (d, 65536, 0, false), -EIO);
  assert_int_equal (device_trim (d, 65536, 0, false), 0);
}

static void
assert_bad (const char *expected)
{
  char *text = badblocks_format (&d->device->badblocks);

  assert_string_equal (text, expected);
  free (text);
}

/* Reads fail until the data is written, zeroed or trimmed. */
static void
test_bad_mend (void **state)
{
  (void) state;
  CREATE ("badblocks", "+8-15,+100-107", "badblocks-mend", "1");
  assert_int_equal (device_read (d, out, 4096, 4096), -EIO);
  assert_int_equal (device_write (d, buf, 512, 10 * 512, false), 0);
  assert_bad ("+8-9,+11-15,+100-107");
  check (buf, 512, 10 * 512);
  assert_int_equal (device_zero (d, 1024, 8 * 512, true, false), 0);
  assert_bad ("+11-15,+100-107");
  assert_int_equal (device_trim (d, 4096, 0, false), 0);
  assert_int_equal (device_read (d, out, 8192, 4096), -EIO);
  assert_int_equal (device_trim (d, 8192, 4096, false), 0);
  assert_bad ("+100-107");
  check (NULL, 8192, 4096);
  assert_int_equal (device_write (d, buf, 16384, 98 * 512, true), 0);
  assert_bad ("none");
  check (buf, 16384, 98 * 512);
}

/* Whoever changes settings may read a slow file meanwhile. */
static void
test_bad_mend_beside_change (void **state)
{
  (void) state;
  CREATE ("badblocks", "+8-15,+100-107", "badblocks-mend", "1");
  pthread_mutex_lock (&devices->change_lock);
  assert_int_equal (device_write (d, buf, 512, 10 * 512, false), 0);
  pthread_mutex_unlock (&devices->change_lock);
  assert_bad ("+8-9,+11-15,+100-107");
}

/* What is not done mends nothing. */
static void
test_bad_not_mended (void **state)
{
  (void) state;
  CREATE ("badblocks", "+8-15", "badblocks-mend", "1", "discard", "0",
          "memory-limit", "4K", "fault", "op=write count=1 corrupt=stale");
  assert_int_equal (device_write (d, buf, 512, 4096, false), 0);
  assert_int_equal (device_trim (d, 4096, 4096, false), -EIO);
  assert_int_equal (device_write (d, buf, MIB, 0, false), -ENOSPC);
  assert_bad ("+8-15");
  assert_int_equal (device_read (d, out, 512, 4096), -EIO);
}

/* A trim of a part of a sequential zone leaves the data there. */
static void
test_bad_zone_is_not_mended (void **state)
{
  const uint64_t at = ZONE + 4096;

  (void) state;
  CREATE_ZONED ("badblocks", "+136-143", "badblocks-mend", "1");
  assert_int_equal (device_trim (d, 4096, at, false), -EIO);
  assert_int_equal (device_trim (d, ZONE, ZONE, false), -EIO);
  assert_bad ("+136-143");
  assert_int_equal (device_read (d, out, 4096, at), -EIO);
  assert_int_equal (device_write (d, buf, 16384, ZONE, false), 0);
  assert_bad ("none");
  check (buf, 16384, ZONE);
}

/* With both, a read that fails makes its range good. */
static void
test_bad_mend_and_once (void **state)
{
  (void) state;
  CREATE ("badblocks", "+8-15,+20-27", "badblocks-mend", "1", "badblocks-once",
          "1");
  assert_int_equal (device_write (d, buf, 512, 9 * 512, false), 0);
  assert_bad ("+8-8,+10-15,+20-27");
  assert_int_equal (device_read (d, out, 4096, 20 * 512), -EIO);
  assert_bad ("+8-8,+10-15");
}

/* Whole blocks before the first bad sector. */
static void
test_bad_partial (void **state)
{
  (void) state;
  CREATE ("badblocks", "+17-17", "badblocks-partial-io", "1", "block-size",
          "4K");
  assert_int_equal (device_write (d, buf, 16384, 0, false), -EIO);
  check (buf, 8192, 0);
  assert_int_equal (device_write (d, buf, 4096, 8192, false), -EIO);
  assert_int_equal (device_trim (d, 16384, 4096, false), -EIO);
  check (buf, 4096, 0);
  check (NULL, 4096, 4096);
  assert_int_equal (device_zero (d, 16384, 0, false, false), -EIO);
  check (NULL, 8192, 0);
  assert_int_equal (device_read (d, out, 16384, 0), -EIO);
  devices_destroy (devices);
  CREATE ("badblocks", "+17-17", "block-size", "4K");
  assert_int_equal (device_write (d, buf, 16384, 0, false), -EIO);
  check (NULL, 8192, 0);
}

/* The write pointer moves with what is there. */
static void
test_bad_zone (void **state)
{
  (void) state;
  CREATE_ZONED ("badblocks", "+144-144", "badblocks-partial-io", "1");
  assert_int_equal (device_write (d, buf, 16384, ZONE, false), -EIO);
  assert_int_equal (wp (1), 8192);
  check (buf, 8192, ZONE);
  assert_int_equal (device_write (d, buf, 4096, ZONE + 8192, false), -EIO);
  assert_int_equal (wp (1), 8192);
  /* A rule of zones is broken: not even a part. */
  assert_int_equal (device_write (d, buf, 16384, ZONE + 4096, false), -EIO);
  assert_int_equal (wp (1), 8192);
  badblocks_destroy (&d->device->badblocks);
  assert_int_equal (badblocks_init (&d->device->badblocks), 0);
  assert_int_equal (device_write (d, buf, 4096, ZONE + 8192, false), 0);
  assert_int_equal (wp (1), 12288);
}

/* What is refused does not heal. */
static void
test_bad_after_admission (void **state)
{
  (void) state;
  CREATE ("badblocks", "+0-0", "badblocks-once", "1", "read-only", "1");
  assert_int_equal (device_write (d, buf, 512, 0, false), -EROFS);
  assert_int_equal (device_read (d, out, 100, 0), -EINVAL);
  assert_int_equal (device_read (d, out, 512, 0), -EIO);
  assert_int_equal (device_read (d, out, 512, 0), 0);
}

/* They take as long as others. */
static void
test_bad_takes_its_time (void **state)
{
  (void) state;
  CREATE ("badblocks", "+0-0", "latency", "100ms");
  naps_until_deleted = 1;
  assert_int_equal (device_read (d, out, 512, 0), -EIO);
  assert_in_range (napped, 80000000, 100000000);
}

/* Each device has its own. */
static void
test_bad_of_each_device (void **state)
{
  struct connection *other;

  (void) state;
  CREATE ("badblocks", "+0-0", "badblocks-once", "1", "devices", "2");
  other = device_connect (&devices->device[1], NULL);
  assert_int_equal (device_read (d, out, 512, 0), -EIO);
  assert_int_equal (device_read (d, out, 512, 0), 0);
  assert_int_equal (device_read (other, out, 512, 0), -EIO);
}

/*---------------------------------------------------------------------*/
/* Fault rules */

static const struct {
  const char *rule;
  enum operation op;
} operations[] = {
    {"op=read error=ENOSPC", OP_READ},   {"op=write error=ENOSPC", OP_WRITE},
    {"op=flush error=ENOSPC", OP_FLUSH}, {"op=trim error=ENOSPC", OP_TRIM},
    {"op=zero error=ENOSPC", OP_ZERO},   {"op=zone error=ENOSPC", OP_ZONE},
};

static int
request (enum operation op)
{
  const struct zone_descriptor descriptor = {.cond = ZONE_COND_EMPTY};
  uint64_t done;

  switch (op) {
  case OP_READ:
    return device_read (d, out, 4096, ZONE);
  case OP_WRITE:
    return device_write (d, buf, 4096, 0, false);
  case OP_FLUSH:
    return device_flush (d);
  case OP_TRIM:
    return device_trim (d, 4096, 0, false);
  case OP_ZERO:
    return device_zero (d, 4096, 0, true, false);
  default:
    return device_zone_commands (d, 1, &descriptor, 1, &done);
  }
}

static void
test_error_of_each_operation (void **state)
{
  unsigned i, op;

  (void) state;
  CREATE_ZONED ("seed", "1");
  for (i = 0; i < 6; i++) {
    add_rule (operations[i].rule);
    for (op = 0; op < NR_OPERATIONS; op++)
      assert_int_equal (request (op), op == operations[i].op ? -ENOSPC : 0);
    delete_rules ();
  }
}

/* Nothing is done. */
static void
test_error_changes_nothing (void **state)
{
  (void) state;
  CREATE_ZONED ("seed", "1");
  assert_int_equal (device_write (d, buf, 8192, 0, false), 0);
  assert_int_equal (device_write (d, buf, 4096, ZONE, false), 0);
  add_rule ("op=write,trim,zero,zone error=EIO");
  assert_int_equal (device_write (d, buf + 512, 4096, 0, false), -EIO);
  assert_int_equal (device_write (d, buf, 4096, ZONE + 4096, false), -EIO);
  assert_int_equal (device_zero (d, 4096, 0, false, false), -EIO);
  assert_int_equal (device_trim (d, 4096, 0, false), -EIO);
  assert_int_equal (device_trim (d, ZONE, ZONE, false), -EIO);
  assert_int_equal (request (OP_ZONE), -EIO);
  check (buf, 8192, 0);
  check (buf, 4096, ZONE);
  assert_int_equal (wp (1), 4096);
}

/* The rules of zones come before them, with all that they do; then nothing
 * but the data is left.
 */
static void
test_bad_blocks_come_last (void **state)
{
  (void) state;
  CREATE ("badblocks", "+0-0", "badblocks-once", "1", "fault",
          "count=1 error=ENOSPC");
  assert_int_equal (device_read (d, out, 512, 0), -ENOSPC);
  assert_int_equal (device_read (d, out, 512, 0), -EIO);
  assert_int_equal (device_read (d, out, 512, 0), 0);
}

static void
test_bad_blocks_and_zones (void **state)
{
  struct zone_descriptor z[4];

  (void) state;
  CREATE_ZONED ("badblocks", "+128-128,+256-256,+384-384,+512-512",
                "badblocks-once", "1", "zone-max-active", "1", "zone-cross",
                "error");
  /* Not at the write pointer, or across a boundary: nothing is met. */
  assert_int_equal (device_write (d, buf, 1024, ZONE + 512, false), -EIO);
  assert_int_equal (device_write (d, buf, ZONE, ZONE - 512, false), -EIO);
  /* A limit, as the zone that failed is open. */
  assert_int_equal (device_write (d, buf, 512, ZONE, false), -EIO);
  zones_read_table (d->device->zones, 0, z, 4);
  assert_int_equal (z[1].cond, ZONE_COND_IMP_OPEN);
  assert_int_equal (le64toh (z[1].wp), le64toh (z[1].start));
  assert_int_equal (device_write (d, buf, 512, 2 * ZONE, false), -ENOSPC);
  /* Healed: that of zone 1 alone. */
  assert_int_equal (device_write (d, buf, 512, ZONE, false), 0);
  assert_int_equal (device_read (d, out, 512, 2 * ZONE), -EIO);
  assert_int_equal (device_read (d, out, 512, 2 * ZONE), 0);

  /* Neither a read nor a trim of what is offline gets to them. */
  zones_command (d->device->zones, 3, ZONE_COND_OFFLINE);
  assert_int_equal (device_read (d, out, 512, 3 * ZONE), -EIO);
  assert_int_equal (device_trim (d, ZONE, 3 * ZONE, false), -EIO);
  zones_command (d->device->zones, 3, ZONE_COND_OFFLINE);
  assert_int_equal (device_trim (d, ZONE, 3 * ZONE, false), -EIO);
  assert_int_equal (device_trim (d, ZONE, 3 * ZONE, false), 0);
  assert_int_equal (device_zero (d, 512, 4 * ZONE + 512, true, false), -EIO);
  assert_int_equal (device_trim (d, 512, 4 * ZONE, false), -EIO);
  assert_int_equal (device_trim (d, 512, 4 * ZONE, false), 0);
}

/* On top of its own time, and of errors, too. */
static void
test_delay (void **state)
{
  (void) state;
  CREATE ("latency", "1us");
  add_rule ("op=read delay=50us");
  add_rule ("op=read,flush delay=100us");
  assert_int_equal (device_read (d, out, 512, 0), 0);
  assert_int_equal (counted (OP_READ)->asked.longest, 151000);
  assert_int_equal (device_write (d, buf, 512, 0, false), 0);
  assert_int_equal (counted (OP_WRITE)->asked.longest, 1000);
  add_rule ("op=flush error=EIO");
  assert_int_equal (device_flush (d), -EIO);
  /* It waits, too; only how exact that was is not asked of what fails. */
  assert_true (counted (OP_FLUSH)->served.longest >= 90000);
  assert_int_equal (counted (OP_FLUSH)->asked.longest, 0);
}

static void
test_delay_without_latency (void **state)
{
  (void) state;
  CREATE ("fault", "op=trim delay=20us");
  assert_int_equal (device_trim (d, 512, 0, false), 0);
  assert_int_equal (counted (OP_TRIM)->asked.longest, 20000);
  assert_int_equal (device_flush (d), 0);
  assert_int_equal (counted (OP_FLUSH)->asked.longest, 0);
  assert_int_equal (naps, 0);
}

/* What a reader gets is wrong, what is kept is not. */
static void
test_flip_reads (void **state)
{
  static uint8_t again[4096];

  (void) state;
  CREATE ("seed", "1");
  assert_int_equal (device_write (d, buf, 4096, 0, false), 0);
  add_rule ("op=read range=1K+1K corrupt=flip");
  assert_int_equal (device_read (d, out, 4096, 0), 0);
  assert_int_equal (count_flipped (out, buf, 4096), 2);
  assert_memory_equal (out, buf, 1024);
  assert_memory_equal (out + 2048, buf + 2048, 2048);
  assert_int_equal (device_read (d, again, 512, 1024), 0);
  assert_memory_equal (again, out + 1024, 512);
  delete_rules ();
  check (buf, 4096, 0);
}

/* What is kept is wrong, the writer's own data are not. */
static void
test_flip_writes (void **state)
{
  static uint8_t sent[4096];

  (void) state;
  CREATE ("seed", "1");
  memcpy (sent, buf, sizeof sent);
  add_rule ("op=write corrupt=flip");
  assert_int_equal (device_write (d, sent, 4096, 0, false), 0);
  assert_memory_equal (sent, buf, 4096);
  assert_int_equal (device_read (d, out, 4096, 0), 0);
  assert_int_equal (count_flipped (out, buf, 4096), 8);
}

static void
test_zeroes (void **state)
{
  (void) state;
  CREATE ("block-size", "1K");
  add_rule ("op=write range=0+1 corrupt=zero");
  assert_int_equal (device_write (d, buf, 4096, 0, false), 0);
  check (NULL, 1024, 0);
  check (buf + 1024, 3072, 1024);
  delete_rules ();
  add_rule ("op=read range=1K+1K corrupt=zero");
  check (NULL, 2048, 0);
  check (buf + 2048, 2048, 2048);
}

static void
test_corrupt_in_zones (void **state)
{
  (void) state;
  CREATE_ZONED ("fault", "zones=1 op=write corrupt=zero", "fault",
                "zones=2 op=read corrupt=flip");
  assert_int_equal (device_write (d, buf, 4096, ZONE, false), 0);
  assert_int_equal (wp (1), 4096);
  check (NULL, 4096, ZONE);
  assert_int_equal (device_write (d, buf, 4096, 2 * ZONE, false), 0);
  assert_int_equal (device_read (d, out, 4096, 2 * ZONE), 0);
  assert_int_equal (count_flipped (out, buf, 4096), 8);
  /* What cannot be read is not touched. */
  assert_int_equal (device_write (d, buf, 4096, 0, false), 0);
  check (buf, 4096, 0);
}

/* Acknowledged, and not done. */
static void
test_stale (void **state)
{
  const struct zone_descriptor full = {.cond = ZONE_COND_FULL};
  uint64_t done;

  (void) state;
  CREATE_ZONED ("seed", "1");
  assert_int_equal (device_write (d, buf, 4096, 0, false), 0);
  assert_int_equal (device_write (d, buf, 4096, ZONE, false), 0);
  add_rule ("corrupt=stale");
  assert_int_equal (device_write (d, buf + 512, 4096, 0, false), 0);
  assert_int_equal (device_zero (d, 4096, 0, true, false), 0);
  assert_int_equal (device_trim (d, 4096, 0, false), 0);
  assert_int_equal (device_trim (d, ZONE, ZONE, false), 0);
  assert_int_equal (device_write (d, buf, 4096, ZONE + 4096, false), 0);
  assert_int_equal (device_zone_commands (d, 1, &full, 1, &done), 0);
  assert_int_equal (done, 1);
  assert_int_equal (device_flush (d), 0);
  check (buf, 4096, 0);
  check (buf, 4096, ZONE);
  assert_int_equal (wp (1), 4096);
  assert_int_equal (counted (OP_WRITE)->bytes, 4 * 4096);
}

/* It hangs before anything is done, and goes on as if it had not. */
static void
test_hang (void **state)
{
  (void) state;
  CREATE ("latency", "1us");
  add_rule ("op=write hang");
  naps_until_deleted = 3;
  assert_int_equal (device_write (d, buf, 4096, 0, false), 0);
  assert_int_equal (naps, 3);
  assert_int_equal (napped, 0);
  check (buf, 4096, 0);
  assert_int_equal (counted (OP_WRITE)->asked.longest, 1000);
}

static void
test_hang_ends_with_connection (void **state)
{
  (void) state;
  CREATE ("fault", "op=write hang");
  assert_int_equal (device_write (d, buf, 4096, 0, false), -ESHUTDOWN);
  assert_int_equal (naps, 1);
  check (NULL, 4096, 0);
}

/* The error counts once the rule that hangs is gone. */
static void
test_hang_and_error (void **state)
{
  (void) state;
  CREATE ("fault", "op=write hang", "fault", "op=write error=EPERM");
  naps_until_deleted = 2;
  assert_int_equal (device_write (d, buf, 4096, 0, false), -EPERM);
  check (NULL, 4096, 0);
}

static unsigned disconnects;

static void
disconnect (void)
{
  disconnects++;
}

static void
test_disconnect (void **state)
{
  struct message why;
  struct fault_rule *rule;

  (void) state;
  CREATE ("seed", "1");
  assert_int_equal (fault_rule_new ("disconnect", &rule, &why), 0);
  assert_int_equal (devices_check_faults (devices, rule, &why), -EINVAL);
  devices->front_end.disconnect = disconnect;
  assert_int_equal (devices_check_faults (devices, rule, &why), 0);
  fault_rule_free (rule);

  disconnects = 0;
  add_rule ("op=write count=1 disconnect");
  assert_int_equal (device_write (d, buf, 4096, 0, false), -ESHUTDOWN);
  assert_int_equal (disconnects, 1);
  check (NULL, 4096, 0);
  assert_int_equal (device_write (d, buf, 4096, 0, false), 0);
  assert_int_equal (disconnects, 1);
}

/* Each of several commands by itself; those after an error are not done. */
static void
test_zone_commands (void **state)
{
  const struct zone_descriptor full[4] = {{.cond = ZONE_COND_FULL},
                                          {.cond = ZONE_COND_FULL},
                                          {.cond = ZONE_COND_FULL},
                                          {.cond = ZONE_COND_FULL}};
  uint64_t done;

  (void) state;
  CREATE_ZONED ("fault", "op=zone zones=3 error=EPERM");
  assert_int_equal (device_zone_commands (d, 1, full, 4, &done), -EPERM);
  assert_int_equal (done, 2);
  assert_int_equal (wp (2), ZONE);
  assert_int_equal (wp (3), 0);
  assert_int_equal (wp (4), 0);
  assert_int_equal (counted (OP_ZONE)->bytes, 0);
  delete_rules ();
  add_rule ("op=zone zones=3 corrupt=stale");
  assert_int_equal (device_zone_commands (d, 2, full, 3, &done), 0);
  assert_int_equal (done, 3);
  assert_int_equal (wp (3), 0);
  assert_int_equal (wp (4), ZONE);
}

/* The delay of a command is its own, as its latency is. */
static void
test_zone_commands_delay (void **state)
{
  const struct zone_descriptor empty[3] = {{.cond = ZONE_COND_EMPTY},
                                           {.cond = ZONE_COND_EMPTY},
                                           {.cond = ZONE_COND_EMPTY}};
  uint64_t done;

  (void) state;
  CREATE_ZONED ("zone-latency", "5us", "fault", "zones=2-3 delay=10us");
  assert_int_equal (device_zone_commands (d, 1, empty, 3, &done), 0);
  assert_int_equal (counted (OP_ZONE)->asked.longest, 15000);
  delete_rules ();
  add_rule ("zones=1 delay=30us");
  assert_int_equal (device_zone_commands (d, 1, empty, 3, &done), 0);
  assert_int_equal (counted (OP_ZONE)->asked.longest, 35000);
}

/* The same seed on another run, and another device. */
static void
test_same_seed_same_hits (void **state)
{
  bool first[200];
  unsigned round, i, same;

  (void) state;
  for (round = 0; round < 3; round++) {
    CREATE ("seed", "9", "devices", "2", "fault", "op=write rate=30% error=EIO",
            "fault", "op=read delay=0");
    if (round == 2)
      d = device_connect (&devices->device[1], NULL);
    for (same = i = 0; i < 200; i++) {
      const bool hit = device_write (d, buf, 512, 0, false) == -EIO;

      if (round == 0)
        first[i] = hit;
      same += hit == first[i];
    }
    if (round < 2)
      assert_int_equal (same, 200);
    else
      assert_true (same < 200);
    devices_destroy (devices);
  }
  devices = NULL;
}

static void
test_rules_of_devices (void **state)
{
  struct connection *other;

  (void) state;
  CREATE ("devices", "2", "fault", "device=nullb1 error=EPERM", "fault",
          "count=1 error=EIO");
  other = device_connect (&devices->device[1], NULL);
  assert_int_equal (device_flush (d), -EIO);
  assert_int_equal (device_flush (d), 0);
  assert_int_equal (device_flush (other), -EPERM);
}

static void
refuse (const char *first, const char *second, const char *text)
{
  const char *const given[] = {"devices", "2",    "fault", first,
                               "fault",   second, NULL};
  struct message why;

  assert_int_equal (make_devices (&devices, given, &how, &why), -EINVAL);
  assert_string_equal (why.text, text);
  devices_destroy (devices);
  devices = NULL;
}

static void
test_wrong_rules (void **state)
{
  (void) state;
  refuse ("error=EIO", "device=nullb2 error=EIO",
          "fault=device=nullb2 error=EIO: there are nullb0 to nullb1");
  refuse ("name=a error=EIO", "name=a hang",
          "fault: 'name=a': there is such a rule");
  refuse ("error=EIO", "disconnect",
          "fault=disconnect: this plugin cannot disconnect clients: it was "
          "built with nbdkit before 1.34");
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, setup, destroy_devices)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_bad_operations),
      TEST (test_bad_in_null_mode),
      TEST (test_bad_once),
      TEST (test_bad_mend),
      TEST (test_bad_mend_beside_change),
      TEST (test_bad_not_mended),
      TEST (test_bad_zone_is_not_mended),
      TEST (test_bad_mend_and_once),
      TEST (test_bad_partial),
      TEST (test_bad_zone),
      TEST (test_bad_after_admission),
      TEST (test_bad_takes_its_time),
      TEST (test_bad_of_each_device),
      TEST (test_error_of_each_operation),
      TEST (test_error_changes_nothing),
      TEST (test_bad_blocks_come_last),
      TEST (test_bad_blocks_and_zones),
      TEST (test_delay),
      TEST (test_delay_without_latency),
      TEST (test_flip_reads),
      TEST (test_flip_writes),
      TEST (test_zeroes),
      TEST (test_corrupt_in_zones),
      TEST (test_stale),
      TEST (test_hang),
      TEST (test_hang_ends_with_connection),
      TEST (test_hang_and_error),
      TEST (test_disconnect),
      TEST (test_zone_commands),
      TEST (test_zone_commands_delay),
      TEST (test_same_seed_same_hits),
      TEST (test_rules_of_devices),
      TEST (test_wrong_rules),
  };

  return RUN_TESTS (tests);
}
