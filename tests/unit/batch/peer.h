/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What the peers of all tests of batched socket I/O do, and the system's calls.
 * A test replaces some of these with its own.
 */

#ifndef NULLBLK_TESTS_PEER_H
#define NULLBLK_TESTS_PEER_H

#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "batch/batch-socket-internal.h"
#include "common/common.h"
#include "unit.h"

/* The system's calls, without `nap` and `has_unread`. */
static const struct batch_calls systems_own = {.read = read,
                                               .readv = readv,
                                               .recvfrom = recvfrom,
                                               .recvmsg = recvmsg,
                                               .send = send,
                                               .sendmsg = sendmsg,
                                               .write = write,
                                               .shutdown = shutdown,
                                               .ppoll = ppoll,
                                               .now = clock_now,
                                               .cpu = clock_now};

/* Send the first N bytes of a message. */
static inline ssize_t
send_first (int fd, const struct msghdr *msg, size_t n, int flags)
{
  struct msghdr less = {.msg_iov =
                            malloc (msg->msg_iovlen * sizeof *msg->msg_iov)};
  struct iovec *last;
  ssize_t r;

  assert_non_null (less.msg_iov);
  while (n > 0 && less.msg_iovlen < msg->msg_iovlen) {
    last = &less.msg_iov[less.msg_iovlen];
    *last = msg->msg_iov[less.msg_iovlen++];
    if (last->iov_len > n)
      last->iov_len = n;
    n -= last->iov_len;
  }
  r = sendmsg (fd, &less, flags);
  free (less.msg_iov);
  return r;
}

static inline size_t
bytes_of (const struct msghdr *msg)
{
  size_t i, n = 0;

  for (i = 0; i < msg->msg_iovlen; i++)
    n += msg->msg_iov[i].iov_len;
  return n;
}

static inline bool
has_input (int fd)
{
  struct pollfd p = {.fd = fd, .events = POLLIN};

  return poll (&p, 1, 0) == 1;
}

static inline void
write_all (int fd, const void *buf, size_t n)
{
  const unsigned char *p = buf;
  ssize_t r;

  while (n > 0) {
    r = send (fd, p, n, MSG_NOSIGNAL);
    assert_true (r > 0);
    p += r;
    n -= r;
  }
}

/* Assert that FD can read just these bytes now. */
static inline void
expect_now (int fd, const void *bytes, size_t n)
{
  unsigned char buf[4096];
  const unsigned char *p = bytes;
  ssize_t r;

  while ((r = recv (fd, buf, sizeof buf, MSG_DONTWAIT)) > 0) {
    assert_true ((size_t) r <= n);
    assert_memory_equal (buf, p, r);
    p += r;
    n -= r;
  }
  assert_int_equal (n, 0);
}

#endif /* NULLBLK_TESTS_PEER_H */
