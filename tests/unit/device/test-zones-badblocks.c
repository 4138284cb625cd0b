/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Bad blocks of a zoned device against the naive model of zones and an array of
 * bad sectors, by random writes, appends, zeroes, reads and commands: what each
 * returns, what it heals, and what becomes of every zone.  NULLBLK_OPERATIONS
 * in the environment is how many there are of each kind of device.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "device/device.h"
#include "devices.h"
#include "unit.h"
#include "zones/zones-model.h"

#define SECTOR 512
#define ZONE 8192
#define ZONES 12
#define SIZE (ZONES * ZONE)
#define SECTORS (SIZE / SECTOR)
#define LONGEST 10 /* sectors of a request */
#define MAX_OPEN 4
#define MAX_ACTIVE 5

static struct devices *devices;
static struct connection *d;
static struct model m;
static bool bad[SECTORS];
static bool once, partial, mend;
static uint64_t random_state;
static char last[64]; /* for whoever reads a failure */

static void
create (void)
{
  const char *const given[] = {"size",
                               "96K",
                               "memory-backed",
                               "1",
                               "zoned",
                               "1",
                               "zone-size",
                               "8K",
                               "zone-capacity",
                               once ? "8K" : "7K",
                               "zone-nr-conv",
                               "2",
                               "zone-max-open",
                               "4",
                               "zone-max-active",
                               "5",
                               "zone-reorder-wait",
                               "0",
                               "badblocks-once",
                               once ? "1" : "0",
                               "badblocks-partial-io",
                               partial ? "1" : "0",
                               "badblocks-mend",
                               mend ? "1" : "0",
                               NULL};
  struct message why;

  assert_int_equal (make_devices (&devices, given, &skips, &why), 0);
  d = device_connect (&devices->device[0], NULL);
  m = (struct model){.size = SIZE,
                     .zone_size = ZONE,
                     .capacity = (once ? 8 : 7) * 1024,
                     .nr_conv = 2,
                     .max_open = MAX_OPEN,
                     .max_active = MAX_ACTIVE,
                     .memory = true,
                     .split = true};
  model_begin (&m);
  memset (bad, 0, sizeof bad);
}

static void
mark_some (void)
{
  const unsigned first = random_below (&random_state, SECTORS - 4);
  const unsigned end = first + 1 + random_below (&random_state, 3);
  struct badblocks_change *c;
  struct message why;
  char text[32];

  snprintf (text, sizeof text, "+%u-%u", first, end - 1);
  assert_int_equal (badblocks_parse (text, &c, &why), 0);
  assert_int_equal (badblocks_reserve (&d->device->badblocks, c), 0);
  badblocks_apply (&d->device->badblocks, c, &d->version->s.badblocks);
  badblocks_change_free (c);
  memset (&bad[first], true, end - first);
}

/* The first bad one from FIRST on, or END. */
static unsigned
first_bad (unsigned first, unsigned end)
{
  while (first < end && !bad[first])
    first++;
  return first;
}

static void
heal (unsigned at)
{
  unsigned i;

  if (!once)
    return;
  for (i = at; i < SECTORS && bad[i]; i++)
    bad[i] = false;
  for (i = at; i > 0 && bad[i - 1]; i--)
    bad[i - 1] = false;
}

/* A write of N sectors has met the bad one at I, of those from AT on, and gave
 * R.
 */
static void
write_met (unsigned i, unsigned at, unsigned n, int r)
{
  if (i == at + n)
    return;
  if (!mend && m.came_through)
    heal (i);
  if (mend && r == 0)
    memset (&bad[at], false, n);
}

static void
compare (int r, int expected)
{
  struct zone_descriptor z[ZONES];
  char text[16 * SECTORS] = "", *is;
  unsigned i, end;
  int active = 0;

  if (r != expected)
    fail_msg ("%s: %d, not %d", last, r, expected);
  zones_read_table (d->device->zones, 0, z, ZONES);
  for (i = 0; i < ZONES; i++) {
    if (z[i].cond != m.zones[i].cond ||
        (m.zones[i].wp != MODEL_NO_WP &&
         le64toh (z[i].wp) * 512 != m.zones[i].wp))
      fail_msg ("%s: zone %u has condition %d, not %d, or another write "
                "pointer",
                last, i, z[i].cond, m.zones[i].cond);
    active += z[i].cond >= ZONE_COND_IMP_OPEN && z[i].cond <= ZONE_COND_CLOSED;
  }
  assert_true (active <= MAX_ACTIVE);
  for (i = first_bad (0, SECTORS); i < SECTORS; i = first_bad (end, SECTORS)) {
    for (end = i; end < SECTORS && bad[end]; end++)
      ;
    sprintf (text + strlen (text), "%s+%u-%u", text[0] != 0 ? "," : "", i,
             end - 1);
  }
  is = badblocks_format (&d->device->badblocks);
  if (strcmp (is, text[0] != 0 ? text : "none") != 0)
    fail_msg ("%s: %s are bad, not %s", last, is, text);
  free (is);
}

