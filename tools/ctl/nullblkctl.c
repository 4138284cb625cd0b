/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nullblkctl: see and steer a nullblk server through its control exports, and
 * replay its write logs.  This file is the command line: a table of commands,
 * with the arguments and options of each.
 */

#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libnbd.h>

#include "command.h"
#include "count.h"
#include "ctl-zones.h"
#include "jsonmemory.h"

static const char *const option_names[NR_OPTIONS] = {
    [JSON] = "--json",
    [PROMETHEUS] = "--prometheus",
    [INTERVAL] = "--interval",
    [COUNT] = "--count",
    [FROM] = "--from",
    [COND] = "--cond",
    [ALL] = "--all",
    [AFTER] = "--after",
    [LOSE] = "--lose",
    [SEED] = "--seed",
    [TO] = "--to",
    [LIST] = "--list",
};

#define MAX_COUNT (1 << 24) /* as many zones as a device may have */

#define RANGES " RANGE...|--all"

static const struct command {
  const char *name; /* of one or two words */
  command_function *run;
  const char *arguments; /* after WHERE */
  int least, most;       /* how many of them; most -1: no bound */
  unsigned options;      /* a bit for each that the command takes */
  const char *help;
} commands[] = {
    {"list", command_list, "", 0, 0, BIT (JSON), "the devices that are served"},
    {"get", command_get, " [KEY...]", 0, -1, BIT (JSON),
     "settings, and which are live"},
    {"set", command_set, " KEY=VALUE...", 1, -1, 0,
     "change settings, all or none"},
    {"stats", command_stats, "", 0, 0, BIT (JSON) | BIT (PROMETHEUS),
     "what the device has done"},
    {"top", command_top, "", 0, 0, BIT (INTERVAL) | BIT (COUNT),
     "what it does, live"},
    {"reset-stats", command_reset_stats, "", 0, 0, 0, "begin statistics anew"},
    {"zones report", command_report_zones, "", 0, 0,
     BIT (JSON) | BIT (FROM) | BIT (COUNT) | BIT (COND), "what zones are like"},
    {"zones reset", command_change_zones, RANGES, 0, -1, BIT (ALL),
     "make them empty"},
    {"zones open", command_change_zones, RANGES, 0, -1, BIT (ALL), "open them"},
    {"zones close", command_change_zones, RANGES, 0, -1, BIT (ALL),
     "close them"},
    {"zones finish", command_change_zones, RANGES, 0, -1, BIT (ALL),
     "make them full"},
    {"zones readonly", command_change_zones, RANGES, 0, -1, BIT (ALL),
     "make them read-only, or empty"},
    {"zones offline", command_change_zones, RANGES, 0, -1, BIT (ALL),
     "make them offline, or empty"},
    {"badblocks add", command_add_badblocks, " SECTORS...", 1, -1, 0,
     "make sectors fail"},
    {"badblocks del", command_delete_badblocks, " SECTORS...", 1, -1, 0,
     "make them good"},
    {"badblocks list", command_list_badblocks, "", 0, 0, BIT (JSON),
     "which fail"},
    {"badblocks clear", command_clear_badblocks, "", 0, 0, 0, "make all good"},
    {"fault add", command_add_faults, " RULE...", 1, -1, 0,
     "make requests fail"},
    {"fault del", command_delete_faults, " RULE...|--all", 0, -1, BIT (ALL),
     "by number or name"},
    {"fault list", command_list_faults, "", 0, 0, BIT (JSON),
     "rules, and what they have hit"},
    {"power cut", command_cut_power, "", 0, 0,
     BIT (AFTER) | BIT (LOSE) | BIT (SEED), "take it away, now or later"},
    {"power on", command_restore_power, "", 0, 0, 0, "put it back"},
    {"power status", command_show_power, "", 0, 0, BIT (JSON),
     "whether it is there, and what is volatile"},
    {"mark", command_mark, " TEXT", 1, 1, 0, "put a mark into the write log"},
    {"replay", command_replay_log, "|FILE LOG", 0, 1, BIT (TO) | BIT (LIST),
     "write what a write log has"},
};

