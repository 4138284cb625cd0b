/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Files in /run/nullblk-ublk; see ublk-record.h.
 */

#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ublk-record.h"

/* Bytes of the file that are locked, all with classic locks of fcntl: such a
 * lock ends with its process, no child inherits it, and the kernel tells whose
 * it is.  A process that only looks takes no lock.
 */
enum lock_byte { OF_MAKER, OF_CLEARER, OF_SUPERVISOR, OF_AIDE };

static struct flock
lock_of (enum lock_byte byte)
{
  return (struct flock){
      .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
}

static bool
lock (const struct device_record *r, enum lock_byte byte)
{
  const struct flock wanted = lock_of (byte);

  return fcntl (r->fd, F_SETLK, &wanted) == 0;
}

static void
path_of (char *buf, size_t size, uint64_t cookie)
{
  snprintf (buf, size, RECORDS "/%016" PRIx64, cookie);
}

static int
write_record (const struct device_record *r)
{
  char text[sizeof r->uri + sizeof r->device + 64];
  int n;

  n = snprintf (text, sizeof text, "%d\n%u\n%d\n%s\n%s\n", (int) r->pid,
                r->refused, r->lost_data, r->device, r->uri);
  /* Where the former text was longer, its rest stays behind the line of the
   * URI, and nobody reads it.
   */
  return pwrite (r->fd, text, n, 0) == n ? 0 : -EIO;
}

int
device_record_make (struct device_record *r, uint64_t cookie, const char *uri)
{
  char fresh[64], path[64];
  int err = -EIO;

  r->fd = -1;
  r->pid = getpid ();
  r->refused = 0;
  r->lost_data = false;
  strcpy (r->device, "-");
  snprintf (r->uri, sizeof r->uri, "%s", uri);
  r->cookie = cookie;
  if (cookie == 0 &&
      getrandom (&r->cookie, sizeof r->cookie, 0) != sizeof r->cookie)
    return -EIO;
  if (cookie == 0)
    r->cookie |= 1; /* 0 is a device that is nobody's */
  if (mkdir (RECORDS, 0755) == -1 && errno != EEXIST)
    return -errno;
  /* The file gets its name only when it is locked. */
  snprintf (fresh, sizeof fresh, RECORDS "/.%d", (int) r->pid);
  path_of (path, sizeof path, r->cookie);
  r->fd = open (fresh, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (r->fd == -1)
    return -errno;
  if (lock (r, OF_MAKER) && write_record (r) == 0) {
    if (renameat2 (AT_FDCWD, fresh, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
      return 0;
    err = -errno;
  }
  unlink (fresh);
  device_record_close (r);
  return err;
}

int
device_record_set_device (struct device_record *r, const char *device)
{
  snprintf (r->device, sizeof r->device, "%s", device);
  return write_record (r);
}

int
device_record_count_refusal (struct device_record *r)
{
  r->refused++;
  return write_record (r);
}

int
device_record_set_lost_data (struct device_record *r)
{
  r->lost_data = true;
  return write_record (r);
}

static int
read_record (struct device_record *r)
{
  char text[sizeof r->uri + sizeof r->device + 64];
  ssize_t n = pread (r->fd, text, sizeof text - 1, 0);
  int lost_data, after = 0;

  if (n == -1)
    return -errno;
  text[n] = '\0';
  r->device[0] = r->uri[0] = '\0';
  if (sscanf (text, "%*d\n%u\n%d\n%31s\n%n", &r->refused, &lost_data, r->device,
              &after) == 3 &&
      after > 0) {
    r->lost_data = lost_data != 0;
    snprintf (r->uri, sizeof r->uri, "%.*s", (int) strcspn (text + after, "\n"),
              text + after);
  }
  return 0;
}

static int
look (struct device_record *r, bool *is_dead)
{
  struct flock found = lock_of (OF_MAKER);
  int err = 0;

  if (fcntl (r->fd, F_GETLK, &found) == -1) {
    err = -errno;
    found.l_pid = 0; /* nobody knows */
  }
  if (err == 0) /* so it is the last of what a dead process has said */
    err = read_record (r);
  r->pid = found.l_type != F_UNLCK && found.l_pid > 0 ? found.l_pid : 0;
  *is_dead = found.l_type == F_UNLCK;
  return err;
}

bool
device_record_has_died (struct device_record *r)
{
  bool is_dead;

  look (r, &is_dead);
  return is_dead;
}

/* Returns -ENOENT where the file has been removed. */
static int
check_name (const struct device_record *r)
{
  struct stat st;

  if (fstat (r->fd, &st) == -1)
    return -errno;
  return st.st_nlink > 0 ? 0 : -ENOENT;
}

bool
device_record_is_there (const struct device_record *r)
{
  return check_name (r) != -ENOENT;
}

int
device_record_open (struct device_record *r, uint64_t cookie, bool *is_dead)
{
  char path[64];
  int err;

  memset (r, 0, sizeof *r);
  r->cookie = cookie;
  path_of (path, sizeof path, cookie);
  r->fd = open (path, O_RDWR | O_CLOEXEC);
  if (r->fd == -1)
    return -errno;
  err = look (r, is_dead);
  if (err == 0)
    err = check_name (r);
  if (err < 0)
    device_record_close (r);
  return err;
}

int
device_record_lock_to_clear (struct device_record *r)
{
  bool is_dead = false;
  int err;

  if (!lock (r, OF_CLEARER))
    return -EAGAIN;
  err = check_name (r);
  if (err == 0)
    err = look (r, &is_dead);
  return err == 0 && !is_dead ? -EBUSY : err;
}

int
device_record_adopt (struct device_record *r)
{
  struct flock clearer = lock_of (OF_CLEARER);
  int err = device_record_lock_to_clear (r);

  if (err == -EBUSY || (err == 0 && !lock (r, OF_MAKER)))
    err = -EAGAIN;
  if (err < 0)
    return err;
  r->pid = getpid ();
  err = write_record (r);
  clearer.l_type = F_UNLCK;
  fcntl (r->fd, F_SETLK, &clearer);
  return err;
}

/* Returns a descriptor whose process has the lock until it closes it, or a
 * negative errno.
 */
static int
open_and_lock (uint64_t cookie, enum lock_byte byte)
{
  const struct flock wanted = lock_of (byte);
  char path[64];
  int fd, err;

  path_of (path, sizeof path, cookie);
  fd = open (path, O_RDWR | O_CLOEXEC);
  if (fd == -1 || fcntl (fd, F_SETLK, &wanted) == 0)
    return fd != -1 ? fd : -errno;
  err = -errno;
  close (fd);
  return err;
}

int
device_record_supervise (uint64_t cookie)
{
  return open_and_lock (cookie, OF_SUPERVISOR);
}

bool
device_record_is_supervised (const struct device_record *r)
{
  struct flock found = lock_of (OF_SUPERVISOR);

  return fcntl (r->fd, F_GETLK, &found) == 0 && found.l_type != F_UNLCK;
}

int
device_record_hold_device (uint64_t cookie)
{
  return open_and_lock (cookie, OF_AIDE);
}

pid_t
device_record_aide (const struct device_record *r)
{
  struct flock found = lock_of (OF_AIDE);

  return fcntl (r->fd, F_GETLK, &found) == 0 && found.l_type != F_UNLCK &&
                 found.l_pid > 0
             ? found.l_pid
             : 0;
}

void
device_record_close (struct device_record *r)
{
  if (r->fd != -1)
    close (r->fd);
  r->fd = -1;
}

int
device_record_remove (struct device_record *r)
{
  char path[64];
  int err = 0;

  if (r->fd == -1)
    return 0;
  path_of (path, sizeof path, r->cookie);
  if (unlink (path) == -1 && errno != ENOENT)
    err = -errno;
  device_record_close (r);
  return err;
}

bool
device_record_is_of_server (const struct device_record *r)
{
  return strncmp (r->uri, DEVICE_RECORD_OF_SERVER,
                  strlen (DEVICE_RECORD_OF_SERVER)) == 0;
}

int
device_record_for_each (bool (*action) (uint64_t cookie, void *arg), void *arg)
{
  bool goes_on = true;
  struct dirent *entry;
  uint64_t cookie;
  int err = 0;
  DIR *dir;

  dir = opendir (RECORDS);
  if (dir == NULL)
    return errno == ENOENT ? 0 : -errno;
  while (goes_on && (errno = 0, entry = readdir (dir)) != NULL) {
    cookie = device_record_cookie (entry->d_name);
    if (cookie != 0)
      goes_on = action (cookie, arg);
  }
  if (goes_on)
    err = -errno;
  closedir (dir);
  return err;
}

uint64_t
device_record_cookie (const char *text)
{
  return strlen (text) == 16 && text[strspn (text, "0123456789abcdef")] == '\0'
             ? strtoull (text, NULL, 16)
             : 0;
}
