/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The supervisor; see supervise.h.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ublkdrv/ublkdrv.h"
#include "die.h"
#include "supervise.h"

#define die(...) die_as ("nullblk-ublk", __VA_ARGS__)

/* The pause between two children, as each may die at once. */
#define PAUSE_MS 200

struct child {
  pid_t pid;
  int signals; /* a signalfd: SIGCHLD, and those that are passed on */
  int says;    /* the end of a pipe for its line; -1: it writes none */
  int record;  /* of device_record_supervise; negative: there is none */
};

static sigset_t
signals (void)
{
  sigset_t set;

  sigemptyset (&set);
  sigaddset (&set, SIGCHLD);
  sigaddset (&set, SIGTERM);
  sigaddset (&set, SIGINT);
  sigaddset (&set, SIGHUP);
  return set;
}

/* Start a child, which writes a line with the path of the device that it makes,
 * unless it takes one over (o->recovers).  Returns false and errno if there can
 * be no child for now.
 */
static bool
begin (struct child *c, const struct bridge_options *o,
       int (*serve) (const struct bridge_options *options, int ready))
{
  const pid_t parent = getpid ();
  const sigset_t set = signals ();
  int fds[2] = {-1, -1};

  if (!o->recovers && pipe2 (fds, O_CLOEXEC) == -1)
    return false;
  c->pid = fork ();
  if (c->pid == -1)
    return false;
  if (c->pid == 0) {
    close (c->signals);
    if (c->record >= 0)
      close (c->record);
    /* A signal must not end a child that takes a device over before the child
     * knows whether the device is in use.
     */
    if (!o->recovers) {
      sigprocmask (SIG_UNBLOCK, &set, NULL);
      close (fds[0]);
      prctl (PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
      if (getppid () != parent)
        _exit (EXIT_FAILURE);
    }
    exit (serve (o, fds[1]));
  }
  if (fds[1] != -1)
    close (fds[1]);
  c->says = fds[0];
  return true;
}

static void
take_signal (struct child *c)
{
  struct signalfd_siginfo info;

  if (read (c->signals, &info, sizeof info) == sizeof info &&
      info.ssi_signo != SIGCHLD)
    kill (c->pid, info.ssi_signo);
}

/* Wait for the child's line; "": it has ended, or is about to. */
static void
read_line (struct child *c, char *line, size_t size)
{
  struct pollfd fds[] = {{.fd = c->says, .events = POLLIN},
                         {.fd = c->signals, .events = POLLIN}};
  ssize_t n;

  while (poll (fds, 2, -1) == -1 || fds[0].revents == 0) {
    if (fds[1].revents != 0)
      take_signal (c);
  }
  n = read (c->says, line, size - 1);
  line[n > 0 ? n : 0] = '\0';
  close (c->says);
}

/* Wait for the child's end.  Returns its status, as waitpid has it. */
static int
await_end (struct child *c)
{
  int status;
  pid_t pid;

  /* Its signal may have been taken before a call that was interrupted. */
  while ((pid = waitpid (c->pid, &status, WNOHANG)) != c->pid) {
    if (pid == 0)
      take_signal (c);
  }
  return status;
}

int
supervise (struct bridge_options *o,
           int (*serve) (const struct bridge_options *options, int ready),
           bool (*announce) (const char *line))
{
  const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000};
  const sigset_t set = signals ();
  struct child c = {.record = -1};
  char line[64];
  int status;

  while (o->cookie == 0) {
    if (getrandom (&o->cookie, sizeof o->cookie, 0) == -1)
      die ("%s", strerror (errno));
  }
  sigprocmask (SIG_BLOCK, &set, NULL);
  c.signals = signalfd (-1, &set, SFD_CLOEXEC);
  if (c.signals == -1)
    die ("%s", strerror (errno));
  if (!begin (&c, o, serve))
    die ("%s", strerror (errno));
  read_line (&c, line, sizeof line);
  if (line[0] != '\0')
    c.record = device_record_supervise (o->cookie);
  if (line[0] != '\0' && !announce (line))
    kill (c.pid, SIGTERM);
  status = await_end (&c);
  while (line[0] != '\0' &&
         (WIFSIGNALED (status) || WEXITSTATUS (status) == EXIT_AGAIN)) {
    nanosleep (&pause, NULL);
    o->recovers = true;
    if (begin (&c, o, serve))
      status = await_end (&c);
  }
  return WIFEXITED (status) ? WEXITSTATUS (status) : EXIT_FAILURE;
}
