/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * See options.h.
 */

#include <config.h>

#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cell.h"
#include "count.h"
#include "options.h"

#define USAGE 2

/* The most parts of a sustained load: a model file has a line for each, and at
 * most MAX_MODEL_FILE bytes.
 */
#define MAX_PARTS 1000

struct options options = {
    .sizes = {4096, 16384, 65536, 262144, 1048576},
    .depths = {1, 2, 4, 8, 16, 32, 64},
    .nr_sizes = 5,
    .nr_depths = 7,
    .seconds = 5,
    .sustain = 60,
};

unsigned
round_seconds (void)
{
  return options.seconds > options.rounds ? options.seconds / options.rounds
                                          : 1;
}

bool
ends_in (const char *name, const char *end)
{
  const size_t len = strlen (name), end_len = strlen (end);

  return len >= end_len && strcmp (name + len - end_len, end) == 0;
}

static void
usage (FILE *fp)
{
  fputs (
      "nullblk-measure [OPTION]... DEVICE|FILE|URI\n"
      "nullblk-measure --from [OPTION]... FIO-JSON...\n"
      "nullblk-measure --compare [OPTION]... A B\n"
      "\n"
      "Make a model of a drive, for nbdkit's nullblk plugin, from what fio\n"
      "measures; or say how far two drives are apart.\n"
      "\n"
      "  --output FILE       where the model goes; standard output by default\n"
      "  --write             measure writes, too: what is there is "
      "overwritten\n"
      "  --seconds N         for each cell, 5 by default\n"
      "  --sizes SIZE,...    of requests, 4K,16K,64K,256K,1M by default\n"
      "  --depths N,...      requests at a time, 1,2,4,8,16,32,64 by default\n"
      "  --quick             fewer sizes and depths: 4K,64K,1M and 1,8,32\n"
      "  --sustain SECONDS   the most that count of a sustained load, 60 by "
      "default\n"
      "  --client-overhead DURATION|SIZE:DURATION,...\n"
      "                      added to each latency; measured by default\n"
      "  --restart           forget what an interrupted measurement has done\n"
      "  --from              make the model of what fio has written before\n"
      "  --compare           A and B: devices, files or URIs, measured in\n"
      "                      turns; or .model or .json files with figures\n"
      "  --rounds N          share --seconds among N rounds, with --compare 3 "
      "by\n"
      "                      default, else 1\n"
      "  --plot FILE         draw the comparison: FILE.svg, or FILE.png\n"
      "  --help, --version\n"
      "\n"
      "Please read nullblk-measure(1).\n",
      fp);
}

static void __attribute__ ((noreturn))
refuse (const char *what, const char *why)
{
  fprintf (stderr, "nullblk-measure: %s: %s; see nullblk-measure --help\n",
           what, why);
  exit (USAGE);
}

static void __attribute__ ((noreturn))
refuse_value (const char *option, const char *value, const char *why)
{
  fprintf (stderr, "nullblk-measure: %s=%s: %s; see nullblk-measure --help\n",
           option, value, why);
  exit (USAGE);
}

static unsigned
take_count (const char *option, const char *text, unsigned least, unsigned most)
{
  char why[80];
  unsigned n;

  if (!count_parse (text, least, most, &n)) {
    snprintf (why, sizeof why, "allowed is a whole number from %u to %u", least,
              most);
    refuse_value (option, text, why);
  }
  return n;
}

/* Returns the next word of *LIST, with a NUL for its comma; NULL after the
 * last.
 */
static char *
next_of (char **list)
{
  char *r = *list, *comma;

  if (r == NULL)
    return NULL;
  comma = strchr (r, ',');
  if (comma != NULL)
    *comma++ = '\0';
  *list = comma;
  return r;
}

static void
take_sizes (char *list)
{
  static const char allowed[] =
      "allowed are up to 16 sizes that ascend, multiples of 512 up to 32M";
  uint64_t size, before = 0;
  char *text;

  options.is_chosen = true;
  for (options.nr_sizes = 0; (text = next_of (&list)) != NULL;) {
    if (options.nr_sizes == MAX_LIST ||
        size_parse (text, strlen (text), &size) < 0 || size % 512 != 0 ||
        size <= before || size > UINT64_C (32) << 20)
      refuse_value ("--sizes", text, allowed);
    options.sizes[options.nr_sizes++] = before = size;
  }
}

static void
take_depths (char *list)
{
  static const char allowed[] =
      "allowed are up to 16 numbers that ascend, from 1 to 1024";
  unsigned depth, before = 0;
  char *text;

  options.is_chosen = true;
  for (options.nr_depths = 0; (text = next_of (&list)) != NULL;) {
    if (options.nr_depths == MAX_LIST ||
        !count_parse (text, 1, MAX_DEPTH, &depth) || depth <= before)
      refuse_value ("--depths", text, allowed);
    options.depths[options.nr_depths++] = before = depth;
  }
}

