/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The control exports of a real server, through libnbd: what they advertise,
 * changes and refusals on the wire, garbage, and settings that change while
 * requests are served.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "client.h"

#define CONFIG_SIZE (64 * KIB)
#define STATS_SIZE MIB

static char text[STATS_SIZE + 1];

static const char *
read_text (struct nbd_handle *h, uint64_t size)
{
  assert_done (nbd_pread (h, text, size, 0, 0));
  text[size] = '\0';
  assert_int_equal (text[size - 1], '\n');
  return text;
}

static void
assert_has (const char *what)
{
  if (strstr (text, what) == NULL)
    fail_msg ("no '%s' in: %.2000s", what, text);
}

static int
change (struct nbd_handle *h, const char *lines)
{
  return nbd_pwrite (h, lines, strlen (lines), 0, 0);
}

static void
advertises (void **state)
{
  struct nbd_handle *config, *stats;

  (void) state;
  serve ("1G", "memory-backed=true", "rotational=true", "block-size=4K");
  config = connect_to ("nullb0.config");
  stats = connect_to ("nullb0.stats");
  assert_int_equal (nbd_get_size (config), CONFIG_SIZE);
  assert_int_equal (nbd_get_size (stats), STATS_SIZE);
  assert_int_equal (nbd_is_read_only (config), 0);
  assert_int_equal (nbd_is_read_only (stats), 1);
  assert_int_equal (nbd_can_multi_conn (config), 0);
  assert_int_equal (nbd_can_trim (config), 0);
  assert_int_equal (nbd_is_rotational (config), 0);
  assert_int_equal (nbd_get_block_size (config, LIBNBD_SIZE_MINIMUM), 1);
}

static void
changes_and_refuses (void **state)
{
  struct nbd_handle *h, *config, *other;
  char block[512] = {1};

  (void) state;
  serve ("1G", "memory-backed=true");
  h = connect_to ("");
  config = connect_to ("nullb0.config");
  other = connect_to ("nullb0.config");
  assert_done (nbd_pwrite (h, block, sizeof block, 0, 0));
  assert_done (change (config, "read-only=true\n"));
  assert_refused (EPERM, nbd_pwrite (h, block, sizeof block, 0, 0));
  read_text (config, CONFIG_SIZE);
  assert_memory_equal (text, "# live: ", 8);
  assert_has ("\nread-only=true\n");

  assert_refused (EINVAL, change (config, "read-only=false\nsize=1\n"));
  read_text (config, CONFIG_SIZE);
  assert_memory_equal (text, "# error: size=1: allowed is ", 28);
  assert_has ("\nread-only=true\n");
  /* The reason is for who asked. */
  assert_memory_equal (read_text (other, CONFIG_SIZE), "# live: ", 8);
  assert_refused (EPERM, nbd_pwrite (h, block, sizeof block, 0, 0));

  /* A client that comes now is told; the first one was not. */
  assert_int_equal (nbd_is_read_only (connect_to ("")), 1);
  assert_done (change (config, "read-only=false\n"));
  assert_memory_equal (read_text (config, CONFIG_SIZE), "# live: ", 8);
  assert_done (nbd_pwrite (h, block, sizeof block, 0, 0));
}

static void
bad_requests (void **state)
{
  struct nbd_handle *config, *stats;

  (void) state;
  serve ("1G", "memory-backed=true");
  config = connect_to ("nullb0.config");
  stats = connect_to ("nullb0.stats");
  assert_refused (EINVAL, nbd_pwrite (config, "discard=0\n", 10, 10, 0));
  assert_memory_equal (read_text (config, CONFIG_SIZE),
                       "# error: a write at offset 10: allowed is 0\n", 44);
  assert_int_equal (nbd_pwrite (config, text, CONFIG_SIZE, 1, 0), -1);
  assert_int_equal (nbd_pread (config, text, 2, CONFIG_SIZE - 1, 0), -1);
  assert_int_equal (nbd_pwrite (stats, "stats=reset\n", 12, 0, 0), -1);
  assert_int_equal (nbd_trim (config, 512, 0, 0), -1);
  assert_int_equal (nbd_zero (stats, 512, 0, 0), -1);
  read_text (config, CONFIG_SIZE);
  assert_has ("\ndiscard=true\n");
}

static void
garbage (void **state)
{
  uint64_t seed = new_seed ("garbage");
  struct nbd_handle *config;
  unsigned i, len;

  (void) state;
  serve ("1G", "memory-backed=true");
  config = connect_to ("nullb0.config");
  for (i = 0; i < 300; i++) {
    len = 1 + random_below (&seed, i % 10 == 0 ? CONFIG_SIZE : 100);
    fill_random (text, len, &seed);
    if (nbd_pwrite (config, text, len, 0, 0) == -1)
      assert_int_equal (nbd_get_errno (), EINVAL);
    read_text (config, CONFIG_SIZE);
    assert_has ("\ndiscard=true\n");
  }
}

/* A flush of a control export does nothing, and is none of the device's. */
static void
flushes (void **state)
{
  static const char *const names[] = {"nullb0.config", "nullb0.stats",
                                      "nullb0.zones"};
  struct nbd_handle *h;
  unsigned i;

  (void) state;
  serve ("64M", "zoned=true", "zone-size=1M", "read-only=true");
  for (i = 0; i < sizeof names / sizeof names[0]; i++) {
    h = connect_to (names[i]);
    assert_int_equal (nbd_can_flush (h), 1);
    assert_int_equal (nbd_can_fua (h), 0);
    assert_done (nbd_flush (h, 0));
  }
  h = connect_to ("nullb0.config");
  assert_done (change (h, "fault=op=flush error=EIO\npower=cut\n"));
  assert_done (nbd_flush (h, 0));
  read_text (connect_to ("nullb0.stats"), STATS_SIZE);
  assert_has ("\"flush\": {\"requests\": 0,");
}

