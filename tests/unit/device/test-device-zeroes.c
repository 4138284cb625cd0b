/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Which requests leave memory behind: writes, writes of zeroes with and
 * without permission to make a hole, and trims, under each combination of
 * zero-memory and discard, which change on the way.  In random order against a
 * naive model: for every page a byte, and whether it holds memory.  With and
 * without a write cache, a write log and zones; flushes and power cuts come
 * between.  What the store holds and reports must be what the model has.
 */

#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/control.h"
#include "device/device.h"
#include "one-device.h"
#include "unit.h"

#define PAGES 256 /* eight chunks of the store */
#define LONGEST 80
#define ZONE_PAGES 64
#define NR_ZONES (PAGES / ZONE_PAGES)

struct page {
  uint8_t byte; /* all of it */
  bool holds;
  bool is_volatile;
};

struct model {
  uint64_t random;
  bool zero_memory, discard;
  bool has_cache;
  struct page pages[PAGES], durable[PAGES]; /* as it is, and after a cut */
  unsigned wp[NR_ZONES];                    /* pages; of a zoned device */

  /* What the test has seen. */
  unsigned changes, held_zeroes, freed_zeroes, cuts;
};

static struct connection *config;
static struct model m;
static uint8_t buf[LONGEST * PAGE];

static void
create (const char *const *given)
{
  struct message why;

  assert_int_equal (make_devices (&devices, given, &cancels, &why), 0);
  assert_int_equal (control_connect (devices, "nullb0", true, &d), 0);
  assert_int_equal (control_connect (devices, "nullb0.config", true, &config),
                    0);
  assert_int_equal (devices_open_logs (devices, &why), 0);
  assert_int_equal (devices_start_logs (devices, &why), 0);
  m = (struct model){.discard = true, .random = new_seed ("zeroes")};
}

#define CREATE(...)                                                            \
  create ((const char *const[]){"size", "1M", "memory-backed", "1",            \
                                __VA_ARGS__, NULL})

/*---------------------------------------------------------------------*/
/* The model */

/* Zeroes where nothing was are no change that a cut takes back, also where they
 * have taken memory.
 */
static void
set_pages (unsigned first, unsigned nr, uint8_t byte, bool holds)
{
  struct page *page;

  for (page = &m.pages[first]; nr > 0; page++, nr--) {
    page->is_volatile = page->is_volatile || page->holds || byte != 0;
    page->byte = byte;
    page->holds = holds;
    if (!page->is_volatile)
      m.durable[page - m.pages] = *page;
  }
}

/* What a client is told by pages, and what it costs. */
static void
check (void)
{
  const struct device *device = &devices->device[0];
  unsigned i, holding = 0;
  enum extent extent;
  uint64_t end;

  for (i = 0; i < PAGES; i++) {
    assert_int_equal (device_read (d, buf, PAGE, (uint64_t) i * PAGE), 0);
    assert_int_equal (buf[0], m.pages[i].byte);
    assert_memory_equal (buf, buf + 1, PAGE - 1);
    holding += m.pages[i].holds;
    if (device->zones == NULL) {
      assert_int_equal (
          device_extent (d, PAGE, (uint64_t) i * PAGE, &extent, &end), 0);
      assert_int_equal (extent, m.pages[i].holds ? EXTENT_DATA : EXTENT_ZERO);
    }
  }
  assert_int_equal (store_written_pages (device->store, 0), holding);
}

/*---------------------------------------------------------------------*/
/* Requests */

static unsigned
random_range (unsigned *nr)
{
  *nr = 1 + random_below (&m.random, random_below (&m.random, 4) ? 8 : LONGEST);
  return random_below (&m.random, PAGES - *nr + 1);
}

static void
reset_zone (unsigned zone)
{
  const struct zone_descriptor empty = {.cond = ZONE_COND_EMPTY};
  uint64_t done;

  assert_int_equal (device_zone_commands (d, zone, &empty, 1, &done), 0);
  set_pages (zone * ZONE_PAGES, ZONE_PAGES, 0, false);
  m.wp[zone] = 0;
}

/* Anywhere, or at a write pointer. */
static unsigned
place (unsigned *nr)
{
  unsigned first = random_range (nr), zone;

  if (devices->device[0].zones == NULL)
    return first;
  zone = random_below (&m.random, NR_ZONES);
  if (m.wp[zone] == ZONE_PAGES)
    reset_zone (zone);
  first = m.wp[zone];
  if (*nr > ZONE_PAGES - first)
    *nr = ZONE_PAGES - first;
  m.wp[zone] += *nr;
  return zone * ZONE_PAGES + first;
}

static void
do_write (bool fua)
{
  unsigned nr;
  const unsigned first = place (&nr);

  memset (buf, 1 + random_below (&m.random, 255), nr * PAGE);
  assert_int_equal (
      device_write (d, buf, nr * PAGE, (uint64_t) first * PAGE, fua), 0);
  set_pages (first, nr, buf[0], true);
}

static void
do_zero (bool fua)
{
  const bool may_trim = random_below (&m.random, 2);
  const bool frees = !m.zero_memory || (may_trim && m.discard);
  unsigned nr;
  const unsigned first = place (&nr);

  assert_int_equal (
      device_zero (d, nr * PAGE, (uint64_t) first * PAGE, may_trim, fua), 0);
  set_pages (first, nr, 0, !frees);
  if (frees)
    m.freed_zeroes++;
  else
    m.held_zeroes++;
}

