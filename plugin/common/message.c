/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Messages; see message.h.
 */

#include <config.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "message.h"

void
message_set (struct message *m, const char *fs, ...)
{
  va_list args;
  char *c;

  va_start (args, fs);
  vsnprintf (m->text, sizeof m->text, fs, args);
  va_end (args);
  for (c = m->text; *c != '\0'; c++) {
    if ((unsigned char) *c < ' ' || *c == 0x7f)
      *c = '?';
  }
}

void
words_append (char *buf, size_t len, const char *word, const char *last)
{
  const size_t used = strlen (buf);

  if (used == 0)
    snprintf (buf, len, "%s", word);
  else if (last != NULL)
    snprintf (buf + used, len - used, " %s %s", last, word);
  else
    snprintf (buf + used, len - used, ", %s", word);
}
