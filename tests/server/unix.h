/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * For programs of tests that speak NBD by themselves: connections to Unix
 * sockets, and what is sent and received over any socket, to the last byte.  A
 * program that cannot go on ends.
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

static inline void
send_all (int fd, const void *buf, size_t n)
{
  const char *p = buf;
  ssize_t r;

  for (; n > 0; p += r, n -= r) {
    r = send (fd, p, n, MSG_NOSIGNAL);
    if (r <= 0)
      give_up ("send");
  }
}

static inline void
receive_all (int fd, void *buf, size_t n)
{
  if (n > 0 && recv (fd, buf, n, MSG_WAITALL) != (ssize_t) n)
    give_up ("recv");
}

/* Connect to the export "" of a server, with simple replies. */
static inline int
open_device (const char *path)
{
  static const unsigned char hello[] = "\0\0\0\3IHAVEOPT\0\0\0\1\0\0\0\0";
  unsigned char buf[18];
  const int fd = connect_to (path);

  receive_all (fd, buf, 18);
  send_all (fd, hello, 20);
  receive_all (fd, buf, 10);
  return fd;
}

#endif /* NULLBLK_TESTS_UNIX_H */
