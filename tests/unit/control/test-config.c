/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What .config says can be read, kept and written back, always: with any
 * settings, rules, bad blocks and history.  Written back to the same device it
 * changes nothing, not even what is drawn next, as a twin shows that has the
 * same history but for that; written back after changes it undoes them.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/control.h"
#include "device/device.h"
#include "devices.h"
#include "unit.h"

#define NR(array) (sizeof (array) / sizeof ((array)[0]))

#define MAX_GIVEN 64

/* As in .config. */
#define SIZE 65536

static uint64_t seed; /* of all that is random here */

/* A name with all that a rule has to write in another way. */
static char path[64];

static struct side {
  struct devices *devices;
  struct connection *data, *config, *stats;
  char before[SIZE + 1], after[SIZE + 1];
} sides[2];

static uint64_t
below (uint64_t n)
{
  return random_below (&seed, n);
}

#define ONE_OF(...)                                                            \
  one_of ((const char *const[]){__VA_ARGS__},                                  \
          NR (((const char *const[]){__VA_ARGS__})))

static const char *
one_of (const char *const *texts, size_t n)
{
  return texts[below (n)];
}

/*---------------------------------------------------------------------*/
/* Random texts */

static const char *
random_duration (void)
{
  static char text[300];

  switch (below (7)) {
  case 0:
    return "0";
  case 1:
    snprintf (text, sizeof text, "%" PRIu64 "ns", below (2000));
    return text;
  case 2:
    return "uniform:0-1.5us";
  case 3:
    return "normal:1us,0.2us";
  case 4:
    return "lognormal:p50=0.5us,p99=2us";
  case 5:
    return "percentiles:p0=0,p50=0,p99.99=1us";
  default:
    snprintf (text, sizeof text, "file:%s", path);
    return text;
  }
}

static void
add (char *text, const char *what)
{
  strcat (strcat (text, " "), what);
}

static void
add_number (char *text, const char *what, uint64_t n)
{
  sprintf (text + strlen (text), " %s%" PRIu64, what, n);
}

/* A path in a rule. */
static void
add_path (char *text)
{
  const char *s;
  size_t len;

  strcat (text, "file:");
  for (s = path; *s != '\0'; s++) {
    len = strlen (text);
    if (*s == ' ' || *s == '\\')
      text[len++] = '\\';
    text[len++] = *s;
    text[len] = '\0';
  }
}

/* One that does not hang or disconnect, and depends on no time. */
static const char *
random_rule (bool zoned)
{
  static char text[1000];

  text[0] = '\0';
  if (below (3) == 0)
    add_number (text, "name=n", next_random (&seed));
  if (below (2))
    add (text, ONE_OF ("op=read", "op=write", "op=read,write", "op=write,flush",
                       "op=all"));
  switch (below (3)) {
  case 0:
    add_number (text, "range=", 512 * below (2048));
    strcat (text, ONE_OF ("+4K", "+512", "+1M", "+777"));
    break;
  case 1:
    if (zoned)
      add (text, ONE_OF ("zones=1", "zones=0-2,5", "zones=3,3"));
  }
  if (below (6) == 0)
    add (text, ONE_OF ("from=0 for=80000s", "for=3600.5s", "from=0"));
  if (below (4) == 0)
    add_number (text, "after=", below (10));
  if (below (3) == 0)
    add_number (text, "every=", 1 + below (4));
  if (below (2))
    add (text, ONE_OF ("rate=50%", "rate=1:3", "rate=0.000000001", "rate=0",
                       "rate=12.3456789%", "rate=100%"));
  if (below (3) == 0)
    add_number (text, "count=", 1 + below (20));
  switch (below (4)) {
  case 0:
    add (text, ONE_OF ("error=EIO", "error=EPERM", "error=ENOSPC"));
    break;
  case 1:
    add (text, "delay=");
    if (below (2))
      strcat (text, ONE_OF ("0", "1us", "uniform:0-1us", "percentiles:p5=1ns"));
    else
      add_path (text);
    break;
  default:
    add (text, ONE_OF ("error=EINVAL", "error=ENOMEM", "error=ESHUTDOWN"));
  }
  return text;
}

