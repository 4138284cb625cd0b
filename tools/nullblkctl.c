/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nullblkctl: see and steer a nullblk server through its control exports.  This
 * file is the command line: a table of commands, and each command.
 */

#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <libnbd.h>

#include "faults.h"
#include "replay.h"
#include "server.h"
#include "show.h"
#include "snapshot.h"
#include "top.h"
#include "zones.h"

enum { DONE = 0, FAILED = 1, USAGE = 2 };

struct context {
  const char *command;
  const char *where; /* a URI or socket */
  struct server server;
  unsigned given; /* a bit for each option */
  unsigned interval, count, from, conds;
  const char *after, *lose, *seed, *to; /* as they are given, or NULL */
};

/* Options that are not for every command. */
enum {
  JSON,
  PROMETHEUS,
  INTERVAL,
  COUNT,
  FROM,
  COND,
  ALL,
  AFTER,
  LOSE,
  SEED,
  TO,
  LIST,
  NR_OPTIONS
};

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

#define BIT(option) (1u << (option))

#define MOST_COUNT (1 << 24) /* of zones, which there may be so many of */

static bool
has (const struct context *c, unsigned option)
{
  return (c->given & BIT (option)) != 0;
}

/* "nullblkctl: WHAT: WHY" */
static int
failed (const struct context *c, const struct message *why)
{
  fprintf (stderr, "nullblkctl: %s: %s\n", c->command, why->text);
  return FAILED;
}

/* What a command with arguments has come to. */
static int
ended (const struct context *c, bool ok, bool bad_usage,
       const struct message *why)
{
  if (ok)
    return DONE;
  failed (c, why);
  return bad_usage ? USAGE : FAILED;
}

static int
bad_usage (const char *what, const char *why)
{
  fprintf (stderr, "nullblkctl: %s: %s; see nullblkctl --help\n", what, why);
  return USAGE;
}

static int
print_json (json_t *value)
{
  json_dumpf (value, stdout, JSON_INDENT (2) | JSON_PRESERVE_ORDER);
  putchar ('\n');
  json_decref (value);
  return DONE;
}

/*---------------------------------------------------------------------*/

static int
list (struct context *c, char **arguments)
{
  struct device_entry *devices;
  json_t *array = json_array ();
  struct message why;
  char size[SHOWN];
  unsigned n, i;

  (void) arguments;
  if (!server_list (&c->server, &devices, &n, &why)) {
    json_decref (array);
    return failed (c, &why);
  }
  if (!has (c, JSON))
    printf ("%-12s %8s %-8s %s\n", "device", "size", "control", "description");
  for (i = 0; i < n; i++) {
    if (has (c, JSON))
      json_array_append_new (
          array, json_pack ("{s:s, s:I, s:b, s:s}", "device", devices[i].name,
                            "size", (json_int_t) devices[i].size, "control",
                            devices[i].can_control, "description",
                            devices[i].description));
    else
      printf ("%-12s %8s %-8s %s\n", devices[i].name,
              devices[i].size < 0 ? "?" : show_bytes (size, devices[i].size),
              devices[i].can_control ? "yes" : "no", devices[i].description);
  }
  free (devices);
  if (has (c, JSON))
    return print_json (array);
  json_decref (array);
  return DONE;
}

/* Is KEY among the words of LIST? */
static bool
is_among (const char *list, const char *key)
{
  const size_t len = strlen (key);
  const char *p;

  for (p = list; (p = strstr (p, key)) != NULL; p += len) {
    if ((p == list || p[-1] == ' ') && (p[len] == ' ' || p[len] == '\0'))
      return true;
  }
  return false;
}

/* '-' and '_' are the same letter. */
static bool
same_key (const char *a, const char *b)
{
  for (; *a != '\0' && *b != '\0'; a++, b++) {
    if ((*a == '_' ? '-' : *a) != (*b == '_' ? '-' : *b))
      return false;
  }
  return *a == *b;
}

static bool
is_wanted (char **keys, const char *key)
{
  if (keys[0] == NULL)
    return true;
  for (; *keys != NULL; keys++) {
    if (same_key (*keys, key))
      return true;
  }
  return false;
}

/* The next setting of *TEXT, which is cut up, or NULL.  The line with the keys
 * that are LIVE comes before all of them.
 */
static const char *
next_setting (char **text, char **value, char *live, size_t size)
{
  char *line;

  while ((line = strsep (text, "\n")) != NULL) {
    if (strncmp (line, "# live: ", 8) == 0)
      snprintf (live, size, "%s", line + 8);
    *value = line[0] != '#' ? strchr (line, '=') : NULL;
    if (*value != NULL) {
      *(*value)++ = '\0';
      return line;
    }
  }
  return NULL;
}

