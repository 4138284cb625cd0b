/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * How a program begins: with descriptors 0 to 2, and with children that it can
 * wait for, whatever its parent has left it.
 */

#ifndef NULLBLK_PROGRAM_BEGIN_H
#define NULLBLK_PROGRAM_BEGIN_H

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

/* Open those of the descriptors 0 to 2 that are closed, so that writing to them
 * fails.  Otherwise a socket could become one of them: it would get what the
 * program prints, and be closed when the program leaves its terminal.  And have
 * SIGCHLD not be ignored, as it is where the parent ignores it: then the
 * program could not wait for children.  This is the first thing that main does.
 */
static inline void
program_begin (void)
{
  int fd;

  do
    fd = open ("/dev/null", O_RDONLY);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd > STDERR_FILENO)
    close (fd);
  signal (SIGCHLD, SIG_DFL);
}

#endif /* NULLBLK_PROGRAM_BEGIN_H */
