/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Descriptors 0 to 2, which may be closed when a program starts.
 */

#ifndef NULLBLK_STDIO_FDS_H
#define NULLBLK_STDIO_FDS_H

#include <fcntl.h>
#include <unistd.h>

/* Open those of the descriptors 0 to 2 that are closed, so that writing to them
 * fails.  Otherwise a socket could become one of them: it would get what the
 * program prints, and be closed when the program leaves its terminal.  This is
 * the first thing that main does.
 */
static inline void
stdio_fds_reserve (void)
{
  int fd;

  do
    fd = open ("/dev/null", O_RDONLY);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd > STDERR_FILENO)
    close (fd);
}

#endif /* NULLBLK_STDIO_FDS_H */
