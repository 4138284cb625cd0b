/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The parameters: live changes, settings printed, and messages.
 */

#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "params-of.h"

/*---------------------------------------------------------------------*/
/* Live changes */

static struct params change;

static int change_one (const char *key, const char *value);

/* What cannot change stays, and is compared as what it has come to. */
static void
test_live_profile_of_zones (void **state)
{
  (void) state;
  take ("size", "8G");
  take ("profile", "smr-hdd");
  assert_int_equal (complete (), 0);
  assert_int_equal (p.settings.zones.max_open, 0);
  assert_int_equal (change_one ("profile", "smr-hdd"), 0);
  params_clear (&change);
  assert_int_equal (change_one ("profile", "none"), 0);
  assert_true (change.settings.zones.zoned);
  params_clear (&change);
  assert_int_equal (change_one ("profile", "zns-ssd"), -EINVAL);
  assert_string_equal (why.text,
                       "profile=zns-ssd: zone-size=2G: allowed is what it was "
                       "started with, 256M: it cannot change while the server "
                       "runs");
  params_clear (&change);

  setup (NULL);
  take ("size", "8G");
  take ("zoned", "1");
  take ("zone-max-open", "2");
  assert_int_equal (complete (), 0);
  assert_int_equal (change_one ("profile", "nvme"), 0);
  assert_int_equal (change.settings.zones.max_open, 2);
  params_clear (&change);
}

/* A long list is compared to its end. */
static void
test_live_long_list (void **state)
{
  char list[ZONE_LIST_TEXT] = "1000000", more[ZONE_LIST_TEXT + 16];
  int i;

  (void) state;
  for (i = 1; i < MAX_ZONE_RANGES - 1; i++)
    snprintf (list + strlen (list), sizeof list - strlen (list), ",%d-%d",
              1000000 + 10 * i, 1000005 + 10 * i);
  take ("size", "64G");
  take ("zoned", "1");
  take ("zone-size", "32K");
  take ("zone-readonly", list);
  assert_int_equal (complete (), 0);
  assert_int_equal (change_one ("zone-readonly", list), 0);
  params_clear (&change);
  snprintf (more, sizeof more, "%s,1500000", list);
  assert_int_equal (change_one ("zone-readonly", more), -EINVAL);
  params_clear (&change);
}

static int
change_one (const char *key, const char *value)
{
  int r;

  params_begin_change (&change, &p.settings);
  r = params_change (&change, key, value, &why);
  return r < 0 ? r : params_complete_change (&change, &why);
}

static void
test_live_latency (void **state)
{
  const struct latency_settings *l = &change.settings.latency;

  (void) state;
  take ("latency", "100us");
  take ("read-latency", "1ms");
  assert_int_equal (complete (), 0);

  assert_int_equal (change_one ("latency", "5us"), 0);
  assert_string_equal (distribution_text (l->durations[OP_READ]), "1ms");
  assert_string_equal (distribution_text (l->durations[OP_WRITE]), "5us");
  params_clear (&change);

  assert_int_equal (change_one ("read-latency", "default"), 0);
  assert_string_equal (distribution_text (l->durations[OP_READ]), "100us");
  params_clear (&change);

  assert_int_equal (change_one ("write-latency", "x"), -EINVAL);
  params_clear (&change);
  assert_int_equal (change_one ("irqmode", "2"), -EINVAL);
  assert_string_equal (why.text,
                       "irqmode=2: it is for the command line; while the "
                       "server runs, latency=DURATION says the same");
  params_clear (&change);
  /* The settings in force are as they were. */
  assert_string_equal (
      distribution_text (p.settings.latency.durations[OP_READ]), "1ms");
}

/* A profile takes the place of all that one may set. */
static void
test_live_profile (void **state)
{
  const struct latency_settings *l = &change.settings.latency;

  (void) state;
  take ("latency", "100us");
  take ("lanes", "3");
  take ("mbps", "5");
  assert_int_equal (complete (), 0);

  assert_int_equal (change_one ("profile", "sata-ssd"), 0);
  assert_int_equal (l->lanes, 32);
  assert_int_equal (l->limits.bytes_per_sec[THROTTLE_ALL], 0);
  assert_null (l->durations[OP_FLUSH]);
  assert_non_null (l->durations[OP_READ]);
  params_clear (&change);

  assert_int_equal (change_one ("profile", "none"), 0);
  assert_false (l->waits);
  params_clear (&change);

  assert_int_equal (change_one ("profile", "hdd"), -EINVAL);
  assert_string_equal (why.text,
                       "profile=hdd: rotational=true: allowed is what it was "
                       "started with, false: it cannot change while the "
                       "server runs");
  params_clear (&change);
}

