/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The kernel's nbd devices: which are free, what the kernel says of them, and
 * nbd-client, which attaches them.
 */

#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach-internal.h"

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

/* The kernel shows a pid while a device is attached. */
bool
is_attached (const void *device)
{
  char pid[32];

  read_sys (pid, sizeof pid, device, "pid");
  return pid[0] != '\0';
}

bool
is_detached (const void *device)
{
  return !is_attached (device);
}

uint64_t
size_of (const char *device)
{
  char sectors[32];

  read_sys (sectors, sizeof sectors, device, "size");
  return strtoull (sectors, NULL, 10) * 512;
}

int
open_device (const char *device, int flags)
{
  char path[LONGEST_PATH];

  format (path, sizeof path, "/dev/%s", device);
  return open (path, flags | O_CLOEXEC);
}

bool
is_ready (const void *arg)
{
  const struct expected *e = arg;
  static char buf[512];
  ssize_t n;
  int fd;

  if (size_of (e->device) != e->size)
    return false;
  fd = open_device (e->device, O_RDONLY);
  if (fd == -1)
    return false;
  n = read (fd, buf, sizeof buf);
  close (fd);
  return n == sizeof buf;
}

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
find_free_device (char *buf, size_t size)
{
  unsigned i;
  int fd;

  for (i = 0;; i++) {
    format (buf, size, "nbd%u", i);
    fd = open_device (buf, O_RDONLY | O_EXCL);
    if (fd == -1 && errno == ENOENT)
      die ("no free device: all of /dev/nbd0 to /dev/nbd%u are in use "
           "(nbds_max of the module says how many there are)",
           i - 1);
    if (fd == -1)
      continue;
    close (fd);
    if (!is_attached (buf))
      return;
  }
}

/*---------------------------------------------------------------------*/
/* Attaching */

void
check_requirements (void)
{
  if (geteuid () != 0)
    die ("only root can attach a device");
  load_module ();
}

/* Long options only: versions of nbd-client differ in the short ones that they
 * have, and 3.27.1 is killed by one of them.
 */
int
run_nbd_client (const struct uri *uri, const struct client_options *options,
                const char *device)
{
  char path[64], connections[16], block_size[16], timeout[16];
  static char ca[1100], certificate[1100], key[1100];
  const char *argv[32] = {"nbd-client"};
  size_t n = 1;

  if (uri->socket[0] != '\0') {
    argv[n++] = "--unix";
    argv[n++] = uri->socket;
  }
  else {
    argv[n++] = uri->host;
    argv[n++] = uri->port;
  }
  format (path, sizeof path, "/dev/%s", device);
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
  if (options->timeout > 0) {
    format (timeout, sizeof timeout, "%u", options->timeout);
    argv[n++] = "--timeout";
    argv[n++] = timeout;
  }
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
  return run (argv, false);
}

void
disconnect (const char *device)
{
  char path[64];
  const char *const argv[] = {"nbd-client", "--disconnect", path, NULL};

  format (path, sizeof path, "/dev/%s", device);
  run (argv, true);
}
