/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Texts that fit into their buffers, files of one line, and the program's end
 * with one line for the user.
 */

#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach-internal.h"

static void (*last_action) (void);

void
before_end (void (*action) (void))
{
  last_action = action;
}

/* The action is forgotten first, as it may end the program, too. */
void
end_with (int status)
{
  void (*const action) (void) = last_action;

  last_action = NULL;
  if (action != NULL)
    action ();
  exit (status);
}

void
die (const char *fs, ...)
{
  va_list args;

  fputs ("nullblk-attach: ", stderr);
  va_start (args, fs);
  vfprintf (stderr, fs, args);
  va_end (args);
  fputc ('\n', stderr);
  end_with (EXIT_FAILURE);
}

/*---------------------------------------------------------------------*/

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

bool
is_absent (int err)
{
  return err == ENOENT || err == ENODEV || err == ESRCH;
}

/* Is ERR no failure to read a line?  Either there is no such file; or a signal
 * has interrupted the read, and the caller is to end, and not to complain.
 */
static bool
has_no_line (int err)
{
  return is_absent (err) || err == EINTR;
}

int
try_line (char *buf, size_t size, const char *directory, const char *file)
{
  char path[MAX_PATH];
  int err = 0;
  FILE *fp;

  buf[0] = '\0';
  format_text (path, sizeof path, "%s/%s", directory, file);
  fp = fopen (path, "re");
  if (fp == NULL)
    return has_no_line (errno) ? 0 : -errno;
  if (fgets (buf, size, fp) == NULL) {
    err = feof (fp) ? 0 : errno;
    buf[0] = '\0';
  }
  buf[strcspn (buf, "\n")] = '\0';
  fclose (fp);
  return has_no_line (err) ? 0 : -err;
}

void
read_line (char *buf, size_t size, const char *directory, const char *file)
{
  const int r = try_line (buf, size, directory, file);

  if (r < 0)
    die ("%s/%s: %s", directory, file, strerror (-r));
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
