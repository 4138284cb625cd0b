/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Texts that fit into their buffers, and files of one line.
 */

#include <config.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "attach-internal.h"

void
format_text (char *buf, size_t size, const char *fs, ...)
{
  va_list args;
  int n;

  va_start (args, fs);
  n = vsnprintf (buf, size, fs, args);
  va_end (args);
  if (n < 0 || (size_t) n >= size)
    die ("%s...: too long", buf);
}

void
read_line (char *buf, size_t size, const char *directory, const char *file)
{
  char path[MAX_PATH];
  FILE *fp;

  buf[0] = '\0';
  format_text (path, sizeof path, "%s/%s", directory, file);
  fp = fopen (path, "re");
  if (fp == NULL)
    return;
  if (fgets (buf, size, fp) == NULL)
    buf[0] = '\0';
  buf[strcspn (buf, "\n")] = '\0';
  fclose (fp);
}

bool
write_line (const char *directory, const char *file, const char *text)
{
  char path[MAX_PATH];
  FILE *fp;
  bool ok;

  format_text (path, sizeof path, "%s/%s", directory, file);
  fp = fopen (path, "we");
  if (fp == NULL)
    return false;
  ok = fprintf (fp, "%s\n", text) > 0;
  return fclose (fp) == 0 && ok;
}
