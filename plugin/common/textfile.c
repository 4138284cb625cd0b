/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A file that is read whole; see textfile.h.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "textfile.h"

#define refuse(why, ...) (message_set (why, __VA_ARGS__), -EINVAL)

static int
read_all (FILE *fp, size_t size, char **text, size_t *len, struct message *why)
{
  char *r = malloc (size + 1);

  if (r == NULL) {
    message_set (why, "%s", strerror (ENOMEM));
    return -ENOMEM;
  }
  *len = fread (r, 1, size, fp);
  if (ferror (fp)) {
    free (r);
    return refuse (why, "it cannot be read");
  }
  r[*len] = '\0';
  *text = r;
  return 0;
}

/* Nothing but a file: a pipe could keep us waiting. */
int
textfile_read (const char *path, size_t most, char **text, size_t *len,
               struct message *why)
{
  struct stat st;
  FILE *fp = NULL;
  int fd, r;

  fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd >= 0)
    fp = fdopen (fd, "r");
  if (fp == NULL) {
    r = refuse (why, "%s", strerror (errno));
    if (fd >= 0)
      close (fd);
    return r;
  }
  if (fstat (fd, &st) < 0)
    r = refuse (why, "%s", strerror (errno));
  else if (!S_ISREG (st.st_mode) || (size_t) st.st_size > most)
    r = refuse (why, "it is not a file of at most %zu MiB", most >> 20);
  else
    r = read_all (fp, st.st_size, text, len, why);
  fclose (fp);
  return r;
}
