/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The control exports: what is no setting but a device's state (bad blocks and
 * faults, power, the write log, zones), and documents that are long.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include <sys/resource.h>
#include <signal.h>

#include "exports.h"

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
                  "fault=disconnect: this plugin cannot disconnect clients: "
                  "it was built with nbdkit before 1.34");
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

/* A read hangs, and while it does, a block becomes bad.  See wait_ops. */
static int
change_meanwhile (void *opaque, uint64_t nsec)
{
  (void) opaque;
  (void) nsec;
  assert_changed ("badblocks=+0-7\nbadblocks-once=true\nfault-delete=all\n");
  return 0;
}

/* A request that began before a change meets its bad blocks, and all that the
 * change says about them.
 */
static void
test_badblocks_meanwhile (void **state)
{
  (void) state;
  CREATE ("size", "1M", "fault", "op=read hang");
  devices->front_end.wait.sleep_for = change_meanwhile;
  assert_int_equal (device_read (data, buf, 4096, 0), -EIO);
  assert_has ("\nbadblocks-once=true\n");
  read_all (config);
  assert_has ("\nbadblocks=none\n");
}

/* Early writes wait, too, and for other requests. */
static void
test_early_note (void **state)
{
  (void) state;
  CREATE ("size", "16M", "zoned", "1", "zone-size", "4M");
  read_all (config);
  assert_has ("# note: a write ahead of its zone's write pointer keeps later ");
  devices->front_end.may_be_parallel = true;
  assert_null (strstr (read_all (config), "# note:"));
  atomic_store (&devices->front_end.seen_serial, true);
  read_all (config);
  assert_has ("# note: a write ahead of its zone's write pointer keeps later ");
  devices->front_end.max_deferred = 1;
  assert_null (strstr (read_all (config), "# note:"));
  devices->front_end.max_deferred = 0;
}