/* The settings as an object of key: {value, live}.  NULL and the reason in *why
 * if they cannot be had.
 */
static json_t *
read_settings (struct context *c, struct message *why)
{
  char live[4096] = "", *value, *text, *rest;
  json_t *settings = json_object ();
  const char *key;

  rest = text = server_document (&c->server, ".config", why);
  if (text == NULL) {
    json_decref (settings);
    return NULL;
  }
  while ((key = next_setting (&rest, &value, live, sizeof live)) != NULL)
    json_object_set_new (
        settings, key,
        json_pack ("{s:s, s:b}", "value", value, "live", is_among (live, key)));
  free (text);
  return settings;
}

static bool
has_key (json_t *settings, const char *key)
{
  const char *name;
  json_t *setting;

  json_object_foreach (settings, name, setting)
  {
    if (same_key (key, name))
      return true;
  }
  return false;
}

static int
get (struct context *c, char **keys)
{
  json_t *settings, *setting;
  struct message why;
  const char *name;
  void *next;
  char **key;

  settings = read_settings (c, &why);
  if (settings == NULL)
    return failed (c, &why);
  for (key = keys; *key != NULL; key++) {
    if (!has_key (settings, *key)) {
      message_set (&why, "%.80s: there is no such setting", *key);
      json_decref (settings);
      return failed (c, &why);
    }
  }
  if (!has (c, JSON))
    printf ("%-20s %-5s %s\n", "setting", "live", "value");
  json_object_foreach_safe (settings, next, name, setting)
  {
    if (!is_wanted (keys, name))
      json_object_del (settings, name);
    else if (!has (c, JSON))
      printf ("%-20s %-5s %s\n", name,
              json_is_true (json_object_get (setting, "live")) ? "yes" : "no",
              json_string_value (json_object_get (setting, "value")));
  }
  if (has (c, JSON))
    return print_json (settings);
  json_decref (settings);
  return DONE;
}

static int
change (struct context *c, const char *lines)
{
  struct message why;

  return server_configure (&c->server, lines, &why) ? DONE : failed (c, &why);
}

static int
set (struct context *c, char **settings)
{
  struct message why;
  char *lines = NULL;
  size_t len;
  FILE *fp;
  int r;

  fp = open_memstream (&lines, &len);
  if (fp == NULL) {
    message_set (&why, "%s", strerror (errno));
    return failed (c, &why);
  }
  for (; *settings != NULL; settings++) {
    if (strchr (*settings, '=') == NULL || strchr (*settings, '\n') != NULL) {
      fclose (fp);
      free (lines);
      message_set (&why, "%.80s: allowed is KEY=VALUE", *settings);
      failed (c, &why);
      return USAGE;
    }
    fprintf (fp, "%s\n", *settings);
  }
  if (fclose (fp) != 0) {
    message_set (&why, "%s", strerror (errno));
    return failed (c, &why);
  }
  r = change (c, lines);
  free (lines);
  return r;
}

static int
reset_stats (struct context *c, char **arguments)
{
  (void) arguments;
  return change (c, "stats=reset\n");
}

static int
stats (struct context *c, char **arguments)
{
  struct snapshot *s;
  struct message why;
  char *text;

  (void) arguments;
  text = server_document (&c->server, ".stats", &why);
  s = text != NULL ? snapshot_parse (text, &why) : NULL;
  if (s == NULL) {
    free (text);
    return failed (c, &why);
  }
  if (has (c, JSON))
    puts (text);
  else if (has (c, PROMETHEUS))
    show_prometheus (stdout, s);
  else
    show_stats (stdout, s);
  snapshot_free (s);
  free (text);
  return DONE;
}

static int
run_top (struct context *c, char **arguments)
{
  const struct top_options options = {.interval = c->interval,
                                      .count = c->count};
  struct message why;

  (void) arguments;
  return top (&c->server, &options, &why) ? DONE : failed (c, &why);
}

static int
report_zones (struct context *c, char **arguments)
{
  const struct zones_query query = {.from = c->from,
                                    .count = c->count,
                                    .conds = c->conds,
                                    .json = has (c, JSON)};
  struct message why;

  (void) arguments;
  return zones_report (stdout, &c->server, &query, &why) ? DONE
                                                         : failed (c, &why);
}