/* A setting that may change while a server runs, or a list. */
static void
random_change (char *text, size_t len)
{
  static const struct {
    const char *key, *values[4];
  } table[] = {
      {"read-only", {"true", "false", "0", "no"}},
      {"discard", {"true", "false", "1", "off"}},
      {"memory-limit", {"16M", "20M", "33554432", "20481K"}},
      {"power-off-reply", {"error", "error", "error", "error"}},
      {"lanes", {"none", "1", "3", "1024"}},
      {"stall", {"none", "every:100s,for:1ns", "every:90s,for:0.5ms", "none"}},
      {"mbps", {"none", "40960", "40000", "0"}},
      {"read-mbps", {"none", "39999", "40960", "none"}},
      {"write-iops", {"none", "1000000000", "999999999", "none"}},
      {"iops", {"none", "1000000000", "500000000", "none"}},
      {"read-size-latency",
       {"none", "4K:0,1M:0", "512:0,1K:1ns", "4K:1ns,64K:2ns,1M:3ns"}},
      {"write-size-latency", {"none", "0:0,4294967295:1ns", "none", "4K:0"}},
      {"read-load-latency", {"none", "1ns", "4K:1ns,64K:2ns", "0"}},
      {"write-load-latency", {"none", "0:0,4294967295:1ns", "2ns", "4K:0"}},
      {"buffer-size", {"0", "1M", "16E", "4G"}},
      {"drain-latency", {"0", "1us", "uniform:0-1us", "100s"}},
      {"drain-mbps", {"none", "1", "40960", "0"}},
      {"drain-batch", {"0", "4K", "1M", "7"}},
      {"drain-pause", {"0", "1us", "uniform:0-1us", "100s"}},
      {"drain-pause-every", {"0", "4K", "1M", "7"}},
      {"plp", {"true", "false", "1", "no"}},
      {"disk",
       {"none", "track:0,full:0,rpm:100000", "rpm:99999,full:1ns,track:1ns",
        "track:0,full:0,rpm:100000,mbps:40960,queue:256,from:2,batch:256,sweep:"
        "1"}},
      {"flash",
       {"none", "dies:8,page:4K,read:0", "read:1us,page:16K,dies:1",
        "dies:9,page:4K,read:0,program:1ns,erase:1ns,block:1M,channels:9,"
        "mbps:40960"}},
      {"collection",
       {"none", "after:0,factor:1", "after:0.123,factor:2.5,sequential:1.5",
        "after:1,factor:1000,recovery:40960"}},
      {"io-size", {"0", "1", "256K", "1T"}},
      {"io-merge", {"true", "false", "1", "no"}},
      {"iops-credits",
       {"none", "base:1000000000,burst:1000000000,bucket:1",
        "bucket:1125899906842624,burst:1000000000,base:999999999", "none"}},
      {"mbps-credits",
       {"none", "base:40960,burst:40960,bucket:1",
        "bucket:1099511627776,burst:40960,base:40000", "none"}},
      {"latency-spin", {"auto", "0", "3us", "10ms"}},
      {"seed", {"random", "5", "6", "18446744073709551615"}},
      {"badblocks-once", {"true", "false", "0", "1"}},
      {"badblocks-partial-io", {"true", "false", "0", "1"}},
      {"badblocks-mend", {"true", "false", "0", "1"}},
      {"badblocks",
       {"none,+5-9,+100-107", "+0-0,-6-7", "+2000-2047",
        "-0-18446744073709551615"}},
  };
  static const char *const of[] = {
      "latency",      "read-latency", "write-latency", "flush-latency",
      "trim-latency", "zero-latency", "zone-latency"};
  size_t i;

  i = below (NR (table) + 4);
  if (i < NR (table))
    snprintf (text, len, "%s=%s", table[i].key, table[i].values[below (4)]);
  else
    snprintf (text, len, "%s=%s", of[below (NR (of))], random_duration ());
}

/*---------------------------------------------------------------------*/
/* Devices */

static void
begin (struct side *side, const char *const *given)
{
  struct message why;

  if (make_devices (&side->devices, given, &cancels, &why) != 0)
    fail_msg ("%s", why.text);
  assert_int_equal (
      control_connect (side->devices, "nullb0", true, &side->data), 0);
  assert_int_equal (
      control_connect (side->devices, "nullb0.config", true, &side->config), 0);
  assert_int_equal (
      control_connect (side->devices, "nullb0.stats", true, &side->stats), 0);
}

