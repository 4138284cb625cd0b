/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * How the kernel's nbd devices are opened, attached and disconnected, by
 * netlink or, with TLS, by nbd-client.
 */

#include <config.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <netlink/errno.h>

#include "attach-internal.h"
#include "netlink.h"

/* How long nbd-client may take for each connection. */
#define CLIENT_SECONDS 30

/*---------------------------------------------------------------------*/
/* Opening */

/* At the first open of a device the kernel scans it for partitions, and all
 * other opens wait for that.  So where reads hang, an open hangs, too, for as
 * long as --timeout: a shorter timeout that is set now is not for reads that
 * are in flight.  Disconnecting the device ends them, and costs no data: until
 * the first scan is over, no process has had the device open, and the page
 * cache has nothing of it.
 *
 * An open can also wait for a close, which writes the page cache back; or for a
 * later scan, which a process with the device open has asked for, and then the
 * page cache may have writes that are not in flight.  So an open counts as
 * waiting for the first scan only if SCAN_CHECKS checks in a row, CHECK_MS
 * apart, find that one read and no write is in flight, as during a scan, and
 * that no process has the device open.  With --persist it does not count even
 * then (the callers do not allow a disconnect): the kernel does not count a
 * write that waits for a server that is away.
 */
#define CHECK_MS 200
#define SCAN_CHECKS 10

static bool
has_one_read (const char *device)
{
  unsigned long reads, writes;
  char text[64];

  read_sys (text, sizeof text, device, "inflight");
  return sscanf (text, "%lu %lu", &reads, &writes) == 2 && reads == 1 &&
         writes == 0;
}

/* Does process PID have a file open that is the device MAJOR:MINOR?  Returns
 * true where that cannot be known; but a file whose filesystem does not tell
 * what it is, as one of FUSE may not, is no device.
 */
static bool
has_open (const char *pid, unsigned major, unsigned minor)
{
  char path[64];
  struct dirent *entry;
  struct statx st;
  bool r = false;
  DIR *dir;

  format_text (path, sizeof path, "/proc/%.20s/fd", pid);
  dir = opendir (path);
  if (dir == NULL)
    return !is_absent (errno); /* absent: it has just ended */
  while (!r && (errno = 0, entry = readdir (dir)) != NULL)
    /* AT_STATX_DONT_SYNC: a network filesystem need not ask its server. */
    r = statx (dirfd (dir), entry->d_name, AT_STATX_DONT_SYNC, STATX_TYPE,
               &st) == 0 &&
        S_ISBLK (st.stx_mode) && st.stx_rdev_major == major &&
        st.stx_rdev_minor == minor;
  if (entry == NULL && errno != 0 && !is_absent (errno))
    r = true;
  closedir (dir);
  return r;
}

/* Does any process have the device open?  An open that is not over does not
 * count.  Returns true where that cannot be known.
 */
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
  while (!r && (errno = 0, entry = readdir (proc)) != NULL)
    r = isdigit ((unsigned char) entry->d_name[0]) &&
        has_open (entry->d_name, major, minor);
  if (!r && errno != 0)
    r = true;
  if (proc != NULL)
    closedir (proc);
  return r;
}

/* Does an open wait for the first scan?  A process may have closed the device
 * before its descriptors were looked at.  Then the read that was in flight is
 * over, too: so the reads are counted once more.
 */
static bool
waits_for_scan (const char *device)
{
  return has_one_read (device) && !is_open_in_a_process (device) &&
         has_one_read (device);
}

/* An open in a thread of its own.  DONE is the end of a pipe, which the thread
 * closes when the open is over.
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

/* Wait until the other end of DONE is closed; if the open waits for the first
 * scan, and MAY_DISCONNECT, disconnect the device.  During the scan the device
 * is in use, so it still is the attachment that it was a moment ago.  Returns
 * true if the device was disconnected.
 */
static bool
await_opening (int done, const struct attachment *a, bool may_disconnect)
{
  struct pollfd end = {.fd = done};
  struct message ignored;
  unsigned checks = 0;
  bool r = false;

  while (poll (&end, 1, may_disconnect && !r ? CHECK_MS : -1) != 1) {
    checks =
        may_disconnect && !r && waits_for_scan (a->device) ? checks + 1 : 0;
    if (checks >= SCAN_CHECKS && attachment_exists (a))
      r = disconnect_device (a->device, &ignored);
  }
  return r;
}

