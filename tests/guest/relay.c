/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A network between clients and a server, which can be broken:
 *
 *   relay PORT SERVER-PORT
 *
 * Each connection to PORT of 127.0.0.1 is passed on to SERVER-PORT by a process
 * of its own.  SIGUSR1 breaks all connections, with all that is in flight.  The
 * signal is blocked except while the relay waits for a connection, so that it
 * breaks all.
 */

#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST 1024

static pid_t children[MOST];
static volatile sig_atomic_t must_break;

static void
note (int signal)
{
  (void) signal;
  must_break = 1;
}

static struct sockaddr_in
address_of (const char *port)
{
  return (struct sockaddr_in){.sin_family = AF_INET,
                              .sin_port = htons (atoi (port)),
                              .sin_addr.s_addr = htonl (INADDR_LOOPBACK)};
}

/* Pass on all that can be read now.  Returns -1 at the end. */
static int
pass (int from, int to)
{
  static char buf[65536]; /* a process each */
  ssize_t n = read (from, buf, sizeof buf), written;
  size_t at;

  for (at = 0; n > 0 && at < (size_t) n; at += written) {
    written = write (to, buf + at, n - at);
    if (written == -1)
      return -1;
  }
  return n > 0 ? 0 : -1;
}

static void __attribute__ ((noreturn))
relay (int client, const char *port, const sigset_t *usual)
{
  const struct sockaddr_in server = address_of (port);
  const int fd = socket (AF_INET, SOCK_STREAM, 0);
  struct pollfd fds[] = {{.fd = client, .events = POLLIN},
                         {.fd = fd, .events = POLLIN}};

  signal (SIGUSR1, SIG_DFL);
  sigprocmask (SIG_SETMASK, usual, NULL);
  if (connect (fd, (const struct sockaddr *) &server, sizeof server) == -1)
    _exit (1);
  while (poll (fds, 2, -1) > 0) {
    if ((fds[0].revents != 0 && pass (client, fd) == -1) ||
        (fds[1].revents != 0 && pass (fd, client) == -1))
      break;
  }
  _exit (0);
}

static void
break_all (void)
{
  unsigned i;

  for (i = 0; i < MOST; i++) {
    if (children[i] != 0) {
      kill (children[i], SIGKILL);
      waitpid (children[i], NULL, 0);
      children[i] = 0;
    }
  }
  must_break = 0;
}

int
main (int argc, char *argv[])
{
  const struct sigaction action = {.sa_handler = note};
  const int fd = socket (AF_INET, SOCK_STREAM, 0), on = 1;
  struct pollfd waiting = {.fd = fd, .events = POLLIN};
  struct sockaddr_in address;
  sigset_t usual, blocked;
  unsigned next = 0;
  int client;

  if (argc != 3)
    return 2;
  address = address_of (argv[1]);
  setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sigemptyset (&blocked);
  sigaddset (&blocked, SIGUSR1);
  sigprocmask (SIG_BLOCK, &blocked, &usual);
  sigaction (SIGUSR1, &action, NULL);
  if (bind (fd, (struct sockaddr *) &address, sizeof address) == -1 ||
      listen (fd, 64) == -1) {
    perror (argv[1]);
    return 1;
  }
  for (;;) {
    if (ppoll (&waiting, 1, NULL, &usual) == -1 && errno != EINTR)
      return 1;
    if (must_break) {
      break_all ();
      continue;
    }
    client = accept (fd, NULL, NULL);
    if (client == -1)
      return 1;
    /* A process that has ended by itself makes room. */
    while (children[next] != 0 && waitpid (children[next], NULL, WNOHANG) == 0)
      next = (next + 1) % MOST;
    children[next] = fork ();
    if (children[next] == 0) {
      close (fd);
      relay (client, argv[2], &usual);
    }
    close (client);
    next = (next + 1) % MOST;
  }
}
