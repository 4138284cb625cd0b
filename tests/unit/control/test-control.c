/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The control exports: what they read, which changes they take and which they
 * refuse, and that a change is there as a whole, while requests are served.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <stdlib.h>

#include "exports.h"

/* The parameters that are live, and all with what they are, in the order of the
 * table; bad blocks and faults, which are none of the settings, are none.
 */
static void
test_reads_settings (void **state)
{
  static const char *const given[] = {"size",
                                      "1G",
                                      "memory-backed",
                                      "true",
                                      "memory-limit",
                                      "64M",
                                      "control",
                                      "any",
                                      "latency",
                                      "1ms",
                                      "write-latency",
                                      "uniform:1us-2us",
                                      "lanes",
                                      "2",
                                      "stall",
                                      "every:1s,for:1ms",
                                      "read-mbps",
                                      "5",
                                      "write-iops",
                                      "6",
                                      "seed",
                                      "7",
                                      NULL};
  static char expected[65536], line[MAX_SETTING];
  struct param_row row;
  size_t i, k, len = 0;

  (void) state;
  create (given);
  devices->front_end.may_be_parallel = true;
  len += sprintf (expected, "# live:");
  for (i = 0; params_row (i, &row); i++) {
    if (row.is_live)
      len += sprintf (expected + len, " %s", row.name);
  }
  len += sprintf (expected + len, "\n# done:");
  for (i = 0; params_print (&data->version->s, i, line, sizeof line); i++) {
    assert_true (params_row (i, &row));
    assert_memory_equal (line, row.name, strlen (row.name));
    assert_int_equal (line[strlen (row.name)], '=');
    len += sprintf (expected + len, "\n%s", line);
  }
  assert_false (params_row (i + 2, &row));
  sprintf (expected + len,
           "\nbadblocks=none\nfault-delete=others\nfault=none\n");
  assert_string_equal (read_all (config), expected);

  for (k = 0; given[k] != NULL; k += 2) {
    snprintf (line, sizeof line, "\n%s=%s\n", given[k], given[k + 1]);
    assert_has (line);
  }
  /* Of each kind. */
  assert_has ("# live: read-only ");
  assert_has (" memory-limit ");
  assert_has (" badblocks fault\n");
  assert_has ("\nread-latency=default\n");
  assert_has ("\nmbps=none\n");
  assert_has ("\nlatency-spin=auto\n");
  assert_has ("\nzone-size=256M\n");
  assert_has ("\ncache-size=0b\n");
  assert_has ("\nblock-size=512\n");
}

/* What was read can be written back. */
static void
test_round_trip (void **state)
{
  static char before[65536];
  struct message why;

  (void) state;
  CREATE ("size", "1G", "memory-backed", "1");
  strcpy (before, read_all (config));
  memset (text + strlen (text), '\n', 65536 - strlen (text));
  assert_int_equal (control_write (config, text, 65536, 0, &why), 0);
  assert_string_equal (read_all (config), before);
}

/* What asks for it is found among what is done, on the same connection only,
 * and not what was refused.
 */
static void
test_done (void **state)
{
  static char lines[200];
  unsigned i;

  (void) state;
  CREATE ("size", "1G", "memory-backed", "1");
  read_all (config);
  assert_has ("\n# done:\n");
  assert_changed ("# ask: a-1\ndiscard=0\n");
  assert_has ("\n# done: a-1\n");
  assert_has ("\ndiscard=false\n");
  read_all (connect_to ("nullb0.config"));
  assert_has ("\n# done:\n");
  assert_refused ("# ask: b2\nsize=2G\n",
                  "size=2G: allowed is what it was started with, 1G: it cannot "
                  "change while the server runs");
  assert_changed ("discard=1\n");
  assert_has ("\n# done: a-1\n");

  /* These are comments. */
  assert_changed ("# ask: \n#ask: x\n# ask: x y\n# ask: x\033\n# ASK: x\n"
                  "# ask: 0123456789012345678901234567890-\n# done: x\n");
  assert_has ("\n# done: a-1\n");

  /* The last ones; of several in one text the last. */
  for (i = 0; i < 9; i++) {
    snprintf (lines, sizeof lines, "# ask: other\n# ask: c%u\n", i);
    assert_changed (lines);
  }
  assert_has ("\n# done: c8 c7 c6 c5 c4 c3 c2 c1\n");
  assert_changed ("# ask: 0123456789012345678901234567890\n");
  assert_has ("\n# done: 0123456789012345678901234567890 c8 c7 ");
}

