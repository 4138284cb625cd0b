/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Zones on their way between the .zones export and the kernel, and which error
 * the kernel is to see.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <linux/blkzoned.h>

#include "ublkdrv/ublkdrv.h"
#include "unit.h"

static struct zone_descriptor
descriptor (enum zone_type type, enum zone_cond cond, uint64_t wp)
{
  return (struct zone_descriptor){
      .start = htole64 (1000),
      .len = htole64 (500),
      .wp = htole64 (wp),
      .type = type,
      .cond = cond,
      .capacity = htole64 (400),
  };
}

static void
test_report (void **state)
{
  struct zone_descriptor d[2] = {
      descriptor (ZONE_TYPE_SEQUENTIAL, ZONE_COND_IMP_OPEN, 1100),
      descriptor (ZONE_TYPE_SEQUENTIAL, ZONE_COND_OFFLINE, ZONE_NO_WP),
  };
  struct blk_zone zones[2];

  (void) state;
  assert_int_equal (sizeof zones, sizeof d);
  zoned_report (d, 2);
  memcpy (zones, d, sizeof zones);
  assert_int_equal (zones[0].start, 1000);
  assert_int_equal (zones[0].len, 500);
  assert_int_equal (zones[0].wp, 1100);
  assert_int_equal (zones[0].capacity, 400);
  assert_int_equal (zones[0].type, BLK_ZONE_TYPE_SEQWRITE_REQ);
  assert_int_equal (zones[0].cond, BLK_ZONE_COND_IMP_OPEN);
  assert_int_equal (zones[1].wp, UINT64_MAX);
  assert_int_equal (zones[1].cond, BLK_ZONE_COND_OFFLINE);
}

/* Of what was read again, against what it was. */
static void
test_same (void **state)
{
  const struct zone_descriptor first =
      descriptor (ZONE_TYPE_SEQUENTIAL, ZONE_COND_EMPTY, 1000);
  const struct zone_descriptor conventional =
      descriptor (ZONE_TYPE_CONVENTIONAL, ZONE_COND_NOT_WP, ZONE_NO_WP);
  static const struct {
    enum zone_cond cond;
    uint64_t wp;
    bool is_same;
  } cases[] = {
      {ZONE_COND_EMPTY, 1000, true},
      {ZONE_COND_EMPTY, 1001, false},
      {ZONE_COND_IMP_OPEN, 1000, true},
      {ZONE_COND_IMP_OPEN, 1500, true},
      {ZONE_COND_EXP_OPEN, 999, false},
      {ZONE_COND_EXP_OPEN, 1001, true},
      {ZONE_COND_CLOSED, 1400, true},
      {ZONE_COND_CLOSED, 1501, false},
      {ZONE_COND_CLOSED, UINT64_MAX, false},
      {ZONE_COND_FULL, 1500, true},
      {ZONE_COND_FULL, ZONE_NO_WP, true},
      {ZONE_COND_OFFLINE, ZONE_NO_WP, true},
      {ZONE_COND_READONLY, ZONE_NO_WP, true},
      {ZONE_COND_NOT_WP, 1000, false},
      {5, 1000, false},
  };
  struct zone_descriptor d;
  unsigned i;

  (void) state;
  for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    d = descriptor (ZONE_TYPE_SEQUENTIAL, cases[i].cond, cases[i].wp);
    if (zoned_is_same (&d, &first) != cases[i].is_same)
      fail_msg ("case %u", i);
  }
  d = conventional;
  assert_true (zoned_is_same (&d, &conventional));
  assert_false (zoned_is_same (&d, &first));
  d.cond = ZONE_COND_EMPTY;
  assert_false (zoned_is_same (&d, &conventional));

  d = first;
  d.start = 0;
  assert_false (zoned_is_same (&d, &first));
  d = first;
  d.len = 0;
  assert_false (zoned_is_same (&d, &first));
  d = first;
  d.capacity = htole64 (500);
  assert_false (zoned_is_same (&d, &first));
}

static void
test_conditions (void **state)
{
  (void) state;
  assert_int_equal (zoned_condition (UBLK_IO_OP_ZONE_OPEN),
                    BLK_ZONE_COND_EXP_OPEN);
  assert_int_equal (zoned_condition (UBLK_IO_OP_ZONE_CLOSE),
                    BLK_ZONE_COND_CLOSED);
  assert_int_equal (zoned_condition (UBLK_IO_OP_ZONE_FINISH),
                    BLK_ZONE_COND_FULL);
  assert_int_equal (zoned_condition (UBLK_IO_OP_ZONE_RESET),
                    BLK_ZONE_COND_EMPTY);
}

static void
room (enum zone_type type, enum zone_cond cond, uint64_t wp, uint64_t pointer)
{
  const struct zone_descriptor d = descriptor (type, cond, wp);
  uint64_t p, end;

  zoned_append_range (&d, &p, &end);
  assert_int_equal (p, pointer * 512);
  assert_int_equal (end, UINT64_C (1400) * 512);
}

