/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The processes of an attachment: the server that nullblk-attach has started,
 * and the process that reconnects the device.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attach-internal.h"

/* Put "PID START" into BUF: the pid of a process and the moment at which it was
 * started, which a later process of the same pid does not have.  Returns false
 * if there is no such process.
 */
static bool
describe_process (char *buf, size_t size, pid_t pid)
{
  unsigned long long start;
  char proc[64], stat[1024];
  const char *p;

  format_text (proc, sizeof proc, "/proc/%d", (int) pid);
  read_line (stat, sizeof stat, proc, "stat");
  /* Field 22, starttime.  Field 2 is the name, which may have any characters.
   */
  p = strrchr (stat, ')');
  if (p == NULL || sscanf (p + 1,
                           " %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s"
                           " %*s %*s %*s %*s %*s %*s %*s %llu",
                           &start) != 1)
    return false;
  format_text (buf, size, "%d %llu", (int) pid, start);
  return true;
}

static bool
remember_process (const char *directory, const char *file, pid_t pid)
{
  char text[64];

  return describe_process (text, sizeof text, pid) &&
         write_line (directory, file, text);
}

/* End the process that FILE in DIRECTORY remembers, if it is still there.
 * Returns false if it does not end.
 */
static bool
stop_process (const char *directory, const char *file)
{
  char remembered[64], text[64];
  bool r = true;
  int fd;

  read_line (remembered, sizeof remembered, directory, file);
  if (atoi (remembered) <= 0)
    return true;
  fd = open_process (atoi (remembered));
  if (fd == -1) /* EINVAL: by now the pid is the number of a thread */
    return is_absent (errno) || errno == EINVAL;
  /* From here on fd means this process, whoever gets the pid later. */
  if (describe_process (text, sizeof text, atoi (remembered)) &&
      strcmp (text, remembered) == 0)
    r = syscall (SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0) == 0
            ? ends_within (fd, PATIENCE_SECONDS)
            : errno == ESRCH; /* it has just ended by itself */
  close (fd);
  return r;
}

/* Is PID still that of the server that has written it to PID_FILE?  nbdkit has
 * the file's name among its arguments.
 */
static bool
is_server (pid_t pid, const char *pid_file)
{
  char path[64], arguments[4096];
  ssize_t n;
  int fd;

  format_text (path, sizeof path, "/proc/%d/cmdline", (int) pid);
  fd = open (path, O_RDONLY | O_CLOEXEC);
  n = fd != -1 ? read (fd, arguments, sizeof arguments) : -1;
  if (n == -1 && !is_absent (errno))
    die ("%s: %s", path, strerror (errno));
  close (fd);
  return n > 0 &&
         memmem (arguments, n, pid_file, strlen (pid_file) + 1) != NULL;
}

/* Once the server has written its pid, remember the process. */
static bool
find_server (const void *directory)
{
  char text[64], path[MAX_PATH];

  read_line (text, sizeof text, directory, "pid");
  format_text (path, sizeof path, "%s/pid", (const char *) directory);
  return atoi (text) > 0 && is_server (atoi (text), path) &&
         remember_process (directory, "server", atoi (text));
}

/* Run the server, and let the user see its errors only if it starts: then they
 * are warnings.
 */
static int
run_and_show_warnings (const char *const *argv)
{
  const int errors = memfd_create ("errors", MFD_CLOEXEC);
  char buf[1024];
  ssize_t n;
  int status;

  if (errors == -1)
    return run (argv, true);
  status = run_with_errors (argv, errors);
  lseek (errors, 0, SEEK_SET);
  while (status == 0 && (n = read (errors, buf, sizeof buf)) > 0)
    fwrite (buf, 1, n, stderr);
  close (errors);
  return status;
}

bool
start_server (const char *directory, char *const *parameters,
              const char *const *more, bool tries, unsigned depth)
{
  char socket[MAX_PATH], pid[MAX_PATH], depth_text[16];
  const char *argv[256] = {find_tool ("nullblk-serve", BINDIR),
                           "-U",
                           socket,
                           "-P",
                           pid,
                           "--depth",
                           depth_text,
                           "--"};
  size_t n = 8;

  format_text (socket, sizeof socket, "%s/socket", directory);
  format_text (pid, sizeof pid, "%s/pid", directory);
  format_text (depth_text, sizeof depth_text, "%u", depth);
  for (; *parameters != NULL; parameters++) {
    if (n == sizeof argv / sizeof argv[0] - 1 - MAX_MORE) {
      fputs ("nullblk-attach: too many parameters\n", stderr);
      return false;
    }
    argv[n++] = *parameters;
  }
  while (*more != NULL)
    argv[n++] = *more++;
  return (tries ? run_and_show_warnings (argv) : run (argv, false)) == 0 &&
         await_condition (find_server, directory);
}

bool
stop_server (const char *directory)
{
  char server[64];

  /* start_server may have been interrupted before it knew the process. */
  read_line (server, sizeof server, directory, "server");
  if (server[0] == '\0')
    find_server (directory);
  return stop_process (directory, "server");
}

/*---------------------------------------------------------------------*/
/* The watcher, the process that reconnects the device */

bool
stop_watcher (const char *directory)
{
  return stop_process (directory, "watcher");
}

bool
start_watcher (struct persist *p, const char *directory,
               const struct attachment *attachment,
               const struct persist_target *target, struct message *why)
{
  pid_t pid;
  int fd;

  pid = fork ();
  if (pid == 0) {
    /* Those who wait for the end of our output, or for a lock, must not wait
     * for this process: it closes both.
     */
    before_end (NULL);
    default_signals ();
    if (is_stopped ()) /* by a signal that came before default_signals */
      _exit (EXIT_SUCCESS);
    /* The working directory stays: paths in the URI may begin there. */
    fd = open ("/dev/null", O_RDWR);
    if (setsid () == -1 || fd == -1 || dup2 (fd, 0) == -1 ||
        dup2 (fd, 1) == -1 || dup2 (fd, 2) == -1)
      _exit (EXIT_FAILURE);
    close (fd);
    leave_locks ();
    persist_watch (p, target, attachment_may_exist, attachment);
    _exit (EXIT_SUCCESS);
  }
  if (pid == -1 || !remember_process (directory, "watcher", pid)) {
    message_set (why, "--persist: %s", strerror (errno));
    if (pid > 0)
      kill (pid, SIGTERM);
    return false;
  }
  return true;
}
