/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Flushing a block device; see flush.h.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "flush.h"

/* The kernel counts a flush as a write, but of no sector. */
uint64_t
flush_sectors (const char *name)
{
  uint64_t written = 0, discarded = 0;
  char path[64];
  FILE *fp;

  snprintf (path, sizeof path, SYS "/block/%s/stat", name);
  fp = fopen (path, "re");
  if (fp == NULL)
    return 0;
  if (fscanf (fp,
              "%*u %*u %*u %*u %*u %*u %" SCNu64
              " %*u %*u %*u %*u %*u %*u %" SCNu64,
              &written, &discarded) < 1)
    written = 0;
  fclose (fp);
  return written + discarded;
}

/* What is in the page cache counts as written when it has been sent. */
int
flush_what_is_new (struct flush *f, int fd, const char *name)
{
  uint64_t sectors;
  int r = 0;

  if (sync_file_range (fd, 0, 0, SYNC_FILE_RANGE_WRITE_AND_WAIT) == -1)
    r = -errno;
  sectors = flush_sectors (name);
  if (f->count > 0 && sectors == f->sectors)
    return r;
  if (f->count == MAX_FLUSHES)
    return r < 0 ? r : -EBUSY;
  f->count++;
  f->sectors = sectors;
  if (fsync (fd) == -1 && r == 0)
    r = -errno;
  return r < 0 ? r : 1;
}
