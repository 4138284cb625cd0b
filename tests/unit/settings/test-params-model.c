/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * model=FILE: what it may set, what wins over it, and how it changes live.
 */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "params-of.h"

static char path[] = "/tmp/nullblk-model-XXXXXX";

static void
write_model (const char *text)
{
  FILE *fp = fopen (path, "w");

  assert_non_null (fp);
  assert_true (fputs (text, fp) >= 0);
  assert_int_equal (fclose (fp), 0);
}

/* Completing with the model is refused for WRONG, which follows the name of the
 * file.
 */
static void
refuse_file (const char *wrong)
{
  char whole[600];

  setup (NULL);
  take ("model", path);
  assert_int_equal (complete (), -EINVAL);
  snprintf (whole, sizeof whole, "model=%s: %s", path, wrong);
  assert_string_equal (why.text, whole);
}

/* The same for a model of this text. */
static void
refuse_model (const char *text, const char *wrong)
{
  write_model (text);
  refuse_file (wrong);
}

static void
test_model (void **state)
{
  const struct settings *s = &p.settings;

  (void) state;
  write_model ("# a drive\nsize=4M\nrotational=true\nread-latency=1ms\n"
               "write-latency=2ms\nlanes=3\n");
  take ("lanes", "7");
  take ("model", path);
  take ("write-latency", "1us");
  assert_true (params_delay_requests (&p));
  assert_int_equal (complete (), 0);
  assert_string_equal (s->model, path);
  assert_int_equal (s->size, 4 << 20);
  assert_true (s->rotational);
  assert_int_equal (s->latency.lanes, 7);
  assert_string_equal (distribution_text (s->latency.durations[OP_READ]),
                       "1ms");
  assert_string_equal (distribution_text (s->latency.durations[OP_WRITE]),
                       "1us");
}

static void
test_wrong_models (void **state)
{
  (void) state;
  refuse_model ("lanes=1\n#\nlanes=2000\n",
                "line 3: lanes=2000: lanes is given twice");
  refuse_model ("\nlanes=2000\n", "line 2: lanes=2000: allowed is none, or a "
                                  "whole number from 1 to 1024");
  refuse_model ("speed=2\n", "line 1: speed: unknown parameter; 'nbdkit "
                             "nullblk --help' lists them");
  refuse_model ("devices=2\n",
                "line 1: devices=2: it is no property of a drive: allowed is "
                "to give it beside the model");
  refuse_model ("write-log=/tmp/x\n",
                "line 1: write-log=/tmp/x: it is no property of a drive: "
                "allowed is to give it beside the model");
  refuse_model ("fault=error\n",
                "line 1: fault=error: it is no property of a drive: allowed is "
                "to give it beside the model");
  refuse_model (
      "submit-queues=2\n",
      "line 1: submit-queues=2: it is no property of a drive: allowed "
      "is to give it beside the model");
  refuse_model ("hw-queue-depth=2\n",
                "line 1: hw-queue-depth=2: it is no property of a drive: "
                "allowed is to give it beside the model");
  refuse_model ("read-latency=file:fio.json\n",
                "line 1: read-latency=file:fio.json: allowed in a model is an "
                "absolute path");
  refuse_model ("lanes\n", "line 1: allowed are lines of NAME=VALUE");

  /* What is given beside it is no excuse for what it has. */
  setup (NULL);
  take ("devices", "2");
  take ("model", path);
  assert_int_equal (complete (), -EINVAL);

  setup (NULL);
  refuse ("model", "/nowhere",
          "model=/nowhere: No such file or directory; "
          "allowed is none, or a model file");
  take ("model", path);
  take ("profile", "nvme");
  assert_int_equal (complete (), -EINVAL);
  assert_non_null (strstr (why.text, ": profile is given, too; allowed is one "
                                     "of the two"));
}

/* A client may name a file that it cannot read, so a message quotes little: 80
 * bytes of a value, and 80 of the part of it that is wrong.
 */
