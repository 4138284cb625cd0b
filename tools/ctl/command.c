/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What the commands of nullblkctl share; see command.h.
 */

#include <config.h>

#include <stdio.h>

#include "command.h"

int
failed (const struct context *c, const struct message *why)
{
  fprintf (stderr, "nullblkctl: %s: %s\n", c->command, why->text);
  return FAILED;
}

int
ended (const struct context *c, bool ok, bool bad_usage,
       const struct message *why)
{
  if (ok)
    return DONE;
  failed (c, why);
  return bad_usage ? USAGE : FAILED;
}

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
change (struct context *c, const char *lines)
{
  struct message why;

  return server_configure (&c->server, lines, &why) ? DONE : failed (c, &why);
}
