/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Commands of nullblkctl: bad blocks, fault rules and power, which is what goes
 * wrong on purpose.
 */

#include <config.h>

#include <stdbool.h>
#include <stdio.h>

#include "command.h"
#include "ctl-faults.h"

int
command_add_badblocks (struct context *c, char **ranges, struct message *why)
{
  bool bad_usage, ok;

  ok = badblocks_mark (&c->server, '+', ranges, &bad_usage, why);
  return outcome (ok, bad_usage);
}

int
command_delete_badblocks (struct context *c, char **ranges, struct message *why)
{
  bool bad_usage, ok;

  ok = badblocks_mark (&c->server, '-', ranges, &bad_usage, why);
  return outcome (ok, bad_usage);
}

int
command_list_badblocks (struct context *c, char **arguments,
                        struct message *why)
{
  (void) arguments;
  return outcome (badblocks_print (stdout, &c->server, has (c, JSON), why),
                  false);
}

int
command_clear_badblocks (struct context *c, char **arguments,
                         struct message *why)
{
  (void) arguments;
  return change (c, "badblocks=none\n", why);
}

int
command_add_faults (struct context *c, char **rules, struct message *why)
{
  bool bad_usage, ok;

  ok = fault_rules_add (&c->server, rules, &bad_usage, why);
  return outcome (ok, bad_usage);
}

int
command_delete_faults (struct context *c, char **names, struct message *why)
{
  bool bad_usage, ok;

  if (has (c, ALL) == (names[0] != NULL)) {
    message_set (why, "allowed are rules by number or name, or --all");
    return USAGE;
  }
  if (has (c, ALL))
    return change (c, "fault-delete=all\n", why);
  ok = fault_rules_delete (&c->server, names, &bad_usage, why);
  return outcome (ok, bad_usage);
}

int
command_list_faults (struct context *c, char **arguments, struct message *why)
{
  (void) arguments;
  return outcome (fault_rules_print (stdout, &c->server, has (c, JSON), why),
                  false);
}

int
command_cut_power (struct context *c, char **arguments, struct message *why)
{
  (void) arguments;
  return outcome (power_cut (&c->server, c->after, c->lose, c->seed, why),
                  false);
}

int
command_restore_power (struct context *c, char **arguments, struct message *why)
{
  (void) arguments;
  return change (c, "power=on\n", why);
}

int
command_show_power (struct context *c, char **arguments, struct message *why)
{
  (void) arguments;
  return outcome (power_print (stdout, &c->server, has (c, JSON), why), false);
}
