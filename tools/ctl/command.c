/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Functions for all commands of nullblkctl; see command.h.
 */

#include <config.h>

#include <stdio.h>

#include "command.h"
#include "dotconfig.h"

int
bad_usage (const char *what, const char *why)
{
  fprintf (stderr, "nullblkctl: %s: %s; see nullblkctl --help\n", what, why);
  return USAGE;
}

int
print_json (json_t *value)
{
  json_dumpf (value, stdout, JSON_INDENT (2) | JSON_PRESERVE_ORDER);
  putchar ('\n');
  json_decref (value);
  return DONE;
}

int
change (struct context *c, const char *lines, struct message *why)
{
  return outcome (config_change_of (&c->server, lines, why), false);
}