static void
test_room (void **state)
{
  (void) state;
  room (ZONE_TYPE_SEQUENTIAL, ZONE_COND_EMPTY, 1000, 1000);
  room (ZONE_TYPE_SEQUENTIAL, ZONE_COND_IMP_OPEN, 1399, 1399);
  room (ZONE_TYPE_SEQUENTIAL, ZONE_COND_CLOSED, 1001, 1001);
  room (ZONE_TYPE_SEQUENTIAL, ZONE_COND_FULL, 1500, 1400);
  room (ZONE_TYPE_SEQUENTIAL, ZONE_COND_FULL, 1000, 1400);
  room (ZONE_TYPE_SEQUENTIAL, ZONE_COND_READONLY, ZONE_NO_WP, 1400);
  room (ZONE_TYPE_SEQUENTIAL, ZONE_COND_OFFLINE, ZONE_NO_WP, 1400);
  room (ZONE_TYPE_CONVENTIONAL, ZONE_COND_NOT_WP, 1000, 1400);
}

static bool
done (enum ublk_operation operation, enum zone_type type, enum zone_cond cond,
      uint64_t wp)
{
  const struct zone_descriptor d = descriptor (type, cond, wp);

  return zoned_was_done (operation, UINT64_C (1100) * 512, &d);
}

/* A write, or an append, of sectors up to 1100. */
static void
test_was_done (void **state)
{
  const enum zone_type seq = ZONE_TYPE_SEQUENTIAL;

  (void) state;
  assert_true (done (UBLK_IO_OP_WRITE, seq, ZONE_COND_IMP_OPEN, 1100));
  assert_true (done (UBLK_IO_OP_ZONE_APPEND, seq, ZONE_COND_CLOSED, 1200));
  assert_true (done (UBLK_IO_OP_WRITE, seq, ZONE_COND_FULL, 1400));
  assert_false (done (UBLK_IO_OP_WRITE, seq, ZONE_COND_IMP_OPEN, 1099));
  assert_false (done (UBLK_IO_OP_WRITE, seq, ZONE_COND_EMPTY, 1000));
  assert_false (done (UBLK_IO_OP_WRITE, seq, ZONE_COND_READONLY, ZONE_NO_WP));
  assert_false (done (UBLK_IO_OP_WRITE, seq, ZONE_COND_OFFLINE, ZONE_NO_WP));
  assert_false (
      done (UBLK_IO_OP_WRITE, ZONE_TYPE_CONVENTIONAL, ZONE_COND_NOT_WP, 1000));
  assert_false (done (UBLK_IO_OP_READ, seq, ZONE_COND_FULL, 1400));

  assert_true (done (UBLK_IO_OP_ZONE_RESET, seq, ZONE_COND_EMPTY, 1000));
  assert_false (done (UBLK_IO_OP_ZONE_RESET, seq, ZONE_COND_CLOSED, 1001));
  assert_true (done (UBLK_IO_OP_ZONE_FINISH, seq, ZONE_COND_FULL, 1400));
  assert_true (done (UBLK_IO_OP_ZONE_OPEN, seq, ZONE_COND_EXP_OPEN, 1000));
  assert_false (done (UBLK_IO_OP_ZONE_OPEN, seq, ZONE_COND_IMP_OPEN, 1001));
  assert_true (done (UBLK_IO_OP_ZONE_CLOSE, seq, ZONE_COND_CLOSED, 1001));
  assert_true (done (UBLK_IO_OP_ZONE_CLOSE, seq, ZONE_COND_EMPTY, 1000));
  assert_false (done (UBLK_IO_OP_ZONE_CLOSE, seq, ZONE_COND_EXP_OPEN, 1000));
}

static void
test_plain_errors (void **state)
{
  (void) state;
  assert_int_equal (zoned_plain_error (-EIO), -EIO);
  assert_int_equal (zoned_plain_error (-EINVAL), -EIO);
  assert_int_equal (zoned_plain_error (-ESHUTDOWN), -EIO);
  assert_int_equal (zoned_plain_error (-ENOTCONN), -EIO);
  assert_int_equal (zoned_plain_error (-ENOSPC), -ENOSPC);
  assert_int_equal (zoned_plain_error (-EPERM), -EREMOTEIO);
  assert_int_equal (zoned_plain_error (-ENOMEM), -ENOMEM);
  assert_int_equal (zoned_plain_error (-EOPNOTSUPP), -EOPNOTSUPP);
}

/* Zones of conditions, letter by letter: e(mpty), i(mplicitly open),
 * o(pen explicitly), c(losed), f(ull), r(ead-only), x (offline); the request
 * that has failed with ERR was to ZONE.
 */
