/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Model files are read and taken apart; see modelfile.h.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "modelfile.h"

#define refuse(why, ...) (message_set (why, __VA_ARGS__), -EINVAL)

#define BLANKS " \t\r"

/* A line without the blanks at its ends, which is changed. */
static int
take_line (char *line, modelfile_line *take, void *opaque, struct message *why)
{
  size_t len;
  char *value;

  line += strspn (line, BLANKS);
  for (len = strlen (line); len > 0; len--) {
    if (strchr (BLANKS, line[len - 1]) == NULL)
      break;
  }
  line[len] = '\0';
  if (len == 0 || line[0] == '#')
    return 0;
  value = strchr (line, '=');
  if (value == NULL)
    return refuse (why, "allowed are lines of NAME=VALUE");
  *value++ = '\0';
  return take (opaque, line, value, why);
}

int
modelfile_parse (const char *text, modelfile_line *take, void *opaque,
                 struct message *why)
{
  char *copy = strdup (text), *line, *end;
  struct message wrong;
  unsigned number;
  int r = 0;

  if (copy == NULL)
    return -ENOMEM;
  line = copy;
  for (number = 1; r == 0 && *line != '\0'; number++) {
    end = line + strcspn (line, "\n");
    if (*end == '\n')
      *end++ = '\0';
    r = take_line (line, take, opaque, &wrong);
    if (r == -EINVAL)
      message_set (why, "line %u: %s", number, wrong.text);
    line = end;
  }
  free (copy);
  return r;
}

int
modelfile_read (const char *path, char **text, struct message *why)
{
  size_t len;
  int r = textfile_read (path, MAX_MODEL_FILE, text, &len, why);

  if (r == 0 && strlen (*text) < len) {
    free (*text);
    r = refuse (why, "it is no text: allowed are lines of NAME=VALUE");
  }
  return r;
}
