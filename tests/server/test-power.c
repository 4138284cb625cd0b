/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The volatile write cache and power loss, on a real server: what clients are
 * told of it, and that what was promised to any of four connections is there
 * after every cut, and what was not may be missing.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "faulty.h"

static void
cut_and_on (void **state)
{
  struct nbd_handle *other;

  (void) state;
  SERVE ("64M", "cache-size=1M", "seed=1");
  assert_done (nbd_pwrite (h, buf, BLOCK, 0, 0));
  assert_done (nbd_flush (h, 0));
  assert_done (nbd_pwrite (h, buf, BLOCK, BLOCK, 0));
  assert_stats_have (stats, "\"volatile\": 4096,");
  assert_done (nbd_pwrite (h, buf, BLOCK, 2 * BLOCK, LIBNBD_CMD_FLAG_FUA));
  change_settings (config, "power=cut\nlose=all\n");
  assert_refused (ESHUTDOWN, nbd_pread (h, out, BLOCK, 0, 0));
  assert_refused (ESHUTDOWN, nbd_pwrite (h, buf, BLOCK, 0, 0));
  assert_refused (ESHUTDOWN, nbd_flush (h, 0));
  assert_refused (ESHUTDOWN, nbd_trim (h, BLOCK, 0, 0));
  assert_refused (ESHUTDOWN, nbd_zero (h, BLOCK, 0, 0));
  assert_refused (ESHUTDOWN, nbd_cache (h, BLOCK, 0, 0));
  assert_refused (ESHUTDOWN, ask_extents (h, BLOCK, 0, 0));
  other = connect_to ("nullb0"); /* and finds it as it is */
  assert_refused (ESHUTDOWN, nbd_pread (other, out, BLOCK, 0, 0));
  assert_stats_have (stats, "\"power\": {\"on\": false,");
  change_settings (config, "power=on\n");
  assert_reads (h, buf, BLOCK, 0);
  assert_reads_zero (h, BLOCK, BLOCK);
  assert_reads (other, buf, BLOCK, 2 * BLOCK);
}

static void
fua_is_offered_or_not (void **state)
{
  SERVE ("64M", "cache-size=1M");
  assert_int_equal (nbd_can_fua (h), 1);
  assert_int_equal (nbd_can_flush (h), 1);
  stop_server (state);
  SERVE ("64M", "cache-size=1M", "fua=false");
  assert_int_equal (nbd_can_fua (h), 0);
  assert_int_equal (nbd_can_flush (h), 1);
  assert_int_equal (nbd_can_fua (config), 0);
}

static void
cut_after (void **state)
{
  (void) state;
  SERVE ("64M", "cache-size=1M", "seed=1");
  change_settings (config, "power-cut-after=3\nlose=all\n");
  assert_done (nbd_pwrite (h, buf, BLOCK, 0, 0));
  assert_done (nbd_pwrite (h, buf, BLOCK, BLOCK, 0));
  assert_done (nbd_flush (h, 0));
  assert_refused (ESHUTDOWN,
                  nbd_pwrite (h, buf, BLOCK, 2 * BLOCK, LIBNBD_CMD_FLAG_FUA));
  change_settings (config, "power=on\n");
  assert_reads (h, buf, 2 * BLOCK, 0);
  assert_reads_zero (h, BLOCK, 2 * BLOCK);
}

/* Of what was only acknowledged nothing is left after a cut; what was promised
 * is there.
 */
static void
lose_power (void)
{
  change_settings (config, "power=cut\nlose=all\n");
  change_settings (config, "power=on\n");
}

/* A request with FUA is durable by itself, and without it is not. */
static void
fua_of_a_write (void **state)
{
  (void) state;
  SERVE ("64M", "cache-size=1M");
  assert_done (nbd_pwrite (h, buf, BLOCK, 0, LIBNBD_CMD_FLAG_FUA));
  lose_power ();
  assert_reads (h, buf, BLOCK, 0);
  assert_done (nbd_pwrite (h, other_buf, BLOCK, 0, 0));
  lose_power ();
  assert_reads (h, buf, BLOCK, 0);
}

