/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The kernel's nbd devices: which are free, what the kernel says of them, and
 * how they are attached and disconnected: by netlink, or where that cannot be,
 * by nbd-client.
 */

#include <config.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef HAVE_LIBNL
#include <netlink/errno.h>
#endif

#include "attach-internal.h"
#include "netlink.h"

/* How long nbd-client may take for each connection. */
#define CLIENT_SECONDS 30

bool
is_device_name (const char *name)
{
  return strncmp (name, "nbd", 3) == 0 && isdigit ((unsigned char) name[3]) &&
         name[3 + strspn (name + 3, "0123456789")] == '\0';
}

static void
read_sys (char *buf, size_t size, const char *device, const char *file)
{
  char folder[LONGEST_PATH];

  format (folder, sizeof folder, "/sys/block/%s", device);
  read_line (buf, size, folder, file);
}

unsigned
index_of (const char *device)
{
  return strtoul (device + strlen ("nbd"), NULL, 10);
}

/* The kernel shows a pid while a device is attached. */
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

void
attachment_name (struct attachment *a)
{
  uint64_t random[2];

  if (getrandom (random, sizeof random, 0) != sizeof random)
    die ("getrandom: %s", strerror (errno));
  format (a->identity, sizeof a->identity,
          BACKEND "nullblk-attach-%016" PRIx64 "%016" PRIx64, random[0],
          random[1]);
}

const char *
identifier_of (const struct attachment *a)
{
  return a->identity + strlen (BACKEND);
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
attachment_find (struct attachment *a)
{
  char path[64], pid[32];
  struct stat st;
  ssize_t n;
  int fd;

  a->identity[0] = '\0';
  format (path, sizeof path, "/sys/block/%s/pid", a->device);
  fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd == -1)
    return;
  n = read (fd, pid, sizeof pid - 1);
  if (n > 0 && fstat (fd, &st) == 0) {
    pid[n] = '\0';
    format (a->identity, sizeof a->identity, "pid %d %ju", atoi (pid),
            (uintmax_t) st.st_ino);
  }
  close (fd);
}

/* Kernels that know no identifiers look the process up when somebody reads the
 * file, even after it has ended, and its number may be anything then: it tells
 * something only as long as the process is there.
 */
static const char *
inode_of (const struct attachment *a)
{
  const char *last = strrchr (a->identity, ' ');

  return last != NULL ? last : "";
}

/* Of a process that is there. */
static bool
is_attached_by (const struct attachment *a, pid_t pid)
{
  return a->identity[0] != '\0' &&
         atoi (a->identity + strlen ("pid ")) == (int) pid;
}

bool
is_there (const void *arg)
{
  const struct attachment *a = arg;
  struct attachment now;

  if (has_identifier (a)) {
    read_sys (now.identity, sizeof now.identity, a->device, "backend");
    return now.identity[0] != '\0' &&
           strcmp (now.identity, identifier_of (a)) == 0;
  }
  format (now.device, sizeof now.device, "%s", a->device);
  attachment_find (&now);
  return now.identity[0] != '\0' && strcmp (inode_of (&now), inode_of (a)) == 0;
}

bool
is_gone (const void *attachment)
{
  return !is_there (attachment);
}

/*---------------------------------------------------------------------*/
/* Opening */

/* The first open has the kernel look for partitions, and all others wait for
 * that.  So where reads hang, an open does, too, for as long as --timeout: a
 * shorter timeout that the kernel is told of now is not for those that are on
 * their way.  What ends them is to disconnect the device, which costs nobody
 * anything: as long as this look is not over, nobody has had the device open,
 * and nothing of it is in the page cache.
 *
 * An open can also wait for a close, which writes what is in the page cache; or
 * for a look that somebody has asked for who has the device open, as others may
 * then, whose writes are in the page cache and not on their way.  So it is
 * taken for the first look only where there is, for MOST_LOOKS times in a row,
 * what a look has on its way, one read and no write, and no process has the
 * device open.  With --persist not
 * even then: the kernel does not count a write that waits for a server that is
 * away.
 */
#define LOOK_MS 200
#define MOST_LOOKS 10

static bool
has_one_read (const char *device)
{
  unsigned long reads, writes;
  char text[64];

  read_sys (text, sizeof text, device, "inflight");
  return sscanf (text, "%lu %lu", &reads, &writes) == 2 && reads == 1 &&
         writes == 0;
}

/* Does process PID have a file open that is the device MAJOR:MINOR? */
static bool
has_open (const char *pid, unsigned major, unsigned minor)
{
  char path[64];
  struct dirent *entry;
  struct statx st;
  bool r = false;
  DIR *dir;

  format (path, sizeof path, "/proc/%.20s/fd", pid);
  dir = opendir (path);
  if (dir == NULL)
    return false; /* it has just ended */
  while (!r && (entry = readdir (dir)) != NULL)
    /* Whatever else it is, no server is asked. */
    r = statx (dirfd (dir), entry->d_name, AT_STATX_DONT_SYNC, STATX_TYPE,
               &st) == 0 &&
        S_ISBLK (st.stx_mode) && st.stx_rdev_major == major &&
        st.stx_rdev_minor == minor;
  closedir (dir);
  return r;
}

