/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The control exports: what they read, which changes they take and which they
 * refuse, and that a change is there as a whole, while requests are served.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/resource.h>
#include <signal.h>

#include "control/control.h"
#include "device/device.h"
#include "devices.h"
#include "unit.h"

static struct devices *devices;
static struct connection *data, *config, *stats;
static char text[1 << 20];
static uint8_t buf[65536];

static struct connection *
connect_to (const char *name)
{
  struct connection *c;

  assert_int_equal (control_connect (devices, name, true, &c), 0);
  return c;
}

/* No wait in here is long. */
static int
nap (void *opaque, uint64_t nsec)
{
  (void) opaque;
  (void) nsec;
  return -ESHUTDOWN;
}

static const struct nap how = {.nap = nap};

static void
create (const char *const *given)
{
  struct message why;

  assert_int_equal (make_devices (&devices, given, &how, &why), 0);
  data = connect_to ("nullb0");
  config = connect_to ("nullb0.config");
  stats = connect_to ("nullb0.stats");
}

#define CREATE(...) create ((const char *const[]){__VA_ARGS__, NULL})

static int
setup (void **state)
{
  (void) state;
  devices = NULL;
  return 0;
}

static int
teardown (void **state)
{
  (void) state;
  if (devices != NULL)
    devices_destroy (devices);
  return 0;
}

/* All of a document, without the newlines at its end but one. */
static const char *
read_all (struct connection *c)
{
  const uint64_t size = control_size (c->user);
  uint64_t offset;
  size_t len;

  memset (text, 'x', sizeof text);
  for (offset = 0; offset < size; offset += 4096)
    assert_int_equal (control_read (c, text + offset, 4096, offset), 0);
  for (len = size; len > 0 && text[len - 1] == '\n';)
    len--;
  assert_true (len + 1 < size);
  text[len + 1] = '\0';
  return text;
}

static void
assert_has (const char *what)
{
  if (strstr (text, what) == NULL)
    fail_msg ("no '%s' in: %s", what, text);
}

static int
change (const char *lines, struct message *why)
{
  return control_write (config, lines, strlen (lines), 0, why);
}

static void
assert_changed (const char *lines)
{
  struct message why;

  if (change (lines, &why) != 0)
    fail_msg ("%s: %s", lines, why.text);
  assert_null (strstr (read_all (config), "# error:"));
}

/* Refused for REASON, which the next read has, too; nothing has changed. */
static void
assert_refused (const char *lines, const char *reason)
{
  static char before[65536];
  struct message why;
  const char *after;

  read_all (config);
  strcpy (before, strstr (text, "# live:"));
  assert_int_equal (change (lines, &why), -EINVAL);
  assert_string_equal (why.text, reason);
  after = read_all (config);
  assert_memory_equal (after, "# error: ", 9);
  assert_memory_equal (after + 9, reason, strlen (reason));
  assert_int_equal (after[9 + strlen (reason)], '\n');
  assert_string_equal (after + 9 + strlen (reason) + 1, before);
}