/* One that is done in steps is durable to its last one. */
static void
fua_of_a_long_write (void **state)
{
  static uint8_t large[5 << 20];

  (void) state;
  SERVE ("64M", "cache-size=16M");
  memset (large, 0xaa, sizeof large);
  assert_done (nbd_pwrite (h, large, sizeof large, 0, LIBNBD_CMD_FLAG_FUA));
  lose_power ();
  assert_reads (h, large, sizeof large, 0);
}

/* Zeroes that may and that may not be a hole. */
static void
fua_of_a_zero (void **state)
{
  static const uint32_t flags[] = {0, LIBNBD_CMD_FLAG_NO_HOLE};
  size_t i;

  (void) state;
  SERVE ("64M", "cache-size=1M");
  for (i = 0; i < 2; i++) {
    assert_done (nbd_pwrite (h, buf, BLOCK, 0, LIBNBD_CMD_FLAG_FUA));
    assert_done (nbd_zero (h, BLOCK, 0, flags[i]));
    lose_power ();
    assert_reads (h, buf, BLOCK, 0);
    assert_done (nbd_zero (h, BLOCK, 0, flags[i] | LIBNBD_CMD_FLAG_FUA));
    lose_power ();
    assert_reads_zero (h, BLOCK, 0);
  }
}

static void
fua_of_a_trim (void **state)
{
  (void) state;
  SERVE ("64M", "cache-size=1M");
  assert_done (nbd_pwrite (h, buf, BLOCK, 0, LIBNBD_CMD_FLAG_FUA));
  assert_done (nbd_trim (h, BLOCK, 0, 0));
  lose_power ();
  assert_reads (h, buf, BLOCK, 0);
  assert_done (nbd_trim (h, BLOCK, 0, LIBNBD_CMD_FLAG_FUA));
  lose_power ();
  assert_reads_zero (h, BLOCK, 0);
}

/* The zone's write pointer is as durable as the data. */
static void
fua_in_zones (void **state)
{
  (void) state;
  SERVE_ZONED ("cache-size=64K");
  assert_done (nbd_pwrite (h, buf, BLOCK, ZONE, LIBNBD_CMD_FLAG_FUA));
  assert_done (write_at (ZONE + BLOCK));
  assert_int_equal (write_pointer (1), 2 * BLOCK);
  lose_power ();
  assert_int_equal (write_pointer (1), BLOCK);
  assert_reads (h, buf, BLOCK, ZONE);
  assert_done (nbd_zero (h, BLOCK, ZONE + BLOCK,
                         LIBNBD_CMD_FLAG_FUA | LIBNBD_CMD_FLAG_NO_HOLE));
  lose_power ();
  assert_int_equal (write_pointer (1), 2 * BLOCK);
  assert_done (nbd_trim (h, ZONE, ZONE, LIBNBD_CMD_FLAG_FUA));
  lose_power ();
  assert_int_equal (write_pointer (1), 0);

  assert_done (nbd_pwrite (h, buf, BLOCK, 0, LIBNBD_CMD_FLAG_FUA));
  assert_done (nbd_trim (h, BLOCK, 0, LIBNBD_CMD_FLAG_FUA)); /* conventional */
  lose_power ();
  assert_reads_zero (h, BLOCK, 0);

  /* What lies before it in its zone, too. */
  assert_done (write_at (2 * ZONE));
  assert_done (
      nbd_pwrite (h, buf, BLOCK, 2 * ZONE + BLOCK, LIBNBD_CMD_FLAG_FUA));
  lose_power ();
  assert_int_equal (write_pointer (2), 2 * BLOCK);
  assert_reads (h, buf, 2 * BLOCK, 2 * ZONE);
}

/*---------------------------------------------------------------------*/
/* Four clients write rising numbers to blocks of their own until the power
 * goes, and flush, or write with FUA, now and then.  What one of them was
 * promised has to be there, or something newer that it had sent.
 */

#define CLIENTS 4
#define BLOCKS 16
#define ROUNDS 25

struct client {
  pthread_t thread;
  struct nbd_handle *h;
  unsigned nr;
  uint64_t random;
  uint64_t sent[BLOCKS], promised[BLOCKS]; /* numbers */
};

static struct client clients[CLIENTS];
static uint64_t number; /* of the round, in its upper bits */