static unsigned char data[LONGEST * SECTOR];

static void
do_append (const struct model_zone *zone, unsigned n)
{
  const unsigned at = zone->wp != MODEL_NO_WP ? zone->wp / SECTOR : 0;
  const unsigned end = at + n < SECTORS ? at + n : SECTORS;
  const unsigned i = first_bad (at, end);
  const uint64_t cut = i == end || mend ? n * SECTOR
                       : partial        ? (i - at) * SECTOR
                                        : 0;
  uint64_t went, model_went = zone->start;
  int r;

  snprintf (last, sizeof last, "append of %u to zone %d", n,
            (int) (zone - m.zones));
  memset (data, 1 + random_below (&random_state, 255), sizeof data);
  r = model_append (&m, data, n * SECTOR, &model_went, cut);
  if (i < end)
    write_met (i, at, n, r);
  compare (device_append (d, data, n * SECTOR, zone->start, false, &went), r);
  if (r == 0)
    assert_int_equal (went, model_went);
}

/* More often than not at the write pointer of a zone, and within it. */
static void
do_one (void)
{
  static unsigned char back[sizeof data], model_back[sizeof data];
  static const int conditions[] = {M_EMPTY,  M_EMPTY, M_EXP_OPEN,
                                   M_CLOSED, M_FULL,  M_OFFLINE};
  const struct model_zone *zone = &m.zones[random_below (&random_state, ZONES)];
  struct zone_descriptor command;
  unsigned at = zone->start / SECTOR, end = at + ZONE / SECTOR, n, i;
  uint64_t offset, done, cut;
  int r;

  if (zone->wp < zone->start + ZONE && random_below (&random_state, 5) > 0)
    at = zone->wp / SECTOR;
  else
    at += random_below (&random_state, ZONE / SECTOR);
  n = 1 + random_below (&random_state, LONGEST);
  if (random_below (&random_state, 3) > 0)
    n = n < end - at ? n : end - at;
  n = n < SECTORS - at ? n : SECTORS - at;
  offset = (uint64_t) at * SECTOR;
  i = first_bad (at, at + n);
  cut = i == at + n || mend ? n * SECTOR : partial ? (i - at) * SECTOR : 0;
  /* What lies in the zones before is written in any case. */
  if (!partial && !mend && i < at + n &&
      i / (ZONE / SECTOR) != at / (ZONE / SECTOR))
    cut = (i / (ZONE / SECTOR) * (ZONE / SECTOR) - at) * SECTOR;
  switch (random_below (&random_state, 12)) {
  case 0:
    mark_some ();
    break;
  case 1:
    command.cond = conditions[random_below (&random_state, 6)];
    snprintf (last, sizeof last, "command %d", command.cond);
    r = device_zone_commands (d, zone - m.zones, &command, 1, &done);
    compare (r, model_command (&m, zone - m.zones, command.cond));
    break;
  case 2:
  case 3:
    snprintf (last, sizeof last, "read of %u at %u", n, at);
    r = model_read (&m, model_back, n * SECTOR, offset);
    if (r == 0 && i < at + n) {
      r = -EIO;
      heal (i);
    }
    compare (device_read (d, back, n * SECTOR, offset), r);
    if (r == 0)
      assert_memory_equal (back, model_back, n * SECTOR);
    break;
  case 4:
  case 5:
    do_append (zone, n);
    break;
  default:
    snprintf (last, sizeof last, "write of %u at %u", n, at);
    memset (data, 1 + random_below (&random_state, 255), sizeof data);
    if (random_below (&random_state, 4) == 0) {
      r = model_write (&m, NULL, n * SECTOR, offset, cut);
      write_met (i, at, n, r);
      compare (device_zero (d, n * SECTOR, offset, true, false), r);
    }
    else {
      r = model_write (&m, data, n * SECTOR, offset, cut);
      write_met (i, at, n, r);
      compare (device_write (d, data, n * SECTOR, offset, false), r);
    }
  }
}

static void
test_model (void **state)
{
  const uint64_t operations = nr_operations (40000);
  unsigned kind;
  uint64_t i;

  (void) state;
  random_state = new_seed ("zones with bad blocks");
  for (kind = 0; kind < 8; kind++) {
    once = kind & 1;
    partial = kind & 2;
    mend = kind & 4;
    create ();
    for (i = 0; i < operations; i++)
      do_one ();
    devices_destroy (devices);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_model),
  };

  return RUN_TESTS (tests);
}