static int
error_of (bool is_command, const char *zones, unsigned zone, int err,
          unsigned max_open, unsigned max_active)
{
  static struct zone_descriptor table[16];
  const struct zoned_failure f = {.error = err,
                                  .table = table,
                                  .nr_zones = strlen (zones),
                                  .zone = zone,
                                  .max_open = max_open,
                                  .max_active = max_active,
                                  .is_command = is_command};
  unsigned i;

  for (i = 0; zones[i] != '\0'; i++)
    table[i].cond = zones[i] == 'e'   ? ZONE_COND_EMPTY
                    : zones[i] == 'i' ? ZONE_COND_IMP_OPEN
                    : zones[i] == 'o' ? ZONE_COND_EXP_OPEN
                    : zones[i] == 'c' ? ZONE_COND_CLOSED
                    : zones[i] == 'f' ? ZONE_COND_FULL
                    : zones[i] == 'r' ? ZONE_COND_READONLY
                                      : ZONE_COND_OFFLINE;
  return zoned_error (&f);
}

#define error(...) error_of (false, __VA_ARGS__)
#define command_error(...) error_of (true, __VA_ARGS__)

static void
test_errors (void **state)
{
  const struct zoned_failure unread = {
      .error = -ENOSPC, .nr_zones = 4, .max_open = 1, .max_active = 1};

  (void) state;
  assert_int_equal (error ("e", 0, -EIO, 0, 0), -EIO);
  assert_int_equal (error ("er", 1, -EPERM, 0, 0), -EREMOTEIO);
  assert_int_equal (error ("er", 1, -EIO, 0, 0), -EREMOTEIO);
  assert_int_equal (error ("ex", 1, -EIO, 0, 0), -EIO);
  assert_int_equal (error ("e", 0, -ENOSPC, 0, 0), -ENOSPC);

  /* Limits. */
  assert_int_equal (error ("oofe", 3, -ENOSPC, 2, 3), -ETOOMANYREFS);
  assert_int_equal (error ("oocc", 3, -ENOSPC, 2, 4), -ETOOMANYREFS);
  assert_int_equal (error ("oce", 2, -ENOSPC, 2, 2), -EOVERFLOW);
  assert_int_equal (error ("iiie", 3, -ENOSPC, 0, 3), -EOVERFLOW);
  /* Both: an empty zone lacks an active one first, as null_blk has it. */
  assert_int_equal (error ("ooe", 2, -ENOSPC, 2, 2), -EOVERFLOW);
  /* None gives way to a closed zone where no more may be active. */
  assert_int_equal (error ("oicf", 2, -ENOSPC, 2, 3), -ETOOMANYREFS);
  assert_int_equal (error ("iic", 2, -ENOSPC, 2, 3), -ETOOMANYREFS);
  /* Neither: memory. */
  assert_int_equal (error ("iic", 2, -ENOSPC, 2, 4), -ENOSPC);
  assert_int_equal (error ("iic", 2, -ENOSPC, 2, 0), -ENOSPC);
  assert_int_equal (error ("oie", 2, -ENOSPC, 2, 4), -ENOSPC);
  assert_int_equal (error ("oi", 1, -ENOSPC, 1, 2), -ENOSPC);
  assert_int_equal (error ("oc", 1, -ENOSPC, 2, 2), -ENOSPC);

  /* A command, and the limit that has refused it is not full any more. */
  assert_int_equal (command_error ("ofc", 2, -ENOSPC, 2, 3), -ETOOMANYREFS);
  assert_int_equal (command_error ("ofe", 2, -ENOSPC, 2, 3), -EOVERFLOW);
  assert_int_equal (command_error ("ofe", 2, -ENOSPC, 0, 3), -EOVERFLOW);
  assert_int_equal (command_error ("ofe", 2, -ENOSPC, 2, 0), -ETOOMANYREFS);
  assert_int_equal (command_error ("ofe", 2, -EIO, 2, 3), -EIO);

  assert_true (zoned_needs_table (&unread));
  assert_int_equal (zoned_error (&unread), -ENOSPC);
}

static void
test_settings (void **state)
{
  static const char config[] = "# error: zone-max-open=9\n"
                               "size=16777216\n"
                               "zone-max-open=12\n"
                               "zone-max-active=none\n"
                               "zone-reorder-wait=20ms\n";

  (void) state;
  assert_int_equal (zoned_config_limit (config, "zone-max-open"), 12);
  assert_int_equal (zoned_config_limit (config, "zone-max-active"), 0);
  assert_int_equal (zoned_config_limit (config, "max-open"), 0);
  assert_int_equal (zoned_config_limit ("", "size"), 0);
  assert_int_equal (zoned_config_limit ("size=7", "size"), 7);
  assert_true (zoned_config_has_duration (config, "zone-reorder-wait"));
  assert_false (
      zoned_config_has_duration ("zone-reorder-wait=0\n", "zone-reorder-wait"));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_same),         cmocka_unit_test (test_report),
      cmocka_unit_test (test_conditions),   cmocka_unit_test (test_room),
      cmocka_unit_test (test_plain_errors), cmocka_unit_test (test_errors),
      cmocka_unit_test (test_settings),     cmocka_unit_test (test_was_done),
  };

  return RUN_TESTS (tests);
}
