/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What is measured; see target.h.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/fs.h>

#include "die.h"
#include "target.h"
#include "uri.h"

#define die(...) die_as ("nullblk-measure", __VA_ARGS__)

/* Does the kernel say of the device DEV, or of the disk that DEV is a partition
 * of, that it is rotational?
 */
static bool
is_rotational (dev_t dev)
{
  static const char *const names[] = {"queue", "../queue"};
  char path[128], line[16];
  FILE *fp = NULL;
  unsigned i;

  for (i = 0; i < 2 && fp == NULL; i++) {
    snprintf (path, sizeof path, "/sys/dev/block/%u:%u/%s/rotational",
              major (dev), minor (dev), names[i]);
    fp = fopen (path, "re");
    if (fp == NULL && errno != ENOENT)
      die ("%s: %s", path, strerror (errno));
  }
  if (fp == NULL)
    return false;
  if (fgets (line, sizeof line, fp) == NULL)
    die ("%s: %s", path, strerror (errno));
  fclose (fp);
  return line[0] == '1';
}

static void __attribute__ ((noreturn)) die_in_use (const char *name)
{
  die ("%s: it is in use (mounted, swap, or a part of another device); allowed "
       "is what nobody uses",
       name);
}

/* O_EXCL fails if the device, a partition of it, or the disk that it is a
 * partition of, is mounted, is swap, or is part of another device.
 */
static int
open_device (const char *name, int flags)
{
  const int fd = open (name, flags | O_EXCL | O_CLOEXEC | O_NONBLOCK);

  if (fd == -1 && errno == EBUSY)
    die_in_use (name);
  return fd;
}

/* A loop device does not open what is behind it with O_EXCL. */
static void
refuse_behind_loop (const char *name, const struct stat *st)
{
  char path[PATH_MAX];
  struct stat behind;
  glob_t files;
  size_t i;
  FILE *fp;

  switch (glob ("/sys/block/loop*/loop/backing_file", 0, NULL, &files)) {
  case 0:
    break;
  case GLOB_NOMATCH:
    return;
  default:
    die ("/sys/block: %s", strerror (errno));
  }
  for (i = 0; i < files.gl_pathc; i++) {
    fp = fopen (files.gl_pathv[i], "re");
    if (fp == NULL && errno == ENOENT) /* it has gone meanwhile */
      continue;
    if (fp == NULL)
      die ("%s: %s", files.gl_pathv[i], strerror (errno));
    path[0] = '\0';
    if (fgets (path, sizeof path, fp) != NULL)
      path[strcspn (path, "\n")] = '\0';
    fclose (fp);
    if (stat (path, &behind) == 0 &&
        (S_ISBLK (st->st_mode)
             ? S_ISBLK (behind.st_mode) && behind.st_rdev == st->st_rdev
             : behind.st_dev == st->st_dev && behind.st_ino == st->st_ino))
      die_in_use (name);
  }
  globfree (&files);
}

static void
look_at_device (struct target *t, int fd, dev_t dev)
{
  unsigned physical = 0;
  int logical = 0;
  uint64_t size = 0;

  if (ioctl (fd, BLKGETSIZE64, &size) == -1 ||
      ioctl (fd, BLKSSZGET, &logical) == -1 ||
      ioctl (fd, BLKPBSZGET, &physical) == -1)
    die ("%s: %s", t->name, strerror (errno));
  t->drive.size = size;
  t->drive.block_size = (uint64_t) logical;
  t->drive.physical_block_size = physical;
  t->drive.rotational = is_rotational (dev);
}

void
target_open (struct target *t, const char *name, bool to_be_written)
{
  const int flags = to_be_written ? O_RDWR : O_RDONLY;
  struct stat st;
  int fd;

  memset (t, 0, sizeof *t);
  t->name = name;
  t->is_uri = uri_is_one (name);
  if (t->is_uri)
    return;
  if (stat (name, &st) == -1)
    die ("%s: %s", name, strerror (errno));
  if (!S_ISBLK (st.st_mode) && !S_ISREG (st.st_mode))
    die ("%s: allowed is a block device, a file or an NBD URI", name);
  refuse_behind_loop (name, &st);
  fd = S_ISBLK (st.st_mode) ? open_device (name, flags)
                            : open (name, flags | O_CLOEXEC);
  if (fd == -1)
    die ("%s: %s", name, strerror (errno));
  if (S_ISBLK (st.st_mode))
    look_at_device (t, fd, st.st_rdev);
  else {
    t->drive.size = (uint64_t) st.st_size;
    t->drive.rotational = is_rotational (st.st_dev);
  }
  snprintf (t->path, sizeof t->path, "/proc/%d/fd/%d", (int) getpid (), fd);
  if (t->drive.size < 1 << 20)
    die ("%s: allowed is what has at least 1 MiB", name);
}
