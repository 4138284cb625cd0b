/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The processes that nullblk-attach starts and ends: other programs, a server,
 * and the process that reconnects a device; and signals.
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

pid_t
begin_program (const char *const *argv, bool quiet)
{
  posix_spawn_file_actions_t actions;
  char *const *args;
  pid_t pid;
  int err;

  /* exec's prototype is older than const. */
  memcpy (&args, &argv, sizeof args);
  posix_spawn_file_actions_init (&actions);
  /* The only output of nullblk-attach is the device's path. */
  posix_spawn_file_actions_addopen (&actions, 1, "/dev/null", O_WRONLY, 0);
  if (quiet)
    posix_spawn_file_actions_adddup2 (&actions, 1, 2);
  err = posix_spawnp (&pid, argv[0], &actions, NULL, args, environ);
  posix_spawn_file_actions_destroy (&actions);
  return err == 0 ? pid : -1;
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
wait_for (bool (*condition) (const void *), const void *arg)
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
/* The server */

const char *
find_tool (const char *program, const char *folder)
{
  static char path[PATH_MAX + 16];
  ssize_t len;
  char *name;

  len = readlink ("/proc/self/exe", path, PATH_MAX);
  path[len > 0 ? len : 0] = '\0';
  name = strrchr (path, '/');
  if (name != NULL) {
    format (name + 1, path + sizeof path - name - 1, "%s", program);
    if (access (path, X_OK) == 0)
      return path;
  }
  format (path, sizeof path, "%s/%s", folder, program);
  return path;
}

/* Write "PID START", the pid of a process and the moment at which it was
 * started, which a later process of the same pid does not have.  Returns false
 * if there is no such process.
 */
static bool
describe_process (char *buf, size_t size, pid_t pid)
{
  unsigned long long start;
  char proc[64], stat[1024];
  const char *p;

  format (proc, sizeof proc, "/proc/%d", (int) pid);
  read_line (stat, sizeof stat, proc, "stat");
  /* After its name, which may have anything in it, and 19 more fields. */
  p = strrchr (stat, ')');
  if (p == NULL || sscanf (p + 1,
                           " %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s"
                           " %*s %*s %*s %*s %*s %*s %*s %llu",
                           &start) != 1)
    return false;
  format (buf, size, "%d %llu", (int) pid, start);
  return true;
}

static bool
remember_process (const char *folder, const char *file, pid_t pid)
{
  char text[64];

  return describe_process (text, sizeof text, pid) &&
         write_line (folder, file, text);
}

/* End the process that FILE in FOLDER remembers, if it is still there. */
static bool
stop_process (const char *folder, const char *file)
{
  char remembered[64], text[64];
  bool r = true;
  int fd;

  read_line (remembered, sizeof remembered, folder, file);
  if (atoi (remembered) <= 0)
    return true;
  fd = open_process (atoi (remembered));
  if (fd == -1)
    return errno != ENOSYS && errno != EMFILE && errno != ENOMEM;
  /* From here on fd means this process, whatever becomes of the number. */
  if (describe_process (text, sizeof text, atoi (remembered)) &&
      strcmp (text, remembered) == 0)
    r = syscall (SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0) == 0
            ? ends_within (fd, PATIENCE_SECONDS)
            : errno == ESRCH; /* it has just ended by itself */
  close (fd);
  return r;
}

/* Is PID, which stands in PID_FILE, that of the process that wrote it there?
 * nbdkit has the file's name among its arguments.
 */
static bool
is_server (pid_t pid, const char *pid_file)
{
  char path[64], arguments[4096];
  ssize_t n;
  int fd;

  format (path, sizeof path, "/proc/%d/cmdline", (int) pid);
  fd = open (path, O_RDONLY | O_CLOEXEC);
  n = fd != -1 ? read (fd, arguments, sizeof arguments) : -1;
  close (fd);
  return n > 0 &&
         memmem (arguments, n, pid_file, strlen (pid_file) + 1) != NULL;
}

static bool
find_server (const void *folder)
{
  char text[64], path[LONGEST_PATH];

  read_line (text, sizeof text, folder, "pid");
  format (path, sizeof path, "%s/pid", (const char *) folder);
  return atoi (text) > 0 && is_server (atoi (text), path) &&
         remember_process (folder, "server", atoi (text));
}

bool
start_server (const char *folder, char *const *parameters, unsigned queue)
{
  char socket[LONGEST_PATH], pid[LONGEST_PATH], depth[16];
  const char *argv[256] = {find_tool ("nullblk-serve", BINDIR),
                           "-U",
                           socket,
                           "-P",
                           pid,
                           "--depth",
                           depth,
                           "--"};
  size_t n = 8;

  format (socket, sizeof socket, "%s/socket", folder);
  format (pid, sizeof pid, "%s/pid", folder);
  format (depth, sizeof depth, "%u", queue);
  for (; *parameters != NULL; parameters++) {
    if (n == sizeof argv / sizeof argv[0] - 1) {
      fputs ("nullblk-attach: too many parameters\n", stderr);
      return false;
    }
    argv[n++] = *parameters;
  }
  return run (argv, false) == 0 && wait_for (find_server, folder);
}

bool
stop_server (const char *folder)
{
  char server[64];

  /* start_server may have been interrupted before it knew the process. */
  read_line (server, sizeof server, folder, "server");
  if (server[0] == '\0')
    find_server (folder);
  return stop_process (folder, "server");
}

/*---------------------------------------------------------------------*/
/* The process that reconnects */

bool
stop_watcher (const char *folder)
{
  return stop_process (folder, "watcher");
}

bool
start_watcher (struct persist *p, const char *folder,
               const struct attachment *attachment,
               const struct persist_target *target, struct message *why)
{
  pid_t pid;
  int fd;

  pid = fork ();
  if (pid == 0) {
    /* No process that waits for our output, or for a lock, waits for this one.
     */
    default_signals ();
    if (is_stopped ()) /* just before */
      _exit (EXIT_SUCCESS);
    /* The working folder stays: paths in the URI may begin there. */
    fd = open ("/dev/null", O_RDWR);
    if (setsid () == -1 || fd == -1 || dup2 (fd, 0) == -1 ||
        dup2 (fd, 1) == -1 || dup2 (fd, 2) == -1)
      _exit (EXIT_FAILURE);
    close (fd);
    leave_locks ();
    persist_watch (p, target, is_there, attachment);
    _exit (EXIT_SUCCESS);
  }
  if (pid == -1 || !remember_process (folder, "watcher", pid)) {
    message_set (why, "--persist: %s", strerror (errno));
    if (pid > 0)
      kill (pid, SIGTERM);
    return false;
  }
  return true;
}