static void
take_quick (void)
{
  char sizes[] = "4K,64K,1M", depths[] = "1,8,32";

  take_sizes (sizes);
  take_depths (depths);
}

static void
take_client_overhead (const char *text)
{
  struct message why;

  if (size_latency_parse (text, &options.client_overhead, &why) < 0)
    refuse_value ("--client-overhead", text, why.text);
  options.has_client_overhead = true;
}

static void
take_plot (const char *path)
{
  if (!ends_in (path, ".svg") && !ends_in (path, ".png"))
    refuse_value ("--plot", path,
                  "allowed is a name that ends in .svg or .png");
  options.plot = path;
}

enum {
  OUTPUT = CHAR_MAX + 1,
  WRITES,
  SECONDS,
  SIZES,
  DEPTHS,
  QUICK,
  SUSTAINS,
  CLIENT_OVERHEAD,
  RESTART,
  FROM,
  COMPARE,
  ROUNDS,
  PLOT,
  HELP,
};

/* Take the options; the arguments behind them begin at optind. */
static void
parse (int argc, char *argv[])
{
  static const struct option long_options[] = {
      {"output", required_argument, NULL, OUTPUT},
      {"write", no_argument, NULL, WRITES},
      {"seconds", required_argument, NULL, SECONDS},
      {"sizes", required_argument, NULL, SIZES},
      {"depths", required_argument, NULL, DEPTHS},
      {"quick", no_argument, NULL, QUICK},
      {"sustain", required_argument, NULL, SUSTAINS},
      {"client-overhead", required_argument, NULL, CLIENT_OVERHEAD},
      {"restart", no_argument, NULL, RESTART},
      {"from", no_argument, NULL, FROM},
      {"compare", no_argument, NULL, COMPARE},
      {"rounds", required_argument, NULL, ROUNDS},
      {"plot", required_argument, NULL, PLOT},
      {"help", no_argument, NULL, HELP},
      {"version", no_argument, NULL, 'V'},
      {NULL, 0, NULL, 0},
  };
  int o;

  while ((o = getopt_long (argc, argv, "V", long_options, NULL)) != -1) {
    switch (o) {
    case OUTPUT:
      options.output = optarg;
      break;
    case WRITES:
      options.write = true;
      break;
    case SECONDS:
      options.seconds = take_count ("--seconds", optarg, 1, 3600);
      break;
    case SIZES:
      take_sizes (optarg);
      break;
    case DEPTHS:
      take_depths (optarg);
      break;
    case QUICK:
      take_quick ();
      break;
    case SUSTAINS:
      options.sustain = take_count ("--sustain", optarg, 0, 86400);
      break;
    case CLIENT_OVERHEAD:
      take_client_overhead (optarg);
      break;
    case RESTART:
      options.restart = true;
      break;
    case FROM:
      options.from = true;
      break;
    case COMPARE:
      options.compare = true;
      break;
    case ROUNDS:
      options.rounds = take_count ("--rounds", optarg, 1, MAX_ROUNDS);
      break;
    case PLOT:
      take_plot (optarg);
      break;
    case HELP:
      usage (stdout);
      exit (EXIT_SUCCESS);
    case 'V':
      printf ("nullblk-measure %s\n", PACKAGE_VERSION);
      exit (EXIT_SUCCESS);
    default:
      exit (USAGE);
    }
  }
}

/* End the program if options and arguments do not fit together. */
static void
check_together (int argc, char *argv[])
{
  if (options.from && options.compare)
    refuse ("--compare", "not together with --from");
  if (options.plot != NULL && !options.compare)
    refuse ("--plot", "it is for --compare");
  if (options.compare && options.output != NULL)
    refuse ("--output", "it is not for --compare");
  if (options.compare && argc != 2)
    refuse ("--compare", "allowed are two, A and B");
  if (!options.compare && !options.from && argc > 1)
    refuse (argv[1], "one argument too many");
  if (options.sustain / options.seconds > MAX_PARTS)
    refuse ("--sustain", "allowed is at most 1000 times --seconds");
}

int
options_parse (int argc, char **argv[])
{
  parse (argc, *argv);
  argc -= optind;
  *argv += optind;
  if (argc == 0) {
    usage (stderr);
    exit (USAGE);
  }
  check_together (argc, *argv);
  if (options.rounds == 0)
    options.rounds = options.compare ? 3 : 1;
  return argc;
}