/* An open that is not over yet is none.  True where it cannot be known. */
static bool
is_open_in_a_process (const char *device)
{
  unsigned major, minor;
  struct dirent *entry;
  char text[32];
  bool r = false;
  DIR *proc;

  read_sys (text, sizeof text, device, "dev");
  proc = opendir ("/proc");
  if (proc == NULL || sscanf (text, "%u:%u", &major, &minor) != 2)
    r = true;
  while (!r && (entry = readdir (proc)) != NULL)
    r = isdigit ((unsigned char) entry->d_name[0]) &&
        has_open (entry->d_name, major, minor);
  if (proc != NULL)
    closedir (proc);
  return r;
}

/* A process that closes the device while others are looked at is not seen, and
 * then the kernel writes what it has left in the page cache.  But where it can
 * close it, the read that was on its way is over: so that is asked again.
 */
static bool
is_first_look (const char *device)
{
  return has_one_read (device) && !is_open_in_a_process (device) &&
         has_one_read (device);
}

/* An open in a thread of its own, which is over when the other end of the pipe
 * DONE is closed.
 */
struct opening {
  char path[64];
  int flags, fd, err, done;
};

static void *
open_device (void *arg)
{
  struct opening *o = arg;

  o->fd = open (o->path, o->flags | O_CLOEXEC);
  o->err = errno;
  close (o->done);
  return NULL;
}

/* Wait for the end of the pipe, and disconnect the device where that does not
 * come.  While an open waits for the look, whoever looks has the device, so
 * that it is still the attachment that it was a moment ago.  Returns true if it
 * is disconnected.
 */
static bool
await_opening (int done, const struct attachment *a, bool may_disconnect)
{
  struct pollfd end = {.fd = done};
  unsigned looks = 0;
  bool r = false;

  while (poll (&end, 1, may_disconnect && !r ? LOOK_MS : -1) != 1) {
    looks = may_disconnect && !r && is_first_look (a->device) ? looks + 1 : 0;
    if (looks >= MOST_LOOKS && is_there (a)) {
      disconnect (a->device);
      r = true;
    }
  }
  return r;
}

int
hold (const struct attachment *a, int flags, bool may_disconnect)
{
  struct opening o = {.flags = flags};
  bool is_disconnected;
  pthread_t thread;
  int done[2];

  /* The device of another attachment is not even opened: its user would notice.
   */
  if (!is_there (a)) {
    errno = ESTALE;
    return -1;
  }
  format (o.path, sizeof o.path, "/dev/%s", a->device);
  if (pipe2 (done, O_CLOEXEC) == -1)
    return -1;
  o.done = done[1];
  errno = pthread_create (&thread, NULL, open_device, &o);
  if (errno != 0) {
    close (done[0]);
    close (done[1]);
    return -1;
  }
  is_disconnected = await_opening (done[0], a, may_disconnect);
  pthread_join (thread, NULL);
  close (done[0]);
  if (o.fd == -1 && !is_disconnected) {
    errno = o.err;
    return -1;
  }
  if (is_disconnected || !is_there (a)) {
    if (o.fd != -1)
      close (o.fd);
    errno = is_disconnected ? ENOTCONN : ESTALE;
    return -1;
  }
  return o.fd;
}

/*---------------------------------------------------------------------*/
/* Before attaching */

static bool
nbd_is_there (const void *arg)
{
  (void) arg;
  return access ("/sys/block/nbd0", F_OK) == 0;
}

static void
load_module (void)
{
  const char *const modprobe[] = {"modprobe", "nbd", NULL};

  if (nbd_is_there (NULL))
    return;
  if (run (modprobe, true) != 0 || !wait_for (nbd_is_there, NULL))
    die ("this kernel has no nbd module (modprobe nbd)");
}

void
next_free_device (char *buf, size_t size, unsigned *next)
{
  char path[64];

  do {
    format (buf, size, "nbd%u", *next);
    format (path, sizeof path, "/sys/block/%s", buf);
    if (access (path, F_OK) == -1)
      die ("no free device: all of /dev/nbd0 to /dev/nbd%u are in use "
           "(nbds_max of the module says how many there are)",
           *next - 1);
    ++*next;
  } while (is_attached (buf));
}

void
check_requirements (void)
{
  if (geteuid () != 0)
    die ("only root can attach a device");
  load_module ();
}

/*---------------------------------------------------------------------*/
/* Attaching */

/* Has the kernel refused a device because of its block size?  In older kernels
 * blocks may be no larger than a page, and nothing in sysfs says what the limit
 * is.
 */
static bool
blocks_are_refused (const struct client_options *options, struct message *why)
{
  const long page = sysconf (_SC_PAGESIZE);

  if ((long) options->block_size <= page)
    return false;
  message_set (why,
               "block-size=%u is more than this kernel takes, which is a page "
               "of %ld bytes (newer ones take 65536)",
               options->block_size, page);
  return true;
}