#define NR_COMMANDS (sizeof commands / sizeof commands[0])

static void
usage (FILE *fp)
{
  size_t i;

  fputs ("nullblkctl [OPTION]... COMMAND URI|SOCKET [ARGUMENT]...\n\n", fp);
  for (i = 0; i < NR_COMMANDS; i++)
    fprintf (fp, "  %s URI|SOCKET%-*s %s\n", commands[i].name,
             29 - (int) strlen (commands[i].name), commands[i].arguments,
             commands[i].help);
  fputs ("\n"
         "  --device NAME       which device, nullb0 by default\n"
         "  --json              what is read: for machines\n"
         "  --prometheus        stats: in Prometheus' text format\n"
         "  --interval SECONDS  top: between two looks, 1 by default\n"
         "  --count N           top, zones report: end after so many\n"
         "  --from N            zones report: begin at this one, 0 by default\n"
         "  --cond COND,...     zones report: em, oi, oe, cl, fu, ro, ol, nw\n"
         "  --all               zones: all that can take the command;\n"
         "                      fault del: all rules\n"
         "  --after N           power cut: at the Nth write from now\n"
         "  --lose WHAT         power cut: random, all or none\n"
         "  --seed N            power cut: N decides what is lost\n"
         "  --to N|MARK         replay: so many entries, or up to a mark\n"
         "  --list LOG          replay: show the entries, and write nothing\n"
         "  --help, --version\n"
         "\n"
         "Please read nullblkctl(1).\n",
         fp);
}

/* A whole number from LEAST to MOST, given with an option. */
static bool
parse_count (const char *text, unsigned least, unsigned most, unsigned *n)
{
  if (count_parse (text, least, most, n))
    return true;
  fprintf (stderr,
           "nullblkctl: %s: allowed is a whole number from %u to %u; see "
           "nullblkctl --help\n",
           text, least, most);
  return false;
}

/* The command that ARGV begins with, or NULL; *words is how many words it has.
 */
static const struct command *
find_command (int argc, char **argv, int *words)
{
  const char *name;
  size_t i, len;

  for (i = 0; i < NR_COMMANDS; i++) {
    name = commands[i].name;
    len = strcspn (name, " ");
    if (strncmp (argv[0], name, len) != 0 || argv[0][len] != '\0')
      continue;
    *words = name[len] == '\0' ? 1 : 2;
    if (*words == 1 || (argc > 1 && strcmp (argv[1], name + len + 1) == 0))
      return &commands[i];
  }
  return NULL;
}

/* Is WORD the first of the two words of a command? */
static bool
has_second_word (const char *word)
{
  const size_t len = strlen (word);
  size_t i;

  for (i = 0; i < NR_COMMANDS; i++) {
    if (strncmp (commands[i].name, word, len) == 0 &&
        commands[i].name[len] == ' ')
      return true;
  }
  return false;
}

static bool
options_fit (const struct context *c, const struct command *command,
             const char *device)
{
  const char *between;
  char why[200];
  size_t used, j;
  unsigned i;

  for (i = 0; i < NR_OPTIONS; i++) {
    if (!has (c, i) || (command->options & BIT (i)) != 0)
      continue;
    used = 0;
    between = "it is for";
    for (j = 0; j < NR_COMMANDS; j++) {
      if ((commands[j].options & BIT (i)) == 0)
        continue;
      used += snprintf (why + used, sizeof why - used, "%s %s", between,
                        commands[j].name);
      between = ",";
    }
    bad_usage (option_names[i], why);
    return false;
  }
  if (device != NULL &&
      (command->run == command_list || command->run == command_replay_log)) {
    bad_usage ("--device", "not with list and replay");
    return false;
  }
  if (has (c, JSON) && has (c, PROMETHEUS)) {
    bad_usage ("--prometheus", "not together with --json");
    return false;
  }
  return true;
}