int
device_open (const struct attachment *a, int flags, bool may_disconnect)
{
  struct opening o = {.flags = flags};
  bool is_disconnected;
  pthread_t thread;
  int done[2];

  /* Another attachment's device is not even opened: its user could notice. */
  if (!attachment_exists (a)) {
    errno = ESTALE;
    return -1;
  }
  format_text (o.path, sizeof o.path, "/dev/%s", a->device);
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
  if (is_disconnected || !attachment_exists (a)) {
    if (o.fd != -1)
      close (o.fd);
    errno = is_disconnected ? ENOTCONN : ESTALE;
    return -1;
  }
  return o.fd;
}

/*---------------------------------------------------------------------*/
/* Nodes */

bool
disconnect_device (const char *device, struct message *why)
{
  struct netlink *n = netlink_open ();
  const int r = n != NULL ? netlink_disconnect (n, index_of (device)) : 0;

  if (n == NULL)
    message_set (why, "the kernel's nbd driver cannot be reached by netlink");
  else if (r < 0)
    message_set (why, "the kernel does not disconnect it: %s", nl_geterror (r));
  netlink_close (n);
  return n != NULL && r >= 0;
}

/* How often to check, fifty times a second, whether a node has gone, or can be
 * made.  A node that is still there then is open in a process.
 */
#define MAX_CHECKS 100

struct node_wait {
  const char *device;
  struct netlink *netlink;
  unsigned checks;
};

/* Need the node no longer be waited for?  If another program has attached it,
 * it is there anew.
 */
static bool
wait_is_over (const void *arg)
{
  struct node_wait *const *w = arg;

  return !is_node ((*w)->device) || is_attached ((*w)->device) ||
         ++(*w)->checks >= MAX_CHECKS;
}

/* Make the node again.  Returns false if that has failed and is to be tried
 * once more: the number is in use for a moment after the node has gone.
 */
static bool
try_to_make (const void *arg)
{
  struct node_wait *const *w = arg;

  return is_node ((*w)->device) ||
         netlink_make_node ((*w)->netlink, index_of ((*w)->device)) == 0 ||
         ++(*w)->checks >= MAX_CHECKS;
}

/* Returns how many nodes the kernel makes, numbered from 0, when the module is
 * loaded.
 */
static unsigned
made_with_module (void)
{
  char text[32];

  read_line (text, sizeof text, SYS "/module/nbd/parameters", "nbds_max");
  return strtoul (text, NULL, 10);
}

void
restore_node (const struct attachment *a)
{
  struct node_wait w = {.device = a->device};
  struct node_wait *const arg = &w;

  if (!is_nbd_name (a->device) || index_of (a->device) >= made_with_module ())
    return;
  await_condition (wait_is_over, &arg);
  if (is_node (a->device))
    return;
  w.netlink = netlink_open ();
  w.checks = 0;
  if (w.netlink != NULL)
    await_condition (try_to_make, &arg);
  netlink_close (w.netlink);
}

/*---------------------------------------------------------------------*/
/* Before attaching */

/* The module makes no node where nbds_max is 0, and the driver makes one when
 * it attaches a device: only the driver itself tells whether it is there.
 */
struct netlink *
open_nbd_driver (void)
{
  const char *const modprobe[] = {"modprobe", "nbd", NULL};
  struct netlink *n;

  n = netlink_open ();
  if (n == NULL) {
    run (modprobe, true);
    n = netlink_open ();
  }
  if (n == NULL)
    die (access (SYS "/module/nbd", F_OK) == -1 && errno == ENOENT
             ? "this kernel has no nbd module (modprobe nbd)"
             : "this kernel's nbd driver cannot be reached by netlink");
  return n;
}

/*---------------------------------------------------------------------*/
/* Attaching by netlink */

/* A device was refused.  If the size of its blocks may be the reason, return
 * true, and say so in *why.  In older kernels blocks may be no larger than a
 * page, and nothing in sysfs says what the limit is.
 */
static bool
blocks_are_refused (const struct nbd_options *options, struct message *why)
{
  const long page = sysconf (_SC_PAGESIZE);

  if ((long) options->export_info.block_size <= page)
    return false;
  message_set (why,
               "block-size=%u is more than this kernel takes, which is a page "
               "of %ld bytes (newer ones take 65536)",
               options->export_info.block_size, page);
  return true;
}

