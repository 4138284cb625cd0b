/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A program that has the library of batched I/O in it; see preloaded.h.
 */

#include <config.h>

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "preloaded.h"
#include "unit.h"

struct nanosleep nanosleep_of_nbdkit;

__attribute__ ((visibility ("default"))) int nbdkit_nanosleep (unsigned sec,
                                                               unsigned nsec);
int
nbdkit_nanosleep (unsigned sec, unsigned nsec)
{
  static const struct timespec at_once;

  nanosleep_of_nbdkit.sec = sec;
  nanosleep_of_nbdkit.nsec = nsec;
  ppoll (NULL, 0, &at_once, NULL);
  return nanosleep_of_nbdkit.result;
}

int
listen_for (int *client)
{
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl (INADDR_LOOPBACK)};
  socklen_t len = sizeof address;
  const int listener = socket (AF_INET, SOCK_STREAM, 0);

  must (bind (listener, (struct sockaddr *) &address, len) == 0, "bind");
  must (listen (listener, 1) == 0, "listen");
  getsockname (listener, (struct sockaddr *) &address, &len);
  *client = socket (AF_INET, SOCK_STREAM, 0);
  must (connect (*client, (struct sockaddr *) &address, len) == 0, "connect");
  return listener;
}

void
connect_ends (int ends[2], bool by_accept4)
{
  const int listener = listen_for (&ends[1]);

  ends[0] = by_accept4 ? accept4 (listener, NULL, NULL, SOCK_CLOEXEC)
                       : accept (listener, NULL, NULL);
  must (ends[0] >= 0, "accept");
  close (listener);
}

int
end_of (pid_t pid)
{
  int status;

  assert_true (pid > 0);
  assert_int_equal (waitpid (pid, &status, 0), pid);
  return status;
}

int
in_child (void (*what) (void))
{
  const pid_t pid = fork ();

  if (pid == 0) {
    alarm (100);
    signal (SIGABRT, SIG_DFL);
    what ();
    _exit (0);
  }
  return end_of (pid);
}
