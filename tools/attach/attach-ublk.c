/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Devices of the kernel's ublk driver, each of which a process of nullblk-ublk
 * makes and serves, or the server itself (ublk=true).  nullblk-attach chooses
 * the cookie of a device of nullblk-ublk.  The kernel keeps the cookie, and it
 * is the name of the device's record (ublkdrv/ublk-record.h).
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach-internal.h"
#include "exit-status.h"
#include "ublkdrv/ublkdrv.h"

enum ublk_outcome
attach_by_ublk (struct attachment *a, const struct ublk_options *options,
                const char *uri)
{
  const char *argv[16] = {find_tool ("nullblk-ublk", SBINDIR)};
  char queues[16], timeout[16], persist[32], line[64];
  size_t n = 1;
  int status;

  argv[n++] = "--cookie";
  argv[n++] = cookie_of (a);
  format_text (queues, sizeof queues, "%u", options->connections);
  argv[n++] = "--queues";
  argv[n++] = queues;
  if (options->timeout != 0) {
    format_text (timeout, sizeof timeout, "%u", options->timeout);
    argv[n++] = "--timeout";
    argv[n++] = timeout;
  }
  if (options->persist != 0) {
    format_text (persist, sizeof persist, "--persist=%u", options->persist);
    argv[n++] = persist;
  }
  argv[n++] = uri;
  argv[n] = NULL;
  status = run_for_line (argv, line, sizeof line);
  if (status == 127) {
    fputs ("nullblk-attach: nullblk-ublk, which makes ublk devices, is not "
           "installed\n",
           stderr);
    return UBLK_IMPOSSIBLE;
  }
  if (status == EXIT_IMPOSSIBLE)
    return UBLK_IMPOSSIBLE;
  if (status != 0 || strncmp (line, "/dev/", 5) != 0 ||
      !is_device_name (line + 5))
    return UBLK_FAILED;
  format_text (a->device, sizeof a->device, "%s", line + 5);
  return UBLK_ATTACHED;
}

/*---------------------------------------------------------------------*/
/* Devices of a server */

/* Take the device's name, without "/dev/", from the end of the description that
 * the server has for its export.  Returns false if it is not there.
 */
static bool
name_in_description (const char *description, char *device, size_t size)
{
  static const char key[] = ", here /dev/";
  const char *name = description != NULL ? strstr (description, key) : NULL;

  if (name == NULL || strlen (name + strlen (key)) >= size)
    return false;
  strcpy (device, name + strlen (key));
  return is_device_name (device);
}

/* If the record of COOKIE is that of the server's device a->device, it gives
 * the device its identity.
 */
static bool
take_cookie (uint64_t cookie, void *arg)
{
  struct attachment *a = arg;
  struct device_record r;
  bool is_dead;

  if (!open_record (&r, cookie, &is_dead))
    return true;
  if (!is_dead && device_record_is_of_server (&r) &&
      strcmp (r.device, a->device) == 0)
    attachment_take_cookie (a, cookie);
  device_record_close (&r);
  return a->identity[0] == '\0';
}

bool
find_device_of_server (struct attachment *a, const char *uri, unsigned seconds,
                       struct message *why)
{
  struct export_info info;
  struct nbd_handle *h;
  char *description;
  int err = 0;
  bool r;

  h = connect_within (uri, seconds, &info, NULL, why);
  if (h == NULL)
    return false;
  description = nbd_get_export_description (h);
  r = name_in_description (description, a->device, sizeof a->device);
  free (description);
  disconnect_from_server (h);
  a->identity[0] = '\0';
  if (r)
    err = device_record_for_each (take_cookie, a);
  if (err < 0)
    die (RECORDS ": %s", strerror (-err));
  if (a->identity[0] != '\0')
    return true;
  message_set (why, "%s: the server names no block device", uri);
  return false;
}

bool
is_of_server (const struct attachment *a, bool *is_dead)
{
  struct device_record r;
  bool result;

  if (!has_cookie (a) ||
      !open_record (&r, device_record_cookie (cookie_of (a)), is_dead))
    return false;
  result = device_record_is_of_server (&r);
  device_record_close (&r);
  return result;
}

/* The devices of a server are those whose records its keeper has locked.  Where
 * the keeper is not known, because it was killed or is in another PID
 * namespace, any device of a server whose keeper is not known may be of this
 * server.
 */
struct server_devices {
  uint64_t cookie; /* of one of them */
  pid_t keeper;    /* 0: not known */
  bool (*action) (const char *device, const void *arg);
  const void *arg;
  bool goes_on;
};

static bool
act_if_of_server (uint64_t cookie, void *arg)
{
  struct server_devices *f = arg;
  struct device_record r;
  bool is_dead;

  if (!open_record (&r, cookie, &is_dead))
    return true;
  if (cookie == f->cookie ||
      (r.pid == f->keeper && device_record_is_of_server (&r)))
    f->goes_on = f->action (r.device, f->arg);
  device_record_close (&r);
  return f->goes_on;
}

bool
for_each_of_server (const struct attachment *a,
                    bool (*action) (const char *device, const void *arg),
                    const void *arg)
{
  struct server_devices f = {.cookie = device_record_cookie (cookie_of (a)),
                             .action = action,
                             .arg = arg,
                             .goes_on = true};
  struct device_record r;
  bool is_dead;
  int err;

  if (!open_record (&r, f.cookie, &is_dead))
    return true;
  f.keeper = r.pid;
  device_record_close (&r);
  err = device_record_for_each (act_if_of_server, &f);
  if (err < 0)
    die (RECORDS ": %s", strerror (-err));
  return f.goes_on;
}

/*---------------------------------------------------------------------*/

/* Has the device a record?  There is one as long as anything of the device may
 * be left.
 */
static bool
has_record (const struct attachment *a)
{
  struct device_record r;
  bool is_dead;

  if (!open_record (&r, device_record_cookie (cookie_of (a)), &is_dead))
    return false;
  device_record_close (&r);
  return true;
}

bool
is_used_without_server (const struct attachment *a)
{
  struct device_record r;
  bool is_dead;
  pid_t aide;

  if (!open_record (&r, device_record_cookie (cookie_of (a)), &is_dead))
    return false;
  aide = device_record_aide (&r);
  device_record_close (&r);
  return is_dead && is_device_name (r.device) &&
         users_find_of_dead (r.device, aide) < 0;
}

bool
detach_by_ublk (const struct attachment *a, bool *is_gone)
{
  const char *const argv[] = {find_tool ("nullblk-ublk", SBINDIR), "--detach",
                              cookie_of (a), NULL};
  int status = 0;

  if (has_record (a))
    status = run (argv, false);
  if (status == 127)
    fputs ("nullblk-attach: nullblk-ublk, which has made the device, is not "
           "installed\n",
           stderr);
  *is_gone = !has_record (a);
  return status == 0;
}