static int
change_zones (struct context *c, enum zone_cond to, char **ranges)
{
  struct message why;
  bool bad_usage;

  if (has (c, ALL) == (ranges[0] != NULL)) {
    message_set (&why, "allowed are zones, such as 3 or 3-9, or --all");
    failed (c, &why);
    return USAGE;
  }
  if (has (c, ALL) && to == ZONE_COND_EMPTY)
    return change (c, "zones=reset\n");
  if (zones_change (&c->server, to, ranges, &bad_usage, &why))
    return DONE;
  return ended (c, false, bad_usage, &why);
}

static int
reset_zones (struct context *c, char **ranges)
{
  return change_zones (c, ZONE_COND_EMPTY, ranges);
}

static int
open_zones (struct context *c, char **ranges)
{
  return change_zones (c, ZONE_COND_EXP_OPEN, ranges);
}

static int
close_zones (struct context *c, char **ranges)
{
  return change_zones (c, ZONE_COND_CLOSED, ranges);
}

static int
finish_zones (struct context *c, char **ranges)
{
  return change_zones (c, ZONE_COND_FULL, ranges);
}

static int
make_zones_readonly (struct context *c, char **ranges)
{
  return change_zones (c, ZONE_COND_READONLY, ranges);
}

static int
make_zones_offline (struct context *c, char **ranges)
{
  return change_zones (c, ZONE_COND_OFFLINE, ranges);
}

/*---------------------------------------------------------------------*/
/* What goes wrong on purpose */

static int
add_badblocks (struct context *c, char **ranges)
{
  struct message why;
  bool bad_usage, ok;

  ok = badblocks_mark (&c->server, '+', ranges, &bad_usage, &why);
  return ended (c, ok, bad_usage, &why);
}

static int
delete_badblocks (struct context *c, char **ranges)
{
  struct message why;
  bool bad_usage, ok;

  ok = badblocks_mark (&c->server, '-', ranges, &bad_usage, &why);
  return ended (c, ok, bad_usage, &why);
}

static int
list_badblocks (struct context *c, char **arguments)
{
  struct message why;

  (void) arguments;
  return badblocks_print (stdout, &c->server, has (c, JSON), &why)
             ? DONE
             : failed (c, &why);
}

static int
clear_badblocks (struct context *c, char **arguments)
{
  (void) arguments;
  return change (c, "badblocks=none\n");
}

static int
add_faults (struct context *c, char **rules)
{
  struct message why;
  bool bad_usage, ok;

  ok = fault_rules_add (&c->server, rules, &bad_usage, &why);
  return ended (c, ok, bad_usage, &why);
}

static int
delete_faults (struct context *c, char **names)
{
  struct message why;
  bool bad_usage, ok;

  if (has (c, ALL) == (names[0] != NULL)) {
    message_set (&why, "allowed are rules by number or name, or --all");
    return ended (c, false, true, &why);
  }
  if (has (c, ALL))
    return change (c, "fault-delete=all\n");
  ok = fault_rules_delete (&c->server, names, &bad_usage, &why);
  return ended (c, ok, bad_usage, &why);
}

static int
list_faults (struct context *c, char **arguments)
{
  struct message why;

  (void) arguments;
  return fault_rules_print (stdout, &c->server, has (c, JSON), &why)
             ? DONE
             : failed (c, &why);
}

static int
cut_power (struct context *c, char **arguments)
{
  struct message why;

  (void) arguments;
  return power_cut (&c->server, c->after, c->lose, c->seed, &why)
             ? DONE
             : failed (c, &why);
}

static int
restore_power (struct context *c, char **arguments)
{
  (void) arguments;
  return change (c, "power=on\n");
}

static int
show_power (struct context *c, char **arguments)
{
  struct message why;

  (void) arguments;
  return power_print (stdout, &c->server, has (c, JSON), &why)
             ? DONE
             : failed (c, &why);
}

/*---------------------------------------------------------------------*/
/* The write log */

static int
mark (struct context *c, char **text)
{
  struct message why;
  char *line;
  int r;

  if (strchr (text[0], '\n') != NULL) {
    message_set (&why, "a mark is one line");
    return ended (c, false, true, &why);
  }
  if (asprintf (&line, "mark=%s\n", text[0]) < 0) {
    message_set (&why, "%s", strerror (ENOMEM));
    return failed (c, &why);
  }
  r = change (c, line);
  free (line);
  return r;
}

/* WHERE is not a server's alone: it may be a file. */
static int
replay_log (struct context *c, char **log)
{
  struct message why;
  uint64_t n;

  if (has (c, LIST)) {
    if (log[0] != NULL)
      return bad_usage (log[0], "one argument too many");
    return replay_list (stdout, c->where, c->to, &why) ? DONE
                                                       : failed (c, &why);
  }
  if (log[0] == NULL)
    return bad_usage (c->command, "an argument is missing");
  if (!replay (log[0], c->where, c->to, &n, &why))
    return failed (c, &why);
  printf ("%" PRIu64 " entries\n", n);
  return DONE;
}