static void
test_early_note_without_wait (void **state)
{
  (void) state;
  CREATE ("size", "16M", "zoned", "1", "zone-size", "4M", "zone-reorder-wait",
          "0");
  assert_null (strstr (read_all (config), "# note:"));
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

/* Statistics are JSON for those whose integers have 64 bits with a sign, even
 * if all numbers in them that come from a client are as large as it may make
 * them.
 */
static void
test_largest_numbers (void **state)
{
  json_error_t error;
  json_t *json, *left;

  (void) state;
  CREATE ("size", "9223372036854775296", "memory-backed", "1", "devices", "1",
          "cache-size", "1M");
  assert_changed ("power-cut-after=9223372036854775807\n"
                  "badblocks=+18446744073709551614-18446744073709551614\n"
                  "fault=zones=18446744073709551615 after=18446744073709551615 "
                  "every=18446744073709551615 count=18446744073709551615 "
                  "error=EIO\n");
  read_all (stats);
  json = json_loads (text, JSON_REJECT_DUPLICATES, &error);
  if (json == NULL)
    fail_msg ("%s in %s", error.text, text);
  left = json_object_get (json_object_get (json, "power"), "writes_left");
  assert_true (json_integer_value (left) == INT64_MAX);
  json_decref (json);
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
  devices->front_end.disconnect = disconnect;
  disconnects = 0;
  assert_changed ("power-off-reply=disconnect\npower=cut\n");
  assert_has ("power-off-reply=disconnect\n");
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
  assert_int_equal (devices_start_logs (devices, &why), 0);
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
  assert_int_equal (devices_start_logs (devices, &why), 0);
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
                  "power-seed=-1: allowed is a whole number from 1 to "
                  "18446744073709551615");
  assert_refused ("power=cut\npower-seed=0\n",
                  "power-seed=0: allowed is a whole number from 1 to "
                  "18446744073709551615");
  assert_refused ("power-cut-after=soon\n",
                  "power-cut-after=soon: allowed is a whole number of writes "
                  "up to 9223372036854775807, or 0 for none");
  assert_refused ("power-cut-after=9223372036854775808\n",
                  "power-cut-after=9223372036854775808: allowed is a whole "
                  "number of writes up to 9223372036854775807, or 0 for none");
  assert_refused ("power=cut\npower-cut-after=1\n",
                  "power=cut and power-cut-after: allowed is one of them");
  assert_refused ("power=cut\npower-off-reply=disconnect\n",
                  "power-off-reply=disconnect: this plugin cannot disconnect "
                  "clients: it was built with nbdkit before 1.34");
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
  assert_int_equal (control_size (zones->control), sizeof table);
  assert_int_equal (control_block_size (zones->control), 64);
  assert_true (control_can_write (zones->control));
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

/* Descriptors that are written back as they were read are no commands, so that
 * a client may read, change and write more than it wants to change.
 */
static void
test_zones_written_back (void **state)
{
  static const uint8_t conds[] = {
      ZONE_COND_NOT_WP,   ZONE_COND_NOT_WP, ZONE_COND_IMP_OPEN,
      ZONE_COND_EXP_OPEN, ZONE_COND_CLOSED, ZONE_COND_READONLY,
      ZONE_COND_OFFLINE,  ZONE_COND_FULL,   ZONE_COND_EMPTY};
  struct zone_descriptor before[16], table[16];
  struct connection *zones;
  struct message why;
  unsigned i;

  (void) state;
  CREATE ("size", "1M", "memory-backed", "1", "zoned", "1", "zone-size", "64K",
          "zone-capacity", "60K", "zone-nr-conv", "2", "zone-readonly", "5",
          "zone-offline", "6");
  zones = connect_to ("nullb0.zones");
  for (i = 2; i < 5; i++)
    assert_int_equal (device_write (data, buf, 4096, i * 65536, false), 0);
  assert_int_equal (device_write (data, buf, 61440, 7 * 65536, false), 0);
  memset (table, 0, sizeof table);
  table[3].cond = ZONE_COND_EXP_OPEN;
  table[4].cond = ZONE_COND_CLOSED;
  assert_int_equal (control_write (zones, &table[3], 128, 192, &why), 0);
  assert_int_equal (control_read (zones, before, sizeof before, 0), 0);
  for (i = 0; i < sizeof conds; i++)
    assert_int_equal (before[i].cond, conds[i]);

  /* None of them meets a fault, or takes time. */
  assert_changed ("fault=op=zone error=EIO\nzone-latency=100s\n");
  assert_int_equal (control_write (zones, before, sizeof before, 0, &why), 0);
  assert_int_equal (control_read (zones, table, sizeof table, 0), 0);
  assert_memory_equal (table, before, sizeof table);
  read_all (stats);
  assert_has ("\"evaluated\": 0, \"hits\": 0,");
  assert_changed ("fault-delete=all\nzone-latency=0\n");

  /* One among them is changed, as a client does and as a filter of larger
   * blocks does.
   */
  table[8].cond = ZONE_COND_FULL;
  assert_int_equal (control_write (zones, table, sizeof table, 0, &why), 0);
  memset (&table[2], 0, sizeof table[2]);
  table[2].cond = ZONE_COND_EMPTY;
  assert_int_equal (control_read (zones, &table[8], 64, 512), 0);
  assert_int_equal (control_write (zones, table, sizeof table, 0, &why), 0);
  assert_int_equal (control_read (zones, table, sizeof table, 0), 0);
  assert_int_equal (table[2].cond, ZONE_COND_EMPTY);
  assert_int_equal (table[8].cond, ZONE_COND_FULL);
  table[2] = before[2];
  table[8] = before[8];
  assert_memory_equal (table, before, sizeof table);

  /* What was read before the zone has changed is a command... */
  assert_int_equal (control_write (zones, &before[2], 64, 128, &why), -EINVAL);
  /* ... and so is anything else: the conditions that come and go. */
  table[5].reserved_too[23] = 1;
  assert_int_equal (control_write (zones, &table[5], 64, 320, &why), 0);
  memset (&table[6], 0, sizeof table[6]);
  table[6].cond = ZONE_COND_OFFLINE;
  assert_int_equal (control_write (zones, &table[6], 64, 384, &why), 0);
  assert_int_equal (control_read (zones, table, sizeof table, 0), 0);
  assert_int_equal (table[5].cond, ZONE_COND_EMPTY);
  assert_int_equal (table[6].cond, ZONE_COND_EMPTY);

  assert_changed ("power=cut\n");
  assert_int_equal (control_write (zones, table, 64, 0, &why), -ESHUTDOWN);
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

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_zones),
      TEST (test_zones_written_back),
      TEST (test_reset_zones),
      TEST (test_full_histograms),
      TEST (test_continued_reads),
      TEST (test_power),
      TEST (test_wrong_power),
      TEST (test_largest_numbers),
      TEST (test_power_cut_disconnects),
      TEST (test_write_log),
      TEST (test_full_write_log),
      TEST (test_live_badblocks),
      TEST (test_live_faults),
      TEST (test_faults_all_or_nothing),
      TEST (test_faults_round_trip),
      TEST (test_fault_note),
      TEST (test_badblocks_meanwhile),
      TEST (test_early_note),
      TEST (test_early_note_without_wait),
      TEST (test_long_lists),
      TEST (test_quoted),
  };

  return RUN_TESTS (tests);
}
