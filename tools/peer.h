/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Who is at the other end of a socket.
 */

#ifndef NULLBLK_PEER_H
#define NULLBLK_PEER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

/* Returns a number for the address to which the socket FD is connected: a hash
 * of it (64 bits of FNV-1a), so that other addresses hardly ever have the same.
 * Returns 0 if the address is not known, or if the socket is a Unix socket,
 * whose path has only one server.
 */
static inline uint64_t
peer_of (int fd)
{
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  const unsigned char *byte = (const unsigned char *) &address;
  uint64_t n = UINT64_C (0xcbf29ce484222325);
  size_t i;

  memset (&address, 0, sizeof address);
  if (getpeername (fd, (struct sockaddr *) &address, &length) == -1 ||
      address.ss_family == AF_UNIX)
    return 0;
  for (i = 0; i < sizeof address; i++)
    n = (n ^ byte[i]) * UINT64_C (0x100000001b3);
  return n != 0 ? n : 1;
}

#endif /* NULLBLK_PEER_H */
