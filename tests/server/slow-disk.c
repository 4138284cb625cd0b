/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Preloaded into a server: a disk that is as slow as can be.  As long as the
 * file exists that NULLBLK_SLOW_DISK names, no pwritev goes on.
 */

#include <config.h>

#undef _FILE_OFFSET_BITS

#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

ssize_t pwritev64 (int fd, const struct iovec *iov, int nr, off64_t offset);

/* By system calls, as others that are preloaded would see the waiting. */
ssize_t
pwritev64 (int fd, const struct iovec *iov, int nr, off64_t offset)
{
  static const struct timespec a_while = {.tv_nsec = 1000000};
  const char *path = getenv ("NULLBLK_SLOW_DISK");

  while (path != NULL && access (path, F_OK) == 0)
    syscall (SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &a_while, NULL);
  return syscall (SYS_pwritev, fd, iov, (long) nr, (long) offset,
                  (long) ((uint64_t) offset >> 32));
}

ssize_t
pwritev (int fd, const struct iovec *iov, int nr, off_t offset)
{
  return pwritev64 (fd, iov, nr, offset);
}