/* One connection's change is another's: each is there as a whole. */
static void
interleaved_changes (void **state)
{
  struct nbd_handle *a, *b;
  unsigned i;

  (void) state;
  serve ("1G", "memory-backed=true", "parallel=on");
  a = connect_to ("nullb0.config");
  b = connect_to ("nullb0.config");
  for (i = 0; i < 500; i++) {
    assert_done (change (a, "read-only=true\ndiscard=false\n"));
    read_text (b, CONFIG_SIZE);
    assert_has ("\nread-only=true\n");
    assert_has ("\ndiscard=false\n");
    assert_done (change (b, "read-only=false\ndiscard=true\n"));
    read_text (a, CONFIG_SIZE);
    assert_has ("\nread-only=false\n");
    assert_has ("\ndiscard=true\n");
  }
}

static void
counts (void **state)
{
  struct nbd_handle *h, *stats;
  static char block[8192];

  (void) state;
  serve ("1G", "memory-backed=true", "memory-limit=1M", "zero-memory=true");
  stats = connect_to ("nullb0.stats");
  h = connect_to ("");
  assert_done (nbd_pwrite (h, block, 8192, 0, 0));
  assert_refused (EINVAL, nbd_pwrite (h, block, 100, 0, 0));
  assert_done (nbd_pread (h, block, 4096, 0, 0));
  assert_done (nbd_flush (h, 0));
  assert_done (nbd_zero (h, 2 * MIB, 0, 0));
  assert_refused (ENOSPC, nbd_zero (h, 2 * MIB, 0, LIBNBD_CMD_FLAG_NO_HOLE));
  assert_done (nbd_trim (h, 4096, 0, 0));
  disconnect (h);
  h = connect_to ("");
  assert_done (nbd_pwrite (h, block, 4096, 0, 0));

  /* The server closes a connection some time after its client. */
  do
    read_text (stats, STATS_SIZE);
  while (strstr (text, "\"connections\": 2,") != NULL);
  assert_has ("\"read\": {\"requests\": 1, \"bytes\": 4096,");
  assert_has ("\"write\": {\"requests\": 3, \"bytes\": 12288,\n"
              "      \"errors\": {\"EINVAL\": 1}");
  assert_has ("\"flush\": {\"requests\": 1,");
  assert_has ("\"zero\": {\"requests\": 2, \"bytes\": 2097152,\n"
              "      \"errors\": {\"ENOSPC\": 1}");
  assert_has ("\"trim\": {\"requests\": 1, \"bytes\": 4096,");
  assert_has ("\"memory\": {\"held\": 4096, \"limit\": 1048576}");
  assert_has ("\"connections\": 1,");
  assert_done (change (connect_to ("nullb0.config"), "stats=reset\n"));
  read_text (stats, STATS_SIZE);
  assert_has ("\"write\": {\"requests\": 0, \"bytes\": 0,");
}

/* Write and verify on one connection, while settings change on another: a
 * write is done or refused for one reason, and what was written stays.
 */
static atomic_bool stop;
static struct nbd_handle *under_load;

static void *
write_and_verify (void *arg)
{
  uint64_t *wrong = arg, n = 0;
  char in[1024], out[1024];

  memset (in, 0, sizeof in);
  while (!atomic_load (&stop)) {
    memset (out, (int) ++n, sizeof out);
    if (nbd_pwrite (under_load, out, sizeof out, 4096, 0) == 0)
      memcpy (in, out, sizeof in);
    else
      *wrong += nbd_get_errno () != EPERM;
    *wrong += nbd_pread (under_load, out, sizeof out, 4096, 0) == -1;
    *wrong += memcmp (in, out, sizeof in) != 0;
  }
  return NULL;
}

static void
changes_under_load (void **state)
{
  struct nbd_handle *config, *stats;
  uint64_t wrong = 0;
  pthread_t thread;
  unsigned i;

  (void) state;
  serve ("1G", "memory-backed=true");
  under_load = connect_to ("");
  config = connect_to ("nullb0.config");
  stats = connect_to ("nullb0.stats");
  atomic_store (&stop, false);
  assert_int_equal (pthread_create (&thread, NULL, write_and_verify, &wrong),
                    0);
  for (i = 0; i < 2000; i++) {
    assert_done (change (config, i % 2 == 0
                                     ? "read-only=true\nmemory-limit=1M\n"
                                     : "read-only=false\nmemory-limit=2M\n"));
    if (i % 200 == 0)
      read_text (stats, STATS_SIZE);
  }
  atomic_store (&stop, true);
  pthread_join (thread, NULL);
  assert_int_equal (wrong, 0);
  read_text (stats, STATS_SIZE);
  assert_has ("\"errors\": {\"EPERM\": ");
}

static const struct CMUnitTest tests[] = {
    CASE (advertises),   CASE (changes_and_refuses),
    CASE (bad_requests), CASE (garbage),
    CASE (flushes),      CASE (interleaved_changes),
    CASE (counts),       CASE (changes_under_load),
};

MAIN (tests)