/* Without the reason of a change that was refused, and newlines at the end. */
static void
read_config (struct side *side, char *text)
{
  size_t len = SIZE;
  char *line;

  assert_int_equal (control_read (side->config, text, SIZE, 0), 0);
  while (len > 0 && text[len - 1] == '\n')
    len--;
  text[len] = '\0';
  if (strncmp (text, "# error", 7) == 0) {
    line = strchr (text, '\n') + 1;
    memmove (text, line, strlen (line) + 1);
  }
}

static int
write_config (struct side *side, const char *text, struct message *why)
{
  return control_write (side->config, text, strlen (text), 0, why);
}

static void
must_write (struct side *side, const char *text, const char *what)
{
  struct message why;

  if (write_config (side, text, &why) != 0)
    fail_msg ("%s: %s\nin: %s", what, why.text, text);
}

/* The same change to both sides.  It may be refused: by both. */
static void
change_both (const char *text)
{
  struct message why[2];
  int r[2];

  r[0] = write_config (&sides[0], text, &why[0]);
  r[1] = write_config (&sides[1], text, &why[1]);
  assert_int_equal (r[0], r[1]);
}

/* The same request to both gets the same. */
static void
request_both (uint64_t block)
{
  static uint8_t bufs[2][65536];
  const uint64_t offset = block * (1 + below ((1 << 20) / block - 1));
  const uint32_t count = (uint32_t) (block * (1 + below (65536 / block)));
  const uint32_t most =
      (1 << 20) - offset < count ? (uint32_t) ((1 << 20) - offset) : count;
  const unsigned what = below (5);
  int i, r[2];

  for (i = 0; i < 2; i++) {
    struct connection *c = sides[i].data;

    memset (bufs[i], (int) what, sizeof bufs[i]);
    switch (what) {
    case 0:
      r[i] = device_write (c, bufs[i], most, offset, false);
      break;
    case 1:
      r[i] = device_flush (c);
      break;
    case 2:
      r[i] = device_trim (c, most, offset, false);
      break;
    case 3:
      r[i] = device_zero (c, most, offset, true, false);
      break;
    default:
      r[i] = device_read (c, bufs[i], most, offset);
    }
  }
  assert_int_equal (r[0], r[1]);
  assert_memory_equal (bufs[0], bufs[1], sizeof bufs[0]);
}

/* What has been drawn, and what rules have counted. */
static void
compare_sides (void)
{
  static char texts[2][1 << 20];
  char *faults[2], *end;
  int i;

  for (i = 0; i < 2; i++) {
    assert_int_equal (
        control_read (sides[i].stats, texts[i], sizeof texts[i], 0), 0);
    texts[i][sizeof texts[i] - 1] = '\0';
    faults[i] = strstr (texts[i], "\"badblocks\"");
    end = strstr (texts[i], "\"operations\"");
    assert_true (faults[i] != NULL && end != NULL);
    *end = '\0';
  }
  assert_string_equal (faults[0], faults[1]);
  assert_memory_equal (&sides[0].devices->device[0].random,
                       &sides[1].devices->device[0].random,
                       sizeof sides[0].devices->device[0].random);
}

/*---------------------------------------------------------------------*/

/* What devices are started with: pairs of key and value. */
static bool
random_start (const char **given)
{
  static char texts[8][1000];
  const bool zoned = below (3) == 0;
  size_t n = 0, rules = below (5), i;

#define GIVE(key, ...) (given[n++] = (key), given[n++] = (__VA_ARGS__))
  GIVE ("size", "1M");
  GIVE ("seed", ONE_OF ("1", "77", "123456789"));
  GIVE ("block-size", ONE_OF ("512", "1K", "4096"));
  if (below (2)) {
    GIVE ("memory-backed", "1");
    if (below (2))
      GIVE ("cache-size", ONE_OF ("64K", "1", "8K", "1048576b"));
  }
  if (zoned) {
    GIVE ("zoned", "1");
    GIVE ("zone-size", "128K");
    GIVE ("zone-nr-conv", ONE_OF ("0", "2", "5"));
    GIVE ("zone-reorder-wait", "0");
    if (below (2))
      GIVE ("zone-readonly", ONE_OF ("7", "none", "6-7"));
    if (below (2))
      GIVE ("zone-max-open", ONE_OF ("1", "none", "3"));
    GIVE ("zone-read-past-wp", ONE_OF ("zero", "ones", "error"));
  }
  if (below (3) == 0)
    GIVE ("power-off-reply", "error");
  for (i = 0; i < rules; i++) {
    strcpy (texts[i], random_rule (zoned));
    GIVE ("fault", texts[i]);
  }
  given[n] = NULL;
  assert_true (n < MAX_GIVEN);
  return zoned;
}

