/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The directories of attachments, whose files have one line each (see
 * attach.c), and the locks of directories and of exports.
 */

#include <config.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attach-internal.h"

/*---------------------------------------------------------------------*/
/* Files */

void
network_of_process (char *buf, size_t size)
{
  const char *const path = "/proc/self/ns/net";
  const ssize_t len = readlink (path, buf, size - 1);

  if (len == -1 && !is_absent (errno))
    die ("%s: %s", path, strerror (errno));
  buf[len > 0 ? len : 0] = '\0';
}

bool
write_export_info (const char *directory, const struct export_info *info)
{
  char text[96];

  format_text (text, sizeof text, "%" PRIu64 " %u %u %" PRIu64, info->size,
               info->block_size, info->flags, info->peer);
  return write_line (directory, "export", text);
}

bool
read_export_info (const char *directory, struct export_info *info)
{
  char text[96];

  read_line (text, sizeof text, directory, "export");
  return sscanf (text, "%" SCNu64 " %u %u %" SCNu64, &info->size,
                 &info->block_size, &info->flags, &info->peer) == 4;
}

/*---------------------------------------------------------------------*/
/* Directories */

bool
is_good_name (const char *name)
{
  static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

  return name[0] != '\0' && name[0] != '.' && strlen (name) <= MAX_NAME &&
         name[strspn (name, letters)] == '\0';
}

void
directory_of (char *buf, size_t size, const char *name)
{
  format_text (buf, size, RUN_DIR "/%s", name);
}

bool
remove_directory (const char *directory)
{
  static const char *const files[] = {
      "device", "attachment", "uri",     "export",  "network", "pid",
      "socket", "server",     "watcher", "persist", "timeout"};
  char path[MAX_PATH];
  int err = 0;
  size_t i;

  for (i = 0; i < sizeof files / sizeof files[0]; i++) {
    format_text (path, sizeof path, "%s/%s", directory, files[i]);
    if (unlink (path) == -1 && errno != ENOENT && err == 0)
      err = errno;
  }
  if (rmdir (directory) == -1 && errno != ENOENT && err == 0)
    err = errno;
  if (err != 0)
    fprintf (stderr, "nullblk-attach: %s is not removed: %s\n", directory,
             strerror (err));
  return err == 0;
}

static int lock_fd = -1;

bool
lock_directory (const char *directory)
{
  struct stat st;
  int err;

  lock_fd = open (directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_fd == -1)
    return false;
  if (flock (lock_fd, LOCK_EX | LOCK_NB) == -1 || fstat (lock_fd, &st) == -1)
    err = errno;
  else if (st.st_nlink == 0)
    err = ENOENT; /* removed meanwhile */
  else
    return true;
  unlock_directory ();
  errno = err;
  return false;
}

/* Unlock the directory, even if a child has the descriptor, too. */
void
unlock_directory (void)
{
  if (lock_fd != -1)
    flock (lock_fd, LOCK_UN);
  close (lock_fd);
  lock_fd = -1;
}

/* The directory gets its name when it is locked; until then it has a name that
 * for_each_directory leaves out.
 */
bool
make_directory (const char *directory)
{
  char hidden[MAX_PATH];
  bool is_new, has_lock;
  int err;

  if (mkdir (RUN_DIR, 0755) == -1 && errno != EEXIST)
    return false;
  format_text (hidden, sizeof hidden, RUN_DIR "/.%d", (int) getpid ());
  /* EEXIST: a process of the same pid was killed just here. */
  is_new = mkdir (hidden, 0700) == 0;
  if (!is_new && errno != EEXIST)
    return false;
  has_lock = lock_directory (hidden);
  if (has_lock && move_directory (hidden, directory))
    return true;
  err = errno;
  if (has_lock)
    unlock_directory ();
  if (has_lock || is_new)
    rmdir (hidden);
  errno = err;
  return false;
}

bool
move_directory (const char *directory, const char *new)
{
  return renameat2 (AT_FDCWD, directory, AT_FDCWD, new, RENAME_NOREPLACE) == 0;
}

void
for_each_directory (void (*action) (const char *name, const char *directory))
{
  char directory[MAX_PATH];
  struct dirent *entry;
  struct stat st;
  DIR *dir;

  dir = opendir (RUN_DIR);
  if (dir == NULL && errno == ENOENT)
    return;
  if (dir == NULL)
    die ("%s: %s", RUN_DIR, strerror (errno));
  while ((errno = 0, entry = readdir (dir)) != NULL) {
    if (!is_good_name (entry->d_name))
      continue;
    directory_of (directory, sizeof directory, entry->d_name);
    if (stat (directory, &st) == 0) {
      if (S_ISDIR (st.st_mode))
        action (entry->d_name, directory);
    }
    else if (errno != ENOENT)
      die ("%s: %s", directory, strerror (errno));
  }
  if (errno != 0)
    die ("%s: %s", RUN_DIR, strerror (errno));
  closedir (dir);
}

/*---------------------------------------------------------------------*/
/* Exports */

static int export_fd = -1;
static struct flock export_lock;

/* FNV-1a. */
static void
mix (uint64_t *hash, const char *text)
{
  do
    *hash = (*hash ^ (unsigned char) *text) * UINT64_C (0x100000001b3);
  while (*text++ != '\0');
}

/* Which byte is locked for an export.  Exports that have the same one only wait
 * for each other.
 */
static off_t
lock_offset (const struct uri *uri)
{
  uint64_t hash = UINT64_C (0xcbf29ce484222325);
  char host[sizeof uri->host];
  size_t i;

  for (i = 0; i < sizeof host; i++)
    host[i] = tolower ((unsigned char) uri->host[i]);
  mix (&hash, host);
  mix (&hash, uri->port);
  mix (&hash, uri->socket);
  mix (&hash, uri->export_name);
  return hash & INT32_MAX;
}

/* The lock is on a byte of a file that all exports share, so that there is no
 * file to remove.  The lock belongs to the open file; one of F_SETLK would
 * belong to the process.
 */
static bool
try_to_lock (const void *arg)
{
  (void) arg;
  return fcntl (export_fd, F_OFD_SETLK, &export_lock) == 0;
}

bool
lock_export (const struct uri *uri)
{
  if (mkdir (RUN_DIR, 0755) == -1 && errno != EEXIST)
    return false;
  export_fd = open (RUN_DIR "/.exports", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (export_fd == -1)
    return false;
  export_lock = (struct flock){.l_type = F_WRLCK,
                               .l_whence = SEEK_SET,
                               .l_start = lock_offset (uri),
                               .l_len = 1};
  if (await_condition (try_to_lock, NULL))
    return true;
  leave_locks ();
  errno = ETIMEDOUT;
  return false;
}

void
unlock_export (void)
{
  export_lock.l_type = F_UNLCK;
  if (export_fd != -1)
    fcntl (export_fd, F_OFD_SETLK, &export_lock);
  close (export_fd);
  export_fd = -1;
}

void
leave_locks (void)
{
  close (lock_fd);
  close (export_fd);
  lock_fd = export_fd = -1;
}