/* What comes from a command line may be long; a message stays one line. */
static void
test_long_values (void **state)
{
  static char value[10000];

  (void) state;
  memset (value, 'x', sizeof value - 1);
  assert_int_equal (params_set (&p, "size", value, &why), -EINVAL);
  assert_true (strlen (why.text) < sizeof why.text);
  assert_non_null (strstr (why.text, "allowed is a size"));
  assert_int_equal (params_set (&p, value, "1", &why), -EINVAL);
  assert_non_null (strstr (why.text, "unknown parameter"));
}

/* Nor do newlines make it two, or an escape colour it. */
static void
test_control_characters (void **state)
{
  (void) state;
  refuse ("rotational", "\033[31m\nno",
          "rotational=?[31m?no: allowed is true or false");
  refuse ("a\nb", "\177",
          "a?b=?: unknown parameter; 'nbdkit nullblk --help' lists them");
}

static void
test_write_log (void **state)
{
  char path[MAX_FILE_NAME + 2];

  (void) state;
  memset (path, 'a', sizeof path);
  path[MAX_FILE_NAME + 1] = '\0';
  assert_string_equal (alone ("write-log", "none")->write_log, "");
  assert_string_equal (alone ("write-log", "./none")->write_log, "./none");
  assert_string_equal (alone ("write-log", path + 1)->write_log, path + 1);
  setup (NULL);
  refuse ("write-log", "",
          "write-log=: allowed is none, or a path of at most 255 bytes, "
          "without control characters and without a blank at its end");
  setup (NULL);
  refuse ("write-log", "a\nb",
          "write-log=a?b: allowed is none, or a path of at most 255 bytes, "
          "without control characters and without a blank at its end");
  setup (NULL);
  assert_int_equal (params_set (&p, "write-log", path, &why), -EINVAL);
}

/* Every setting printed can be given again and means the same. */
static void
test_print (void **state)
{
  static const char *const given[][2] = {{"size", "117738M"},
                                         {"block-size", "1K"},
                                         {"physical-block-size", "8K"},
                                         {"rotational", "1"},
                                         {"read-only", "1"},
                                         {"devices", "7"},
                                         {"memory-backed", "1"},
                                         {"memory-limit", "123M"},
                                         {"hugepages", "1"},
                                         {"discard", "0"},
                                         {"zero-memory", "1"},
                                         {"parallel", "off"},
                                         {"control", "any"},
                                         {"profile", "nvme"},
                                         {"latency", "1.5us"},
                                         {"read-latency", "uniform:0-5ms"},
                                         {"write-latency", "0"},
                                         {"trim-latency", "normal:9us,1us"},
                                         {"lanes", "1024"},
                                         {"stall", "every:2s,for:200ms"},
                                         {"mbps", "40960"},
                                         {"read-mbps", "1"},
                                         {"iops", "1000000000"},
                                         {"write-iops", "7"},
                                         {"latency-spin", "10ms"},
                                         {"seed", "18446744073709551615"},
                                         {"zoned", "1"},
                                         {"zone-size", "1"},
                                         {"zone-capacity", "1023K"},
                                         {"zone-nr-conv", "3"},
                                         {"zone-max-open", "4"},
                                         {"zone-max-active", "5"},
                                         {"zone-full", "1"},
                                         {"zone-readonly", "3,7-9"},
                                         {"zone-offline", "10"},
                                         {"zone-read-past-wp", "error"},
                                         {"zone-trim", "ignore"},
                                         {"zone-cross", "error"},
                                         {"zone-reorder-wait", "1ms"},
                                         {"cache-size", "7"},
                                         {"fua", "0"},
                                         {"power-off-reply", "disconnect"},
                                         {"write-log", "/tmp/a log"},
                                         {"badblocks-once", "1"},
                                         {"badblocks-partial-io", "1"},
                                         {"badblocks-mend", "1"}};
  static char line[MAX_SETTING], other[MAX_SETTING];
  struct params again;
  char *value;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof given / sizeof given[0]; i++)
    take (given[i][0], given[i][1]);
  assert_int_equal (complete (), 0);

  params_init (&again);
  for (i = 0; params_print (&p.settings, i, line, sizeof line); i++) {
    value = strchr (line, '=');
    assert_non_null (value);
    *value++ = '\0';
    assert_int_equal (params_set (&again, line, value, &why), 0);
  }
  assert_true (i >= sizeof given / sizeof given[0]);
  assert_int_equal (params_complete (&again, MEMORY, UINT64_MAX, 4096, &why),
                    0);
  for (i = 0; params_print (&p.settings, i, line, sizeof line); i++) {
    params_print (&again.settings, i, other, sizeof other);
    assert_string_equal (line, other);
  }
  params_clear (&again);
  params_print (&p.settings, 0, line, sizeof line);
  assert_string_equal (line, "size=117738M");
}

