/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Connections to Unix sockets, and the end of a program that cannot go on, for
 * programs of tests that speak NBD by themselves.
 */

#ifndef NULLBLK_TESTS_UNIX_H
#define NULLBLK_TESTS_UNIX_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static inline void __attribute__ ((noreturn)) give_up (const char *why)
{
  fprintf (stderr, "%s: %s: %s\n", program_invocation_short_name, why,
           strerror (errno));
  exit (EXIT_FAILURE);
}

static inline int
connect_to (const char *path)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd;

  if (strlen (path) >= sizeof address.sun_path)
    give_up (path);
  strcpy (address.sun_path, path);
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd == -1 ||
      connect (fd, (struct sockaddr *) &address, sizeof address) == -1)
    give_up (path);
  return fd;
}

#endif /* NULLBLK_TESTS_UNIX_H */
