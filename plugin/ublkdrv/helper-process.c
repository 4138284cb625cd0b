/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A process beside this one; see helper-process.h.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "helper-process.h"

/* The helper's socket to its parent.  All higher descriptors are closed. */
#define SOCKET 3

void
helper_block_signals (sigset_t *set)
{
  sigemptyset (set);
  sigaddset (set, SIGINT);
  sigaddset (set, SIGTERM);
  sigaddset (set, SIGHUP);
  sigprocmask (SIG_BLOCK, set, NULL);
  signal (SIGPIPE, SIG_IGN);
}

static void
stand_alone (int fd)
{
  const int nothing = open ("/dev/null", O_RDWR);
  sigset_t set;

  helper_block_signals (&set);
  setsid ();
  if (nothing == -1 || chdir ("/") == -1)
    _exit (1);
  dup2 (nothing, 0);
  dup2 (nothing, 1);
  dup2 (nothing, 2);
  if (fd != SOCKET)
    dup2 (fd, SOCKET);
  syscall (SYS_close_range, SOCKET + 1, UINT32_MAX, 0);
}

int
helper_make (pid_t *pid, void (*run) (int fd, const void *opaque),
             const void *opaque, struct message *why)
{
  int fds[2];

  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == -1) {
    message_set (why, "%s", strerror (errno));
    return -1;
  }
  *pid = fork ();
  if (*pid == 0) {
    stand_alone (fds[1]);
    run (SOCKET, opaque);
    _exit (0);
  }
  close (fds[1]);
  if (*pid == -1) {
    message_set (why, "%s", strerror (errno));
    close (fds[0]);
    return -1;
  }
  return fds[0];
}