static char line[2000];

/* Something that both sides see. */
static void
live_on (bool zoned, uint64_t block)
{
  random_change (line, sizeof line);
  if (below (3) == 0)
    snprintf (line, sizeof line, "fault=%s", random_rule (zoned));
  else if (below (10) == 0)
    snprintf (line, sizeof line, "fault-delete=%" PRIu64, 1 + below (5));
  if (strcmp (line, "seed=random") != 0) /* they would differ */
    change_both (line);
  request_both (block);
}

/* Something that only the first side sees; it may be refused. */
static void
change_one (bool zoned)
{
  struct message why;

  random_change (line, sizeof line);
  if (below (2))
    snprintf (line, sizeof line, "fault=%s", random_rule (zoned));
  else if (below (3) == 0)
    snprintf (line, sizeof line, "fault-delete=%s",
              ONE_OF ("1", "2", "3", "4", "all"));
  else if (below (5) == 0)
    snprintf (line, sizeof line, "profile=%s",
              ONE_OF ("none", "nvme", "sata-ssd", "cloud-disk"));
  (void) write_config (&sides[0], line, &why);
}

static void
write_back (const char *what)
{
  must_write (&sides[0], sides[0].before, what);
  read_config (&sides[0], sides[0].after);
  assert_string_equal (sides[0].after, sides[0].before);
}

/* The document of a device of any history changes nothing when it is written
 * back, and undoes what has changed since.
 */
static void
test_any (void **state)
{
  const char *given[MAX_GIVEN];
  uint64_t block;
  bool zoned;
  int round, i;

  (void) state;
  seed = new_seed ("any");
  for (round = 0; round < 150; round++) {
    zoned = random_start (given);
    begin (&sides[0], given);
    begin (&sides[1], given);
    block = sides[0].devices->settings.block_size;
    for (i = (int) below (30); i > 0; i--)
      live_on (zoned, block);

    read_config (&sides[0], sides[0].before);
    write_back ("written back");
    compare_sides ();
    for (i = 0; i < 30; i++)
      request_both (block);
    compare_sides ();

    read_config (&sides[0], sides[0].before);
    for (i = (int) below (10); i >= 0; i--)
      change_one (zoned);
    write_back ("restored");
    devices_destroy (sides[0].devices);
    devices_destroy (sides[1].devices);
  }
}

/* What is in force needs no file any more. */
static void
test_without_file (void **state)
{
  const char *given[] = {"size", "1M", NULL};

  (void) state;
  begin (&sides[0], given);
  strcpy (line, "fault=delay=");
  add_path (line);
  strcat (line, "\nread-latency=file:");
  strcat (line, path);
  strcat (line, "\n");
  must_write (&sides[0], line, "set");
  assert_int_equal (rename (path, "test-config-elsewhere"), 0);
  read_config (&sides[0], sides[0].before);
  write_back ("written back");
  assert_int_equal (rename ("test-config-elsewhere", path), 0);
  devices_destroy (sides[0].devices);
}

static int
make_file (void **state)
{
  FILE *fp;

  (void) state;
  snprintf (path, sizeof path, "test-config %d a\\b  \"\xe9\xc3\xa9",
            (int) getpid ());
  fp = fopen (path, "w");
  if (fp == NULL)
    return -1;
  fputs ("0,100\n50,100\n99.9,2000\n", fp);
  return fclose (fp);
}

static int
remove_file (void **state)
{
  (void) state;
  return unlink (path);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_any),
      cmocka_unit_test (test_without_file),
  };

  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, make_file, remove_file) != 0;
}