#ifdef HAVE_LIBNL

enum outcome
attach_connections (struct attachment *a, const struct client_options *options,
                    struct nbd_handle *const *connections, struct message *why)
{
  const struct netlink_device device = {
      .index = index_of (a->device),
      .identifier = identifier_of (a),
      .size = options->size,
      .block_size = options->block_size,
      .timeout = options->timeout,
      .dead_timeout = options->dead_timeout,
  };
  struct netlink *n = netlink_open (why);
  int r;

  if (n == NULL)
    return FAILED;
  r = netlink_connect (n, &device, connections, options->connections);
  netlink_close (n);
  if (r >= 0) {
    if (is_there (a))
      return ATTACHED;
    /* It does not know identifiers, before Linux 5.14; or somebody has
     * disconnected it at once.  No other attachment has us in its file.
     */
    attachment_find (a);
    if (is_attached_by (a, getpid ()))
      return ATTACHED;
    a->identity[0] = '\0';
    message_set (why, "/dev/%s was disconnected at once", a->device);
    return FAILED;
  }
  if (r == -NLE_BUSY)
    return TAKEN;
  if (r != -NLE_INVAL || !blocks_are_refused (options, why))
    message_set (why, "the kernel does not attach it: %s", nl_geterror (r));
  return FAILED;
}

void
disconnect (const char *device)
{
  struct message why;
  struct netlink *n = netlink_open (&why);

  if (n != NULL)
    netlink_disconnect (n, index_of (device));
  netlink_close (n);
}

#else

enum outcome
attach_connections (struct attachment *a, const struct client_options *options,
                    struct nbd_handle *const *connections, struct message *why)
{
  (void) a;
  (void) options;
  (void) connections;
  message_set (why, "this nullblk-attach was built without libnl");
  return FAILED;
}

void
disconnect (const char *device)
{
  char path[64];
  const char *const argv[] = {"nbd-client", "--disconnect", path, NULL};

  format (path, sizeof path, "/dev/%s", device);
  run (argv, true);
}

#endif

/* Long options only: versions of nbd-client differ in the short ones that they
 * have, and 3.27.1 is killed by one of them.
 */
enum outcome
attach_by_client (struct attachment *a, const struct client_options *options,
                  const struct uri *uri, struct message *why)
{
  char path[64], connections[16], block_size[16], timeout[16];
  static char ca[1100], certificate[1100], key[1100];
  const char *argv[32] = {"nbd-client"};
  int status = 127;
  size_t n = 1;
  pid_t pid;

  if (uri->socket[0] != '\0') {
    argv[n++] = "--unix";
    argv[n++] = uri->socket;
  }
  else {
    argv[n++] = uri->host;
    argv[n++] = uri->port;
  }
  format (path, sizeof path, "/dev/%s", a->device);
  argv[n++] = path;
  argv[n++] = "--name";
  argv[n++] = uri->export_name;
  format (connections, sizeof connections, "%u", options->connections);
  argv[n++] = "--connections";
  argv[n++] = connections;
  format (block_size, sizeof block_size, "%u", options->block_size);
  argv[n++] = "--block-size";
  argv[n++] = block_size;
  if (options->read_only)
    argv[n++] = "--readonly";
  format (timeout, sizeof timeout, "%u", options->timeout);
  argv[n++] = "--timeout";
  argv[n++] = timeout;
  if (uri->tls) {
    format (ca, sizeof ca, "%s/ca-cert.pem", uri->tls_certificates);
    format (certificate, sizeof certificate, "%s/client-cert.pem",
            uri->tls_certificates);
    format (key, sizeof key, "%s/client-key.pem", uri->tls_certificates);
    argv[n++] = "--cacertfile";
    argv[n++] = ca;
    if (access (certificate, R_OK) == 0) {
      argv[n++] = "--certfile";
      argv[n++] = certificate;
      argv[n++] = "--keyfile";
      argv[n++] = key;
    }
    argv[n++] = "--tlshostname";
    argv[n++] = uri->host;
  }
  argv[n] = NULL;

  a->identity[0] = '\0';
  pid = begin_program (argv, false);
  if (pid != -1) {
    await_program (pid, CLIENT_SECONDS * options->connections);
    /* Where nbd-client has failed, or was killed, somebody else may have
     * attached the device; but as long as nbd-client is a zombie, its pid is
     * its own.
     */
    attachment_find (a);
    status = end_program (pid, argv[0]);
    if (status != 0 && !is_attached_by (a, pid))
      a->identity[0] = '\0';
  }
  if (status == 0 && a->identity[0] != '\0')
    return ATTACHED;
  if (status == 127)
    message_set (why, "nbd-client is missing (Debian: nbd-client)");
  else if (!blocks_are_refused (options, why))
    message_set (why, "nbd-client could not attach it to /dev/%s", a->device);
  return a->identity[0] == '\0' && is_attached (a->device) ? TAKEN : FAILED;
}