static void
test_cache (void **state)
{
  (void) state;
  assert_int_equal (p.settings.cache_size, 0);
  assert_true (p.settings.fua);
  assert_int_equal (alone ("cache-size", "3")->cache_size, 3 << 20);
  assert_int_equal (alone ("cache_size", "64K")->cache_size, 65536);
  assert_false (alone ("fua", "false")->fua);
  assert_int_equal (alone ("power-off-reply", "disconnect")->power_off_reply,
                    POWER_OFF_REPLY_DISCONNECT);
  setup (NULL);
  refuse ("power-off-reply", "soon",
          "power-off-reply=soon: allowed is error or disconnect");
  setup (NULL);
  refuse ("cache-size", "5E",
          "cache-size=5E: allowed is a size from 0 to 4E (K, M, G, T, P and E "
          "are powers of 1024; a bare number is in MiB)");
}

/* What is no setting: kept as it was given, and not printed. */
static void
test_states (void **state)
{
  static char line[MAX_SETTING];
  size_t i;

  (void) state;
  take ("badblocks", "+3-5,+9-20");
  take ("fault", "op=write error=EIO");
  take ("fault", "none");
  take ("fault", "name=x hang");
  assert_non_null (p.badblocks);
  assert_string_equal (fault_rule_text (p.faults), "op=write error=EIO");
  assert_string_equal (fault_rule_text (fault_rule_next (p.faults)),
                       "name=x hang");
  assert_null (fault_rule_next (fault_rule_next (p.faults)));
  refuse ("badblocks", "none", "badblocks=none: badblocks is given twice");
  assert_int_equal (params_set (&p, "fault", "op=write", &why), -EINVAL);
  assert_memory_equal (why.text,
                       "fault=op=write: a rule needs an action: ", 40);
  assert_int_equal (complete (), 0);
  for (i = 0; params_print (&p.settings, i, line, sizeof line); i++)
    assert_true (strncmp (line, "fault=", 6) != 0 &&
                 strncmp (line, "badblocks=", 10) != 0);

  setup (NULL);
  refuse ("badblocks", "3-5",
          "badblocks=3-5: '3-5': allowed is +FIRST-LAST to mark bad sectors of "
          "512 bytes, -FIRST-LAST to clear them (FIRST at most LAST, both "
          "below 2^64), or none");
}

static void
test_faults_that_wait (void **state)
{
  (void) state;
  take ("fault", "error=EIO");
  take ("fault", "corrupt=stale");
  assert_false (params_delay_requests (&p));
  take ("fault", "delay=1ms");
  assert_true (params_delay_requests (&p));
  setup (NULL);
  take ("fault", "hang");
  take ("badblocks", "+1-1");
  assert_true (params_delay_requests (&p));
  assert_int_equal (complete (), 0);
  assert_false (p.settings.latency.waits);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_live_latency),
      TEST (test_live_profile),
      TEST (test_live_profile_of_zones),
      TEST (test_live_long_list),
      TEST (test_long_values),
      TEST (test_control_characters),
      TEST (test_write_log),
      TEST (test_print),
      TEST (test_cache),
      TEST (test_states),
      TEST (test_faults_that_wait),
  };

  return RUN_TESTS (tests);
}
