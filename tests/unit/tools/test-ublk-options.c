/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The command line of nullblk-ublk.
 */

#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <string.h>

#include "ublk/options.h"
#include "unit.h"

static struct bridge_options options;
static struct message why;

/* The words of a command line, which ends in NULL. */
static int
parse (const char *const *words)
{
  static char text[16][64];
  char *argv[17] = {NULL};
  int argc;

  for (argc = 0; words[argc] != NULL; argc++) {
    strcpy (text[argc], words[argc]);
    argv[argc] = text[argc];
  }
  optind = 0; /* anew */
  opterr = 0;
  return options_parse (&options, argc, argv, &why);
}
#define PARSE(...)                                                             \
  parse ((const char *const[]){"nullblk-ublk", __VA_ARGS__, NULL})

#define TAKES(...)                                                             \
  do {                                                                         \
    if (PARSE (__VA_ARGS__) != 0)                                              \
      fail_msg ("%s", why.text);                                               \
  } while (0)

/* With a reason that has these words; "" is the way of calling it. */
#define REFUSES(words, ...)                                                    \
  do {                                                                         \
    assert_int_equal (PARSE (__VA_ARGS__), -EINVAL);                           \
    if (words[0] == '\0')                                                      \
      assert_string_equal (why.text, "");                                      \
    else if (strstr (why.text, words) == NULL)                                 \
      fail_msg ("\"%s\" has no \"%s\"", why.text, words);                      \
  } while (0)

static void
test_serve (void **state)
{
  (void) state;
  TAKES ("nbd://server/x");
  assert_int_equal (options.action, DO_SERVE);
  assert_string_equal (options.argument, "nbd://server/x");
  assert_false (options.foreground);
  assert_false (options.read_only);
  assert_false (options.rotational);
  assert_int_equal (options.queues, 0);
  assert_int_equal (options.depth, DEFAULT_DEPTH);
  assert_int_equal (options.zones, WANT_ZONES_AUTO);

  TAKES ("-f", "-q", "3", "--depth", "4096", "-r", "--rotational",
         "--zones=yes", "nbd://server");
  assert_true (options.foreground);
  assert_true (options.read_only);
  assert_true (options.rotational);
  assert_int_equal (options.queues, 3);
  assert_int_equal (options.depth, 4096);
  assert_int_equal (options.zones, WANT_ZONES_YES);
  TAKES ("nbd://server", "--zones", "no"); /* in any order */
  assert_int_equal (options.zones, WANT_ZONES_NO);
  assert_int_equal (options.cookie, 0);
  assert_int_equal (options.persist, 0);
  TAKES ("--persist", "nbd://server");
  assert_int_equal (options.persist, 60);
  TAKES ("--persist=5", "nbd://server");
  assert_int_equal (options.persist, 5);
  REFUSES ("--persist 0", "--persist=0", "nbd://server");
  assert_int_equal (options.timeout, 30);
  TAKES ("nbd://server");
  assert_int_equal (options.timeout, 600);
  TAKES ("--timeout=7", "--persist", "nbd://server");
  assert_int_equal (options.timeout, 7);
  REFUSES ("--timeout 86401: allowed is a whole number from 1 to 86400",
           "--timeout", "86401", "nbd://server");
  TAKES ("--cookie=00000000000000a1", "nbd://server");
  assert_int_equal (options.cookie, 0xa1);
  REFUSES ("16 hexadecimal digits", "--cookie=a1", "nbd://server");
  REFUSES ("not all 0", "--cookie=0000000000000000", "nbd://server");
}

static void
test_others (void **state)
{
  (void) state;
  TAKES ("--list");
  assert_int_equal (options.action, DO_LIST);
  TAKES ("--detach", "ublkb3");
  assert_int_equal (options.action, DO_DETACH);
  assert_string_equal (options.argument, "ublkb3");
  TAKES ("--detach", "--all");
  assert_int_equal (options.action, DO_DETACH_ALL);
  TAKES ("--help");
  assert_int_equal (options.action, DO_HELP);
  TAKES ("-V");
  assert_int_equal (options.action, DO_VERSION);
}

static void
test_bad (void **state)
{
  (void) state;
  REFUSES ("", "--list", "x");
  REFUSES ("", "nbd://server", "x");
  REFUSES ("", "--detach");
  REFUSES ("", "--detach", "--all", "x");
  REFUSES ("", "--all");
  REFUSES ("", "--unknown", "nbd://server");
  assert_int_equal (parse ((const char *const[]){"nullblk-ublk", NULL}),
                    -EINVAL);
  REFUSES ("URI", "/tmp/socket");
  REFUSES ("--queues 0", "-q", "0", "nbd://server");
  REFUSES ("from 1 to 128", "-q", "129", "nbd://server");
  REFUSES ("from 1 to 4096", "-d", "4097", "nbd://server");
  REFUSES ("--depth 12x", "-d", "12x", "nbd://server");
  REFUSES ("--depth -1", "-d", "-1", "nbd://server");
  REFUSES ("--zones=maybe", "--zones=maybe", "nbd://server");
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_serve),
      cmocka_unit_test (test_others),
      cmocka_unit_test (test_bad),
  };

  return RUN_TESTS (tests);
}
