/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Listing attachments, and detaching them.  Nothing is done to a device unless
 * it has the identity of the attachment.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach-internal.h"
#include "ublkdrv/ublkdrv.h"

static void
list_one (const char *name, const char *directory)
{
  const struct attachment a = attachment_read (directory);
  static char uri[MAX_URI];

  read_line (uri, sizeof uri, directory, "uri");
  if (attachment_exists (&a))
    printf ("%-16s /dev/%-8s %20" PRIu64 " %s\n", name, a.device,
            size_of (a.device), uri);
  else
    printf ("%-16s %-13s %20s %s\n", name, "(dead)", "-", uri);
}

int
list_all (void)
{
  if (geteuid () != 0)
    die ("only root can see what is attached");
  for_each_directory (list_one);
  return EXIT_SUCCESS;
}

static bool __attribute__ ((format (printf, 2, 3)))
complain (const char *name, const char *fs, ...)
{
  char text[MAX_PATH];
  va_list args;

  va_start (args, fs);
  vsnprintf (text, sizeof text, fs, args);
  va_end (args);
  /* By one call, so that lines of several processes do not mix. */
  fprintf (stderr, "nullblk-attach: %s: %s\n", name, text);
  return false;
}

/* Has nbd-client attached it, which is no ublk device? */
static bool
is_of_client (const char *directory)
{
  static char text[MAX_URI];
  static struct uri uri;
  struct message why;

  read_line (text, sizeof text, directory, "uri");
  return uri_parse (&uri, text, &why) == 0 && uri.tls;
}

static bool
end_server (const char *name, const char *directory)
{
  return stop_server (directory) ||
         complain (
             name,
             "its server does not end; other clients may be connected to it");
}

/* Was anything written to the device, or discarded, with success or without?
 * True also where the kernel does not count that.
 */
static bool
was_written (const char *device)
{
  char counts[32];

  read_sys (counts, sizeof counts, device, "queue/iostats");
  return strcmp (counts, "0") == 0 || flush_sectors (device) > 0;
}

/* Is the server one that nullblk-attach has started?  Then what the device
 * holds ends with it.
 */
static bool
has_own_server (const char *directory)
{
  char server[64];

  read_line (server, sizeof server, directory, "server");
  return server[0] != '\0';
}

/* Flush the device, which FD is, so that nothing is left that was written by
 * whoever has closed it.  Returns false, after an error for the user, where
 * that has failed.
 */
static bool
flush_all (const char *name, const char *device, int fd)
{
  struct flush flush = {0};
  int r;

  do {
    r = flush_what_is_new (&flush, fd, device);
  } while (r > 0);
  return r == 0 || complain (name, "/dev/%s: flush: %s", device,
                             r == -EBUSY ? "it is written to again and again"
                                         : strerror (-r));
}

/* Flush a device that is not in use.  Returns false, after an error for the
 * user, where it is in use.  It is no failure if the device has gone, as it
 * does with its server, nor if the flush fails, which the user is told.
 */
static bool
flush_unused (const char *device, const void *name)
{
  char path[64];
  int fd;

  format_text (path, sizeof path, "/dev/%s", device);
  fd = open (path, O_RDONLY | O_EXCL | O_CLOEXEC);
  if (fd == -1 && (errno == ENOENT || errno == ENXIO || errno == ENODEV))
    return true;
  if (fd == -1 && errno == EBUSY)
    return complain (
        name, "%s is in use: it is mounted, or held by another driver", path);
  if (fd == -1)
    return complain (name, "%s: %s", path, strerror (errno));
  if (fsync (fd) == -1)
    complain (name, "%s: flush: %s", path, strerror (errno));
  close (fd);
  return true;
}

/* This process detaches one of all devices (--detach --all). */
static bool is_for_all;

/* Detach a ublk device, and remove all else of the attachment.  Returns false,
 * after an error for the user, if something is left, or if nullblk-ublk says
 * that not all data has reached the server.
 */
static bool
detach_ublk (const char *name, const char *directory,
             const struct attachment *a)
{
  bool is_gone, is_dead, r;

  if (is_of_server (a, &is_dead)) {
    /* The server deletes all its devices, even if one was opened meanwhile. */
    if (!for_each_of_server (a, flush_unused, name) ||
        !end_server (name, directory))
      return false;
    if (!is_dead)
      return remove_directory (directory);
  }
  else if (is_for_all && is_used_without_server (a))
    return complain (name,
                     "it is in use, or that cannot be told, and the process "
                     "that served it was killed: nullblk-attach --detach %s "
                     "deletes it, unless another process serves it by then",
                     name);
  r = detach_by_ublk (a, &is_gone);
  if (!is_gone || !end_server (name, directory))
    return false;
  return remove_directory (directory) && r;
}

