/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nullblk-attach where something fails after a process was started for the
 * attachment: if that process does not end, the attachment's directory stays,
 * so that --detach can find the process.  The directories are this test's own.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"
#include "attach/attach-internal.h"

/*---------------------------------------------------------------------*/
/* The rest of nullblk-attach */

static bool server_ends, watcher_ends, connects;

/* Its address stands for a connection, a socket and a watcher. */
static int something;

bool
await_condition (bool (*condition) (const void *), const void *arg)
{
  (void) condition;
  (void) arg;
  return true;
}

void
note_signals (void)
{
}

void
ignore_signals (void)
{
}

bool
is_stopped (void)
{
  return false;
}

bool
start_server (const char *directory, char *const *parameters,
              const char *const *more, bool tries, unsigned depth)
{
  (void) parameters;
  (void) more;
  (void) tries;
  (void) depth;
  return write_line (directory, "server", "1 1");
}

bool
stop_server (const char *directory)
{
  (void) directory;
  return server_ends;
}

bool
start_watcher (struct persist *p, const char *directory,
               const struct attachment *attachment,
               const struct persist_target *target, struct message *why)
{
  (void) attachment;
  (void) target;
  must ((void *) p == &something, "what waits for dead connections is given");
  must (write_line (directory, "watcher", "1 1"), "it is remembered");
  message_set (why, "--persist: it fails");
  return false;
}

bool
stop_watcher (const char *directory)
{
  (void) directory;
  return watcher_ends;
}

struct netlink *
open_nbd_driver (void)
{
  return (struct netlink *) &something;
}

struct persist *
persist_begin (struct netlink *commands, struct message *why)
{
  (void) commands;
  (void) why;
  return (struct persist *) &something;
}

struct nbd_handle *
connect_within (const char *uri, unsigned seconds, struct export_info *info,
                bool *has_zones, struct message *why)
{
  (void) uri;
  (void) seconds;
  (void) has_zones;
  memset (info, 0, sizeof *info);
  message_set (why, "the server does not answer");
  return connects ? (struct nbd_handle *) &something : NULL;
}

void
disconnect_from_server (struct nbd_handle *h)
{
  (void) h;
}

void
nbd_close (struct nbd_handle *h)
{
  (void) h;
}

int
nbd_get_tls_negotiated (struct nbd_handle *h)
{
  (void) h;
  return 0;
}

bool
attach_connections (struct netlink *n, struct attachment *a,
                    const struct nbd_options *o,
                    struct nbd_handle *const *connections, struct message *why)
{
  (void) n;
  (void) o;
  (void) connections;
  (void) why;
  format_text (a->device, sizeof a->device, "nbd0");
  return true;
}

int
device_open (const struct attachment *a, int flags, bool may_disconnect)
{
  (void) flags;
  (void) may_disconnect;
  errno = ESTALE;
  return a->device[0] == '\0' ? -1 : open ("/dev/null", O_RDONLY | O_CLOEXEC);
}

bool
disconnect_device (const char *device, struct message *why)
{
  (void) why;
  must (strcmp (device, "nbd0") == 0, "its own device is disconnected");
  return true;
}

void
restore_node (const struct attachment *a)
{
  (void) a;
}

bool
find_device_of_server (struct attachment *a, const char *uri, unsigned seconds,
                       struct message *why)
{
  (void) uri;
  (void) seconds;
  (void) why;
  attachment_take_cookie (a, 1);
  format_text (a->device, sizeof a->device, "ublkb0");
  return true;
}

bool
is_of_server (const struct attachment *a, bool *is_dead)
{
  (void) a;
  *is_dead = false;
  return true;
}

/* Not called here. */

bool
detach_by_ublk (const struct attachment *a, bool *is_gone)
{
  (void) a;
  (void) is_gone;
  must (false, "no nullblk-ublk detaches it");
  return false;
}

enum ublk_outcome
attach_by_ublk (struct attachment *a, const struct ublk_options *options,
                const char *uri)
{
  (void) a;
  (void) options;
  (void) uri;
  must (false, "no nullblk-ublk attaches it");
  return UBLK_FAILED;
}

bool
revive_connections (struct netlink *n, const struct attachment *a,
                    const struct nbd_options *options,
                    struct nbd_handle *const *connections)
{
  (void) n;
  (void) a;
  (void) options;
  (void) connections;
  must (false, "it is not attached already");
  return false;
}

bool
attach_by_client (struct attachment *a, const struct nbd_options *options,
                  const struct uri *uri, struct message *why)
{
  (void) a;
  (void) options;
  (void) uri;
  (void) why;
  must (false, "nbd-client does not attach it");
  return false;
}

bool
export_info_serves (const struct export_info *info,
                    const struct export_info *old)
{
  (void) info;
  (void) old;
  must (false, "it is not compared with an older one");
  return false;
}

void
numeric_host (struct nbd_handle *h, char *buf, size_t size)
{
  (void) h;
  (void) buf;
  (void) size;
  must (false, "no address is needed");
}

uid_t __wrap_geteuid (void);
uid_t
__wrap_geteuid (void)
{
  return 0;
}

/*---------------------------------------------------------------------*/

/* Try to attach WHAT as "a", which fails, if not before, when the device's path
 * is printed.  Returns whether the directory stays, and removes it.
 */
static bool
stays (const struct attach_options *options, const char *what)
{
  char argument[64], *arguments[] = {argument, NULL};
  int status;
  pid_t pid;
  bool r;

  strcpy (argument, what);
  pid = fork ();
  assert_int_not_equal (pid, -1);
  if (pid == 0) {
    dup2 (open ("/dev/full", O_WRONLY), STDOUT_FILENO);
    exit (attach (options, arguments));
  }
  assert_int_equal (waitpid (pid, &status, 0), pid);
  assert_true (WIFEXITED (status));
  assert_int_equal (WEXITSTATUS (status), EXIT_FAILURE);
  r = access (RUN_DIR "/a", F_OK) == 0;
  assert_true (remove_directory (RUN_DIR "/a"));
  return r;
}

static int
begin (void **state)
{
  (void) state;
  server_ends = watcher_ends = connects = true;
  return 0;
}

static void
test_server (void **state)
{
  const struct attach_options o = {.connections = 1, .name = "a", .as = AS_NBD};

  (void) state;
  connects = false;
  assert_false (stays (&o, "1G"));
  server_ends = false;
  assert_true (stays (&o, "1G"));
}

static void
test_watcher (void **state)
{
  const struct attach_options o = {
      .connections = 1, .name = "a", .as = AS_NBD, .persist = 1};

  (void) state;
  assert_false (stays (&o, "nbd://h"));
  watcher_ends = false;
  assert_true (stays (&o, "nbd://h"));
  unlink (RUN_DIR "/.exports");
}

/* Whose device the server has made. */
static void
test_server_with_ublk (void **state)
{
  const struct attach_options o = {
      .connections = 1, .name = "a", .as = AS_UBLK};

  (void) state;
  assert_false (stays (&o, "1G"));
  server_ends = false;
  assert_true (stays (&o, "1G"));
}

#define CASE(f) cmocka_unit_test_setup (f, begin)

int
main (void)
{
  static const struct CMUnitTest tests[] = {
      CASE (test_server),
      CASE (test_watcher),
      CASE (test_server_with_ublk),
  };

  return RUN_TESTS_IN_DIRECTORY (tests);
}
