/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Commands of nullblkctl: zones.
 */

#include <config.h>

#include <stdbool.h>
#include <stdio.h>

#include "command.h"
#include "zones.h"

int
command_report_zones (struct context *c, char **arguments)
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

int
command_reset_zones (struct context *c, char **ranges)
{
  return change_zones (c, ZONE_COND_EMPTY, ranges);
}

int
command_open_zones (struct context *c, char **ranges)
{
  return change_zones (c, ZONE_COND_EXP_OPEN, ranges);
}

int
command_close_zones (struct context *c, char **ranges)
{
  return change_zones (c, ZONE_COND_CLOSED, ranges);
}

int
command_finish_zones (struct context *c, char **ranges)
{
  return change_zones (c, ZONE_COND_FULL, ranges);
}

int
command_make_zones_readonly (struct context *c, char **ranges)
{
  return change_zones (c, ZONE_COND_READONLY, ranges);
}

int
command_make_zones_offline (struct context *c, char **ranges)
{
  return change_zones (c, ZONE_COND_OFFLINE, ranges);
}
