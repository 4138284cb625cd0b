/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Users of a block device; see users.h.
 */

#include <config.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/kcmp.h>

#include "users.h"

#define MAX_PATH 600

/* How long a process may take that opens the device, and how often it is
 * checked.
 */
#define OPENING_SECONDS 5
#define CHECKS_A_SECOND 50

struct device {
  const char *name;
  dev_t number;
  pid_t aide; /* which is no user; or 0 */
};

/* Is PATH, below a /dev or not, of the name of the device or of a part? */
static bool
is_named_so (const struct device *d, const char *path)
{
  const size_t len = strlen (d->name);
  const char *last = strrchr (path, '/');

  if (last == NULL || strncmp (last + 1, d->name, len) != 0)
    return false;
  last += 1 + len;
  return *last == '\0' || *last == ' ' ||
         (*last == 'p' && isdigit ((unsigned char) last[1]));
}

/* Is the file that LINK of /proc shows the device, or a part of it?  Only what
 * looks like a device is asked for: a file of a server that has died would wait
 * for it.
 */
static bool
is_file_of (const struct device *d, const char *link)
{
  char path[MAX_PATH];
  struct stat st;
  ssize_t n;

  n = readlink (link, path, sizeof path - 1);
  path[n > 0 ? n : 0] = '\0';
  if (strncmp (path, "/dev/", 5) != 0 && !is_named_so (d, path))
    return false;
  if (stat (link, &st) == -1 || !S_ISBLK (st.st_mode))
    return false;
  return st.st_rdev == d->number || is_named_so (d, path);
}

/* Calls LOOK for what is in a directory until it returns other than 0.  A
 * directory that is not there, or of a process that has ended, has nothing in
 * it.
 */
static int
for_each (const struct device *d, const char *directory,
          int (*look) (const struct device *d, const char *path))
{
  struct dirent *entry;
  char path[MAX_PATH];
  int r = 0;
  DIR *dir;

  dir = opendir (directory);
  if (dir == NULL)
    return errno == ENOENT || errno == ESRCH || errno == ENOTDIR ? 0 : -errno;
  while (r == 0 && (errno = 0, entry = readdir (dir)) != NULL) {
    if (entry->d_name[0] == '.')
      continue;
    if (snprintf (path, sizeof path, "%s/%s", directory, entry->d_name) <
        (int) sizeof path)
      r = look (d, path);
  }
  if (r == 0 && entry == NULL && errno != 0 && errno != ENOENT &&
      errno != ESRCH)
    r = -errno;
  closedir (dir);
  return r;
}

static int
look_at_file (const struct device *d, const char *path)
{
  return is_file_of (d, path) ? -EBUSY : 0;
}

static int
look_at_directory (const struct device *d, const char *path,
                   const char *directory)
{
  char whole[MAX_PATH + 16];

  snprintf (whole, sizeof whole, "%s/%s", path, directory);
  return for_each (d, whole, look_at_file);
}

/* A thread may have files of its own, which is rare. */
static int
look_at_thread (const struct device *d, const char *path)
{
  const int thread = atoi (strrchr (path, '/') + 1);
  const int process = atoi (path + strlen ("/proc/"));

  if (thread != process &&
      syscall (SYS_kcmp, process, thread, KCMP_FILES, 0, 0) == 0)
    return 0;
  return look_at_directory (d, path, "fd");
}

static int
look_at_process (const struct device *d, const char *path)
{
  const char *pid = strrchr (path, '/') + 1;
  char threads[MAX_PATH + 16];
  int r;

  if (!isdigit ((unsigned char) pid[0]) || atoi (pid) == getpid () ||
      atoi (pid) == d->aide)
    return 0;
  r = look_at_directory (d, path, "map_files");
  if (r < 0)
    return r;
  snprintf (threads, sizeof threads, "%s/task", path);
  return for_each (d, threads, look_at_thread);
}

static int
look_at_loop (const struct device *d, const char *path)
{
  char file[MAX_PATH + 32], text[MAX_PATH] = "";
  FILE *fp;

  snprintf (file, sizeof file, "%s/loop/backing_file", path);
  fp = fopen (file, "re");
  if (fp == NULL) /* as a rule it is no loop device, or has no file */
    return errno == ENOENT || errno == ENODEV ? 0 : -errno;
  if (fgets (text, sizeof text, fp) != NULL)
    text[strcspn (text, "\n")] = '\0';
  fclose (fp);
  return is_named_so (d, text) ? -EBUSY : 0;
}

static int
look_at_holder (const struct device *d, const char *path)
{
  (void) d;
  (void) path;
  return -EBUSY;
}

/* Look at PATH: the directory of the device in /sys, or something in it, such
 * as the directory of a partition.
 */
static int
look_at_part (const struct device *d, const char *path)
{
  char holders[MAX_PATH + 16];

  if (!is_named_so (d, path))
    return 0;
  snprintf (holders, sizeof holders, "%s/holders", path);
  return for_each (d, holders, look_at_holder);
}

int
users_find (const char *name, pid_t aide)
{
  struct device d = {.name = name, .aide = aide};
  char path[MAX_PATH];
  unsigned major, minor;
  FILE *fp;
  int r;

  /* Its number is not asked of /dev, where anybody may have put anything. */
  snprintf (path, sizeof path, "/sys/block/%s/dev", name);
  fp = fopen (path, "re");
  if (fp == NULL)
    return errno == ENOENT || errno == ENODEV ? 0 : -errno; /* it is gone */
  errno = EIO;
  r = fscanf (fp, "%u:%u", &major, &minor) == 2 ? 0 : -errno;
  fclose (fp);
  if (r < 0)
    return r == -ENODEV ? 0 : r; /* it has gone since */
  d.number = makedev (major, minor);
  snprintf (path, sizeof path, "/sys/block/%s", name);
  r = look_at_part (&d, path);
  if (r == 0)
    r = for_each (&d, path, look_at_part);
  if (r == 0)
    r = for_each (&d, "/sys/block", look_at_loop);
  if (r == 0)
    r = for_each (&d, "/proc", look_at_process);
  return r;
}

/* Where somebody holds the device, the kernel says so at once.  Where nobody
 * does, an open may wait for the device for ever, as the kernel looks for
 * partitions: so a child opens it.
 */
static int
find_holder (const char *name)
{
  const struct timespec pause = {.tv_nsec = 1000000000 / CHECKS_A_SECOND};
  int fd, status = 0;
  char path[64];
  unsigned i;
  pid_t pid, ended;

  snprintf (path, sizeof path, "/dev/%s", name);
  pid = fork ();
  if (pid == -1)
    return -errno;
  if (pid == 0) {
    fd = open (path, O_RDONLY | O_EXCL | O_CLOEXEC);
    _exit (fd == -1 && errno == EBUSY ? EXIT_FAILURE : EXIT_SUCCESS);
  }
  for (i = 0; (ended = waitpid (pid, &status, WNOHANG)) == 0 &&
              i < OPENING_SECONDS * CHECKS_A_SECOND;
       i++)
    nanosleep (&pause, NULL);
  if (ended == -1)
    return -errno;
  if (ended == 0)
    kill (pid, SIGKILL);
  return ended == pid && status != 0 ? -EBUSY : 0;
}

/* While the aide holds it, nobody else does. */
int
users_find_of_dead (const char *name, pid_t aide)
{
  const int r = users_find (name, aide);

  return r == 0 && aide == 0 ? find_holder (name) : r;
}
