/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The command line of nullblk-attach.
 */

#include <config.h>

#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach-internal.h"
#include "count.h"
#include "program-begin.h"

static void
usage (FILE *fp)
{
  fputs (
      "nullblk-attach [--as=auto|nbd|ublk] [-C N] [--name NAME] [--depth N]\n"
      "               [--timeout SECONDS] PARAMETER...\n"
      "nullblk-attach [--as=auto|nbd|ublk] [-C N] [--name NAME]\n"
      "               [--timeout SECONDS] [--persist[=SECONDS]] URI\n"
      "nullblk-attach --list\n"
      "nullblk-attach --detach DEVICE|NAME|--all\n"
      "nullblk-attach --help|--version\n"
      "\n"
      "Attach a block device: one that nbdkit's nullblk plugin makes with\n"
      "these parameters, or an export that is served at URI.\n"
      "Please read nullblk-attach(1).\n",
      fp);
}

static void __attribute__ ((noreturn)) bad_usage (void)
{
  usage (stderr);
  exit (2);
}

/* Returns TEXT as a whole number from 1 to MOST, or ends the program. */
static unsigned
parse_count (const char *option, const char *text, unsigned most)
{
  unsigned n;

  if (!count_parse (text, 1, most, &n)) {
    fprintf (stderr,
             "nullblk-attach: %s %s: allowed is a whole number from 1 to %u\n",
             option, text, most);
    exit (2);
  }
  return n;
}

static void
parse_as (struct attach_options *wanted, const char *text)
{
  static const char *const words[] = {
      [AS_AUTO] = "auto", [AS_NBD] = "nbd", [AS_UBLK] = "ublk"};
  unsigned i;

  for (i = 0; i < sizeof words / sizeof words[0]; i++) {
    if (strcmp (text, words[i]) == 0) {
      wanted->as = i;
      return;
    }
  }
  fprintf (stderr, "nullblk-attach: --as=%s: allowed are auto, nbd and ublk\n",
           text);
  exit (2);
}

int
main (int argc, char *argv[])
{
  enum {
    AS = CHAR_MAX + 1,
    NAME,
    DEPTH,
    TIMEOUT,
    PERSIST,
    LIST,
    DETACH,
    ALL,
    HELP
  };
  static const struct option long_options[] = {
      {"as", required_argument, NULL, AS},
      {"connections", required_argument, NULL, 'C'},
      {"name", required_argument, NULL, NAME},
      {"depth", required_argument, NULL, DEPTH},
      {"timeout", required_argument, NULL, TIMEOUT},
      {"persist", optional_argument, NULL, PERSIST},
      {"list", no_argument, NULL, LIST},
      {"detach", no_argument, NULL, DETACH},
      {"all", no_argument, NULL, ALL},
      {"help", no_argument, NULL, HELP},
      {"version", no_argument, NULL, 'V'},
      {NULL, 0, NULL, 0},
  };
  struct attach_options wanted = {.depth = 64};
  bool list = false, want_detach = false, all = false;
  long cpus;
  int c;

  program_begin ();
  cpus = sysconf (_SC_NPROCESSORS_ONLN);
  wanted.connections = cpus < 1                 ? 1
                       : cpus > MAX_CONNECTIONS ? MAX_CONNECTIONS
                                                : cpus;
  /* "+": all that follows the first parameter is the plugin's. */
  while ((c = getopt_long (argc, argv, "+C:V", long_options, NULL)) != -1) {
    switch (c) {
    case AS:
      parse_as (&wanted, optarg);
      break;
    case 'C':
      wanted.connections = parse_count ("-C", optarg, MAX_CONNECTIONS);
      wanted.connections_given = true;
      break;
    case NAME:
      if (!is_good_name (optarg)) {
        fprintf (stderr,
                 "nullblk-attach: --name %s: allowed are up to %d "
                 "letters, digits, . _ and -, not beginning with .\n",
                 optarg, MAX_NAME);
        exit (2);
      }
      wanted.name = optarg;
      break;
    case DEPTH:
      wanted.depth = parse_count ("--depth", optarg, 1024);
      break;
    case TIMEOUT:
      wanted.timeout = parse_count ("--timeout", optarg, 86400);
      break;
    case PERSIST:
      wanted.persist =
          optarg != NULL ? parse_count ("--persist", optarg, 86400) : 60;
      break;
    case LIST:
      list = true;
      break;
    case DETACH:
      want_detach = true;
      break;
    case ALL:
      all = true;
      break;
    case HELP:
      usage (stdout);
      return EXIT_SUCCESS;
    case 'V':
      printf ("nullblk-attach %s\n", PACKAGE_VERSION);
      return EXIT_SUCCESS;
    default:
      bad_usage ();
    }
  }
  argc -= optind;
  argv += optind;

  if (list && argc == 0 && !want_detach && !all)
    return list_all ();
  if (want_detach && !list && all && argc == 0)
    return detach_all ();
  if (want_detach && !list && !all && argc == 1)
    return detach (argv[0]);
  if (list || want_detach || all || argc == 0)
    bad_usage ();
  return attach (&wanted, argv);
}