/* Detach the device, if it is there, and remove all else of the attachment.
 * Returns false, after an error for the user, if something is left, or if data
 * may not have reached a server that goes on.
 */
static bool
detach_device (const char *name, const char *directory)
{
  const struct attachment a = attachment_read (directory);
  bool is_disconnected, is_lost = false;
  struct message why;
  char watcher[64];
  int fd;

  if (has_cookie (&a))
    return detach_ublk (name, directory, &a);
  /* O_EXCL: no filesystem or driver holds the device. */
  read_line (watcher, sizeof watcher, directory, "watcher");
  fd = device_open (&a, O_RDONLY | O_EXCL, watcher[0] == '\0');
  if (fd == -1 && errno == EBUSY)
    return complain (
        name, "/dev/%s is in use: it is mounted, or held by another driver",
        a.device);
  if (fd == -1 && errno != ESTALE && errno != ENOTCONN)
    return complain (name, "/dev/%s: %s", a.device, strerror (errno));
  if (fd != -1) {
    is_lost = !flush_all (name, a.device, fd) && was_written (a.device) &&
              !has_own_server (directory);
    is_disconnected = disconnect_device (a.device, &why);
    close (fd);
    if (!is_disconnected)
      return complain (name, "/dev/%s: %s", a.device, why.text);
  }
  if (!stop_watcher (directory))
    return complain (name, "the process that reconnects it does not end");
  if (!end_server (name, directory))
    return false;
  if (!await_condition (attachment_is_gone, &a))
    return complain (name,
                     "/dev/%s is disconnected, but still open in a process; "
                     "when it is closed, call --detach once more",
                     a.device);
  if (!is_of_client (directory))
    restore_node (&a);
  return remove_directory (directory) && !is_lost;
}

static bool
detach_one (const char *name, const char *directory)
{
  bool r;

  if (!lock_directory (directory))
    return complain (name, "%s",
                     errno == EWOULDBLOCK
                         ? "another nullblk-attach is at work on it"
                     : errno == ENOENT ? "not attached by nullblk-attach; "
                                         "--list shows what is"
                                       : strerror (errno));
  r = detach_device (name, directory);
  unlock_directory ();
  return r;
}

/* Returns the name of the attachment that WHAT means: /dev/DEVICE, a name, or
 * DEVICE if no attachment has that as its name.  NULL if there is none; but
 * that an attachment has the name that is returned is not checked.
 */
static const char *
name_of (const char *what)
{
  char directory[MAX_PATH];

  if (strncmp (what, "/dev/", 5) == 0)
    return name_of_device (what + 5);
  if (!is_good_name (what))
    return NULL;
  directory_of (directory, sizeof directory, what);
  if (access (directory, F_OK) == -1 && errno == ENOENT &&
      is_device_name (what))
    return name_of_device (what);
  return what;
}

int
detach (const char *what)
{
  char directory[MAX_PATH];
  const char *name;

  if (geteuid () != 0)
    die ("only root can detach a device");
  name = name_of (what);
  if (name == NULL)
    die ("%s: not attached by nullblk-attach; --list shows what is", what);
  directory_of (directory, sizeof directory, name);
  return detach_one (name, directory) ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Begin to detach, in a child, as a flush takes as long as the server needs. */
static void
begin_detaching (const char *name, const char *directory)
{
  const pid_t pid = fork ();

  if (pid == 0) {
    before_end (NULL);
    is_for_all = true;
    _exit (detach_one (name, directory) ? EXIT_SUCCESS : EXIT_FAILURE);
  }
  if (pid == -1)
    die ("%s: fork: %s", name, strerror (errno));
}

/* Wait for all children.  Returns whether all have detached what they had to.
 */
static bool
await_children (void)
{
  bool r = true;
  int status;

  while (wait (&status) != -1 || errno == EINTR) {
    if (status != 0)
      r = false;
  }
  return r;
}

/* If for_each_directory ends the program, the children come to their ends. */
static void
end_detaching (void)
{
  await_children ();
}

int
detach_all (void)
{
  if (geteuid () != 0)
    die ("only root can detach a device");
  before_end (end_detaching);
  for_each_directory (begin_detaching);
  return await_children () ? EXIT_SUCCESS : EXIT_FAILURE;
}
