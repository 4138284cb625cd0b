/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Zones whose power is cut at random, against a naive model: of each sequential
 * zone what has been written, and how far a flush or FUA has promised it. After
 * a cut the write pointer stands between the two, below it is what was written,
 * above it nothing; no zone is open, and no more are active than may be.  Four
 * connections write, flush, finish and reset.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "device/device.h"
#include "devices.h"
#include "unit.h"

#define BLOCK 4096
#define BLOCKS 16 /* a zone */
#define ZONE (BLOCKS * BLOCK)
#define ZONES 12
#define CONVENTIONAL 1
#define CLIENTS 4
#define CUTS 1500

struct zone {
  uint8_t written[BLOCKS]; /* the byte of each block */
  unsigned wp, durable;    /* in blocks; at least durable survives */
};

static struct {
  struct devices *devices;
  struct connection *clients[CLIENTS];
  struct zone zones[ZONES];
  uint64_t random;
  bool may_evict;
  unsigned max_active; /* 0: any */

  /* What has been seen. */
  unsigned lost, kept, between, torn, stayed_full;
  unsigned active; /* after this cut */
} m;

static struct connection *
client (void)
{
  return m.clients[random_below (&m.random, CLIENTS)];
}

static struct device *
device (void)
{
  return &m.devices->device[0];
}

static unsigned
any_zone (void)
{
  return CONVENTIONAL + random_below (&m.random, ZONES - CONVENTIONAL);
}

/* A write at the write pointer, or an append, with as many blocks as have room,
 * up to five.  Returns false where power was cut under it: then it may be
 * there, or not, or in part.
 */
static bool
write_some (unsigned zone)
{
  static uint8_t buf[5 * BLOCK];
  struct zone *z = &m.zones[zone];
  const bool fua = random_below (&m.random, 6) == 0;
  const uint64_t start = (uint64_t) zone * ZONE;
  unsigned n = 1 + random_below (&m.random, 5), i;
  uint64_t place = start + z->wp * BLOCK;
  int r;

  if (n > BLOCKS - z->wp)
    n = BLOCKS - z->wp;
  for (i = 0; i < n; i++) {
    z->written[z->wp + i] = 1 + random_below (&m.random, 255);
    memset (buf + i * BLOCK, z->written[z->wp + i], BLOCK);
  }
  if (random_below (&m.random, 2) == 0)
    r = device_append (client (), buf, n * BLOCK, start, fua, &place);
  else
    r = device_write (client (), buf, n * BLOCK, place, fua);
  if (r == 0)
    assert_int_equal (place, start + z->wp * BLOCK);
  if (r == -ENOSPC && m.max_active > 0)
    return true;
  assert_true (r == 0 || r == -ESHUTDOWN);
  z->wp += n;
  if (r == 0 && fua)
    z->durable = z->wp;
  return r == 0;
}

static int
command (unsigned zone, enum zone_cond cond)
{
  const struct zone_descriptor descriptor = {.cond = cond};
  uint64_t done;

  return device_zone_commands (client (), zone, &descriptor, 1, &done);
}

static void
reset (unsigned zone)
{
  assert_int_equal (command (zone, ZONE_COND_EMPTY), 0);
  m.zones[zone].wp = m.zones[zone].durable = 0;
}

/* What was not written is zero from then on. */
static void
finish (unsigned zone)
{
  struct zone *z = &m.zones[zone];

  if (command (zone, ZONE_COND_FULL) == 0) {
    memset (z->written + z->wp, 0, BLOCKS - z->wp);
    if (z->durable == z->wp)
      z->durable = BLOCKS;
    z->wp = BLOCKS;
  }
}

/* Returns false when power was cut. */
static bool
step (void)
{
  const unsigned zone = any_zone ();
  unsigned i;

  if (m.zones[zone].wp == BLOCKS || random_below (&m.random, 40) == 0)
    reset (zone);
  else if (random_below (&m.random, 40) == 0)
    finish (zone);
  else if (random_below (&m.random, 25) > 0)
    return write_some (zone);
  else {
    assert_int_equal (device_flush (client ()), 0);
    for (i = CONVENTIONAL; i < ZONES; i++)
      m.zones[i].durable = m.zones[i].wp;
  }
  return true;
}

