/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Devices as the kernel shows them, the identity of an attachment, and how an
 * attachment is found by its device or its export.
 */

#include <config.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attach-internal.h"
#include "ublkdrv/ublkdrv.h"

/* Is NAME PREFIX and then a number? */
static bool
is_numbered (const char *name, const char *prefix)
{
  const char *number = name + strlen (prefix);

  return strncmp (name, prefix, strlen (prefix)) == 0 &&
         isdigit ((unsigned char) number[0]) &&
         number[strspn (number, "0123456789")] == '\0';
}

bool
is_nbd_name (const char *name)
{
  return is_numbered (name, "nbd");
}

bool
is_device_name (const char *name)
{
  return is_nbd_name (name) || is_numbered (name, "ublkb");
}

void
read_sys (char *buf, size_t size, const char *device, const char *file)
{
  char directory[MAX_PATH];

  format_text (directory, sizeof directory, SYS "/block/%s", device);
  read_line (buf, size, directory, file);
}

unsigned
index_of (const char *device)
{
  return strtoul (device + strlen ("nbd"), NULL, 10);
}

bool
is_node (const char *device)
{
  char path[64];

  format_text (path, sizeof path, SYS "/block/%s/size", device);
  if (access (path, F_OK) == 0)
    return true;
  if (!is_absent (errno))
    die ("%s: %s", path, strerror (errno));
  return false;
}

/* The kernel shows a pid while an nbd device is attached. */
bool
is_attached (const char *device)
{
  char pid[32];

  read_sys (pid, sizeof pid, device, "pid");
  return pid[0] != '\0';
}

uint64_t
size_of (const char *device)
{
  char sectors[32];

  read_sys (sectors, sizeof sectors, device, "size");
  return strtoull (sectors, NULL, 10) * 512;
}

bool
is_ready (const void *arg)
{
  const struct expected *e = arg;

  return size_of (e->device) == e->size / 512 * 512;
}

/*---------------------------------------------------------------------*/
/* Attachments */

#define BACKEND "backend "
#define COOKIE "cookie "

void
attachment_take_cookie (struct attachment *a, uint64_t cookie)
{
  format_text (a->identity, sizeof a->identity, COOKIE "%016" PRIx64, cookie);
}

void
attachment_draw_identity (struct attachment *a, bool by_ublk)
{
  uint64_t random[2];

  if (getrandom (random, sizeof random, 0) != sizeof random)
    die ("getrandom: %s", strerror (errno));
  if (by_ublk) {
    attachment_take_cookie (a, random[0] | 1); /* 0 is no cookie */
    return;
  }
  format_text (a->identity, sizeof a->identity,
               BACKEND "nullblk-attach-%016" PRIx64 "%016" PRIx64, random[0],
               random[1]);
}

const char *
identifier_of (const struct attachment *a)
{
  return a->identity + strlen (BACKEND);
}

const char *
cookie_of (const struct attachment *a)
{
  return a->identity + strlen (COOKIE);
}

bool
has_cookie (const struct attachment *a)
{
  return strncmp (a->identity, COOKIE, strlen (COOKIE)) == 0;
}

bool
has_identifier (const struct attachment *a)
{
  return strncmp (a->identity, BACKEND, strlen (BACKEND)) == 0;
}

/* The kernel has a new file in sysfs for each attachment, and no two files
 * there have the same inode.
 */
void
attachment_read_identity (struct attachment *a)
{
  char path[64], pid[32];
  struct stat st;
  ssize_t n;
  int fd;

  a->identity[0] = '\0';
  format_text (path, sizeof path, SYS "/block/%s/pid", a->device);
  fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd == -1 && is_absent (errno))
    return;
  n = fd != -1 ? read (fd, pid, sizeof pid - 1) : -1;
  if ((n == -1 && !is_absent (errno)) || (n > 0 && fstat (fd, &st) == -1))
    die ("%s: %s", path, strerror (errno));
  if (n > 0) {
    pid[n] = '\0';
    format_text (a->identity, sizeof a->identity, "pid %d %ju", atoi (pid),
                 (uintmax_t) st.st_ino);
  }
  close (fd);
}

/* Returns the inode of the identity "pid PID INODE", by which alone an
 * attachment is told: kernels without identifiers look the process up whenever
 * the file is read, and show any number once the process has ended.
 */
static const char *
inode_of (const struct attachment *a)
{
  const char *last = strrchr (a->identity, ' ');

  return last != NULL ? last : "";
}

bool
is_attached_by (const struct attachment *a, pid_t pid)
{
  return a->identity[0] != '\0' &&
         atoi (a->identity + strlen ("pid ")) == (int) pid;
}

bool
open_record (struct device_record *r, uint64_t cookie, bool *is_dead)
{
  const int err = device_record_open (r, cookie, is_dead);

  if (err < 0 && err != -ENOENT)
    die (RECORDS "/%016" PRIx64 ": %s", cookie, strerror (-err));
  return err == 0;
}

/* Find the device of that cookie that a living process answers for:
 * nullblk-ublk or a server's keeper.  "" if there is none.
 */
static void
find_served (const struct attachment *a, char *device, size_t size)
{
  bool is_dead;
  struct device_record r;

  device[0] = '\0';
  if (!open_record (&r, device_record_cookie (cookie_of (a)), &is_dead))
    return;
  if (!is_dead && is_device_name (r.device))
    format_text (device, size, "%s", r.device);
  device_record_close (&r);
}

