/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The command line; see options.h.
 */

#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "count.h"
#include "ublkdrv/ublkdrv.h"
#include "options.h"
#include "uri.h"

#define refuse(why, ...) (message_set (why, __VA_ARGS__), -EINVAL)

static int
parse_count (unsigned *n, const char *option, const char *text, unsigned most,
             struct message *why)
{
  if (!count_parse (text, 1, most, n))
    return refuse (why, "%s %s: allowed is a whole number from 1 to %u", option,
                   text, most);
  return 0;
}

static int
parse_zones (enum zones_wanted *zones, const char *text, struct message *why)
{
  static const char *const words[] = {[WANT_ZONES_AUTO] = "auto",
                                      [WANT_ZONES_YES] = "yes",
                                      [WANT_ZONES_NO] = "no"};
  unsigned i;

  for (i = 0; i < sizeof words / sizeof words[0]; i++) {
    if (strcmp (text, words[i]) == 0) {
      *zones = i;
      return 0;
    }
  }
  return refuse (why, "--zones=%s: allowed are auto, yes and no", text);
}

static int
parse_cookie (uint64_t *cookie, const char *text, struct message *why)
{
  *cookie = device_record_cookie (text);
  return *cookie != 0
             ? 0
             : refuse (why,
                       "--cookie %s: allowed are 16 hexadecimal digits, in "
                       "lower case, that are not all 0",
                       text);
}

/* Take what follows the options, and check that all fits together. */
static int
check_together (struct bridge_options *o, bool all, int argc, char *argv[],
                struct message *why)
{
  message_set (why, "%s", "");
  if (o->action == DO_HELP || o->action == DO_VERSION)
    return 0;
  if (o->action == DO_DETACH && all)
    o->action = DO_DETACH_ALL;
  else if (all)
    return -EINVAL;
  if (argc != (o->action == DO_SERVE || o->action == DO_DETACH))
    return -EINVAL;
  o->argument = argv[0];
  if (o->action == DO_SERVE && !uri_is_one (o->argument))
    return refuse (why, "%.80s: this is no URI, such as nbd://server/nullb0",
                   o->argument);
  return 0;
}

int
options_parse (struct bridge_options *o, int argc, char *argv[],
               struct message *why)
{
  enum {
    ROTATIONAL = CHAR_MAX + 1,
    ZONES,
    TIMEOUT,
    PERSIST,
    COOKIE,
    LIST,
    DETACH,
    ALL,
    HELP
  };
  static const struct option long_options[] = {
      {"foreground", no_argument, NULL, 'f'},
      {"queues", required_argument, NULL, 'q'},
      {"depth", required_argument, NULL, 'd'},
      {"read-only", no_argument, NULL, 'r'},
      {"rotational", no_argument, NULL, ROTATIONAL},
      {"zones", required_argument, NULL, ZONES},
      {"timeout", required_argument, NULL, TIMEOUT},
      {"persist", optional_argument, NULL, PERSIST},
      {"cookie", required_argument, NULL, COOKIE},
      {"list", no_argument, NULL, LIST},
      {"detach", no_argument, NULL, DETACH},
      {"all", no_argument, NULL, ALL},
      {"help", no_argument, NULL, HELP},
      {"version", no_argument, NULL, 'V'},
      {NULL, 0, NULL, 0},
  };
  bool all = false;
  int c, r = 0;

  memset (o, 0, sizeof *o);
  o->depth = DEFAULT_DEPTH;
  message_set (why, "%s", "");
  while (r == 0 &&
         (c = getopt_long (argc, argv, "fq:d:rV", long_options, NULL)) != -1) {
    switch (c) {
    case 'f':
      o->foreground = true;
      break;
    case 'q':
      r = parse_count (&o->queues, "--queues", optarg, MAX_QUEUES, why);
      break;
    case 'd':
      r = parse_count (&o->depth, "--depth", optarg, MAX_DEPTH, why);
      break;
    case 'r':
      o->read_only = true;
      break;
    case ROTATIONAL:
      o->rotational = true;
      break;
    case ZONES:
      r = parse_zones (&o->zones, optarg, why);
      break;
    case TIMEOUT:
      r = parse_count (&o->timeout, "--timeout", optarg, MAX_TIMEOUT, why);
      break;
    case PERSIST:
      o->persist = DEFAULT_PERSIST;
      if (optarg != NULL)
        r = parse_count (&o->persist, "--persist", optarg, MAX_PERSIST, why);
      break;
    case COOKIE:
      r = parse_cookie (&o->cookie, optarg, why);
      break;
    case LIST:
      o->action = DO_LIST;
      break;
    case DETACH:
      o->action = DO_DETACH;
      break;
    case ALL:
      all = true;
      break;
    case HELP:
      o->action = DO_HELP;
      break;
    case 'V':
      o->action = DO_VERSION;
      break;
    default:
      r = -EINVAL;
    }
  }
  if (o->timeout == 0)
    o->timeout = o->persist == 0 ? DEFAULT_TIMEOUT : DEFAULT_TIMEOUT_PERSISTENT;
  return r < 0 ? r : check_together (o, all, argc - optind, argv + optind, why);
}
