/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The commands of nullblkctl, which nullblkctl.c calls by a table, and what
 * they share.
 */

#ifndef NULLBLK_COMMAND_H
#define NULLBLK_COMMAND_H

#include <stdbool.h>

#include <jansson.h>

#include "common/common.h"
#include "server.h"

/* The exit statuses of a command, and so of nullblkctl. */
enum { DONE = 0, FAILED = 1, USAGE = 2 };

struct context {
  const char *command;
  const char *where; /* a URI or socket; with replay also a file */
  struct server_address server;
  unsigned given; /* a bit for each option */
  unsigned interval, count, from, conds;
  const char *after, *lose, *seed, *to; /* as they are given, or NULL */
};

/* The options but --device, --help and --version. */
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

#define BIT(option) (1u << (option))

static inline bool
has (const struct context *c, unsigned option)
{
  return (c->given & BIT (option)) != 0;
}

/* The exit status of a command. */
static inline int
outcome (bool ok, bool bad_usage)
{
  return ok ? DONE : bad_usage ? USAGE : FAILED;
}

/* "nullblkctl: WHAT: WHY; see nullblkctl --help".  Returns USAGE. */
int bad_usage (const char *what, const char *why);

/* Print VALUE, and free it.  Returns DONE. */
int print_json (json_t *value);

/* Write LINES to the device's .config.  Returns DONE, or FAILED and the reason
 * in *why.
 */
int change (struct context *c, const char *lines, struct message *why);

/*---------------------------------------------------------------------*/

/* Returns DONE, or FAILED or USAGE with the reason in *why.  A command that has
 * printed the reason itself (bad_usage) leaves *why empty.
 */
typedef int command_function (struct context *c, char **arguments,
                              struct message *why);

/* command-settings.c */
command_function command_list, command_get, command_set, command_stats,
    command_top, command_reset_stats, command_mark, command_replay_log;

/* command-zones.c */
command_function command_report_zones, command_change_zones;

/* command-faults.c */
command_function command_add_badblocks, command_delete_badblocks,
    command_list_badblocks, command_clear_badblocks, command_add_faults,
    command_delete_faults, command_list_faults, command_cut_power,
    command_restore_power, command_show_power;

#endif /* NULLBLK_COMMAND_H */
