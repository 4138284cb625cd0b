/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What nullblk-attach remembers: a folder for each attached device, with a line
 * in each file; see attach.c.
 */

#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attach-internal.h"

void
format (char *buf, size_t size, const char *fs, ...)
{
  va_list args;
  int n;

  va_start (args, fs);
  n = vsnprintf (buf, size, fs, args);
  va_end (args);
  if (n < 0 || (size_t) n >= size)
    die ("%s...: too long", buf);
}

/*---------------------------------------------------------------------*/
/* Files */

void
read_line (char *buf, size_t size, const char *folder, const char *file)
{
  char path[LONGEST_PATH];
  FILE *fp;

  buf[0] = '\0';
  format (path, sizeof path, "%s/%s", folder, file);
  fp = fopen (path, "re");
  if (fp == NULL)
    return;
  if (fgets (buf, size, fp) == NULL)
    buf[0] = '\0';
  buf[strcspn (buf, "\n")] = '\0';
  fclose (fp);
}

bool
write_line (const char *folder, const char *file, const char *text)
{
  char path[LONGEST_PATH];
  FILE *fp;
  bool ok;

  format (path, sizeof path, "%s/%s", folder, file);
  fp = fopen (path, "we");
  if (fp == NULL)
    return false;
  ok = fprintf (fp, "%s\n", text) > 0;
  return fclose (fp) == 0 && ok;
}

/*---------------------------------------------------------------------*/
/* Folders */

bool
is_good_name (const char *name)
{
  static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

  return name[0] != '\0' && name[0] != '.' && strlen (name) <= MAX_NAME &&
         name[strspn (name, letters)] == '\0';
}

void
folder_of (char *buf, size_t size, const char *name)
{
  format (buf, size, RUN "/%s", name);
}

void
remove_folder (const char *folder)
{
  static const char *const files[] = {"device", "attachment", "uri",    "pid",
                                      "socket", "server",     "watcher"};
  char path[LONGEST_PATH];
  size_t i;

  for (i = 0; i < sizeof files / sizeof files[0]; i++) {
    format (path, sizeof path, "%s/%s", folder, files[i]);
    unlink (path);
  }
  rmdir (folder);
}

static int lock_fd = -1;

bool
lock_folder (const char *folder)
{
  struct stat st = {.st_nlink = 0};
  int err;

  lock_fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_fd == -1)
    return false;
  if (flock (lock_fd, LOCK_EX | LOCK_NB) == 0 && fstat (lock_fd, &st) == 0 &&
      st.st_nlink > 0)
    return true;
  err = errno == EWOULDBLOCK ? errno : ENOENT; /* removed meanwhile */
  unlock_folder ();
  errno = err;
  return false;
}

/* Also where a child has it, too. */
void
unlock_folder (void)
{
  if (lock_fd != -1)
    flock (lock_fd, LOCK_UN);
  close (lock_fd);
  lock_fd = -1;
}

/* It has its name only when it is locked; before that it has one that nobody
 * takes for a device's.
 */
bool
make_folder (const char *folder)
{
  char fresh[LONGEST_PATH];
  int err;

  if (mkdir (RUN, 0755) == -1 && errno != EEXIST)
    return false;
  format (fresh, sizeof fresh, RUN "/.%d", (int) getpid ());
  /* One that is there is what was killed just here. */
  if (mkdir (fresh, 0700) == -1 && errno != EEXIST)
    return false;
  if (!lock_folder (fresh))
    return false;
  if (move_folder (fresh, folder))
    return true;
  err = errno;
  unlock_folder ();
  rmdir (fresh);
  errno = err;
  return false;
}

bool
move_folder (const char *folder, const char *new)
{
  return renameat2 (AT_FDCWD, folder, AT_FDCWD, new, RENAME_NOREPLACE) == 0;
}

void
for_each_folder (void (*action) (const char *name, const char *folder))
{
  char folder[LONGEST_PATH];
  struct dirent *entry;
  struct stat st;
  DIR *dir;

  dir = opendir (RUN);
  if (dir == NULL)
    return;
  while ((entry = readdir (dir)) != NULL) {
    if (!is_good_name (entry->d_name))
      continue;
    folder_of (folder, sizeof folder, entry->d_name);
    if (stat (folder, &st) == -1 || !S_ISDIR (st.st_mode))
      continue;
    action (entry->d_name, folder);
  }
  closedir (dir);
}

void
leave_locks (void)
{
  close (lock_fd);
  lock_fd = -1;
}