/* With zones, all of one. */
static void
do_trim (bool fua)
{
  unsigned first, nr, zone;

  first = random_range (&nr);
  if (devices->device[0].zones != NULL) {
    zone = random_below (&m.random, NR_ZONES);
    first = zone * ZONE_PAGES;
    nr = ZONE_PAGES;
    m.wp[zone] = m.discard ? 0 : m.wp[zone];
  }
  assert_int_equal (device_trim (d, nr * PAGE, (uint64_t) first * PAGE, fua),
                    0);
  if (m.discard)
    set_pages (first, nr, 0, false);
}

static void
do_flush (void)
{
  unsigned i;

  assert_int_equal (device_flush (d), 0);
  for (i = 0; i < PAGES; i++)
    m.pages[i].is_volatile = false;
  memcpy (m.durable, m.pages, sizeof m.pages);
}

static void
do_change (void)
{
  char lines[64];
  struct message why;

  m.zero_memory = m.changes & 1;
  m.discard = m.changes >> 1 & 1;
  m.changes++;
  snprintf (lines, sizeof lines, "zero-memory=%d\ndiscard=%d\n", m.zero_memory,
            m.discard);
  assert_int_equal (control_write (config, lines, strlen (lines), 0, &why), 0);
}

/* All that was not flushed goes.  With it goes what it held, and comes what it
 * has given back.
 */
static void
do_cut (void)
{
  device_cut_power (&devices->device[0], LOSE_ALL, 1);
  device_power_on (&devices->device[0]);
  memcpy (m.pages, m.durable, sizeof m.pages);
  m.cuts++;
}

static void
run (unsigned operations)
{
  unsigned i;

  for (i = 0; i < operations; i++) {
    /* What FUA keeps is another test's. */
    const bool fua = !m.has_cache && random_below (&m.random, 4) == 0;
    const unsigned what = random_below (&m.random, 64);

    /* All four in turn, so that none is left to chance. */
    if (i % 32 == 31)
      do_change ();
    if (what <= 2)
      do_flush ();
    else if (what == 3 && m.has_cache)
      do_cut ();
    else if (what <= 24)
      do_zero (fua);
    else if (what <= 32)
      do_trim (fua);
    else
      do_write (fua);
    if (i % 16 == 0)
      check ();
  }
  check ();
  assert_true (m.held_zeroes > operations / 32);
  assert_true (m.freed_zeroes > operations / 16);
  assert_true (!m.has_cache || m.cuts > operations / 256);
}

/*---------------------------------------------------------------------*/

static void
test_plain (void **state)
{
  (void) state;
  CREATE ("parallel", "off");
  run (4000);
}

/* No change is evicted: the cache holds more than all of them. */
static void
test_cache (void **state)
{
  (void) state;
  CREATE ("cache-size", "1T");
  m.has_cache = true;
  run (4000);
}

static void
test_log (void **state)
{
  char path[] = "/tmp/nullblk-zeroes-XXXXXX";
  struct message why;
  int fd = mkstemp (path);

  (void) state;
  assert_true (fd >= 0);
  close (fd);
  CREATE ("write-log", path);
  run (500);
  assert_int_equal (devices_close_logs (devices, &why), 0);
  unlink (path);
}

static void
test_zones (void **state)
{
  (void) state;
  CREATE ("zoned", "1", "zone-size", "256K");
  run (4000);
}

/* Zeroes are not refused for memory, and a limit that is reached is no reason
 * to keep what they overwrite: unless the client asks for memory, and gets it.
 */
static void
test_limit (void **state)
{
  struct message why;
  struct store *store;

  (void) state;
  CREATE ("memory-limit", "64K");
  store = devices->device[0].store;
  memset (buf, 1, sizeof buf);
  assert_int_equal (device_write (d, buf, 16 * PAGE, 0, false), 0);
  assert_int_equal (device_write (d, buf, PAGE, 16 * PAGE, false), -ENOSPC);
  assert_int_equal (device_zero (d, PAGES * PAGE, 0, false, false), 0);
  assert_int_equal (store_charged (store), 0);
  assert_int_equal (device_write (d, buf, 16 * PAGE, 16 * PAGE, false), 0);

  /* Only parts of pages: nothing is given back, and nothing taken. */
  assert_int_equal (device_zero (d, PAGE, 16 * PAGE + 512, false, false), 0);
  assert_int_equal (store_charged (store), 16 * PAGE);

  assert_int_equal (control_write (config, "zero-memory=true\n", 17, 0, &why),
                    0);
  assert_int_equal (device_zero (d, PAGE, 0, false, false), -ENOSPC);
  assert_int_equal (device_zero (d, PAGE, 16 * PAGE, false, false), 0);
  assert_int_equal (device_zero (d, 2 * PAGE, 31 * PAGE, false, false),
                    -ENOSPC);
  assert_int_equal (device_zero (d, PAGE, 16 * PAGE, true, false), 0);
  assert_int_equal (device_zero (d, PAGE, 0, false, false), 0);
  assert_int_equal (device_write (d, buf, PAGE, PAGE, false), -ENOSPC);
  assert_int_equal (device_write (d, buf, PAGE, 0, false), 0);
}

#define TEST(name)                                                             \
  cmocka_unit_test_setup_teardown (name, forget_devices, destroy_devices)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_plain), TEST (test_cache), TEST (test_log),
      TEST (test_zones), TEST (test_limit),
  };

  return RUN_TESTS (tests);
}