static void
check_zone (unsigned zone, enum lose lose)
{
  static uint8_t out[ZONE];
  struct zone *z = &m.zones[zone];
  struct zone_descriptor found;
  uint64_t lost;
  unsigned wp, i;

  assert_int_equal (zones_read_table (device ()->zones, zone, &found, 1), 1);
  wp = (le64toh (found.wp) * 512 - (uint64_t) zone * ZONE) / BLOCK;
  lost = durability_lost_from (device ()->durability, (uint64_t) zone * ZONE);
  if (found.cond == ZONE_COND_FULL && lost != UINT64_MAX) {
    /* No more may be active: as if it had been finished there. */
    assert_int_not_equal (m.max_active, 0);
    m.stayed_full++;
    wp = (lost - (uint64_t) zone * ZONE) / BLOCK;
  }
  else
    assert_int_equal (found.cond == ZONE_COND_FULL, wp == BLOCKS);
  assert_int_equal (found.cond == ZONE_COND_EMPTY, wp == 0);
  assert_int_not_equal (found.cond, ZONE_COND_IMP_OPEN);
  m.active += found.cond == ZONE_COND_CLOSED;
  assert_in_range (wp, z->durable, z->wp);
  if (lose == LOSE_ALL && !m.may_evict)
    assert_int_equal (wp, z->durable);

  assert_int_equal (
      device_read (m.clients[0], out, ZONE, (uint64_t) zone * ZONE), 0);
  for (i = 0; i < BLOCKS; i++) {
    assert_int_equal (out[i * BLOCK], i < wp ? z->written[i] : 0);
    assert_memory_equal (out + i * BLOCK, out + i * BLOCK + 1, BLOCK - 1);
  }
  m.lost += wp < z->wp;
  m.kept += wp == z->wp && z->durable < z->wp;
  m.between += wp > z->durable && wp < z->wp;
  if (found.cond == ZONE_COND_FULL) {
    memset (z->written + wp, 0, BLOCKS - wp);
    wp = BLOCKS;
  }
  z->wp = z->durable = wp;
}

static void
cut_and_check (void)
{
  const enum lose lose =
      random_below (&m.random, 4) == 0 ? LOSE_ALL : LOSE_RANDOM;
  const unsigned after = random_below (&m.random, 40);
  const uint64_t seed = next_random (&m.random);
  unsigned zone;

  /* Now, or under one of the next writes. */
  if (random_below (&m.random, 2) == 0) {
    device_cut_power_after (device (), 1 + after, lose, seed);
    while (step ())
      ;
    m.torn++;
  }
  else {
    for (zone = 0; zone < after; zone++)
      step ();
    device_cut_power (device (), lose, seed);
  }
  assert_int_equal (device_flush (client ()), -ESHUTDOWN);
  device_power_on (device ());
  m.active = 0;
  for (zone = CONVENTIONAL; zone < ZONES; zone++)
    check_zone (zone, lose);
  assert_true (m.max_active == 0 || m.active <= m.max_active);
}

static void
run (const char *what, const char *cache_size, bool may_evict,
     const char *max_active)
{
  const char *const given[] = {"size",
                               "768K",
                               "memory-backed",
                               "1",
                               "block-size",
                               "4K",
                               "cache-size",
                               cache_size,
                               "zoned",
                               "1",
                               "zone-size",
                               "64K",
                               "zone-nr-conv",
                               "1",
                               "zone-reorder-wait",
                               "0",
                               "zone-max-active",
                               max_active,
                               NULL};
  struct message why;
  unsigned i;

  memset (&m, 0, sizeof m);
  m.random = new_seed (what);
  m.may_evict = may_evict;
  m.max_active = strtoul (max_active, NULL, 10);
  assert_int_equal (make_devices (&m.devices, given, &skips, &why), 0);
  for (i = 0; i < CLIENTS; i++) {
    m.clients[i] = device_connect (device (), NULL);
    assert_non_null (m.clients[i]);
  }
  for (i = 0; i < CUTS; i++)
    cut_and_check ();
  printf ("# %s: %u cuts, %u of them under a write; of zones %u fell back, %u "
          "of them in part, and %u kept what was volatile\n",
          what, CUTS, m.torn, m.lost, m.between, m.kept);
  if (m.max_active == 0)
    assert_true (m.lost > CUTS && m.between > CUTS / 10 && m.kept > CUTS / 10);
  else
    assert_true (m.stayed_full > 10);
  devices_destroy (m.devices);
}

static void
test_large_cache (void **state)
{
  (void) state;
  run ("zones, large cache", "16M", false, "0");
}

static void
test_small_cache (void **state)
{
  (void) state;
  run ("zones, small cache", "64K", true, "0");
}

static void
test_limits (void **state)
{
  (void) state;
  run ("zones, two active", "16M", false, "2");
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_large_cache),
      cmocka_unit_test (test_small_cache),
      cmocka_unit_test (test_limits),
  };

  return RUN_TESTS (tests);
}
