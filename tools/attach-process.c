/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What nullblk-attach runs: other programs, a server of its own, and the
 * process that reconnects a device.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attach-internal.h"

/* How long things that take no time may take before they have failed. */
#define PATIENCE_SECONDS 30

extern char **environ;

int
run (const char *const *argv, bool quiet)
{
  posix_spawn_file_actions_t actions;
  char *const *args;
  int status, err;
  pid_t pid;

  /* exec's prototype is older than const. */
  memcpy (&args, &argv, sizeof args);
  posix_spawn_file_actions_init (&actions);
  /* Our own output is the device's name alone. */
  posix_spawn_file_actions_addopen (&actions, 1, "/dev/null", O_WRONLY, 0);
  if (quiet)
    posix_spawn_file_actions_adddup2 (&actions, 1, 2);
  err = posix_spawnp (&pid, argv[0], &actions, NULL, args, environ);
  posix_spawn_file_actions_destroy (&actions);
  if (err != 0)
    return 127;
  while (waitpid (pid, &status, 0) == -1) {
    if (errno != EINTR)
      die ("waitpid: %s", strerror (errno));
  }
  if (WIFEXITED (status))
    return WEXITSTATUS (status);
  fprintf (stderr, "nullblk-attach: %s was killed by signal %d (%s)\n", argv[0],
           WTERMSIG (status), strsignal (WTERMSIG (status)));
  return 128 + WTERMSIG (status);
}

bool
wait_for (bool (*condition) (const void *), const void *arg)
{
  const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
  unsigned i;

  for (i = 0; i < PATIENCE_SECONDS * 50; i++) {
    if (condition (arg))
      return true;
    nanosleep (&pause, NULL);
  }
  return false;
}

/*---------------------------------------------------------------------*/
/* The server */

/* In a build tree, nullblk-serve is beside us. */
static const char *
find_serve (void)
{
  static char path[PATH_MAX + 16];
  ssize_t len;
  char *name;

  len = readlink ("/proc/self/exe", path, PATH_MAX);
  path[len > 0 ? len : 0] = '\0';
  name = strrchr (path, '/');
  if (name != NULL) {
    strcpy (name + 1, "nullblk-serve");
    if (access (path, X_OK) == 0)
      return path;
  }
  return BINDIR "/nullblk-serve";
}

bool
start_server (const char *folder, char *const *parameters, unsigned queue)
{
  char socket[LONGEST_PATH], pid[LONGEST_PATH], depth[16];
  const char *argv[256] = {find_serve (), "-U",      socket, "-P",
                           pid,           "--depth", depth,  "--"};
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
  return run (argv, false) == 0;
}

/*---------------------------------------------------------------------*/
/* Processes that go on */

/* A process that FILE in FOLDER has the number of. */
struct remembered {
  const char *folder;
  const char *file;
};

/* A zombie that nobody reaps has ended, too. */
static bool
process_has_ended (const void *arg)
{
  const struct remembered *r = arg;
  char pid[32], proc[64], stat[256];
  const char *state;

  read_line (pid, sizeof pid, r->folder, r->file);
  format (proc, sizeof proc, "/proc/%d", atoi (pid));
  read_line (stat, sizeof stat, proc, "stat");
  state = strrchr (stat, ')');
  return state == NULL || strncmp (state, ") Z", 3) == 0;
}

bool
server_has_begun (const void *folder)
{
  char pid[32];

  read_line (pid, sizeof pid, folder, "pid");
  return pid[0] != '\0';
}

static bool
stop_process (const char *folder, const char *file, const char *name)
{
  const struct remembered r = {folder, file};
  char pid[32], comm[32], proc[64];

  read_line (pid, sizeof pid, folder, file);
  if (pid[0] == '\0')
    return true;
  /* After a crash the number may be somebody else's. */
  format (proc, sizeof proc, "/proc/%d", atoi (pid));
  read_line (comm, sizeof comm, proc, "comm");
  if (strcmp (comm, name) != 0)
    return true;
  kill (atoi (pid), SIGTERM);
  return wait_for (process_has_ended, &r);
}

bool
stop_server (const char *folder)
{
  return stop_process (folder, "pid", "nbdkit");
}

/* The kernel shows 15 characters of a name. */
bool
stop_watcher (const char *folder)
{
  return stop_process (folder, "watcher", "nullblk-attach");
}

bool
start_watcher (struct persist *p, const char *folder, const char *device,
               const struct persist_target *target, struct message *why)
{
  char text[16];
  pid_t pid;
  int fd;

  if (!persist_hold_io (p, target, why))
    return false;
  pid = fork ();
  if (pid == 0) {
    /* Whoever waits for our output, or for the lock, is not to wait for it. */
    fd = open ("/dev/null", O_RDWR);
    if (setsid () == -1 || chdir ("/") == -1 || fd == -1 ||
        dup2 (fd, 0) == -1 || dup2 (fd, 1) == -1 || dup2 (fd, 2) == -1)
      _exit (EXIT_FAILURE);
    close (fd);
    leave_lock ();
    persist_watch (p, target, is_attached, device);
    _exit (EXIT_SUCCESS);
  }
  format (text, sizeof text, "%d", (int) pid);
  if (pid == -1 || !write_line (folder, "watcher", text)) {
    message_set (why, "--persist: %s", strerror (errno));
    if (pid > 0)
      kill (pid, SIGTERM);
    return false;
  }
  return true;
}