/* libnl's own error texts are about its messages, and not about devices. */
static void
explain (int err, const struct nbd_options *options, struct message *why)
{
  switch (err) {
  case -NLE_INVAL:
    if (!blocks_are_refused (options, why))
      message_set (why, "the kernel refuses the export's size, its blocks or "
                        "its sockets; dmesg may say more");
    break;
  case -NLE_PERM:
  case -NLE_NOACCESS:
    message_set (why, "the kernel refuses it: it wants CAP_SYS_ADMIN, and not "
                      "that of a user namespace");
    break;
  case -NLE_BUSY:
    message_set (why, "another program has just taken the device that the "
                      "kernel chose");
    break;
  default:
    message_set (why, "the kernel does not attach it: %s", nl_geterror (err));
    break;
  }
}

static void
sockets_of (int *sockets, struct nbd_handle *const *connections, size_t count)
{
  size_t i;

  for (i = 0; i < count; i++)
    sockets[i] = nbd_aio_get_fd (connections[i]);
}

bool
attach_connections (struct netlink *n, struct attachment *a,
                    const struct nbd_options *options,
                    struct nbd_handle *const *connections, struct message *why)
{
  const struct netlink_device device = {
      .identifier = identifier_of (a),
      .size = options->export_info.size,
      .block_size = options->export_info.block_size,
      .flags = options->export_info.flags,
      .timeout = options->timeout,
      .reconnect_timeout = options->reconnect_timeout,
  };
  int sockets[MAX_CONNECTIONS], r;
  unsigned index;

  sockets_of (sockets, connections, options->connections);
  r = netlink_connect (n, &device, sockets, options->connections, &index);
  if (r < 0) {
    explain (r, options, why);
    return false;
  }
  format_text (a->device, sizeof a->device, "nbd%u", index);
  if (attachment_exists (a))
    return true;
  /* The kernel does not know identifiers (before Linux 5.14), or the device was
   * disconnected at once.  Only our attachment has our pid in its file.
   */
  attachment_read_identity (a);
  if (is_attached_by (a, getpid ()))
    return true;
  a->identity[0] = '\0';
  message_set (why, "/dev/%s was disconnected at once", a->device);
  return false;
}

bool
revive_connections (struct netlink *n, const struct attachment *a,
                    const struct nbd_options *options,
                    struct nbd_handle *const *connections)
{
  int sockets[MAX_CONNECTIONS];

  sockets_of (sockets, connections, options->connections);
  return netlink_reconnect (n, index_of (a->device), identifier_of (a), sockets,
                            options->connections) == 0;
}

/*---------------------------------------------------------------------*/
/* Attaching by nbd-client */

/* Set a->device to the next device from *NEXT on that is not attached.  Its
 * node need not be there: the kernel makes it.
 */
static void
next_free_device (struct attachment *a, unsigned *next)
{
  do
    format_text (a->device, sizeof a->device, "nbd%u", (*next)++);
  while (is_attached (a->device));
}

enum outcome { ATTACHED, TAKEN, FAILED };

/* Long options only: versions of nbd-client differ in the short ones that they
 * have, and 3.27.1 is killed by one of them.
 */
static enum outcome
try_client (struct attachment *a, const struct nbd_options *options,
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
    argv[n++] = options->host;
    argv[n++] = uri->port;
  }
  format_text (path, sizeof path, "/dev/%s", a->device);
  argv[n++] = path;
  argv[n++] = "--name";
  argv[n++] = uri->export_name;
  format_text (connections, sizeof connections, "%u", options->connections);
  argv[n++] = "--connections";
  argv[n++] = connections;
  format_text (block_size, sizeof block_size, "%u",
               options->export_info.block_size);
  argv[n++] = "--block-size";
  argv[n++] = block_size;
  if ((options->export_info.flags & EXPORT_READ_ONLY) != 0)
    argv[n++] = "--readonly";
  format_text (timeout, sizeof timeout, "%u", options->timeout);
  argv[n++] = "--timeout";
  argv[n++] = timeout;
  if (uri->tls) {
    format_text (ca, sizeof ca, "%s/ca-cert.pem", uri->tls_certificates);
    format_text (certificate, sizeof certificate, "%s/client-cert.pem",
                 uri->tls_certificates);
    format_text (key, sizeof key, "%s/client-key.pem", uri->tls_certificates);
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
    attachment_read_identity (a);
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

bool
attach_by_client (struct attachment *a, const struct nbd_options *options,
                  const struct uri *uri, struct message *why)
{
  enum outcome outcome;
  unsigned next = 0;

  do {
    next_free_device (a, &next);
    outcome = try_client (a, options, uri, why);
  } while (outcome == TAKEN && !is_stopped ());
  return outcome == ATTACHED;
}