/*---------------------------------------------------------------------*/

#define RANGES " RANGE...|--all"

static const struct command {
  const char *name; /* of one or two words */
  int (*run) (struct context *c, char **arguments);
  const char *arguments; /* after WHERE */
  int least, most;       /* how many of them; most -1: no bound */
  unsigned options;      /* bits of those that are for it */
  const char *help;
} commands[] = {
    {"list", list, "", 0, 0, BIT (JSON), "the devices that are served"},
    {"get", get, " [KEY...]", 0, -1, BIT (JSON),
     "settings, and which are live"},
    {"set", set, " KEY=VALUE...", 1, -1, 0, "change settings, all or none"},
    {"stats", stats, "", 0, 0, BIT (JSON) | BIT (PROMETHEUS),
     "what the device has done"},
    {"top", run_top, "", 0, 0, BIT (INTERVAL) | BIT (COUNT),
     "what it does, live"},
    {"reset-stats", reset_stats, "", 0, 0, 0, "begin statistics anew"},
    {"zones report", report_zones, "", 0, 0,
     BIT (JSON) | BIT (FROM) | BIT (COUNT) | BIT (COND), "what zones are like"},
    {"zones reset", reset_zones, RANGES, 0, -1, BIT (ALL), "make them empty"},
    {"zones open", open_zones, RANGES, 0, -1, BIT (ALL), "open them"},
    {"zones close", close_zones, RANGES, 0, -1, BIT (ALL), "close them"},
    {"zones finish", finish_zones, RANGES, 0, -1, BIT (ALL), "make them full"},
    {"zones readonly", make_zones_readonly, RANGES, 0, -1, BIT (ALL),
     "make them read-only, or empty"},
    {"zones offline", make_zones_offline, RANGES, 0, -1, BIT (ALL),
     "make them offline, or empty"},
    {"badblocks add", add_badblocks, " SECTORS...", 1, -1, 0,
     "make sectors fail"},
    {"badblocks del", delete_badblocks, " SECTORS...", 1, -1, 0,
     "make them good"},
    {"badblocks list", list_badblocks, "", 0, 0, BIT (JSON), "which fail"},
    {"badblocks clear", clear_badblocks, "", 0, 0, 0, "make all good"},
    {"fault add", add_faults, " RULE...", 1, -1, 0, "make requests fail"},
    {"fault del", delete_faults, " RULE...|--all", 0, -1, BIT (ALL),
     "by number or name"},
    {"fault list", list_faults, "", 0, 0, BIT (JSON),
     "rules, and what they have hit"},
    {"power cut", cut_power, "", 0, 0, BIT (AFTER) | BIT (LOSE) | BIT (SEED),
     "take it away, now or later"},
    {"power on", restore_power, "", 0, 0, 0, "put it back"},
    {"power status", show_power, "", 0, 0, BIT (JSON),
     "whether it is there, and what is volatile"},
    {"mark", mark, " TEXT", 1, 1, 0, "put a mark into the write log"},
    {"replay", replay_log, "|FILE LOG", 0, 1, BIT (TO) | BIT (LIST),
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
         "  --seed N            power cut: by which it is drawn what is lost\n"
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
  char *end;
  unsigned long value;

  errno = 0;
  value = strtoul (text, &end, 10);
  if (!isdigit ((unsigned char) text[0]) || *end != '\0' || errno != 0 ||
      value < least || value > most) {
    fprintf (stderr,
             "nullblkctl: %s: allowed is a whole number from %u to %u; see "
             "nullblkctl --help\n",
             text, least, most);
    return false;
  }
  *n = value;
  return true;
}

/* The command that ARGV begins with; *words is how many of them it has. */
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

/* Is it the first of two words of a command? */
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
options_fit (const struct context *c, const struct command *command)
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
  struct message why;
  int words;

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
  if (!options_fit (c, command))
    return USAGE;
  c->where = argv[0];
  if (command->run != replay_log &&
      !server_init (&c->server, argv[0], device, &why))
    return failed (c, &why);
  return command->run (c, argv + 1);
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
      if (!parse_count (optarg, 1, MOST_COUNT, &c.count))
        return USAGE;
      break;
    case OPTION + FROM:
      if (!parse_count (optarg, 0, MOST_COUNT, &c.from))
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