static void
test_read_only (void **state)
{
  (void) state;
  CREATE ("size", "1G", "memory-backed", "1", "devices", "2");
  assert_changed ("read-only=true\n");
  assert_has ("\nread-only=true\n");
  assert_int_equal (device_write (data, buf, 4096, 0, false), -EROFS);
  assert_int_equal (device_trim (data, 4096, 0, false), -EROFS);
  assert_int_equal (device_write (connect_to ("nullb1"), buf, 4096, 0, false),
                    0);
  assert_changed ("read_only=0");
  assert_int_equal (device_write (data, buf, 4096, 0, false), 0);
}

static void
test_discard (void **state)
{
  uint64_t end;
  enum extent extent;

  (void) state;
  CREATE ("size", "1G", "memory-backed", "1");
  assert_int_equal (device_write (data, buf, 4096, 0, false), 0);
  assert_changed ("discard=false\n");
  assert_int_equal (device_trim (data, 4096, 0, false), 0);
  assert_int_equal (device_extent (data, 4096, 0, &extent, &end), 0);
  assert_int_equal (extent, EXTENT_DATA);
  assert_changed ("discard=true\n");
  assert_int_equal (device_trim (data, 4096, 0, false), 0);
  assert_int_equal (device_extent (data, 4096, 0, &extent, &end), 0);
  assert_int_equal (extent, EXTENT_ZERO);
}

/* The limit is that of all devices, whoever changes it. */
/* The limit that is in force is no reason to refuse another change, even if the
 * machine had more memory when the limit was checked than it has now.
 */
static void
test_machine_that_shrank (void **state)
{
  (void) state;
  CREATE ("size", "1G", "memory-backed", "1", "memory-limit", "512M");
  devices->machine_memory = UINT64_C (511) << 20;
  assert_changed ("latency=1ms\n");
  assert_changed ("latency=0\nmemory-limit=512M\n");
  assert_changed ("memory-limit=511M\n");
  assert_refused ("memory-limit=512M\n",
                  "memory-limit=512M: allowed is a size from 4K to the 511M "
                  "that this machine or cgroup has");
}

static void
test_memory_limit (void **state)
{
  struct connection *other, *other_config;

  (void) state;
  CREATE ("size", "1G", "memory-backed", "1", "memory-limit", "4K", "devices",
          "2");
  other = connect_to ("nullb1");
  other_config = connect_to ("nullb1.config");
  assert_int_equal (device_write (data, buf, 8192, 0, false), -ENOSPC);
  assert_changed ("memory-limit=8K\n");
  assert_int_equal (device_write (data, buf, 8192, 0, false), 0);
  assert_int_equal (device_write (other, buf, 4096, 0, false), -ENOSPC);
  read_all (other_config);
  assert_has ("\nmemory-limit=8K\n");

  /* Lowered below what is held: that stays, and nothing more is taken. */
  assert_changed ("memory-limit=4K\n");
  assert_int_equal (device_write (data, buf, 8192, 0, false), 0);
  assert_int_equal (device_trim (data, 4096, 0, false), 0);
  assert_int_equal (device_write (data, buf, 4096, 0, false), -ENOSPC);
  assert_changed ("memory-limit=512M\n");
  assert_int_equal (device_write (other, buf, 4096, 0, false), 0);
  read_all (stats);
  assert_has ("\"memory\": {\"held\": 8192, \"limit\": 536870912}");
  assert_has ("\"written_blocks\": 1,");
}