static void
test_quotes (void **state)
{
  static const char *const lines[][2] = {
      {"disk=track:", ",full:1ms"},
      {"disk=", ""},
      {"stall=every:", ",for:1ms"},
      {"stall=every:1s,for:", ""},
      {"read-size-latency=", ""},
      {"write-load-latency=", ""},
      {"zone-readonly=", ""},
      {"read-latency=", ""},
      {"read-latency=uniform:", "-1ms"},
      {"read-latency=uniform:1ms-", ""},
      {"read-latency=percentiles:", "=1ms,p99=2ms"},
      {"read-latency=percentiles:p50=", ",p99=2ms"},
      {"read-latency=seek:track=1ms,full=2ms,", ""},
      {"size=", ""},
      {"lanes=", ""},
  };
  char secret[301], text[400];
  size_t i, n;
  const char *s;

  (void) state;
  memset (secret, '@', sizeof secret - 1);
  secret[sizeof secret - 1] = '\0';
  for (i = 0; i < sizeof lines / sizeof lines[0]; i++) {
    snprintf (text, sizeof text, "%s%s%s\n", lines[i][0], secret, lines[i][1]);
    write_model (text);
    setup (NULL);
    take ("model", path);
    assert_int_equal (complete (), -EINVAL);
    for (s = why.text, n = 0; *s != '\0'; s++)
      n += *s == '@';
    assert_in_range (n, 60, 160);
  }
}

static struct params change;

/* Ends with the change in force. */
static int
change_to (const char *key, const char *value)
{
  int r;

  params_begin_change (&change, &p.settings);
  r = params_change (&change, key, value, &why);
  if (r == 0)
    r = params_complete_change (&change, &why);
  if (r < 0) {
    params_clear (&change);
    return r;
  }
  params_clear (&p);
  p = change;
  return 0;
}

static void
test_zero_byte (void **state)
{
  FILE *fp = fopen (path, "w");

  (void) state;
  assert_non_null (fp);
  assert_int_equal (fwrite ("lanes=1\n\0lanes=2\n", 1, 17, fp), 17);
  assert_int_equal (fclose (fp), 0);
  refuse_file ("it is no text: allowed are lines of NAME=VALUE");
}

static void
test_live (void **state)
{
  const struct latency_settings *l = &p.settings.latency;

  (void) state;
  write_model ("read-latency=1ms\nlanes=3\n");
  take ("mbps", "5");
  assert_int_equal (complete (), 0);
  assert_int_equal (change_to ("model", path), 0);
  assert_int_equal (l->lanes, 3);
  assert_int_equal (l->limits.bytes_per_sec[THROTTLE_ALL], 0);

  /* The file is read anew when it is given again. */
  write_model ("lanes=4\n");
  assert_int_equal (change_to ("model", path), 0);
  assert_int_equal (l->lanes, 4);
  assert_null (l->durations[OP_READ]);

  write_model ("lanes=5\nrotational=true\n");
  assert_int_equal (change_to ("model", path), -EINVAL);
  assert_non_null (strstr (why.text, ": rotational=true: allowed is what it "
                                     "was started with, false: it cannot "
                                     "change while the server runs"));
  assert_int_equal (l->lanes, 4);

  assert_int_equal (change_to ("profile", "sata-ssd"), 0);
  assert_string_equal (p.settings.model, "");
  assert_int_equal (l->lanes, 32);
  write_model ("lanes=5\n");
  assert_int_equal (change_to ("model", path), 0);
  assert_null (p.settings.profile);
  assert_int_equal (l->lanes, 5);
  assert_int_equal (change_to ("model", "none"), 0);
  assert_int_equal (l->lanes, 0);
}

/* All settings as they are printed can be given back, though the file is gone.
 */
static void
test_written_back (void **state)
{
  char line[MAX_SETTING], *value;
  size_t i;

  (void) state;
  write_model ("read-latency=1ms\nlanes=3\n");
  take ("model", path);
  assert_int_equal (complete (), 0);
  assert_int_equal (unlink (path), 0);
  params_begin_change (&change, &p.settings);
  for (i = 0; params_print (&p.settings, i, line, sizeof line); i++) {
    value = strchr (line, '=');
    *value++ = '\0';
    if (params_change (&change, line, strcmp (line, "lanes") == 0 ? "6" : value,
                       &why) != 0)
      fail_msg ("%s", why.text);
  }
  assert_int_equal (params_complete_change (&change, &why), 0);
  assert_int_equal (change.settings.latency.lanes, 6);
  assert_string_equal (change.settings.model, path);
  params_clear (&change);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_model),  TEST (test_wrong_models), TEST (test_zero_byte),
      TEST (test_quotes), TEST (test_live),         TEST (test_written_back),
  };

  int r;

  if (close (mkstemp (path)) != 0)
    return EXIT_FAILURE;
  r = RUN_TESTS (tests);
  unlink (path);
  return r;
}
