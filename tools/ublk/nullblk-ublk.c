/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nullblk-ublk: makes a block device of Linux's ublk driver, with zones where
 * there are any, of an NBD export.  bridge.h has the device of this process,
 * and list-detach.h those of all processes.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bridge.h"
#include "die.h"
#include "exit-status.h"
#include "list-detach.h"
#include "options.h"
#include "program-begin.h"
#include "supervise.h"

#define die(...) die_as ("nullblk-ublk", __VA_ARGS__)

static void
usage (FILE *fp)
{
  fputs ("nullblk-ublk [-f] [-q QUEUES] [-d DEPTH] [--read-only]\n"
         "             [--rotational] [--zones=auto|yes|no]\n"
         "             [--timeout SECONDS] [--persist[=SECONDS]]\n"
         "             [--cookie COOKIE] URI\n"
         "nullblk-ublk --list\n"
         "nullblk-ublk --detach DEVICE|COOKIE|--all\n"
         "nullblk-ublk --help|--version\n"
         "\n"
         "Attach what is served at an NBD URI as a block device of the\n"
         "kernel's ublk driver, a zoned one if the export has zones.\n"
         "Please read nullblk-ublk(1).\n",
         fp);
}

/* Fork a child that goes on in the background.  If this process is killed
 * before the child has written its line, the child gets SIGTERM.  This process
 * ends when the child writes the line, as the device can be used; or when the
 * child ends, after it has told the user why there is no device.
 */
static void
go_to_background (int *ready)
{
  int fds[2], status;
  const pid_t parent = getpid ();
  char line[64];
  ssize_t n;
  pid_t pid;

  if (pipe (fds) == -1 || (pid = fork ()) == -1)
    die ("%s", strerror (errno));
  if (pid == 0) {
    close (fds[0]);
    *ready = fds[1];
    setsid ();
    prctl (PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    if (getppid () != parent)
      _exit (EXIT_FAILURE);
    return;
  }
  close (fds[1]);
  while ((n = read (fds[0], line, sizeof line)) == -1 && errno == EINTR)
    ;
  if (n > 0) {
    fwrite (line, 1, n, stdout);
    if (fflush (stdout) != 0)
      die ("output: %s", strerror (errno));
    exit (EXIT_SUCCESS);
  }
  while (waitpid (pid, &status, 0) == -1 && errno == EINTR)
    ;
  exit (WIFEXITED (status) && WEXITSTATUS (status) == EXIT_IMPOSSIBLE
            ? EXIT_IMPOSSIBLE
            : EXIT_FAILURE);
}

/* The working directory stays: where the URI has the path of a socket or of a
 * certificate that begins there, --persist looks it up again.
 */
static void
leave_terminal (void)
{
  const int fd = open ("/dev/null", O_RDWR);

  if (fd == -1)
    return;
  dup2 (fd, 0);
  dup2 (fd, 1);
  dup2 (fd, 2);
  if (fd > 2)
    close (fd);
}

/* Where the first process prints the device's path. */
static int first_ready = STDOUT_FILENO;

/* Print LINE to READY (-1: nowhere), and leave the terminal if IN_BACKGROUND.
 * From now on the end of the parent does not end this process.
 */
static bool
announce (const char *line, int ready, bool in_background)
{
  const ssize_t n = strlen (line);

  prctl (PR_SET_PDEATHSIG, 0, 0, 0, 0);
  if (ready != -1 && write (ready, line, n) != n)
    return false;
  if (ready != -1 && ready != STDOUT_FILENO)
    close (ready);
  if (in_background)
    leave_terminal ();
  return true;
}

static bool
announce_for_supervisor (const char *line)
{
  return announce (line, first_ready, first_ready != STDOUT_FILENO);
}

static bool
announce_bridge (const struct bridge *b, const struct bridge_options *o,
                 int ready)
{
  char line[64];

  snprintf (line, sizeof line, "/dev/%s\n", bridge_name (b));
  return announce (line, ready, !o->foreground);
}

static int
serve_device (const struct bridge_options *o, int ready)
{
  bool has_failed = false;
  enum bridge_failure failure;
  struct message why;
  struct bridge *b;

  if (ready != first_ready && first_ready != STDOUT_FILENO)
    close (first_ready); /* it is the supervisor's */
  b = bridge_open (o, &failure, &why);
  if (b == NULL) {
    fprintf (stderr, "nullblk-ublk: %s\n", why.text);
    return failure == BRIDGE_IMPOSSIBLE       ? EXIT_IMPOSSIBLE
           : failure == BRIDGE_FAILED_FOR_NOW ? EXIT_AGAIN
                                              : EXIT_FAILURE;
  }
  if (!announce_bridge (b, o, ready)) {
    has_failed = true;
    fprintf (stderr,
             "nullblk-ublk: the path of the device cannot be printed\n");
  }
  for (;;) {
    if (!has_failed && !bridge_wait (b)) {
      has_failed = true;
      fprintf (stderr, "nullblk-ublk: /dev/%s has ended, or failed\n",
               bridge_name (b));
    }
    switch (bridge_close (b, &why)) {
    case BRIDGE_CLOSED:
      return has_failed ? EXIT_FAILURE : EXIT_SUCCESS;
    case BRIDGE_CLOSED_BADLY:
      die ("%s", why.text);
    case BRIDGE_NOT_CLOSED:
      fprintf (stderr, "nullblk-ublk: %s\n", why.text);
      has_failed = false; /* somebody uses it; a signal ends it later */
    }
  }
}

static int
serve (struct bridge_options *o)
{
  if (geteuid () != 0)
    die ("only root can make a ublk device");
  if (!o->foreground)
    go_to_background (&first_ready);
  return o->persist == 0 ? serve_device (o, first_ready)
                         : supervise (o, serve_device, announce_for_supervisor);
}

int
main (int argc, char *argv[])
{
  struct bridge_options o;
  struct message why;

  program_begin ();
  if (options_parse (&o, argc, argv, &why) < 0) {
    if (why.text[0] != '\0')
      fprintf (stderr, "nullblk-ublk: %s\n", why.text);
    else
      usage (stderr);
    return 2;
  }
  switch (o.action) {
  case DO_HELP:
    usage (stdout);
    return EXIT_SUCCESS;
  case DO_VERSION:
    printf ("nullblk-ublk %s\n", PACKAGE_VERSION);
    return EXIT_SUCCESS;
  case DO_SERVE:
    return serve (&o);
  default:
    break;
  }
  if (geteuid () != 0)
    die ("only root can see what is attached");
  return o.action == DO_LIST     ? list_devices ()
         : o.action == DO_DETACH ? detach_device (o.argument)
                                 : detach_all_devices ();
}