static void
test_refusals (void **state)
{
  (void) state;
  CREATE ("size", "1G", "memory-backed", "1", "memory-limit", "64M");
  assert_refused ("read-only=maybe\n",
                  "read-only=maybe: allowed is true or false");
  assert_refused ("size=2G", "size=2G: allowed is what it was started with, "
                             "1G: it cannot change while the server runs");
  assert_refused ("nosuch=1\n", "nosuch=1: unknown parameter; 'nbdkit nullblk "
                                "--help' lists them");
  assert_refused ("timeout=1\n",
                  "timeout=1: this null_blk parameter is the kernel's: the "
                  "timeout is the client's (nbd-client --timeout)");
  assert_refused ("read-only=1\nread_only=1\n",
                  "read_only=1: read-only is given twice");
  assert_refused ("rubbish\n", "rubbish: allowed are lines of KEY=VALUE");
  assert_refused ("=\n", "=: unknown parameter; 'nbdkit nullblk --help' lists "
                         "them");
  assert_refused ("stats=now\n", "stats=now: allowed is reset");
  assert_refused ("\033[2Jx=1\n", "?[2Jx=1: unknown parameter; 'nbdkit nullblk "
                                  "--help' lists them");
  assert_refused ("memory-limit=513M\n",
                  "memory-limit=513M: allowed is a size from 4K to the 512M "
                  "that this machine or cgroup has");

  /* All or nothing: what came before the bad line, too. */
  assert_refused ("read-only=true\nstats=reset\ndiscard=perhaps\n",
                  "discard=perhaps: allowed is true or false");

  /* Once something has been accepted, the error is gone. */
  assert_changed ("# nothing\n\n  \t\r\n");
}

static void
test_places (void **state)
{
  struct message why;

  (void) state;
  CREATE ("size", "1G");
  assert_int_equal (control_write (config, "read-only=1\n", 12, 1, &why),
                    -EINVAL);
  assert_string_equal (why.text, "a write at offset 1: allowed is 0");
  assert_int_equal (device_write (data, buf, 4096, 0, false), 0);

  /* Lines may end in zero bytes and carriage returns, the last in nothing. */
  assert_int_equal (
      control_write (config, "\0discard=0\r\n\0\0 read-only=1 ", 28, 0, &why),
      0);
  read_all (config);
  assert_has ("\nread-only=true\n");
  assert_has ("\ndiscard=false\n");
}

static void
test_random_bytes (void **state)
{
  uint64_t random = new_seed ("random bytes");
  static const char letters[] = "=\n\0#rd-onlyscaitu=stats=reset\nread-only=1";
  struct message why;
  unsigned i, j, len;
  int r;

  (void) state;
  CREATE ("size", "1G", "memory-backed", "1");
  for (i = 0; i < 20000; i++) {
    len = 1 + random_below (&random, i % 100 == 0 ? 65536 : 40);
    for (j = 0; j < len; j++)
      text[j] = random_below (&random, 4) == 0
                    ? (char) next_random (&random)
                    : letters[random_below (&random, sizeof letters)];
    r = control_write (config, text, len, 0, &why);
    assert_true (r == 0 || r == -EINVAL);
    if (r < 0)
      assert_null (strchr (why.text, '\n'));
  }
  assert_changed ("read-only=false\n");
}