static void
test_reads_settings (void **state)
{
  (void) state;
  CREATE ("size", "1G", "memory-backed", "1", "memory-limit", "64M", "control",
          "any", "latency", "1ms", "write-latency", "uniform:1us-2us", "lanes",
          "2", "stall", "every:1s,for:1ms", "read-mbps", "5", "write-iops", "6",
          "seed", "7");
  devices->ops.parallel = true;
  assert_string_equal (read_all (config),
                       "# live: read-only memory-limit discard "
                       "zero-memory power-cut profile latency read-latency "
                       "write-latency flush-latency trim-latency zero-latency "
                       "zone-latency lanes stall mbps read-mbps write-mbps "
                       "iops read-iops write-iops latency-spin seed "
                       "badblocks-once badblocks-partial-io badblocks fault\n"
                       "size=1G\n"
                       "block-size=512\n"
                       "physical-block-size=4K\n"
                       "rotational=false\n"
                       "read-only=false\n"
                       "devices=1\n"
                       "memory-backed=true\n"
                       "memory-limit=64M\n"
                       "hugepages=false\n"
                       "discard=true\n"
                       "zero-memory=false\n"
                       "cache-size=0b\n"
                       "fua=true\n"
                       "power-cut=error\n"
                       "write-log=none\n"
                       "parallel=auto\n"
                       "control=any\n"
                       "profile=none\n"
                       "latency=1ms\n"
                       "read-latency=default\n"
                       "write-latency=uniform:1us-2us\n"
                       "flush-latency=default\n"
                       "trim-latency=default\n"
                       "zero-latency=default\n"
                       "zone-latency=default\n"
                       "lanes=2\n"
                       "stall=every:1s,for:1ms\n"
                       "mbps=none\n"
                       "read-mbps=5\n"
                       "write-mbps=none\n"
                       "iops=none\n"
                       "read-iops=none\n"
                       "write-iops=6\n"
                       "latency-spin=auto\n"
                       "seed=7\n"
                       "zoned=false\n"
                       "zone-size=256M\n"
                       "zone-capacity=0b\n"
                       "zone-nr-conv=0\n"
                       "zone-max-open=none\n"
                       "zone-max-active=none\n"
                       "zone-full=false\n"
                       "zone-readonly=none\n"
                       "zone-offline=none\n"
                       "zone-read-past-wp=zero\n"
                       "zone-trim=reset\n"
                       "zone-reorder-wait=20ms\n"
                       "badblocks-once=false\n"
                       "badblocks-partial-io=false\n"
                       "badblocks=none\n"
                       "fault-delete=others\nfault=none\n");
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
  assert_false (control_can_write (c->user));

  /* Who may not finds nothing there, but the data. */
  assert_int_equal (control_connect (devices, "nullb1.stats", false, &c),
                    -ENOENT);
  assert_int_equal (control_connect (devices, "nullb1.config", false, &c),
                    -ENOENT);
  assert_int_equal (control_connect (devices, "nullb1", false, &c), 0);
  assert_null (c->user);
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
  devices->ops.parallel = true;
  assert_null (strstr (read_all (config), "# note:"));
  devices->ops.parallel = false;
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
/* Bad blocks and faults */

static void
test_live_badblocks (void **state)
{
  struct connection *other;

  (void) state;
  CREATE ("size", "1G", "devices", "2");
  other = connect_to ("nullb1");
  assert_changed ("badblocks=+0-7,+100-100\nbadblocks-partial-io=1\n");
  assert_has ("\nbadblocks=none,+0-7,+100-100\n");
  assert_int_equal (device_read (data, buf, 512, 7 * 512), -EIO);
  assert_int_equal (device_read (other, buf, 512, 7 * 512), 0);
  read_all (stats);
  assert_has ("\"badblocks\": \"+0-7,+100-100\",");

  /* As null_blk's; then all of it, as read. */
  assert_changed ("badblocks=-2-3\n");
  assert_has ("\nbadblocks=none,+0-1,+4-7,+100-100\n");
  assert_changed ("badblocks=none,+4-6\n");
  assert_has ("\nbadblocks=none,+4-6\n");
  assert_refused ("badblocks=+9-8\n",
                  "badblocks=+9-8: '+9-8': allowed is +FIRST-LAST to mark bad "
                  "sectors of 512 bytes, -FIRST-LAST to clear them (FIRST at "
                  "most LAST, both below 2^64), or none");
  assert_refused ("badblocks=+9-9\nbadblocks=+8-8\n",
                  "badblocks=+8-8: badblocks is given twice");
  assert_refused ("badblocks=+9-9\nnosuch=1\n",
                  "nosuch=1: unknown parameter; 'nbdkit nullblk --help' lists "
                  "them");
  assert_changed ("badblocks=\n");
  assert_has ("\nbadblocks=none\n");
  assert_int_equal (device_read (data, buf, 512, 7 * 512), 0);
}

static void
test_live_faults (void **state)
{
  (void) state;
  CREATE ("size", "1G");
  assert_changed ("fault=op=write error=ENOSPC\n"
                  "fault=name=x count=1 error=EPERM op=read\n");
  assert_has ("\nfault-delete=others\n"
              "fault=op=write error=ENOSPC\n"
              "fault=name=x op=read count=1 error=EPERM\n");
  assert_int_equal (device_write (data, buf, 512, 0, false), -ENOSPC);
  assert_int_equal (device_read (data, buf, 512, 0), -EPERM);
  assert_int_equal (device_read (data, buf, 512, 0), 0);
  read_all (stats);
  assert_has ("\"faults\": [\n"
              "    {\"id\": 1, \"name\": null, \"rule\": \"op=write "
              "error=ENOSPC\", \"evaluated\": 1, \"hits\": 1, "
              "\"spent\": false},\n"
              "    {\"id\": 2, \"name\": \"x\", \"rule\": \"name=x op=read "
              "count=1 error=EPERM\", \"evaluated\": 2, \"hits\": 1, "
              "\"spent\": true}],\n");
  assert_changed ("stats=reset\n");
  read_all (stats);
  assert_has ("\"evaluated\": 0, \"hits\": 0, \"spent\": true}],\n");

  /* A name can be used again in the change that deletes it. */
  assert_changed ("fault=name=x op=flush error=EIO\nfault-delete=x,1\n");
  assert_has ("\nfault-delete=others\nfault=name=x op=flush error=EIO\n");
  assert_int_equal (device_write (data, buf, 512, 0, false), 0);
  assert_int_equal (device_flush (data), -EIO);
  assert_changed ("fault-delete=all\nfault=none\n");
  assert_has ("\nbadblocks=none\nfault-delete=others\nfault=none\n");
  assert_int_equal (device_flush (data), 0);
}

static void
test_faults_all_or_nothing (void **state)
{
  (void) state;
  CREATE ("size", "1G", "memory-backed", "1", "devices", "2");
  assert_changed ("fault=name=a op=write error=EIO\n");
  assert_refused ("fault-delete=a\nfault=name=b error=EIO\nread-only=maybe\n",
                  "read-only=maybe: allowed is true or false");
  assert_refused ("read-only=1\nbadblocks=+1-1\nmemory-limit=4K\nfault=name=a "
                  "error=EIO\n",
                  "fault: 'name=a': there is such a rule");
  assert_int_equal (device_write (connect_to ("nullb1"), buf, 65536, 0, false),
                    0);
  assert_refused ("fault=error=EIO\nfault-delete=a,b\n",
                  "fault: 'b': allowed is a rule's number or name, all or "
                  "others");
  assert_refused ("fault-delete=a\nfault-delete=a\n",
                  "fault-delete=a: fault-delete is given twice");
  assert_refused ("fault=device=nullb1 error=EIO\n",
                  "fault: 'device=nullb1': this is nullb0");
  assert_refused ("fault=device=nullb2 error=EIO\n",
                  "fault=device=nullb2 error=EIO: there are nullb0 to nullb1");
  assert_refused ("fault=disconnect\n",
                  "fault=disconnect: this nbdkit cannot disconnect clients; "
                  "1.34 and later can");
  assert_refused (
      "fault=hang error=EIO\n",
      "fault=hang error=EIO: 'error=EIO': a rule has one action, and "
      "hang is given; add another rule");
}

/* What was read and written back changes nothing, not even what is counted;
 * what was taken out of it is taken away.
 */
static void
test_faults_round_trip (void **state)
{
  static char before[65536], again[65536];
  struct message why;
  char *line;

  (void) state;
  CREATE ("size", "1G");
  assert_changed ("badblocks=+0-7,+100-100\nfault=op=write count=1 error=EIO\n"
                  "fault=name=x op=flush error=EIO\n");
  assert_int_equal (device_write (data, buf, 512, 8192, false), -EIO);
  strcpy (before, read_all (config));
  assert_int_equal (control_write (config, before, strlen (before), 0, &why),
                    0);
  assert_string_equal (read_all (config), before);
  assert_int_equal (device_write (data, buf, 512, 8192, false), 0);
  read_all (stats);
  assert_has ("\"evaluated\": 2, \"hits\": 1, \"spent\": true}");

  strcpy (again, before);
  line = strstr (again, "fault=op=write");
  memset (line, '#', 1);
  line = strstr (again, ",+0-7");
  memcpy (line, "     ", 5);
  memmove (line, line + 5, strlen (line + 5) + 1);
  assert_changed (again);
  assert_has ("\nbadblocks=none,+100-100\n"
              "fault-delete=others\nfault=name=x op=flush error=EIO\n");
}

/* They make requests wait. */
static void
test_fault_note (void **state)
{
  (void) state;
  CREATE ("size", "1G");
  assert_changed ("fault=error=EIO op=zone\n");
  assert_null (strstr (text, "# note:"));
  assert_changed ("fault=delay=1us op=zone\n");
  assert_has ("# note: requests of a connection wait one after another: ");
  assert_changed ("fault-delete=2\n");
  assert_null (strstr (text, "# note:"));
  assert_changed ("fault=hang op=zone\n");
  assert_has ("# note: requests of a connection wait one after another: ");
}

/* Long lists: what is left out is said, and the rest is there. */
static void
test_long_lists (void **state)
{
  static char lines[60000];
  size_t used, round;
  uint64_t sector = 0;

  (void) state;
  CREATE ("size", "1G");
  for (round = 0; round < 20; round++) {
    used = sprintf (lines, "badblocks=none");
    if (round > 0)
      used = sprintf (lines, "badblocks=+%" PRIu64 "-%" PRIu64, sector, sector);
    while (used < sizeof lines - 100) {
      sector += 2;
      used += sprintf (lines + used, ",+%" PRIu64 "-%" PRIu64, sector, sector);
    }
    strcpy (lines + used, "\n");
    assert_changed (lines);
  }
  assert_has ("\n# badblocks: the list is too long to be shown\n");
  read_all (stats);
  assert_has ("\"badblocks\": null,\n");
  assert_memory_equal (text + strlen (text) - 6, "  }\n}\n", 6);
  assert_changed ("badblocks=none\n");
  for (used = round = 0; round < 1500; round++)
    used += sprintf (lines + used, "fault=after=%zu error=EIO\n", round);
  assert_changed (lines);
  assert_has ("\n# fault: the list is too long to be shown\n");
  assert_null (strstr (text, "fault-delete"));
  read_all (stats);
  assert_has ("\"rule\": \"after=1499 error=EIO\"");
}

/* A rule's file may be called anything: it is JSON, and a rule, all the same.
 */
static void
test_quoted (void **state)
{
  static const char file[] =
      "test-control a\"b\\c \xe9\xc3\xa9\xed\xa0\x80\xff";
  FILE *fp = fopen (file, "w");

  (void) state;
  assert_non_null (fp);
  fputs ("50,100\n100,200\n", fp);
  fclose (fp);
  CREATE ("size", "1G");
  assert_changed ("fault=op=zone delay=file:test-control\\ "
                  "a\"b\\\\c\\ \\xe9\xc3\\xA9\xed\xa0\x80\xff\n");
  assert_has ("/test-control\\ a\"b\\\\c\\ \xe9\xc3\xa9\xed\xa0\x80\xff\n");
  remove (file);
  read_all (stats);
  assert_has ("/test-control\\\\ a\\\"b\\\\\\\\c\\\\ "
              "\\\\xe9\xc3\xa9\\\\xed\\\\xa0\\\\x80\\\\xff\"");
}

/*---------------------------------------------------------------------*/
/* Power */

static void
test_power (void **state)
{
  static char out[4096];
  struct connection *other;

  (void) state;
  CREATE ("size", "1G", "memory-backed", "1", "cache-size", "1M", "devices",
          "2");
  other = connect_to ("nullb1");
  memset (buf, 'a', 4096);
  assert_int_equal (device_write (data, buf, 4096, 0, false), 0);
  read_all (stats);
  assert_has ("\"power\": {\"on\": true, \"volatile\": 4096, \"undo\": ");
  assert_has ("\"writes_left\": 0, \"cuts\": 0, \"lost\": 0, \"kept\": 0},");
  assert_changed ("power=cut\nlose=all\n");
  assert_has ("# note: power is cut: all requests fail with ESHUTDOWN until "
              "power=on\n");
  assert_int_equal (device_read (data, out, 4096, 0), -ESHUTDOWN);
  assert_int_equal (device_read (other, out, 4096, 0), 0);
  assert_changed ("power=cut\n"); /* as it is */
  read_all (stats);
  assert_has ("\"power\": {\"on\": false, \"volatile\": 0, \"undo\": 0, "
              "\"writes_left\": 0, \"cuts\": 1, \"lost\": 8, \"kept\": 0},");
  assert_changed ("power=on\n");
  assert_null (strstr (text, "# note:"));
  assert_int_equal (device_read (data, out, 4096, 0), 0);
  assert_int_equal (out[0], 0);
  assert_changed ("power=on\n");

  assert_changed ("power-cut-after=2\nlose=none\npower-seed=7\n");
  read_all (stats);
  assert_has ("\"writes_left\": 2, \"cuts\": 1,");
  assert_int_equal (device_write (data, buf, 4096, 0, false), 0);
  assert_int_equal (device_write (data, buf, 4096, 4096, false), -ESHUTDOWN);
  assert_int_equal (device_flush (data), -ESHUTDOWN);
  /* On again, and cut ahead, in one write. */
  assert_changed ("power=on\npower-cut-after=1\n");
  assert_changed ("power-cut-after=0\n");
  assert_int_equal (device_write (data, buf, 4096, 4096, false), 0);
}

static unsigned disconnects;

static void
disconnect (void)
{
  disconnects++;
}

/* Clients of the data are dropped, those who can put it back on are not. */
static void
test_power_cut_disconnects (void **state)
{
  struct message why;

  (void) state;
  CREATE ("size", "1G", "zoned", "1");
  devices->ops.disconnect = disconnect;
  disconnects = 0;
  assert_changed ("power-cut=disconnect\npower=cut\n");
  assert_has ("power-cut=disconnect\n");
  assert_int_equal (change ("zones=reset\n", &why), -ESHUTDOWN);
  assert_int_equal (disconnects, 0);
  assert_int_equal (device_flush (data), -ESHUTDOWN);
  assert_int_equal (disconnects, 1);
  assert_changed ("power=on\n");
  assert_int_equal (device_flush (data), 0);
  assert_int_equal (disconnects, 1);
}

/*---------------------------------------------------------------------*/
/* The write log */

static void
test_write_log (void **state)
{
  char path[] = "/tmp/nullblk-control-XXXXXX";
  struct writelog_reader *reader;
  struct writelog_entry e;
  struct message why;
  char same[64], refusal[256];

  (void) state;
  assert_int_equal (close (mkstemp (path)), 0);
  CREATE ("size", "1G", "write-log", path);
  assert_int_equal (devices_open_logs (devices, &why), 0);
  read_all (stats);
  assert_has ("\"write_log\": {\"entries\": 0, \"bytes\": 512, "
              "\"error\": null},\n");
  assert_changed ("read-only=true\nmark= after mkfs \n");
  assert_changed ("mark=a=b\nread-only=false\n");
  snprintf (same, sizeof same, "write-log=%s\n", path);
  assert_changed (same);
  assert_has (same);
  snprintf (refusal, sizeof refusal,
            "write-log=/tmp/other: allowed is what it was started with, %s: it "
            "cannot change while the server runs",
            path);
  assert_refused ("write-log=/tmp/other\n", refusal);
  assert_refused ("mark=x\nmark=y\n", "mark=y: mark is given twice");
  assert_refused ("mark=\nread-only=true\n", "mark: allowed is a text");
  assert_refused ("mark=x\nread-only=perhaps\n",
                  "read-only=perhaps: allowed is true or false");
  read_all (stats);
  assert_has ("\"write_log\": {\"entries\": 2, \"bytes\": 1536, ");
  assert_int_equal (devices_close_logs (devices, &why), 0);
  assert_refused ("mark=x\n",
                  "mark: the device has no write log (write-log=FILE)");
  read_all (stats);
  assert_has ("\"write_log\": null,\n");

  assert_int_equal (writelog_read_open (&reader, path, &why), 0);
  assert_int_equal (writelog_read_next (reader, &e, &why), 1);
  assert_string_equal (e.mark, "after mkfs");
  assert_int_equal (writelog_read_next (reader, &e, &why), 1);
  assert_string_equal (e.mark, "a=b");
  assert_int_equal (writelog_read_next (reader, &e, &why), 0);
  writelog_read_close (reader);
  assert_int_equal (unlink (path), 0);
}

static void
test_full_write_log (void **state)
{
  char path[] = "/tmp/nullblk-control-XXXXXX";
  struct rlimit old, little;
  struct message why;

  (void) state;
  assert_int_equal (close (mkstemp (path)), 0);
  CREATE ("size", "1G", "write-log", path);
  assert_int_equal (devices_open_logs (devices, &why), 0);
  assert_int_equal (unlink (path), 0);
  signal (SIGXFSZ, SIG_IGN);
  assert_int_equal (getrlimit (RLIMIT_FSIZE, &old), 0);
  little = old;
  little.rlim_cur = 1024;
  assert_int_equal (setrlimit (RLIMIT_FSIZE, &little), 0);
  assert_changed ("mark=x\n");
  assert_null (strstr (text, "# note:"));
  assert_int_equal (change ("mark=y\nread-only=true\n", &why), -EIO);
  assert_int_equal (setrlimit (RLIMIT_FSIZE, &old), 0);
  assert_string_equal (why.text,
                       "mark=y: the write log has ended: File too large");
  read_all (config);
  assert_has ("# error: mark=y: the write log has ended: File too large\n");
  assert_has ("# note: the write log has ended: File too large\n");
  read_all (stats);
  assert_has ("\"write_log\": {\"entries\": 1, \"bytes\": 1024, "
              "\"error\": \"File too large\"},\n");
}

static void
test_wrong_power (void **state)
{
  (void) state;
  CREATE ("size", "1G");
  assert_refused ("power=off\n", "power=off: allowed is on or cut");
  assert_refused ("power=cut\nlose=some\n",
                  "lose=some: allowed is random, all or none");
  assert_refused ("power=cut\npower=on\n", "power=on: power is given twice");
  assert_refused ("lose=all\n",
                  "lose: allowed is with power=cut or power-cut-after");
  assert_refused ("power=on\npower-seed=1\n",
                  "power-seed: allowed is with power=cut or power-cut-after");
  assert_refused ("power=cut\npower-seed=-1\n",
                  "power-seed=-1: allowed is a whole number");
  assert_refused ("power-cut-after=soon\n",
                  "power-cut-after=soon: allowed is a whole number of writes, "
                  "or 0 for none");
  assert_refused ("power=cut\npower-cut-after=1\n",
                  "power=cut and power-cut-after: allowed is one of them");
  assert_refused ("power=cut\npower-cut=disconnect\n",
                  "power-cut=disconnect: this nbdkit cannot disconnect "
                  "clients; 1.34 and later can");
  /* All or nothing. */
  assert_refused ("power=cut\nread-only=perhaps\n",
                  "read-only=perhaps: allowed is true or false");
  assert_int_equal (device_flush (data), 0);
}

/* The zone table: whole descriptors, in order, up to the first error. */
static void
test_zones (void **state)
{
  struct zone_descriptor table[16], commands[3];
  struct connection *zones, *none;
  struct message why;

  (void) state;
  CREATE ("size", "1M", "memory-backed", "1", "zoned", "1", "zone-size", "64K",
          "zone-nr-conv", "2");
  zones = connect_to ("nullb0.zones");
  assert_int_equal (control_size (zones->user), sizeof table);
  assert_int_equal (control_block_size (zones->user), 64);
  assert_true (control_can_write (zones->user));
  assert_int_equal (device_write (data, buf, 4096, 2 * 65536, false), 0);

  assert_int_equal (control_read (zones, table, sizeof table, 0), 0);
  assert_int_equal (table[1].cond, ZONE_COND_NOT_WP);
  assert_int_equal (table[2].cond, ZONE_COND_IMP_OPEN);
  assert_int_equal (le64toh (table[2].wp), (2 * 65536 + 4096) / 512);
  assert_int_equal (table[15].cond, ZONE_COND_EMPTY);
  assert_int_equal (control_read (zones, table, 64, 15 * 64), 0);
  assert_int_equal (le64toh (table[0].start), 15 * 65536 / 512);
  assert_int_equal (control_read (zones, table, 32, 0), -EINVAL);
  assert_int_equal (control_read (zones, table, 64, 8), -EINVAL);

  memset (commands, 0, sizeof commands);
  commands[0].cond = ZONE_COND_EMPTY;
  commands[1].cond = ZONE_COND_CLOSED;
  commands[2].cond = ZONE_COND_FULL;
  assert_int_equal (control_write (zones, commands, sizeof commands, 128, &why),
                    -EIO);
  assert_string_equal (why.text, "zone 3: no change to condition 0x4: "
                                 "Input/output error; 1 before it are done");
  assert_int_equal (control_read (zones, table, sizeof table, 0), 0);
  assert_int_equal (table[2].cond, ZONE_COND_EMPTY);
  assert_int_equal (table[4].cond, ZONE_COND_EMPTY);
  assert_int_equal (control_write (zones, &commands[2], 64, 256, &why), 0);
  assert_int_equal (control_write (zones, commands, 100, 0, &why), -EINVAL);
  assert_string_equal (why.text,
                       "a write of 100 bytes at offset 0: allowed are whole "
                       "zone descriptors of 64 bytes");

  read_all (stats);
  assert_has ("\"zones\": {\"number\": 16, \"conventional\": 2, "
              "\"empty\": 13, \"implicitly_open\": 0, "
              "\"explicitly_open\": 0, \"closed\": 0, \"full\": 1, "
              "\"read_only\": 0, \"offline\": 0}");
  assert_has ("\"zone\": {\"requests\": 2, \"bytes\": 0,\n"
              "      \"errors\": {\"EIO\": 1}");

  assert_changed ("read-only=true\n");
  assert_int_equal (control_write (zones, commands, 64, 128, &why), -EROFS);
  devices_destroy (devices);

  CREATE ("size", "1M");
  assert_int_equal (control_connect (devices, "nullb0.zones", true, &none),
                    -ENOENT);
}

/* An action, refused where there is nothing to reset or nothing may be; with
 * settings beside it, all or none.
 */
static void
test_reset_zones (void **state)
{
  (void) state;
  CREATE ("size", "1M", "memory-backed", "1", "zoned", "1", "zone-size", "64K",
          "zone-latency", "7us", "zone-nr-conv", "1", "zone-offline", "3");
  assert_int_equal (device_write (data, buf, 4096, 0, false), 0);
  assert_int_equal (device_write (data, buf, 4096, 65536, false), 0);
  assert_int_equal (device_write (data, buf, 4096, 15 * 65536, false), 0);
  assert_changed ("zones=reset\n");
  read_all (stats);
  assert_has ("\"conventional\": 1, \"empty\": 14, ");
  assert_has ("\"offline\": 1}");
  assert_has ("\"written_blocks\": 1,");
  assert_has ("\"zone\": {\"requests\": 1, \"bytes\": 0,");
  assert_has ("\"max\": 7000}");

  /* Settings come first, and stay as they are when it is refused. */
  assert_refused ("zones=all\n", "zones=all: allowed is reset");
  assert_int_equal (device_write (data, buf, 4096, 65536, false), 0);
  assert_refused ("zones=reset\nread-only=true\n",
                  "zones=reset: the device is read-only");
  assert_changed ("read-only=true\n");
  assert_refused ("discard=false\nzones=reset\n",
                  "zones=reset: the device is read-only");
  assert_int_equal (device_write (data, buf, 4096, 65536, false), -EROFS);
  assert_changed ("zones=reset\nread-only=false\nstats=reset\n");
  assert_int_equal (device_write (data, buf, 4096, 65536, false), 0);
  read_all (stats);
  assert_has ("\"zone\": {\"requests\": 1, \"bytes\": 0,");
  devices_destroy (devices);

  CREATE ("size", "1M");
  assert_refused ("zones=reset\n",
                  "zones=reset: the device has no zones (zoned=true)");
}

/* A document of the largest size that there can be still fits. */
static void
test_full_histograms (void **state)
{
  unsigned op, i;

  (void) state;
  CREATE ("size", "1G");
  for (op = 0; op < NR_OPERATIONS; op++) {
    for (i = 0; i < NR_BUCKETS; i++)
      data->device->stats->op[op].served.bucket[i] =
          data->device->stats->op[op].asked.bucket[i] = UINT64_MAX / NR_BUCKETS;
    for (i = 0; i < NR_ERRORS; i++)
      data->device->stats->op[op].errors[i] = UINT64_MAX;
  }
  read_all (stats);
  assert_memory_equal (text + strlen (text) - 6, "  }\n}\n", 6);
}

/* A read from elsewhere goes on with the text that the last one from 0 made. */
static void
test_continued_reads (void **state)
{
  static char whole[65536];
  char part[16];

  (void) state;
  CREATE ("size", "1G");
  strcpy (whole, read_all (config));
  assert_changed ("read-only=true\n");
  assert_int_equal (control_read (config, part, 16, 0), 0);
  assert_changed ("read-only=false\n");
  assert_int_equal (control_read (config, text, 4096, 16), 0);
  assert_memory_equal (text, whole + 16, 40);
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
  assert_int_equal (sum->depth, 0);
  assert_int_equal (sum->connections, 3);
  requests = histogram_total (&sum->stats.op[OP_WRITE].served);
  assert_int_equal (sum->stats.op[OP_WRITE].bytes +
                        2048 * sum->stats.op[OP_WRITE].errors[ERROR_EPERM],
                    2048 * requests);
  free (sum);

  /* Only the device and its five connections use a set in the end. */
  assert_int_equal (device_write (data, buf, 4096, 0, false), 0);
  assert_true (atomic_load (&devices->device[0].set)->users <= 6);
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, setup, teardown)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_reads_settings),
      TEST (test_round_trip),
      TEST (test_read_only),
      TEST (test_discard),
      TEST (test_memory_limit),
      TEST (test_refusals),
      TEST (test_places),
      TEST (test_random_bytes),
      TEST (test_names),
      TEST (test_statistics),
      TEST (test_live_latency),
      TEST (test_live_seed),
      TEST (test_zones),
      TEST (test_reset_zones),
      TEST (test_full_histograms),
      TEST (test_continued_reads),
      TEST (test_changes_under_load),
      TEST (test_power),
      TEST (test_wrong_power),
      TEST (test_power_cut_disconnects),
      TEST (test_write_log),
      TEST (test_full_write_log),
      TEST (test_live_badblocks),
      TEST (test_live_faults),
      TEST (test_faults_all_or_nothing),
      TEST (test_faults_round_trip),
      TEST (test_fault_note),
      TEST (test_long_lists),
      TEST (test_quoted),
  };

  return RUN_TESTS (tests);
}
