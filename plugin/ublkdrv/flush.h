/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Flushing a block device that is about to be taken away, while others may
 * still write to it.
 *
 * A flush may take long, and meanwhile somebody may open the device, write, and
 * close it: as we have it open, too, that flushes nothing.  So whoever takes a
 * device away flushes it until nothing was written since the last time.
 */

#ifndef NULLBLK_UBLKDRV_FLUSH_H
#define NULLBLK_UBLKDRV_FLUSH_H

#include <stdint.h>

#ifndef SYS /* as for a test */
#define SYS "/sys"
#endif

/* Flushes of a device that is written to again and again. */
#define MAX_FLUSHES 10

/* All of it is 0 before the first flush. */
struct flush {
  unsigned count;   /* of the flushes so far */
  uint64_t sectors; /* what flush_sectors said just before the last one */
};

/* How many sectors of the block device NAME ("nbdN", "ublkbN") were written or
 * discarded since it was made, well or badly, by requests that have ended.  0
 * where the kernel does not count (queue/iostats is 0).
 */
uint64_t flush_sectors (const char *name);

/* Flush the block device NAME, which FD is, for the first time, or if something
 * was written to it since the last flush began.  Returns 1 if it was flushed; 0
 * if there was no need; -EBUSY if there was, but also at each of MAX_FLUSHES
 * before, so that it was not flushed; or the negative errno of a flush or a
 * write of the page cache that has failed.  The kernel tells of each only once.
 */
int flush_what_is_new (struct flush *f, int fd, const char *name);

#endif /* NULLBLK_UBLKDRV_FLUSH_H */