static void *
write_until_off (void *arg)
{
  struct client *c = arg;
  uint64_t acknowledged[BLOCKS], block[BLOCK / 8], n = number;
  unsigned i, b;

  memcpy (acknowledged, c->promised, sizeof acknowledged);
  for (;;) {
    const bool fua = random_below (&c->random, 8) == 0;

    b = random_below (&c->random, BLOCKS);
    n++;
    for (i = 0; i < BLOCK / 8; i++)
      block[i] = n;
    c->sent[b] = n;
    if (nbd_pwrite (c->h, block, BLOCK, (c->nr * BLOCKS + b) * BLOCK,
                    fua ? LIBNBD_CMD_FLAG_FUA : 0) == -1)
      break;
    acknowledged[b] = n;
    if (fua)
      c->promised[b] = n;
    if (random_below (&c->random, 16) == 0) {
      if (nbd_flush (c->h, 0) == -1)
        break;
      memcpy (c->promised, acknowledged, sizeof acknowledged);
    }
  }
  return nbd_get_errno () == ESHUTDOWN ? NULL : arg;
}

/* Returns how many blocks had lost what was promised. */
static unsigned
count_broken (struct client *c)
{
  uint64_t block[BLOCK / 8];
  unsigned b, i, broken = 0;

  for (b = 0; b < BLOCKS; b++) {
    assert_done (
        nbd_pread (c->h, block, BLOCK, (c->nr * BLOCKS + b) * BLOCK, 0));
    for (i = 1; i < BLOCK / 8; i++)
      assert_int_equal (block[i], block[0]); /* never torn within a block */
    broken += block[0] < c->promised[b] || block[0] > c->sent[b];
    /* What is there is durable, and where the next round begins. */
    c->promised[b] = c->sent[b] = block[0];
  }
  return broken;
}

static unsigned
cut_many_times (uint64_t seed)
{
  unsigned round, i, broken = 0;
  char lines[64];
  void *failed;

  memset (clients, 0, sizeof clients);
  for (i = 0; i < CLIENTS; i++) {
    clients[i].nr = i;
    clients[i].random = seed + i;
    clients[i].h = i == 0 ? h : connect_to ("");
  }
  for (round = 1; round <= ROUNDS; round++) {
    number = (uint64_t) round << 32;
    snprintf (lines, sizeof lines, "power-cut-after=%" PRIu64 "\n",
              1 + random_below (&seed, 300));
    change_settings (config, lines);
    for (i = 0; i < CLIENTS; i++)
      assert_int_equal (pthread_create (&clients[i].thread, NULL,
                                        write_until_off, &clients[i]),
                        0);
    for (i = 0; i < CLIENTS; i++) {
      pthread_join (clients[i].thread, &failed);
      assert_null (failed);
    }
    change_settings (config, "power=on\n");
    for (i = 0; i < CLIENTS; i++)
      broken += count_broken (&clients[i]);
  }
  return broken;
}

/* The same with a server of its own, with this rule. */
static unsigned
cut_with (const char *what, const char *fault)
{
  const uint64_t seed = new_seed (what);
  char setting[40];

  snprintf (setting, sizeof setting, "seed=%" PRIu64, seed);
  SERVE ("16M", "block-size=4K", "cache-size=1M", setting, fault);
  return cut_many_times (seed);
}

static void
promises_are_kept (void **state)
{
  (void) state;
  assert_int_equal (cut_with ("cuts", "fault=none"), 0);
  assert_stats_have (stats, "\"cuts\": 25,");
}

/* The same must be seen to fail where flushes lie. */
static void
lies_are_found_out (void **state)
{
  (void) state;
  assert_true (cut_with ("lies", "fault=op=flush corrupt=stale") > 0);
}

static const struct CMUnitTest tests[] = {
    CASE (cut_and_on),          CASE (fua_is_offered_or_not),
    CASE (cut_after),           CASE (fua_of_a_write),
    CASE (fua_of_a_long_write), CASE (fua_of_a_zero),
    CASE (fua_of_a_trim),       CASE (fua_in_zones),
    CASE (promises_are_kept),   CASE (lies_are_found_out),
};

MAIN (tests)