static void
test_names (void **state)
{
  static const char *const unknown[] = {
      "nullb2",
      "nullb0.",
      "nullb0.x",
      "nullb2.stats",
      ".stats",
      ".config",
      "nullb0.statsx",
      "nullb0.Config",
      "stats",
      "nullb0.config.stats",
      "nullb0000000000000000000000000000000000000000000000000000000000000000"};
  struct connection *c;
  size_t i;

  (void) state;
  CREATE ("devices", "2");
  for (i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
    assert_int_equal (control_connect (devices, unknown[i], true, &c), -ENOENT);
  assert_int_equal (control_connect (devices, "nullb1.stats", true, &c), 0);
  assert_string_equal (c->device->name, "nullb1");
  assert_false (control_can_write (c->control));

  /* Who may not finds nothing there, but the data. */
  assert_int_equal (control_connect (devices, "nullb1.stats", false, &c),
                    -ENOENT);
  assert_int_equal (control_connect (devices, "nullb1.config", false, &c),
                    -ENOENT);
  assert_int_equal (control_connect (devices, "nullb1", false, &c), 0);
  assert_null (c->control);
  assert_int_equal (control_connect (devices, "", false, &c), 0);
  assert_string_equal (c->device->name, "nullb0");
}

static void
test_statistics (void **state)
{
  struct connection *again;

  (void) state;
  CREATE ("size", "1G", "memory-backed", "1");
  assert_int_equal (device_write (data, buf, 8192, 0, false), 0);
  assert_int_equal (device_write (data, buf, 4096, 4096, false), 0);
  assert_int_equal (device_write (data, buf, 100, 0, false), -EINVAL);
  assert_int_equal (device_read (data, buf, 512, 0), 0);
  assert_int_equal (device_flush (data), 0);
  assert_int_equal (device_trim (data, 4096, 0, false), 0);
  assert_int_equal (device_zero (data, 512, 0, true, false), 0);

  /* A connection's counts outlive it. */
  device_disconnect (data);
  again = connect_to ("nullb0");
  assert_int_equal (device_read (again, buf, 512, 0), 0);

  read_all (stats);
  assert_memory_equal (text, "{\"version\": 1,\n", 15);
  assert_has ("\"connections\": 1,");
  assert_has ("\"queue_depth\": {\"now\": 0, \"largest\": 1, "
              "\"threads\": 0, \"saturated\": 0}");
  assert_has ("\"read\": {\"requests\": 2, \"bytes\": 1024,\n"
              "      \"errors\": {}");
  assert_has ("\"write\": {\"requests\": 3, \"bytes\": 12288,\n"
              "      \"errors\": {\"EINVAL\": 1}");
  assert_has ("\"flush\": {\"requests\": 1, \"bytes\": 0,");
  assert_has ("\"trim\": {\"requests\": 1, \"bytes\": 4096,");
  assert_has ("\"zero\": {\"requests\": 1, \"bytes\": 512,");
  assert_has ("\"zone\": {\"requests\": 0, \"bytes\": 0,");
  assert_has ("\"written_blocks\": 1,");

  assert_changed ("stats=reset\n");
  read_all (stats);
  assert_has ("\"read\": {\"requests\": 0, \"bytes\": 0,");
  assert_has ("\"queue_depth\": {\"now\": 0, \"largest\": 0, "
              "\"threads\": 0, \"saturated\": 0}");
  assert_has ("\"written_blocks\": 1,");
}

/* Latencies begin with the first request after the change, and are told of. */
static void
test_live_latency (void **state)
{
  struct message why;

  (void) state;
  CREATE ("size", "1G");
  assert_null (strstr (read_all (config), "# note:"));
  assert_int_equal (device_read (data, buf, 512, 0), 0);
  assert_changed ("latency=2us\nread-latency=3us\nlatency-spin=0\n");
  assert_int_equal (device_read (data, buf, 512, 0), 0);
  assert_int_equal (device_flush (data), 0);
  assert_int_equal (change ("latency=5us\nwrite-latency=soon\n", &why),
                    -EINVAL);
  assert_int_equal (device_flush (data), 0);
  read_all (stats);
  assert_has ("\"p99.99\": 2975, \"max\": 3000}");
  assert_has ("\"p99.99\": 1999, \"max\": 2000}");
  assert_int_equal (histogram_total (&data->device->stats->op[OP_READ].asked),
                    1);
  assert_int_equal (histogram_total (&data->device->stats->op[OP_FLUSH].asked),
                    2);
  assert_has ("\"parallel\": false");

  /* On a server that serves requests in order, they wait in order. */
  read_all (config);
  assert_has ("# note: requests of a connection wait one after another: ");
  devices->front_end.may_be_parallel = true;
  assert_null (strstr (read_all (config), "# note:"));
  devices->front_end.may_be_parallel = false;
  assert_changed ("latency=0\nread-latency=default\n");
  assert_null (strstr (read_all (config), "# note:"));
}

/* A seed begins its sequence again whenever it is given. */
/* Another seed begins the sequences, and so does an order; the seed that is in
 * force does not.
 */
static void
test_live_seed (void **state)
{
  static const char *const lines[] = {
      "seed=5\nstats=reset\n", "seed=reset\nstats=reset\n",
      "seed=7\nseed=reset\nstats=reset\n", "seed=5\nstats=reset\n",
      "seed=5\nstats=reset\n"};
  static struct histogram asked[5];
  unsigned i, round;

  (void) state;
  CREATE ("size", "1G", "latency", "uniform:0-1us");
  for (round = 0; round < 5; round++) {
    assert_changed (lines[round]);
    for (i = 0; i < 100; i++)
      assert_int_equal (device_read (data, buf, 512, 0), 0);
    asked[round] = counted_by (data)->op[OP_READ].asked;
  }
  assert_memory_equal (&asked[1], &asked[0], sizeof asked[0]);
  assert_memory_not_equal (&asked[2], &asked[0], sizeof asked[0]);
  assert_memory_equal (&asked[3], &asked[0], sizeof asked[0]);
  assert_memory_not_equal (&asked[4], &asked[0], sizeof asked[0]);
  read_all (config);
  assert_has ("\nseed=5\n");
  assert_refused ("seed=reset\nseed=x\n",
                  "seed=x: allowed is random, or a whole number from 0 to "
                  "18446744073709551615");
}

/*---------------------------------------------------------------------*/
/* Settings change under requests of several threads, on one connection and on
 * several.  What a request does is what one of the two sets says.
 */

#define NR_THREADS 4
#define CHANGES 5000

static atomic_bool stop;

struct worker {
  pthread_t thread;
  struct connection *connection;
  unsigned nr;
  unsigned wrong;
};

static void *
work (void *arg)
{
  struct worker *w = arg;
  const uint64_t offset = w->nr * 65536;
  uint8_t out[2048], in[2048];
  bool is_there = false;
  int r;

  memset (in, w->nr + 1, sizeof in);
  while (!atomic_load (&stop)) {
    r = device_write (w->connection, in, sizeof in, offset, false);
    w->wrong += r != 0 && r != -EROFS;
    is_there = is_there || r == 0;
    w->wrong += device_read (w->connection, out, sizeof out, offset) != 0;
    w->wrong += is_there && memcmp (in, out, sizeof in) != 0;
    r = device_flush (w->connection);
    w->wrong += r != 0;
  }
  return NULL;
}

static void
test_changes_under_load (void **state)
{
  static struct worker workers[NR_THREADS];
  struct device_stats *sum = malloc (sizeof *sum);
  uint64_t requests;
  struct message why;
  unsigned i;

  (void) state;
  assert_non_null (sum);
  CREATE ("size", "1G", "memory-backed", "1");
  atomic_store (&stop, false);
  for (i = 0; i < NR_THREADS; i++) {
    workers[i].nr = i;
    workers[i].wrong = 0;
    workers[i].connection = i < 2 ? data : connect_to ("nullb0");
    assert_int_equal (
        pthread_create (&workers[i].thread, NULL, work, &workers[i]), 0);
  }
  for (i = 0; i < CHANGES; i++) {
    assert_int_equal (
        change (i % 2 == 0 ? "read-only=1\ndiscard=0\nlatency=uniform:0-1us\n"
                             "lanes=1\nseed=1\nbadblocks=+1000-1000\n"
                             "fault=op=read delay=1ns\nfault=corrupt=flip "
                             "range=1M+1K\n"
                           : "read-only=0\ndiscard=1\nmemory-limit=64M\n"
                             "latency=0\nread-latency=1ns\nlanes=none\n"
                             "badblocks=none\nfault-delete=all\n",
                &why),
        0);
    if (i % 100 == 0) {
      read_all (stats);
      assert_memory_equal (text + strlen (text) - 6, "  }\n}\n", 6);
    }
    if (i == CHANGES / 2)
      assert_changed ("stats=reset\n");
  }
  atomic_store (&stop, true);
  for (i = 0; i < NR_THREADS; i++) {
    pthread_join (workers[i].thread, NULL);
    assert_int_equal (workers[i].wrong, 0);
  }

  pthread_mutex_lock (&devices->lock);
  device_stats (&devices->device[0], sum);
  pthread_mutex_unlock (&devices->lock);
  assert_int_equal (sum->in_flight, 0);
  assert_int_equal (sum->connections, 3);
  requests = histogram_total (&sum->stats.op[OP_WRITE].served);
  assert_int_equal (sum->stats.op[OP_WRITE].bytes +
                        2048 * sum->stats.op[OP_WRITE].errors[ERROR_EPERM],
                    2048 * requests);
  free (sum);

  /* Only the device and its five connections use a version in the end. */
  assert_int_equal (device_write (data, buf, 4096, 0, false), 0);
  assert_true (atomic_load (&devices->device[0].version)->users <= 6);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_reads_settings),
      TEST (test_round_trip),
      TEST (test_done),
      TEST (test_read_only),
      TEST (test_discard),
      TEST (test_machine_that_shrank),
      TEST (test_memory_limit),
      TEST (test_refusals),
      TEST (test_places),
      TEST (test_random_bytes),
      TEST (test_names),
      TEST (test_statistics),
      TEST (test_live_latency),
      TEST (test_live_seed),
      TEST (test_changes_under_load),
  };

  return RUN_TESTS (tests);
}