bool
attachment_exists (const void *arg)
{
  const struct attachment *a = arg;
  struct attachment now;

  if (has_cookie (a)) {
    find_served (a, now.device, sizeof now.device);
    return now.device[0] != '\0' && strcmp (now.device, a->device) == 0;
  }
  if (has_identifier (a)) {
    read_sys (now.identity, sizeof now.identity, a->device, "backend");
    return now.identity[0] != '\0' &&
           strcmp (now.identity, identifier_of (a)) == 0;
  }
  format_text (now.device, sizeof now.device, "%s", a->device);
  attachment_read_identity (&now);
  return now.identity[0] != '\0' && strcmp (inode_of (&now), inode_of (a)) == 0;
}

bool
attachment_is_left (const struct attachment *a, const char *directory)
{
  char persist[32];
  bool is_dead;
  struct device_record r;

  read_line (persist, sizeof persist, directory, "persist");
  if (!has_cookie (a) || persist[0] == '\0' ||
      !open_record (&r, device_record_cookie (cookie_of (a)), &is_dead))
    return false;
  device_record_close (&r);
  return is_dead;
}

bool
attachment_is_gone (const void *attachment)
{
  return !attachment_exists (attachment);
}

bool
attachment_may_exist (const void *arg)
{
  const struct attachment *a = arg;
  char directory[MAX_PATH], backend[sizeof a->identity];

  format_text (directory, sizeof directory, SYS "/block/%s", a->device);
  return try_line (backend, sizeof backend, directory, "backend") < 0 ||
         strcmp (backend, identifier_of (a)) == 0;
}

/* Find the device by its identifier, which only one device has, unless somebody
 * has copied it.
 */
static void
locate (struct attachment *a)
{
  struct dirent *entry;
  bool found = false;
  DIR *dir;

  dir = opendir (SYS "/block");
  if (dir == NULL && errno != ENOENT)
    die (SYS "/block: %s", strerror (errno));
  while (!found && dir != NULL && (errno = 0, entry = readdir (dir)) != NULL) {
    if (!is_device_name (entry->d_name) ||
        strlen (entry->d_name) >= sizeof a->device)
      continue;
    strcpy (a->device, entry->d_name);
    found = attachment_exists (a);
  }
  if (!found && dir != NULL && errno != 0)
    die (SYS "/block: %s", strerror (errno));
  if (dir != NULL)
    closedir (dir);
  if (!found)
    a->device[0] = '\0';
}

struct attachment
attachment_read (const char *directory)
{
  struct attachment a;

  read_line (a.device, sizeof a.device, directory, "device");
  read_line (a.identity, sizeof a.identity, directory, "attachment");
  if (is_device_name (a.device))
    return a;
  a.device[0] = '\0';
  if (has_cookie (&a)) {
    find_served (&a, a.device, sizeof a.device);
    return a; /* what a dead process has left is found by the cookie alone */
  }
  if (has_identifier (&a))
    locate (&a);
  if (a.device[0] == '\0')
    a.identity[0] = '\0';
  return a;
}

/*---------------------------------------------------------------------*/
/* Looking for an attachment */

static struct {
  const char *device;
  const struct uri *uri;
  char name[NAME_MAX + 1];
} wanted;

static void
match_device (const char *name, const char *directory)
{
  const struct attachment a = attachment_read (directory);

  if (strcmp (a.device, wanted.device) == 0 &&
      (wanted.name[0] == '\0' || attachment_exists (&a)))
    snprintf (wanted.name, sizeof wanted.name, "%s", name);
}

const char *
name_of_device (const char *device)
{
  wanted.device = device;
  wanted.name[0] = '\0';
  for_each_directory (match_device);
  return wanted.name[0] != '\0' ? wanted.name : NULL;
}

/* The path of a socket that does not begin with "/" may be another file for a
 * process in another directory.
 */
static bool
is_same_export (const struct uri *a, const struct uri *b)
{
  return a->tls == b->tls && strcasecmp (a->host, b->host) == 0 &&
         strcmp (a->port, b->port) == 0 && strcmp (a->socket, b->socket) == 0 &&
         (a->socket[0] == '\0' || a->socket[0] == '/') &&
         strcmp (a->export_name, b->export_name) == 0;
}

static void
match_export (const char *name, const char *directory)
{
  static char text[MAX_URI];
  static struct uri uri;
  char network[64], here[64];
  struct attachment a;
  struct message why;

  read_line (text, sizeof text, directory, "uri");
  if (wanted.name[0] != '\0' || uri_parse (&uri, text, &why) < 0 ||
      !is_same_export (&uri, wanted.uri))
    return;
  read_line (network, sizeof network, directory, "network");
  network_of_process (here, sizeof here);
  if (uri.host[0] != '\0' && strcmp (network, here) != 0)
    return;
  a = attachment_read (directory);
  /* A device without an identifier cannot be given new connections, and nobody
   * can see whether its own are dead.
   */
  if ((has_identifier (&a) || has_cookie (&a)) &&
      (attachment_exists (&a) || attachment_is_left (&a, directory)))
    snprintf (wanted.name, sizeof wanted.name, "%s", name);
}

const char *
name_of_export (const struct uri *uri)
{
  wanted.uri = uri;
  wanted.name[0] = '\0';
  for_each_directory (match_export);
  return wanted.name[0] != '\0' ? wanted.name : NULL;
}

bool
is_of_export (const char *name, const struct uri *uri)
{
  char directory[MAX_PATH];

  directory_of (directory, sizeof directory, name);
  wanted.uri = uri;
  wanted.name[0] = '\0';
  match_export (name, directory);
  return wanted.name[0] != '\0';
}