static int
run (struct context *c, const char *device, int argc, char **argv)
{
  const struct command *command;
  struct message why = {.text = ""};
  int words, r;

  command = find_command (argc, argv, &words);
  if (command == NULL)
    return bad_usage (argc > 1 && has_second_word (argv[0]) ? argv[1] : argv[0],
                      "there is no such command");
  argc -= words;
  argv += words;
  c->command = command->name;
  if (argc < 1)
    return bad_usage (command->name, "a URI or socket is missing");
  if (argc - 1 < command->least)
    return bad_usage (command->name, "an argument is missing");
  if (command->most >= 0 && argc - 1 > command->most)
    return bad_usage (argv[1 + command->most], "one argument too many");
  if (!options_fit (c, command, device))
    return USAGE;
  c->where = argv[0];
  if (command->run == command_replay_log ||
      server_init (&c->server, argv[0], device, &why))
    r = command->run (c, argv + 1, &why);
  else
    r = FAILED;
  if (r != DONE && why.text[0] != '\0')
    fprintf (stderr, "nullblkctl: %s: %s\n", c->command, why.text);
  return r;
}

int
main (int argc, char *argv[])
{
  enum { OPTION = CHAR_MAX + 1, DEVICE = OPTION + NR_OPTIONS, HELP };
  static const struct option options[] = {
      {"device", required_argument, NULL, DEVICE},
      {"json", no_argument, NULL, OPTION + JSON},
      {"prometheus", no_argument, NULL, OPTION + PROMETHEUS},
      {"interval", required_argument, NULL, OPTION + INTERVAL},
      {"count", required_argument, NULL, OPTION + COUNT},
      {"from", required_argument, NULL, OPTION + FROM},
      {"cond", required_argument, NULL, OPTION + COND},
      {"all", no_argument, NULL, OPTION + ALL},
      {"after", required_argument, NULL, OPTION + AFTER},
      {"lose", required_argument, NULL, OPTION + LOSE},
      {"seed", required_argument, NULL, OPTION + SEED},
      {"to", required_argument, NULL, OPTION + TO},
      {"list", no_argument, NULL, OPTION + LIST},
      {"help", no_argument, NULL, HELP},
      {"version", no_argument, NULL, 'V'},
      {NULL, 0, NULL, 0},
  };
  static struct context c = {.interval = 1};
  const char *device = NULL, *libnbd;
  struct nbd_handle *h;
  struct message why;
  int o;

  json_memory_or_die ("nullblkctl");
  while ((o = getopt_long (argc, argv, "V", options, NULL)) != -1) {
    if (o >= OPTION && o < OPTION + NR_OPTIONS)
      c.given |= BIT (o - OPTION);
    switch (o) {
    case DEVICE:
      device = optarg;
      break;
    case OPTION + JSON:
    case OPTION + PROMETHEUS:
    case OPTION + ALL:
    case OPTION + LIST:
      break;
    case OPTION + INTERVAL:
      if (!parse_count (optarg, 1, 86400, &c.interval))
        return USAGE;
      break;
    case OPTION + COUNT:
      if (!parse_count (optarg, 1, MAX_COUNT, &c.count))
        return USAGE;
      break;
    case OPTION + FROM:
      if (!parse_count (optarg, 0, MAX_COUNT, &c.from))
        return USAGE;
      break;
    case OPTION + COND:
      if (!zones_parse_conds (optarg, &c.conds, &why))
        return bad_usage ("--cond", why.text);
      break;
    case OPTION + AFTER:
      c.after = optarg;
      break;
    case OPTION + LOSE:
      c.lose = optarg;
      break;
    case OPTION + SEED:
      c.seed = optarg;
      break;
    case OPTION + TO:
      c.to = optarg;
      break;
    case HELP:
      usage (stdout);
      return DONE;
    case 'V':
      h = nbd_create ();
      libnbd = h != NULL ? nbd_get_version (h) : "?";
      printf ("nullblkctl %s, libnbd %s\n", PACKAGE_VERSION, libnbd);
      nbd_close (h);
      return DONE;
    default:
      return USAGE;
    }
  }
  if (optind == argc) {
    usage (stderr);
    return USAGE;
  }
  o = run (&c, device, argc - optind, argv + optind);
  if (fflush (stdout) == EOF || ferror (stdout)) {
    fprintf (stderr, "nullblkctl: output: %s\n", strerror (errno));
    return FAILED;
  }
  return o;
}
