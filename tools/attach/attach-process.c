/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Signals, and the programs that nullblk-attach runs to their ends.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attach-internal.h"

extern char **environ;

/*---------------------------------------------------------------------*/
/* Signals */

static volatile sig_atomic_t was_stopped;

/* SIGPIPE does not stop the program: only a message is lost. */
static void
note (int signal)
{
  if (signal != SIGPIPE)
    was_stopped = 1;
}

static void
set_handler (void (*handler) (int))
{
  static const int signals[] = {SIGHUP, SIGINT, SIGPIPE, SIGTERM};
  const struct sigaction action = {.sa_handler = handler};
  struct sigaction old;
  size_t i;

  for (i = 0; i < sizeof signals / sizeof signals[0]; i++) {
    /* A signal that is ignored, as under nohup, stays ignored. */
    if (sigaction (signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
      sigaction (signals[i], &action, NULL);
  }
}

void
default_signals (void)
{
  set_handler (SIG_DFL);
}

void
note_signals (void)
{
  set_handler (note);
}

void
ignore_signals (void)
{
  set_handler (SIG_IGN);
  was_stopped = 0;
}

bool
is_stopped (void)
{
  return was_stopped != 0;
}

/*---------------------------------------------------------------------*/
/* Programs */

/* Not all C libraries have pidfd_open. */
int
open_process (pid_t pid)
{
  return syscall (SYS_pidfd_open, pid, 0);
}

/* is_stopped is called once a second, as the signal may come just before the
 * poll.
 */
bool
ends_within (int fd, unsigned seconds)
{
  struct pollfd process = {.fd = fd, .events = POLLIN};

  for (; seconds > 0 && !is_stopped (); seconds--) {
    if (poll (&process, 1, 1000) == 1)
      return true;
  }
  return false;
}

/* Start a program, whose errors go to the descriptor ERRORS (-1: to ours).
 * Returns its pid, or -1.
 */
static pid_t
begin (const char *const *argv, int errors)
{
  posix_spawn_file_actions_t actions;
  char *const *args;
  pid_t pid;
  int err;

  /* exec's prototype is older than const. */
  memcpy (&args, &argv, sizeof args);
  if (posix_spawn_file_actions_init (&actions) != 0)
    return -1;
  /* The only output of nullblk-attach is the device's path. */
  err =
      posix_spawn_file_actions_addopen (&actions, 1, "/dev/null", O_WRONLY, 0);
  if (err == 0 && errors != -1)
    err = posix_spawn_file_actions_adddup2 (&actions, errors, 2);
  if (err == 0)
    err = posix_spawnp (&pid, argv[0], &actions, NULL, args, environ);
  posix_spawn_file_actions_destroy (&actions);
  return err == 0 ? pid : -1;
}

pid_t
begin_program (const char *const *argv, bool quiet)
{
  return begin (argv, quiet ? 1 : -1);
}

void
await_program (pid_t pid, unsigned seconds)
{
  const int fd = open_process (pid);
  siginfo_t info;

  if (fd != -1 && !ends_within (fd, seconds))
    kill (pid, SIGKILL);
  while (waitid (P_PID, pid, &info, WEXITED | WNOWAIT) == -1 && errno == EINTR)
    ;
  close (fd);
}

int
end_program (pid_t pid, const char *name)
{
  int status;

  while (waitpid (pid, &status, 0) == -1) {
    if (errno != EINTR)
      return 127;
  }
  if (WIFEXITED (status))
    return WEXITSTATUS (status);
  fprintf (stderr, "nullblk-attach: %s was killed by signal %d (%s)\n", name,
           WTERMSIG (status), strsignal (WTERMSIG (status)));
  return 128 + WTERMSIG (status);
}

int
run (const char *const *argv, bool quiet)
{
  const pid_t pid = begin_program (argv, quiet);

  return pid == -1 ? 127 : end_program (pid, argv[0]);
}

int
run_with_errors (const char *const *argv, int errors)
{
  const pid_t pid = begin (argv, errors);

  return pid == -1 ? 127 : end_program (pid, argv[0]);
}

/* Read from FD until the other end is closed, and put the first line into LINE.
 * If is_stopped, the process gets SIGTERM.  This calls is_stopped five times a
 * second, as the signal may come just before the poll.
 */
static void
read_until_end (int fd, pid_t pid, char *line, size_t size)
{
  struct pollfd p = {.fd = fd, .events = POLLIN};
  bool is_asked = false;
  char rest[256];
  size_t len = 0;
  ssize_t n = 1;

  while (n != 0) {
    if (is_stopped () && !is_asked) {
      kill (pid, SIGTERM);
      is_asked = true;
    }
    if (poll (&p, 1, 200) <= 0)
      continue;
    n = len < size - 1 ? read (fd, line + len, size - 1 - len)
                       : read (fd, rest, sizeof rest);
    if (n == -1 && errno != EINTR)
      break;
    if (n > 0 && len < size - 1)
      len += n;
  }
  line[len] = '\0';
  line[strcspn (line, "\n")] = '\0';
}

int
run_for_line (const char *const *argv, char *line, size_t size)
{
  const pid_t parent = getpid ();
  char *const *args;
  int fds[2], status;
  pid_t pid;

  /* exec's prototype is older than const. */
  memcpy (&args, &argv, sizeof args);
  line[0] = '\0';
  if (pipe2 (fds, O_CLOEXEC) == -1 || (pid = fork ()) == -1)
    die ("%s: %s", argv[0], strerror (errno));
  if (pid == 0) {
    prctl (PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    if (getppid () == parent && dup2 (fds[1], 1) != -1)
      execv (argv[0], args);
    _exit (127);
  }
  close (fds[1]);
  read_until_end (fds[0], pid, line, size);
  close (fds[0]);
  if (!is_stopped ())
    return end_program (pid, argv[0]);
  while (waitpid (pid, &status, 0) == -1 && errno == EINTR)
    ;
  return 128 + SIGTERM;
}

bool
await_condition (bool (*condition) (const void *), const void *arg)
{
  const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
  unsigned i;

  for (i = 0; i < PATIENCE_SECONDS * 50 && !is_stopped (); i++) {
    if (condition (arg))
      return true;
    nanosleep (&pause, NULL);
  }
  return false;
}

/*---------------------------------------------------------------------*/

const char *
find_tool (const char *program, const char *directory)
{
  static char path[PATH_MAX + 16];
  ssize_t len;
  char *name;

  len = readlink ("/proc/self/exe", path, PATH_MAX);
  path[len > 0 ? len : 0] = '\0';
  name = strrchr (path, '/');
  if (name != NULL) {
    format_text (name + 1, path + sizeof path - name - 1, "%s", program);
    if (access (path, X_OK) == 0)
      return path;
  }
  format_text (path, sizeof path, "%s/%s", directory, program);
  return path;
}
