/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Commands of nullblkctl: zones.
 */

#include <config.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "ctl-zones.h"

int
command_report_zones (struct context *c, char **arguments, struct message *why)
{
  const struct zones_query query = {.from = c->from,
                                    .count = c->count,
                                    .conds = c->conds,
                                    .json = has (c, JSON)};

  (void) arguments;
  return outcome (zones_report (stdout, &c->server, &query, why), false);
}

/* The condition that the command with this name asks of zones. */
static enum zone_cond
asked_by (const char *command)
{
  static const struct {
    const char *command;
    enum zone_cond cond;
  } all[] = {
      {"zones reset", ZONE_COND_EMPTY},
      {"zones open", ZONE_COND_EXP_OPEN},
      {"zones close", ZONE_COND_CLOSED},
      {"zones finish", ZONE_COND_FULL},
      {"zones readonly", ZONE_COND_READONLY},
      {"zones offline", ZONE_COND_OFFLINE},
  };
  size_t i;

  for (i = 0; strcmp (all[i].command, command) != 0; i++)
    ;
  return all[i].cond;
}

int
command_change_zones (struct context *c, char **ranges, struct message *why)
{
  const enum zone_cond to = asked_by (c->command);
  bool bad_usage, ok;

  if (has (c, ALL) == (ranges[0] != NULL)) {
    message_set (why, "allowed are zones, such as 3 or 3-9, or --all");
    return USAGE;
  }
  if (has (c, ALL) && to == ZONE_COND_EMPTY)
    return change (c, "zones=reset\n", why);
  ok = zones_change (&c->server, to, ranges, &bad_usage, why);
  return outcome (ok, bad_usage);
}
